package sim_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"

	"github.com/wedge-proxy/wedge/bench/sim"
)

func geminiClient(t testing.TB, o sim.Options, retries *genai.HTTPRetryOptions) (*genai.Client, *sim.Server) {
	srv, url := start(t, o)
	c, err := genai.NewClient(t.Context(), &genai.ClientConfig{
		APIKey: "test", Backend: genai.BackendGeminiAPI, HTTPOptions: genai.HTTPOptions{BaseURL: url, RetryOptions: retries},
	})
	require.NoError(t, err)
	return c, srv
}

// accumulateContent streams a question and returns all its text and calls, and the last chunk.
func accumulateContent(t testing.TB, c *genai.Client, model string, ask []*genai.Content, config *genai.GenerateContentConfig) (string, []*genai.FunctionCall, *genai.GenerateContentResponse) {
	t.Helper()
	var text string
	var calls []*genai.FunctionCall
	var last *genai.GenerateContentResponse
	for chunk, err := range c.Models.GenerateContentStream(t.Context(), model, ask, config) {
		require.NoError(t, err)
		text += chunk.Text()
		calls = append(calls, chunk.FunctionCalls()...)
		last = chunk
	}
	require.NotNil(t, last)
	return text, calls, last
}

func TestGeminiSDK(t *testing.T) {
	c, srv := geminiClient(t, sim.Options{LogSize: 20}, nil)
	declare := func(name string) *genai.FunctionDeclaration {
		return &genai.FunctionDeclaration{Name: name, ParametersJsonSchema: weatherSchema}
	}
	tools := []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{declare("get_weather"), declare("get_tides")}}}
	for name, config := range map[string]*genai.GenerateContentConfig{
		"text":     nil,
		"bounded":  {MaxOutputTokens: 3},
		"tools":    {Tools: tools},
		"thinking": {ThinkingConfig: &genai.ThinkingConfig{IncludeThoughts: true}},
		"safety":   {SafetySettings: []*genai.SafetySetting{{Category: genai.HarmCategoryHateSpeech, Threshold: genai.HarmBlockThresholdBlockNone}}},
	} {
		ask := []*genai.Content{genai.NewContentFromParts([]*genai.Part{
			genai.NewPartFromText("Call get_weather and get_tides for Paris"), genai.NewPartFromBytes([]byte("hi"), "image/png"),
		}, genai.RoleUser)}
		whole, err := c.Models.GenerateContent(t.Context(), "gemini-3-flash", ask, config)
		require.NoError(t, err, name)
		text, calls, last := accumulateContent(t, c, "gemini-3-flash", ask, config)
		assert.Equal(t, whole.Text(), text, name)
		assert.Equal(t, whole.FunctionCalls(), calls, name)
		assert.Equal(t, whole.Candidates[0].FinishReason, last.Candidates[0].FinishReason, name)
		assert.Equal(t, whole.UsageMetadata, last.UsageMetadata, name)
		if name == "tools" {
			require.Len(t, calls, 2)
			args, err := json.Marshal(calls[0].Args)
			require.NoError(t, err)
			checkWeather(t, string(args))
			ask = append(ask, whole.Candidates[0].Content,
				genai.NewContentFromFunctionResponse("get_weather", map[string]any{"output": "rain"}, genai.RoleUser))
			done, err := c.Models.GenerateContent(t.Context(), "gemini-3-flash", ask, config)
			require.NoError(t, err)
			assert.NotEmpty(t, done.Text())
			assert.Empty(t, done.FunctionCalls())
		}
	}
	assert.Regexp(t, "^sha256:", srv.Requests()[0].Headers["x-goog-api-key"])
}

func TestGeminiSDKSchemaEmbeddingsCountsAndLists(t *testing.T) {
	c, _ := geminiClient(t, sim.Options{}, nil)
	shaped, err := c.Models.GenerateContent(t.Context(), "m", genai.Text("Where is Paris?"), &genai.GenerateContentConfig{
		ResponseMIMEType: "application/json", ResponseSchema: &genai.Schema{
			Type: genai.TypeObject, Properties: map[string]*genai.Schema{"city": {Type: genai.TypeString}},
		},
	})
	require.NoError(t, err)
	assert.JSONEq(t, `{"city":"Paris"}`, shaped.Text())
	dims := int32(64)
	embedded, err := c.Models.EmbedContent(t.Context(), "gemini-embedding-001",
		[]*genai.Content{genai.Text("one")[0], genai.Text("two")[0]}, &genai.EmbedContentConfig{OutputDimensionality: &dims})
	require.NoError(t, err)
	require.Len(t, embedded.Embeddings, 2)
	assert.Len(t, embedded.Embeddings[0].Values, 64)
	counted, err := c.Models.CountTokens(t.Context(), "m", genai.Text("one two three"), nil)
	require.NoError(t, err)
	assert.EqualValues(t, 4, counted.TotalTokens)
	one, err := c.Models.Get(t.Context(), "sim-small", nil)
	require.NoError(t, err)
	assert.Equal(t, "models/sim-small", one.Name)
	var names []string
	for m, err := range c.Models.All(t.Context()) {
		require.NoError(t, err)
		names = append(names, m.Name)
	}
	assert.Contains(t, names, "models/sim-large")
}

func TestGeminiSDKErrors(t *testing.T) {
	c, _ := geminiClient(t, sim.Options{}, nil)
	f := func(fail string, status int, kind string) {
		t.Helper()
		_, err := c.Models.GenerateContent(t.Context(), "m;fail="+fail, genai.Text("Hello"), nil)
		var failed genai.APIError
		require.True(t, errors.As(err, &failed), "%v", err)
		assert.Equal(t, status, failed.Code)
		assert.Equal(t, kind, failed.Status)
	}
	f("429", 429, "RESOURCE_EXHAUSTED")
	f("overloaded", 503, "UNAVAILABLE")
	f("500", 500, "INTERNAL")
	f("401", 401, "UNAUTHENTICATED")
	var last error
	chunks := 0
	for _, err := range c.Models.GenerateContentStream(t.Context(), "m;fail=cut", genai.Text("Hello"), nil) {
		if last = err; err == nil {
			chunks++
		}
	}
	assert.Error(t, last)
	assert.Positive(t, chunks)
}

func TestGeminiSDKRetries(t *testing.T) {
	attempts, soon := int32(3), 0.001
	c, srv := geminiClient(t, sim.Options{LogSize: 10}, &genai.HTTPRetryOptions{Attempts: &attempts, InitialDelay: &soon})
	require.NoError(t, srv.Script(sim.Step{Fail: "429"}, sim.Step{Fail: "overloaded"}))
	_, err := c.Models.GenerateContent(t.Context(), "m", genai.Text("Hello"), nil)
	require.NoError(t, err)
	assert.Len(t, srv.Requests(), 3)
}
