package sim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"io"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

func client(t testing.TB, o sim.Options) (openai.Client, *sim.Server) {
	srv, url := start(t, o)
	return openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey("sk-test"), option.WithMaxRetries(0)), srv
}

func chatParams(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    "gpt-4o",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage(text)},
	}
}

var weatherSchema = map[string]any{
	"type": "object",
	"properties": map[string]any{
		"city": map[string]any{"type": "string"},
		"days": map[string]any{"type": "integer", "minimum": 1, "maximum": 7},
		"unit": map[string]any{"type": "string", "enum": []string{"celsius", "fahrenheit"}},
	},
	"required": []string{"city", "days", "unit"},
}

func weatherTool(name string) openai.ChatCompletionToolUnionParam {
	return openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: name, Parameters: weatherSchema})
}

func checkWeather(t *testing.T, arguments string) {
	t.Helper()
	var args struct {
		City string `json:"city"`
		Days int    `json:"days"`
		Unit string `json:"unit"`
	}
	require.NoError(t, json.Unmarshal([]byte(arguments), &args), arguments)
	assert.Equal(t, "Paris", args.City)
	assert.GreaterOrEqual(t, args.Days, 1)
	assert.LessOrEqual(t, args.Days, 7)
	assert.Contains(t, []string{"celsius", "fahrenheit"}, args.Unit)
}

func TestSDKChat(t *testing.T) {
	c, srv := client(t, sim.Options{LogSize: 10})
	got, err := c.Chat.Completions.New(context.Background(), chatParams("How are you?"))
	require.NoError(t, err)
	require.Len(t, got.Choices, 1)
	assert.Contains(t, got.Choices[0].Message.Content, `"How are you?"`)
	assert.Equal(t, "stop", got.Choices[0].FinishReason)
	assert.Equal(t, "gpt-4o", got.Model)
	assert.Equal(t, got.Usage.PromptTokens+got.Usage.CompletionTokens, got.Usage.TotalTokens)
	assert.GreaterOrEqual(t, got.Usage.CompletionTokens, int64(20))
	assert.LessOrEqual(t, got.Usage.CompletionTokens, int64(200))
	log := srv.Requests()
	require.Len(t, log, 1)
	assert.EqualValues(t, got.Usage.PromptTokens, log[0].TokensIn)
	assert.EqualValues(t, got.Usage.CompletionTokens, log[0].TokensOut)
}

func TestSDKChatStreamEqualsWhole(t *testing.T) {
	c, _ := client(t, sim.Options{})
	whole, err := c.Chat.Completions.New(context.Background(), chatParams("Tell me"))
	require.NoError(t, err)
	params := chatParams("Tell me")
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	acc := accumulate(t, c, params)
	assert.Equal(t, whole.Choices[0].Message.Content, acc.Choices[0].Message.Content)
	assert.Equal(t, whole.Usage.TotalTokens, acc.Usage.TotalTokens)
	assert.Equal(t, "stop", acc.Choices[0].FinishReason)
}

func accumulate(t *testing.T, c openai.Client, params openai.ChatCompletionNewParams) openai.ChatCompletionAccumulator {
	t.Helper()
	stream := c.Chat.Completions.NewStreaming(context.Background(), params)
	defer stream.Close()
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		require.True(t, acc.AddChunk(stream.Current()))
	}
	require.NoError(t, stream.Err())
	return acc
}

func TestSDKChatChoices(t *testing.T) {
	c, _ := client(t, sim.Options{})
	params := chatParams("Give me three")
	params.N = openai.Int(3)
	whole, err := c.Chat.Completions.New(context.Background(), params)
	require.NoError(t, err)
	require.Len(t, whole.Choices, 3)
	assert.NotEqual(t, whole.Choices[0].Message.Content, whole.Choices[1].Message.Content)
	acc := accumulate(t, c, params)
	require.Len(t, acc.Choices, 3)
	for i := range whole.Choices {
		assert.Equal(t, whole.Choices[i].Message.Content, acc.Choices[i].Message.Content)
	}
}

