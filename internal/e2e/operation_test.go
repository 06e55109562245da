package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// operationNode is a node with a cache, an experiment and prices.
func operationNode(t *testing.T, args ...string) (*node, *provider) {
	p := startProvider(t)
	one := `targets: [` + target("sim", "x", "") + `]`
	c := (&catalog{}).at("sim", p.addr, "").
		key("ann", "tenant: one, may: [direct], passthrough: [sim]").key("bob", "tenant: one").key("eve", "tenant: two")
	c.models = []string{`{name: m, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.0.0, status: production, ` + one +
		`}, {version: 1.1.0, status: staging, ` + one + `}]}`}
	c.model("failing", "", target("sim", "x;fail=500", "")).model("broken", "", target("sim", "x;fail=malformed;ttft=10ms;tps=400", ""))
	c.experiments = []string{`{name: split, model: m, status: running, arms: [{name: a, version: 1.0.0, weight: 1}, {name: b, version: 1.1.0, weight: 1}]}`}
	c.prices = []string{`{provider: sim, model: x, input: 1, output: 2}`}
	return startNode(t, c.String(), args...), p
}

func TestMetricNames(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t)
	ann := n.as(t, "ann")
	for range 2 {
		require.Equal(t, 200, ann.chat(ask("m", "count me", streamed)).status)
	}
	ann.chat(ask("failing", "count me"))
	a := n.operator(t).get("/metrics")
	assert.Contains(t, a.header.Get("Content-Type"), "text/plain")
	for _, name := range []string{
		"wedge_request_seconds_bucket{", "wedge_overhead_seconds_sum ", "wedge_time_to_first_token_seconds_count{",
		`wedge_cache_hits_total{tier="memory"} 1`, `wedge_cache_hits_total{tier="disk"} 0`, "wedge_cache_misses_total 1", `wedge_cache_bytes{tier="disk"}`,
		"wedge_cache_evictions_total{", "wedge_target_healthy{", "wedge_target_inflight{", "wedge_target_latency_seconds{",
		`wedge_bundle_info{digest="` + n.status(t).Bundle.Digest, "wedge_bundle_age_seconds ",
		"go_goroutines ", "process_open_fds ", "process_resident_memory_bytes ",
	} {
		assert.Contains(t, a.body, "\n"+name)
	}
	count := func(name string, labels ...string) float64 { return n.metric(t, name, labels...) }
	assert.EqualValues(t, 1, count("wedge_requests_total", `model="m"`, `version="1.`, `provider="sim"`, `code="200"`, `cache="miss"`))
	assert.EqualValues(t, 1, count("wedge_requests_total", `model="m"`, `provider="sim"`, `code="200"`, `cache="hit-memory"`))
	assert.EqualValues(t, 1, count("wedge_requests_total", `model="failing"`, `version="1.0.0"`, `code="502"`, `cache="bypass"`))
	assert.Positive(t, count("wedge_tokens_total", `model="m"`, `direction="input"`))
	assert.Positive(t, count("wedge_tokens_total", `model="m"`, `direction="output"`))
	assert.Positive(t, count("wedge_cost_usd_total", `model="m"`, `key="ann"`))
	for line := range strings.Lines(a.body) {
		assert.Regexp(t, `^(# (HELP|TYPE) \S+ .+|[a-z_]+(\{([a-z_]+="[^"\n]*",?)+\})? [-+0-9.eInfNa]+)\n$`, line)
	}
}

// TestLabelsAreBounded names models, users, paths and headers of its own by the hundred.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t)
	ann := n.as(t, "ann")
	hostile := func(from, to int) {
		for i := from; i < to; i++ {
			evil := fmt.Sprintf("evil-%d", i)
			assert.Equal(t, 404, ann.chat(ask(evil+"\"},x{\n", "hello")).status)
			assert.Equal(t, 200, ann.chat(ask("sim/"+evil, "hello")).status)
			assert.Equal(t, 200, ann.chat(ask("m", "hello"), "x-wedge-user", evil, "x-wedge-session", evil, "x-wedge-tags", evil+"=1", "user-agent", evil).status)
			ann.do("POST", "/v1/"+evil, "", "x-wedge-provider", "sim")
			ann.do(strings.ToUpper(evil), "/v1/models", "")
		}
	}
	hostile(0, 5)
	before := n.operator(t).get("/metrics").body
	hostile(5, 100)
	after := n.operator(t).get("/metrics").body
	assert.NotContains(t, strings.ToLower(after), "evil")
	assert.Equal(t, strings.Count(before, "\n"), strings.Count(after, "\n"))
}

const canary = "canary-4d1f"

