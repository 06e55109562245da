package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// Answers as an origin gives them.
const (
	modelAnswer = `{"kind":"model","name":"support-bot","version":12,"created":"2026-11-01T00:00:00Z","updated":"2026-11-23T11:30:00Z","body":{
		"name":"support-bot","unit":"user","cache":{"mode":"exact","ttl":"1h"},"policies":["redact"],"versions":[
		{"version":"0.9.0","status":"deprecated","targets":[{"provider":"openai","model":"gpt-4o"}]},
		{"version":"1.0.0","status":"production","strategy":"weighted","prompt":"support-system@2.1.0","targets":[
			{"provider":"openai","model":"gpt-5-mini","weight":90},{"provider":"eu","model":"gpt-5-mini","weight":10}]},
		{"version":"1.1.0","status":"staging","targets":[{"provider":"openai","model":"gpt-5"}]}]}}`
	resultAnswer = `{"epoch":1763,"rev":13,"changes":[{"kind":"key","name":"team-a","action":"delete"}]}`
	promoted     = `{"epoch":1763,"rev":14,"changes":[
		{"kind":"version","name":"support-bot@1.0.0","action":"update","fields":[{"path":"status","before":"production","after":"deprecated"}]},
		{"kind":"version","name":"support-bot@1.1.0","action":"update","fields":[{"path":"status","before":"staging","after":"production"}]}],
		"gates":[{"name":"catalog","passed":true},{"name":"lifecycle","passed":true},{"name":"targets","passed":true,"message":"2 answer"},
		{"name":"traffic","passed":false,"skipped":true}],"model":"support-bot","version":"1.1.0","status":"production","former":"1.0.0"}`
	totals = `{"version":"1.0.0","status":"production","requests":1200,"errors":6,"error_rate":0.005,"cache_hits":300,"input_tokens":120000,
		"output_tokens":60000,"cost_nano_usd":1234567890,"mean_ms":410.5,"p50_ms":380,"p95_ms":900.25,"mean_ttft_ms":120}`
	nodeAnswer = `{"name":"shop-1","region":"eu","version":"v0.5.0","address":"10.0.0.7:8080","state":"held","epoch":1763,"rev":12,
		"digest":"sha256:ab","lag":2,"pinned":true,"drained":false,"reason":"inventory","enrolled":"2026-11-01T00:00:00Z",
		"expires":"2027-01-30T00:00:00Z","seen":"2026-11-23T11:59:50Z","refused":{"epoch":1763,"rev":13,"at":"2026-11-23T11:00:00Z",
		"code":"compile","resource":"policy/redact","message":"no export\nwedge_request"},"report_seq":77}`
)

const signersAnswer = `{"items":[{"name":"0011223344556677","public":"ed25519:old","epoch":1763,"rev":1,"made":"2025-11-23T12:00:00Z","signs":false},
	{"name":"8899aabbccddeeff","public":"ed25519:new","epoch":1763,"rev":20,"made":"2026-11-23T11:59:00Z","signs":true}]}`

const costAnswer = `{"currency":"USD","since":"2026-10-24T12:00:00Z","until":"2026-11-23T12:00:00Z","by":["model","tag:app"],"bucket":"day",
	"timezone":"Europe/Berlin","total":{"cost_usd":"3.5","cost_nano_usd":3500000000,"list_nano_usd":4000000000,"cache_discount_nano_usd":500000000,
	"saved_nano_usd":250000000,"waste_nano_usd":1,"estimated_nano_usd":0,"requests":40,"cache_hits":4,"unpriced":2,"input_tokens":1000,"cached_input_tokens":500,"output_tokens":99},
	"items":[{"start":"2026-11-23T00:00:00+01:00","by":{"model":"support-bot","tag:app":"shop"},"cost_nano_usd":3500000000,"list_nano_usd":4000000000,
	"cache_discount_nano_usd":500000000,"saved_nano_usd":250000000,"waste_nano_usd":1,"requests":38,"input_tokens":1000,"cached_input_tokens":500,"output_tokens":99},
	{"start":"2026-11-23T00:00:00+01:00","by":{"model":"free","tag:app":""},"requests":2,"unpriced":2}]}`

