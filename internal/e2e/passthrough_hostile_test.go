package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPassThroughKeepsToAllowedModels tries to have the provider read another model than the node has checked.
func TestPassThroughKeepsToAllowedModels(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "upstream-x", "")).
		model("dear", "", target("sim", "dear-x", "")).key("ann", "models: [m], passthrough: [sim]").String())
	ann := n.as(t, "ann")
	const images = "/v1/images/generations"
	to := func(contentType string) []string { return append([]string{"content-type", contentType}, toSim...) }
	dear := `{"model":"dear-x","prompt":"a cat"}`
	for _, kind := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded", "application/vnd.x+json", "", "TEXT/JSON; charset=utf-8"} {
		ann.do("POST", images, "\n "+dear, to(kind)...).wantError(t, 404, "unknown_model")
		a := ann.do("POST", images, `{"model":"m","prompt":"a cat"}`, "content-type", kind)
		assert.Equal(t, 200, a.status, a.brief())
	}
	ann.do("POST", images, dear, to(`multipart/form-data; boundary=a; boundary=b`)...).wantError(t, 400, "invalid_request")
	ann.do("POST", images, `{"model":"m","model":"dear-x","prompt":"a cat"}`, to("text/plain")...).wantError(t, 400, "invalid_json")

	for _, models := range [][]string{{"m", "dear-x"}, {"dear-x", "m"}} {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for _, model := range models {
			require.NoError(t, w.WriteField("model", model))
		}
		part, err := w.CreateFormFile("file", "sound.wav")
		require.NoError(t, err)
		_, err = part.Write([]byte("sound"))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		a := ann.do("POST", "/v1/audio/transcriptions", b.String(), to(w.FormDataContentType())...)
		a.wantError(t, 400, "invalid_request")
	}

	for _, path := range []string{chatPath + "/", "/v1/responses/", "/v1/embeddings//", "/v1//completions/"} {
		ann.do("POST", path, ask("m", "slash")).wantError(t, 404, "not_found")
		ann.do("POST", path, ask("dear-x", "slash"), toSim...).wantError(t, 404, "not_found")
	}
	for _, r := range p.requests(t) {
		assert.Equal(t, "upstream-x", r.Model, r.Body)
		assert.Equal(t, "application/json", r.Headers["content-type"], "what was read as JSON is sent as JSON")
	}
	assert.Len(t, p.requests(t), 6)
}

// TestContentType asks without naming the body's type, as curl does.
func TestContentType(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	ann := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "x", "")).key("ann", "").String()).as(t, "ann")
	for _, kind := range []string{"", "application/x-www-form-urlencoded", "application/json; charset=utf-8"} {
		assert.Equal(t, 200, ann.chat(ask("m", "typed"), "content-type", kind).status)
	}
	for _, r := range p.requests(t) {
		assert.Equal(t, "application/json", r.Headers["content-type"])
	}
}

// oracle is a provider that answers by path, and remembers what it was asked.
type oracle struct {
	mu      sync.Mutex
	answers map[string]oracleAnswer // by method and path
	asked   []oracleRequest
}

type oracleAnswer struct {
	status     int
	kind, body string
}

type oracleRequest struct {
	*http.Request
	body string
}

func (o *oracle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, oracleRequest{r, string(body)})
	a, ok := o.answers[r.Method+" "+r.URL.Path]
	if !ok {
		a = oracleAnswer{200, "application/json", `{"object":"thing"}`}
	}
	w.Header().Set("Content-Type", a.kind)
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// requests are those since the last call.
func (o *oracle) requests() []oracleRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	asked := o.asked
	o.asked = nil
	return asked
}

// hostileNode is a node before an oracle under two names: ann and eve are tenants with pass-through rights, cat has
// none. Ann has the file file-ann-1 at sim.
func hostileNode(t *testing.T, answers map[string]oracleAnswer) (*node, *oracle) {
	t.Helper()
	o := &oracle{answers: map[string]oracleAnswer{"POST /v1/files": {200, "application/json", `{"id":"file-ann-1"}`}}}
	for path, a := range answers {
		o.answers[path] = a
	}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("sk-0123456789abcdef"), 0o600))
	addr := strings.TrimPrefix(server.URL, "http://")
	n := startNode(t, (&catalog{}).at("sim", addr, `, api_key: "file:`+secret+`"`).at("other", addr, "").
		model("m", "", target("sim", "x", "")).
		key("ann", "models: [m], passthrough: [sim, other]").
		key("eve", "models: [m], passthrough: [sim, other], may: [direct]").key("cat", "models: [m]").String())
	require.Equal(t, 200, n.as(t, "ann").do("POST", "/v1/files", "{}", toSim...).status)
	o.requests()
	return n, o
}