// TestPromptsStayPrivate puts a word into every text of a request and looks for it wherever operators look.
func TestPromptsStayPrivate(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t)
	ann := n.as(t, "ann")
	var ids []string
	for _, body := range []string{
		ask("m", canary), ask("m", canary, streamed), ask("m", canary), ask("failing", canary), ask("broken", canary, streamed),
		ask("m", canary, `"user":"`+canary+`"`, `"metadata":{"`+canary+`":"`+canary+`"}`, weatherTool),
		`{"model":"m","messages":[{"role":"user","content":"` + canary + `"]}`,
		`{"model":"m","messages":[{"role":"user","content":"` + canary + "\xff" + `"}]}`,
		`{"model":"m","messages":[{"role":"user","content":"` + canary + `\ud800"}]}`,
		`{"model":"m","messages":[],"` + canary + `":1,"` + canary + `":2}`,
		`{"model":"m","messages":"` + canary + `"}`,
		`{"model":["` + canary + `"],"messages":[]}`,
		canary,
	} {
		ids = append(ids, ann.chat(body).header.Get("X-Request-Id"))
	}
	a := ann.do("POST", "/v1/feedback", `{"request_id":"`+ids[0]+`","score":1,"label":"`+canary+`","comment":"`+canary+`"}`)
	assert.Equal(t, 200, a.status, a.body)
	ann.do("POST", "/v1/moderations", `{"model":"m","input":"`+canary+`"}`)

	places := map[string]string{
		"access log": string(n.log(t, len(ids)+2)), "stderr": n.output("stderr"), "stdout": n.output("stdout"),
	}
	admin := n.operator(t)
	for _, path := range []string{"/metrics", "/status"} {
		places[path] = admin.get(path).body
	}
	for i, id := range ids {
		explained := admin.get("/explain/" + id)
		assert.Equal(t, 200, explained.status)
		places[fmt.Sprintf("explain %d", i)] = explained.body
	}
	for place, text := range places {
		assert.NotContains(t, text, canary, place)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t)
	ann, admin := n.as(t, "ann"), n.operator(t)
	explain := func(a *answer) (out struct {
		Status     int
		Error      string
		Key, Model string
		Stream     bool
		Version    struct{ Version, Reason string }
		Experiment struct{ Name, Arm, Unit string }
		Cache      struct{ Result, Reason string }
		Provider   string
		Attempts   []struct{ Target, Result string }
		Usage      map[string]int
		CostUSD    *float64 `json:"cost_usd"`
		RequestID  string   `json:"request_id"`
	}) {
		t.Helper()
		admin.getJSON("/explain/"+a.header.Get("X-Request-Id"), &out)
		assert.Equal(t, a.header.Get("X-Wedge-Request-Id"), out.RequestID)
		return out
	}
	miss := explain(ann.chat(ask("m", "explain", streamed)))
	assert.Equal(t, "miss", miss.Cache.Result)
	assert.Equal(t, "experiment", miss.Version.Reason)
	assert.Equal(t, "split", miss.Experiment.Name)
	assert.Equal(t, "ann", miss.Key)
	assert.True(t, miss.Stream)
	require.Len(t, miss.Attempts, 1)
	assert.Equal(t, "ok", miss.Attempts[0].Result)
	assert.Positive(t, miss.Usage["output_tokens"])
	assert.Positive(t, *miss.CostUSD)

	hit := explain(ann.chat(ask("m", "explain")))
	assert.Equal(t, "hit-memory", hit.Cache.Result)
	assert.Empty(t, hit.Attempts)
	assert.Zero(t, *hit.CostUSD)

	failed := explain(ann.chat(ask("failing", "explain")))
	assert.Equal(t, 502, failed.Status)
	assert.Equal(t, "upstream_error", failed.Error)
	assert.Equal(t, "upstream_error", failed.Attempts[0].Result)

	assert.Equal(t, 401, explain(newClient(t, n.data, "").chat(ask("m", "explain"))).Status)
	assert.Equal(t, 404, admin.get("/explain/req_000000000000000000000000").status)
	assert.Equal(t, 404, admin.get("/explain/nonsense").status)
}

func TestAdminPort(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t)
	admin := n.operator(t)
	assert.Equal(t, 200, admin.get("/healthz").status)
	assert.Equal(t, 200, admin.get("/readyz").status)
	assert.Equal(t, 200, admin.get("/debug/pprof/").status)
	assert.Equal(t, 404, admin.get("/nothing").status)
	assert.Equal(t, 405, admin.get("/cache/purge").status)
	_, port, err := net.SplitHostPort(n.admin)
	require.NoError(t, err)
	for _, host := range []string{"localhost", "localhost:" + port, "127.0.0.1", "[::1]:" + port} {
		assert.Equal(t, 200, admin.get("/status", "Host", host).status, host)
	}
	for _, host := range []string{"evil.example", "evil.example:" + port, "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1"} {
		for _, path := range []string{"/status", "/healthz", "/metrics", "/debug/pprof/"} {
			assert.Equal(t, 403, admin.get(path, "Host", host).status, host+path)
		}
	}
	for _, origin := range []string{"https://evil.example", "http://localhost:" + port, "null"} {
		assert.Equal(t, 403, admin.do("POST", "/cache/purge", `{"all":true}`, "Origin", origin).status, origin)
	}
}

