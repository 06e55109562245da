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

var routes = []route{
	{method: "POST", path: "/v1/chat/completions", dialect: openai{}, plan: planChat},
}

// exact finds routes without an argument by path.
var exact = func() map[string][]*route {
	m := make(map[string][]*route)
	for i := range routes {
		m[routes[i].path] = append(m[routes[i].path], &routes[i])
	}
	return m
}()

var nowhere = route{dialect: openai{}}

// route finds the endpoint of ctx's request and its argument. With a failure the route has only a dialect.
func (s *Server) route(ctx *fasthttp.RequestCtx) (*route, string, *failure) {
	candidates, arg := exact[string(ctx.Path())], ""
	if candidates == nil {
		candidates, arg = prefixed(string(ctx.Path()))
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
func prefixed(path string) ([]*route, string) {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '/' {
			continue
		}
		if list := exact[path[:i+1]]; list != nil && i+1 < len(path) {
			return list, strings.TrimSuffix(path[i+1:], "/")
		}
	}
	return nil, ""
}
