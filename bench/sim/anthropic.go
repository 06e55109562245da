package sim

import (
	"net/url"

	"github.com/valyala/fasthttp"
)

// versionHeader names the version of Anthropic's API that a client speaks.
const versionHeader = "Anthropic-Version"

// lean is the version of Anthropic's API from which on a request may not choose how to sample.
const lean = "2026-10-21"

// anthropic is the dialect of Anthropic's API.
type anthropic struct{}

var anthropicManners = manners{
	requestID: "Request-Id",
	faults: map[fault]*failure{
		fault429:        {status: 429, message: "This request would exceed your organization's rate limit of 50 requests per minute."},
		faultQuota:      {status: 402, message: "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."},
		fault500:        {status: 500, message: "Internal server error"},
		fault503:        {status: 503, message: "Service temporarily unavailable"},
		faultOverloaded: {status: 529, message: "Overloaded"},
		fault401:        {status: 401, message: "invalid x-api-key"},
		faultError200:   {status: 200, kind: "overloaded_error", message: "Overloaded"},
	},
	notJSON:  failure{status: 400, message: "The request body is not valid JSON"},
	noModel:  "model: %s",
	noKey:    failure{status: 401, message: "x-api-key header is required"},
	wrongKey: failure{status: 401, message: "invalid x-api-key"},
}

func (anthropic) manners() *manners { return &anthropicManners }

// credential prefers x-api-key, as the real API does; newer SDKs send a bearer token.
func (anthropic) credential(ctx *fasthttp.RequestCtx) []byte {
	if key := ctx.Request.Header.Peek("X-Api-Key"); len(key) > 0 {
		return key
	}
	return bearer(ctx)
}

func (anthropic) appendError(dst []byte, f *failure) []byte {
	dst = append(dst, `{"type":"error","error":{"type":"`...)
	dst = append(dst, anthropicKind(f)...)
	dst = append(dst, `","message":`...)
	message := f.message
	if f.param != "" {
		message = f.param + ": " + message
	}
	dst = appendJSON(dst, message)
	dst = append(dst, `},"request_id":`...)
	return append(appendJSON(dst, f.requestID), '}')
}

// anthropicKind is the error's type: what the status stands for, and its own if it pretends to be good.
func anthropicKind(f *failure) string {
	switch f.status {
	case 400, 405:
		return "invalid_request_error"
	case 401:
		return "authentication_error"
	case 402:
		return "billing_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 504:
		return "timeout_error"
	case 529:
		return "overloaded_error"
	case 200:
		return f.kind
	}
	return "api_error"
}

func (d anthropic) appendStreamError(dst, _ []byte, f *failure) []byte {
	dst = append(dst, "event: error\ndata: "...)
	return append(d.appendError(dst, f), "\n\n"...)
}

// anthropicModels are the models that the provider names to Anthropic's clients, the newest first.
var anthropicModels = [...]string{"claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-4-5", "sim-large", "sim-small"}

// serveAnthropicModels answers GET /v1/models to Anthropic's clients, all on one page.
func serveAnthropicModels(*Server, *fasthttp.RequestCtx, string) (*answer, *failure) {
	out := &answer{status: 200, contentType: typeJSON}
	out.put(`{"data":[`)
	for i, name := range anthropicModels {
		if i > 0 {
			out.put(",")
		}
		out.putAnthropicModel(name)
	}
	out.put(`],"has_more":false,"first_id":"` + anthropicModels[0] + `","last_id":"` + anthropicModels[len(anthropicModels)-1] + `"}`)
	return out, nil
}

// serveAnthropicModel answers GET /v1/models/{id} to Anthropic's clients.
func serveAnthropicModel(_ *Server, _ *fasthttp.RequestCtx, id string) (*answer, *failure) {
	name, list, f := pathModel(id)
	if f != nil {
		return nil, f
	}
	out := &answer{status: 200, contentType: typeJSON, model: name, opts: list}
	out.putAnthropicModel(name)
	return out, nil
}

// pathModel reads a model that stands in a path.
func pathModel(id string) (string, settingsList, *failure) {
	if plain, err := url.PathUnescape(id); err == nil {
		id = plain
	}
	return namedModel(id)
}

func (a *answer) putAnthropicModel(name string) {
	a.put(`{"type":"model","id":`)
	a.putJSON(name)
	a.put(`,"display_name":`)
	a.putJSON(name)
	a.put(`,"created_at":"2026-01-15T00:00:00Z","deprecated_at":null,"retires_at":null,"lifecycle":"active","line":null,` +
		`"max_input_tokens":1000000,"max_tokens":128000,"capabilities":null}`)
}

// anthropicEvent begins an event of a stream, up to the members that are its own.
func (a *answer) anthropicEvent(name string) {
	a.put("event: ")
	a.put(name)
	a.put("\ndata: {\"type\":\"")
	a.put(name)
	a.put(`"`)
}
