package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

const (
	examplePolicy = "../../wasm/examples/route-by-language/wat/policy.wasm"
	exampleCases  = "../../wasm/examples/route-by-language/cases"
)

// Where the guests of these tests keep things.
const (
	listAt   = 16
	bufferAt = 1024
)

// testGuest is a policy in the making: code by export, what is not there does the least that is right.
type testGuest struct {
	caps   abi.Caps
	list   []byte // what the request's call returns
	calls  map[string][]byte
	before func(m *w.Module) // adds imports
	after  func(m *w.Module)
	types  map[string][]byte // results that differ from what they should be
}

var (
	oneI32 = []byte{w.I32}
	oneI64 = []byte{w.I64}
)

func (g testGuest) bytes() []byte {
	m := &w.Module{}
	if g.before != nil {
		g.before(m)
	}
	m.Memory(1, w.NoMax)
	m.Export(abi.ExportMemory, w.KindMemory, 0)
	m.Data(listAt, g.list)
	code := map[string][]byte{
		abi.ExportCaps: w.I32Const(int32(g.caps)), abi.ExportAlloc: w.I32Const(bufferAt), abi.ExportInit: w.I32Const(0),
		abi.ExportRequest: w.I64Const(int64(listAt)<<32 | int64(len(g.list))),
	}
	for name, body := range g.calls {
		code[name] = body
	}
	for _, e := range []struct {
		name            string
		params, results []byte
	}{
		{abi.ExportCaps, nil, oneI32}, {abi.ExportAlloc, oneI32, oneI32}, {abi.ExportInit, oneI32, oneI32},
		{abi.ExportRequest, oneI32, oneI64}, {abi.ExportResponse, oneI32, oneI64}, {abi.ExportChunk, oneI32, oneI64},
		{abi.ExportDone, oneI32, oneI64},
	} {
		results := e.results
		if other, is := g.types[e.name]; is {
			results = other
		}
		if body := code[e.name]; body != nil {
			m.Export(e.name, w.KindFunc, m.Func(e.params, results, body))
		}
	}
	if g.after != nil {
		g.after(m)
	}
	return m.Bytes()
}

// file writes bytes to a new file and returns its name.
func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

func guestFile(t *testing.T, g testGuest) string { return file(t, "guest.wasm", g.bytes()) }

// refused runs a line that must fail with exit code 1 and one line of complaint, and returns both outputs.
func refused(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := runLine(args...)
	assert.Equal(t, exitFailed, code, stdout)
	assert.True(t, strings.HasPrefix(stderr, "wedge: "), stderr)
	assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	return stdout, stderr
}

// done runs a line that must succeed in silence.
func done(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	code, stdout, stderr := runLine(args...)
	require.Equal(t, exitDone, code, stderr)
	assert.Empty(t, stderr)
	return stdout
}

func TestPolicyCheckOfAGoodModule(t *testing.T) {
	stdout := done(t, "policy", "check", examplePolicy)
	assert.Regexp(t, `^\S+policy\.wasm: ok: \d+ bytes, sha256:[0-9a-f]{64}\n`, stdout)
	assert.Contains(t, stdout, "\n  hooks      route, prompt\n")
	assert.Contains(t, stdout, "\n  sees       headers\n")
	assert.Contains(t, stdout, "\n  imports    nothing\n")
	assert.Regexp(t, `\n  memory     \d+ KiB for each instance\n`, stdout)
	assert.Regexp(t, `\n  loads in   \S+ (ms|µs), compiled before in \S+ (ms|µs)\n`, stdout)
	assert.Contains(t, stdout, "\n  clean      runs as asked\n")

	var r moduleReport
	require.NoError(t, json.Unmarshal([]byte(done(t, "policy", "check", "-o", "json", examplePolicy)), &r))
	assert.True(t, r.OK)
	assert.Empty(t, r.Faults)
	assert.Equal(t, abi.CapHeaders, r.Caps)
	assert.Equal(t, []string{"route", "prompt"}, r.Hooks)
	assert.Contains(t, r.Exports, abi.ExportRequest)
	assert.Positive(t, r.Memory)
	assert.Positive(t, r.Load)
}

