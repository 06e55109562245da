package openai

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func readPrompt(op dialect.Op, body string) dialect.Prompt {
	var p dialect.Prompt
	Codec{}.ReadPrompt(op, []byte(body), &p)
	p.Scratch = nil
	return p
}

func TestReadPromptChat(t *testing.T) {
	p := readPrompt(dialect.OpChat, `{"model":"m","tools":[{"a":1},{"b":[2]}],"messages":[
		{"role":"system","content":"Be \"kind\"."},
		{"content":"first","role":"user"},
		{"role":"developer","content":[{"type":"text","text":"And\nbrief."},{"text":"\ud83d\ude00","type":"text"}]},
		{"role":"assistant","content":null,"tool_calls":[{"function":{"arguments":"{}"}}]},
		{"role":"tool","content":"42"},
		{"role":"user","content":[{"type":"text","text":"what is"},{"type":"image_url","image_url":{"url":"data:"}},{"type":"text","text":"this?"}]}],
		"max_tokens":7,"max_completion_tokens":9.0,"temperature":0.25,"response_format":{"type":"json_schema","json_schema":{"type":"text"}}}`)
	assert.Equal(t, "Be \"kind\".\nAnd\nbrief.\n😀", string(p.System))
	assert.Equal(t, "what is\nthis?", string(p.LastUser))
	assert.Equal(t, []any{6, 2, int64(9), 0.25, true, true}, []any{p.Messages, p.Tools, p.MaxTokens, p.Temperature, p.Images, p.JSONOutput})
	assert.Equal(t, len("Be \"kind\".firstAnd\nbrief.😀42what isthis?"), p.TextBytes)
	assert.Equal(t, xxhash.Sum64String(`"Be \"kind\"."`+`[{"type":"text","text":"And\nbrief."},{"text":"\ud83d\ude00","type":"text"}]`+`[{"a":1},{"b":[2]}]`), p.PrefixHash)
}

// A name's spelling must not hide a prompt from a policy.
func TestReadPromptDecodesNames(t *testing.T) {
	p := readPrompt(dialect.OpChat, `{"m\u0065ssages":[{"rol\u0065":"us\u0065r","\u0063ontent":[{"typ\u0065":"t\u0065xt","te\u0078t":"hi"}]}],"max\u005ftokens":3,
		"a name that is longer than any of the dialect's \u0020":1}`)
	assert.Equal(t, []any{"hi", 1, int64(3)}, []any{string(p.LastUser), p.Messages, p.MaxTokens})
}

func TestReadPromptOfOtherOperations(t *testing.T) {
	f := func(op dialect.Op, body, system, user string, messages, bytes int) {
		t.Helper()
		p := readPrompt(op, body)
		assert.Equal(t, []any{system, user, messages, bytes}, []any{string(p.System), string(p.LastUser), p.Messages, p.TextBytes}, body)
	}
	f(dialect.OpResponses, `{"input":"hi","instructions":"be kind"}`, "be kind", "hi", 1, 9)
	f(dialect.OpResponses, `{"input":[{"role":"system","content":"a"},{"type":"message","role":"user","content":[{"type":"input_text","text":"b"},{"type":"input_file","text":"x"}]},
		{"type":"function_call","arguments":"{}"},{"type":"function_call_output","output":"ok"},{"role":"developer","content":"c"}],"instructions":"z"}`, "z\na\nc", "b", 5, 6)
	f(dialect.OpResponses, `{"input":[{"role":"system","content":"a"}],"instructions":null}`, "a", "", 1, 1)
	f(dialect.OpCompletions, `{"prompt":"a\tb"}`, "", "a\tb", 1, 3)
	f(dialect.OpCompletions, `{"prompt":["a","bc"]}`, "", "bc", 2, 3)
	f(dialect.OpCompletions, `{"prompt":[1,2,3]}`, "", "", 1, 0)
	f(dialect.OpCompletions, `{"prompt":[[1,2],[3]]}`, "", "", 2, 0)
	f(dialect.OpCompletions, `{"prompt":null}`, "", "", 0, 0)
	f(dialect.OpEmbeddings, `{"input":["a"],"instructions":"no"}`, "", "a", 1, 1)
	f(dialect.OpOther, `{"messages":[{"role":"user","content":"a"}]}`, "", "", 0, 0)
	f(dialect.OpChat, `{}`, "", "", 0, 0)
	f(dialect.OpChat, `{"messages":[]}`, "", "", 0, 0)
	f(dialect.OpChat, `{"messages":[{"role":"user","content":[]}]}`, "", "", 1, 0)

	p := readPrompt(dialect.OpResponses, `{"input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}],"max_output_tokens":5,"max_tokens":6,"text":{"verbosity":"low","format":{"type":"json_object"}}}`)
	assert.Equal(t, []any{true, int64(5), true, uint64(0)}, []any{p.Images, p.MaxTokens, p.JSONOutput, p.PrefixHash})
	assert.True(t, math.IsNaN(p.Temperature))
	p = readPrompt(dialect.OpChat, `{"max_completion_tokens":null,"max_tokens":6,"response_format":{"type":"text"}}`)
	assert.Equal(t, []any{int64(6), false}, []any{p.MaxTokens, p.JSONOutput})
}

func TestPrefixHashTellsPrefixes(t *testing.T) {
	hash := func(body string) uint64 { return readPrompt(dialect.OpChat, body).PrefixHash }
	a := hash(`{"messages":[{"role":"system","content":"a"},{"role":"user","content":"x"}],"tools":[1]}`)
	assert.NotZero(t, a)
	assert.Equal(t, a, hash(`{"tools":[1],"messages":[{"role":"system","content":"a"},{"role":"user","content":"y"}]}`))
	assert.NotEqual(t, a, hash(`{"tools":[2],"messages":[{"role":"system","content":"a"}]}`))
	assert.NotEqual(t, a, hash(`{"tools":[1],"messages":[{"role":"system","content":"b"}]}`))
}

// chatRequest is a typical chat request of 1.4 KB; escaped spells a line feed in its last message.
func chatRequest(t testing.TB, escaped bool) []byte {
	body, err := os.ReadFile("../../request/testdata/chat.json")
	require.NoError(t, err)
	if escaped {
		return []byte(strings.Replace(string(body), "What does", `What\ndoes`, 1))
	}
	return body
}

func BenchmarkReadPrompt(b *testing.B) {
	for name, body := range map[string][]byte{"plain": chatRequest(b, false), "escaped": chatRequest(b, true)} {
		b.Run(name, func(b *testing.B) {
			var p dialect.Prompt
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				Codec{}.ReadPrompt(dialect.OpChat, body, &p)
			}
			require.Equal(b, 6, p.Messages)
		})
	}
}
