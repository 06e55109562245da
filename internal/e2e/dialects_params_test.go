package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestVersionParametersFitEveryDialect has a version bound the answers of targets of every dialect, for clients of every
// other, and choose a temperature where the client is silent.
func TestVersionParametersFitEveryDialect(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for _, d := range dialects {
		for _, op := range operations {
			for _, streamed := range []bool{false, true} {
				prompt := fmt.Sprintf("bounded by the version of %s for %s, %t", d, op, streamed)
				a := ann.say(word(op, "bounded-"+d, prompt, streamed, limit(op, 999)))
				want := s.told(t, &question{prompt: prompt, max: 5, bare: true})
				assert.Equal(t, want, a.text(t), prompt)
				body := s.sim.about(t, prompt)[0].Body
				assert.Contains(t, body, map[string]string{
					"openai": `"temperature":0.25`, "anthropic": `"temperature":0.25`, "gemini": `"temperature":0.25`,
				}[d], prompt)
				assert.Equal(t, 1, strings.Count(body, "temperature"), prompt)
			}
		}
	}
}

// TestCostIsOneInEveryDialect prices the same answer as clients of every dialect ask for it.
func TestCostIsOneInEveryDialect(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for _, d := range dialects {
		costs := map[string][]string{}
		for _, op := range operations {
			a := ann.say(word(op, "to-"+d, "What does it cost?", false, limit(op, 999)))
			require.Equal(t, 200, a.status, a.body)
			cost := a.header.Get("X-Wedge-Cost-Usd")
			costs[cost] = append(costs[cost], op)
			if op == "generate" {
				continue // whose streams tell it nowhere
			}
			streamed := ann.say(word(op, "to-"+d, "What does it cost?", true, limit(op, 999)))
			_, told, _ := strings.Cut(streamed.body, "\n: wedge ")
			told, _, _ = strings.Cut(told, "\n")
			var fact struct {
				Cost json.Number `json:"cost_usd"`
			}
			require.NoError(t, json.Unmarshal([]byte(told), &fact), streamed.brief())
			assert.Equal(t, cost, fact.Cost.String(), "%s of %s", op, d)
		}
		assert.Len(t, costs, 1, "%s: %v", d, costs)
		assert.NotContains(t, costs, "0", d)
	}
}

// TestCompletionsReachEveryDialect asks for the completion of a text, as before there were chats.
func TestCompletionsReachEveryDialect(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for _, d := range dialects {
		body := `{"model":"to-` + d + `","prompt":"Once upon a time","max_tokens":40`
		var whole, piece struct {
			Choices []struct {
				Text         string
				FinishReason string `json:"finish_reason"`
			}
			Usage *usage
		}
		a := ann.do("POST", "/v1/completions", body+"}")
		require.Equal(t, 200, a.status, a.body)
		require.NoError(t, json.Unmarshal([]byte(a.body), &whole))
		require.Len(t, whole.Choices, 1, d)
		assert.NotEmpty(t, whole.Choices[0].Text, d)
		require.NotNil(t, whole.Usage, d)
		streamed := ann.do("POST", "/v1/completions", body+`,"stream":true,"stream_options":{"include_usage":true}}`)
		text := ""
		var last *usage
		for _, data := range streamed.events() {
			if data == "[DONE]" {
				continue
			}
			piece.Choices, piece.Usage = nil, nil
			require.NoError(t, json.Unmarshal([]byte(data), &piece), data)
			for _, c := range piece.Choices {
				text += c.Text
			}
			if piece.Usage != nil {
				last = piece.Usage
			}
		}
		assert.Equal(t, whole.Choices[0].Text, text, d)
		assert.Equal(t, whole.Usage, last, d)
		assert.True(t, streamed.ends("chat"), streamed.brief())
	}
}
