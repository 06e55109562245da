package sdk

import (
	"net/http"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func respond(content string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: "demo", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(content)},
	}
}

// streamed is what the events of a response say.
type streamed struct {
	text  string // of the deltas
	types []string
	final responses.Response
}

// stream reads a response and checks that the numbers of its events have no gap.
func stream(t testing.TB, c openai.Client, params responses.ResponseNewParams, options ...option.RequestOption) (s streamed) {
	t.Helper()
	for i, event := range all(t, c.Responses.NewStreaming(t.Context(), params, options...)) {
		require.EqualValues(t, i, event.SequenceNumber)
		if i == 0 || s.types[len(s.types)-1] != event.Type {
			s.types = append(s.types, event.Type)
		}
		switch event.Type {
		case "response.output_text.delta", "response.function_call_arguments.delta":
			s.text += event.Delta
		case "response.completed", "response.incomplete", "response.failed":
			s.final = event.Response
		}
	}
	return s
}

func TestResponses(t *testing.T) {
	c := newClient(t)
	params := respond(question("How are you?"))
	whole, err := c.Responses.New(t.Context(), params)
	require.NoError(t, err)
	assert.Contains(t, whole.OutputText(), "How are you?")
	assert.Equal(t, responses.ResponseStatusCompleted, whole.Status)
	for _, options := range [][]option.RequestOption{{fresh()}, nil} {
		got := stream(t, c, params, options...)
		assert.Equal(t, whole.OutputText(), got.text)
		assert.Equal(t, whole.OutputText(), got.final.OutputText())
		assert.Equal(t, whole.Usage.TotalTokens, got.final.Usage.TotalTokens)
		assert.Equal(t, []string{
			"response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
			"response.output_text.delta", "response.output_text.done", "response.content_part.done",
			"response.output_item.done", "response.completed",
		}, got.types)
	}
}

func TestResponsesFunctions(t *testing.T) {
	c := newClient(t)
	params := respond(question("get_weather of the city of Paris"))
	params.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("get_weather", weatherSchema, true)}
	whole, err := c.Responses.New(t.Context(), params)
	require.NoError(t, err)
	require.Len(t, whole.Output, 1)
	call := whole.Output[0].AsFunctionCall()
	assert.Equal(t, "get_weather", call.Name)
	checkWeather(t, call.Arguments)
	for _, options := range [][]option.RequestOption{{fresh()}, nil} {
		got := stream(t, c, params, options...)
		assert.Equal(t, call.Arguments, got.text)
		assert.Equal(t, call.CallID, got.final.Output[0].AsFunctionCall().CallID)
		assert.Equal(t, []string{
			"response.created", "response.in_progress", "response.output_item.added",
			"response.function_call_arguments.delta", "response.function_call_arguments.done",
			"response.output_item.done", "response.completed",
		}, got.types)
	}
}

func TestResponsesIncomplete(t *testing.T) {
	c := newClient(t)
	params := respond(question("Tell me all"))
	params.MaxOutputTokens = openai.Int(16)
	whole, err := c.Responses.New(t.Context(), params)
	require.NoError(t, err)
	assert.Equal(t, responses.ResponseStatusIncomplete, whole.Status)
	got := stream(t, c, params)
	assert.Equal(t, "response.incomplete", got.types[len(got.types)-1])
}

func TestResponsesGoOn(t *testing.T) {
	c := newClient(t)
	first, err := c.Responses.New(t.Context(), respond(question("First?")))
	require.NoError(t, err)
	second := stream(t, c, respond(question("Second?")))
	for _, id := range []string{first.ID, second.final.ID} {
		params := respond(question("And now?"))
		params.PreviousResponseID = openai.String(id)
		next, err := c.Responses.New(t.Context(), params)
		require.NoError(t, err, detail(err))
		assert.Equal(t, id, next.PreviousResponseID)
	}
	params := respond(question("And now?"))
	params.PreviousResponseID = openai.String("resp_of_nobody")
	_, err = c.Responses.New(t.Context(), params)
	wantError(t, err, http.StatusNotFound, "not_found")
}
