package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// wedgeFails runs a command that has to fail with exit code 1, and returns all that it says.
func wedgeFails(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(binary, args...).CombinedOutput()
	exit := &exec.ExitError{}
	require.ErrorAs(t, err, &exit, "%s", out)
	assert.Equal(t, 1, exit.ExitCode(), "%s", out)
	assert.NotContains(t, string(out), "panic")
	return string(out)
}

// policyCatalog is a catalog with one good policy p on model m.
func policyCatalog(p *provider, file string) *catalog {
	return (&catalog{}).at("sim", p.addr, "").key("ann", "").policy("p", file, "route", "headers: [x-do]").
		model("m", "policies: [p]", target("sim", "x", ""))
}

// TestPolicyCatalogs offers catalogs with something wrong about their policies: to a node that runs, to one that
// starts, and to wedge check.
func TestPolicyCatalogs(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	good := moduleFile(t, obedient())
	n := startNode(t, policyCatalog(p, good).String())
	for _, row := range []struct {
		name, from, to string
		says           string
		checked        bool // wedge check refuses it, and does not only warn
	}{
		{"unknown policy", "policies: [p]", "policies: [q]", `"q"`, true},
		{"isolation word", "hooks: [route]", "hooks: [route], isolation: total", "shared", true},
		{"on_error word", "hooks: [route]", "hooks: [route], on_error: retry", "continue", true},
		{"unknown hook", "hooks: [route]", "hooks: [rout]", "route", true},
		{"no hook", "hooks: [route]", "hooks: []", "hooks", true},
		{"credentials", "headers: [x-do]", "headers: [authorization]", "credentials", true},
		{"no time at all", "hooks: [route]", "hooks: [route], limits: {time: 0s}", "time", true},
		{"missing file", good, good + ".gone", "no such file", false},
		{"a component", good, moduleFile(t, []byte("\x00asm\x0d\x00\x01\x00")), "component", true},
		{"a bundle's module", "file:" + good, "sha256:" + strings.Repeat("0", 64), "bundle", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := strings.Replace(policyCatalog(p, good).String(), row.from, row.to, 1)
			file := filepath.Join(t.TempDir(), "catalog.yaml")
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			if row.checked {
				assert.Contains(t, wedgeFails(t, "check", file), row.says)
			} else {
				out, err := exec.Command(binary, "check", file).CombinedOutput()
				require.NoError(t, err, "%s", out)
				assert.Contains(t, string(out), "warning: policies[0].module: ")
				assert.Contains(t, string(out), row.says)
			}
			said := wedgeFails(t, "edge", "--catalog", file, "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
			assert.Contains(t, said, row.says)

			n.put(t, text)
			reason := n.awaitRefusal(t, row.says)
			assert.Contains(t, reason, "olicies[0]", "the field at fault is named")
			assert.Equal(t, 200, n.as(t, "ann").chat(ask("m", row.name)).status, "the last good catalog stays")
		})
	}
	c := policyCatalog(p, good)
	c.model("another", "", target("sim", "x", ""))
	n.publish(t, c)
}

// TestPolicyComesAndGoes adds a policy to a model that is in use, changes its config, and takes it away.
func TestPolicyComesAndGoes(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	bare := (&catalog{}).at("sim", p.addr, "").key("ann", "").model("m", "", target("sim", "x", "name: us"), target("sim", "x", "name: eu"))
	n := startNode(t, bare.String())
	ann := n.as(t, "ann")
	says := func(config string) *catalog {
		return (&catalog{}).at("sim", p.addr, "").key("ann", "").
			policy("lang", exampleModule(t, "route-by-language", "c"), "route", "headers: [accept-language], config: "+config).
			model("m", "policies: [lang]", target("sim", "x", "name: us"), target("sim", "x", "name: eu"))
	}
	routed := func() string {
		a := ann.chat(ask("m", "hello"), "accept-language", "fr")
		require.Equal(t, 200, a.status, a.body)
		return a.header.Get("X-Wedge-Policy") + " " + a.header.Get("X-Wedge-Target")
	}
	n.publish(t, says("{fr: eu}"))
	assert.Equal(t, "lang=route eu", routed())
	n.publish(t, says("{fr: us}"))
	assert.Equal(t, "lang=route us", routed())
	n.publish(t, bare)
	assert.Contains(t, []string{" us", " eu"}, routed())
	assert.Empty(t, n.policies(t))
}

// TestPolicyChain lets the second policy see what the first one made of the request, and fail on its own.
func TestPolicyChain(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	broken := moduleFile(t, guest{request: w.Op(w.OpUnreachable)}.module())
	chain := func(onError string) *catalog {
		return (&catalog{}).at("sim", p.addr, "").key("ann", "").
			policy("do", moduleFile(t, obedient()), "route, prompt", "headers: [x-do]").
			policy("broken", broken, "route", "on_error: "+onError).
			policy("guard", exampleModule(t, "prompt-guard", "rust"), "prompt", `config: {phrases: ["forbidden fruit"]}`).
			model("m", "policies: [do, broken, guard]", target("sim", "x", ""))
	}
	n := startNode(t, chain("continue").String())
	ann := n.as(t, "ann")
	a := ann.told(`{"messages":[{"index":0,"text":"Forbidden fruit"}]}`, ask("m", "an apple"))
	a.wantError(t, 403, "policy_denied")
	assert.Equal(t, "do=edit, broken=failed, guard=deny", a.header.Get("X-Wedge-Policy"))
	e := n.explain(t, a)
	require.Len(t, e.Policies, 3)
	assert.Equal(t, "the policy trapped", e.Policies[1].Error)
	a = ann.chat(ask("m", "an apple"))
	assert.Equal(t, "do=pass, broken=failed, guard=pass", a.header.Get("X-Wedge-Policy"))
	assert.EqualValues(t, 2, n.metric(t, "wedge_policy_errors_total", `policy="broken"`, `reason="trap"`))

	n.publish(t, chain("deny"))
	a = ann.chat(ask("m", "an apple"))
	assert.Contains(t, a.wantError(t, 503, "policy_failed"), "broken")
	assert.Equal(t, "do=pass, broken=failed", a.header.Get("X-Wedge-Policy"))
	assert.NotContains(t, a.body, "unreachable", "what is wrong with it is the operator's business")
}

// TestPolicyLogFlood lets a guest write a line at every request. The node's log stays readable.
func TestPolicyLogFlood(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").key("ann", "").
		policy("loud", moduleFile(t, guest{list: abi.AppendLog(nil, abi.LogInfo, "here I am\nlevel=ERROR msg=forged")}.module()), "route", "").
		model("m", "policies: [loud]", target("sim", "x", "")).String())
	ann := n.as(t, "ann")
	began := time.Now()
	for range 400 {
		require.Equal(t, 200, ann.chat(ask("m", "hello")).status)
	}
	most := 100 + 10*(int(time.Since(began)/time.Second)+2) // a burst, and ten a second
	assert.LessOrEqual(t, strings.Count(n.output("stderr"), "here I am"), most)
	for line := range strings.Lines(n.output("stderr")) {
		assert.True(t, strings.HasPrefix(line, "time="), "a guest's line stays one line: %s", line)
	}
}
