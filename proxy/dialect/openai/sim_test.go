package openai

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

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
		resp, err := http.Post("http://"+ln.Addr().String()+"/v1"+path, "application/json", bytes.NewBufferString(body))
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode, "%s", got)
		return got
	}
}

// timeless decodes an answer and drops what differs between two answers to the same request: ids and times.
func timeless(t *testing.T, doc []byte) any {
	v := decode(t, doc, true)
	var drop func(v any)
	drop = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				switch k {
				case "id", "call_id", "created", "created_at", "completed_at":
					delete(v, k)
				default:
					drop(e)
				}
			}
		case []any:
			for _, e := range v {
				drop(e)
			}
		}
	}
	drop(v)
	return v
}

// A stream must assemble to what the provider says to the same prompt in one piece.
func TestStreamAndWholeOfOneProvider(t *testing.T) {
	post := simulate(t)
	tool := `"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}],"tool_choice":"required"`
	for name, test := range map[string]struct {
		op   dialect.Op
		path string
		body string
	}{
		"chat":        {dialect.OpChat, "/chat/completions", `"messages":[{"role":"user","content":"tell me of \"é\" 😀"}],"n":2,"logprobs":true,"top_logprobs":2`},
		"tools":       {dialect.OpChat, "/chat/completions", `"messages":[{"role":"user","content":"weather?"}],` + tool},
		"completions": {dialect.OpCompletions, "/completions", `"prompt":"once upon","n":2,"logprobs":1`},
		"responses":   {dialect.OpResponses, "/responses", `"input":"tell me more"`},
	} {
		t.Run(name, func(t *testing.T) {
			request := `{"model":"gpt-5-mini",` + test.body
			whole := post(test.path, request+`}`)
			options := `,"stream_options":{"include_usage":true}`
			if test.op == dialect.OpResponses {
				options = ""
			}
			streamed := post(test.path, request+`,"stream":true`+options+`}`)
			got, err := Codec{}.AppendWhole(nil, test.op, streamed)
			require.NoError(t, err)
			assert.Equal(t, timeless(t, whole), timeless(t, got))
			usage, err := Codec{}.Whole(test.op, whole)
			require.NoError(t, err)
			assert.True(t, usage.Known)
			again, err := Codec{}.AppendWhole(nil, test.op, explode(t, test.op, whole))
			require.NoError(t, err)
			assert.Equal(t, decode(t, whole, true), decode(t, again, true))
		})
	}
}