func resources(kind string, more ...string) string {
	items := make([]string, len(more))
	for i, m := range more {
		name, body, _ := strings.Cut(m, "=")
		items[i] = fmt.Sprintf(`{"kind":%q,"name":%q,"version":%d,"created":"2026-11-01T00:00:00Z","updated":"2026-11-20T00:00:00Z","body":%s}`, kind, name, i+3, body)
	}
	return `{"items":[` + strings.Join(items, ",") + `],"next":""}`
}

// verb is a command, and what an origin answers to the one request that it makes.
type verb struct {
	request, answer string
	do              func(ctx context.Context, s *Session) error
}

func get(kind, name string) func(ctx context.Context, s *Session) error {
	return func(ctx context.Context, s *Session) error { return s.Get(ctx, kind, name) }
}

var verbs = map[string]verb{
	"get models":    {"GET /api/v1/models", `{"items":[` + modelAnswer + `]}`, get("models", "")},
	"get model":     {"GET /api/v1/models/support-bot", modelAnswer, get("model", "support-bot")},
	"get providers": {"GET /api/v1/providers", resources("provider", `openai={"name":"openai","dialect":"openai","base_url":"https://api.openai.com/v1"}`), get("providers", "")},
	"get versions":  {"GET /api/v1/versions", resources("version", `m@1.0.0={"version":"1.0.0","status":"production","targets":[{"provider":"a","model":"b","weight":2}]}`), get("Versions", "")},
	"get version": {"GET /api/v1/versions/m@1.0.0", `{"kind":"version","name":"m@1.0.0","version":9,"updated":"2026-11-23T11:59:30Z","body":{"version":"1.0.0"}}`,
		get("version", "m@1.0.0")},
	"get experiments": {"GET /api/v1/experiments", resources("experiment", `e={"model":"m","status":"running","primary":"cost","arms":[{"name":"a","version":"1.0.0","weight":50},{"name":"b","version":"1.1.0","weight":50}]}`), get("experiments", "")},
	"get policies":    {"GET /api/v1/policies", resources("policy", `p={"hooks":["route","done"],"on_error":"deny","module":"sha256:`+strings.Repeat("ab", 32)+`"}`), get("policy", "")},
	"get prompts":     {"GET /api/v1/prompts", resources("prompt", `s@1.0.0={"role":"system","template":"x"}`), get("prompts", "")},
	"get price":       {"GET /api/v1/prices/openai%2Fgpt-5-mini", `{"kind":"price","name":"openai/gpt-5-mini","version":2,"updated":"2026-11-23T10:00:00Z","body":{"input":0.25,"output":2.00}}`, get("price", "openai/gpt-5-mini")},
	"get keys":        {"GET /api/v1/keys", resources("key", `k={"id":"wk_abc","models":["a","b"],"team":"t"}`, `l={"id":"wk_def","models":["*"],"tenant":"acme"}`), get("keys", "")},
	"get budgets":     {"GET /api/v1/budgets", resources("budget", `b={"limit_usd":1000,"period":"monthly","scope":"key"}`), get("budgets", "")},
	"get secrets":     {"GET /api/v1/secrets", resources("secret", `openai={"commit":"sha256:12"}`), get("secrets", "")},
	"get nothing":     {"GET /api/v1/budgets", `{"items":[]}`, get("budgets", "")},
	"get releases": {"GET /api/v1/releases", `{"items":[{"model":"m","version":"1.1.0","from":"1.0.0","state":"running","step":1,"percent":10,
		"started":"2026-11-23T11:50:00Z","requests":120,"errors":1,"actor":"admin"}]}`, get("releases", "")},
	"get nodes": {"GET /api/v1/nodes", `{"items":[` + nodeAnswer + `]}`, get("nodes", "")},

	"model show":   {"GET /api/v1/models/support-bot", modelAnswer, func(ctx context.Context, s *Session) error { return s.ShowModel(ctx, "support-bot") }},
	"model create": {"POST /api/v1/models/support-bot/versions", `{"epoch":1763,"rev":15,"changes":[{"kind":"version","name":"support-bot@1.2.0","action":"create"}],"model":"support-bot","version":"1.2.0","bump":"minor","why":"params.temperature","hash":"sha256:cd"}`, createVersion(false)},
	"model create --dry-run": {"POST /api/v1/models/support-bot/versions", `{"epoch":1763,"rev":14,"dry_run":true,"changes":[{"kind":"version","name":"support-bot@1.2.0","action":"create",
		"after":{"version":"1.2.0","params":{"temperature":0.40}}}],"gates":[{"name":"catalog","passed":true}],"model":"support-bot","version":"1.2.0","bump":"minor","hash":"sha256:cd"}`, createVersion(true)},
	"model promote": {"POST /api/v1/models/support-bot/promote", promoted, promote(Promotion{})},
	"model promote --dry-run": {"POST /api/v1/models/support-bot/promote", strings.Replace(promoted, `"rev":14`, `"rev":14,"dry_run":true`, 1), promote(Promotion{
		DryRun: true, To: "production", Skip: []string{"traffic"}, MinRequests: 100, MaxErrorRate: 0.01, Window: wire.Duration(time.Hour)})},
	"model promote --canary": {"POST /api/v1/models/support-bot/promote", `{"epoch":1763,"rev":14,"changes":[{"kind":"release","name":"support-bot","action":"create"}],
		"model":"support-bot","version":"1.1.0","status":"staging","former":"1.0.0","release":{"model":"support-bot","version":"1.1.0","state":"running","percent":12.5}}`,
		promote(Promotion{Canary: &Canary{Steps: []float64{12.5, 50}, Every: wire.Duration(10 * time.Minute), MaxErrorRate: 0.02, MinRequests: 30}})},
	"model promote --at": {"POST /api/v1/models/support-bot/promote", `{"epoch":1763,"rev":14,"changes":[],"model":"support-bot","version":"1.1.0","status":"staging",
		"release":{"model":"support-bot","version":"1.1.0","state":"scheduled","at":"2027-01-31T06:00:00Z"}}`, promote(Promotion{At: &later})},
	"model rollback": {"POST /api/v1/models/support-bot/rollback", `{"epoch":1763,"rev":16,"changes":[],"model":"support-bot","version":"1.0.0","status":"production","former":"1.1.0"}`,
		func(ctx context.Context, s *Session) error {
			return s.Rollback(ctx, Rollback{Model: "support-bot", To: "1.0.0"})
		}},
	"model diff": {"GET /api/v1/models/support-bot/diff?from=1.0.0&to=1.1.0", `{"model":"support-bot","from":"1.0.0","to":"1.1.0","bump":"major","fields":[
		{"path":"targets[0].model","before":"gpt-5-mini","after":"gpt-5"},{"path":"params","after":{"temperature":0.20}}],"metrics":[` + totals + `]}`, diffVersions},
	"model diff alike": {"GET /api/v1/models/support-bot/diff?from=1.0.0&to=1.1.0", `{"model":"support-bot","from":"1.0.0","to":"1.1.0","bump":"none","same_hash":true,"fields":[]}`, diffVersions},
	"model metrics": {"GET /api/v1/models/support-bot/metrics?since=1h0m0s", `{"items":[` + totals + `]}`,
		func(ctx context.Context, s *Session) error { return s.Metrics(ctx, "support-bot", time.Hour) }},
	"model release cancel": {"DELETE /api/v1/releases/support-bot", `{"epoch":1763,"rev":17,"changes":[]}`,
		func(ctx context.Context, s *Session) error { return s.CancelRelease(ctx, "support-bot") }},

	"cost": {"GET /api/v1/cost?bucket=day&by=model%2Ctag%3Aapp&limit=100000&since=30d&tz=Europe%2FBerlin&where=key%3Ateam-a", costAnswer,
		func(ctx context.Context, s *Session) error {
			return s.ShowCost(ctx, CostQuery{By: []string{"model", "tag:app"}, Since: "30d", Where: []string{"key:team-a"}, Bucket: "day", Timezone: "Europe/Berlin"})
		}},

	"key create": {"POST /api/v1/keys", `{"epoch":1763,"rev":13,"changes":[],"name":"team-a","id":"wk_abc","key":"wk_abc_secret"}`,
		func(ctx context.Context, s *Session) error {
			return s.CreateKey(ctx, "team-a", map[string]any{"models": []string{"support-bot"}, "rate": map[string]any{"requests": "100/s"}})
		}},
	"key rotate": {"POST /api/v1/keys/team-a/rotate", `{"epoch":1763,"rev":13,"changes":[],"name":"team-a","id":"wk_def","key":"wk_def_secret"}`,
		func(ctx context.Context, s *Session) error { return s.RotateKey(ctx, "team-a") }},
	"key revoke": {"DELETE /api/v1/keys/team-a?reason=contract+ended", resultAnswer, func(ctx context.Context, s *Session) error {
		s.Reason = "contract ended"
		return s.Delete(ctx, "key", "team-a")
	}},
	"secret put": {"PUT /api/v1/secrets/openai", `{"epoch":1763,"rev":13,"changes":[{"kind":"secret","name":"openai","action":"update"}]}`,
		func(ctx context.Context, s *Session) error { return s.PutSecret(ctx, "openai", "sk-verysecret") }},
	"token create": {"POST /api/v1/tokens", `{"name":"ci","role":"operator","token":"wo_new_secret"}`,
		func(ctx context.Context, s *Session) error { return s.CreateToken(ctx, "ci", "operator") }},
	"token list": {"GET /api/v1/tokens", `{"items":[{"name":"admin","role":"admin","public":"wo_abc","made":"2026-11-20T12:00:00Z"}]}`,
		func(ctx context.Context, s *Session) error { return s.ListTokens(ctx) }},
	"token revoke": {"DELETE /api/v1/tokens/ci", "", func(ctx context.Context, s *Session) error { return s.RevokeToken(ctx, "ci") }},

	"signer list": {"GET /api/v1/signer", signersAnswer, func(ctx context.Context, s *Session) error { return s.ListSigners(ctx) }},
	"signer rotate": {"POST /api/v1/signer/rotate?reason=yearly", signersAnswer, func(ctx context.Context, s *Session) error {
		s.Reason = "yearly"
		return s.RotateSigner(ctx)
	}},
	"signer retire": {"DELETE /api/v1/signer/0011223344556677", `{"name":"0011223344556677"}`, func(ctx context.Context, s *Session) error {
		return s.RetireSigner(ctx, "0011223344556677")
	}},

	"node invite": {"POST /api/v1/nodes/invite", `{"token":"wj_abc","expires":"2026-11-23T13:00:00Z"}`,
		func(ctx context.Context, s *Session) error {
			return s.Invite(ctx, Invitation{Name: "shop-1", Region: "eu", TTL: wire.Duration(time.Hour)})
		}},
	"node list": {"GET /api/v1/nodes", `{"items":[` + nodeAnswer + `,{"name":"shop-2","state":"online","epoch":1763,"rev":14,"seen":"2026-11-23T11:59:59Z"},{"name":"shop-3","state":"offline"}]}`,
		func(ctx context.Context, s *Session) error { return s.ListNodes(ctx) }},
	"node show":  {"GET /api/v1/nodes/shop-1", nodeAnswer, func(ctx context.Context, s *Session) error { return s.ShowNode(ctx, "shop-1") }},
	"node drain": {"POST /api/v1/nodes/shop-1/drain?reason=new+disk", "", step("drain", "new disk")},
	"node pin":   {"POST /api/v1/nodes/shop-1/pin", nodeAnswer, step("pin", "")},
	"node remove": {"DELETE /api/v1/nodes/shop-1", "", func(ctx context.Context, s *Session) error {
		return s.RemoveNode(ctx, "shop-1")
	}},
	"fleet": {"GET /api/v1/fleet", `{"epoch":1763,"rev":14,"chain":"aa","issued":"2026-11-23T11:59:00Z","rollout":{"stage":"held","canary":14,"tenth":12,"all":12,
		"since":"2026-11-23T11:59:01Z","waiting":1,"held":{"rev":14,"node":"shop-1","code":"compile","message":"no export"}},"nodes":3,"online":2,
		"spread":[{"epoch":1763,"rev":14,"nodes":1,"online":1},{"epoch":1763,"rev":12,"nodes":2,"online":1}]}`,
		func(ctx context.Context, s *Session) error { return s.Fleet(ctx) }},
	"fleet done": {"GET /api/v1/fleet", `{"epoch":1763,"rev":14,"issued":"2026-11-20T11:59:00Z","rollout":{"stage":"done","canary":14,"tenth":14,"all":14},"nodes":0,"online":0}`,
		func(ctx context.Context, s *Session) error { return s.Fleet(ctx) }},
	"audit": {"GET /api/v1/audit?before=20&limit=2", `{"items":[{"rev":19,"at":"2026-11-23T11:00:00Z","actor":"ci","reason":"prices","items":[
		{"kind":"price","name":"a/b","action":"update"},{"kind":"price","name":"a/c","action":"update"},{"kind":"price","name":"a/d","action":"create"},
		{"kind":"price","name":"a/e","action":"create"}]},{"rev":18,"at":"2026-11-22T11:00:00Z","actor":"admin","items":[{"kind":"key","name":"k","action":"delete"}]}],"next":18}`,
		func(ctx context.Context, s *Session) error { return s.Audit(ctx, AuditQuery{Before: 20, Limit: 2}) }},
	"actions": {"GET /api/v1/audit/actions?limit=2", `{"items":[{"id":"b","at":"2026-11-23T11:00:00Z","actor":"ann","action":"budget.write-off","subject":"shops","detail":"node \"s\", 7 nano-USD","reason":"burnt"},
		{"id":"a","at":"2026-11-22T11:00:00Z","actor":"admin","action":"token.create","subject":"ci"}],"next":"a"}`,
		func(ctx context.Context, s *Session) error { return s.Actions(ctx, AuditQuery{Limit: 2}) }},
	"audit of one": {"GET /api/v1/audit/price/a%2Fb", `{"items":[{"rev":20,"at":"2026-11-23T11:00:00Z","actor":"ci","body":null},{"rev":19,"at":"2026-11-22T11:00:00Z","actor":"ci","reason":"new","body":{"input":1}}]}`,
		func(ctx context.Context, s *Session) error { return s.History(ctx, "prices", "a/b") }},
}

