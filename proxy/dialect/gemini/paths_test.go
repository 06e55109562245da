package gemini

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestAppendPath(t *testing.T) {
	for _, c := range []struct {
		op     dialect.Op
		model  string
		stream bool
		want   string
	}{
		{dialect.OpGenerate, "gemini-3.8-flash", false, "/models/gemini-3.8-flash:generateContent"},
		{dialect.OpGenerate, "models/gemini-3.8-flash", true, "/models/gemini-3.8-flash:streamGenerateContent?alt=sse"},
		{dialect.OpCount, "tunedModels/my-model", false, "/tunedModels/my-model:countTokens"},
		{dialect.OpEmbed, "a/b c?é", false, "/models/a%2Fb%20c%3F%C3%A9:embedContent"},
		{dialect.OpBatchEmbed, "gemini-embedding-001", true, "/models/gemini-embedding-001:batchEmbedContents"},
		{dialect.OpOther, "x", false, "/models/x"},
	} {
		assert.Equal(t, c.want, string(Codec{}.AppendPath(nil, c.op, c.model, c.stream)))
	}
}

func TestParam(t *testing.T) {
	for _, c := range []struct {
		op         dialect.Op
		key, value string
		name, want string
	}{
		{dialect.OpGenerate, "max_tokens", "9", "generationConfig.maxOutputTokens", "9"},
		{dialect.OpGenerate, "max_completion_tokens", "9", "generationConfig.maxOutputTokens", "9"},
		{dialect.OpGenerate, "temperature", "0.5", "generationConfig.temperature", "0.5"},
		{dialect.OpGenerate, "top_p", "0.5", "generationConfig.topP", "0.5"},
		{dialect.OpGenerate, "stop", `"a"`, "generationConfig.stopSequences", `["a"]`},
		{dialect.OpGenerate, "stop", `["a","b"]`, "generationConfig.stopSequences", `["a","b"]`},
		{dialect.OpGenerate, "reasoning_effort", `"low"`, "generationConfig.thinkingConfig", `{"thinkingLevel":"low"}`},
		{dialect.OpGenerate, "reasoning_effort", `"xhigh"`, "generationConfig.thinkingConfig", `{"thinkingLevel":"high"}`},
		{dialect.OpGenerate, "reasoning_effort", `"none"`, "generationConfig.thinkingConfig", `{"thinkingBudget":0}`},
		{dialect.OpGenerate, "reasoning_effort", `7`, "", ""},
		{dialect.OpGenerate, "response_format", `{"type":"json_object"}`, "generationConfig.responseMimeType", `"application/json"`},
		{dialect.OpGenerate, "response_format", `{"type":"text"}`, "generationConfig.responseMimeType", `"text/plain"`},
		{dialect.OpGenerate, "response_format", `{"type":"json_schema","json_schema":{}}`, "", ""},
		{dialect.OpGenerate, "user", `"u"`, "", ""},
		{dialect.OpGenerate, "safetySettings", `[]`, "safetySettings", `[]`},
		{dialect.OpGenerate, "generationConfig.topK", `4`, "generationConfig.topK", `4`},
		{dialect.OpCount, "max_tokens", "9", "", ""},
		{dialect.OpEmbed, "dimensions", "9", "outputDimensionality", "9"},
		{dialect.OpBatchEmbed, "dimensions", "9", "", ""},
	} {
		name, out := Codec{}.Param(c.op, c.key, dialect.Raw(c.value))
		assert.Equal(t, c.name, name, c.key)
		assert.Equal(t, c.want, string(out), c.key)
	}
}

func TestModels(t *testing.T) {
	out := Codec{}.AppendModels(nil, []string{"a\"b", "models/c"}, 1)
	var list struct{ Models []*genai.Model }
	require.NoError(t, json.Unmarshal(out, &list), "%s", out)
	require.Len(t, list.Models, 2)
	assert.Equal(t, `models/a"b`, list.Models[0].Name)
	assert.Equal(t, "models/c", list.Models[1].Name)
	assert.Contains(t, string(out), `"supportedGenerationMethods":["generateContent"`)
	assert.JSONEq(t, `{"models":[]}`, string(Codec{}.AppendModels(nil, nil, 1)))
	assert.Equal(t, `{"totalTokens":31}`, string(Codec{}.AppendCount(nil, dialect.OpCount, 31)))
}
