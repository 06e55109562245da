package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin"
	"github.com/wedge-proxy/wedge/proxy"
)

// operator works on an origin with the wedge command.
type operator struct {
	t   *testing.T
	dir string // where the command runs
	env []string
}

// newOperator runs an origin until the test ends, and is its first admin.
func newOperator(t *testing.T, tls string) *operator {
	t.Helper()
	data := t.TempDir()
	support := proxy.Support
	support.OriginSecrets, support.Prompts, support.Rates = true, true, true // as if there were such nodes
	o, err := origin.Open(t.Context(), origin.Options{Data: data, Listen: "127.0.0.1:0", TLS: tls, Support: support})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
		assert.NoError(t, o.Close())
	})
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	require.NoError(t, err)
	env := append(os.Environ(), "WEDGE_ORIGIN="+o.URL(), "WEDGE_TOKEN="+strings.TrimSpace(string(token)))
	if strings.HasPrefix(o.URL(), "https:") {
		env = append(env, "WEDGE_CA="+filepath.Join(data, "ca.pem"))
	}
	return &operator{t: t, dir: t.TempDir(), env: env}
}

// write puts a file where the command runs.
func (o *operator) write(name, text string) {
	o.t.Helper()
	require.NoError(o.t, os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600))
}

// run carries out one command line.
func (o *operator) run(stdin string, args ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	var out, notes bytes.Buffer
	cmd := exec.CommandContext(o.t.Context(), binary, args...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = o.dir, o.env, strings.NewReader(stdin), &out, &notes
	err := cmd.Run()
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		return exit.ExitCode(), out.String(), notes.String()
	}
	require.NoError(o.t, err)
	return 0, out.String(), notes.String()
}

// do carries out a command line that must go well.
func (o *operator) do(line string) string {
	o.t.Helper()
	code, stdout, stderr := o.run("", strings.Fields(line)...)
	require.Equal(o.t, 0, code, "wedge %s\n%s", line, stderr)
	return stdout
}

// refused carries out a command line that must not, and returns its error.
func (o *operator) refused(line string) string {
	o.t.Helper()
	code, stdout, stderr := o.run("", strings.Fields(line)...)
	require.Equal(o.t, 1, code, "wedge %s\n%s", line, stdout)
	require.True(o.t, strings.HasPrefix(stderr, "wedge: "), stderr)
	return stderr
}

// as is the same operator with another token.
func (o *operator) as(token string) *operator {
	other := *o
	other.env = append(append([]string(nil), o.env...), "WEDGE_TOKEN="+token)
	return &other
}

// operatorCatalog is a catalog whose provider is there.
func (o *operator) operatorCatalog() string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	o.t.Cleanup(s.Close)
	return `providers:
  - {name: local, dialect: openai, base_url: "` + s.URL + `/v1", api_key: origin:local}
models:
  - name: bot
    versions:
      - {version: 1.0.0, status: production, targets: [{provider: local, model: small}], params: {temperature: 0.20}}
      - {version: 1.1.0, status: staging, targets: [{provider: local, model: large}]}
experiments:
  - {name: size, model: bot, status: draft, primary: cost, arms: [{name: a, version: 1.0.0}, {name: b, version: 1.1.0}]}
policies:
  - {name: look, module: file:look.wasm, hooks: [route]}
prices:
  - {provider: local, model: small, input: 0.25, output: 2.00}
prompts:
  - {name: greeting, version: 1.0.0, template: "You help."}
`
}

// started is an operator whose origin has the catalog.
func started(t *testing.T, tls string) *operator {
	o := newOperator(t, tls)
	o.write("look.wasm", "\x00asm\x01\x00\x00\x00")
	o.write("catalog.yaml", o.operatorCatalog())
	code, _, stderr := o.run("sk-local", "secret", "put", "local")
	require.Equal(t, 0, code, stderr)
	o.do("apply catalog.yaml --reason first")
	return o
}

