package gemini

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// served is Google's own client of a server that answers with what answer returns for a request.
func served(t *testing.T, answer func(path string, body []byte) (int, []byte)) *genai.Client {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		status, out := answer(r.URL.RequestURI(), body)
		w.WriteHeader(status)
		_, _ = w.Write(out)
	}))
	t.Cleanup(srv.Close)
	c, err := genai.NewClient(t.Context(), &genai.ClientConfig{
		APIKey: "k", Backend: genai.BackendGeminiAPI, HTTPOptions: genai.HTTPOptions{BaseURL: srv.URL}, HTTPClient: srv.Client(),
	})
	require.NoError(t, err)
	return c
}

// A conversation with a model of another dialect goes through Google's own client and comes back: thoughts and calls
// keep the signatures of their signer.
func TestSDKKeepsForeignSignatures(t *testing.T) {
	reply := &dialect.Reply{
		ID: written("msg_1"), Model: written("claude"), Usage: dialect.Usage{Known: true, Input: 9, Output: 4, Reasoning: 1},
		Parts: []dialect.Part{
			{Kind: dialect.PartThinking, Text: written("hm"), Signature: written("a/b+=="), Signer: dialect.Anthropic},
			{Kind: dialect.PartThinking, Text: written(""), Signature: written("empty"), Signer: dialect.Anthropic},
			text("Let me look."), {Kind: dialect.PartHidden, Signature: written("redacted"), Signer: dialect.Anthropic},
			{Kind: dialect.PartCall, ID: written("toolu_1"), Name: written("f"), Args: dialect.Raw(`{"q":"x"}`), Signature: written("enc"), Signer: dialect.OpenAI},
		},
		Answers: []dialect.Answer{{To: 5, Finish: dialect.FinishCalls}},
	}
	whole, err := Codec{}.AppendReply(nil, dialect.OpGenerate, reply)
	require.NoError(t, err)
	streamed := streamOf(t, eventsOf(reply))
	var asked dialect.Chat
	c := served(t, func(path string, body []byte) (int, []byte) {
		assert.NoError(t, Codec{}.Read(dialect.OpGenerate, body, &asked), "%s", body)
		if path == "/v1beta/models/m:streamGenerateContent?alt=sse" {
			return 200, streamed
		}
		return 200, whole
	})
	ask := func(history []*genai.Content, config *genai.GenerateContentConfig, stream bool) (contents []*genai.Content) {
		chat, err := c.Chats.Create(t.Context(), "m", config, history)
		require.NoError(t, err)
		if !stream {
			out, err := chat.SendMessage(t.Context(), genai.Part{Text: "hi"})
			require.NoError(t, err)
			assert.Equal(t, "Let me look.", out.Text())
			assert.EqualValues(t, 3, out.UsageMetadata.CandidatesTokenCount)
			require.Len(t, out.FunctionCalls(), 1)
			assert.Equal(t, map[string]any{"q": "x"}, out.FunctionCalls()[0].Args)
			return chat.History(false)
		}
		for out, err := range chat.SendMessageStream(t.Context(), genai.Part{Text: "hi"}) {
			require.NoError(t, err)
			assert.Equal(t, "msg_1", out.ResponseID)
		}
		return chat.History(false)
	}
	for _, stream := range []bool{false, true} {
		history := ask(nil, nil, stream)
		ask(history, &genai.GenerateContentConfig{
			SystemInstruction: genai.NewContentFromText("s", genai.RoleUser), MaxOutputTokens: 9, StopSequences: []string{"x"},
			Tools: []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{{Name: "f", Parameters: &genai.Schema{
				Type: genai.TypeObject, Properties: map[string]*genai.Schema{"q": {Type: genai.TypeString, Nullable: genai.Ptr(true)}}}}}}},
			ThinkingConfig: &genai.ThinkingConfig{ThinkingBudget: genai.Ptr[int32](0)},
		}, stream)
		assert.Empty(t, asked.Unknown)
		var back []dialect.Part
		for _, turn := range asked.Turns {
			if turn.Role == dialect.Assistant {
				back = append(back, asked.Parts[turn.From:turn.To]...)
			}
		}
		assert.ElementsMatch(t, signatures(reply.Parts), signatures(back))
		assert.Equal(t, dialect.ThinkingOff, asked.Thinking)
		require.Len(t, asked.Tools, 1)
		assert.JSONEq(t, `{"type":"object","properties":{"q":{"type":["string","null"]}}}`, string(asked.Tools[0].Schema))
	}
}

// signatures are the signatures of parts, with their signers and kinds.
func signatures(parts []dialect.Part) (list []string) {
	for _, p := range parts {
		if p.Signature != nil {
			list = append(list, string(rune('a'+p.Kind))+p.Signer.String()+":"+string(p.Signature))
		}
	}
	return list
}

func TestSDKReadsErrorsAndVectors(t *testing.T) {
	c := served(t, func(path string, body []byte) (int, []byte) {
		switch path {
		case "/v1beta/models/m:batchEmbedContents":
			var e dialect.Embedding
			assert.NoError(t, Codec{}.ReadEmbedding(dialect.OpBatchEmbed, body, &e), "%s", body)
			v := dialect.Vectors{Items: make([]dialect.Raw, len(e.Inputs))}
			for i := range v.Items {
				v.Items[i] = dialect.Raw("[0.5]")
			}
			out, err := Codec{}.AppendVectors(nil, dialect.OpBatchEmbed, &v, &e, "m")
			assert.NoError(t, err)
			return 200, out
		case "/v1beta/models/m:countTokens":
			return 200, Codec{}.AppendCount(nil, dialect.OpCount, 31)
		}
		e := &dialect.Error{Status: 429, Code: "rate_limited", Message: "slow down"}
		if path == "/v1beta/models/m:streamGenerateContent?alt=sse" {
			return 200, Codec{}.AppendStreamError(nil, dialect.OpGenerate, e, "r")
		}
		return 429, Codec{}.AppendError(nil, e, "r")
	})
	embedded, err := c.Models.EmbedContent(t.Context(), "m", []*genai.Content{genai.Text("a")[0], genai.Text("b")[0]}, nil)
	require.NoError(t, err)
	assert.Len(t, embedded.Embeddings, 2)
	counted, err := c.Models.CountTokens(t.Context(), "m", genai.Text("a"), nil)
	require.NoError(t, err)
	assert.EqualValues(t, 31, counted.TotalTokens)
	var failed genai.APIError
	_, err = c.Models.GenerateContent(t.Context(), "m", genai.Text("a"), nil)
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "RESOURCE_EXHAUSTED", failed.Status)
	assert.Equal(t, "slow down", failed.Message)
	for _, err := range c.Models.GenerateContentStream(t.Context(), "m", genai.Text("a"), nil) {
		assert.Error(t, err)
	}
}
