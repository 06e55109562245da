package sim

import (
	"math"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"
)

// openai is the dialect of OpenAI's API, but for the streams of responses.
type openai struct{}

var openaiManners = manners{
	requestID: "X-Request-Id", retryMillis: true,
	faults: map[fault]*failure{
		fault429: {status: 429, kind: "requests", code: "rate_limit_exceeded",
			message: "Rate limit reached for requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again later."},
		faultQuota: {status: 429, kind: "insufficient_quota", code: "insufficient_quota",
			message: "You exceeded your current quota, please check your plan and billing details."},
		fault500: {status: 500, kind: "server_error",
			message: "The server had an error while processing your request. Sorry about that!"},
		fault503: {status: 503, kind: "server_error", code: "service_unavailable",
			message: "The engine is currently overloaded, please try again later."},
		faultOverloaded: {status: 503, kind: "server_error", code: "server_is_overloaded",
			message: "Our servers are currently overloaded. Please try again later."},
		fault401: {status: 401, kind: "invalid_request_error", code: "invalid_api_key",
			message: "Incorrect API key provided: sim-*****. You can find your API key at http://localhost/sim."},
		faultError200: {status: 200, kind: "server_error", code: "server_error",
			message: "The server had an error while processing your request. Sorry about that!"},
	},
	notJSON: failure{status: 400, kind: "invalid_request_error",
		message: "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your " +
			"HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you " +
			"have trouble figuring out how to fix this, please contact us through our help center at help.openai.com.)"},
	noModel: "The model `%s` does not exist or you do not have access to it.",
	noKey: failure{status: 401, kind: "invalid_request_error",
		message: "You didn't provide an API key. You need to provide your API key in an Authorization header using " +
			"Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."},
	wrongKey: failure{status: 401, kind: "invalid_request_error", code: "invalid_api_key",
		message: "Incorrect API key provided. Start the simulated provider with the same --api-key."},
}

func (openai) manners() *manners { return &openaiManners }

func (openai) credential(ctx *fasthttp.RequestCtx) []byte { return bearer(ctx) }

func (openai) appendError(dst []byte, f *failure) []byte {
	dst = append(dst, "{\n  \"error\": {\n    \"message\": "...)
	dst = appendJSON(dst, f.message)
	dst = append(dst, ",\n    \"type\": "...)
	dst = appendJSON(dst, f.kind)
	dst = append(dst, ",\n    \"param\": "...)
	dst = appendNullable(dst, f.param)
	dst = append(dst, ",\n    \"code\": "...)
	dst = appendNullable(dst, f.code)
	return append(dst, "\n  }\n}\n"...)
}

func (openai) appendStreamError(dst, _ []byte, f *failure) []byte {
	dst = appendJSON(append(dst, `data: {"error":{"message":`...), f.message)
	dst = appendJSON(append(dst, `,"type":`...), f.kind)
	dst = appendJSON(append(dst, `,"param":null,"code":`...), f.code)
	return append(dst, "}}\n\n"...)
}

func missing(param string) *failure {
	return invalid(param, "missing_required_parameter", "Missing required parameter: '%s'.", param)
}

func wrongType(param, want string, got *fastjson.Value) *failure {
	return invalid(param, "invalid_type", "Invalid type for '%s': expected %s, but got %s instead.",
		param, want, typeName(got))
}

func typeName(v *fastjson.Value) string {
	switch v.Type() {
	case fastjson.TypeObject:
		return "an object"
	case fastjson.TypeArray:
		return "an array"
	case fastjson.TypeString:
		return "a string"
	case fastjson.TypeNumber:
		return "a number"
	case fastjson.TypeNull:
		return "null"
	default:
		return "a boolean"
	}
}

// field returns member key of v; absent and null are nil alike.
func field(v *fastjson.Value, key string) *fastjson.Value {
	m := v.Get(key)
	if m == nil || m.Type() == fastjson.TypeNull {
		return nil
	}
	return m
}

// integer reads member key of v, which may be absent: then it returns fallback.
func integer(v *fastjson.Value, key string, low, high, fallback int) (int, *failure) {
	m := field(v, key)
	if m == nil {
		return fallback, nil
	}
	f, err := m.Float64()
	if err != nil || f != math.Trunc(f) {
		return 0, wrongType(key, "an integer", m)
	}
	if f < float64(low) {
		return 0, invalid(key, "integer_below_min_value",
			"Invalid '%s': integer below minimum value. Expected a value >= %d, but got %v instead.", key, low, f)
	}
	if f > float64(high) {
		return 0, invalid(key, "integer_above_max_value",
			"Invalid '%s': integer above maximum value. Expected a value <= %d, but got %v instead.", key, high, f)
	}
	return int(f), nil
}

// decimal checks that member key of v, if there, is a number within bounds.
func decimal(v *fastjson.Value, key string, low, high float64) *failure {
	m := field(v, key)
	if m == nil {
		return nil
	}
	f, err := m.Float64()
	switch {
	case err != nil:
		return wrongType(key, "a decimal", m)
	case f < low:
		return invalid(key, "decimal_below_min_value",
			"Invalid '%s': decimal below minimum value. Expected a value >= %v, but got %v instead.", key, low, f)
	case f > high:
		return invalid(key, "decimal_above_max_value",
			"Invalid '%s': decimal above maximum value. Expected a value <= %v, but got %v instead.", key, high, f)
	}
	return nil
}

