package sim

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"
)

// gemini is the dialect of Gemini's API, but for streams that are one JSON array.
type gemini struct{}

// geminiArray is the dialect of such streams.
type geminiArray struct{ gemini }

// googleKey is the header in which Gemini's SDKs show their key.
const googleKey = "X-Goog-Api-Key"

const keyReason = `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com",` +
	`"metadata":{"service":"generativelanguage.googleapis.com"}}`

var geminiManners = manners{
	faults: map[fault]*failure{
		fault429: {status: 429, message: "Resource has been exhausted (e.g. check quota)."},
		faultQuota: {status: 429, message: "You exceeded your current quota, please check your plan and billing details.",
			details: `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{` +
				`"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests",` +
				`"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"250"}]}`},
		fault500:        {status: 500, message: "An internal error has occurred. Please retry."},
		fault503:        {status: 503, message: "The service is currently unavailable."},
		faultOverloaded: {status: 503, message: "The model is overloaded. Please try again later."},
		fault401:        {status: 401, message: "Request had invalid authentication credentials."},
		faultError200:   {status: 200, message: "An internal error has occurred. Please retry."},
	},
	notJSON: failure{status: 400, message: "Invalid JSON payload received."},
	noModel: "models/%s is not found for API version v1beta, or is not supported for generateContent. " +
		"Call ListModels to see the list of available models and their supported methods.",
	noKey: failure{status: 403, message: "Method doesn't allow unregistered callers (callers without established identity). " +
		"Please use API Key or other form of API consumer identity to call this API."},
	wrongKey: failure{status: 400, message: "API key not valid. Please pass a valid API key.", details: keyReason},
}

func (gemini) manners() *manners { return &geminiManners }

func (gemini) credential(ctx *fasthttp.RequestCtx) []byte {
	if key := ctx.Request.Header.Peek(googleKey); len(key) > 0 {
		return key
	}
	if key := ctx.QueryArgs().Peek("key"); len(key) > 0 {
		return key
	}
	return bearer(ctx)
}

func (gemini) appendError(dst []byte, f *failure) []byte {
	code, status := geminiStatus(f.status)
	dst = append(dst, "{\n  \"error\": {\n    \"code\": "...)
	dst = appendInt(dst, code)
	dst = append(dst, ",\n    \"message\": "...)
	dst = appendJSON(dst, f.message)
	dst = append(dst, ",\n    \"status\": \""+status+`"`...)
	details := f.details
	if f.status == 429 && details == "" {
		details = fmt.Sprintf(`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"%gs"}`, f.retry.Seconds())
	}
	if details != "" {
		dst = append(dst, ",\n    \"details\": ["+details+"]"...)
	}
	return append(dst, "\n  }\n}\n"...)
}

// geminiStatus is the code and the name by which an error of a status is known; what pretends to be good is 500.
func geminiStatus(status int) (code int, name string) {
	switch status {
	case 400:
		return status, "INVALID_ARGUMENT"
	case 401:
		return status, "UNAUTHENTICATED"
	case 403:
		return status, "PERMISSION_DENIED"
	case 404, 405:
		return status, "NOT_FOUND"
	case 429:
		return status, "RESOURCE_EXHAUSTED"
	case 503:
		return status, "UNAVAILABLE"
	case 504:
		return status, "DEADLINE_EXCEEDED"
	}
	return 500, "INTERNAL"
}

func (d gemini) appendStreamError(dst, _ []byte, f *failure) []byte {
	object := bytes.ReplaceAll(d.appendError(nil, f), []byte("\n"), nil)
	dst = append(append(dst, "data: "...), object...)
	return append(dst, "\r\n\r\n"...)
}

func (d geminiArray) appendStreamError(dst, sent []byte, f *failure) []byte {
	open := byte('[')
	if len(sent) > 0 {
		open = ','
	}
	return append(d.appendError(append(dst, open), f), ']')
}

// badArgument is the failure of a request to Gemini that says something wrong.
func badArgument(format string, args ...any) *failure {
	return &failure{status: 400, message: fmt.Sprintf(format, args...)}
}

// member returns member key of v, a name in camel case, in that or in snake case: Gemini takes both.
func member(v *fastjson.Value, key string) *fastjson.Value {
	if m := field(v, key); m != nil {
		return m
	}
	var snake strings.Builder
	for i := range len(key) {
		if c := key[i]; c >= 'A' && c <= 'Z' {
			snake.WriteByte('_')
			snake.WriteByte(c + 'a' - 'A')
		} else {
			snake.WriteByte(c)
		}
	}
	return field(v, snake.String())
}

// geminiListed are the models that the provider names to Gemini's clients.
var geminiListed = [...]string{"gemini-3-pro", "gemini-3-flash", "gemini-embedding-001", "sim-small", "sim-large"}

// serveGeminiModels answers GET /v1beta/models, all on one page.
func serveGeminiModels(*Server, *fasthttp.RequestCtx, string) (*answer, *failure) {
	out := &answer{status: 200, contentType: typeJSON}
	out.put(`{"models":[`)
	for i, name := range geminiListed {
		if i > 0 {
			out.put(",")
		}
		out.putGeminiModel(name)
	}
	out.put("]}")
	return out, nil
}

// serveGeminiModel answers GET /v1beta/models/{model}.
func serveGeminiModel(_ *Server, _ *fasthttp.RequestCtx, id string) (*answer, *failure) {
	name, list, f := pathModel(id)
	if f != nil {
		return nil, f
	}
	out := &answer{status: 200, contentType: typeJSON, model: name, opts: list}
	out.putGeminiModel(name)
	return out, nil
}

func (a *answer) putGeminiModel(name string) {
	a.put(`{"name":`)
	a.putJSON("models/" + name)
	a.put(`,"version":"001","displayName":`)
	a.putJSON(name)
	a.put(`,"description":"A model of the simulated provider.","inputTokenLimit":1048576,"outputTokenLimit":65536,` +
		`"supportedGenerationMethods":["generateContent","countTokens","embedContent","batchEmbedContents"],` +
		`"temperature":1,"topP":0.95,"topK":64,"maxTemperature":2,"thinking":true}`)
}
