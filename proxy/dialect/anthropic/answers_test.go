package anthropic

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

const richWhole = `{"id":"msg_01","type":"message","role":"assistant","model":"claude-opus-4-6","content":[
 {"type":"thinking","thinking":"Let me \"see\"","signature":"c2ln+/="},
 {"type":"redacted_thinking","data":"Zm9v"},
 {"type":"text","text":"According to the page\n","citations":[{"type":"page_location","cited_text":"x","document_index":0,"document_title":null,"start_page_number":1,"end_page_number":2}]},
 {"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"weather"}},
 {"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","url":"https://example.com","title":"t","encrypted_content":"e","page_age":null}]},
 {"type":"tool_use","id":"toolu_1","name":"get_weather","input":{"city":"Zürich","days":[1,2.50,1e2]},"caller":{"type":"direct"}},
 {"type":"tool_use","id":"toolu_2","name":"now","input":{}}],
 "stop_reason":"tool_use","stop_sequence":null,"stop_details":null,"container":null,
 "usage":{"input_tokens":12,"cache_creation_input_tokens":30,"cache_read_input_tokens":100,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},
  "output_tokens":50,"output_tokens_details":{"thinking_tokens":11},"server_tool_use":{"web_search_requests":1},"service_tier":"standard"}}`

var richUsage = dialect.Usage{Input: 142, Output: 50, Cached: 100, CacheWrite: 30, CacheWriteHour: 20, Reasoning: 11, Known: true}

func TestWhole(t *testing.T) {
	u, err := Codec{}.Whole(dialect.OpMessages, []byte(richWhole))
	require.NoError(t, err)
	assert.Equal(t, richUsage, u)
	u, err = Codec{}.Whole(dialect.OpCountTokens, []byte(`{"input_tokens":14}`))
	require.NoError(t, err)
	assert.Equal(t, dialect.Usage{}, u, "counting uses nothing")

	for body, want := range map[string]error{
		`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`: dialect.ErrProvider,
		`{"error":"no"}`:                  dialect.ErrProvider,
		`{"type":"message","content":[]`:  dialect.ErrMalformed,
		`{"type":"message","content":[]}`: nil,
		`{"content":"text"}`:              dialect.ErrMalformed,
		`{"input_tokens":3}`:              dialect.ErrMalformed,
		`[]`:                              dialect.ErrMalformed,
		``:                                dialect.ErrMalformed,
	} {
		u, err := Codec{}.Whole(dialect.OpMessages, []byte(body))
		assert.ErrorIs(t, err, want, body)
		assert.Equal(t, dialect.Usage{}, u, body)
	}
	_, err = Codec{}.Whole(dialect.OpCountTokens, []byte(richWhole))
	assert.ErrorIs(t, err, dialect.ErrMalformed)
}

// documented is the stream that the API's reference shows, with thinking and a tool.
const documented = `event: message_start
data: {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"claude-opus-4-6","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"cache_read_input_tokens":5,"cache_creation_input_tokens":0,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let me"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":" see"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCg=="}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Okay"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":", let's \"check\""}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_01","name":"get_weather","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"location\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":" \"Zürich\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":89}}

event: message_stop
data: {"type":"message_stop"}

`

// eachEvent calls use with each whole event of a stream.
func eachEvent(sse []byte, use func(name, data []byte)) {
	var scratch []byte
	for n := stream.Next(sse); n > 0; n = stream.Next(sse) {
		var name, data []byte
		name, data, scratch = stream.Fields(sse[:n], scratch)
		use(name, data)
		sse = sse[n:]
	}
}

// classify is what Event says of a whole stream.
func classify(t require.TestingT, sse []byte) (st dialect.Stream, kinds []dialect.Kind) {
	eachEvent(sse, func(name, data []byte) {
		kind, err := Codec{}.Event(dialect.OpMessages, &st, name, data)
		require.NoError(t, err, "%s", data)
		kinds = append(kinds, kind)
	})
	return st, kinds
}

func TestEvent(t *testing.T) {
	st, kinds := classify(t, []byte(documented))
	assert.Equal(t, dialect.Usage{Input: 30, Cached: 5, Output: 89, Known: true}, st.Usage, "message_delta repeats only what changed")
	for i, kind := range kinds {
		want := dialect.Delta
		switch i {
		case 3:
			want = dialect.First
		case len(kinds) - 1:
			want = dialect.Terminal
		}
		assert.Equal(t, want, kind, i)
	}
	assert.True(t, st.Finished && st.Content)
	assert.Equal(t, []uint64{1, 1}, []uint64{st.Choices, st.Ended})
	assert.Equal(t, len(kinds), st.Events)
}

