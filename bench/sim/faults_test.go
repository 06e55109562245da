package sim_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

// operation is one kind of request; body has room for the model and further members.
type operation struct {
	name, path, body string
	streamed         bool
}

var operations = []operation{
	{"chat", "/v1/chat/completions", `{"model":"MODEL","messages":[{"role":"user","content":"Hello"}]}`, false},
	{"chat stream", "/v1/chat/completions", `{"model":"MODEL","stream":true,"messages":[{"role":"user","content":"Hello"}]}`, true},
	{"tools stream", "/v1/chat/completions", `{"model":"MODEL","stream":true,"messages":[{"role":"user","content":"go f"}],` +
		`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}}}}}]}`, true},
	{"completions", "/v1/completions", `{"model":"MODEL","prompt":"Hello"}`, false},
	{"completions stream", "/v1/completions", `{"model":"MODEL","stream":true,"prompt":"Hello"}`, true},
	{"responses", "/v1/responses", `{"model":"MODEL","input":"Hello"}`, false},
	{"responses stream", "/v1/responses", `{"model":"MODEL","stream":true,"input":"Hello"}`, true},
	{"embeddings", "/v1/embeddings", `{"model":"MODEL","input":"Hello"}`, false},
	{"images", "/v1/images/generations", `{"model":"MODEL","prompt":"Hello"}`, false},
	{"speech", "/v1/audio/speech", `{"model":"MODEL","input":"Hello","voice":"alloy"}`, false},
	{"messages", "/v1/messages", `{"model":"MODEL","max_tokens":500,"messages":[{"role":"user","content":"Hello"}]}`, false},
	{"messages stream", "/v1/messages", `{"model":"MODEL","max_tokens":500,"stream":true,"messages":[{"role":"user","content":"Hello"}]}`, true},
	{"messages tools stream", "/v1/messages", `{"model":"MODEL","max_tokens":500,"stream":true,"messages":[{"role":"user","content":"go f"}],` +
		`"tools":[{"name":"f","input_schema":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}}}}]}`, true},
	{"contents", "/v1beta/models/MODEL:generateContent", `{"contents":[{"parts":[{"text":"Hello"}]}]}`, false},
	{"contents stream", "/v1beta/models/MODEL:streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"Hello"}]}]}`, true},
	{"contents array", "/v1beta/models/MODEL:streamGenerateContent", `{"contents":[{"parts":[{"text":"Hello"}]}]}`, false},
	{"embed contents", "/v1beta/models/MODEL:embedContent", `{"content":{"parts":[{"text":"Hello"}]}}`, false},
}

func (op operation) with(model string) string { return strings.Replace(op.body, "MODEL", model, 1) }

func (op operation) at(url, model string) string {
	return url + strings.Replace(op.path, "MODEL", model, 1)
}

// dialect is OpenAI's, Anthropic's or Gemini's.
func (op operation) dialect() string {
	switch {
	case strings.HasPrefix(op.path, "/v1/messages"):
		return "anthropic"
	case strings.HasPrefix(op.path, "/v1beta/"):
		return "gemini"
	}
	return "openai"
}

func (op operation) post(t testing.TB, url, model string) (*http.Response, string, error) {
	t.Helper()
	return post(t, op.at(url, model), op.with(model), "anthropic-version", anthropicVersion)
}

func (op operation) answered(t testing.TB, url, model string) string {
	t.Helper()
	return answered(t, op.at(url, model), op.with(model), "anthropic-version", anthropicVersion)
}

// complete tells whether got is a good answer to the end.
func (op operation) complete(got string) bool {
	switch {
	case op.name == "speech":
		return strings.HasPrefix(got, "RIFF") && len(got) == 44+8000
	case op.path == "/v1/responses" && op.streamed:
		return strings.Contains(got, "event: response.completed\n") && eventsParse(got)
	case op.dialect() == "anthropic" && op.streamed:
		return strings.HasSuffix(got, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n") && eventsParse(got)
	case op.dialect() == "gemini" && op.streamed:
		return strings.Contains(got, `"finishReason":"STOP"`) && eventsParse(got)
	case op.streamed:
		return strings.HasSuffix(got, "data: [DONE]\n\n") && eventsParse(got)
	}
	return json.Valid([]byte(got)) && !strings.Contains(got, `"error": {`) && !strings.Contains(got, `"error":{`)
}

// eventsParse tells whether the data of every event but the last [DONE] is JSON.
func eventsParse(stream string) bool {
	stream = strings.ReplaceAll(stream, "\r\n", "\n")
	for _, ev := range strings.Split(strings.TrimSuffix(stream, "\n\n"), "\n\n") {
		_, data, _ := strings.Cut(ev, "data: ")
		if data != "[DONE]" && !json.Valid([]byte(data)) {
			return false
		}
	}
	return true
}

func TestGoodAnswers(t *testing.T) {
	_, url := start(t, sim.Options{})
	for _, op := range operations {
		assert.True(t, op.complete(op.answered(t, url, "m")), op.name)
	}
}

func TestErrorFaults(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 100})
	f := func(op operation, kind string, status int, want string) {
		t.Helper()
		resp, got, err := op.post(t, url, "m;fail="+kind)
		require.NoError(t, err, op.name)
		assert.Equal(t, status, resp.StatusCode, op.name)
		assert.Contains(t, got, want, op.name)
		log := srv.Requests()
		last := log[len(log)-1]
		assert.Equal(t, kind, last.Fault)
		assert.Equal(t, "m", last.Model)
		assert.Equal(t, status, last.Status)
	}
	type failure struct {
		kind   string
		status int
		want   string
	}
	own := map[string][]failure{
		"openai": {
			{"429", 429, "rate_limit_exceeded"}, {"quota", 429, "insufficient_quota"}, {"500", 500, "server_error"},
			{"503", 503, "service_unavailable"}, {"overloaded", 503, "server_is_overloaded"}, {"401", 401, "invalid_api_key"},
			{"error200", 200, "server_error"},
		},
		"anthropic": {
			{"429", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"`}, {"quota", 402, "billing_error"},
			{"500", 500, "api_error"}, {"503", 503, "api_error"}, {"overloaded", 529, "overloaded_error"},
			{"401", 401, "authentication_error"}, {"error200", 200, "overloaded_error"},
		},
		"gemini": {
			{"429", 429, "RESOURCE_EXHAUSTED"}, {"quota", 429, "google.rpc.QuotaFailure"}, {"500", 500, "INTERNAL"},
			{"503", 503, "UNAVAILABLE"}, {"overloaded", 503, "The model is overloaded"}, {"401", 401, "UNAUTHENTICATED"},
			{"error200", 200, "INTERNAL"},
		},
	}
	for _, op := range operations {
		for _, one := range own[op.dialect()] {
			f(op, one.kind, one.status, one.want)
		}
		f(op, "502", 502, "<html>")
		f(op, "garbage", 200, "captive portal")
	}
}

func TestRateLimitSaysWhenToRetry(t *testing.T) {
	_, url := start(t, sim.Options{})
	for _, op := range operations {
		resp, got, err := op.post(t, url, "m;fail=429;retry_after=1500ms")
		require.NoError(t, err)
		assert.Equal(t, "2", resp.Header.Get("Retry-After"), op.name)
		switch op.dialect() {
		case "openai":
			assert.Equal(t, "1500", resp.Header.Get("Retry-After-Ms"), op.name)
			assert.NotEmpty(t, resp.Header.Get("X-Request-Id"), op.name)
		case "anthropic":
			assert.Contains(t, got, `"request_id":"`+resp.Header.Get("Request-Id")+`"`, op.name)
		case "gemini":
			assert.Contains(t, got, `"retryDelay":"1.5s"`, op.name)
		}
	}
}

func TestRefusedResetsTheConnection(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 20})
	for _, op := range operations {
		_, _, err := op.post(t, url, "m;fail=refused")
		assert.True(t, errors.Is(err, syscall.ECONNRESET), "%s: %v", op.name, err)
	}
	for _, rec := range srv.Requests() {
		assert.Zero(t, rec.Status)
		assert.Equal(t, sim.StateCut, rec.State)
	}
}