func TestSDKChatTools(t *testing.T) {
	c, _ := client(t, sim.Options{})
	params := chatParams("Call get_weather and get_tides for the city of Paris")
	params.Tools = []openai.ChatCompletionToolUnionParam{weatherTool("get_weather"), weatherTool("get_news"), weatherTool("get_tides")}
	whole, err := c.Chat.Completions.New(context.Background(), params)
	require.NoError(t, err)
	acc := accumulate(t, c, params)
	for _, got := range []openai.ChatCompletionChoice{whole.Choices[0], acc.Choices[0]} {
		assert.Equal(t, "tool_calls", got.FinishReason)
		assert.Empty(t, got.Message.Content)
		require.Len(t, got.Message.ToolCalls, 2)
		for i, name := range []string{"get_weather", "get_tides"} {
			assert.Equal(t, name, got.Message.ToolCalls[i].Function.Name)
			assert.Equal(t, whole.Choices[0].Message.ToolCalls[i].ID, got.Message.ToolCalls[i].ID)
			checkWeather(t, got.Message.ToolCalls[i].Function.Arguments)
		}
	}
	params.Messages = append(params.Messages, whole.Choices[0].Message.ToParam(),
		openai.ToolMessage("sunny", whole.Choices[0].Message.ToolCalls[0].ID))
	after, err := c.Chat.Completions.New(context.Background(), params)
	require.NoError(t, err)
	assert.Equal(t, "stop", after.Choices[0].FinishReason, "a tool's result is answered with text")
}

func TestSDKResponses(t *testing.T) {
	c, _ := client(t, sim.Options{})
	params := responses.ResponseNewParams{
		Model: "gpt-5", Instructions: openai.String("Be brief."),
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("How are you?")},
	}
	whole, err := c.Responses.New(context.Background(), params)
	require.NoError(t, err)
	assert.Contains(t, whole.OutputText(), "How are you?")
	assert.Equal(t, responses.ResponseStatusCompleted, whole.Status)
	assert.Equal(t, whole.Usage.InputTokens+whole.Usage.OutputTokens, whole.Usage.TotalTokens)

	text, final, types := streamResponse(t, c, params)
	assert.Equal(t, whole.OutputText(), text)
	assert.Equal(t, whole.OutputText(), final.OutputText())
	assert.Equal(t, whole.Usage.TotalTokens, final.Usage.TotalTokens)
	assert.Equal(t, []string{
		"response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
		"response.output_text.delta", "response.output_text.done", "response.content_part.done",
		"response.output_item.done", "response.completed",
	}, types)
}

// streamResponse returns the deltas' text, the final response and the types of the events, repeats left out.
// It checks that the sequence numbers have no gap.
func streamResponse(t *testing.T, c openai.Client, params responses.ResponseNewParams) (text string, final responses.Response, types []string) {
	t.Helper()
	stream := c.Responses.NewStreaming(context.Background(), params)
	defer stream.Close()
	for seq := int64(0); stream.Next(); seq++ {
		ev := stream.Current()
		require.Equal(t, seq, ev.SequenceNumber)
		if len(types) == 0 || types[len(types)-1] != ev.Type {
			types = append(types, ev.Type)
		}
		switch ev.Type {
		case "response.output_text.delta", "response.function_call_arguments.delta":
			text += ev.Delta
		case "response.completed", "response.incomplete":
			final = ev.Response
		}
	}
	require.NoError(t, stream.Err())
	return text, final, types
}

func TestSDKResponsesTools(t *testing.T) {
	c, _ := client(t, sim.Options{})
	params := responses.ResponseNewParams{
		Model: "gpt-5",
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("get_weather for the city of Paris")},
		Tools: []responses.ToolUnionParam{responses.ToolParamOfFunction("get_weather", weatherSchema, true)},
	}
	whole, err := c.Responses.New(context.Background(), params)
	require.NoError(t, err)
	require.Len(t, whole.Output, 1)
	call := whole.Output[0].AsFunctionCall()
	assert.Equal(t, "get_weather", call.Name)
	checkWeather(t, call.Arguments)

	deltas, final, types := streamResponse(t, c, params)
	assert.Equal(t, call.Arguments, deltas)
	assert.Equal(t, call.CallID, final.Output[0].AsFunctionCall().CallID)
	assert.Equal(t, []string{
		"response.created", "response.in_progress", "response.output_item.added", "response.function_call_arguments.delta",
		"response.function_call_arguments.done", "response.output_item.done", "response.completed",
	}, types)
}

