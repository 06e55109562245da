package main

import (
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

const fakeToken = "wo_abcdefghijkl_secret"

// fakeOrigin answers every request alike, and keeps what it was asked.
type fakeOrigin struct {
	mu     sync.Mutex
	asked  []string // METHOD URI BODY
	status int
	answer string
}

func (f *fakeOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+string(body)))
	if r.Header.Get("Authorization") != "Bearer "+fakeToken {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"code":"unauthenticated","message":"this token is not known"}}`)
		return
	}
	w.WriteHeader(f.status)
	_, _ = io.WriteString(w, f.answer)
}

// toFake lets commands ask a fake origin.
func toFake(t *testing.T, status int, answer string) *fakeOrigin {
	t.Helper()
	f := &fakeOrigin{status: status, answer: answer}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	t.Setenv("WEDGE_ORIGIN", s.URL)
	t.Setenv("WEDGE_TOKEN", fakeToken)
	return f
}

// What each command asks for.
func TestVerbsAskTheOrigin(t *testing.T) {
	dir := t.TempDir()
	catalog, version, module := filepath.Join(dir, "catalog.yaml"), filepath.Join(dir, "version.yaml"), filepath.Join(dir, "p.wasm")
	for path, text := range map[string]string{catalog: "budgets: []\n", version: "params: {temperature: 0.5}\n", module: "code"} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	const wasm = "sha256:5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b"
	for line, want := range map[string]string{
		"diff " + catalog:                           "POST /api/v1/apply?dry_run=true budgets: []",
		"apply " + catalog + " --prune":             "POST /api/v1/apply?dry_run=true&prune=true budgets: []",
		"get prices":                                "GET /api/v1/prices",
		"get version m@1.0.0":                       "GET /api/v1/versions/m@1.0.0",
		"delete price a/b --reason old":             "DELETE /api/v1/prices/a%2Fb?reason=old",
		"model list":                                "GET /api/v1/models",
		"model show m":                              "GET /api/v1/models/m",
		"model create m -f " + version:              `POST /api/v1/models/m/versions {"model":"m","body":{"params":{"temperature":0.5}}}`,
		"model promote m 1.0.0":                     `POST /api/v1/models/m/promote {"model":"m","version":"1.0.0"}`,
		"model rollback m --to 1.0.0":               `POST /api/v1/models/m/rollback {"model":"m","to":"1.0.0"}`,
		"model diff m 1.0.0 1.1.0":                  "GET /api/v1/models/m/diff?from=1.0.0&to=1.1.0",
		"model metrics m --since 7d":                "GET /api/v1/models/m/metrics?since=168h0m0s",
		"model release cancel m":                    "DELETE /api/v1/releases/m",
		"experiment list":                           "GET /api/v1/experiments",
		"experiment show e":                         "GET /api/v1/experiments/e",
		"key create k":                              `POST /api/v1/keys {"models":["*"],"name":"k"}`,
		"key rotate k":                              "POST /api/v1/keys/k/rotate",
		"key revoke k":                              "DELETE /api/v1/keys/k",
		"key list":                                  "GET /api/v1/keys",
		"secret list":                               "GET /api/v1/secrets",
		"secret delete s":                           "DELETE /api/v1/secrets/s",
		"node invite --name n --region r":           `POST /api/v1/nodes/invite {"name":"n","region":"r","ttl":"1h0m0s"}`,
		"node list":                                 "GET /api/v1/nodes",
		"node show n":                               "GET /api/v1/nodes/n",
		"node pin n --reason x":                     `POST /api/v1/nodes/n/pin?reason=x {"reason":"x"}`,
		"node unpin n":                              "POST /api/v1/nodes/n/unpin {}",
		"node drain n":                              "POST /api/v1/nodes/n/drain {}",
		"node undrain n":                            "POST /api/v1/nodes/n/undrain {}",
		"node remove n":                             "DELETE /api/v1/nodes/n",
		"fleet":                                     "GET /api/v1/fleet",
		"audit --limit 5 --before 9":                "GET /api/v1/audit?before=9&limit=5",
		"audit --last 7d":                           "GET /api/v1/audit?limit=1000",
		"audit --actions":                           "GET /api/v1/audit/actions?limit=50",
		"audit --actions --last 24h":                "GET /api/v1/audit/actions?limit=1000",
		"audit key k":                               "GET /api/v1/audit/key/k",
		"token create t --role operator":            `POST /api/v1/tokens {"name":"t","role":"operator"}`,
		"signer list":                               "GET /api/v1/signer",
		"signer rotate":                             "POST /api/v1/signer/rotate",
		"signer retire x":                           "DELETE /api/v1/signer/x",
		"token list":                                "GET /api/v1/tokens",
		"token revoke t":                            "DELETE /api/v1/tokens/t",
		"bundle export -o " + dir + "/bundle":       "GET /api/v1/bundle",
		"backup -o " + dir + "/backup":              "POST /api/v1/backup",
		"experiment start e":                        "GET /api/v1/experiments/e",
		"policy push p " + module + " --reason new": "HEAD /api/v1/blobs/" + wasm,
	} {
		t.Run(line, func(t *testing.T) {
			f := toFake(t, http.StatusOK, `{"items":[],"body":{},"changes":[]}`)
			code, _, stderr := runLine(strings.Fields(line)...)
			require.Equal(t, exitDone, code, stderr)
			assert.Equal(t, want, f.asked[0])
		})
	}
}

func TestAuditRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"audit key": "want wedge audit KIND NAME", "audit key k --last 7d": "cannot show a part of a resource's history",
		"audit key k --actions": "cannot show a part of a resource's history", "audit --actions --before 7": "actions are of no revision",
		"audit --last 0d": "cannot show the last 0s",
	} {
		f := toFake(t, http.StatusOK, `{"items":[]}`)
		code, _, stderr := runLine(strings.Fields(line)...)
		assert.Equal(t, exitFailed, code, line)
		assert.Contains(t, stderr, want, line)
		assert.Empty(t, f.asked, line)
	}
}

func TestKeyCreateSaysWhatFlagsSay(t *testing.T) {
	f := toFake(t, http.StatusCreated, `{"rev":3,"changes":[],"name":"k","id":"wk_abc","key":"wk_abc_secret"}`)
	code, stdout, stderr := runLine("key", "create", "k", "--models", "a,b", "--team", "t", "--tenant", "acme", "--may", "arm", "--may", "direct",
		"--budgets", "x", "--requests", "100/s", "--tokens", "1M/m", "--concurrency", "5")
	require.Equal(t, exitDone, code, stderr)
	assert.Equal(t, `POST /api/v1/keys {"budgets":["x"],"may":["arm","direct"],"models":["a","b"],"name":"k",`+
		`"rate":{"concurrency":5,"requests":"100/s","tokens":"1M/m"},"team":"t","tenant":"acme"}`, f.asked[0])
	assert.Equal(t, "wk_abc_secret\n", stdout, "the key, and nothing else")
	assert.Contains(t, stderr, "wk_abc ")
	assert.NotContains(t, stderr, "wk_abc_secret")
}

func TestPromotion(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 500, time.UTC)
	promotion := func(args ...string) (string, error) {
		var c commandLine
		parser := kong.Must(&c, kong.Bind(console{}))
		_, err := parser.Parse(append([]string{"model", "promote", "m", "1.0.0"}, args...))
		require.NoError(t, err)
		p, err := c.Model.Promote.promotion(now)
		text, jsonErr := json.Marshal(p)
		require.NoError(t, jsonErr)
		return string(text), err
	}
	for args, want := range map[string]string{
		"--to staging --dry-run --skip targets,traffic":        `"to":"staging","dry_run":true,"skip":["targets","traffic"]`,
		"--min-requests 100 --max-error-rate 0.01 --window 7d": `"min_requests":100,"max_error_rate":0.01,"window":"168h0m0s"`,
		"--at 2h":                        `"at":"2026-11-23T14:00:00Z"`,
		"--at 2027-01-31T06:00:00+01:00": `"at":"2027-01-31T06:00:00+01:00"`,
		"--canary":                       `"canary":{}`,
		"--canary --steps 5,50 --every 1m --min-requests 9 --max-error-rate 1": `"canary":{"steps":[5,50],"every":"1m0s","max_error_rate":1,"min_requests":9}`,
	} {
		got, err := promotion(strings.Fields(args)...)
		require.NoError(t, err, args)
		assert.Equal(t, `{"model":"m","version":"1.0.0",`+want+`}`, got)
	}
	for args, want := range map[string]string{
		"--at tomorrow": "--at tomorrow is no time", "--steps 5": "--steps and --every go with --canary", "--every 5m": "--steps and --every go with --canary",
	} {
		_, err := promotion(strings.Fields(args)...)
		assert.ErrorContains(t, err, want)
	}
}

func TestRefusalsOfTheOrigin(t *testing.T) {
	toFake(t, http.StatusUnprocessableEntity, `{"error":{"code":"gate_failed","message":"a gate is shut",
		"gates":[{"name":"targets","passed":false,"message":"openai does not answer"}]}}`)
	code, stdout, stderr := runLine("model", "promote", "m", "1.0.0")
	assert.Equal(t, exitFailed, code)
	assert.Empty(t, stdout)
	assert.Equal(t, "wedge: cannot promote m@1.0.0: a gate is shut\n  gate targets failed: openai does not answer\n", stderr)

	code, _, stderr = runLine("fleet", "--token", "wo_wrong_secret")
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "wedge: cannot get the state of the fleet: this token is not known; set WEDGE_TOKEN, or --token-file, to a token of this origin\n", stderr)
	assert.NotContains(t, stderr, "wo_wrong_secret")
}

func TestProblemsOfACatalogAreLines(t *testing.T) {
	f := toFake(t, http.StatusOK, `{}`)
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte("modles: []\nkyes: []\n"), 0o600))
	for _, verb := range []string{"apply", "diff"} {
		code, _, stderr := runLine(verb, path)
		assert.Equal(t, exitFailed, code)
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		require.Len(t, lines, 3, stderr)
		assert.Equal(t, "wedge: "+path+" is not a valid catalog: correct its 2 problems", lines[0])
		assert.True(t, strings.HasPrefix(lines[1], "  "+path+":1:1: modles: "), lines[1])
	}
	assert.Empty(t, f.asked)
	code, _, stderr := runLine("apply", path+".none")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "cannot read the catalog: ")
	code, _, stderr = runLine("model", "create", "m", "-f", path+".none")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "cannot read the version's configuration: ")
}

func TestTokenStaysAtHome(t *testing.T) {
	t.Setenv("WEDGE_TOKEN", fakeToken)
	t.Chdir(t.TempDir())
	code, _, stderr := runLine("fleet", "--origin", "http://origin.example.com:8090")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "cannot ask origin.example.com:8090 over plain HTTP")
	assert.NotContains(t, stderr, fakeToken)
}

func TestWrongUsageOfVerbs(t *testing.T) {
	f := toFake(t, http.StatusOK, `{}`)
	for _, line := range []string{
		"get", "model promote m", "model promote m 1.0.0 --skip catalog", "token create t --role god", "fleet -o xml", "key create k --may fly",
		"secret put name value", "model create m", "node invite --ttl soon", "bundle verify f", "model create m -f x --bump huge",
	} {
		code, stdout, stderr := runLine(strings.Fields(line)...)
		assert.Equal(t, exitUsage, code, line)
		assert.Empty(t, stdout, line)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
	assert.Empty(t, f.asked)
}

func TestReadSecret(t *testing.T) {
	for text, want := range map[string]string{"s": "s", "s\n": "s", "s\r\n": "s", " s \n\n": " s \n"} {
		got, err := readSecret(strings.NewReader(text))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for text, want := range map[string]string{"": "cannot put an empty secret", "\n": "cannot put an empty secret", strings.Repeat("x", maxSecret+1): "more than 64 KiB"} {
		_, err := readSecret(strings.NewReader(text))
		assert.ErrorContains(t, err, want)
	}
	_, err := readSecret(io.MultiReader(strings.NewReader("half"), failing{}))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestSecretComesFromStandardInput(t *testing.T) {
	f := toFake(t, http.StatusOK, `{"rev":3,"changes":[]}`)
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte("sk-1\n"), 0o600))
	in, err := os.Open(path)
	require.NoError(t, err)
	defer func(before *os.File) { os.Stdin = before; _ = in.Close() }(os.Stdin)
	os.Stdin = in
	code, stdout, stderr := runLine("secret", "put", "openai")
	require.Equal(t, exitDone, code, stderr)
	assert.Equal(t, []string{`PUT /api/v1/secrets/openai {"value":"sk-1"}`}, f.asked)
	assert.NotContains(t, stdout+stderr, "sk-1")
}

func TestBundleVerify(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	resources := []wire.Resource{{Kind: wire.KindBudget, Name: "b", Body: []byte(`{"limit_usd":10,"name":"b","period":"daily"}`)}}
	state := wire.DigestState(resources)
	head := wire.SignHead(private, wire.Position{Epoch: 1763, Rev: 12}, &state, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	var bundle strings.Builder
	require.NoError(t, wire.WriteBundle(&bundle, head, resources, nil))
	path := filepath.Join(t.TempDir(), "wedge.bundle")
	require.NoError(t, os.WriteFile(path, []byte(bundle.String()), 0o600))

	key := wire.FormatPublicKey(public)
	code, stdout, stderr := runLine("bundle", "verify", path, "--trust", key)
	require.Equal(t, exitDone, code, stderr)
	assert.Equal(t, "revision   1763/12\nsigned     2026-11-23T12:00:00Z with the key "+wire.NameOf(public).String()+"\n"+
		"resources  1 budget\nfiles      0\n", stdout)
	code, stdout, _ = runLine("bundle", "verify", path, "--trust", key, "-o", "json")
	require.Equal(t, exitDone, code)
	assert.JSONEq(t, `{"epoch":1763,"rev":12,"issued":"2026-11-23T12:00:00Z","key":"`+wire.NameOf(public).String()+`","resources":{"budget":1},"blobs":0}`, stdout)

	stranger, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	code, stdout, stderr = runLine("bundle", "verify", path, "--trust", wire.FormatPublicKey(stranger))
	assert.Equal(t, exitFailed, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "wedge: "+path+" is not to be used: ")
	require.NoError(t, os.WriteFile(path, []byte(bundle.String()[:bundle.Len()-1]), 0o600))
	code, _, stderr = runLine("bundle", "verify", path, "--trust", key)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "is not to be used: ")
	code, _, stderr = runLine("bundle", "verify", path, "--trust", "nonsense")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "want ed25519:")
}

func TestTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer func() { _ = null.Close() }()
	assert.False(t, terminal(null), "nobody sits there")
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	assert.False(t, terminal(file))
}

// Every command tells what it does, and how it is used.
func TestEveryCommandHasExamples(t *testing.T) {
	parser := kong.Must(&commandLine{}, kong.Bind(console{}))
	leaves := parser.Model.Leaves(true)
	assert.Greater(t, len(leaves), 40)
	for _, leaf := range leaves {
		if leaf.Name == "version" {
			continue // which has nothing to show
		}
		help, is := leaf.Target.Addr().Interface().(kong.HelpProvider)
		if assert.True(t, is, "%s has no Help", leaf.FullPath()) {
			assert.Contains(t, help.Help(), "Examples:\n  ", leaf.FullPath())
		}
		assert.NotEmpty(t, leaf.Help, leaf.FullPath())
	}
}
