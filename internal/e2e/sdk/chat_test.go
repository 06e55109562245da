package sdk

import (
	"net/http"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChat(t *testing.T) {
	c := newClient(t)
	var head *http.Response
	got, err := c.Chat.Completions.New(t.Context(), chat("demo", question("Why do edges matter?")), option.WithResponseInto(&head))
	require.NoError(t, err)
	require.Len(t, got.Choices, 1)
	assert.Contains(t, got.Choices[0].Message.Content, "Why do edges matter?")
	assert.Equal(t, "stop", got.Choices[0].FinishReason)
	assert.Equal(t, got.Usage.TotalTokens, got.Usage.PromptTokens+got.Usage.CompletionTokens)
	assert.Equal(t, "miss", head.Header.Get("x-wedge-cache"))
	assert.NotEmpty(t, head.Header.Get("x-request-id"))
}

func accumulate(t testing.TB, c openai.Client, params openai.ChatCompletionNewParams, options ...option.RequestOption) openai.ChatCompletionAccumulator {
	t.Helper()
	var acc openai.ChatCompletionAccumulator
	for _, chunk := range all(t, c.Chat.Completions.NewStreaming(t.Context(), params, options...)) {
		require.True(t, acc.AddChunk(chunk))
	}
	return acc
}

// checkSame checks that a streamed answer says what the whole one says.
func checkSame(t testing.TB, whole []openai.ChatCompletionChoice, streamed []openai.ChatCompletionChoice) {
	t.Helper()
	require.Len(t, streamed, len(whole))
	for i, want := range whole {
		got := streamed[i]
		assert.Equal(t, want.Message.Content, got.Message.Content)
		assert.Equal(t, want.FinishReason, got.FinishReason)
		require.Len(t, got.Message.ToolCalls, len(want.Message.ToolCalls))
		for j, call := range want.Message.ToolCalls {
			assert.Equal(t, call.ID, got.Message.ToolCalls[j].ID)
			assert.Equal(t, call.Function.Name, got.Message.ToolCalls[j].Function.Name)
			assert.Equal(t, call.Function.Arguments, got.Message.ToolCalls[j].Function.Arguments)
		}
	}
}

func TestChatStream(t *testing.T) {
	weather := openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "get_weather", Parameters: weatherSchema})
	tides := openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "get_tides", Parameters: weatherSchema})
	for name, edit := range map[string]func(p *openai.ChatCompletionNewParams){
		"text":        func(*openai.ChatCompletionNewParams) {},
		"two choices": func(p *openai.ChatCompletionNewParams) { p.N = openai.Int(2) },
		"tools": func(p *openai.ChatCompletionNewParams) {
			p.Tools = []openai.ChatCompletionToolUnionParam{weather, tides}
		},
		"a schema": func(p *openai.ChatCompletionNewParams) {
			p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
				JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "weather", Strict: openai.Bool(true), Schema: weatherSchema},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			params := chat("demo", question("get_weather and get_tides of the city of Paris"))
			edit(&params)
			whole, err := c.Chat.Completions.New(t.Context(), params)
			require.NoError(t, err)
			params.StreamOptions.IncludeUsage = openai.Bool(true)
			for _, options := range [][]option.RequestOption{{fresh()}, nil} {
				acc := accumulate(t, c, params, options...)
				checkSame(t, whole.Choices, acc.Choices)
				assert.Equal(t, whole.Usage.TotalTokens, acc.Usage.TotalTokens)
			}
			switch name {
			case "two choices":
				require.Len(t, whole.Choices, 2)
				assert.NotEqual(t, whole.Choices[0].Message.Content, whole.Choices[1].Message.Content)
			case "tools":
				require.Len(t, whole.Choices[0].Message.ToolCalls, 2)
				checkWeather(t, whole.Choices[0].Message.ToolCalls[0].Function.Arguments)
			case "a schema":
				checkWeather(t, whole.Choices[0].Message.Content)
			}
		})
	}
}

func TestToolResultsGoBack(t *testing.T) {
	c := newClient(t)
	params := chat("demo", question("get_weather of the city of Paris"))
	params.Tools = []openai.ChatCompletionToolUnionParam{
		openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "get_weather", Parameters: weatherSchema}),
	}
	acc := accumulate(t, c, params)
	require.Equal(t, "tool_calls", acc.Choices[0].FinishReason)
	params.Messages = append(params.Messages, acc.Choices[0].Message.ToParam(),
		openai.ToolMessage("sunny", acc.Choices[0].Message.ToolCalls[0].ID))
	after, err := c.Chat.Completions.New(t.Context(), params)
	require.NoError(t, err)
	assert.Equal(t, "stop", after.Choices[0].FinishReason)
	assert.NotEmpty(t, after.Choices[0].Message.Content)
}

func TestUsageOfStreams(t *testing.T) {
	c := newClient(t)
	for _, model := range []string{"demo", "sim/usage"} {
		for _, include := range []bool{true, false} {
			params := chat(model, question("Usage?"))
			if include {
				params.StreamOptions.IncludeUsage = openai.Bool(true)
			}
			for range 2 {
				chunks := all(t, c.Chat.Completions.NewStreaming(t.Context(), params))
				require.Greater(t, len(chunks), 3)
				alone := 0
				for _, chunk := range chunks {
					if len(chunk.Choices) == 0 {
						alone++
					}
					assert.Equal(t, len(chunk.Choices) == 0, chunk.JSON.Usage.Valid(), chunk.RawJSON())
				}
				last := chunks[len(chunks)-1]
				if include {
					assert.Equal(t, 1, alone)
					assert.Empty(t, last.Choices)
					assert.Positive(t, last.Usage.TotalTokens)
				} else {
					assert.Zero(t, alone)
				}
			}
		}
	}
}

func TestCache(t *testing.T) {
	c := newClient(t)
	for _, kinds := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
		params := chat("demo", question("Again?"))
		var texts [2]string
		for i, streamed := range kinds {
			var head *http.Response
			if streamed {
				acc := accumulate(t, c, params, option.WithResponseInto(&head))
				texts[i] = acc.Choices[0].Message.Content
			} else {
				got, err := c.Chat.Completions.New(t.Context(), params, option.WithResponseInto(&head))
				require.NoError(t, err)
				texts[i] = got.Choices[0].Message.Content
			}
			assert.Equal(t, []string{"miss", "hit-memory"}[i], head.Header.Get("x-wedge-cache"), "%v", kinds)
		}
		assert.NotEmpty(t, texts[0])
		assert.Equal(t, texts[0], texts[1], "%v", kinds)
	}
}

func TestBaseURL(t *testing.T) {
	for _, base := range []string{wedge.url(), wedge.url() + "/"} {
		c := newClient(t, option.WithBaseURL(base))
		got, err := c.Chat.Completions.New(t.Context(), chat("demo", question("Here?")))
		require.NoError(t, err)
		assert.NotEmpty(t, got.Choices[0].Message.Content)
	}
}
