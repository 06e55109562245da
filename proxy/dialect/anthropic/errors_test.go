package anthropic

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestAppendError(t *testing.T) {
	f := func(status int, code, kind string) {
		t.Helper()
		body := Codec{}.AppendError(nil, &dialect.Error{Status: status, Code: code, Message: "say \"why\""}, "req_1")
		assert.Equal(t, `{"type":"error","error":{"type":"`+kind+`","message":"say \"why\""},"request_id":"req_1"}`, string(body))
	}
	f(400, "invalid_request", "invalid_request_error")
	f(405, "method_not_allowed", "invalid_request_error")
	f(401, "unauthenticated", "authentication_error")
	f(403, "forbidden", "permission_error")
	f(404, "unknown_model", "not_found_error")
	f(413, "body_too_large", "request_too_large")
	f(429, "rate_limited", "rate_limit_error")
	f(429, "budget_exhausted", "billing_error")
	f(402, "upstream_error", "billing_error")
	f(504, "upstream_timeout", "timeout_error")
	f(408, "request_timeout", "timeout_error")
	f(503, "overloaded", "overloaded_error")
	f(503, "draining", "overloaded_error")
	f(529, "upstream_error", "overloaded_error")
	f(502, "upstream_error", "api_error")

	body := Codec{}.AppendError([]byte("x"), &dialect.Error{Status: 400, Code: "invalid_request", Message: "must be a number", Param: "top_k"}, "")
	assert.Equal(t, `x{"type":"error","error":{"type":"invalid_request_error","message":"top_k: must be a number"},"request_id":null}`, string(body))
	body = Codec{}.AppendError(nil, &dialect.Error{Body: []byte(`{"own":1}`)}, "r")
	assert.Equal(t, `{"own":1}`, string(body), "a provider's own body stays")
}

func TestAppendStreamError(t *testing.T) {
	e := &dialect.Error{Status: 502, Code: "upstream_error", Message: "it broke"}
	want := "event: error\ndata: " + string(Codec{}.AppendError(nil, e, "r")) + "\n\n"
	assert.Equal(t, want, string(Codec{}.AppendStreamError(nil, dialect.OpMessages, e, "r")))
	kind, err := Codec{}.Event(dialect.OpMessages, new(dialect.Stream), []byte("error"), []byte(strings.TrimPrefix(strings.TrimSpace(want), "event: error\ndata: ")))
	assert.NoError(t, err)
	assert.Equal(t, dialect.Failed, kind)

	e.Body = []byte("{\n \"type\": \"error\"\n}")
	assert.Equal(t, "event: error\ndata: {\"type\":\"error\"}\n\n", string(Codec{}.AppendStreamError(nil, dialect.OpMessages, e, "r")))
	e.Body = []byte("no\nJSON")
	assert.Equal(t, want, string(Codec{}.AppendStreamError(nil, dialect.OpMessages, e, "r")), "what is not JSON cannot stand in an event")
}

func TestReadError(t *testing.T) {
	f := func(status int, body string, want dialect.Refusal) {
		t.Helper()
		assert.Equal(t, want, Codec{}.ReadError(status, []byte(body)), body)
	}
	f(529, `{"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}`, dialect.Refusal{Message: "Overloaded"})
	f(400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}`,
		dialect.Refusal{Message: "Your credit balance is too low to access the Anthropic API.", Broke: true})
	f(400, `{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-12-01"}}`,
		dialect.Refusal{Message: "You have reached your specified API usage limits. You will regain access on 2026-12-01", Broke: true})
	f(402, `{"type":"error","error":{"type":"billing_error","message":"pay"}}`, dialect.Refusal{Message: "pay", Broke: true})
	f(403, `{"type":"error","error":{"type":"billing_error","message":"pay"}}`, dialect.Refusal{Message: "pay", Broke: true})
	f(429, `{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}`, dialect.Refusal{Message: "m", Broke: true})
	f(429, `{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}`, dialect.Refusal{Message: "slow"})
	f(500, `{"error":"plain"}`, dialect.Refusal{Message: "plain"})
	f(500, `{"detail":"x"}`, dialect.Refusal{Message: "x"})
	f(500, `{"error":{"mess\u0061ge":"escaped\n"}}`, dialect.Refusal{Message: "escaped\n"})
	f(502, `<html>`, dialect.Refusal{})
	f(502, `{"error":{"message":"cut`, dialect.Refusal{})
	f(502, ``, dialect.Refusal{})
	f(502, `[{"error":1}]`, dialect.Refusal{})
	long, _ := json.Marshal(map[string]string{"error": strings.Repeat("é", 600)})
	assert.Equal(t, strings.Repeat("é", 500), Codec{}.ReadError(500, long).Message)
}