func TestEmpty(t *testing.T) {
	_, url := start(t, sim.Options{})
	for _, op := range operations {
		assert.Empty(t, op.answered(t, url, "m;fail=empty"), op.name)
	}
}

func TestCut(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 20})
	for _, op := range operations {
		_, got, err := op.post(t, url, "m;fail=cut")
		assert.True(t, errors.Is(err, io.ErrUnexpectedEOF), "%s: %v", op.name, err)
		assert.NotEmpty(t, got, op.name)
		assert.False(t, op.complete(got), op.name)
	}
	for _, rec := range srv.Requests() {
		assert.Equal(t, sim.StateCut, rec.State)
	}
}

func TestCutClean(t *testing.T) {
	_, url := start(t, sim.Options{})
	for _, op := range operations {
		got := op.answered(t, url, "m;fail=cut-clean")
		assert.NotEmpty(t, got, op.name)
		assert.False(t, op.complete(got), op.name)
		assert.NotContains(t, got, "[DONE]")
		assert.NotContains(t, got, `"finish_reason":"`)
		assert.NotContains(t, got, "message_stop")
	}
}

func TestMalformed(t *testing.T) {
	_, url := start(t, sim.Options{})
	for _, op := range operations {
		got := op.answered(t, url, "m;fail=malformed")
		assert.False(t, op.complete(got), op.name)
		if op.streamed {
			assert.False(t, eventsParse(got), op.name)
			assert.True(t, strings.HasSuffix(strings.ReplaceAll(got, "\r", ""), "\n\n"), op.name)
		}
	}
}