func TestEventOfEveryKind(t *testing.T) {
	f := func(want dialect.Kind, name, data string) {
		t.Helper()
		var st dialect.Stream
		kind, err := Codec{}.Event(dialect.OpMessages, &st, []byte(name), []byte(data))
		require.NoError(t, err, data)
		assert.Equal(t, want, kind, data)
	}
	f(dialect.Ignored, "", "")
	f(dialect.Delta, "tomorrow", `{"type":"tomorrow","delta":{"text":"x"}}`)
	f(dialect.Delta, "ping", `{}`)
	f(dialect.Failed, "error", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)
	f(dialect.First, "", `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"b","input":{}}}`)
	f(dialect.First, "", `{"index":0,"delta":{"text":"x","type":"text_delta"},"type":"content_block_delta"}`)
	f(dialect.Delta, "", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}`)
	f(dialect.Terminal, "message_stop", `{}`)
	for _, data := range []string{`{}`, `[]`, `{"type":"ping"`, `{"type":"ping"} x`, `null`, `{"type":7}`} {
		_, err := Codec{}.Event(dialect.OpMessages, new(dialect.Stream), nil, []byte(data))
		assert.ErrorIs(t, err, dialect.ErrMalformed, data)
	}
	_, err := Codec{}.Event(dialect.OpCountTokens, new(dialect.Stream), nil, []byte(`{"type":"ping"}`))
	assert.ErrorIs(t, err, dialect.ErrMalformed)
}

func TestRepeatedEventsAreStillChecked(t *testing.T) {
	var st dialect.Stream
	event := func(data string) error {
		_, err := Codec{}.Event(dialect.OpMessages, &st, []byte("content_block_delta"), []byte(data))
		return err
	}
	const head, tail = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"`, `"}}`
	for _, text := range []string{"a", "bc", "dé", `\n`, "e"} {
		assert.NoError(t, event(head+text+tail), text)
	}
	for _, text := range []string{`"`, `\x`, "\n", `"}},{"`} {
		assert.ErrorIs(t, event(head+text+tail), dialect.ErrMalformed, text)
	}
	assert.NoError(t, event(head+tail), "an empty text is another shape")
	assert.NoError(t, event(head+`","x":"`+tail))
	assert.Equal(t, 7, st.Events)
}

func TestUsageIsCumulative(t *testing.T) {
	sse := `data: {"type":"message_start","message":{"content":[],"usage":{"input_tokens":0,"output_tokens":0}}}

data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":7,"cache_read_input_tokens":3,"cache_creation_input_tokens":null,"output_tokens":4,"output_tokens_details":{"thinking_tokens":2}}}

data: {"type":"message_stop"}

`
	st, _ := classify(t, []byte(sse))
	assert.Equal(t, dialect.Usage{Input: 10, Cached: 3, Output: 4, Reasoning: 2, Known: true}, st.Usage)
}

func TestAppendWholeOfDocumentedStream(t *testing.T) {
	whole, err := Codec{}.AppendWhole([]byte("x"), dialect.OpMessages, []byte(documented))
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"msg_01","type":"message","role":"assistant","model":"claude-opus-4-6","content":[
		{"type":"thinking","thinking":"Let me see","signature":"EqQBCg=="},
		{"type":"text","text":"Okay, let's \"check\""},
		{"type":"tool_use","id":"toolu_01","name":"get_weather","input":{"location":"Zürich"}}],
		"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":25,"cache_read_input_tokens":5,"cache_creation_input_tokens":0,"output_tokens":89}}`,
		string(whole[1:]))
	cut := strings.TrimSuffix(documented, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
	same, err := Codec{}.AppendWhole(nil, dialect.OpMessages, []byte(cut))
	require.NoError(t, err, "some servers leave message_stop out")
	assert.Equal(t, string(whole[1:]), string(same))
}

func TestAppendWholeRefuses(t *testing.T) {
	const start = "data: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\n"
	for name, sse := range map[string]string{
		"cut":             documented[:len(documented)/2],
		"no end":          start,
		"no beginning":    messageStop,
		"error":           start + "event: error\ndata: {\"type\":\"error\",\"error\":{}}\n\n",
		"unknown block":   start + "data: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"text\":\"x\"}}\n\n" + messageStop,
		"block twice":     start + strings.Repeat("data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{}}\n\n", 2) + messageStop,
		"block no object": start + "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":[]}\n\n" + messageStop,
		"empty":           "",
	} {
		out, err := Codec{}.AppendWhole([]byte("x"), dialect.OpMessages, []byte(sse))
		assert.Error(t, err, name)
		assert.Equal(t, "x", string(out), name)
	}
}

func TestUnknownBlocksComeTogether(t *testing.T) {
	sse := `data: {"type":"message_start","message":{"content":[],"usage":null}}

