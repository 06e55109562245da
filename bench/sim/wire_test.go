package sim_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

const chatPath = "/v1/chat/completions"

type chatAnswer struct {
	ID      string `json:"id"`
	Created int64  `json:"created"`
	Choices []struct {
		Message struct {
			Content   string `json:"content"`
			ToolCalls []struct {
				Function struct{ Name, Arguments string } `json:"function"`
			} `json:"tool_calls"`
		} `json:"message"`
		FinishReason string `json:"finish_reason"`
		Logprobs     *struct {
			Content []struct {
				Token       string
				Logprob     float64
				Bytes       []int
				TopLogprobs []struct {
					Token   string
					Logprob float64
				} `json:"top_logprobs"`
			}
		}
	} `json:"choices"`
	Usage struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	} `json:"usage"`
}

// chat sends a chat about text with further members, as in `"n":2`, and returns the whole answer.
func chat(t *testing.T, url, model, text, members string) chatAnswer {
	t.Helper()
	if members != "" {
		members = "," + members
	}
	var out chatAnswer
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]%s}`, model, text, members)
	require.NoError(t, json.Unmarshal([]byte(answered(t, url+chatPath, body)), &out))
	return out
}

func TestStreamOfChunksByTheLetter(t *testing.T) {
	_, url := start(t, sim.Options{})
	got := answered(t, url+chatPath,
		`{"model":"m;tokens=4;chunks=2","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]}`)
	got = regexp.MustCompile(`"created":\d{10}`).ReplaceAllString(got, `"created":NOW`)
	head := `data: {"id":"ID","object":"chat.completion.chunk","created":NOW,"model":"m","service_tier":"default","system_fingerprint":"FP","choices":[`
	got = regexp.MustCompile(`chatcmpl-\w{29}`).ReplaceAllString(got, "ID")
	got = regexp.MustCompile(`fp_\w{10}`).ReplaceAllString(got, "FP")
	want := strings.Join([]string{
		head + `{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}`,
		head + `{"index":0,"delta":{"content":"On \"Hi\""},"logprobs":null,"finish_reason":null}],"usage":null}`,
		head + `{"index":0,"delta":{"content":": Most"},"logprobs":null,"finish_reason":null}],"usage":null}`,
		head + `{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}`,
		head + `],"usage":{"prompt_tokens":1,"completion_tokens":4,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},` +
			`"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}`,
		"data: [DONE]", "",
	}, "\n\n")
	assert.Equal(t, want, got)
}

func TestAnswersFollowFromThePrompt(t *testing.T) {
	_, url := start(t, sim.Options{})
	_, twin := start(t, sim.Options{})
	_, other := start(t, sim.Options{Seed: 1})
	text := func(url, model, prompt string) string {
		return chat(t, url, model, prompt, "").Choices[0].Message.Content
	}
	want := text(url, "m", "Hello")
	assert.Equal(t, want, text(url, "m", "Hello"))
	assert.Equal(t, want, text(twin, "m", "Hello"))
	assert.Equal(t, want, text(url, "m;ttft=1ms", "Hello"), "timing has no say")
	assert.NotEqual(t, want, text(url, "m", "Hullo"))
	assert.NotEqual(t, want, text(url, "n", "Hello"))
	assert.NotEqual(t, want, text(other, "m", "Hello"))
}

func TestBoundsAndStops(t *testing.T) {
	_, url := start(t, sim.Options{})
	free := chat(t, url, "m", "Hello", "")
	cut := chat(t, url, "m", "Hello", `"max_completion_tokens":7`)
	assert.Equal(t, "length", cut.Choices[0].FinishReason)
	assert.Equal(t, 7, cut.Usage.Completion)
	assert.True(t, strings.HasPrefix(free.Choices[0].Message.Content, cut.Choices[0].Message.Content))

	stop := strings.Fields(free.Choices[0].Message.Content)[4]
	stopped := chat(t, url, "m", "Hello", fmt.Sprintf(`"stop":["nowhere",%q]`, stop))
	assert.Equal(t, "stop", stopped.Choices[0].FinishReason)
	assert.NotContains(t, stopped.Choices[0].Message.Content, stop)
	before, _, _ := strings.Cut(free.Choices[0].Message.Content, stop)
	assert.Equal(t, before, stopped.Choices[0].Message.Content)

	exact := chat(t, url, "m;tokens=1234", "Hello", "")
	assert.Equal(t, 1234, exact.Usage.Completion)
	assert.Equal(t, "stop", exact.Choices[0].FinishReason)
}