var later = time.Date(2027, 1, 31, 6, 0, 0, 0, time.UTC)

func createVersion(dry bool) func(ctx context.Context, s *Session) error {
	return func(ctx context.Context, s *Session) error {
		v := NewVersion{Model: "support-bot", From: "1.1.0", Bump: "minor", DryRun: dry}
		return s.CreateVersion(ctx, v, "version.yaml", []byte("params: {temperature: 0.40}\nfallback: [other@1.10]\n"))
	}
}

func promote(p Promotion) func(ctx context.Context, s *Session) error {
	p.Model, p.Version = "support-bot", "1.1.0"
	return func(ctx context.Context, s *Session) error { return s.Promote(ctx, p) }
}

func diffVersions(ctx context.Context, s *Session) error {
	return s.DiffVersions(ctx, "support-bot", "1.0.0", "1.1.0")
}

func step(step, reason string) func(ctx context.Context, s *Session) error {
	return func(ctx context.Context, s *Session) error {
		s.Reason = reason
		return s.StepNode(ctx, "shop-1", step)
	}
}

// Every verb makes one request; the golden file has the request's body and what is printed of the answer.
func TestVerbs(t *testing.T) {
	for name, v := range verbs {
		t.Run(name, func(t *testing.T) {
			f := newFake(t).on(v.request, reply(200, v.answer))
			var golden strings.Builder
			for _, format := range []string{Table, YAML, JSON} {
				s := open(t, f.URL, format)
				require.NoError(t, v.do(t.Context(), s.Session))
				last := f.requests()[len(f.requests())-1]
				require.Equal(t, v.request, last.line())
				switch format {
				case Table:
					fmt.Fprintf(&golden, "> %s %s\n%s--- notes\n%s--- yaml\n", last.line(), last.body, s.out.String(), s.notes.String())
				case YAML:
					golden.WriteString(s.out.String())
				case JSON:
					want := v.answer
					if want == "" {
						want = "{}"
					}
					if strings.Contains(want, `"items":[`) && strings.Contains(want, `],"next":""}`) {
						want = strings.Replace(want, `],"next":""}`, `]}`, 1) // all pages are one
					}
					sameJSON(t, want, s.out.String())
				}
			}
			assert.Len(t, f.requests(), 3)
			testkit.Golden(t, filepath.Join("testdata", strings.NewReplacer(" ", "_", "-", "").Replace(name)+".golden"), []byte(golden.String()))
		})
	}
}