// An SDK exports every hook; what the policy does its capabilities say.
func TestPolicyCheckFindsTheHooks(t *testing.T) {
	nothing := w.I64Const(0)
	every := map[string][]byte{abi.ExportResponse: nothing, abi.ExportChunk: nothing, abi.ExportDone: nothing}
	for want, g := range map[string]testGuest{
		"route, prompt":                  {calls: every},
		"route, prompt, chunk":           {calls: every, caps: abi.CapChunk},
		"route, prompt, response, done":  {calls: every, caps: abi.CapResponse | abi.CapDone},
		"chunk":                          {calls: map[string][]byte{abi.ExportRequest: nil, abi.ExportChunk: nothing}, caps: abi.CapChunk},
		"route, prompt, response, chunk": {calls: every, caps: abi.CapResponse | abi.CapChunk | abi.CapState},
	} {
		assert.Contains(t, done(t, "policy", "check", guestFile(t, g)), "\n  hooks      "+want+"\n")
	}
}

func TestPolicyCheckNamesEveryFault(t *testing.T) {
	imports := func(module, name string) func(m *w.Module) {
		return func(m *w.Module) { m.ImportFunc(module, name, oneI32, oneI32) }
	}
	example, err := os.ReadFile(examplePolicy)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		module []byte
		args   []string
		want   []string
	}{
		"no module": {[]byte("hello"), nil, []string{": module: "}},
		"component": {[]byte("\x00asm\x0d\x00\x01\x00"), nil, []string{"component", "build a core module"}},
		"missing exports": {(&w.Module{}).Bytes(), nil, []string{"its memory", "wedge1_caps () -> i32", "wedge1_alloc (i32) -> i32",
			"wedge1_init (i32) -> i32", "wedge1_request (i32) -> i64"}},
		"wrong type": {testGuest{types: map[string][]byte{abi.ExportCaps: oneI64}, calls: map[string][]byte{abi.ExportCaps: w.I64Const(0)}}.bytes(),
			nil, []string{"exports wedge1_caps as () -> i64, want () -> i32"}},
		"unknown import": {testGuest{before: imports("wedge1", "kv_list")}.bytes(), nil,
			[]string{"it imports wedge1.kv_list, which does not exist: wedge1 has kv_add, kv_get, kv_put, log, now_ms"}},
		"other import": {testGuest{before: imports("env", "socket")}.bytes(), nil, []string{"it imports env.socket"}},
		"memory":       {example, []string{"--memory", "64KiB"}, []string{": module: memory", "131072"}},
		"endless start": {testGuest{after: func(m *w.Module) { m.Start(m.Func(nil, nil, w.Forever())) }}.bytes(), nil,
			[]string{": start: ", "used up its time"}},
		"config": {testGuest{calls: map[string][]byte{abi.ExportInit: w.I32Const(abi.ErrConfig)}}.bytes(), nil,
			[]string{": init: wedge1_init refused its config of 2 bytes with -4 (wrong config)"}},
		"endless call": {testGuest{calls: map[string][]byte{abi.ExportRequest: w.Code(w.Forever(), w.I64Const(0))}}.bytes(),
			[]string{"--time", "3ms"}, []string{": call: wedge1_request: the policy used up its time: more than 3ms"}},
		"trap": {testGuest{calls: map[string][]byte{abi.ExportRequest: w.Op(w.OpUnreachable)}}.bytes(), nil,
			[]string{": call: wedge1_request: the policy trapped: unreachable"}},
		"bad list": {testGuest{list: []byte{1, 0, 9}}.bytes(), nil, []string{": call: wedge1_request: the policy's actions are invalid"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, "guest.wasm", c.module)
			stdout, _ := refused(t, append([]string{"policy", "check", path}, c.args...)...)
			for line := range strings.Lines(stdout) {
				assert.True(t, strings.HasPrefix(line, path+": "), line)
			}
			for _, want := range c.want {
				assert.Contains(t, stdout, want)
			}
			stdout, _ = refused(t, append([]string{"policy", "check", "-o", "json", path}, c.args...)...)
			var r moduleReport
			require.NoError(t, json.Unmarshal([]byte(stdout), &r))
			assert.False(t, r.OK)
			assert.NotEmpty(t, r.Faults)
		})
	}
}