// flag reads the boolean member key of v; absent is false.
func flag(v *fastjson.Value, key string) (bool, *failure) {
	m := field(v, key)
	if m == nil {
		return false, nil
	}
	b, err := m.Bool()
	if err != nil {
		return false, wrongType(key, "a boolean", m)
	}
	return b, nil
}

// missingModel is the one model that this provider does not have.
const missingModel = "missing-model"

// modelOf reads the model of a request and parts it from the settings it carries.
func modelOf(v *fastjson.Value) (name string, list settingsList, f *failure) {
	m := field(v, "model")
	if m == nil {
		return "", "", missing("model")
	}
	b, err := m.StringBytes()
	if err != nil {
		return "", "", wrongType("model", "a string", m)
	}
	return namedModel(string(b))
}

// namedModel parts a full model name and checks both parts.
func namedModel(full string) (name string, list settingsList, f *failure) {
	name, rest, _ := strings.Cut(full, ";")
	if name == "" {
		return "", "", missing("model")
	}
	if err := new(settings).setAll(rest); err != nil {
		return "", "", invalid("model", "invalid_setting", "Invalid 'model': %v.", err)
	}
	return name, settingsList(rest), knownModel(name)
}

func knownModel(name string) *failure {
	if name != missingModel {
		return nil
	}
	return &failure{status: 404, kind: "invalid_request_error", code: codeNoModel, model: name}
}

// stopsOf reads "stop": a string or up to four of them.
func stopsOf(v *fastjson.Value) ([]string, *failure) {
	m := field(v, "stop")
	if m == nil {
		return nil, nil
	}
	if b, err := m.StringBytes(); err == nil {
		return []string{string(b)}, nil
	}
	list, err := m.Array()
	if err != nil {
		return nil, wrongType("stop", "a string or an array of strings", m)
	}
	if len(list) > 4 {
		return nil, invalid("stop", "array_above_max_length",
			"Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length %d instead.", len(list))
	}
	var stops []string
	for _, item := range list {
		b, err := item.StringBytes()
		if err != nil {
			return nil, wrongType("stop", "an array of strings", item)
		}
		stops = append(stops, string(b))
	}
	return stops, nil
}

// head is how a completion and all of its chunks begin, up to the inside of their choices.
type head struct {
	text  []byte
	stamp int // where the creation time stands
}

func newHead(id, object, model, more string) head {
	var h head
	h.text = append(h.text, `{"id":"`+id+`","object":"`+object+`","created":`...)
	h.stamp = len(h.text)
	h.text = appendJSON(append(h.text, noStamp+`,"model":`...), model)
	h.text = append(h.text, more...)
	h.text = append(h.text, `,"system_fingerprint":"`+fingerprint(model)+`","choices":[`...)
	return h
}

func (a *answer) putHead(h head) {
	a.stamps = append(a.stamps, len(a.body)+h.stamp)
	a.body = append(a.body, h.text...)
}

// grow makes room for a number of events that begin with h.
func (a *answer) grow(events int, h head) {
	a.body = slices.Grow(a.body, events*(len(h.text)+eventExtra))
	a.events = slices.Grow(a.events, events)
	a.stamps = slices.Grow(a.stamps, events)
}

// eventExtra is about what an event holds besides its head, in bytes.
const eventExtra = 110

// putUsage appends OpenAI's usage object for chat and text completions.
func (a *answer) putUsage() {
	a.put(`{"prompt_tokens":`)
	a.putInt(a.in)
	a.put(`,"completion_tokens":`)
	a.putInt(a.out)
	a.put(`,"total_tokens":`)
	a.putInt(a.in + a.out)
	a.put(`,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":`)
	a.putInt(a.thought)
	a.put(`,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`)
}

// putLogprob appends one token's log probability with top alternatives; all follow from the token alone.
func (a *answer) putLogprob(token string, top int) {
	a.putCandidate(token, 0)
	a.put(`,"top_logprobs":[`)
	for i := range top {
		if i > 0 {
			a.put(",")
		}
		a.putCandidate(rival(token, i), i)
		a.put("}")
	}
	a.put("]}")
}

// putCandidate appends the members of a token that is the rank-th likeliest, and leaves the object open.
func (a *answer) putCandidate(token string, rank int) {
	a.put(`{"token":`)
	a.putJSON(token)
	a.put(`,"logprob":`)
	a.putFloat(logprob(token, rank))
	a.put(`,"bytes":[`)
	for i := range len(token) {
		if i > 0 {
			a.put(",")
		}
		a.putInt(int(token[i]))
	}
	a.put("]")
}

// rival is the token that might have stood at the place of token, with the given rank; rank 0 is token itself.
func rival(token string, rank int) string {
	if rank == 0 {
		return token
	}
	return " " + words[(len(token)+rank)%len(words)]
}

func logprob(token string, rank int) float64 {
	return -float64(1+len(token)*37%100)/1000 - 0.7*float64(rank)
}