func TestCommandsApply(t *testing.T) {
	o := newOperator(t, "")
	o.write("look.wasm", "\x00asm\x01\x00\x00\x00")
	o.write("catalog.yaml", o.operatorCatalog())
	code, _, stderr := o.run("sk-local\n", "secret", "put", "local")
	require.Equal(t, 0, code, stderr)
	plan := o.do("diff catalog.yaml")
	assert.Contains(t, plan, "+ version bot@1.0.0\n")
	assert.Contains(t, plan, "    module: sha256:")
	assert.Contains(t, plan, "; nothing was changed\n")
	assert.Equal(t, "{}\n", o.do("get catalog"))
	made := o.do("apply catalog.yaml")
	assert.Contains(t, made, "+ version bot@1.0.0\n")
	assert.Contains(t, made, "8 changes (8 created)\n")
	assert.Contains(t, o.do("apply catalog.yaml"), "nothing changes")

	o.write("part.yaml", "prices:\n  - {provider: local, model: small, input: 0.50, output: 2.00}\n")
	assert.Contains(t, o.do("apply part.yaml"), "~ price local/small\n    input: 0.25 → 0.50\n")
	o.write("wrong.yaml", "keys:\n  - {name: k, id: wk_abc123def456, hash: \"sha256:"+strings.Repeat("0", 64)+"\", models: [nobody]}\n")
	assert.Regexp(t, `^wedge: cannot apply wrong.yaml: [^\n]+\n  wrong.yaml:2:\d+: keys\[0\].models\[0\]: [^\n]+\n$`, o.refused("apply wrong.yaml"))

	o.write("whole.yaml", o.do("get catalog"))
	assert.Contains(t, o.do("apply whole.yaml --prune"), "nothing changes", "what get gives, apply takes")
	o.write("empty.yaml", "models: []\n")
	assert.Contains(t, o.do("diff empty.yaml --prune"), "- model bot\n")
	assert.Contains(t, o.do("audit price local/small"), "put")
}

func TestCommandsGetEverything(t *testing.T) {
	o := started(t, "on")
	for _, kind := range []string{
		"providers", "models", "versions", "experiments", "policies", "prompts", "prices", "keys", "budgets", "secrets", "releases", "nodes", "catalog",
	} {
		o.do("get " + kind)
		assert.True(t, json.Valid([]byte(o.do("get "+kind+" -o json"))), kind)
		o.do("get " + kind + " -o yaml")
	}
	for _, one := range []string{"provider local", "model bot", "version bot@1.1.0", "experiment size", "policy look", "price local/small", "prompt greeting@1.0.0", "secret local"} {
		answer := o.do("get " + one)
		assert.NotContains(t, answer, "sk-local")
		assert.True(t, json.Valid([]byte(o.do("get "+one+" -o json"))), one)
	}
	assert.Contains(t, o.do("get version bot@1.0.0"), "temperature: 0.20\n", "as it was written")
	for _, line := range []string{"fleet", "audit", "node list", "token list", "signer list", "model show bot", "experiment list", "key list", "secret list"} {
		o.do(line)
		assert.True(t, json.Valid([]byte(o.do(line+" -o json"))), line)
	}
	assert.Contains(t, o.refused("get model nobody"), "cannot get the model nobody: ")
	assert.Contains(t, o.refused("node show nobody"), "cannot show the node nobody: ")
}

