package sim

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/websockets"
)

// route is one endpoint: plan for JSON requests whose answers depend on nothing else, serve for the others. Where
// serve's answer is 101, socket is what is spoken then.
type route struct {
	method  string
	path    string // without an id; a path that ends in "/" takes what follows it as its argument
	verb    string // Gemini's, which follows its model after a colon
	dialect dialect
	plan    planner
	serve   func(s *Server, ctx *fasthttp.RequestCtx, arg string) (*answer, *failure)
	socket  func(k *socket, ctx *fasthttp.RequestCtx) protocol
	late    bool // the key is checked on the socket

	from func(ctx *fasthttp.RequestCtx) bool // tells the clients it is for; nil is all
}

// endpoints lists all routes.
func endpoints() []route {
	routes := geminiRoutes("/v1beta/models", nil)
	routes = append(routes, geminiRoutes("/v1/models", hasGoogleKey)...)
	routes = append(routes, anthropicRoutes()...)
	routes = append(routes, socketRoutes()...)
	return append(routes, openaiRoutes()...)
}

// geminiRoutes lists Gemini's routes under a path that other dialects may have, too: its SDKs differ in the version
// that they ask for. Where a method and a path do not tell, from does.
func geminiRoutes(models string, from func(ctx *fasthttp.RequestCtx) bool) []route {
	one := models + "/"
	return []route{
		{method: "POST", path: one, verb: "generateContent", dialect: gemini{}, plan: planContent},
		{method: "POST", path: one, verb: "streamGenerateContent", from: wantsEvents, dialect: gemini{}, plan: planContentEvents},
		{method: "POST", path: one, verb: "streamGenerateContent", dialect: geminiArray{}, plan: planContentArray},
		{method: "POST", path: one, verb: "countTokens", dialect: gemini{}, plan: planContentTokens},
		{method: "POST", path: one, verb: "embedContent", dialect: gemini{}, plan: planEmbedContent},
		{method: "POST", path: one, verb: "batchEmbedContents", dialect: gemini{}, plan: planEmbedContents},
		{method: "GET", path: one, from: from, dialect: gemini{}, serve: serveGeminiModel},
		{method: "GET", path: models, from: from, dialect: gemini{}, serve: serveGeminiModels},
	}
}

func anthropicRoutes() []route {
	return []route{
		{method: "POST", path: "/v1/messages", dialect: anthropic{}, plan: planMessages},
		{method: "POST", path: "/v1/messages/count_tokens", dialect: anthropic{}, plan: planMessageTokens},
		{method: "GET", path: "/v1/models", from: hasVersion, dialect: anthropic{}, serve: serveAnthropicModels},
		{method: "GET", path: "/v1/models/", from: hasVersion, dialect: anthropic{}, serve: serveAnthropicModel},
	}
}

// socketRoutes lists what is spoken on WebSockets.
func socketRoutes() []route {
	routes := []route{
		{method: "GET", path: "/v1/responses", from: websockets.Asked, dialect: openaiResponses{}, serve: serveSocket,
			socket: newResponsesTalk},
		{method: "GET", path: "/v1/realtime", from: websockets.Asked, dialect: openaiRealtime{}, serve: serveRealtime,
			socket: newRealtimeTalk},
	}
	for _, version := range [...]string{"v1", "v1beta", "v1alpha"} {
		routes = append(routes, route{method: "GET", path: "/ws/google.ai.generativelanguage." + version + ".GenerativeService.BidiGenerateContent",
			from: websockets.Asked, dialect: gemini{}, serve: serveSocket, socket: newLiveTalk, late: true})
	}
	return routes
}

// serveSocket accepts a WebSocket.
func serveSocket(*Server, *fasthttp.RequestCtx, string) (*answer, *failure) {
	return &answer{status: fasthttp.StatusSwitchingProtocols}, nil
}

