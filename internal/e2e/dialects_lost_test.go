package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// inexpressible are members that a dialect has no word for, by the operation that says them.
var inexpressible = []struct {
	op, target string
	members    string
	want       []string
}{
	{"chat", "anthropic", `"seed":7`, []string{"seed"}},
	{"chat", "anthropic", `"logit_bias":{"50256":-100},"frequency_penalty":0.5,"presence_penalty":0.5`, []string{"logit_bias", "frequency_penalty", "presence_penalty"}},
	{"chat", "anthropic", `"logprobs":true,"top_logprobs":2`, []string{"logprobs"}},
	{"chat", "gemini", `"logit_bias":{"50256":-100},"seed":7`, []string{"logit_bias"}},
	{"chat", "gemini", `"x_future":1`, []string{"x_future"}},
	{"responses", "anthropic", `"x_future":1`, []string{"x_future"}},
	{"responses", "gemini", `"truncation":"auto"`, []string{"truncation"}},
	{"messages", "openai", `"cache_control":{"type":"ephemeral"}`, []string{"cache_control"}},
	{"messages", "openai", `"x_future":{"a":1}`, []string{"x_future"}},
	{"messages", "gemini", `"service_tier":"standard_only"`, []string{"service_tier"}},
	{"generate", "openai", `"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]`, []string{"safetySettings"}},
	{"generate", "openai", `"generationConfig":{"mediaResolution":"MEDIA_RESOLUTION_LOW"}`, []string{"generationConfig.mediaResolution"}},
	{"generate", "anthropic", `"generationConfig":{"seed":5,"topK":5}`, []string{"generationConfig.seed"}},
}

// TestWhatIsLostIsNamed asks targets for what their dialect cannot express: a model names it, a strict one refuses.
func TestWhatIsLostIsNamed(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for _, c := range inexpressible {
		members := []string{c.members}
		if c.op == "messages" {
			members = append(members, limit(c.op, 99))
		}
		for _, streamed := range []bool{false, true} {
			a := ann.say(word(c.op, "to-"+c.target, "lost", streamed, members...))
			assert.Equal(t, 200, a.status, a.body)
			got := strings.Split(a.header.Get("X-Wedge-Dropped"), ", ")
			slices.Sort(got)
			want := slices.Sorted(slices.Values(c.want))
			assert.Equal(t, want, got, "%s to %s: %s", c.op, c.target, c.members)
			assert.NotEmpty(t, a.text(t))
			strict := ann.say(word(c.op, "to-"+c.target+"-strict", "lost", streamed, members...))
			message := strict.wantRefusal(t, c.op, 400, "invalid_request")
			for _, name := range c.want {
				assert.Contains(t, message, name)
			}
		}
		at := ownDialect[c.op]
		a := ann.say(word(c.op, "to-"+at+"-strict", "own", false, members...))
		assert.Equal(t, 200, a.status, a.body)
		assert.Empty(t, a.header.Get("X-Wedge-Dropped"), "%s to its own dialect: %s", c.op, c.members)
	}
	assert.Positive(t, s.metric(t, "wedge_dropped_fields_total"))
	a := ann.say(word("messages", "openai/gpt-4o", "a model that OpenAI serves itself", false, limit("messages", 99), `"top_k":5`))
	assert.Equal(t, "top_k", a.header.Get("X-Wedge-Dropped"), a.body)
}

// TestNothingIsLostOfPlainQuestions holds strict models to what every dialect can say.
func TestNothingIsLostOfPlainQuestions(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for _, v := range variants {
		if strings.Contains(v.name, "top_p") {
			continue
		}
		for _, op := range []string{"chat", "messages", "generate"} {
			for _, d := range dialects {
				w := v.worded(op, "nothing is lost")
				w.body = strings.Replace(w.body, `"shared"`, `"to-`+d+`-strict"`, 1)
				w.path = strings.Replace(w.path, "/shared:", "/to-"+d+"-strict:", 1)
				a := ann.say(w)
				assert.Equal(t, 200, a.status, "%s of %s to %s: %s", v.name, op, d, a.body)
				assert.Empty(t, a.header.Get("X-Wedge-Dropped"), "%s of %s to %s", v.name, op, d)
			}
		}
	}
}