func TestJSONAnswers(t *testing.T) {
	_, url := start(t, sim.Options{})
	object := chat(t, url, "m", "Hello", `"response_format":{"type":"json_object"}`)
	assert.True(t, json.Valid([]byte(object.Choices[0].Message.Content)))

	schema := `{"type":"object","properties":{"steps":{"type":"array","minItems":2,"maxItems":2,"items":{"$ref":"#/$defs/step"}},` +
		`"answer":{"type":["string","null"]},"score":{"type":"number"},"ok":{"type":"boolean"},"kind":{"const":"math"},` +
		`"choice":{"anyOf":[{"type":"integer","minimum":5,"maximum":5},{"type":"null"}]}},` +
		`"$defs":{"step":{"type":"object","properties":{"text":{"type":"string"},"next":{"anyOf":[{"$ref":"#/$defs/step"},{"type":"null"}]}}}}}`
	got := chat(t, url, "m", "Hello", `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":`+schema+`}}`)
	var value struct {
		Steps []struct {
			Text string `json:"text"`
		} `json:"steps"`
		Answer string  `json:"answer"`
		Score  float64 `json:"score"`
		OK     *bool   `json:"ok"`
		Kind   string  `json:"kind"`
		Choice int     `json:"choice"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.Choices[0].Message.Content), &value), got.Choices[0].Message.Content)
	require.Len(t, value.Steps, 2)
	assert.NotEmpty(t, value.Steps[0].Text)
	assert.NotEmpty(t, value.Answer)
	assert.NotNil(t, value.OK)
	assert.Equal(t, "math", value.Kind)
	assert.Equal(t, 5, value.Choice)
}

func TestToolChoice(t *testing.T) {
	_, url := start(t, sim.Options{})
	tools := `"tools":[{"type":"function","function":{"name":"alpha"}},{"type":"function","function":{"name":"beta"}}]`
	f := func(text, members string, want ...string) {
		t.Helper()
		got := chat(t, url, "m", text, tools+members)
		var names []string
		for _, c := range got.Choices[0].Message.ToolCalls {
			names = append(names, c.Function.Name)
			assert.JSONEq(t, `{}`, c.Function.Arguments)
		}
		assert.Equal(t, want, names)
	}
	f("hello", "")
	f("use beta", "", "beta")
	f("beta then alpha", "", "alpha", "beta")
	f("beta then alpha", `,"parallel_tool_calls":false`, "alpha")
	f("use beta", `,"tool_choice":"none"`)
	f("hello", `,"tool_choice":"required"`, "alpha")
	f("hello", `,"tool_choice":{"type":"function","function":{"name":"beta"}}`, "beta")
}

func TestLogprobs(t *testing.T) {
	_, url := start(t, sim.Options{})
	got := chat(t, url, "m", "Hello", `"logprobs":true,"top_logprobs":3`)
	var text strings.Builder
	require.Len(t, got.Choices[0].Logprobs.Content, got.Usage.Completion)
	for _, token := range got.Choices[0].Logprobs.Content {
		text.WriteString(token.Token)
		assert.Len(t, token.Bytes, len(token.Token))
		require.Len(t, token.TopLogprobs, 3)
		assert.Equal(t, token.Token, token.TopLogprobs[0].Token)
		assert.Less(t, token.TopLogprobs[2].Logprob, token.TopLogprobs[0].Logprob)
	}
	assert.Equal(t, got.Choices[0].Message.Content, text.String())
}

func TestRefusesWhatTheRealOneRefuses(t *testing.T) {
	_, url := start(t, sim.Options{})
	f := func(path, body string, status int, code, param string) {
		t.Helper()
		resp, got, err := post(t, url+path, body)
		require.NoError(t, err)
		assert.Equal(t, status, resp.StatusCode, body)
		var out struct {
			Error struct {
				Message, Type string
				Code, Param   *string
			}
		}
		require.NoError(t, json.Unmarshal([]byte(got), &out), got)
		assert.NotEmpty(t, out.Error.Message)
		assert.Equal(t, "invalid_request_error", out.Error.Type)
		equalOrNull(t, code, out.Error.Code)
		equalOrNull(t, param, out.Error.Param)
	}
	hello := `"messages":[{"role":"user","content":"Hi"}]`
	f(chatPath, `{"model":"m"`, 400, "", "")
	f(chatPath, `[]`, 400, "", "")
	f(chatPath, `{`+hello+`}`, 400, "missing_required_parameter", "model")
	f(chatPath, `{"model":7,`+hello+`}`, 400, "invalid_type", "model")
	f(chatPath, `{"model":"m"}`, 400, "missing_required_parameter", "messages")
	f(chatPath, `{"model":"m","messages":[]}`, 400, "empty_array", "messages")
	f(chatPath, `{"model":"m","messages":"Hi"}`, 400, "invalid_type", "messages")
	f(chatPath, `{"model":"m","messages":[{"role":"boss","content":"Hi"}]}`, 400, "invalid_value", "messages[0].role")
	f(chatPath, `{"model":"m","temperature":3,`+hello+`}`, 400, "decimal_above_max_value", "temperature")
	f(chatPath, `{"model":"m","max_tokens":0,`+hello+`}`, 400, "integer_below_min_value", "max_tokens")
	f(chatPath, `{"model":"m","n":"two",`+hello+`}`, 400, "invalid_type", "n")
	f(chatPath, `{"model":"m","stream":"yes",`+hello+`}`, 400, "invalid_type", "stream")
	f(chatPath, `{"model":"missing-model",`+hello+`}`, 404, "model_not_found", "")
	f(chatPath, `{"model":"m;fial=500",`+hello+`}`, 400, "invalid_setting", "model")
	f("/v1/responses", `{"model":"m"}`, 400, "missing_required_parameter", "input")
	f("/v1/completions", `{"model":"m"}`, 400, "missing_required_parameter", "prompt")
	f("/v1/embeddings", `{"model":"m"}`, 400, "missing_required_parameter", "input")
	f("/v1/embeddings", `{"model":"m","input":[]}`, 400, "empty_array", "input")
	f("/v1/embeddings", `{"model":"m","input":"x","dimensions":0}`, 400, "integer_below_min_value", "dimensions")
	f("/v1/audio/speech", `{"model":"m","input":"x"}`, 400, "missing_required_parameter", "voice")
	f("/v1/nonsense", `{}`, 404, "", "")
	f("/v1/models", `{}`, 405, "method_not_supported", "")
}

func equalOrNull(t *testing.T, want string, got *string) {
	t.Helper()
	if want == "" {
		assert.Nil(t, got)
		return
	}
	if assert.NotNil(t, got) {
		assert.Equal(t, want, *got)
	}
}

func TestAPIKey(t *testing.T) {
	_, url := start(t, sim.Options{APIKey: "sk-right"})
	body := `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`
	f := func(header string, want int) {
		t.Helper()
		resp, got, err := post(t, url+chatPath, body, "Authorization", header)
		require.NoError(t, err)
		assert.Equal(t, want, resp.StatusCode)
		assert.NotContains(t, got, "sk-right")
	}
	f("", 401)
	f("Bearer sk-wrong", 401)
	f("sk-right", 401)
	f("Bearer sk-right", 200)
}

func TestEmbeddingInputs(t *testing.T) {
	_, url := start(t, sim.Options{})
	f := func(input string, vectors, tokens int) {
		t.Helper()
		var out struct {
			Data  []struct{ Embedding []float64 }
			Usage struct {
				Prompt int `json:"prompt_tokens"`
			}
		}
		got := answered(t, url+"/v1/embeddings", `{"model":"text-embedding-3-large","input":`+input+`}`)
		require.NoError(t, json.Unmarshal([]byte(got), &out))
		require.Len(t, out.Data, vectors)
		assert.Len(t, out.Data[0].Embedding, 3072)
		assert.Equal(t, tokens, out.Usage.Prompt)
	}
	f(`"one word"`, 1, 2)
	f(`["one","two","three"]`, 3, 4)
	f(`[1,2,3]`, 1, 3)
	f(`[[1,2],[3]]`, 2, 3)
	f(`""`, 1, 0)
}

func TestRefusesSenselessOptions(t *testing.T) {
	for _, o := range []sim.Options{{Fail: "oops"}, {FailRate: 1.5}, {FailRate: -1}, {Latency: -1}, {TokensPerSecond: -1}} {
		_, err := sim.New(o)
		assert.Error(t, err, "%+v", o)
	}
}
