package main

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/valyala/fasthttp"
)

func proxyTo(hc *fasthttp.HostClient) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if err := hc.Do(&ctx.Request, &ctx.Response); err != nil {
			ctx.Error(err.Error(), fasthttp.StatusBadGateway)
		}
	}
}

// remember answers from a map by the hash of the body alone, which no product may do: bodies can be made to
// collide.
func remember(hc *fasthttp.HostClient) fasthttp.RequestHandler {
	var mu sync.RWMutex
	answers := map[uint64][]byte{}
	return func(ctx *fasthttp.RequestCtx) {
		key := xxhash.Sum64(ctx.Request.Body())
		mu.RLock()
		answer, ok := answers[key]
		mu.RUnlock()
		if ok {
			ctx.SetContentType("application/json")
			ctx.Response.SetBodyRaw(answer)
			return
		}
		if err := hc.Do(&ctx.Request, &ctx.Response); err != nil {
			ctx.Error(err.Error(), fasthttp.StatusBadGateway)
			return
		}
		if ctx.Response.StatusCode() == fasthttp.StatusOK {
			mu.Lock()
			answers[key] = bytes.Clone(ctx.Response.Body())
			mu.Unlock()
		}
	}
}

// fixed answers every request with the same kilobyte of JSON, or with the same events if it asks for a stream.
func fixed(events int) fasthttp.RequestHandler {
	whole, burst := completion(), stream(events)
	return func(ctx *fasthttp.RequestCtx) {
		if !bytes.Contains(ctx.Request.Body(), []byte(`"stream":true`)) {
			ctx.SetContentType("application/json")
			ctx.Response.SetBodyRaw(whole)
			return
		}
		ctx.SetContentType("text/event-stream")
		ctx.Response.SetBodyStream(bytes.NewReader(burst), -1)
	}
}

func completion() []byte {
	text := bytes.Repeat([]byte("The parcel will be with you tomorrow. "), 19)
	return fmt.Appendf(nil, `{"id":"chatcmpl-floor","object":"chat.completion","created":1767225600,"model":"floor","choices":`+
		`[{"index":0,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}],"usage":`+
		`{"prompt_tokens":310,"completion_tokens":152,"total_tokens":462}}`, text)
}

func stream(events int) []byte {
	var b []byte
	for i := range events {
		b = fmt.Appendf(b, `data: {"id":"chatcmpl-floor","object":"chat.completion.chunk","created":1767225600,"model":"floor",`+
			`"choices":[{"index":0,"delta":{"content":" word%d"},"finish_reason":null}]}`+"\n\n", i)
	}
	return append(b, "data: [DONE]\n\n"...)
}