func TestPolicyCheckTakesAConfig(t *testing.T) {
	// The buffer's second byte is the closing brace of {}.
	strict := testGuest{calls: map[string][]byte{abi.ExportInit: w.Code(w.I32Const(bufferAt+1), w.Load(w.OpI32Load8U, 0),
		w.I32Const('}'), w.Op(w.OpI32Sub, w.OpI32Eqz), w.I32Const(abi.ErrConfig), w.Op(w.OpI32Mul))}}
	path := guestFile(t, strict)
	_, stderr := refused(t, "policy", "check", path)
	assert.Contains(t, stderr, "give it another one with --config")
	done(t, "policy", "check", path, "--config", `{"a":1}`)
	done(t, "policy", "check", path, "--config", file(t, "config.json", []byte("\n{ \"a\": 1}\n")))
	for _, bad := range []string{"{", `{"a":}`, "/does/not/exist"} {
		_, stderr = refused(t, "policy", "check", path, "--config", bad)
		assert.Contains(t, stderr, "the config")
	}
}

func TestPolicyRunShowsWhatHappened(t *testing.T) {
	french := file(t, "french.json", []byte(`{"config": {"fr": "eu"}, "request": {"headers": {"accept-language": "fr"}}, "expect": {"target": "eu"}}`))
	stdout := done(t, "policy", "run", examplePolicy, "--case", french)
	assert.Contains(t, stdout, "case french\n")
	assert.Contains(t, stdout, `"accept-language": "fr"`)
	assert.Contains(t, stdout, "  actions  {\"target\": \"eu\"}\n  verdict  route\n")
	assert.Regexp(t, `\n\d+ units of fuel per call\n$`, stdout)
	assert.NotContains(t, stdout, "WDG1")
	assert.NotContains(t, stdout, "expects something else")

	stdout = done(t, "policy", "run", examplePolicy, "--case", french, "--hex")
	assert.Contains(t, stdout, "    00000000  57 44 47 31 ")
	assert.Contains(t, stdout, "|........eu..|")
}

// Every kind of call, state that comes back, logs, and actions that are left out.
func TestPolicyRunMakesEveryCall(t *testing.T) {
	list := abi.AppendState(nil, "kept")
	list = abi.AppendLog(list, abi.LogWarn, "hello")
	list = abi.AppendMetric(list, strings.Repeat("k", abi.MaxTagText+1), "too long")
	same := w.I64Const(int64(listAt)<<32 | int64(len(list)))
	nothing := w.I64Const(0)
	path := guestFile(t, testGuest{caps: abi.CapChunk | abi.CapResponse | abi.CapDone, list: list, calls: map[string][]byte{
		abi.ExportRequest: same, abi.ExportChunk: nothing, abi.ExportResponse: nothing, abi.ExportDone: w.I64Const(abi.ErrExhausted),
	}})
	one := file(t, "all.json", []byte(`{"about": "everything", "steps": [
		{"request": {"model": "m"}, "expect": {"state": "kept"}},
		{"chunk": {"text": "a"}, "expect": {"text": "b", "stop": "enough"}},
		{"response": {"text": "whole", "status": 200}, "expect": {}},
		{"done": {"status": 200}, "fails": true}]}`))
	var r caseReport
	require.NoError(t, json.Unmarshal([]byte(done(t, "policy", "run", path, "--case", one, "-o", "json")), &r))
	assert.False(t, r.OK, "the chunk's actions differ")
	assert.Equal(t, "everything", r.About)
	assert.Equal(t, []logLine{{"warn", "hello"}}, r.Logs)
	assert.EqualValues(t, 1, r.Ignored)
	require.Len(t, r.Calls, 4)
	for i, call := range []string{"request", "chunk", "response", "done"} {
		assert.Equal(t, call, r.Calls[i].Call)
	}
	assert.JSONEq(t, `{"state":"kept"}`, string(r.Calls[0].Actions))
	assert.Contains(t, string(r.Calls[1].View), `"state": "kept"`)
	assert.Equal(t, "    - \"stop\": \"enough\"\n    - \"text\": \"b\"\n", r.Calls[1].Differs)
	assert.Equal(t, "pass", r.Calls[2].Verdict)
	assert.Contains(t, r.Calls[3].Error, "-5 (exhausted)")

	stdout := done(t, "policy", "run", path, "--case", one)
	for _, want := range []string{"\n1 chunk, ", "  the case expects something else:\n    - \"stop\": \"enough\"\n", "\nlog warn: hello\n",
		"\n1 action left out: ", "  failed   the policy returned an error: -5 (exhausted)\n"} {
		assert.Contains(t, stdout, want)
	}
}