func TestSDKResponsesIncomplete(t *testing.T) {
	c, _ := client(t, sim.Options{})
	params := responses.ResponseNewParams{
		Model: "gpt-5", MaxOutputTokens: openai.Int(16),
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Tell me all")},
	}
	whole, err := c.Responses.New(context.Background(), params)
	require.NoError(t, err)
	assert.Equal(t, responses.ResponseStatusIncomplete, whole.Status)
	assert.Equal(t, "max_output_tokens", whole.IncompleteDetails.Reason)
	assert.EqualValues(t, 16, whole.Usage.OutputTokens)
	_, _, types := streamResponse(t, c, params)
	assert.Equal(t, "response.incomplete", types[len(types)-1])
}

func TestSDKCompletions(t *testing.T) {
	c, _ := client(t, sim.Options{})
	params := openai.CompletionNewParams{
		Model: "gpt-3.5-turbo-instruct", Logprobs: openai.Int(2),
		Prompt: openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"Once upon", "a time"}},
	}
	whole, err := c.Completions.New(context.Background(), params)
	require.NoError(t, err)
	require.Len(t, whole.Choices, 2)
	for _, choice := range whole.Choices {
		assert.Equal(t, choice.Text, strings.Join(choice.Logprobs.Tokens, ""))
		assert.Len(t, choice.Logprobs.TopLogprobs, len(choice.Logprobs.Tokens))
	}
	stream := c.Completions.NewStreaming(context.Background(), params)
	var texts [2]string
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			texts[choice.Index] += choice.Text
		}
	}
	require.NoError(t, stream.Err())
	assert.Equal(t, whole.Choices[0].Text, texts[0])
	assert.Equal(t, whole.Choices[1].Text, texts[1])
}

func TestSDKEmbeddings(t *testing.T) {
	c, _ := client(t, sim.Options{})
	embed := func(format openai.EmbeddingNewParamsEncodingFormat, texts ...string) *openai.CreateEmbeddingResponse {
		got, err := c.Embeddings.New(context.Background(), openai.EmbeddingNewParams{
			Model: "text-embedding-3-small", EncodingFormat: format, Dimensions: openai.Int(256),
			Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: texts},
		})
		require.NoError(t, err)
		require.Len(t, got.Data, len(texts))
		return got
	}
	texts := []string{"How is the weather in Paris?", "how's the weather in Paris today?", "Compile the kernel with debug symbols"}
	floats := embed("float", texts...)
	packed := embed("base64", texts...)
	for i := range texts {
		require.Len(t, floats.Data[i].Embedding, 256)
		assert.InDeltaSlice(t, floats.Data[i].Embedding, packed.Data[i].Embedding, 1e-7)
		assert.InDelta(t, 1, dot(floats.Data[i].Embedding, floats.Data[i].Embedding), 1e-5)
	}
	near := dot(floats.Data[0].Embedding, floats.Data[1].Embedding)
	far := dot(floats.Data[0].Embedding, floats.Data[2].Embedding)
	assert.Greater(t, near, 0.6)
	assert.Less(t, far, 0.4)
	assert.Positive(t, floats.Usage.PromptTokens)
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func TestSDKErrorsAreTyped(t *testing.T) {
	c, _ := client(t, sim.Options{APIKey: "other"})
	check := func(err error, status int, code string) {
		t.Helper()
		var apiErr *openai.Error
		require.True(t, errors.As(err, &apiErr), "%v", err)
		assert.Equal(t, status, apiErr.StatusCode)
		assert.Equal(t, code, apiErr.Code)
		assert.NotEmpty(t, apiErr.Message)
	}
	_, err := c.Chat.Completions.New(context.Background(), chatParams("Hi"))
	check(err, 401, "invalid_api_key")
	key := option.WithAPIKey("other")
	params := chatParams("Hi")
	params.Model = "missing-model"
	_, err = c.Chat.Completions.New(context.Background(), params, key)
	check(err, 404, "model_not_found")
	params.Model = "m;fail=429"
	_, err = c.Chat.Completions.New(context.Background(), params, key)
	check(err, 429, "rate_limit_exceeded")
	_, err = c.Chat.Completions.New(context.Background(), openai.ChatCompletionNewParams{Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{}}, key)
	check(err, 400, "empty_array")
	_, err = c.Models.Get(context.Background(), "missing-model", key)
	check(err, 404, "model_not_found")
}

