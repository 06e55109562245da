package anthropic

import (
	"math"
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

func TestReadPrompt(t *testing.T) {
	const body = `{"model":"m","tools":[{"a":1},{"b":[2]}],"system":[{"type":"text","text":"Be \"kind\".","cache_control":{}},{"text":"And\nbrief.","type":"text"}],"messages":[
		{"content":"first","role":"user"},
		{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"ok"},{"type":"tool_use","id":"t","name":"n","input":{"text":"no"}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"42"},{"type":"image","source":{"type":"url","url":"u"}}]},
			{"type":"text","text":"what is"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"doc\u00e9"}},{"text":"this?","type":"text"}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"rain"}]}],
		"max_tokens":7,"temperature":0.25,"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"text"}}}}`
	for _, op := range []dialect.Op{dialect.OpMessages, dialect.OpCountTokens} {
		p := readPrompt(op, body)
		assert.Equal(t, "Be \"kind\".\nAnd\nbrief.", string(p.System))
		assert.Equal(t, "what is\nthis?", string(p.LastUser), "results of tools are no words of the user")
		assert.Equal(t, []any{4, 2, int64(7), 0.25, true, true}, []any{p.Messages, p.Tools, p.MaxTokens, p.Temperature, p.Images, p.JSONOutput})
		assert.Equal(t, len(`Be "kind".And_brief.firstok42what isdocéthis?rain`), p.TextBytes)
		system := body[strings.Index(body, `"system":`)+9 : strings.Index(body, `,"messages"`)]
		assert.Equal(t, xxhash.Sum64String(system+`[{"a":1},{"b":[2]}]`), p.PrefixHash)
	}
}

func TestReadPromptsOfAllForms(t *testing.T) {
	f := func(body, system, user string, messages, bytes int) {
		t.Helper()
		p := readPrompt(dialect.OpMessages, body)
		assert.Equal(t, []any{system, user, messages, bytes}, []any{string(p.System), string(p.LastUser), p.Messages, p.TextBytes}, body)
	}
	f(`{}`, "", "", 0, 0)
	f(`{"messages":[]}`, "", "", 0, 0)
	f(`{"messages":"x","system":7}`, "", "", 0, 0)
	f(`{"messages":[7,{"role":"user","content":[7]}]}`, "", "", 2, 0)
	f(`{"system":null,"messages":[{"role":"user"}]}`, "", "", 1, 0)
	f(`{"system":"a\tb","messages":[{"role":"user","content":"x"},{"role":"system","content":"c"},{"role":"wizard","content":"d"}]}`, "a\tb\nc", "x", 3, 6)
	f(`{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]}`, "", "x", 2, 2)
	f(`{"messages":[{"role":"user","content":[{"text":"no type"}]}]}`, "", "no type", 1, 7)
	f(`{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"text","text":"abc"}]}}]}]}`, "", "", 1, 3)
	f(`{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","data":"AAAA"}}]},{"role":"user","content":[{"type":"document","source":7}]}]}`, "", "", 2, 0)
	f(`{"messages":[{"role":"user","content":"x"}],"messages":[{"role":"assistant","content":"y"}]}`, "", "", 1, 2)
	// A name's spelling must not hide a prompt from a policy.
	f(`{"m\u0065ssages":[{"rol\u0065":"us\u0065r","\u0063ontent":[{"typ\u0065":"t\u0065xt","te\u0078t":"hi"}]}]}`, "", "hi", 1, 2)

	p := readPrompt(dialect.OpMessages, `{"output_format":{"type":"json_schema"},"messages":[]}`)
	assert.Equal(t, []any{true, uint64(0), int64(0)}, []any{p.JSONOutput, p.PrefixHash, p.MaxTokens})
	assert.True(t, math.IsNaN(p.Temperature))
	p = readPrompt(dialect.OpChat, `{"messages":[{"role":"user","content":"x"}]}`)
	assert.Equal(t, 0, p.Messages, "another dialect's")
	assert.True(t, math.IsNaN(p.Temperature))
}

func TestPrefixHashTellsPrefixes(t *testing.T) {
	hash := func(body string) uint64 { return readPrompt(dialect.OpMessages, body).PrefixHash }
	a := hash(`{"system":"a","messages":[{"role":"user","content":"x"}],"tools":[1]}`)
	assert.NotZero(t, a)
	assert.Equal(t, a, hash(`{"tools":[1],"messages":[{"role":"user","content":"y"}],"system":"a"}`))
	assert.NotEqual(t, a, hash(`{"system":"a","tools":[2]}`))
	assert.NotEqual(t, a, hash(`{"system":"b","tools":[1]}`))
}

func BenchmarkReadPrompt(b *testing.B) {
	var p dialect.Prompt
	b.SetBytes(int64(len(ordinary)))
	b.ReportAllocs()
	for b.Loop() {
		Codec{}.ReadPrompt(dialect.OpMessages, ordinary, &p)
	}
	require.Equal(b, 3, p.Messages)
}
