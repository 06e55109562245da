package openai

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

const (
	chatWhole = `{
  "id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": "gpt-5-mini",
  "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi \"you\"\n", "refusal": null, "annotations": []}, "logprobs": null, "finish_reason": "stop"}],
  "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 7, "audio_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 4}},
  "service_tier": "default", "system_fingerprint": "fp_1"}`
	responsesWhole = `{"id":"resp_1","object":"response","created_at":1700000000,"status":"completed","error":null,"incomplete_details":null,"model":"gpt-5-mini",` +
		`"output":[{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[]}]}],` +
		`"usage":{"input_tokens":32,"input_tokens_details":{"cached_tokens":3},"output_tokens":18,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":50}}`
	completionsWhole = `{"id":"cmpl-1","object":"text_completion","created":1,"model":"m","choices":[{"text":"Hello","index":0,"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`
	embeddingsWhole  = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2e-3]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}`
)

func TestWhole(t *testing.T) {
	for name, test := range map[string]struct {
		op   dialect.Op
		body string
		want dialect.Usage
	}{
		"chat":        {dialect.OpChat, chatWhole, dialect.Usage{Input: 19, Cached: 7, Output: 10, Reasoning: 4, Known: true}},
		"responses":   {dialect.OpResponses, responsesWhole, dialect.Usage{Input: 32, Cached: 3, Output: 18, Reasoning: 5, Known: true}},
		"completions": {dialect.OpCompletions, completionsWhole, dialect.Usage{Input: 5, Output: 7, Known: true}},
		"embeddings":  {dialect.OpEmbeddings, embeddingsWhole, dialect.Usage{Input: 8, Known: true}},
		"no usage":    {dialect.OpChat, `{"choices":[{}]}`, dialect.Usage{}},
		"null usage":  {dialect.OpChat, `{"choices":[{}],"usage":null,"error":null}`, dialect.Usage{}},
		"DeepSeek":    {dialect.OpChat, `{"choices":[{}],"usage":{"prompt_tokens":9,"completion_tokens":1,"prompt_cache_hit_tokens":8}}`, dialect.Usage{Input: 9, Cached: 8, Output: 1, Known: true}},
		"xAI": {dialect.OpChat, `{"choices":[{}],"usage":{"prompt_tokens":12,"completion_tokens":1,"total_tokens":399,"completion_tokens_details":{"reasoning_tokens":386}}}`,
			dialect.Usage{Input: 12, Output: 387, Reasoning: 386, Known: true}},
		"odd numbers": {dialect.OpChat, `{"choices":[{}],"usage":{"prompt_tokens":12.0,"completion_tokens":-4,"prompt_tokens_details":{"cached_tokens":1e300},"completion_tokens_details":null}}`,
			dialect.Usage{Input: 12, Known: true}},
	} {
		got, err := Codec{}.Whole(test.op, []byte(test.body))
		require.NoError(t, err, name)
		assert.Equal(t, test.want, got, name)
	}
}

func TestWholeRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		op   dialect.Op
		body string
		want error
	}{
		"empty":               {dialect.OpChat, "", dialect.ErrMalformed},
		"HTML":                {dialect.OpChat, "<html><body>502</body></html>", dialect.ErrMalformed},
		"truncated":           {dialect.OpChat, chatWhole[:len(chatWhole)-1], dialect.ErrMalformed},
		"trailing":            {dialect.OpChat, chatWhole + "}", dialect.ErrMalformed},
		"array":               {dialect.OpChat, "[]", dialect.ErrMalformed},
		"another operation":   {dialect.OpChat, embeddingsWhole, dialect.ErrMalformed},
		"choices is no array": {dialect.OpChat, `{"choices":{}}`, dialect.ErrMalformed},
		"no data":             {dialect.OpEmbeddings, chatWhole, dialect.ErrMalformed},
		"no output":           {dialect.OpResponses, chatWhole, dialect.ErrMalformed},
		"error":               {dialect.OpChat, `{"error":{"message":"x"}}`, dialect.ErrProvider},
		"error and choices":   {dialect.OpChat, `{"choices":[],"error":"x"}`, dialect.ErrProvider},
		"no choice":           {dialect.OpChat, `{"choices":[ ]}`, dialect.ErrMalformed},
		"vLLM's error":        {dialect.OpChat, `{"object":"error","message":"x","code":400}`, dialect.ErrProvider},
		"failed response":     {dialect.OpResponses, `{"status":"failed","error":{"code":"server_error"},"output":[]}`, dialect.ErrProvider},
		"truncated error":     {dialect.OpChat, `{"error":{"message":"x"`, dialect.ErrMalformed},
	} {
		_, err := Codec{}.Whole(test.op, []byte(test.body))
		assert.ErrorIs(t, err, test.want, name)
	}
}

func FuzzWhole(f *testing.F) {
	for op, body := range map[dialect.Op]string{dialect.OpChat: chatWhole, dialect.OpResponses: responsesWhole, dialect.OpCompletions: completionsWhole, dialect.OpEmbeddings: embeddingsWhole} {
		f.Add(byte(op), []byte(body))
		f.Add(byte(op), []byte(body)[:len(body)/2])
	}
	f.Fuzz(func(t *testing.T, op byte, body []byte) {
		u, err := Codec{}.Whole(dialect.Op(op%4+1), body)
		if err != nil {
			assert.Zero(t, u)
			return
		}
		assert.True(t, json.Valid(body))
		assert.LessOrEqual(t, u.Cached, u.Input)
	})
}
