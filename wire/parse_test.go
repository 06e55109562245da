package wire

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// minimal is a catalog to which tests add what they look at.
const minimal = `
providers: [{name: p, dialect: openai, base_url: "http://127.0.0.1:9090/v1"}]
models:
  - name: m
    versions:
      - {version: 1.0.0, status: production, targets: [{provider: p, model: a}]}
      - {version: 1.1.0, status: staging, targets: [{provider: p, model: b}]}
`

func readFile(t testing.TB, path string) []byte {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

func parse(t testing.TB, text string) *Catalog {
	c, err := ParseCatalog("test", []byte(text))
	require.NoError(t, err)
	return c
}

// problems parses a catalog that has faults.
func problems(t testing.TB, text string) []Problem {
	c, err := ParseCatalog("test", []byte(text))
	var list *Problems
	require.ErrorAs(t, err, &list, "catalog:\n%s", text)
	require.Nil(t, c)
	return list.List
}

func TestFullCatalog(t *testing.T) {
	c, err := ParseCatalog("full.yaml", readFile(t, "testdata/full.yaml"))
	require.NoError(t, err)

	yes, no := true, false
	assert.Equal(t, Provider{
		Name: "openai", Dialect: "openai", BaseURL: "https://api.openai.com/v1", APIKey: "${OPENAI_API_KEY}", Region: "us-east",
		Health: Health{500 * time.Millisecond, "/models"}, Limits: Limits{512, 512}, Capabilities: Capabilities{&yes, &yes, 400000},
	}, c.Providers[0])
	assert.Equal(t, "https://eu.api.openai.com/v1", c.Providers[1].BaseURL, "without the trailing slash")

	v := c.Models[0].Versions[0]
	assert.Equal(t, []Target{
		{Provider: "openai", Model: "gpt-5-mini", Weight: 90, Name: "openai"},
		{Provider: "eu", Model: "gpt-5-mini", Weight: 10, Name: "europe", Timeout: 20 * time.Second, Capabilities: Capabilities{Vision: &no}},
	}, v.Targets)
	assert.Equal(t, []Param{
		{"response_format", []byte(`{"type":"json_schema","json_schema":{"name":"a","strict":true}}`)},
		{"temperature", []byte("0.20")},
	}, v.Params)
	assert.Equal(t, []Param{{"max_tokens", []byte("1024")}}, v.Force)
	assert.Equal(t, Retry{3, 100 * time.Millisecond}, v.Retry)
	assert.Equal(t, []string{"support-bot@0.9.0"}, v.Fallback)

	assert.Equal(t, `{"fr":"eu","deep":{"b":1,"a":[1.50,null,"x"]}}`, string(c.Policies[0].Config))
	assert.Equal(t, []string{"accept-language"}, c.Policies[0].Headers)
	assert.Equal(t, int64(16<<20), c.Policies[0].Memory)
	assert.Equal(t, Price{Provider: "openai", Model: "gpt-5-mini", Tariff: Tariff{
		Input: 250_000, CachedInput: 25_000, CacheWrite: 250_000, CacheWriteHour: 250_000, AudioInput: 250_000, ImageInput: 250_000,
		Output: 2_000_000, Reasoning: 2_000_000, AudioOutput: 2_000_000, ImageOutput: 2_000_000,
	}, Batch: 100}, c.Prices[0])
	assert.Equal(t, Price{Provider: "openai", Model: "embed", Tariff: Tariff{
		Input: 20_000, CachedInput: 20_000, CacheWrite: 20_000, CacheWriteHour: 20_000, AudioInput: 20_000, ImageInput: 20_000,
		Output: -1, Reasoning: -1, AudioOutput: -1, ImageOutput: -1,
	}, Batch: 100}, c.Prices[1])
	assert.Equal(t, &Rate{Requests: 100, RequestsPer: time.Second, Tokens: 1e6, TokensPer: time.Minute, Concurrency: 50}, c.Keys[0].Rate)
	assert.Equal(t, HashKey([]byte("abc")), c.Keys[1].Hash)
	assert.Equal(t, int64(1000e9), c.Budgets[0].LimitNano)
	assert.Equal(t, int64(1), c.Budgets[1].LimitNano)
	assert.Equal(t, "downgrade: support-bot@0.9.0", c.Budgets[1].OnExhausted)
	assert.Equal(t, []Guardrail{{"success", "-2%"}}, c.Experiments[0].Guardrails)
}

func TestDefaults(t *testing.T) {
	c := parse(t, minimal+`
experiments: [{name: e, model: m, arms: [{name: a, version: 1.0.0}, {name: b, version: 1.1.0}]}]
policies: [{name: w, module: file:w.wasm, hooks: [route]}]
prompts: [{name: s, version: 1.0.0, template: hello}]
keys: [{name: k, id: wk_abc123def456, hash: "sha256:`+strings.Repeat("0a", 32)+`", models: [m]}]
budgets: [{name: hard, limit_usd: 1, period: daily}, {name: soft, limit_usd: 1, period: daily, kind: soft}]
`)
	assert.Equal(t, Model{Name: "m", Unit: "user", Cache: CacheRule{"off", time.Hour, "key"}, Versions: c.Models[0].Versions}, c.Models[0])
	assert.Equal(t, Version{
		Version: "1.1.0", Status: "staging", Strategy: "weighted", Balance: "weighted",
		Targets: []Target{{Provider: "p", Model: "b", Weight: 1, Name: "p"}},
	}, c.Models[0].Versions[1])
	assert.Equal(t, Experiment{
		Name: "e", Model: "m", Status: "draft", Seed: DefaultSeed("e"), Traffic: 100, Primary: "response_time",
		Arms: []Arm{{"a", "1.0.0", 1}, {"b", "1.1.0", 1}},
	}, c.Experiments[0])
	assert.Equal(t, Policy{
		Name: "w", Module: "file:w.wasm", Hooks: []string{"route"},
		Memory: 16 << 20, Time: 2 * time.Millisecond, OnError: "continue",
	}, c.Policies[0])
	assert.Equal(t, Prompt{"s", "1.0.0", "system", "hello"}, c.Prompts[0])
	assert.Equal(t, "k", c.Keys[0].Tenant)
	assert.Nil(t, c.Keys[0].Rate)
	assert.Equal(t, Budget{
		Name: "hard", LimitNano: 1e9, Period: "daily", Timezone: "UTC", Alerts: []int{50, 75, 90, 100}, Scope: "key",
		Kind: "hard", OnExhausted: "deny", Offline: "pessimistic", Unpriced: "deny",
	}, c.Budgets[0])
	assert.Equal(t, "optimistic", c.Budgets[1].Offline)
	assert.Equal(t, "allow", c.Budgets[1].Unpriced)
}

func TestBalanceFollowsStrategy(t *testing.T) {
	for _, strategy := range strategies {
		c := parse(t, strings.Replace(minimal, "1.1.0,", "1.1.0, strategy: "+strategy+",", 1))
		want := "p2c"
		if strategy == "weighted" {
			want = "weighted"
		}
		assert.Equal(t, want, c.Models[0].Versions[1].Balance, strategy)
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	_, err := ParseCatalog("bad.yaml", readFile(t, "testdata/bad.yaml"))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2", "a secret was echoed")
	testkit.Golden(t, "testdata/bad.golden", append([]byte(err.Error()), '\n'))
}

func TestFilesThatAreNoCatalog(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		list := problems(t, text)
		require.Len(t, list, 1)
		assert.Equal(t, want, list[0].String())
	}
	const empty = "1:1: the catalog is empty; write at least one provider and one model"
	f("", empty)
	f("# nothing\n", empty)
	f("---\n~\n", empty)
	f("\n  - a\n", "2:3: want the sections of a catalog (providers, models, experiments, policies, prompts, prices, keys, budgets, rates, webhooks), found a list")
	f("hello", "1:1: want the sections of a catalog (providers, models, experiments, policies, prompts, prices, keys, budgets, rates, webhooks), found a string")
	f("models: []\n---\nmodels: []\n", "2:1: a second YAML document begins here; put everything into one catalog")
	f("models: []\nkeys:\n  - [a\n", "3:3: cannot read the catalog as YAML: did not find expected ',' or ']'")
	f("models:\n  - a: 'b\n", "2:3: cannot read the catalog as YAML: found unexpected end of stream")
	f("models:\n- a: 1\n  b: 2\n c: 3\n", "4:2: cannot read the catalog as YAML: did not find expected key")
	f("models: [}", "1:1: cannot read the catalog as YAML: did not find expected node content")
	f("models: []\nkeys: *none\n", "2:7: cannot read the catalog as YAML: the alias has no anchor before it")
	f("models: \xff\n", "1:1: cannot read the catalog as YAML: invalid leading UTF-8 octet")
	f(strings.Repeat("#", maxCatalog+1), "1:1: the catalog has 16777217 bytes; the most that is read is 16777216")
}

func TestJSONIsACatalogToo(t *testing.T) {
	text := "{\n\t\"providers\": [{\"name\": \"p\", \"dialect\": \"openai\", \"base_url\": \"http:\\/\\/127.0.0.1\\/v1\"}],\n" +
		"\t\"models\": [{\"name\":\"m\",\"versions\":[{\"version\":\"1.0.0\",\"targets\":[{\"provider\":\"p\",\"model\":\"a\"}]," +
		"\"params\":{\"stop\":\"\\ud83d\\ude42\\u00e9\\\\ud83d\\\\ude42\",\"n\":1e400,\"big\":123456789012345678901234567890}}]}],\n" +
		"\t\"keys\": null\n}"
	c := parse(t, text)
	assert.Equal(t, "http://127.0.0.1/v1", c.Providers[0].BaseURL)
	assert.Equal(t, []Param{
		{"big", []byte("123456789012345678901234567890")},
		{"n", []byte("1e400")},
		{"stop", []byte(`"🙂é\\ud83d\\ude42"`)},
	}, c.Models[0].Versions[0].Params)
}

func TestAnchorsAndMerges(t *testing.T) {
	c := parse(t, `
providers: [{name: p, dialect: openai, base_url: "http://127.0.0.1/v1"}]
models:
  - &base
    name: m
    unit: session
    cache: &cache {mode: exact, ttl: 2h}
    versions: &versions
      - {version: 1.0.0, targets: [{provider: p, model: a}]}
  - {<<: *base, name: n, unit: key}
  - {name: o, cache: {<<: [*cache, {scope: shared, mode: off}]}, versions: *versions}
`)
	assert.Equal(t, "session", c.Models[0].Unit)
	assert.Equal(t, "key", c.Models[1].Unit, "what is written out wins")
	assert.Equal(t, CacheRule{"exact", 2 * time.Hour, "shared"}, c.Models[2].Cache, "the first mapping wins")
	assert.Equal(t, c.Models[0].Versions, c.Models[2].Versions)
}

func TestAliasesCannotBlowUp(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString(minimal + "policies:\n  - {name: w, module: file:w, hooks: [route], config: {a0: &a0 [lol]")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&laughs, ", a%d: &a%d [%s*a%d]", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	laughs.WriteString("}}\n")
	list := problems(t, laughs.String())
	require.Len(t, list, 1)
	assert.Contains(t, list[0].Message, "aliases expand to more")

	list = problems(t, minimal+"policies: [{name: w, module: file:w, hooks: [route], config: &c {deep: *c}}]\n")
	require.Len(t, list, 1)
	assert.Contains(t, list[0].Message, "nested deeper than 64")

	list = problems(t, "models:\n  - &m {<<: [*m, *m, *m], name: m}\n")
	assert.Contains(t, list[len(list)-1].Message, "does not contain itself")
}

func TestProblemListsAreBounded(t *testing.T) {
	list := problems(t, "models: ["+strings.Repeat("x,", 5000)+"]")
	require.Len(t, list, maxProblems+1)
	assert.Equal(t, "4000 further problems are not listed; correct these first", list[maxProblems].Message)
}

func TestFallbackReferences(t *testing.T) {
	f := func(ref, want string) {
		t.Helper()
		text := strings.Replace(minimal, "1.1.0,", "1.1.0, fallback: ["+ref+"],", 1)
		_, err := ParseCatalog("test", []byte(text))
		if want == "" {
			assert.NoError(t, err)
			return
		}
		assert.ErrorContains(t, err, want)
	}
	f("m", "")
	f("m@1.0.0", "")
	f("m@1.x", "")
	f("m@1.0.x", "")
	f("m@production", "")
	f("m@1.1.x", `no version "1.1.x" in use`)
	f("m@1.2.0", `no version "1.2.0" in use`)
	f("m@staging", "circle: m@1.1.0 → m@1.1.0")
	f("n", `there is no model "n"`)
}

func TestLongCirclesAreShortened(t *testing.T) {
	var text strings.Builder
	text.WriteString("providers: [{name: p, dialect: openai, base_url: 'http://127.0.0.1/v1'}]\nmodels:\n")
	for i := range 20 {
		fmt.Fprintf(&text, "  - {name: m%d, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: a}], fallback: [m%d]}]}\n", i, (i+1)%20)
	}
	list := problems(t, text.String())
	require.Len(t, list, 1)
	assert.Equal(t, "22:112: models[19].versions[0].fallback[0]: the fallbacks go round in a circle: "+
		"m0@1.0.0 → m1@1.0.0 → m2@1.0.0 → m3@1.0.0 → m4@1.0.0 → m5@1.0.0 → … → m19@1.0.0 → m0@1.0.0", list[0].String())
}

func TestHeadersOfProviders(t *testing.T) {
	with := func(fields string) string {
		return strings.Replace(minimal, "dialect: openai", "dialect: openai, "+fields, 1)
	}
	c := parse(t, with(`headers: {X-Title: wedge, http-referer: "${SITE}"}, auth: api-key, azure_api_version: 2024-10-21, responses: false`))
	assert.Equal(t, []Header{{"http-referer", "${SITE}"}, {"x-title", "wedge"}}, c.Providers[0].Headers)
	assert.Equal(t, "2024-10-21", c.Providers[0].AzureVersion)
	assert.True(t, c.Providers[0].NoResponses)
	for fields, want := range map[string]string{
		`headers: [a]`:                     "providers[0].headers: want a mapping of headers, found a list",
		`headers: {"a b": x}`:              `providers[0].headers.a b: "a b" is not the name of a header`,
		`headers: {Authorization: x}`:      "providers[0].headers.Authorization: authorization is the node's own to send; use api_key and auth for credentials",
		`headers: {a: x, A: y}`:            "providers[0].headers.A: a stands there twice",
		`headers: {a: 1}`:                  "providers[0].headers.a: want a string, found a number; put it in quotes",
		`azure_api_version: soon`:          `providers[0].azure_api_version: "soon" is not a version of Azure's API; want one such as 2024-10-21`,
		`azure_api_version: 7`:             "providers[0].azure_api_version: want a string, found a number; put it in quotes",
		`responses: maybe`:                 "providers[0].responses: want true or false, found a string",
		`region: "` + "\t" + `"`:           "providers[0].region: want 1 to 1024 bytes without control characters",
		`limits: {in_flight: 0}`:           "providers[0].limits.in_flight: 0 is out of range; want 1 to 1000000",
		`headers: {"X-Api-Key": "sk-123"}`: "providers[0].headers.X-Api-Key: x-api-key is the node's own to send; use api_key and auth for credentials",
	} {
		list := problems(t, with(fields))
		assert.Equal(t, want, list[0].Path+": "+list[0].Message)
	}
	list := problems(t, strings.Replace(minimal, "dialect: openai", "dialect: gemini, azure_api_version: preview", 1))
	assert.Equal(t, "only providers of the dialect openai have deployments of Azure's", list[0].Message)
}

func TestProblemsIsAnError(t *testing.T) {
	_, err := ParseCatalog("f.yaml", []byte("modles: []\n"))
	require.EqualError(t, err, `f.yaml:1:1: modles: unknown field "modles"; did you mean "models"?`)
	var list *Problems
	assert.True(t, errors.As(err, &list))
}

// FuzzParseCatalog looks for panics and for problems that point outside the file.
func FuzzParseCatalog(f *testing.F) {
	f.Add(readFile(f, "testdata/full.yaml"))
	f.Add(readFile(f, "testdata/bad.yaml"))
	f.Add([]byte(minimal))
	f.Add([]byte("a: &a [*a]\n<<: *a\n? [x]\n: y"))
	f.Add([]byte(`{"keys":[{"id":"\ud83d\ude42"}]}`))
	f.Add([]byte(minimal + "prices: [{provider: p, model: a, request_usd: 9e8, tiers: [{above: 1, input: 9e5}]}]\nbudgets: [{name: b, limit_usd: 9e8, period: rolling-720h, timezone: America/Havana}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCatalog("fuzz", data)
		if err == nil {
			again, err := ParseCatalog("fuzz", data)
			require.NoError(t, err)
			require.Equal(t, c.Digest(), again.Digest())
			_ = c.CheckSupported(Support{})
			for i := range c.Budgets {
				b := &c.Budgets[i]
				require.True(t, b.LimitNano >= 0 && b.GraceNano >= 0 && b.Flat >= 0 && b.OfflineFor >= 0)
				require.True(t, b.SpanAt(time.Unix(1_800_000_000, 0)).Contains(time.Unix(1_800_000_000, 0)))
			}
			for i := range c.Prices {
				for _, class := range c.Prices[i].Classes() {
					require.GreaterOrEqual(t, *class.Price, int64(-1))
				}
			}
			return
		}
		var list *Problems
		require.ErrorAs(t, err, &list)
		require.NotEmpty(t, list.List)
		lines := 1 + bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) +
			bytes.Count(data, []byte("\u0085")) + bytes.Count(data, []byte("\u2028")) + bytes.Count(data, []byte("\u2029"))
		for _, p := range list.List {
			require.NotEmpty(t, p.Message)
			require.True(t, p.Line >= 1 && p.Line <= lines, "line %d of %d", p.Line, lines)
			require.True(t, p.Column >= 1 && p.Column <= len(data)+1, "column %d", p.Column)
		}
	})
}
