package openai

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

func TestAppendError(t *testing.T) {
	e := &dialect.Error{Status: 404, Code: "unknown_model", Message: "no model \"x\\y\"\n\x01 é \xff", Param: "model"}
	got := Codec{}.AppendError([]byte("|"), e, "req_1")
	assert.Equal(t, `|{"error":{"message":"no model \"x\\y\"\n\u0001 é `+"\uFFFD"+
		`","type":"invalid_request_error","param":"model","code":"unknown_model"},"request_id":"req_1"}`, string(got))
	assert.True(t, json.Valid(got[1:]))
	assert.Equal(t, `{"error":{"message":"","type":"server_error","param":null,"code":"internal"}}`,
		string(Codec{}.AppendError(nil, &dialect.Error{Status: 500, Code: "internal"}, "")))
	body := `{"error":{"message":"the provider's own words"}}`
	assert.Equal(t, body, string(Codec{}.AppendError(nil, &dialect.Error{Status: 400, Code: "invalid_request", Body: []byte(body)}, "req_1")))
}

func TestErrorTypes(t *testing.T) {
	for code, test := range map[string]struct {
		status int
		want   string
	}{
		"invalid_json": {400, "invalid_request_error"}, "unauthenticated": {401, "invalid_request_error"}, "forbidden": {403, "request_forbidden"},
		"not_found": {404, "invalid_request_error"}, "body_too_large": {413, "invalid_request_error"}, "rate_limited": {429, "rate_limit_error"},
		"budget_exhausted": {429, "insufficient_quota"}, "upstream_error": {502, "server_error"}, "not_cached": {504, "server_error"},
	} {
		assert.Equal(t, test.want, errorType(&dialect.Error{Status: test.status, Code: code}), code)
	}
}

func TestAppendStreamError(t *testing.T) {
	e := &dialect.Error{Status: 502, Code: "upstream_protocol", Message: "the provider's stream broke off"}
	for _, op := range []dialect.Op{dialect.OpChat, dialect.OpCompletions} {
		got := Codec{}.AppendStreamError(nil, op, e, "req_1")
		n := stream.Next(got)
		require.Equal(t, len(got), n, "one event, and no [DONE]")
		_, data, _ := stream.Fields(got, nil)
		kind, err := Codec{}.Event(op, new(dialect.Stream), nil, data)
		require.NoError(t, err)
		assert.Equal(t, dialect.Failed, kind)
	}
}

func TestAppendStreamErrorOfResponses(t *testing.T) {
	var st dialect.Stream
	created := `{"type":"response.created","sequence_number":0,"response":{"id":"resp_9","model":"m","created_at":7}}`
	_, err := Codec{}.Event(dialect.OpResponses, &st, nil, []byte(created))
	require.NoError(t, err)
	e := &dialect.Error{Status: 504, Code: "upstream_timeout", Message: "too slow", Stream: &st}
	type failed struct {
		Type     string
		Sequence int64 `json:"sequence_number"`
		Response struct {
			ID, Model, Status, Object string
			CreatedAt                 int64 `json:"created_at"`
			Error                     struct{ Code, Message string }
			Output                    []any
		}
	}
	read := func(e *dialect.Error) (f failed) {
		got := Codec{}.AppendStreamError(nil, dialect.OpResponses, e, "req_1")
		require.Equal(t, len(got), stream.Next(got))
		name, data, _ := stream.Fields(got, nil)
		assert.Equal(t, "response.failed", string(name))
		require.NoError(t, json.Unmarshal(data, &f))
		assert.Equal(t, "response.failed", f.Type)
		assert.Equal(t, "failed", f.Response.Status)
		assert.Equal(t, "upstream_timeout", f.Response.Error.Code)
		kind, err := Codec{}.Event(dialect.OpResponses, new(dialect.Stream), name, data)
		require.NoError(t, err)
		assert.Equal(t, dialect.Failed, kind)
		return f
	}
	f := read(e)
	assert.Equal(t, int64(1), f.Sequence)
	assert.Equal(t, "resp_9", f.Response.ID)
	assert.Equal(t, int64(7), f.Response.CreatedAt)
	e.Stream = nil
	assert.Equal(t, "resp_req_1", read(e).Response.ID, "before the provider gave an id")
}
