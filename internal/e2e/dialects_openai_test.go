package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

// chatSDK asks for chat completions with OpenAI's SDK.
type chatSDK struct {
	base, key string
	client    *http.Client
}

func openChat(t testing.TB, addr, key string) sdk {
	return &chatSDK{"http://" + addr, key, plainClient(t)}
}

func (c *chatSDK) open() openai.Client {
	return openai.NewClient(option.WithBaseURL(c.base+"/v1"), option.WithAPIKey(c.key), option.WithMaxRetries(0), option.WithHTTPClient(c.client))
}

func (*chatSDK) lacks(string) bool { return false }

func (*chatSDK) status(err error) int { return openaiStatus(err) }

func openaiStatus(err error) int {
	var failed *openai.Error
	if !errors.As(err, &failed) || failed.Message == "" || failed.Code == "" || failed.Type == "" {
		return 0
	}
	return failed.StatusCode
}

func pictureURL() string {
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte(picture))
}

func (*chatSDK) params(model string, q *question) openai.ChatCompletionNewParams {
	user := openai.UserMessage(q.prompt)
	if q.picture {
		user = openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
			openai.TextContentPart(q.prompt), openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: pictureURL()}),
		})
	}
	p := openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage(systemPrompt), user}}
	if q.bare {
		p.Messages = p.Messages[1:]
	}
	if turn, ok := q.turn.(openai.ChatCompletionMessage); ok {
		p.Messages = append(p.Messages, turn.ToParam())
		for i, call := range turn.ToolCalls {
			p.Messages = append(p.Messages, openai.ToolMessage(q.results[i], call.ID))
		}
	}
	for _, name := range q.tools {
		p.Tools = append(p.Tools, openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: name, Parameters: weatherSchema}))
	}
	if q.stop != "" {
		p.Stop.OfStringArray = []string{q.stop}
	}
	if q.max > 0 {
		p.MaxCompletionTokens = openai.Int(q.max)
	}
	if q.schema {
		p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
			JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "weather", Strict: openai.Bool(true), Schema: weatherSchema},
		}
	}
	if q.thinks {
		p.ReasoningEffort = shared.ReasoningEffortHigh
	}
	return p
}

func (c *chatSDK) whole(ctx context.Context, model string, q *question) (*heard, error) {
	sdk := c.open()
	got, err := sdk.Chat.Completions.New(ctx, c.params(model, q))
	if err != nil {
		return nil, err
	}
	return c.read(got), nil
}

func (c *chatSDK) stream(ctx context.Context, model string, q *question) (*heard, error) {
	sdk := c.open()
	p := c.params(model, q)
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := sdk.Chat.Completions.NewStreaming(ctx, p)
	defer func() { _ = stream.Close() }()
	var all openai.ChatCompletionAccumulator
	pieces := 0
	for stream.Next() {
		if !all.AddChunk(stream.Current()) {
			return nil, errors.New("the SDK cannot put the chunks together")
		}
		if choices := stream.Current().Choices; len(choices) > 0 && choices[0].Delta.Content != "" {
			pieces++
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	said := c.read(&all.ChatCompletion)
	said.pieces = pieces
	return said, nil
}

func (*chatSDK) read(got *openai.ChatCompletion) *heard {
	choice := got.Choices[0]
	said := &heard{text: choice.Message.Content, finish: choice.FinishReason, turn: choice.Message,
		in: got.Usage.PromptTokens, out: got.Usage.CompletionTokens}
	if said.finish == "tool_calls" {
		said.finish = "calls"
	}
	for _, call := range choice.Message.ToolCalls {
		said.calls = append(said.calls, toolCall{call.Function.Name, call.Function.Arguments})
	}
	return said
}

func (c *chatSDK) embed(ctx context.Context, model string, texts []string) (out [][]float64, err error) {
	sdk := c.open()
	got, err := sdk.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: model, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: texts}})
	if err != nil {
		return nil, err
	}
	for _, e := range got.Data {
		out = append(out, e.Embedding)
	}
	return out, nil
}

func (c *chatSDK) list(ctx context.Context) (names []string, err error) {
	sdk := c.open()
	models := sdk.Models.ListAutoPaging(ctx)
	for models.Next() {
		names = append(names, models.Current().ID)
	}
	return names, models.Err()
}