func TestListsOfSeveralPages(t *testing.T) {
	f := newFake(t).
		on("GET /api/v1/keys", reply(200, `{"items":[{"name":"a","body":{}}],"next":"a"}`)).
		on("GET /api/v1/keys?after=a", reply(200, `{"items":[{"name":"b","body":{}}],"next":"b"}`)).
		on("GET /api/v1/keys?after=b", reply(200, `{"items":[{"name":"c","body":{}}]}`))
	s := open(t, f.URL, JSON)
	require.NoError(t, s.Get(t.Context(), "keys", ""))
	sameJSON(t, `{"items":[{"name":"a","body":{}},{"name":"b","body":{}},{"name":"c","body":{}}]}`, s.out.String())
}

// Of the last days, the trail is told to their begin, however many pages that are.
func TestAuditSince(t *testing.T) {
	f := newFake(t).
		on("GET /api/v1/audit?limit=1000", reply(200, `{"items":[{"rev":9,"at":"2026-11-23T11:00:00Z","items":[]},{"rev":8,"at":"2026-11-22T11:00:00Z","items":[]}],"next":8}`)).
		on("GET /api/v1/audit?before=8&limit=1000", reply(200, `{"items":[{"rev":7,"at":"2026-11-21T11:00:00Z","items":[]},{"rev":6,"at":"2026-11-01T11:00:00Z","items":[]}],"next":6}`)).
		on("GET /api/v1/audit/actions?limit=1000", reply(200, `{"items":[{"id":"b","at":"2026-11-23T11:00:00Z"}],"next":"b"}`)).
		on("GET /api/v1/audit/actions?after=b&limit=1000", reply(200, `{"items":[]}`))
	week := AuditQuery{Limit: 2, Since: now.Add(-7 * 24 * time.Hour)}
	s := open(t, f.URL, JSON)
	require.NoError(t, s.Audit(t.Context(), week))
	sameJSON(t, `{"items":[{"rev":9,"at":"2026-11-23T11:00:00Z","items":[]},{"rev":8,"at":"2026-11-22T11:00:00Z","items":[]},{"rev":7,"at":"2026-11-21T11:00:00Z","items":[]}]}`, s.out.String())
	s = open(t, f.URL, JSON)
	require.NoError(t, s.Actions(t.Context(), week))
	sameJSON(t, `{"items":[{"id":"b","at":"2026-11-23T11:00:00Z"}]}`, s.out.String())
}

