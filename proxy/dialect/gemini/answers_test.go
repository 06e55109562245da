package gemini

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// whole is an answer as the API writes it (ai.google.dev/api/generate-content#v1beta.GenerateContentResponse), with
// everything that counts tokens.
const wholeAnswer = `{
  "candidates": [{
    "content": {"parts": [{"text": "Let me see.", "thought": true}, {"text": "Hi \"there\"", "thoughtSignature": "CiQB"}], "role": "model"},
    "finishReason": "STOP", "index": 0,
    "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]
  }],
  "usageMetadata": {
    "promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 165, "cachedContentTokenCount": 40,
    "toolUsePromptTokenCount": 5, "thoughtsTokenCount": 40,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 70}, {"modality": "AUDIO", "tokenCount": 10}, {"modality": "IMAGE", "tokenCount": 20}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 3}, {"modality": "AUDIO", "tokenCount": 2}]
  },
  "modelVersion": "gemini-3.8-flash", "responseId": "rid-1"
}`

var wholeUsage = dialect.Usage{
	Input: 105, Output: 60, Cached: 40, Reasoning: 40, AudioInput: 10, ImageInput: 20, ImageOutput: 3, AudioOutput: 2, Known: true,
}

func TestWhole(t *testing.T) {
	for _, c := range []struct {
		op    dialect.Op
		body  string
		usage dialect.Usage
		err   error
	}{
		{dialect.OpGenerate, wholeAnswer, wholeUsage, nil},
		{dialect.OpGenerate, `{"promptFeedback":{"blockReason":"SAFETY"},"usage_metadata":{"prompt_token_count":4}}`, dialect.Usage{Input: 4, Known: true}, nil},
		{dialect.OpGenerate, `{"promptFeedback":{"blockReason":"BLOCKED_REASON_UNSPECIFIED"}}`, dialect.Usage{}, dialect.ErrMalformed},
		{dialect.OpGenerate, `{"candidates":[]}`, dialect.Usage{}, dialect.ErrMalformed},
		{dialect.OpGenerate, `{"candidates":[{}]} x`, dialect.Usage{}, dialect.ErrMalformed},
		{dialect.OpGenerate, `{"totalTokens":3}`, dialect.Usage{}, dialect.ErrMalformed},
		{dialect.OpGenerate, `[]`, dialect.Usage{}, dialect.ErrMalformed},
		{dialect.OpGenerate, `{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}`, dialect.Usage{}, dialect.ErrProvider},
		{dialect.OpGenerate, `{"error":null,"candidates":[{}]}`, dialect.Usage{}, nil},
		{dialect.OpCount, `{"totalTokens":31,"promptTokensDetails":[]}`, dialect.Usage{}, nil},
		{dialect.OpCount, `{"totalTokens":"31"}`, dialect.Usage{}, dialect.ErrMalformed},
		{dialect.OpEmbed, `{"embedding":{"values":[0.1]},"usageMetadata":{"promptTokenCount":7}}`, dialect.Usage{Input: 7, Known: true}, nil},
		{dialect.OpEmbed, `{"embeddings":[{"values":[0.1]}]}`, dialect.Usage{}, dialect.ErrMalformed},
		{dialect.OpBatchEmbed, `{"embeddings":[{"values":[0.1]}]}`, dialect.Usage{}, nil},
	} {
		u, err := Codec{}.Whole(c.op, []byte(c.body))
		assert.Equal(t, c.usage, u, c.body)
		assert.ErrorIs(t, err, c.err, c.body)
		assert.Equal(t, c.err == nil, err == nil, "%v", err)
	}
}

// relayed is what the relay learns from events without a name.
func relayed(t *testing.T, events ...string) (kinds []dialect.Kind, st dialect.Stream) {
	for _, data := range events {
		kind, err := Codec{}.Event(dialect.OpGenerate, &st, nil, []byte(data))
		require.NoError(t, err, data)
		kinds = append(kinds, kind)
	}
	return kinds, st
}

func TestEvents(t *testing.T) {
	const thought = `{"candidates":[{"content":{"parts":[{"text":"","thought":true,"thoughtSignature":"x"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9}}`
	const text = `{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":1}}`
	const end = `{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2}}`
	kinds, st := relayed(t, "", thought, text, text, end)
	assert.Equal(t, []dialect.Kind{dialect.Ignored, dialect.Delta, dialect.First, dialect.Delta, dialect.Terminal}, kinds)
	assert.Equal(t, dialect.Stream{
		Usage: dialect.Usage{Input: 9, Output: 2, Known: true}, Events: 4, Content: true, Finished: true, Choices: 1, Ended: 1,
	}, st, "the last usage counts")

	kinds, st = relayed(t, `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}]}`)
	assert.Equal(t, []dialect.Kind{dialect.Terminal}, kinds)
	assert.True(t, st.Content)

	kinds, st = relayed(t, `{"candidates":[{"index":0},{"index":1,"content":{"parts":[{"text":"a"}]}}]}`,
		`{"candidates":[{"index":1,"finishReason":"STOP"}]}`, `{"candidates":[{"index":0,"finishReason":"FINISH_REASON_UNSPECIFIED"}]}`,
		`{"candidates":[{"index":0,"finishReason":"SAFETY"}]}`)
	assert.Equal(t, []dialect.Kind{dialect.First, dialect.Delta, dialect.Delta, dialect.Terminal}, kinds)
	assert.EqualValues(t, 3, st.Ended)

	kinds, st = relayed(t, `{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":9}}`)
	assert.Equal(t, []dialect.Kind{dialect.Terminal}, kinds, "a blocked prompt is a good end")
	assert.EqualValues(t, 1, st.Choices)

	kinds, _ = relayed(t, text, `{"error":{"code":503,"message":"overloaded"}}`)
	assert.Equal(t, dialect.Failed, kinds[1])

	for _, data := range []string{`{}`, `[]`, `{"candidates":[{]}`, `{"candidates":{}}`, `x`, `{"candidates":[1]}`} {
		_, err := Codec{}.Event(dialect.OpGenerate, new(dialect.Stream), nil, []byte(data))
		assert.ErrorIs(t, err, dialect.ErrMalformed, data)
	}
	_, err := Codec{}.Event(dialect.OpEmbed, new(dialect.Stream), nil, []byte(text))
	assert.ErrorIs(t, err, dialect.ErrMalformed)
}

