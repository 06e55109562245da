package anthropic

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

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// The official SDK must understand what is written in place of a provider's words, streamed and whole.

func TestSDKReadsRewrittenStreams(t *testing.T) {
	events, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, []byte(richWhole))
	require.NoError(t, err)
	for name, e := range map[string]editor{"upper": upper, "holding": holding()} {
		edited, _ := rewrite(t, events, 1, e)
		m, err := accumulated(t, edited)
		require.NoError(t, err, name)
		require.Len(t, m.Content, 7)
		assert.Equal(t, []string{`Let me "see"`, "c2ln+/="}, []string{m.Content[0].Thinking, m.Content[0].Signature})
		assert.Equal(t, "ACCORDING TO THE PAGE\n", m.Content[2].Text, name)
		assert.Empty(t, m.Content[2].Citations, name)
		assert.JSONEq(t, `{"city":"Zürich","days":[1,2.50,1e2]}`, string(m.Content[5].Input))
		assert.Equal(t, []any{"tool_use", int64(50)}, []any{string(m.StopReason), m.Usage.OutputTokens})
	}

	edited, ended := rewrite(t, events, 1, stopping(0, "length"))
	require.True(t, ended)
	m, err := accumulated(t, edited)
	require.NoError(t, err)
	require.Len(t, m.Content, 3)
	assert.Equal(t, []any{"According to the page\n", "max_tokens", int64(12), "msg_01"}, []any{m.Content[2].Text, string(m.StopReason), m.Usage.InputTokens, m.ID})
}

func TestSDKReadsRewrittenWholes(t *testing.T) {
	for _, test := range []struct {
		editor editor
		text   string
		blocks int
		reason string
	}{{upper, "ACCORDING TO THE PAGE\n", 7, "tool_use"}, {stopping(0, ""), "According to the page\n", 3, "end_turn"}} {
		body, err := Rewriter{}.AppendWhole(nil, []byte(richWhole), dialect.OpMessages, test.editor)
		require.NoError(t, err)
		c := client(t, 200, "application/json", body)
		m, err := c.Messages.New(t.Context(), anyParams)
		require.NoError(t, err)
		require.Len(t, m.Content, test.blocks)
		assert.Equal(t, []string{test.text, test.reason}, []string{m.Content[2].Text, string(m.StopReason)})
	}
}

func TestSDKReadsAnswers(t *testing.T) {
	const said = "No \"tents\"\x01 today. 😀"
	whole, err := Codec{}.AppendAnswer(nil, dialect.OpMessages, "id-1", `m"`, 1234, []byte(said))
	require.NoError(t, err)
	c := client(t, 200, "application/json", whole)
	m, err := c.Messages.New(t.Context(), anyParams)
	require.NoError(t, err)
	assert.Equal(t, []any{"msg_id-1", `m"`, said, "end_turn", "assistant", int64(0)}, []any{m.ID, m.Model, m.Content[0].Text, string(m.StopReason), string(m.Role), m.Usage.OutputTokens})
	u, err := Codec{}.Whole(dialect.OpMessages, whole)
	require.NoError(t, err)
	assert.Equal(t, dialect.Usage{Known: true}, u)

	events, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, whole)
	require.NoError(t, err)
	streamed, err := accumulated(t, events)
	require.NoError(t, err)
	assert.Equal(t, said, streamed.Content[0].Text)
	for _, op := range []dialect.Op{dialect.OpCountTokens, dialect.OpChat} {
		_, err = Codec{}.AppendAnswer(nil, op, "", "", 0, nil)
		assert.ErrorIs(t, err, dialect.ErrNoPlace)
	}
}

// simulate starts the simulated provider and returns a function that posts to it.
func simulate(t *testing.T) (post func(path, body string) []byte) {
	srv, err := sim.New(sim.Options{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	ln, err := srv.Listen()
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.NoError(t, srv.Shutdown(ctx))
		require.NoError(t, <-served)
	})
	return func(path, body string) []byte {
		req, err := http.NewRequest(http.MethodPost, "http://"+ln.Addr().String()+path, bytes.NewBufferString(body))
		require.NoError(t, err)
		req.Header.Set("x-api-key", "k")
		req.Header.Set("anthropic-version", "2023-06-01")
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
	const request = `{"model":"claude-sonnet-4-5","max_tokens":4000,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"user","content":"tell me of \"é\" 😀"}]`
	streamed := post("/v1/messages", request+`,"stream":true}`)
	same, _ := rewrite(t, streamed, 1, keep)
	assert.Equal(t, string(streamed), string(same))
	whole := post("/v1/messages", request+`}`)
	for _, make := range []func() editor{func() editor { return upper }, holding} {
		edited, _ := rewrite(t, streamed, 2, make())
		classify(t, edited)
		got, err := Codec{}.AppendWhole(nil, dialect.OpMessages, edited)
		require.NoError(t, err)
		want, err := Rewriter{}.AppendWhole(nil, whole, dialect.OpMessages, make())
		require.NoError(t, err)
		assert.Equal(t, bare(t, want)["content"], bare(t, got)["content"])
		blocks := bare(t, got)["content"].([]any)
		text := blocks[len(blocks)-1].(map[string]any)["text"].(string)
		assert.NotEmpty(t, text)
		assert.Equal(t, strings.ToUpper(text), text)
	}
}
