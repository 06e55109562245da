package anthropic

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestAppendPath(t *testing.T) {
	assert.Equal(t, "/v1/messages", string(Codec{}.AppendPath([]byte("/v1"), dialect.OpMessages, "m", true)))
	assert.Equal(t, "/messages/count_tokens", string(Codec{}.AppendPath(nil, dialect.OpCountTokens, "m", false)))
	assert.Empty(t, Codec{}.AppendPath(nil, dialect.OpChat, "m", false))
}

func TestParam(t *testing.T) {
	f := func(key, value, name, out string) {
		t.Helper()
		gotName, gotOut := Codec{}.Param(dialect.OpMessages, key, []byte(value))
		assert.Equal(t, []string{name, out}, []string{gotName, string(gotOut)}, key)
	}
	f("max_tokens", "5", "max_tokens", "5")
	f("max_completion_tokens", "5", "max_tokens", "5")
	f("max_output_tokens", "5", "max_tokens", "5")
	f("stop", `"x"`, "stop_sequences", `["x"]`)
	f("stop", `["x","y"]`, "stop_sequences", `["x","y"]`)
	f("temperature", "0.5", "temperature", "0.5")
	f("temperature", "1.5", "temperature", "1")
	f("top_k", "5", "top_k", "5")
	f("reasoning_effort", `"high"`, "output_config.effort", `"high"`)
	f("reasoning_effort", `"minimal"`, "output_config.effort", `"low"`)
	f("reasoning_effort", `"none"`, "thinking", `{"type":"disabled"}`)
	f("user", `"u"`, "metadata.user_id", `"u"`)
	f("response_format", `{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}`, "output_config.format", `{"type":"json_schema","schema":{"type":"object"}}`)
	f("response_format", `{"type":"json_object"}`, "", "")
	f("service_tier", `"standard_only"`, "service_tier", `"standard_only"`)
	f("service_tier", `"flex"`, "", "")
	f("thinking", `{"type":"adaptive"}`, "thinking", `{"type":"adaptive"}`)
	f("inference_geo", `"us"`, "inference_geo", `"us"`)
	for _, key := range []string{"seed", "logit_bias", "frequency_penalty", "n", "parallel_tool_calls", "stream_options"} {
		f(key, "1", "", "")
	}
	name, _ := Codec{}.Param(dialect.OpCountTokens, "max_tokens", []byte("5"))
	assert.Empty(t, name, "counting refuses what only an answer needs")
	name, _ = Codec{}.Param(dialect.OpCountTokens, "thinking", []byte("{}"))
	assert.Equal(t, "thinking", name)
}

func TestModelLists(t *testing.T) {
	const model = `{"type":"model","id":"a\"b","display_name":"a\"b","created_at":"2026-01-15T00:00:00Z","deprecated_at":null,"retires_at":null,` +
		`"lifecycle":"active","line":null,"max_input_tokens":null,"max_tokens":null,"capabilities":null}`
	assert.Equal(t, model, string(Codec{}.AppendModel(nil, `a"b`, 1768435200)))
	assert.JSONEq(t, `{"data":[`+model+`,`+model+`],"has_more":false,"first_id":"a\"b","last_id":"a\"b"}`,
		string(Codec{}.AppendModels(nil, []string{`a"b`, `a"b`}, 1768435200)))
	assert.JSONEq(t, `{"data":[],"has_more":false,"first_id":null,"last_id":null}`, string(Codec{}.AppendModels(nil, nil, 0)))
	assert.Equal(t, `{"input_tokens":12}`, string(Codec{}.AppendCount(nil, dialect.OpCountTokens, 12)))
}

func TestNoVectors(t *testing.T) {
	var e dialect.Embedding
	var v dialect.Vectors
	assert.ErrorIs(t, Codec{}.ReadEmbedding(dialect.OpMessages, nil, &e), dialect.ErrInexpressible)
	_, _, err := Codec{}.AppendEmbedding(nil, &e, "m")
	assert.ErrorIs(t, err, dialect.ErrInexpressible)
	assert.ErrorIs(t, Codec{}.ReadVectors(dialect.OpMessages, nil, &v), dialect.ErrInexpressible)
	_, err = Codec{}.AppendVectors(nil, dialect.OpMessages, &v, &e, "m")
	assert.ErrorIs(t, err, dialect.ErrInexpressible)
}

func TestGenerationOf(t *testing.T) {
	for name, want := range map[string]generation{
		"gpt-5": foreign, "sim-large": foreign, "glm-5.5": foreign,
		"claude-3-5-sonnet-20241022": early, "claude-opus-4-20250514": early, "claude-sonnet-4-5": early, "anthropic.claude-haiku-4-5-20251001-v1:0": early, "claude-2.1": early,
		"claude-opus-4-6": middle, "anthropic/claude-sonnet-4.6": middle,
		"claude-opus-4-7": late, "claude-opus-4-8-20260528": late,
		"claude-opus-5": current, "claude-haiku-5-5": current, "claude-sonnet-5@20260601": current, "claude-latest": current, "claude-": current,
		"claude-fable-5-1": pensive, "claude-mythos-preview": pensive,
	} {
		assert.Equal(t, want, generationOf(name), name)
	}
}