data: {"type":"content_block_start","index":0,"content_block":{"type":"compaction","content":"a","n":1}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"compaction_delta","content":"b","more":{"x":[1]}}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"compaction_delta","content":"c","n":2,"y":null}}

data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}

data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"cut\":"}}

` + messageStop
	whole, err := Codec{}.AppendWhole(nil, dialect.OpMessages, []byte(sse))
	require.NoError(t, err)
	assert.JSONEq(t, `{"content":[{"type":"compaction","content":"abc","n":2,"more":{"x":[1]}},{"type":"tool_use","id":"t","name":"n","input":{}}],"usage":null}`, string(whole))
}

func TestAppendStreamOfARichMessage(t *testing.T) {
	out, tail, terminal, err := Codec{}.AppendStream([]byte("x"), dialect.OpMessages, []byte(richWhole))
	require.NoError(t, err)
	assert.Equal(t, terminal, tail, "the dialect has no event for usage alone")
	assert.Equal(t, messageStop, string(out[1+terminal:]))
	st, _ := classify(t, out[1:])
	assert.Equal(t, richUsage, st.Usage)
	whole, err := Codec{}.AppendWhole(nil, dialect.OpMessages, out[1:])
	require.NoError(t, err)
	assert.JSONEq(t, richWhole, string(whole))
	assert.Contains(t, string(whole), `[1,2.50,1e2]`, "numbers keep their form")

	for _, bad := range []string{`[]`, `{}`, `{"content":{}}`, `{"content":[1]}`, `{`} {
		out, _, _, err := Codec{}.AppendStream([]byte("x"), dialect.OpMessages, []byte(bad))
		assert.ErrorIs(t, err, dialect.ErrMalformed, bad)
		assert.Equal(t, "x", string(out))
	}
}

var (
	anyText   = rapid.String()
	anyBlocks = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) map[string]any {
		b := map[string]any{"type": rapid.SampledFrom([]string{"text", "thinking", "tool_use", "redacted_thinking", "server_tool_use", "other"}).Draw(t, "type")}
		switch b["type"] {
		case "text":
			b["text"] = anyText.Draw(t, "text")
			b["citations"] = rapid.SampledFrom([]any{nil, []any{}, []any{map[string]any{"cited_text": "x"}, map[string]any{"type": "y"}}}).Draw(t, "citations")
		case "thinking":
			b["thinking"], b["signature"] = anyText.Draw(t, "thinking"), anyText.Draw(t, "signature")
		case "redacted_thinking":
			b["data"] = anyText.Draw(t, "data")
		case "tool_use", "server_tool_use":
			b["id"], b["name"] = anyText.Draw(t, "id"), anyText.Draw(t, "name")
			b["input"] = rapid.MapOfN(anyText, anyText, 0, 2).Draw(t, "input")
		default:
			b["content"] = []any{map[string]any{"text": anyText.Draw(t, "text")}}
		}
		return b
	}), 0, 4)
)

func TestStreamOfAWholeIsTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := map[string]any{
			"id": "msg_1", "type": "message", "role": "assistant", "model": anyText.Draw(t, "model"), "content": anyBlocks.Draw(t, "content"),
			"stop_reason": "end_turn", "stop_sequence": nil, "usage": map[string]any{"input_tokens": 1, "output_tokens": rapid.IntRange(0, 9).Draw(t, "out")},
		}
		doc, err := json.Marshal(m)
		require.NoError(t, err)
		sse, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, doc)
		require.NoError(t, err)
		got, err := Codec{}.AppendWhole(nil, dialect.OpMessages, sse)
		require.NoError(t, err)
		assert.JSONEq(t, string(doc), string(got))
	})
}

func TestLongTextsAreCut(t *testing.T) {
	text, err := json.Marshal(strings.Repeat("é\n😀", 20000))
	require.NoError(t, err)
	whole := `{"content":[{"type":"text","text":` + string(text) + `}],"stop_reason":"end_turn","stop_sequence":null}`
	sse, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, []byte(whole))
	require.NoError(t, err)
	eachEvent(sse, func(_, data []byte) { assert.Less(t, len(data), pieceMost+200, strconv.Itoa(len(data))) })
	got, err := Codec{}.AppendWhole(nil, dialect.OpMessages, sse)
	require.NoError(t, err)
	assert.JSONEq(t, whole, string(got))
}
