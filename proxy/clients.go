package proxy

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// clientDialect is the dialect of the SDK that sends a request, by its path. Only models are at the same path in all of
// them; the headers that Anthropic's and Google's SDKs always send tell.
func clientDialect(ctx *fasthttp.RequestCtx) dialect.ID {
	path := ctx.Path()
	rest, ok := bytes.CutPrefix(path, []byte("/v1/m"))
	switch {
	case !ok:
		if bytes.HasPrefix(path, []byte("/v1beta/")) {
			return dialect.Gemini
		}
		return dialect.OpenAI
	case string(rest) == "essages" || bytes.HasPrefix(rest, []byte("essages/")):
		return dialect.Anthropic
	case !bytes.HasPrefix(rest, []byte("odels")):
		return dialect.OpenAI
	case len(ctx.Request.Header.PeekBytes(headerAnthropicVersion)) > 0:
		return dialect.Anthropic
	}
	if _, verb := cutVerb(rest); verb != "" || len(ctx.Request.Header.PeekBytes(headerGoogleKey)) > 0 {
		return dialect.Gemini // whose SDK for JavaScript asks here
	}
	return dialect.OpenAI
}

// geminiVerb is what stands behind the colon in a path of Gemini's API.
type geminiVerb struct {
	op     dialect.Op
	stream bool
}

var geminiVerbs = map[string]geminiVerb{
	"generateContent":       {dialect.OpGenerate, false},
	"streamGenerateContent": {dialect.OpGenerate, true},
	"embedContent":          {dialect.OpEmbed, false},
	"batchEmbedContents":    {dialect.OpBatchEmbed, false},
	"countTokens":           {dialect.OpCount, false},
}

// cutVerb cuts a path before a verb of Gemini's API; verb is "" if there is none.
func cutVerb(path []byte) (before []byte, verb string) {
	if i := bytes.LastIndexByte(path, ':'); i >= 0 {
		if _, ok := geminiVerbs[string(path[i+1:])]; ok {
			return path[:i], string(path[i+1:])
		}
	}
	return path, ""
}

// dispatchGemini finds what a path of Gemini's API asks for.
func (x *exchange) dispatchGemini(path []byte) *dialect.Error {
	_, rest, _ := bytes.Cut(path[1:], []byte("/"))
	name, verb := cutVerb(rest)
	name, ok := bytes.CutPrefix(name, []byte("models"))
	if !ok || len(name) > 0 && name[0] != '/' {
		return fail(codeNotFound, "", "there is nothing at this path; models are at /v1beta/models, and what they do at /v1beta/models/NAME:generateContent")
	}
	if verb == "" {
		if i := bytes.LastIndexByte(name, ':'); i >= 0 && !x.ctx.IsGet() {
			return fail(codeNotFound, "", "there is no method "+quoteShort(name[i+1:])+"; this node knows generateContent, streamGenerateContent, embedContent, batchEmbedContents and countTokens")
		}
		return x.listModels(name)
	}
	if e := x.method("POST"); e != nil {
		return e
	}
	v := geminiVerbs[verb]
	x.op, x.pathModel, x.pathStream = v.op, bytes.TrimPrefix(name, []byte("/")), v.stream
	x.array = v.stream && string(x.ctx.QueryArgs().Peek("alt")) != "sse"
	if x.op.Counts() {
		return x.serveCount()
	}
	return x.serve()
}

// readRef finds the model that the request names, and whether it wants a stream: in the path or in the body.
func (x *exchange) readRef() {
	if len(x.pathModel) > 0 {
		x.ref, x.streaming = x.pathModel, x.pathStream
		return
	}
	x.ref, x.streaming = x.doc.model, x.doc.stream && !x.op.Embeds()
}

// asks is the operation by which a target is asked for what the client wants; OpOther where its dialect has none.
func (x *exchange) asks(t *target) dialect.Op {
	p := t.provider
	switch {
	case x.op == dialect.OpOther, x.conversation() != nil, x.op.Dialect() == p.dialect && (x.op != dialect.OpResponses || !p.chatsOnly):
		return x.op
	case x.op.Chats():
		return p.dialect.ChatOp()
	case x.op.Embeds():
		return p.dialect.EmbedOp()
	}
	return dialect.OpOther
}