func openaiRoutes() []route {
	return []route{
		{method: "POST", path: "/v1/chat/completions", dialect: openai{}, plan: planChat},
		{method: "POST", path: "/v1/completions", dialect: openai{}, plan: planCompletions},
		{method: "POST", path: "/v1/responses", dialect: openaiResponses{}, plan: planResponses},
		{method: "POST", path: "/v1/embeddings", dialect: openai{}, plan: planEmbeddings},
		{method: "POST", path: "/v1/images/generations", dialect: openai{}, plan: planImages},
		{method: "POST", path: "/v1/audio/speech", dialect: openai{}, plan: planSpeech},
		{method: "POST", path: "/v1/moderations", dialect: openai{}, plan: planModerations},
		{method: "POST", path: "/v1/audio/transcriptions", dialect: openai{}, serve: serveTranscription},
		{method: "POST", path: "/v1/audio/translations", dialect: openai{}, serve: serveTranscription},
		{method: "GET", path: "/v1/models", dialect: openai{}, serve: serveModels},
		{method: "GET", path: "/v1/models/", dialect: openai{}, serve: serveModel},
		{method: "POST", path: "/v1/files", dialect: openai{}, serve: postFile},
		{method: "GET", path: "/v1/files", dialect: openai{}, serve: getFiles},
		{method: "GET", path: "/v1/files/", dialect: openai{}, serve: getFile},
		{method: "DELETE", path: "/v1/files/", dialect: openai{}, serve: deleteFile},
		{method: "POST", path: "/v1/batches", dialect: openai{}, serve: postBatch},
		{method: "GET", path: "/v1/batches", dialect: openai{}, serve: getBatches},
		{method: "GET", path: "/v1/batches/", dialect: openai{}, serve: getBatch},
	}
}

// byPath arranges the routes by path.
func byPath(routes []route) map[string][]*route {
	m := make(map[string][]*route)
	for i := range routes {
		m[routes[i].path] = append(m[routes[i].path], &routes[i])
	}
	return m
}

// route finds the endpoint of ctx's request and its argument. With a failure the route has only a dialect.
func (s *Server) route(ctx *fasthttp.RequestCtx) (*route, string, *failure) {
	candidates, arg, verb := s.routes[string(ctx.Path())], "", ""
	if candidates == nil {
		candidates, arg = s.prefixed(string(ctx.Path()))
	}
	if len(candidates) > 0 && ctx.IsPost() && strings.HasSuffix(candidates[0].path, "/models/") {
		if i := strings.LastIndexByte(arg, ':'); i >= 0 {
			arg, verb = arg[:i], arg[i+1:]
		}
	}
	for _, rt := range candidates {
		if rt.takes(ctx, verb) {
			if rt.dialect == (anthropic{}) && rt.plan != nil {
				arg = string(ctx.Request.Header.Peek(versionHeader))
			}
			return rt, arg, nil
		}
	}
	f := &failure{status: 404, kind: "invalid_request_error",
		message: "Invalid URL (" + string(ctx.Method()) + " " + string(ctx.Path()) + ")"}
	if len(candidates) > 0 && verb == "" {
		f.status, f.code = 405, "method_not_supported"
		f.message = "Not allowed to " + string(ctx.Method()) + " on " + string(ctx.Path()) +
			". (HINT: Perhaps you meant to use a different HTTP method?)"
	}
	return &route{dialect: likelyDialect(ctx)}, "", f
}

func (rt *route) takes(ctx *fasthttp.RequestCtx, verb string) bool {
	return rt.method == string(ctx.Method()) && rt.verb == verb && (rt.from == nil || rt.from(ctx))
}

// hasVersion tells Anthropic's clients from others.
func hasVersion(ctx *fasthttp.RequestCtx) bool {
	return len(ctx.Request.Header.Peek(versionHeader)) > 0
}

// hasGoogleKey tells Gemini's clients from others.
func hasGoogleKey(ctx *fasthttp.RequestCtx) bool {
	return len(ctx.Request.Header.Peek(googleKey)) > 0 || ctx.QueryArgs().Has("key")
}

// wantsEvents tells whether a stream is to be server-sent events rather than a JSON array.
func wantsEvents(ctx *fasthttp.RequestCtx) bool { return string(ctx.QueryArgs().Peek("alt")) == "sse" }

// likelyDialect is the dialect of a client that asks for what is not there.
func likelyDialect(ctx *fasthttp.RequestCtx) dialect {
	switch {
	case strings.HasPrefix(string(ctx.Path()), "/v1beta/"), hasGoogleKey(ctx):
		return gemini{}
	case strings.HasPrefix(string(ctx.Path()), "/v1/messages"), hasVersion(ctx):
		return anthropic{}
	}
	return openai{}
}

// prefixed finds the routes whose path ends in "/" and begins path, and the rest of path.
func (s *Server) prefixed(path string) ([]*route, string) {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '/' {
			continue
		}
		if list := s.routes[path[:i+1]]; list != nil && i+1 < len(path) {
			return list, strings.TrimSuffix(path[i+1:], "/")
		}
	}
	return nil, ""
}
