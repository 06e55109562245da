package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCacheServesOtherDialects fills the cache through one operation and asks through another, whole and streamed.
func TestCacheServesOtherDialects(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for _, model := range []string{"cached-openai", "cached-anthropic", "cached-gemini", "shared"} {
		for _, from := range operations {
			for i := range 4 { // filled whole or streamed, and read so
				filledBy, readBy := i&1 > 0, i&2 > 0
				prompt := fmt.Sprintf("%s from %s, %t", model, from, filledBy)
				if readBy {
					prompt += " again"
				}
				name := fmt.Sprintf("%s, read as a stream: %t", prompt, readBy)
				filled := ann.say(word(from, model, prompt, filledBy, limit(from, 999)))
				assert.Equal(t, "miss", filled.header.Get("X-Wedge-Cache"), name)
				for _, to := range operations {
					got := ann.say(word(to, model, prompt, readBy, limit(to, 999)))
					assert.Equal(t, "hit-memory", got.header.Get("X-Wedge-Cache"), "%s to %s", name, to)
					assert.Equal(t, filled.text(t), got.text(t), "%s to %s", name, to)
					assert.Equal(t, readBy, got.streamed(), "%s to %s", name, to)
					assert.True(t, !readBy || got.ends(to), "%s to %s: %s", name, to, got.brief())
					assert.Empty(t, got.header.Get("X-Wedge-Dropped"), "%s to %s", name, to)
				}
				assert.Len(t, s.sim.about(t, `"`+prompt+`"`), 1, name)
			}
		}
	}
}

// variant is a request that differs in one thing from the plain one, in the words of the operations.
type variant struct{ name, chat, messages, generate string }

const toolSchema = `{"type":"object","properties":{"city":{"type":"string"}}}`

// variants say the same in each dialect: members, or what stands in place of the plain ones.
var variants = []variant{
	{"plain", "", "", ""},
	{"system", `system:Be brief.`, `"system":"Be brief."`, `"systemInstruction":{"parts":[{"text":"Be brief."}]}`},
	{"other system", `system:Be long.`, `"system":"Be long."`, `"systemInstruction":{"parts":[{"text":"Be long."}]}`},
	{"temperature", `"temperature":0.5`, `"temperature":0.5`, `"generationConfig":{"maxOutputTokens":999,"temperature":0.5}`},
	{"other temperature", `"temperature":0.25`, `"temperature":0.25`, `"generationConfig":{"maxOutputTokens":999,"temperature":0.25}`},
	{"top_p", `"top_p":0.5`, `"top_p":0.5`, `"generationConfig":{"maxOutputTokens":999,"topP":0.5}`},
	{"stop", `"stop":["zz"]`, `"stop_sequences":["zz"]`, `"generationConfig":{"maxOutputTokens":999,"stopSequences":["zz"]}`},
	{"tools", `"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":` + toolSchema + `}}]`,
		`"tools":[{"name":"f","description":"d","input_schema":` + toolSchema + `}]`,
		`"tools":[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":` + toolSchema + `}]}]`},
	{"other tools", `"tools":[{"type":"function","function":{"name":"g","description":"d","parameters":` + toolSchema + `}}]`,
		`"tools":[{"name":"g","description":"d","input_schema":` + toolSchema + `}]`,
		`"tools":[{"functionDeclarations":[{"name":"g","description":"d","parametersJsonSchema":` + toolSchema + `}]}]`},
	{"image", `image:aGk=`, `image:aGk=`, `image:aGk=`},
	{"other image", `image:aGkh`, `image:aGkh`, `image:aGkh`},
}

// worded is a variant in the words of an operation.
func (v *variant) worded(op, prompt string) wording {
	more := map[string]string{"chat": v.chat, "messages": v.messages, "generate": v.generate}[op]
	w := word(op, "shared", prompt, false)
	text := strings.TrimPrefix(strings.TrimSuffix(w.body, "}"), "{")
	if data, ok := strings.CutPrefix(more, "image:"); ok {
		quoted := fmt.Sprintf("%q", prompt)
		text = strings.Replace(text, map[string]string{"chat": quoted, "messages": quoted, "generate": `{"text":` + quoted + `}`}[op], fmt.Sprintf(map[string]string{
			"chat":     `[{"type":"text","text":%s},{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]`,
			"messages": `[{"type":"text","text":%s},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"%s"}}]`,
			"generate": `{"text":%s},{"inlineData":{"mimeType":"image/png","data":"%s"}}`,
		}[op], quoted, data), 1)
		more = ""
	}
	if system, ok := strings.CutPrefix(more, "system:"); ok {
		text = strings.Replace(text, `"messages":[`, fmt.Sprintf(`"messages":[{"role":"system","content":%q},`, system), 1)
		more = ""
	}
	if !strings.Contains(more, "maxOutputTokens") {
		text += "," + limit(op, 999)
	}
	if more != "" {
		text += "," + more
	}
	w.body = "{" + text + "}"
	return w
}

