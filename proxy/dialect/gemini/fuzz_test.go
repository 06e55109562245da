package gemini

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":1}},"thoughtSignature":"YW50aHJvcGljOmE="},{"text":"t","thought":true}]},{"parts":[{"functionResponse":{"name":"f","response":{"error":1},"parts":[{"inlineData":{"data":"A","mimeType":"image/png"}}]}},{"fileData":{"fileUri":"u"}}]}]}`))
	f.Add([]byte(`{"tools":{"function_declarations":{"name":"f","parameters":{"type":["STRING"],"properties":{"a":{"anyOf":[{}],"minItems":"1"}},"items":{"nullable":true,"type":"X"}}}},"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},"systemInstruction":{"parts":[{"text":"s"}]}}`))
	f.Add([]byte(`{"generateContentRequest":{"contents":{"parts":{"text":"a"}}},"generationConfig":{"thinkingConfig":{"thinkingBudget":1e9,"thinkingLevel":"low"},"stopSequences":["a"],"responseMimeType":"application/json","responseJsonSchema":{},"seed":1e99,"candidateCount":-1}}`))
	f.Add([]byte(`{"requests":[{"content":{"parts":[{"text":"a"},{"text":"b"}]}}],"content":{"parts":[]}}`))
	var c, again dialect.Chat
	var e dialect.Embedding
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, op := range []dialect.Op{dialect.OpGenerate, dialect.OpCount} {
			if err := (Codec{}).Read(op, body, &c); err != nil {
				require.True(t, isOwn(err), err)
				continue
			}
			for _, model := range []string{"m", "gemini-2.5-pro", "gemini-4"} {
				out, _, err := Codec{}.AppendRequest(nil, &c, model, false)
				if err != nil {
					require.ErrorIs(t, err, dialect.ErrInexpressible)
					continue
				}
				require.NoError(t, Codec{}.Read(dialect.OpGenerate, out, &again), "%s", out)
			}
		}
		for _, op := range []dialect.Op{dialect.OpEmbed, dialect.OpBatchEmbed} {
			if err := (Codec{}).ReadEmbedding(op, body, &e); err != nil {
				require.True(t, isOwn(err), err)
				continue
			}
			out, _, err := Codec{}.AppendEmbedding(nil, &e, "m")
			require.NoError(t, err)
			require.NoError(t, Codec{}.ReadEmbedding(dialect.OpBatchEmbed, out, &e), "%s", out)
		}
	})
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte(wholeAnswer))
	f.Add([]byte(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"},"thoughtSignature":"s"},{"inlineData":{"data":"A"}},{"fileData":{"fileUri":"u"}}]},"index":7,"logprobsResult":{"chosenCandidates":[{"token":"a"}],"topCandidates":[{"candidates":[{}]}]}}],"createTime":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"promptFeedback":{"blockReason":"X"},"embeddings":[{"values":[1]}],"error":{"message":"a","details":[{"retryDelay":"1s"}]}}`))
	var r dialect.Reply
	f.Fuzz(func(t *testing.T, body []byte) {
		_ = Codec{}.ReadError(429, body)
		_ = Codec{}.ReadVectors(dialect.OpBatchEmbed, body, new(dialect.Vectors))
		_, bad := Codec{}.Whole(dialect.OpGenerate, body)
		if sse, _, terminal, err := (Codec{}).AppendStream(nil, dialect.OpGenerate, body); bad == nil && err == nil {
			kind, err := Codec{}.Event(dialect.OpGenerate, new(dialect.Stream), nil, sse[terminal+6:len(sse)-4])
			require.NoError(t, err, "%s", sse)
			assert.NotEqual(t, dialect.Failed, kind)
			_, _ = Codec{}.AppendWhole(nil, dialect.OpGenerate, sse)
		}
		if err := (Codec{}).ReadReply(dialect.OpGenerate, body, &r); err != nil {
			require.True(t, isOwn(err), err)
			return
		}
		out, err := Codec{}.AppendReply(nil, dialect.OpGenerate, &r)
		require.NoError(t, err)
		_, err = Codec{}.Whole(dialect.OpGenerate, out)
		require.NoError(t, err, "%s", out)
		require.NoError(t, Codec{}.ReadReply(dialect.OpGenerate, out, &r), "%s", out)
	})
}

func FuzzReadEvent(f *testing.F) {
	for _, data := range []string{
		`{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":1}}`,
		`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"\n"}},"thoughtSignature":"YW50aHJvcGljOmE="}]},"finishReason":"STOP"}]}`,
		`{"candidates":[{"index":9,"content":{"parts":[{"text":"","thought":true,"thoughtSignature":"s"}]},"logprobsResult":{"chosenCandidates":[{}]}}]}`,
		`{"promptFeedback":{"blockReason":"SAFETY"}}`, `{"error":{}}`, ``,
	} {
		f.Add([]byte(`{"candidates":[{"index":0,"content":{"parts":[{"text":"b"}]}}],"responseId":"r"}`), []byte(data))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var relay dialect.Stream
		var st dialect.Reading
		var out dialect.Writing
		var sse []byte
		for _, data := range [][]byte{first, second, nil} {
			kind, err := Codec{}.Event(dialect.OpGenerate, &relay, nil, data)
			if err != nil || kind == dialect.Failed {
				return
			}
			if kind == dialect.Ignored && data != nil {
				continue
			}
			events, err := Codec{}.ReadEvent(dialect.OpGenerate, &st, nil, data, nil)
			if err != nil {
				require.True(t, isOwn(err), err)
				return
			}
			for i := range events {
				sse = Codec{}.AppendEvent(sse, dialect.OpGenerate, &out, &events[i])
			}
		}
		readBack(t, sse)
		_, err := Codec{}.AppendWhole(nil, dialect.OpGenerate, sse)
		require.NoError(t, err, "%s", sse)
	})
}