// hostile is a request that must not reach the provider.
type hostile struct {
	who, method, path, kind, body string
	status                        int
	code                          string
}

func TestPassThroughRefuses(t *testing.T) {
	t.Parallel()
	n, o := hostileNode(t, nil)
	const (
		js   = "application/json"
		form = "application/x-www-form-urlencoded"
		file = "file-ann-1"
	)
	part := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n--b--\r\n"
	}
	for _, h := range []hostile{
		{"cat", "GET", "/v1/files", js, `{"model":"m"}`, 403, "forbidden"},
		{"cat", "GET", "/v1/organization/users", js, `{"model":"m"}`, 403, "forbidden"},
		{"cat", "DELETE", "/v1/threads", js, `{"model":"m"}`, 403, "forbidden"},
		{"cat", "PUT", "/v1/threads", js, `{"model":"m"}`, 403, "forbidden"},
		{"cat", "POST", "/v1/organization/projects", js, `{"model":"m"}`, 403, "forbidden"},
		{"eve", "GET", "/v1/organization", js, "", 403, "forbidden"},

		{"eve", "get", "/v1/files", js, "", 405, "method_not_allowed"},
		{"eve", "TRACE", "/v1/files", js, "", 405, "method_not_allowed"},
		{"eve", "PROPFIND", "/v1/files", js, "", 405, "method_not_allowed"},

		{"eve", "POST", "/v1/batches", js, `{"model":"m","input_file_id":"` + file + `"}`, 404, "not_found"},
		{"eve", "POST", "/v1/responses/compact", js, `{"model":"m","previous_response_id":"resp_1"}`, 404, "not_found"},
		{"eve", "POST", "/v1/responses/input_tokens", js, `{"model":"m","previous_response_id":"resp_1"}`, 404, "not_found"},
		{"eve", "POST", "/v1/responses", js, `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":"` + file + `"}]}]}`, 404, "not_found"},
		{"eve", "POST", "/v1/responses", js, `{"model":"m","input":"x","tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]}`, 404, "not_found"},
		{"eve", "POST", "/v1/responses", js, `{"model":"m","input":"x","tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["` + file + `"]}}]}`, 404, "not_found"},
		{"eve", "POST", "/v1/responses", js, `{"model":"m","input":"x","tools":[{"type":"code_interpreter","container":"cntr_1"}]}`, 404, "not_found"},
		{"eve", "POST", "/v1/responses", js, `{"model":"m","input":"x","conversation":{"id":"conv_1"}}`, 404, "not_found"},
		{"eve", "POST", chatPath, js, `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file\u005fid":"` + file + `"}}]}]}`, 404, "not_found"},

		{"eve", "POST", "/v1/things", "multipart/form-data; boundary=b", part("x", file), 404, "not_found"},
		{"eve", "POST", "/v1/things", "multipart/form-data; boundary=b", part("file_ids[0]", "unknown"), 404, "not_found"},
		{"eve", "POST", "/v1/things", "multipart/form-data; boundary=b", "--b\n" + part("x", file), 400, "invalid_request"},
		{"eve", "POST", "/v1/things", "multipart/mixed; boundary=b", part("x", file), 400, "invalid_request"},
		{"eve", "POST", "/v1/things", form, "x=a%2C%20" + file, 404, "not_found"},
		{"eve", "POST", "/v1/things", form, "file_id=unknown", 404, "not_found"},
		{"eve", "POST", "/v1/things", form, "model=dear", 400, "invalid_request"},
		{"eve", "POST", "/v1/things?model=dear", js, "{}", 400, "invalid_request"},
		{"eve", "GET", "/v1/things?after=%66ile-ann-1", js, "", 404, "not_found"},
		{"eve", "GET", "/v1/things?file_id=unknown", js, "", 404, "not_found"},
		{"eve", "POST", "/v1/things", "application/vnd.x+json", `{"x":"` + file + `"}`, 404, "not_found"},
		{"eve", "POST", "/v1/things", "text/plain", file + "\n", 404, "not_found"},
		{"eve", "POST", "/v1/things", js, "\xef\xbb\xbf" + `{"x":"` + file + `"}`, 400, "invalid_json"},
		{"eve", "POST", "/v1/things", "text/plain", "\xff\xfe{\x00}\x00", 400, "invalid_json"},
		{"eve", "POST", "/v1/things", "text/plain", `["` + file + `"]`, 400, "invalid_json"},
		{"eve", "PUT", "/v1/things", js, `{"x":"` + file + `"}`, 404, "not_found"},
		{"eve", "PATCH", "/v1/things", js, `{"x":["` + file + `"]}`, 404, "not_found"},
		{"eve", "POST", "/v1/things", js, `{"` + file + `":1}`, 404, "not_found"},
		{"eve", "POST", "/v1/things", js, `{"x":" ` + file + `\n"}`, 404, "not_found"},
		{"eve", "POST", "/v1/things", js, `{"x":[` + strings.Repeat(`"id-1234567",`, 2000) + `1]}`, 400, "invalid_request"},

		{"eve", "POST", chatPath, js, `{"model":"sim/a\r\nb","messages":[]}`, 400, "invalid_request"},
		{"eve", "POST", "/v1/things", js, `{"model":"sim/\u0007"}`, 400, "invalid_request"},
	} {
		n.as(t, h.who).do(h.method, h.path, h.body, append([]string{"content-type", h.kind}, toSim...)...).wantError(t, h.status, h.code)
		assert.Empty(t, o.requests(), "%+v", h)
	}
	ann := n.as(t, "ann")
	for _, body := range []string{`{"model":"m","input_file_id":"` + file + `"}`, `{"input_file_id":"` + file + `","metadata":{"file_id":"mine"}}`} {
		assert.Equal(t, 200, ann.do("POST", "/v1/batches", body, toSim...).status, body)
	}
	assert.Len(t, o.requests(), 2)
}