// responsesSDK asks for responses with OpenAI's SDK.
type responsesSDK struct{ chatSDK }

func openResponses(t testing.TB, addr, key string) sdk {
	return &responsesSDK{chatSDK{"http://" + addr, key, plainClient(t)}}
}

func (*responsesSDK) lacks(what string) bool { return what == "stop" || what == "embeddings" }

func (*responsesSDK) params(model string, q *question) responses.ResponseNewParams {
	content := responses.ResponseInputMessageContentListParam{responses.ResponseInputContentParamOfInputText(q.prompt)}
	if q.picture {
		image := responses.ResponseInputContentParamOfInputImage(responses.ResponseInputImageDetailAuto)
		image.OfInputImage.ImageURL = openai.String(pictureURL())
		content = append(content, image)
	}
	input := responses.ResponseInputParam{responses.ResponseInputItemParamOfMessage(content, responses.EasyInputMessageRoleUser)}
	if turn, ok := q.turn.([]responses.ResponseOutputItemUnion); ok {
		input = append(input, goOn(turn, q.results)...)
	}
	p := responses.ResponseNewParams{
		Model: model, Instructions: openai.String(systemPrompt), Store: openai.Bool(false),
		Input: responses.ResponseNewParamsInputUnion{OfInputItemList: input},
	}
	for _, name := range q.tools {
		p.Tools = append(p.Tools, responses.ToolParamOfFunction(name, weatherSchema, true))
	}
	if q.max > 0 {
		p.MaxOutputTokens = openai.Int(q.max)
	}
	if q.schema {
		p.Text.Format = responses.ResponseFormatTextConfigParamOfJSONSchema("weather", weatherSchema)
	}
	if q.thinks {
		p.Reasoning.Effort = shared.ReasoningEffortHigh
	}
	return p
}

// goOn is the model's turn as it was, and the results of its calls.
func goOn(turn []responses.ResponseOutputItemUnion, results []string) (input responses.ResponseInputParam) {
	var outputs responses.ResponseInputParam
	for _, item := range turn {
		input = append(input, param.Override[responses.ResponseInputItemUnionParam](json.RawMessage(item.RawJSON())))
		if item.Type == "function_call" {
			output := responses.ResponseInputItemParamOfFunctionCallOutput(results[len(outputs)])
			output.OfFunctionCallOutput.CallID = openai.String(item.CallID)
			outputs = append(outputs, output)
		}
	}
	return append(input, outputs...)
}

func (c *responsesSDK) whole(ctx context.Context, model string, q *question) (*heard, error) {
	sdk := c.open()
	got, err := sdk.Responses.New(ctx, c.params(model, q))
	if err != nil {
		return nil, err
	}
	return c.read(got)
}

func (c *responsesSDK) stream(ctx context.Context, model string, q *question) (*heard, error) {
	sdk := c.open()
	stream := sdk.Responses.NewStreaming(ctx, c.params(model, q))
	defer func() { _ = stream.Close() }()
	var text string
	var final responses.Response
	pieces := 0
	for stream.Next() {
		event := stream.Current()
		switch event.Type {
		case "response.output_text.delta":
			text += event.Delta
			pieces++
		case "response.completed", "response.incomplete", "response.failed":
			final = event.Response
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	said, err := c.read(&final)
	if err == nil && text != said.text {
		return nil, errors.New("the deltas say " + text + ", the end " + said.text)
	}
	if err == nil {
		said.pieces = pieces
	}
	return said, err
}

func (*responsesSDK) read(got *responses.Response) (*heard, error) {
	said := &heard{text: got.OutputText(), turn: got.Output, in: got.Usage.InputTokens, out: got.Usage.OutputTokens}
	for _, item := range got.Output {
		if item.Type == "function_call" {
			call := item.AsFunctionCall()
			said.calls = append(said.calls, toolCall{call.Name, call.Arguments})
		}
	}
	switch {
	case got.Status == responses.ResponseStatusIncomplete && got.IncompleteDetails.Reason == "max_output_tokens":
		said.finish = "length"
	case got.Status != responses.ResponseStatusCompleted:
		return nil, errors.New("the response has the status " + string(got.Status) + ": " + got.Error.Message)
	case len(said.calls) > 0:
		said.finish = "calls"
	default:
		said.finish = "stop"
	}
	return said, nil
}