func TestPagesThatGoInACircleEnd(t *testing.T) {
	f := newFake(t).
		on("GET /api/v1/keys", reply(200, `{"items":[],"next":"a"}`)).
		on("GET /api/v1/keys?after=a", reply(200, `{"items":[],"next":"a"}`))
	require.NoError(t, open(t, f.URL, Table).Get(t.Context(), "keys", ""))
	assert.Len(t, f.lines(), 2)
}

func TestUnknownKind(t *testing.T) {
	s := open(t, "http://127.0.0.1:1", Table)
	for _, err := range []error{s.Get(t.Context(), "modles", ""), s.Delete(t.Context(), "catalog", "x"), s.History(t.Context(), "x", "y")} {
		require.ErrorContains(t, err, "ask for one of catalog, releases, nodes, providers, models, versions,")
	}
}

func TestWholeCatalog(t *testing.T) {
	f := newFake(t).on("GET /api/v1/catalog?format=yaml", reply(200, "models: []\n")).on("GET /api/v1/catalog?format=json", reply(200, `{"models":[]}`))
	for format, want := range map[string]string{Table: "models: []\n", YAML: "models: []\n", JSON: "{\n  \"models\": []\n}\n"} {
		s := open(t, f.URL, format)
		require.NoError(t, s.Get(t.Context(), "catalog", ""))
		assert.Equal(t, want, s.out.String())
	}
}

