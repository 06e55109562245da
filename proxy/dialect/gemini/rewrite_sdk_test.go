package gemini

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// The official SDK must understand what is written in place of a provider's words, streamed and whole.

func contentsOf(text string) []*genai.Content {
	return []*genai.Content{genai.NewContentFromText(text, genai.RoleUser)}
}

// readStream reads a stream with the SDK: all its text, and its last event.
func readStream(t *testing.T, body []byte) (text string, last *genai.GenerateContentResponse) {
	c := served(t, func(string, []byte) (int, []byte) { return 200, body })
	for out, err := range c.Models.GenerateContentStream(t.Context(), "m", contentsOf("hi"), nil) {
		require.NoError(t, err)
		text += out.Text()
		last = out
	}
	require.NotNil(t, last)
	return text, last
}

func TestSDKReadsRewrittenStreams(t *testing.T) {
	events, _, _, err := Codec{}.AppendStream(nil, dialect.OpGenerate, []byte(wholeAnswer))
	require.NoError(t, err)
	for name, e := range map[string]editor{"upper": upper, "holding": holding("")} {
		edited, _ := rewrite(t, events, 1, e)
		text, last := readStream(t, edited)
		assert.Equal(t, `HI "THERE"`, text, name)
		assert.Equal(t, []any{genai.FinishReasonStop, int32(165), "rid-1"}, []any{last.Candidates[0].FinishReason, last.UsageMetadata.TotalTokenCount, last.ResponseID})
	}
	edited, ended := rewrite(t, events, 1, stopping(0, "length"))
	require.True(t, ended)
	text, last := readStream(t, edited)
	assert.Equal(t, `Hi "there"`, text)
	assert.Equal(t, []any{genai.FinishReasonMaxTokens, "rid-1", "gemini-3.8-flash"}, []any{last.Candidates[0].FinishReason, last.ResponseID, last.ModelVersion})

	edited, _ = rewrite(t, sse(piece(says(0, `,"avgLogprobs":-1,"citationMetadata":{"citations":[]},"groundingMetadata":{"groundingSupports":[{}]}`+ends, saying("a")))), 1, upper)
	text, last = readStream(t, edited)
	assert.Equal(t, "A", text)
	assert.Nil(t, last.Candidates[0].CitationMetadata)
	assert.Empty(t, last.Candidates[0].GroundingMetadata.GroundingSupports)
}

func TestSDKReadsRewrittenWholes(t *testing.T) {
	ask := func(body []byte) *genai.GenerateContentResponse {
		c := served(t, func(string, []byte) (int, []byte) { return 200, body })
		out, err := c.Models.GenerateContent(t.Context(), "m", contentsOf("hi"), nil)
		require.NoError(t, err)
		return out
	}
	body, err := Rewriter{}.AppendWhole(nil, []byte(wholeAnswer), dialect.OpGenerate, upper)
	require.NoError(t, err)
	out := ask(body)
	assert.Equal(t, []any{`HI "THERE"`, genai.FinishReasonStop}, []any{out.Text(), out.Candidates[0].FinishReason})
	assert.Equal(t, "Let me see.", out.Candidates[0].Content.Parts[0].Text)

	body, err = Rewriter{}.AppendWhole(nil, []byte(piece(`{"finishReason":"SAFETY"}`)), dialect.OpGenerate, holding("no"))
	require.NoError(t, err)
	out = ask(body)
	assert.Equal(t, []any{"no", genai.FinishReasonSafety}, []any{out.Text(), out.Candidates[0].FinishReason})

	const said = "No \"tents\"\x01 today. 😀"
	body, err = Codec{}.AppendAnswer(nil, dialect.OpGenerate, "id-1", `m"`, 1234, []byte(said))
	require.NoError(t, err)
	out = ask(body)
	assert.Equal(t, []any{said, "id-1", `m"`, genai.FinishReasonStop, "model"}, []any{out.Text(), out.ResponseID, out.ModelVersion, out.Candidates[0].FinishReason, out.Candidates[0].Content.Role})
	u, err := Codec{}.Whole(dialect.OpGenerate, body)
	require.NoError(t, err)
	assert.Equal(t, dialect.Usage{Known: true}, u)
	events, _, _, err := Codec{}.AppendStream(nil, dialect.OpGenerate, body)
	require.NoError(t, err)
	text, _ := readStream(t, events)
	assert.Equal(t, said, text)
	for _, op := range []dialect.Op{dialect.OpCount, dialect.OpEmbed, dialect.OpChat} {
		_, err = Codec{}.AppendAnswer(nil, op, "", "", 0, nil)
		assert.ErrorIs(t, err, dialect.ErrNoPlace)
	}
}

// simulate starts the simulated provider and returns a function that asks it.
func simulate(t *testing.T) (post func(method, body string) []byte) {
	srv, err := sim.New(sim.Options{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	ln, err := srv.Listen()
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.NoError(t, srv.Shutdown(ctx))
		require.NoError(t, <-done)
	})
	return func(method, body string) []byte {
		req, err := http.NewRequest(http.MethodPost, "http://"+ln.Addr().String()+"/v1beta/models/gemini-2.5-flash:"+method, bytes.NewBufferString(body))
		require.NoError(t, err)
		req.Header.Set("x-goog-api-key", "k")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode, "%s", got)
		return got
	}
}

// What the simulated provider streams and says at once is edited alike.
func TestRewriteSimulated(t *testing.T) {
	post := simulate(t)
	const request = `{"contents":[{"parts":[{"text":"tell me of \"é\" 😀"}]}],"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}`
	streamed := post("streamGenerateContent?alt=sse", request)
	same, _ := rewrite(t, streamed, 1, keep)
	assert.Equal(t, string(streamed), string(same))
	whole := post("generateContent", request)
	for _, make := range []func() editor{func() editor { return upper }, func() editor { return holding("") }} {
		edited, _ := rewrite(t, streamed, 2, make())
		got := runs(t, assertGood(t, edited))
		want, err := Rewriter{}.AppendWhole(nil, whole, dialect.OpGenerate, make())
		require.NoError(t, err)
		assert.Equal(t, runs(t, want), got)
		require.Len(t, got[0], 3, "why it ended, a thought and a text")
		assert.Equal(t, strings.ToUpper(got[0][2]), got[0][2])
	}
}
