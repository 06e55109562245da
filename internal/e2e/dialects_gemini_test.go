package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

// contentsSDK asks for contents with Google's SDK.
type contentsSDK struct{ *genai.Client }

func openContents(t testing.TB, addr, key string) sdk {
	c, err := genai.NewClient(t.Context(), &genai.ClientConfig{
		APIKey: key, Backend: genai.BackendGeminiAPI, HTTPClient: plainClient(t), HTTPOptions: genai.HTTPOptions{BaseURL: "http://" + addr},
	})
	require.NoError(t, err)
	return contentsSDK{c}
}

func (contentsSDK) lacks(string) bool { return false }

func (contentsSDK) status(err error) int {
	var failed genai.APIError
	kinds := map[int]string{http.StatusBadRequest: "INVALID_ARGUMENT", http.StatusUnauthorized: "UNAUTHENTICATED", http.StatusNotFound: "NOT_FOUND"}
	if !errors.As(err, &failed) || failed.Message == "" || failed.Status != kinds[failed.Code] {
		return 0
	}
	return failed.Code
}

func (contentsSDK) params(q *question) ([]*genai.Content, *genai.GenerateContentConfig) {
	parts := []*genai.Part{genai.NewPartFromText(q.prompt)}
	if q.picture {
		parts = append(parts, genai.NewPartFromBytes([]byte(picture), "image/png"))
	}
	contents := []*genai.Content{genai.NewContentFromParts(parts, genai.RoleUser)}
	if turn, ok := q.turn.([]*genai.Part); ok {
		var results []*genai.Part
		for _, part := range turn {
			if call := part.FunctionCall; call != nil {
				results = append(results, &genai.Part{FunctionResponse: &genai.FunctionResponse{
					ID: call.ID, Name: call.Name, Response: map[string]any{"output": q.results[len(results)]},
				}})
			}
		}
		contents = append(contents, genai.NewContentFromParts(turn, genai.RoleModel), genai.NewContentFromParts(results, genai.RoleUser))
	}
	config := &genai.GenerateContentConfig{SystemInstruction: genai.Text(systemPrompt)[0], MaxOutputTokens: int32(q.max)}
	var declared []*genai.FunctionDeclaration
	for _, name := range q.tools {
		declared = append(declared, &genai.FunctionDeclaration{Name: name, ParametersJsonSchema: weatherSchema})
	}
	if declared != nil {
		config.Tools = []*genai.Tool{{FunctionDeclarations: declared}}
	}
	if q.stop != "" {
		config.StopSequences = []string{q.stop}
	}
	if q.schema {
		config.ResponseMIMEType, config.ResponseJsonSchema = "application/json", weatherSchema
	}
	if q.thinks {
		config.ThinkingConfig = &genai.ThinkingConfig{IncludeThoughts: true, ThinkingBudget: genai.Ptr[int32](2048)}
	}
	return contents, config
}

func (c contentsSDK) whole(ctx context.Context, model string, q *question) (*heard, error) {
	contents, config := c.params(q)
	got, err := c.Models.GenerateContent(ctx, model, contents, config)
	if err != nil {
		return nil, err
	}
	said := &heard{}
	return said, said.add(got)
}

func (c contentsSDK) stream(ctx context.Context, model string, q *question) (*heard, error) {
	contents, config := c.params(q)
	said := &heard{}
	for chunk, err := range c.Models.GenerateContentStream(ctx, model, contents, config) {
		if err != nil {
			return nil, err
		}
		before := len(said.text)
		if err := said.add(chunk); err != nil {
			return nil, err
		}
		if len(said.text) > before {
			said.pieces++
		}
	}
	if said.finish == "" { // a stream of this dialect has no other end
		return nil, errors.New("the stream has no end")
	}
	return said, nil
}

// add adds a whole answer, or a chunk of one.
func (h *heard) add(got *genai.GenerateContentResponse) error {
	if u := got.UsageMetadata; u != nil {
		h.in, h.out = int64(u.PromptTokenCount), int64(u.CandidatesTokenCount+u.ThoughtsTokenCount)
	}
	if len(got.Candidates) == 0 {
		return nil
	}
	turn, _ := h.turn.([]*genai.Part)
	if content := got.Candidates[0].Content; content != nil {
		for _, part := range content.Parts {
			if part.Text != "" || part.FunctionCall != nil || part.ThoughtSignature != nil {
				turn = append(turn, part)
			}
			if !part.Thought {
				h.text += part.Text
			}
		}
	}
	h.turn = turn
	for _, call := range got.FunctionCalls() {
		args, err := json.Marshal(call.Args)
		if err != nil {
			return err
		}
		h.calls = append(h.calls, toolCall{call.Name, string(args)})
	}
	switch reason := got.Candidates[0].FinishReason; {
	case reason == genai.FinishReasonStop && len(h.calls) > 0:
		h.finish += "calls"
	case reason == genai.FinishReasonMaxTokens:
		h.finish += "length"
	default:
		h.finish += strings.ToLower(string(reason))
	}
	return nil
}

func (c contentsSDK) embed(ctx context.Context, model string, texts []string) (out [][]float64, err error) {
	var contents []*genai.Content
	for _, text := range texts {
		contents = append(contents, genai.NewContentFromText(text, genai.RoleUser))
	}
	got, err := c.Models.EmbedContent(ctx, model, contents, nil)
	if err != nil {
		return nil, err
	}
	for _, e := range got.Embeddings {
		vector := make([]float64, len(e.Values))
		for i, x := range e.Values {
			vector[i] = float64(x)
		}
		out = append(out, vector)
	}
	return out, nil
}

func (c contentsSDK) count(ctx context.Context, model, prompt string) (int64, error) {
	got, err := c.Models.CountTokens(ctx, model, genai.Text(prompt), nil)
	if err != nil {
		return 0, err
	}
	return int64(got.TotalTokens), nil
}

func (c contentsSDK) list(ctx context.Context) (names []string, err error) {
	for m, err := range c.Models.All(ctx) {
		if err != nil {
			return nil, err
		}
		names = append(names, strings.TrimPrefix(m.Name, "models/"))
	}
	return names, nil
}