// TestCacheKeepsApartAcrossDialects asks for every variant in every dialect: each has an answer of its own, and the
// other dialects find it.
func TestCacheKeepsApartAcrossDialects(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	order := []string{"chat", "messages", "generate"}
	for i := range order {
		prompt := "apart " + order[i]
		for _, v := range variants {
			for k := range order {
				op := order[(i+k)%len(order)]
				want := "miss"
				if k > 0 {
					want = "hit-memory"
				}
				got := ann.say(v.worded(op, prompt))
				assert.Equal(t, want, got.header.Get("X-Wedge-Cache"), "%s, asked by %s after %s: %s", v.name, op, order[i], got.body)
			}
		}
		assert.Equal(t, "miss", s.as(t, "bob").say(variants[0].worded(order[i], prompt)).header.Get("X-Wedge-Cache"), "another key")
	}
}

// TestCacheSharesNothingThatIsLost asks, after a plain question, for what the other dialects have no word for.
func TestCacheSharesNothingThatIsLost(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	const prompt = "own words"
	assert.Equal(t, "miss", ann.say(word("chat", "shared", prompt, false, limit("chat", 3000))).header.Get("X-Wedge-Cache"))
	for name, w := range map[string]wording{
		"thinking":        word("messages", "shared", prompt, false, limit("messages", 3000), `"thinking":{"type":"enabled","budget_tokens":1024}`),
		"a breakpoint":    word("messages", "shared", prompt, false, limit("messages", 3000), `"cache_control":{"type":"ephemeral"}`),
		"an unknown":      word("messages", "shared", prompt, false, limit("messages", 3000), `"speed":"fast"`),
		"top_k":           word("messages", "shared", prompt, false, limit("messages", 3000), `"top_k":4`),
		"safety settings": word("generate", "shared", prompt, false, limit("generate", 3000), `"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]`),
		"thoughts":        word("generate", "shared", prompt, false, `"generationConfig":{"maxOutputTokens":3000,"thinkingConfig":{"includeThoughts":true}}`),
		"seed":            word("chat", "shared", prompt, false, limit("chat", 3000), `"seed":1`),
		"a kept response": {op: "responses", path: "/v1/responses", body: fmt.Sprintf(`{"model":"shared","input":%q,"max_output_tokens":3000}`, prompt)},
		"truncation":      word("responses", "shared", prompt, false, limit("responses", 3000), `"truncation":"auto"`),
	} {
		assert.NotContains(t, ann.say(w).header.Get("X-Wedge-Cache"), "hit", name)
	}
	beta := word("messages", "shared", prompt, false, limit("messages", 3000))
	assert.Equal(t, "hit-memory", ann.say(beta).header.Get("X-Wedge-Cache"))
	assert.Equal(t, "miss", ann.say(beta, "anthropic-beta", "context-1m").header.Get("X-Wedge-Cache"))
	assert.Equal(t, "miss", ann.say(beta, "x-custom", "1").header.Get("X-Wedge-Cache"))
}

// TestCacheOnDiskServesOtherDialects restarts the node in between.
func TestCacheOnDiskServesOtherDialects(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	texts := map[string]string{}
	for _, from := range operations {
		texts[from] = s.as(t, "ann").say(word(from, "shared", "from "+from, from == "messages", limit(from, 99))).text(t)
	}
	s.restart(t)
	for _, from := range operations {
		for i, to := range operations {
			got := s.as(t, "ann").say(word(to, "shared", "from "+from, i%2 > 0, limit(to, 99)))
			want := "hit-memory"
			if i == 0 {
				want = "hit-disk"
			}
			assert.Equal(t, want, got.header.Get("X-Wedge-Cache"), "%s to %s", from, to)
			assert.Equal(t, texts[from], got.text(t), "%s to %s", from, to)
		}
	}
}

// TestSimultaneousQuestionsOfAllDialects asks the same at once through every operation, whole and streamed: whoever waits
// for somebody else's answer gets it in its own words.
func TestSimultaneousQuestionsOfAllDialects(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	for _, d := range dialects {
		for _, leader := range operations {
			prompt := fmt.Sprintf("at once of %s after %s", d, leader)
			answers := s.atOnce(t, "cached-"+d+"-slow", prompt, leader)
			want := newClient(t, s.sim.addr, providerSecret).say(word("chat", "x;tokens=20", prompt, false)).text(t)
			for i, a := range answers {
				op := operations[i/2]
				name := fmt.Sprintf("%s: %s, streamed %t", prompt, op, i%2 > 0)
				require.NotNil(t, a, name)
				if !assert.Equal(t, 200, a.status, "%s: %s", name, a.body) {
					continue
				}
				assert.Equal(t, want, a.text(t), name)
				assert.Equal(t, i%2 > 0, a.streamed(), name)
				assert.True(t, i%2 == 0 || a.ends(op), "%s: %s", name, a.brief())
			}
		}
	}
}

// atOnce asks through all operations while the answer to the first of them is on its way. At 2*i is the whole answer to
// operation i, behind it the stream.
func (s *star) atOnce(t *testing.T, model, prompt, leader string) []*answer {
	ann := s.as(t, "ann")
	answers := make([]*answer, 2*len(operations))
	var all sync.WaitGroup
	ask := func(i int, streamed bool) {
		op := operations[i/2]
		w := word(op, model, prompt, streamed, limit(op, 999))
		all.Go(func() { answers[i], _ = ann.try(t.Context(), "POST", w.path, w.body, w.headers...) })
	}
	first := 2*slices.Index(operations, leader) + 1
	ask(first, true)
	time.Sleep(100 * time.Millisecond) // it is under way then, with most of the answer to come
	for i := range answers {
		if i != first {
			ask(i, i%2 > 0)
		}
	}
	all.Wait()
	return answers
}
