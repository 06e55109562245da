package anthropic

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestReadReply(t *testing.T) {
	var r dialect.Reply
	require.NoError(t, Codec{}.ReadReply(dialect.OpMessages, []byte(richWhole), &r))
	var lines []string
	for i := range r.Parts {
		lines = append(lines, partLine(&dialect.Chat{}, &r.Parts[i]))
	}
	assert.Equal(t, []string{
		`thinking text=Let me \"see\" signature=c2ln+/= by anthropic`, "hidden signature=Zm9v by anthropic", `text text=According to the page\n`,
		`call name=get_weather id=toolu_1 args={"city":"Zürich","days":[1,2.50,1e2]}`, "call name=now id=toolu_2 args={}",
	}, lines)
	assert.Equal(t, []dialect.Answer{{To: 5, Finish: dialect.FinishCalls}}, r.Answers)
	assert.Equal(t, []string{"content.citations", "content.server_tool_use", "content.web_search_tool_result"}, r.Lost)
	assert.Equal(t, richUsage, r.Usage)
	assert.Equal(t, []string{"msg_01", "claude-opus-4-6"}, []string{string(r.ID), string(r.Model)})

	for _, bad := range []string{`{`, `{"content":5}`, `{"content":[5]}`, `{"content":[{"type":"text"}]}`, `{"id":5}`} {
		assert.ErrorIs(t, Codec{}.ReadReply(dialect.OpMessages, []byte(bad), &r), dialect.ErrMalformed, bad)
	}
	assert.ErrorIs(t, Codec{}.ReadReply(dialect.OpCountTokens, []byte(`{}`), &r), dialect.ErrInexpressible)
}

func TestStopReasons(t *testing.T) {
	for word, f := range map[string]dialect.Finish{
		"end_turn": dialect.FinishStop, "stop_sequence": dialect.FinishSequence, "max_tokens": dialect.FinishLength, "tool_use": dialect.FinishCalls,
		"refusal": dialect.FinishRefusal, "pause_turn": dialect.FinishPause,
	} {
		assert.Equal(t, f, finishOf([]byte(word)))
		assert.Equal(t, word, stopReason(f, false, false))
	}
	assert.Equal(t, dialect.FinishLength, finishOf([]byte("model_context_window_exceeded")))
	assert.Equal(t, dialect.FinishUnsaid, finishOf([]byte("tomorrow")))
	assert.Equal(t, "refusal", stopReason(dialect.FinishFilter, true, false))
	assert.Equal(t, "tool_use", stopReason(dialect.FinishStop, true, false), "clients run tools for no other reason")
	assert.Equal(t, "refusal", stopReason(dialect.FinishStop, false, true))
	assert.Equal(t, "end_turn", stopReason(dialect.FinishUnsaid, false, false))
}

func TestAppendReply(t *testing.T) {
	r := dialect.Reply{
		ID: []byte("chatcmpl-1"), Model: []byte("gpt"), Usage: dialect.Usage{Input: 10, Cached: 4, CacheWrite: 3, CacheWriteHour: 1, Output: 5, Reasoning: 2, Known: true},
		Parts: []dialect.Part{
			{Kind: dialect.PartThinking, Text: []byte("hm")}, {Kind: dialect.PartHidden, Signature: []byte("h"), Signer: dialect.OpenAI}, says("Hi"),
			{Kind: dialect.PartImage, Data: []byte("x")},
			{Kind: dialect.PartCall, ID: []byte("a b"), Name: []byte("f"), Args: []byte(`"{\"x\":1}"`), Signature: []byte("g"), Signer: dialect.Gemini},
			{Kind: dialect.PartCall, Name: []byte("g"), Args: []byte(`"{\"cut"`)},
			says("of another answer"),
		},
		Answers: []dialect.Answer{{To: 6, Finish: dialect.FinishStop}, {Index: 1, From: 6, To: 7}},
	}
	out, err := Codec{}.AppendReply([]byte("x"), dialect.OpMessages, &r)
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"msg_chatcmpl-1","type":"message","role":"assistant","model":"gpt","content":[
	 {"type":"thinking","thinking":"hm","signature":""},{"type":"redacted_thinking","data":"openai:h"},{"type":"text","text":"Hi","citations":null},
	 {"type":"tool_use","id":"a_20b","name":"f","input":{"x":1}},{"type":"redacted_thinking","data":"gemini:g"},{"type":"tool_use","id":"toolu_chatcmpl-1_2","name":"g","input":{}}],
	 "stop_reason":"tool_use","stop_sequence":null,"stop_details":null,"container":null,"diagnostics":null,
	 "usage":{"input_tokens":3,"cache_creation_input_tokens":3,"cache_read_input_tokens":4,"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":1},
	  "output_tokens":5,"output_tokens_details":{"thinking_tokens":2},"server_tool_use":null,"service_tier":null,"inference_geo":null,"speed":null}}`, string(out[1:]))
	u, err := Codec{}.Whole(dialect.OpMessages, out[1:])
	require.NoError(t, err)
	assert.Equal(t, r.Usage, u)

	out, err = Codec{}.AppendReply(nil, dialect.OpMessages, &dialect.Reply{})
	require.NoError(t, err)
	assert.Contains(t, string(out), `"content":[],"stop_reason":"end_turn"`)
	_, err = Codec{}.AppendReply(nil, dialect.OpCountTokens, &r)
	assert.ErrorIs(t, err, dialect.ErrInexpressible)
}