func TestPolicyRunFailsWithACall(t *testing.T) {
	path := guestFile(t, testGuest{calls: map[string][]byte{abi.ExportRequest: w.Code(w.Forever(), w.I64Const(0))}})
	one := file(t, "one.json", []byte(`{"request": {}, "expect": {}}`))
	stdout, stderr := refused(t, "policy", "run", path, "--case", one, "--time", "5ms")
	assert.Contains(t, stdout, "  failed   the policy used up its time: more than 5ms\n")
	assert.Contains(t, stderr, "case one: call 0, a request, failed: ")

	_, stderr = refused(t, "policy", "run", examplePolicy, "--case", file(t, "refused.json", []byte(`{"refused": true}`)))
	assert.Contains(t, stderr, "the policy has to refuse its config, and took it")
	_, stderr = refused(t, "policy", "run", examplePolicy, "--case", "/does/not/exist.json")
	assert.Contains(t, stderr, "cannot read the case")
	_, stderr = refused(t, "policy", "run", "/does/not/exist.wasm", "--case", one)
	assert.Contains(t, stderr, "cannot read the policy")
}

func TestPolicyTest(t *testing.T) {
	stdout := done(t, "policy", "test", examplePolicy, "--cases", exampleCases)
	assert.Regexp(t, `^(ok    \S+\n)+\d+ of \d+ cases passed\n$`, stdout)

	dir := t.TempDir()
	for name, text := range map[string]string{
		"good.json":    `{"config": {"fr": "eu"}, "request": {"headers": {"accept-language": "fr"}}, "expect": {"target": "eu"}}`,
		"other.json":   `{"config": {"fr": "eu"}, "request": {"headers": {"accept-language": "fr"}}, "expect": {"target": "us", "timeout_ms": 5}}`,
		"fails.json":   `{"request": {}, "fails": true}`,
		"refused.json": `{"refused": true}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	stdout, stderr := refused(t, "policy", "test", examplePolicy, "--cases", dir)
	assert.Contains(t, stderr, "fails 3 of 4 cases")
	assert.Equal(t, `FAIL  fails
  call 0, a request
    the call should fail
ok    good
FAIL  other
  call 0, a request
    - "target": "us"
    + "target": "eu"
    - "timeout_ms": 5
FAIL  refused
    case refused: the policy has to refuse its config, and took it
1 of 4 cases passed
`, stdout)

	stdout, _ = refused(t, "policy", "test", examplePolicy, "--cases", dir, "-o", "json")
	var r testReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	assert.False(t, r.OK)
	assert.Equal(t, 1, r.Passed)
	assert.Len(t, r.Cases, 4)

	_, stderr = refused(t, "policy", "test", examplePolicy, "--cases", t.TempDir())
	assert.Contains(t, stderr, "there is no case")
}

// A config that has to be refused, and one that another fault hides.
func TestPolicyTestOfARefusedConfig(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "refused.json"), []byte(`{"config": {"x": 1}, "refused": true}`), 0o600))
	refuses := testGuest{calls: map[string][]byte{abi.ExportInit: w.I32Const(abi.ErrConfig)}}
	done(t, "policy", "test", guestFile(t, refuses), "--cases", dir)
	broken := testGuest{calls: map[string][]byte{abi.ExportInit: nil}}
	stdout, _ := refused(t, "policy", "test", guestFile(t, broken), "--cases", dir)
	assert.Contains(t, stdout, "it does not export wedge1_init")
}

func TestPolicyBench(t *testing.T) {
	args := []string{"policy", "bench", examplePolicy, "-d", "30ms"}
	stdout := done(t, args...)
	assert.Regexp(t, `\n  request   shared  .* [µn]s .* [µmn]s `, stdout)
	for _, want := range []string{"\n  request   clean ", "\n  request   fresh ", "\n  memory    ", "\n  loads in  "} {
		assert.Contains(t, stdout, want)
	}
	var r benchReport
	require.NoError(t, json.Unmarshal([]byte(done(t, append(args, "-o", "json", "-n", "100", "--case", exampleCases+"/several.json")...)), &r))
	require.Len(t, r.Rows, 3)
	for _, row := range r.Rows {
		assert.Positive(t, row.Median)
		assert.GreaterOrEqual(t, row.P99, row.Median)
		assert.Positive(t, row.Fuel)
		assert.Positive(t, row.Calls)
		assert.Less(t, row.Calls, 200)
	}
	assert.Positive(t, r.Load)
	assert.Positive(t, r.Memory)
}

// Every hook has a row, and one that a node would stop is told apart.
func TestPolicyBenchOfEveryHook(t *testing.T) {
	slow := w.Code(w.Repeat(40, w.Code(w.I32Const(0), w.I32Const(0), w.I32Const(65536), w.MemoryFill())), w.I64Const(0))
	path := guestFile(t, testGuest{caps: abi.CapChunk | abi.CapDone, calls: map[string][]byte{
		abi.ExportRequest: w.I64Const(0), abi.ExportChunk: slow, abi.ExportDone: w.I64Const(0)}})
	var r benchReport
	require.NoError(t, json.Unmarshal([]byte(done(t, "policy", "bench", path, "-d", "20ms", "-o", "json")), &r))
	var calls []string
	for _, row := range r.Rows {
		calls = append(calls, row.Call+" "+row.Isolation)
	}
	assert.Equal(t, []string{"request shared", "request clean", "request fresh", "chunk shared", "done shared"}, calls)

	r.Rows = []benchRow{{Call: "chunk", Median: 300e3, limit: nodeChunkTime}, {Call: "request", Median: 1e3, limit: nodeTime}}
	assert.Contains(t, r.text(), "\n  too slow: a node stops a chunk after 200 µs\n")
	assert.NotContains(t, r.text(), "stops a request")
}

func TestPolicyBenchOfABrokenPolicy(t *testing.T) {
	path := guestFile(t, testGuest{calls: map[string][]byte{abi.ExportRequest: w.Op(w.OpUnreachable)}})
	_, stderr := refused(t, "policy", "bench", path, "-d", "10ms")
	assert.Contains(t, stderr, "cannot measure wedge1_request: the policy trapped")
	_, stderr = refused(t, "policy", "bench", path, "-d", "10ms", "--case", file(t, "one.json", []byte(`{"request": {}, "expect": {}}`)))
	assert.Contains(t, stderr, "it has no call that works")
}

func TestSpan(t *testing.T) {
	for ns, want := range map[float64]string{46: "46 ns", 1234: "1.23 µs", 1.5e6: "1.5 ms", 2e9: "2 s"} {
		assert.Equal(t, want, spanOf(ns))
	}
	for n, want := range map[uint64]string{1: "1 byte", 68 << 10: "68 KiB", 16 << 20: "16 MiB", 3560 << 10: "3560 KiB", 12345678: "11.8 MiB"} {
		assert.Equal(t, want, storage(n))
	}
}