func TestSDKModels(t *testing.T) {
	c, _ := client(t, sim.Options{})
	page, err := c.Models.List(context.Background())
	require.NoError(t, err)
	assert.NotEmpty(t, page.Data)
	got, err := c.Models.Get(context.Background(), page.Data[0].ID)
	require.NoError(t, err)
	assert.Equal(t, page.Data[0].ID, got.ID)
}

func TestSDKMedia(t *testing.T) {
	c, _ := client(t, sim.Options{})
	ctx := context.Background()
	images, err := c.Images.Generate(ctx, openai.ImageGenerateParams{Model: "gpt-image-1", Prompt: "a red square"})
	require.NoError(t, err)
	_, err = png.Decode(bytes.NewReader(unbase64(t, images.Data[0].B64JSON)))
	require.NoError(t, err)

	speech, err := c.Audio.Speech.New(ctx, openai.AudioSpeechNewParams{Model: "tts-1", Input: "hello", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")}})
	require.NoError(t, err)
	wav, err := io.ReadAll(speech.Body)
	require.NoError(t, err)
	require.NoError(t, speech.Body.Close())
	assert.Equal(t, "RIFF", string(wav[:4]))

	heard, err := c.Audio.Transcriptions.New(ctx, openai.AudioTranscriptionNewParams{Model: "whisper-1", File: bytes.NewReader(wav)})
	require.NoError(t, err)
	assert.NotEmpty(t, heard.AsTranscription().Text)

	judged, err := c.Moderations.New(ctx, openai.ModerationNewParams{
		Input: openai.ModerationNewParamsInputUnion{OfStringArray: []string{"peace", "I will KILL it"}},
	})
	require.NoError(t, err)
	require.Len(t, judged.Results, 2)
	assert.False(t, judged.Results[0].Flagged)
	assert.True(t, judged.Results[1].Categories.Violence)
}

func TestSDKFilesAndBatches(t *testing.T) {
	c, _ := client(t, sim.Options{})
	ctx := context.Background()
	lines := `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"Hi"}]}}
{"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{"messages":[]}}
`
	up, err := c.Files.New(ctx, openai.FileNewParams{File: openai.File(strings.NewReader(lines), "in.jsonl", "application/jsonl"), Purpose: "batch"})
	require.NoError(t, err)
	assert.EqualValues(t, len(lines), up.Bytes)
	made, err := c.Batches.New(ctx, openai.BatchNewParams{InputFileID: up.ID, Endpoint: "/v1/chat/completions", CompletionWindow: "24h"})
	require.NoError(t, err)
	got, err := c.Batches.Get(ctx, made.ID)
	require.NoError(t, err)
	assert.Equal(t, openai.BatchStatusCompleted, got.Status)
	assert.EqualValues(t, 1, got.RequestCounts.Completed)
	assert.EqualValues(t, 1, got.RequestCounts.Failed)
	out, err := c.Files.Content(ctx, got.OutputFileID)
	require.NoError(t, err)
	defer out.Body.Close()
	dec := json.NewDecoder(out.Body)
	for _, want := range []struct {
		id     string
		status int
	}{{"a", 200}, {"b", 400}} {
		var line struct {
			CustomID string `json:"custom_id"`
			Response struct {
				StatusCode int `json:"status_code"`
			} `json:"response"`
		}
		require.NoError(t, dec.Decode(&line))
		assert.Equal(t, want.id, line.CustomID)
		assert.Equal(t, want.status, line.Response.StatusCode)
	}
	_, err = c.Files.Delete(ctx, up.ID)
	require.NoError(t, err)
	list, err := c.Files.List(ctx, openai.FileListParams{})
	require.NoError(t, err)
	require.Len(t, list.Data, 1)
	assert.Equal(t, got.OutputFileID, list.Data[0].ID)
}
