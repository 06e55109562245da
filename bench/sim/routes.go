package sim

import (
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"
)

// route is one endpoint: plan for JSON requests whose answers depend on nothing else, serve for the others.
type route struct {
	method  string
	path    string // without an id; a path that ends in "/" takes what follows it as its argument
	dialect dialect
	plan    func(b *brain, v *fastjson.Value, own *settings) (*answer, *failure)
	serve   func(s *Server, ctx *fasthttp.RequestCtx, arg string) (*answer, *failure)
}

// endpoints lists all routes.
func endpoints() []route {
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

var nowhere = route{dialect: openai{}}

// route finds the endpoint of ctx's request and its argument. With a failure the route has only a dialect.
func (s *Server) route(ctx *fasthttp.RequestCtx) (*route, string, *failure) {
	candidates, arg := s.routes[string(ctx.Path())], ""
	if candidates == nil {
		candidates, arg = s.prefixed(string(ctx.Path()))
	}
	for _, rt := range candidates {
		if rt.method == string(ctx.Method()) {
			return rt, arg, nil
		}
	}
	f := &failure{status: 404, kind: "invalid_request_error",
		message: "Invalid URL (" + string(ctx.Method()) + " " + string(ctx.Path()) + ")"}
	if len(candidates) > 0 {
		f.status, f.code = 405, "method_not_supported"
		f.message = "Not allowed to " + string(ctx.Method()) + " on " + string(ctx.Path()) +
			". (HINT: Perhaps you meant to use a different HTTP method?)"
	}
	return &nowhere, "", f
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
