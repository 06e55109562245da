package gemini

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestAppendError(t *testing.T) {
	e := &dialect.Error{Status: 429, Code: "rate_limited", Message: "too \"fast\"", Param: "model", RetryAfter: 1500 * time.Millisecond}
	assert.JSONEq(t, `{"error":{"code":429,"message":"too \"fast\"","status":"RESOURCE_EXHAUSTED","details":[
		{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"rate_limited","domain":"wedge"},
		{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"model","description":"too \"fast\""}]},
		{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.5s"},
		{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"req-1"}]}}`,
		string(Codec{}.AppendError(nil, e, "req-1")))
	e.Final = true
	assert.NotContains(t, string(Codec{}.AppendError(nil, e, "")), "Info\",\"ret")
	for status, name := range map[int]string{
		400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "RESOURCE_EXHAUSTED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 405: "INVALID_ARGUMENT",
		408: "DEADLINE_EXCEEDED", 409: "ABORTED", 413: "INVALID_ARGUMENT", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED",
		502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED", 529: "UNAVAILABLE",
	} {
		var got struct{ Error struct{ Status string } }
		require.NoError(t, json.Unmarshal(Codec{}.AppendError(nil, &dialect.Error{Status: status}, ""), &got))
		assert.Equal(t, name, got.Error.Status, status)
	}
}

func TestAppendStreamError(t *testing.T) {
	e := &dialect.Error{Status: 502, Code: "upstream_error", Message: "cut", Body: []byte("{\n \"error\": {\"code\": 500}\n}")}
	assert.Equal(t, "data: {\"error\":{\"code\":500}}\r\n\r\n", string(Codec{}.AppendStreamError(nil, dialect.OpGenerate, e, "r")))
	for _, body := range []string{"", "{\n"} {
		e.Body = nil
		if body != "" {
			e.Body = []byte(body)
		}
		out := Codec{}.AppendStreamError(nil, dialect.OpGenerate, e, "")
		assert.Equal(t, `data: {"error":{"code":502,"message":"cut","status":"UNAVAILABLE","details":[`+
			`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"upstream_error","domain":"wedge"}]}}`+"\r\n\r\n", string(out))
		kind, err := Codec{}.Event(dialect.OpGenerate, new(dialect.Stream), nil, out[6:])
		require.NoError(t, err)
		assert.Equal(t, dialect.Failed, kind)
	}
}

func TestReadError(t *testing.T) {
	const head = `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":`
	quota := func(id string) string {
		return head + `"You exceeded your current quota, please check your plan and billing details.","details":[` +
			`{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"m","quotaId":"` + id + `","quotaDimensions":{"model":"x"},"quotaValue":"250"}]},` +
			`{"@type":"type.googleapis.com/google.rpc.Help","links":[{"description":"d","url":"u"}]},` +
			`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}`
	}
	const plan = "You exceeded your current quota, please check your plan and billing details."
	for body, want := range map[string]dialect.Refusal{
		quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"): {Message: plan, RetryAfter: 34500 * time.Millisecond},
		quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"):    {Message: plan, RetryAfter: 34500 * time.Millisecond, Broke: true},
		head + `"Your prepayment credits are depleted. Please go to AI Studio."}}`: {
			Message: "Your prepayment credits are depleted. Please go to AI Studio.", Broke: true},
		head + `"Your project has exceeded its monthly spending cap."}}`:                                                                      {Message: "Your project has exceeded its monthly spending cap.", Broke: true},
		`{"error":{"code":403,"message":"off","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"BILLING_DISABLED"}]}}`: {Message: "off", Broke: true},
		`[{"error":{"code":400,"message":"API key not valid.","details":[{"reason":"API_KEY_INVALID"}]}}]`:                                    {Message: "API key not valid."},
		`{"error":"nope"}`:          {Message: "nope"},
		`{"message":"caf\u00e9"}`:   {Message: "café"},
		`{"error":{"message":1}}`:   {},
		`{"error":{"message":"a"`:   {},
		`<html>`:                    {},
		`{"error":{"details":"x"}}`: {},
	} {
		assert.Equal(t, want, Codec{}.ReadError(429, []byte(body)), body)
	}
	assert.True(t, Codec{}.ReadError(402, nil).Broke)
	assert.Len(t, Codec{}.ReadError(500, []byte(head+`"x`+strings.Repeat("é", messageMost)+`"}}`)).Message, messageMost-1)
}