func TestNamesThatNeedEscapes(t *testing.T) {
	f := newFake(t).on("GET /api/v1/nodes/a%20b%3Fc%23d%25", reply(200, nodeAnswer))
	require.NoError(t, open(t, f.URL, Table).ShowNode(t.Context(), "a b?c#d%"))
}

func TestSecretIsInNoError(t *testing.T) {
	const secret = "sk-verysecret"
	for name, answer := range map[string]string{
		"message": `{"error":{"code":"invalid","message":"the value sk-verysecret is short","problems":[{"message":"sk-verysecret"}]}}`,
		"page":    `sk-verysecret`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t).on("PUT /api/v1/secrets/openai", reply(400, answer))
			s := open(t, f.URL, Table)
			err := s.PutSecret(t.Context(), "openai", secret)
			require.Error(t, err)
			sameJSON(t, `{"value":"sk-verysecret"}`, f.requests()[0].body)
			e, is := errors.AsType[*Error](err)
			require.True(t, is)
			assert.NotContains(t, strings.Join(e.Details(), ""), secret)
			assert.NotContains(t, err.Error()+s.out.String()+s.notes.String(), secret)
			assert.NotContains(t, strings.Join(f.lines(), " "), secret, "nor in an address")
		})
	}
}

func TestEditKeepsWhatOthersChanged(t *testing.T) {
	const experiment = `{"kind":"experiment","name":"e","version":7,"body":{"name":"e","status":"draft","seed":"s","arms":[{"weight":1.50}]}}`
	f := newFake(t).on("GET /api/v1/experiments/e", reply(200, experiment)).on("PUT /api/v1/experiments/e?reason=go", reply(200, resultAnswer))
	s := open(t, f.URL, Table)
	s.Reason = "go"
	require.NoError(t, s.SetStatus(t.Context(), "e", "running"))
	put := f.requests()[1]
	assert.Equal(t, `"7"`, put.header.Get("If-Match"))
	assert.Equal(t, `{"arms":[{"weight":1.50}],"name":"e","seed":"s","status":"running"}`, put.body, "numbers keep their digits")
	assert.Equal(t, "revision 13: 1 change (1 deleted)\n", s.out.String())

	f.on("PUT /api/v1/experiments/e?reason=go", reply(412, `{"error":{"code":"conflict","message":"e is at revision 8"}}`))
	require.EqualError(t, s.SetStatus(t.Context(), "e", "paused"),
		"cannot make the experiment e paused: e is at revision 8; look at what there is now, and try again")
}