// sse frames events as Google does.
func sse(events ...string) []byte {
	var b strings.Builder
	for _, e := range events {
		b.WriteString("data: " + e + "\r\n\r\n")
	}
	return []byte(b.String())
}

func TestAppendWhole(t *testing.T) {
	const origin = `,"modelVersion":"m","responseId":"r"}`
	events := sse(
		`{"candidates":[{"content":{"parts":[{"text":"I ","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9}`+origin,
		`{"candidates":[{"content":{"parts":[{"text":"think","thought":true},{"text":"He"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9}`+origin,
		`{"candidates":[{"content":{"parts":[{"text":"llo"},{"functionCall":{"name":"f","args":{}},"thoughtSignature":"s1"},{"text":"a","thoughtSignature":"s2"},{"text":"b"}],"role":"model"},"index":0,"groundingMetadata":{"a":1}}],"usageMetadata":{"promptTokenCount":9}`+origin,
		`{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"s3"}],"role":"model"},"finishReason":"STOP","index":0,"groundingMetadata":{"a":2},"citationMetadata":null}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3}`+origin,
	)
	whole, err := Codec{}.AppendWhole([]byte("|"), dialect.OpGenerate, events)
	require.NoError(t, err)
	assert.JSONEq(t, `{"candidates":[{"content":{"parts":[{"text":"I think","thought":true},{"text":"Hello"},`+
		`{"functionCall":{"name":"f","args":{}},"thoughtSignature":"s1"},{"text":"a","thoughtSignature":"s2"},{"text":"b","thoughtSignature":"s3"}],"role":"model"},`+
		`"finishReason":"STOP","index":0,"groundingMetadata":{"a":2}}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3}`+origin, string(whole[1:]))

	blocked := `{"promptFeedback":{"blockReason":"OTHER"}` + origin
	whole, err = Codec{}.AppendWhole(nil, dialect.OpGenerate, sse(blocked))
	require.NoError(t, err)
	assert.Equal(t, blocked, string(whole))

	for want, events := range map[error][]byte{
		dialect.ErrProvider:  sse(`{"error":{"code":500}}`),
		dialect.ErrMalformed: sse(`{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`),
	} {
		out, err := Codec{}.AppendWhole([]byte("|"), dialect.OpGenerate, events)
		assert.ErrorIs(t, err, want)
		assert.Equal(t, "|", string(out))
	}
}

func TestAppendStream(t *testing.T) {
	out, tail, terminal, err := Codec{}.AppendStream([]byte("|"), dialect.OpGenerate, []byte(wholeAnswer))
	require.NoError(t, err)
	assert.Equal(t, tail, terminal)
	events := strings.SplitAfter(string(out[1:]), "\r\n\r\n")
	require.Len(t, events, 4)
	assert.Equal(t, `data: {"candidates":[{"content":{"parts":[{"text":"Let me see.","thought":true}],"role":"model"},"index":0}],`+
		`"modelVersion":"gemini-3.8-flash","responseId":"rid-1"}`+"\r\n\r\n", events[0])
	assert.Equal(t, events[2], string(out[1+terminal:]))
	assert.Contains(t, events[2], `"finishReason":"STOP"`)
	assert.Contains(t, events[2], `"usageMetadata":{"promptTokenCount":100`)
	assert.NotContains(t, events[1], "usageMetadata")
	again, err := Codec{}.AppendWhole(nil, dialect.OpGenerate, out[1:])
	require.NoError(t, err)
	assert.JSONEq(t, wholeAnswer, string(again))

	long := `{"candidates":[{"content":{"parts":[{"text":"` + strings.Repeat(`é\n`, pieceMost) + `","thoughtSignature":"s"}]},"finishReason":"STOP","index":0}]}`
	out, _, _, err = Codec{}.AppendStream(nil, dialect.OpGenerate, []byte(long))
	require.NoError(t, err)
	assert.Less(t, stream.Next(out), 2*pieceMost, "a long text comes in pieces")
	again, err = Codec{}.AppendWhole(nil, dialect.OpGenerate, out)
	require.NoError(t, err)
	assert.JSONEq(t, long, string(again))

	for _, body := range []string{`{"promptFeedback":{"blockReason":"SAFETY"},"modelVersion":"m"}`, `{"candidates":[{"finishReason":"SAFETY","index":0}]}`} {
		out, _, terminal, err := Codec{}.AppendStream(nil, dialect.OpGenerate, []byte(body))
		require.NoError(t, err)
		assert.Zero(t, terminal)
		assert.Equal(t, "data: "+body+"\r\n\r\n", string(out))
	}
	for _, body := range []string{`{`, `[]`, `{"candidates":[1]}`, `{"candidates":[{"content":[]}]}`} {
		out, _, _, err := Codec{}.AppendStream([]byte("|"), dialect.OpGenerate, []byte(body))
		assert.ErrorIs(t, err, dialect.ErrMalformed, body)
		assert.Equal(t, "|", string(out))
	}
	_, _, _, err = Codec{}.AppendStream(nil, dialect.OpEmbed, []byte(wholeAnswer))
	assert.ErrorIs(t, err, dialect.ErrMalformed)
}
