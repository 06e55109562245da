//go:build !race

package sim

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// TestKnownRequestsCostLittle: the argument of a plan, a header or a path, is a string of the request's own.
func TestKnownRequestsCostLittle(t *testing.T) {
	s, err := New(Options{})
	require.NoError(t, err)
	f := func(most float64, uri, body string) {
		t.Helper()
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.Header.Set(versionHeader, lean)
		ctx.Request.SetRequestURI(uri)
		ctx.Request.SetBodyString(body)
		got := testing.AllocsPerRun(100, func() {
			ctx.Response.Reset()
			s.handle(&ctx)
		})
		assert.Equal(t, fasthttp.StatusOK, ctx.Response.StatusCode(), uri)
		assert.LessOrEqual(t, got, most, uri)
	}
	f(0, "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"Hello"}]}`)
	f(1, "/v1/messages", `{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}`)
	f(1, "/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"text":"Hello"}]}]}`)
}

func BenchmarkKnownRequests(b *testing.B) {
	s, err := New(Options{})
	require.NoError(b, err)
	for _, one := range [...]struct{ uri, body string }{
		{"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"Hello"}]}`},
		{"/v1/messages", `{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}`},
		{"/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"text":"Hello"}]}]}`},
	} {
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.Header.Set(versionHeader, lean)
		ctx.Request.SetRequestURI(one.uri)
		ctx.Request.SetBodyString(one.body)
		b.Run(one.uri, func(b *testing.B) {
			for b.Loop() {
				ctx.Response.Reset()
				s.handle(&ctx)
			}
		})
	}
}