// A rollback that ends a release leaves the version in production where it was: it did not take another one's place.
func TestRollbackOfARelease(t *testing.T) {
	for answer, want := range map[string]string{
		`{"rev":9,"model":"m","version":"1.0.0","status":"production","former":"1.1.0","release":{"model":"m","version":"1.1.0","from":"1.0.0","state":"rolled_back"}}`:                "m@1.0.0 is in production; the release of 1.1.0 is rolled back (revision 9)\n",
		`{"rev":9,"dry_run":true,"model":"m","version":"1.0.0","status":"production","former":"1.1.0","release":{"model":"m","version":"1.1.0","from":"1.0.0","state":"rolled_back"}}`: "m@1.0.0 would be in production; the release of 1.1.0 is rolled back; nothing was changed\n",
		`{"rev":9,"model":"m","version":"0.9.0","status":"production","former":"1.0.0","release":{"model":"m","version":"1.1.0","from":"1.0.0","state":"rolled_back"}}`:                "m@0.9.0 is in production, in place of 1.0.0; the release of 1.1.0 is rolled back (revision 9)\n",
	} {
		s := open(t, newFake(t).on("POST /api/v1/models/m/rollback", reply(200, answer)).URL, Table)
		require.NoError(t, s.Rollback(t.Context(), Rollback{Model: "m"}))
		assert.Equal(t, want, s.out.String())
	}
}