// An object is its owner's at one provider; a file of the same name may be another's elsewhere.
func TestObjectsBelongToProviders(t *testing.T) {
	t.Parallel()
	n, o := hostileNode(t, nil)
	ann, eve := n.as(t, "ann"), n.as(t, "eve")
	toOther := []string{"x-wedge-provider", "other"}
	ann.get("/v1/files/file-ann-1", toOther...).wantError(t, 404, "not_found")
	assert.Equal(t, 200, eve.do("POST", "/v1/files", "{}", toOther...).status)
	assert.Equal(t, 200, eve.get("/v1/files/file-ann-1", toOther...).status)
	eve.get("/v1/files/file-ann-1", toSim...).wantError(t, 404, "not_found")
	for _, method := range []string{"GET", "HEAD", "PATCH", "DELETE"} {
		assert.Equal(t, 200, ann.do(method, "/v1/files/file-ann-1", "", toSim...).status, method)
	}
	assert.Len(t, o.requests(), 6)
}

// Lists that cannot be filtered are not passed on, whatever they call themselves.
func TestPassThroughFiltersLists(t *testing.T) {
	t.Parallel()
	const js = "application/json"
	answers := map[string]oracleAnswer{
		"GET /v1/array":  {200, js, `[{"id":"file-ann-1"}]`},
		"GET /v1/agents": {200, js, `{"agents":[{"id":"file-ann-1"}]}`},
		"GET /v1/object": {200, js, `{"data":{"id":"file-ann-1"}}`},
		"GET /v1/null":   {200, js, `{"data":null}`},
		"GET /v1/text":   {200, "text/plain", "file-ann-1"},
		"GET /v1/events": {200, "text/event-stream", "data: file-ann-1\n\n"},
		"GET /v1/files": {200, "Application/JSON; charset=utf-8", `{"object":"list","data":[{"id":"file-ann-1"},{"id":"file-nobody"},{"x":1}],
			"first_id":"file-ann-1","last_id":"file-nobody","next":"file-ann-1","has_more":false,"extra":[{"id":"file-ann-1"}]}`},
	}
	n, _ := hostileNode(t, answers)
	ann, eve := n.as(t, "ann"), n.as(t, "eve")
	for _, path := range []string{"array", "agents", "object", "null", "text", "events"} {
		a := eve.get("/v1/"+path, toSim...)
		a.wantError(t, 502, "upstream_protocol")
		assert.NotContains(t, a.body, "file-", path)
	}
	assert.JSONEq(t, `{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}`, eve.get("/v1/files", toSim...).body)
	assert.JSONEq(t, `{"object":"list","data":[{"id":"file-ann-1"}],"first_id":"file-ann-1","last_id":"file-ann-1","next":"file-ann-1","has_more":false}`,
		ann.get("/v1/files", toSim...).body)
}

