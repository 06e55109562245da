package gemini

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestReadReply(t *testing.T) {
	var r dialect.Reply
	require.NoError(t, Codec{}.ReadReply(dialect.OpGenerate, []byte(wholeAnswer), &r))
	assert.Equal(t, "rid-1 gemini-3.8-flash", string(r.ID)+" "+string(r.Model))
	assert.Equal(t, wholeUsage, r.Usage)
	assert.Equal(t, []dialect.Part{
		{Kind: dialect.PartThinking, Text: written("Let me see.")}, text(`Hi \"there\"`),
		{Kind: dialect.PartHidden, Signature: written("CiQB"), Signer: dialect.Gemini},
	}, r.Parts)
	assert.Equal(t, []dialect.Answer{{To: 3, Finish: dialect.FinishStop}}, r.Answers)
	assert.Equal(t, []string{"candidates.safetyRatings"}, r.Lost)

	require.NoError(t, Codec{}.ReadReply(dialect.OpGenerate, []byte(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"},"thoughtSignature":"s"},
		{"functionCall":{"name":"g","args":{"a":1}}},{"executableCode":{"code":"x"}}]},"finishReason":"STOP","finishMessage":"m"},{"index":1,
		"content":{"parts":[{"functionCall":{"name":"h"}}]},"finishReason":"MAX_TOKENS"}],"responseId":"r/1","createTime":"1970-01-01T00:00:05.9Z"}`), &r))
	assert.Equal(t, []dialect.Part{
		{Kind: dialect.PartCall, ID: written("call_r1_1"), Name: written("f"), Signature: written("s"), Signer: dialect.Gemini},
		{Kind: dialect.PartCall, ID: written("call_r1_2"), Name: written("g"), Args: dialect.Raw(`{"a":1}`)},
		{Kind: dialect.PartCall, ID: written("call_r1_1_1"), Name: written("h")},
	}, r.Parts)
	assert.Equal(t, []dialect.Answer{{To: 2, Finish: dialect.FinishCalls}, {Index: 1, From: 2, To: 3, Finish: dialect.FinishLength}}, r.Answers)
	assert.EqualValues(t, 5, r.Created)
	assert.ElementsMatch(t, []string{"candidates.finishMessage", "candidates.content.parts.executableCode"}, r.Lost)

	require.NoError(t, Codec{}.ReadReply(dialect.OpGenerate, []byte(`{"promptFeedback":{"blockReason":"SAFETY"},"modelVersion":"m"}`), &r))
	assert.Equal(t, []dialect.Answer{{Finish: dialect.FinishFilter}}, r.Answers)

	for _, body := range []string{`{`, `[]`, `{"candidates":[1]}`, `{"candidates":[{"content":{"parts":["a"]}}]}`, `{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}`} {
		assert.ErrorIs(t, Codec{}.ReadReply(dialect.OpGenerate, []byte(body), &r), dialect.ErrMalformed, body)
	}
	assert.ErrorIs(t, Codec{}.ReadReply(dialect.OpCount, []byte(`{}`), &r), dialect.ErrInexpressible)
}

func TestFinishReasons(t *testing.T) {
	for reason, want := range map[string]dialect.Finish{
		"STOP": dialect.FinishStop, "MAX_TOKENS": dialect.FinishLength, "CONTINUATION": dialect.FinishLength, "SAFETY": dialect.FinishFilter,
		"RECITATION": dialect.FinishFilter, "PROHIBITED_CONTENT": dialect.FinishFilter, "BLOCKLIST": dialect.FinishFilter, "SPII": dialect.FinishFilter,
		"LANGUAGE": dialect.FinishFilter, "IMAGE_SAFETY": dialect.FinishFilter, "MALFORMED_FUNCTION_CALL": dialect.FinishUnsaid,
		"UNEXPECTED_TOOL_CALL": dialect.FinishUnsaid, "TOO_MANY_TOOL_CALLS": dialect.FinishUnsaid, "OTHER": dialect.FinishUnsaid,
	} {
		assert.Equal(t, want, finishOf(reason, false), reason)
	}
	assert.Equal(t, dialect.FinishCalls, finishOf("STOP", true))
	for f, want := range map[dialect.Finish]string{
		dialect.FinishUnsaid: "STOP", dialect.FinishStop: "STOP", dialect.FinishSequence: "STOP", dialect.FinishCalls: "STOP", dialect.FinishPause: "STOP",
		dialect.FinishLength: "MAX_TOKENS", dialect.FinishFilter: "SAFETY", dialect.FinishRefusal: "SAFETY",
	} {
		assert.Equal(t, want, reasonOf(f, false), f)
	}
	assert.Equal(t, "MALFORMED_FUNCTION_CALL", reasonOf(dialect.FinishCalls, true))
	assert.Equal(t, "MAX_TOKENS", reasonOf(dialect.FinishLength, true))
}

func TestAppendReply(t *testing.T) {
	r := &dialect.Reply{
		ID: written("chatcmpl-1"), Model: written("gpt-5"), Created: 1.7e9,
		Usage: dialect.Usage{Known: true, Input: 10, Cached: 4, Output: 7, Reasoning: 2},
		Parts: []dialect.Part{
			{Kind: dialect.PartThinking, Text: written("hm"), Signature: written("sig=="), Signer: dialect.Anthropic},
			{Kind: dialect.PartRefusal, Text: written("no")},
			{Kind: dialect.PartCall, ID: written("c"), Name: written("f"), Args: dialect.Raw(`"{\n \"a\":\"\\n\"}"`)},
			{Kind: dialect.PartCall, ID: written("d"), Name: written("g"), Args: dialect.Raw(`"{\"a\":"`)},
			{Kind: dialect.PartAudio, Media: written("audio/wav"), Data: written("AAAA")},
		},
		Answers: []dialect.Answer{{To: 5, Finish: dialect.FinishCalls}},
	}
	out, err := Codec{}.AppendReply(nil, dialect.OpGenerate, r)
	require.NoError(t, err)
	assert.JSONEq(t, `{"candidates":[{"content":{"parts":[{"text":"hm","thought":true,"thoughtSignature":"YW50aHJvcGljOnNpZz09"},{"text":"no"},
		{"functionCall":{"id":"c","name":"f","args":{"a":"\n"}}},{"inlineData":{"mimeType":"audio/wav","data":"AAAA"}}],"role":"model"},
		"finishReason":"MALFORMED_FUNCTION_CALL","index":0}],
		"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":2,"totalTokenCount":17,"cachedContentTokenCount":4},
		"modelVersion":"gpt-5","createTime":"2023-11-14T22:13:20Z","responseId":"chatcmpl-1"}`, string(out))
	assert.NotContains(t, string(out), "\n", "an answer may be streamed")

	out, err = Codec{}.AppendReply(nil, dialect.OpGenerate, new(dialect.Reply))
	require.NoError(t, err)
	assert.Equal(t, `{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}]}`, string(out))
	_, err = Codec{}.AppendReply(nil, dialect.OpCount, r)
	assert.ErrorIs(t, err, dialect.ErrInexpressible)
}

func TestLogprobs(t *testing.T) {
	const own = `{"chosenCandidates":[{"token":"a\"","logProbability":-0.5,"tokenId":3},{"token":"b"}],"topCandidates":[{"candidates":[{"token":"a\"","logProbability":-0.5},{"logProbability":-2}]}]}`
	chat := appendChatLogprobs(nil, []byte(own))
	assert.JSONEq(t, `{"content":[{"token":"a\"","logprob":-0.5,"bytes":[97,34],"top_logprobs":[{"token":"a\"","logprob":-0.5,"bytes":[97,34]},{"token":"","logprob":-2,"bytes":[]}]},
		{"token":"b","logprob":0,"bytes":[98],"top_logprobs":[]}],"refusal":null}`, string(chat))
	back, ok := appendLogprobs(nil, chat)
	assert.True(t, ok)
	assert.JSONEq(t, `{"chosenCandidates":[{"token":"a\"","logProbability":-0.5},{"token":"b","logProbability":0}],
		"topCandidates":[{"candidates":[{"token":"a\"","logProbability":-0.5},{"token":"","logProbability":-2}]},{"candidates":[]}]}`, string(back))
	for _, none := range []string{`{}`, `{"content":null}`, `{"content":[]}`, `1`} {
		out, ok := appendLogprobs([]byte("|"), []byte(none))
		assert.False(t, ok)
		assert.Equal(t, "|", string(out))
	}
	assert.Equal(t, `{"content":[],"refusal":null}`, string(appendChatLogprobs(nil, []byte(`{"topCandidates":1}`))))
}