func TestCommandsPromoteAndRollBack(t *testing.T) {
	o := started(t, "")
	o.write("version.yaml", "params: {temperature: 0.40}\n")
	made := o.do("model create bot -f version.yaml --from 1.0.0")
	assert.Regexp(t, `(?m)^bot@1\.2\.0 \(minor: .+\)$`, made)
	assert.Contains(t, o.do("model diff bot 1.0.0 1.2.0"), "params.temperature: 0.20 → 0.40\n")
	assert.Contains(t, o.do("model promote bot 1.2.0 --dry-run"), "bot@1.2.0 would be in staging; nothing was changed\n")
	assert.Contains(t, o.do("model promote bot 1.2.0"), "bot@1.2.0 is in staging (revision ")
	shut := o.refused("model promote bot 1.2.0 --min-requests 100")
	assert.Regexp(t, `(?m)^wedge: cannot promote bot@1\.2\.0: .+\n  gate traffic failed: .+$`, shut)
	assert.Contains(t, o.do("model promote bot 1.2.0"), "bot@1.2.0 is in production, in place of 1.0.0 (revision ")
	assert.Contains(t, o.do("model rollback bot --reason wrong"), "bot@1.0.0 is in production, in place of 1.2.0 (revision ")
	assert.Contains(t, o.refused("model promote bot 1.0.0 --to development"), "cannot promote bot@1.0.0: ")
	assert.Contains(t, o.do("model metrics bot"), "VERSION")

	assert.Contains(t, o.do("model promote bot 1.1.0 --canary --steps 10,50 --every 1h"), "bot@1.1.0 has a release running on 10 % of nodes, in place of 1.0.0")
	assert.Contains(t, o.do("get releases"), "running")
	o.do("model release cancel bot")
	assert.NotContains(t, o.do("get releases"), "running")
	assert.Contains(t, o.do("model promote bot 1.1.0 --at 2h"), "bot@1.1.0 is to be promoted at ")
	o.do("model release cancel bot")
	assert.Regexp(t, `(?m)^1\.0\.0 +production `, o.do("model show bot"))

	assert.Contains(t, o.do("experiment start size"), "1 change (1 updated)")
	assert.Contains(t, o.do("experiment pause size"), "1 change (1 updated)")
	assert.Contains(t, o.do("experiment conclude size"), "1 change (1 updated)")
	o.write("other.wasm", "\x00asm\x01\x00\x00\x00\x00\x00")
	assert.Contains(t, o.do("policy push look other.wasm"), "1 change (1 updated)")
}

func TestCommandsTellSecretsOnce(t *testing.T) {
	o := started(t, "on")
	for line, want := range map[string]string{
		"key create team-a --models bot --requests 100/s": `^wk_\w+\n$`, "node invite --name shop-1 --region eu --ttl 30m": `^wj_[\w-]+\n$`,
		"token create grafana": `^wo_\w+\n$`,
	} {
		assert.Regexp(t, want, o.do(line), line)
	}
	before := o.do("get key team-a -o json")
	assert.Regexp(t, `^wk_\w+\n$`, o.do("key rotate team-a"))
	assert.NotEqual(t, before, o.do("get key team-a -o json"))
	assert.Contains(t, o.do("key revoke team-a"), "deleted")
	assert.Contains(t, o.refused("key rotate team-a"), "cannot rotate the key team-a: ")

	assert.Contains(t, o.refused("secret delete local"), "cannot delete the secret local: ", "the provider names it")
	code, _, stderr := o.run("sk-other", "secret", "put", "other")
	require.Equal(t, 0, code, stderr)
	assert.Contains(t, o.do("secret delete other"), "deleted")
	assert.Contains(t, o.refused("secret put empty"), "cannot put an empty secret")
}

func TestCommandsKeepRoles(t *testing.T) {
	o := started(t, "")
	viewer := o.as(strings.TrimSpace(o.do("token create grafana")))
	viewer.do("get models")
	assert.Contains(t, viewer.refused("key create k"), "use a token with a role that may")
	assert.Contains(t, viewer.refused("apply catalog.yaml"), "use a token with a role that may")
	assert.Contains(t, viewer.refused("token list"), "use a token with a role that may")
	o.do("token revoke grafana")
	assert.Contains(t, viewer.refused("get models"), "set WEDGE_TOKEN")
}

func TestCommandsCarryBundlesAndBackups(t *testing.T) {
	o := started(t, "")
	o.do("bundle export -o wedge.bundle")
	keys := strings.Fields(o.do("signer list"))
	assert.Contains(t, o.do("bundle verify wedge.bundle --trust "+keys[len(keys)-1]), "files      1\n")
	o.do("signer rotate")
	newer := strings.Fields(o.do("signer list"))
	assert.Contains(t, o.refused("bundle verify wedge.bundle --trust "+newer[len(newer)-1]), "is not to be used")
	o.do("backup -o origin.backup")
	info, err := os.Stat(filepath.Join(o.dir, "origin.backup"))
	require.NoError(t, err)
	assert.Positive(t, info.Size())
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}