// What a provider says of a refusal is passed on, unless it shows the operator's key.
func TestProvidersWordsKeepItsKey(t *testing.T) {
	t.Parallel()
	answers := map[string]oracleAnswer{}
	for path, words := range map[string]string{"good": "bad temperature", "whole": "you sent sk-0123456789abcdef", "half": "key …89abcdef"} {
		answers["POST /v1/"+path] = oracleAnswer{400, "application/json", fmt.Sprintf(`{"error":{"message":%q,"type":"x","param":null,"code":null}}`, words)}
	}
	n, _ := hostileNode(t, answers)
	ann := n.as(t, "ann")
	assert.Contains(t, ann.do("POST", "/v1/good", `{"model":"m"}`).body, "bad temperature")
	for _, path := range []string{"whole", "half"} {
		a := ann.do("POST", "/v1/"+path, `{"model":"m"}`)
		a.wantError(t, 400, "invalid_request")
		assert.NotContains(t, a.body, "89abcdef")
	}
}

// What a request that names a model has made is its tenant's.
func TestObjectsMadeByModelAreOwned(t *testing.T) {
	t.Parallel()
	n, _ := hostileNode(t, map[string]oracleAnswer{
		"POST /v1/fine_tuning/jobs": {200, "application/json", `{"id":"ftjob-1","training_file":"file-ann-1"}`},
		"POST /v1/echo":             {200, "application/json", `{"id":"file-operators"}`},
	})
	ann, eve := n.as(t, "ann"), n.as(t, "eve")
	made := ann.do("POST", "/v1/fine_tuning/jobs", `{"model":"m","training_file":"file-ann-1"}`)
	require.Equal(t, 200, made.status, made.body)
	assert.Equal(t, 200, ann.get("/v1/fine_tuning/jobs/ftjob-1", toSim...).status)
	eve.get("/v1/fine_tuning/jobs/ftjob-1", toSim...).wantError(t, 404, "not_found")

	assert.Equal(t, 200, eve.do("POST", "/v1/echo", `{"id":"file-operators"}`, toSim...).status)
	eve.get("/v1/files/file-operators", toSim...).wantError(t, 404, "not_found")
}

func TestHeadersThatStayHere(t *testing.T) {
	t.Parallel()
	n, o := hostileNode(t, nil)
	ann, key := n.as(t, "ann"), keyOf("ann")
	a := ann.do("POST", "/v1/things?x=1&KEY="+key+"&api-key="+key+"&key=y", `{"model":"m"}`, "Connection", "x-foo", "X-Foo", "1",
		"OpenAI-Organization", "org", "OpenAI-Project", "proj", "X-Auth-Token", key, "X-HTTP-Method-Override", "DELETE",
		"X-Original-URL", "/v1/organization", "X-Kept", "yes")
	require.Equal(t, 200, a.status, a.body)
	asked := o.requests()
	require.Len(t, asked, 1)
	h := asked[0].Header
	for _, name := range []string{"X-Foo", "OpenAI-Organization", "OpenAI-Project", "X-Auth-Token", "X-HTTP-Method-Override", "X-Original-URL"} {
		assert.Empty(t, h.Get(name), name)
	}
	assert.Equal(t, "yes", h.Get("X-Kept"))
	assert.Equal(t, "x=1", asked[0].URL.RawQuery)
	assert.JSONEq(t, `{"model":"x"}`, asked[0].body)
}

// A key that is sent where a name belongs shows nowhere.
func TestKeysInOddPlacesAreMasked(t *testing.T) {
	t.Parallel()
	n, _ := hostileNode(t, nil)
	ann, key := n.as(t, "ann"), keyOf("ann")
	for _, a := range []*answer{
		ann.chat(ask(key, "x")), ann.get("/v1/files/"+key, toSim...), ann.get("/v1/files", "x-wedge-provider", "x"+key),
		ann.get("/v1/models/" + key),
	} {
		assert.NotContains(t, a.body, key[16:])
		var explained map[string]any
		e := n.operator(t).get("/explain/" + a.header.Get("X-Request-Id"))
		require.NoError(t, json.Unmarshal([]byte(e.body), &explained), e.body)
		assert.NotContains(t, e.body, key[16:])
	}
}