// TestAdminPortOffLoopback wants a token on any other address.
func TestAdminPortOffLoopback(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t, "--admin", net.JoinHostPort(outsideAddress(t), "0"))
	path := filepath.Join(n.folder, "node.token")
	token, err := os.ReadFile(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	admin := n.operator(t)
	for _, path := range []string{"/status", "/metrics", "/debug/pprof/", "/explain/x"} {
		assert.Equal(t, 401, admin.get(path).status)
		assert.Equal(t, 401, admin.get(path, "authorization", "Bearer wrong").status)
		assert.NotEqual(t, 401, admin.get(path, "authorization", "Bearer "+string(token)).status)
	}
}

// outsideAddress is an address of this machine that is not loopback.
func outsideAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	t.Skip("this machine has loopback addresses only")
	return ""
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t)
	ann := n.as(t, "ann")
	ids := []string{
		ann.chat(ask("m", "log me", streamed)).header.Get("X-Request-Id"),
		ann.chat(ask("m", "log me")).header.Get("X-Request-Id"),
		ann.chat("{").header.Get("X-Request-Id"),
		newClient(t, n.data, keyOf("stranger")).chat(ask("m", "log me")).header.Get("X-Request-Id"),
		newClient(t, n.data, "").do("POST", chatPath+"?key="+keyOf("ann"), ask("m", "log me")).header.Get("X-Request-Id"),
		ann.get("/v1/models").header.Get("X-Request-Id"),
		ann.get("/v1/\"\\n").header.Get("X-Request-Id"),
	}
	text := n.log(t, len(ids))
	assert.NotContains(t, string(text), keyOf("ann")[16:])
	assert.NotContains(t, string(text), keyOf("stranger")[16:])
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	require.Len(t, lines, len(ids))
	for i, line := range lines {
		var entry map[string]any
		require.NoError(t, json.Unmarshal(line, &entry), string(line))
		assert.Equal(t, ids[i], entry["request_id"])
		assert.Contains(t, entry, "time")
		assert.Contains(t, entry, "duration_us")
		assert.Equal(t, "127.0.0.1", entry["client_ip"])
	}
	var first, second, third map[string]any
	for i, into := range []*map[string]any{&first, &second, &third} {
		require.NoError(t, json.Unmarshal(lines[i], into))
	}
	assert.Equal(t, []any{"ann", "m", "miss", true, 200.0, 1.0}, []any{first["key"], first["model"], first["cache"], first["stream"], first["status"], first["attempts"]})
	assert.Positive(t, first["output_tokens"])
	assert.Equal(t, "hit-memory", second["cache"])
	assert.Equal(t, "invalid_json", third["code"])
	assert.Regexp(t, "^split=[ab]$", first["experiment"])
	info, err := os.Stat(n.accessLog)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestFeedback(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t)
	ann, bob, eve := n.as(t, "ann"), n.as(t, "bob"), n.as(t, "eve")
	a := ann.chat(ask("m", "rate me"))
	id, experiment := a.header.Get("X-Request-Id"), a.header.Get("X-Wedge-Experiment")
	score := func(c *client, body string) *answer { return c.do("POST", "/v1/feedback", body) }

	score(eve, `{"request_id":"`+id+`","score":1}`).wantError(t, 404, "not_found")
	first := score(bob, `{"request_id":"`+id+`","score":0.75,"label":"good","comment":"thanks"}`)
	assert.Equal(t, 200, first.status, first.body)
	assert.Contains(t, first.body, `"counted":true`)
	assert.Contains(t, score(ann, `{"request_id":"`+id+`","score":0}`).body, `"counted":false`)
	_, arm, _ := strings.Cut(experiment, "=")
	assert.EqualValues(t, 1, n.metric(t, "wedge_feedback_total", `model="m"`, `experiment="split"`, `arm="`+arm+`"`))
	assert.InDelta(t, 0.75, n.metric(t, "wedge_feedback_score_total", `arm="`+arm+`"`), 1e-9)

	for _, bad := range []string{`{"score":1}`, `{"request_id":"` + id + `"}`, `{"request_id":"` + id + `","score":1.5}`, `{"request_id":"` + id + `","score":-1}`} {
		score(ann, bad).wantError(t, 400, "invalid_request")
	}
	score(ann, `{`).wantError(t, 400, "invalid_json")
	score(ann, `{"request_id":"req_unknown","score":1}`).wantError(t, 404, "not_found")
	ann.get("/v1/feedback").wantError(t, 405, "method_not_allowed")
	newClient(t, n.data, "").do("POST", "/v1/feedback", `{"request_id":"`+id+`","score":1}`).wantError(t, 401, "unauthenticated")
}

func TestModelLists(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("b", "", target("sim", "x", "")).model("a", "", target("sim", "x", "")).
		key("ann", "").key("bob", "models: [b]").String())
	var list struct {
		Object string
		Data   []struct{ ID, Object string }
	}
	n.as(t, "ann").getJSON("/v1/models", &list)
	assert.Equal(t, "list", list.Object)
	assert.Len(t, list.Data, 2)
	n.as(t, "bob").getJSON("/v1/models", &list)
	require.Len(t, list.Data, 1)
	assert.Equal(t, "b", list.Data[0].ID)
	assert.Equal(t, 200, n.as(t, "bob").get("/v1/models/b").status)
	n.as(t, "bob").get("/v1/models/a").wantError(t, 404, "unknown_model")
}
