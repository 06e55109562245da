package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

// messagesSDK asks for messages with Anthropic's SDK.
type messagesSDK struct {
	base, key string
	client    *http.Client
}

func openMessages(t testing.TB, addr, key string) sdk {
	return &messagesSDK{"http://" + addr, key, plainClient(t)}
}

func (c *messagesSDK) open() anthropic.Client {
	return anthropic.NewClient(option.WithBaseURL(c.base), option.WithAPIKey(c.key), option.WithMaxRetries(0), option.WithHTTPClient(c.client))
}

func (*messagesSDK) lacks(string) bool { return false }

func (*messagesSDK) status(err error) int {
	var failed *anthropic.Error
	if !errors.As(err, &failed) || failed.RequestID == "" {
		return 0
	}
	kinds := map[int]string{http.StatusUnauthorized: "authentication_error", http.StatusNotFound: "not_found_error"}
	if string(failed.Type()) != kinds[failed.StatusCode] {
		return 0
	}
	return failed.StatusCode
}

const maxTokens = 4000 // which every request must say

func (*messagesSDK) params(model string, q *question) anthropic.MessageNewParams {
	content := []anthropic.ContentBlockParamUnion{anthropic.NewTextBlock(q.prompt)}
	if q.picture {
		content = append(content, anthropic.NewImageBlockBase64("image/png", base64.StdEncoding.EncodeToString([]byte(picture))))
	}
	p := anthropic.MessageNewParams{
		Model: anthropic.Model(model), MaxTokens: maxTokens, System: []anthropic.TextBlockParam{{Text: systemPrompt}},
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(content...)},
	}
	if turn, ok := q.turn.(anthropic.Message); ok {
		var results []anthropic.ContentBlockParamUnion
		for _, block := range turn.Content {
			if block.Type == "tool_use" {
				results = append(results, anthropic.NewToolResultBlock(block.ID, q.results[len(results)], false))
			}
		}
		p.Messages = append(p.Messages, turn.ToParam(), anthropic.NewUserMessage(results...))
	}
	for _, name := range q.tools {
		p.Tools = append(p.Tools, anthropic.ToolUnionParam{OfTool: &anthropic.ToolParam{
			Name: name, InputSchema: anthropic.ToolInputSchemaParam{Properties: weatherSchema["properties"], Required: []string{"city", "days", "unit"}},
		}})
	}
	if q.stop != "" {
		p.StopSequences = []string{q.stop}
	}
	if q.max > 0 {
		p.MaxTokens = q.max
	}
	if q.schema {
		p.OutputConfig.Format.Schema = weatherSchema
	}
	if q.thinks {
		p.Thinking = anthropic.ThinkingConfigParamOfEnabled(1024)
	}
	return p
}

func (c *messagesSDK) whole(ctx context.Context, model string, q *question) (*heard, error) {
	sdk := c.open()
	got, err := sdk.Messages.New(ctx, c.params(model, q))
	if err != nil {
		return nil, err
	}
	return c.read(got), nil
}

func (c *messagesSDK) stream(ctx context.Context, model string, q *question) (*heard, error) {
	sdk := c.open()
	stream := sdk.Messages.NewStreaming(ctx, c.params(model, q))
	defer func() { _ = stream.Close() }()
	var all anthropic.Message
	pieces := 0
	for stream.Next() {
		if err := all.Accumulate(stream.Current()); err != nil {
			return nil, err
		}
		if stream.Current().Delta.Text != "" {
			pieces++
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	said := c.read(&all)
	said.pieces = pieces
	return said, nil
}

func (*messagesSDK) read(got *anthropic.Message) *heard {
	said := &heard{turn: *got, in: got.Usage.InputTokens, out: got.Usage.OutputTokens, finish: map[anthropic.StopReason]string{
		anthropic.StopReasonEndTurn: "stop", anthropic.StopReasonStopSequence: "stop",
		anthropic.StopReasonMaxTokens: "length", anthropic.StopReasonToolUse: "calls",
	}[got.StopReason]}
	for _, block := range got.Content {
		said.text += block.Text
		if block.Type == "tool_use" {
			said.calls = append(said.calls, toolCall{block.Name, string(block.Input)})
		}
	}
	return said
}

func (c *messagesSDK) count(ctx context.Context, model, prompt string) (int64, error) {
	sdk := c.open()
	got, err := sdk.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{
		Model: anthropic.Model(model), Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(prompt))},
	})
	if err != nil {
		return 0, err
	}
	return got.InputTokens, nil
}

func (c *messagesSDK) list(ctx context.Context) (names []string, err error) {
	sdk := c.open()
	models := sdk.Models.ListAutoPaging(ctx, anthropic.ModelListParams{})
	for models.Next() {
		names = append(names, models.Current().ID)
	}
	return names, models.Err()
}