func TestErrorMid(t *testing.T) {
	_, url := start(t, sim.Options{})
	for _, op := range operations {
		got := op.answered(t, url, "m;fail=error-mid")
		assert.Contains(t, got, `"error":`, op.name)
		if op.streamed {
			assert.True(t, eventsParse(got), op.name)
			assert.NotContains(t, got, "[DONE]", op.name)
			assert.NotContains(t, got, "message_stop", op.name)
			assert.NotContains(t, got, "finishReason", op.name)
			assert.Greater(t, strings.Count(got, "data: "), 2, op.name)
		}
	}
}

func TestFailedResponseKeepsItsIdentity(t *testing.T) {
	_, url := start(t, sim.Options{})
	got := answered(t, url+"/v1/responses", `{"model":"m;fail=error-mid;fail_after=3","stream":true,"input":"Hello"}`)
	events := strings.Split(strings.TrimSuffix(got, "\n\n"), "\n\n")
	type event struct {
		Type     string `json:"type"`
		Seq      int    `json:"sequence_number"`
		Response struct {
			ID      string `json:"id"`
			Status  string `json:"status"`
			Created int64  `json:"created_at"`
			Error   *struct {
				Code string `json:"code"`
			} `json:"error"`
		} `json:"response"`
	}
	var first, last event
	read := func(ev string, into *event) {
		_, data, _ := strings.Cut(ev, "data: ")
		require.NoError(t, json.Unmarshal([]byte(data), into))
	}
	read(events[0], &first)
	read(events[len(events)-1], &last)
	assert.Equal(t, "response.failed", last.Type)
	assert.Equal(t, len(events)-1, last.Seq)
	assert.Equal(t, first.Response.ID, last.Response.ID)
	assert.Equal(t, first.Response.Created, last.Response.Created)
	assert.Equal(t, "failed", last.Response.Status)
	require.NotNil(t, last.Response.Error)
	assert.Equal(t, "server_error", last.Response.Error.Code)
	assert.Equal(t, 3, strings.Count(got, "event: response.output_text.delta\n"))
}

func TestFailAfterCountsContent(t *testing.T) {
	_, url := start(t, sim.Options{})
	f := func(after string, want int) {
		t.Helper()
		got := answered(t, url+"/v1/chat/completions", operations[1].with("m;chunks=8;fail=cut-clean;fail_after="+after))
		assert.Equal(t, want, strings.Count(got, `"delta":{"content":`))
	}
	f("0", 0)
	f("1", 1)
	f("5", 5)
	f("99", 8)
}

func TestStallHoldsUntilTheClientLeaves(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 50})
	for _, op := range operations {
		before := len(srv.Requests())
		begun := time.Now()
		req, err := http.NewRequestWithContext(timeout(t, 60*time.Millisecond), "POST", op.at(url, "m;fail=stall"), strings.NewReader(op.with("m;fail=stall")))
		require.NoError(t, err)
		req.Header.Set("Anthropic-Version", anthropicVersion)
		resp, got, err := do(req)
		require.Error(t, err, op.name)
		require.NotNil(t, resp, op.name)
		assert.NotEmpty(t, got, op.name)
		assert.False(t, op.complete(got), op.name)
		assert.GreaterOrEqual(t, time.Since(begun), 55*time.Millisecond, op.name)
		rec := eventually(t, srv, before, sim.StateClientGone)
		assert.WithinDuration(t, time.Now(), *rec.Ended, 100*time.Millisecond, op.name)
	}
	assert.EqualValues(t, len(operations), srv.Stats().ClientGone)
	assert.Zero(t, srv.Stats().OpenStreams)
}

