//go:build !race

package sim

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func TestKnownRequestsCostNoAllocation(t *testing.T) {
	s, err := New(Options{})
	require.NoError(t, err)
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetRequestURI("/v1/chat/completions")
	ctx.Request.SetBodyString(`{"model":"m","messages":[{"role":"user","content":"Hello"}]}`)
	got := testing.AllocsPerRun(100, func() {
		ctx.Response.Reset()
		s.handle(&ctx)
	})
	assert.Equal(t, fasthttp.StatusOK, ctx.Response.StatusCode())
	assert.Zero(t, got)
}