func TestStallEndsAtShutdown(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 5})
	done := make(chan error, 1)
	go func() {
		_, _, err := post(t, url+operations[1].path, operations[1].with("m;fail=stall"))
		done <- err
	}()
	require.Eventually(t, func() bool { return srv.Stats().OpenStreams == 1 }, time.Second, time.Millisecond)
	begun := time.Now()
	require.NoError(t, srv.Shutdown(timeout(t, 5*time.Second)))
	assert.Less(t, time.Since(begun), 2*time.Second)
	assert.Error(t, <-done)
	assert.Equal(t, sim.StateStopped, srv.Requests()[0].State)
}

func TestSlow(t *testing.T) {
	_, url := start(t, sim.Options{})
	for _, op := range operations {
		begun := time.Now()
		got := op.answered(t, url, "m;fail=slow;fail_delay=60ms")
		assert.GreaterOrEqual(t, time.Since(begun), 60*time.Millisecond, op.name)
		assert.True(t, op.complete(got), op.name)
	}
}

func TestFailRate(t *testing.T) {
	srv, url := start(t, sim.Options{FailRate: 0.3, Fail: "503", Seed: 1, LogSize: 200})
	failed := 0
	for range 200 {
		resp, _, err := post(t, url+operations[0].path, operations[0].with("m"))
		require.NoError(t, err)
		if resp.StatusCode == 503 {
			failed++
		}
	}
	assert.InDelta(t, 60, failed, 25)
	assert.EqualValues(t, failed, srv.Stats().Faults["503"])
	resp, _, err := post(t, url+operations[0].path, operations[0].with("m;fail="))
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode, "a request may ask for a good answer")
}

func TestScript(t *testing.T) {
	srv, url := start(t, sim.Options{})
	script := `[{"fail":"500","count":2},{"fail":""},{"fail":"503","model":"b"},{"fail":"429","path":"/v1/models","count":-1}]`
	resp, _, err := post(t, url+"/sim/script", script)
	require.NoError(t, err)
	require.Equal(t, 204, resp.StatusCode)
	f := func(model string, want int) {
		t.Helper()
		resp, _, err := post(t, url+operations[0].path, operations[0].with(model))
		require.NoError(t, err)
		assert.Equal(t, want, resp.StatusCode)
	}
	for range 2 {
		list, _, err := do(get(t, url+"/v1/models"))
		require.NoError(t, err)
		assert.Equal(t, 429, list.StatusCode, "a path takes in every method, and -1 never ends")
	}
	f("a", 500)
	f("b", 500)
	f("a", 200)
	f("a", 200)
	f("b;ttft=1ms", 503)
	f("b", 200)
	require.NoError(t, srv.Script(sim.Step{Fail: "500"}))
	srv.ClearScript()
	f("a", 200)
}

func TestScriptIsCheckedWhole(t *testing.T) {
	_, url := start(t, sim.Options{})
	for _, bad := range []string{`{"fail":"500"}`, `[{"fail":""},{"fail":"nonsense"}]`, `[{"set":"ttft=soon"}]`} {
		resp, got, err := post(t, url+"/sim/script", bad)
		require.NoError(t, err)
		assert.Equal(t, 400, resp.StatusCode, bad)
		assert.Contains(t, got, "error")
	}
	_, got, err := do(get(t, url+"/sim/script"))
	require.NoError(t, err)
	assert.JSONEq(t, `[]`, got)
}

func TestHeadersChooseTheFault(t *testing.T) {
	_, url := start(t, sim.Options{})
	resp, _, err := post(t, url+operations[0].path, operations[0].with("m;fail=429"), "x-sim-fail", "503")
	require.NoError(t, err)
	assert.Equal(t, 503, resp.StatusCode)
	req := get(t, url+"/v1/models")
	req.Header.Set("X-Sim-Fail", "500")
	resp, _, err = do(req)
	require.NoError(t, err)
	assert.Equal(t, 500, resp.StatusCode)
}
