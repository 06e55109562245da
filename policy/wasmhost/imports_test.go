package wasmhost

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// importing is a guest whose wedge1_request calls function 0, imported under the name, with args, and returns what is
// left on the stack as a cache salt of 8 bytes.
func importing(module, name string, args ...[]byte) guest {
	f := hostFunctions[module][name]
	params, results := parseType(f.typ)
	g := guest{list: abi.AppendCacheSalt(nil, make([]byte, 8))}
	g.before = func(m *w.Module) { m.ImportFunc(module, name, params, results) }
	code := w.Code(append(args, w.Call(0))...)
	switch string(results) {
	case "":
		g.request = w.Code(code, g.listed())
	case string(i32):
		g.request = w.Code(w.I32Const(listAt+8), code, w.Load(w.OpI32Store, 0), g.listed())
	case string(i64):
		g.request = w.Code(w.I32Const(listAt+8), code, w.Load(w.OpI64Store, 0), g.listed())
	}
	return g
}

// callImport makes one call and returns what the import returned.
func callImport(t *testing.T, p *Program) int64 {
	t.Helper()
	list, err := p.Request(good, nil)
	require.NoError(t, err)
	return int64(littleEndian(salt(t, list)))
}

func littleEndian(s string) (n uint64) {
	for i := range s {
		n |= uint64(s[i]) << (8 * i)
	}
	return n
}

func consts(values ...int32) (out [][]byte) {
	for _, v := range values {
		out = append(out, w.I32Const(v))
	}
	return out
}

func withText(g guest, text string) []byte {
	data := g.funcs
	g.funcs = func(m *w.Module) {
		if data != nil {
			data(m)
		}
		m.Data(heapAt, []byte(text))
	}
	return g.bytes()
}

type logged struct {
	level uint32
	text  string
}

func logTo(lines *[]logged) func(uint32, string, string) {
	return func(level uint32, _, text string) { *lines = append(*lines, logged{level, text}) }
}

func TestLogImport(t *testing.T) {
	var lines []logged
	at := &clock{}
	fixed := time.Now()
	h := newHost(t, Options{Log: logTo(&lines), Now: func() time.Time { return fixed.Add(time.Duration(at.offset.Load())) }})
	p := load(t, h, Spec{Module: withText(importing("wedge1", "log", consts(2, heapAt, 5)...), "hel\xffo")})
	_, err := p.Request(good, nil)
	require.NoError(t, err)
	assert.Equal(t, []logged{{abi.LogWarn, "hel�o"}}, lines)

	for range 3 * logBurst {
		_, err := p.Request(good, nil)
		require.NoError(t, err)
	}
	assert.Len(t, lines, logBurst, "a talkative policy is cut short")
	at.pass(time.Second)
	_, err = p.Request(good, nil)
	require.NoError(t, err)
	assert.Equal(t, "201 lines of its log were left out: it writes more than 10 a second", lines[logBurst].text)
}

func TestKeyValueImports(t *testing.T) {
	h := newHost(t, Options{})
	put := load(t, h, Spec{Module: withText(importing("wedge1", "kv_put", consts(heapAt, 3, heapAt+3, 5, 0)...), "keyvalue")})
	assert.Equal(t, int64(0), callImport(t, put))
	get := load(t, h, Spec{Module: withText(importing("wedge1", "kv_get", consts(heapAt, 3, listAt+8, 2)...), "key")})
	assert.Equal(t, int64(5), callImport(t, get), "another version of the policy sees it")
	other := load(t, h, Spec{Name: "other", Module: withText(importing("wedge1", "kv_get", consts(heapAt, 3, heapAt, 99)...), "key")})
	assert.Equal(t, int64(0xffffffff), callImport(t, other), "another policy does not")

	over := load(t, h, Spec{Module: importing("wedge1", "kv_put", consts(heapAt, abi.MaxKVKey+1, heapAt, 1, 0)...).bytes()})
	assert.Equal(t, int64(0xffffffff), callImport(t, over))
	add := load(t, h, Spec{Module: importing("wedge1", "kv_add", w.I32Const(heapAt), w.I32Const(3), w.I64Const(-7), w.I32Const(0)).bytes()})
	assert.Equal(t, int64(-7), callImport(t, add))
	assert.Equal(t, int64(-14), callImport(t, add))
}

func TestHostedActions(t *testing.T) {
	var lines []logged
	h := newHost(t, Options{Log: logTo(&lines)})
	g := guest{list: abi.AppendLog(nil, abi.LogInfo, "chosen")}
	g.list = abi.AppendTarget(g.list, "eu")
	g.list = abi.AppendKVAdd(g.list, 3, 0, "n")
	g.list = abi.AppendKVPut(g.list, 0, "k", "v")
	p := load(t, h, Spec{Module: g.bytes()})
	for range 2 {
		got, err := p.Request(good, []byte("kept"))
		require.NoError(t, err)
		assert.Equal(t, append([]byte("kept"), target("eu")...), got, "the host's own actions are carried out and taken out")
	}
	assert.Equal(t, []logged{{abi.LogInfo, "chosen"}, {abi.LogInfo, "chosen"}}, lines)
	sum, _ := p.kv.add([]byte("n"), 0, 0, 0)
	assert.Equal(t, int64(6), sum)
	assert.Equal(t, "v", value(p.kv, "k", 0))
}

func TestTimeImport(t *testing.T) {
	h := newHost(t, Options{Now: func() time.Time { return time.UnixMilli(1234567890123) }})
	assert.Equal(t, int64(1234567890123), callImport(t, load(t, h, Spec{Module: importing("wedge1", "now_ms").bytes()})))
}

func TestPointersOfImportsAreChecked(t *testing.T) {
	h := newHost(t, Options{})
	for name, args := range map[string][][]byte{
		"log":    consts(0, -1, 8),
		"kv_get": consts(heapAt, 3, pageSize-1, 2),
		"kv_put": consts(heapAt, 3, heapAt, -1, 0),
		"kv_add": {w.I32Const(-8), w.I32Const(9), w.I64Const(1), w.I32Const(0)},
	} {
		p := load(t, h, Spec{Name: name, Module: importing("wedge1", name, args...).bytes()})
		_, err := p.Request(good, nil)
		require.ErrorIs(t, err, policy.ErrTrapped, name)
		assert.ErrorContains(t, err, "and its memory has 65536", name)
	}
}

func TestALoopOfHostCallsEndsInTime(t *testing.T) {
	h := newHost(t, Options{})
	for _, name := range []string{"log", "kv_put", "kv_get"} {
		g := importing("wedge1", name, consts(heapAt, 8, heapAt, 4096, 0)[:len(strings.Split(hostFunctions["wedge1"][name].typ, ","))]...)
		g.request = w.Code(w.Loop(g.request[:len(g.request)-len(g.listed())], w.Br(0)), g.listed())
		p := load(t, h, Spec{Name: name, Module: g.bytes()})
		best := time.Hour
		for range 2 {
			var err error
			best = min(best, spent(t, func() { _, err = p.Request(good, nil) }))
			require.ErrorIs(t, err, policy.ErrDeadline, name)
		}
		assert.Less(t, best, 2*time.Millisecond+slack, name)
	}
}

func TestAbort(t *testing.T) {
	wide := func(s string) string {
		out := fmt.Sprintf("%c\x00\x00\x00", 2*len(s))
		for _, c := range s {
			out += string(c) + "\x00"
		}
		return out
	}
	g := importing("env", "abort", consts(heapAt+4, 0, 3, 9)...)
	p := load(t, newHost(t, Options{}), Spec{Module: withText(g, wide("no such tier"))})
	_, err := p.Request(good, nil)
	require.ErrorIs(t, err, policy.ErrTrapped)
	assert.ErrorContains(t, err, "it aborted: no such tier (no text:3:9)")
}

func TestWASI(t *testing.T) {
	const wasi = "wasi_snapshot_preview1"
	var lines []logged
	h := newHost(t, Options{Log: logTo(&lines), Now: func() time.Time { return time.Unix(5, 0) }})
	for name, c := range map[string]struct {
		args   [][]byte
		want   int64
		memory string // at heapAt afterwards
	}{
		"args_sizes_get":    {consts(heapAt, heapAt+4), 0, "\x00\x00\x00\x00\x00\x00\x00\x00"},
		"environ_sizes_get": {consts(heapAt, heapAt+4), 0, "\x00\x00\x00\x00\x00\x00\x00\x00"},
		"clock_time_get":    {[][]byte{w.I32Const(0), w.I64Const(0), w.I32Const(heapAt)}, 0, "\x00\xf2\x05\x2a\x01\x00\x00\x00"},
		"clock_res_get":     {consts(0, heapAt), 0, "\x40\x42\x0f\x00"},
		"fd_prestat_get":    {consts(3, heapAt), 8, "text"},
		"fd_fdstat_get":     {consts(1, heapAt), 0, "\x02\x00"},
		"fd_close":          {consts(0), 8, "text"},
		"sock_accept":       {consts(0, 0, 0), 52, "text"},
		"path_open": {[][]byte{w.I32Const(3), w.I32Const(0), w.I32Const(heapAt), w.I32Const(4), w.I32Const(0), w.I64Const(0),
			w.I64Const(0), w.I32Const(0), w.I32Const(heapAt)}, 52, "text"},
		"sched_yield": {nil, 0, "text"},
	} {
		p := load(t, h, Spec{Name: name, Module: withText(importing(wasi, name, c.args...), "text....")})
		in := alone(t, p)
		assert.Equal(t, c.want, callImport(t, p), name)
		assert.Equal(t, c.memory, string(in.all()[heapAt:][:len(c.memory)]), name)
	}

	random := load(t, h, Spec{Name: "random", Module: importing(wasi, "random_get", consts(heapAt, 32)...).bytes()})
	in := alone(t, random)
	assert.Zero(t, callImport(t, random))
	assert.NotEqual(t, make([]byte, 32), in.all()[heapAt:][:32])

	vector := "\x08\x02\x00\x00\x06\x00\x00\x00" + "hello\n"
	write := load(t, h, Spec{Name: "write", Module: withText(importing(wasi, "fd_write", consts(2, heapAt, 1, heapAt+16)...), vector)})
	assert.Zero(t, callImport(t, write))
	assert.Equal(t, []logged{{abi.LogWarn, "hello"}}, lines)

	exit := load(t, h, Spec{Name: "exit", Module: importing(wasi, "proc_exit", consts(3)...).bytes()})
	_, err := exit.Request(good, nil)
	require.ErrorIs(t, err, policy.ErrTrapped)
	assert.ErrorContains(t, err, "it ended itself with status 3")
}

// TestEveryWASIFunctionIsKnown loads a guest that imports all of them.
func TestEveryWASIFunctionIsKnown(t *testing.T) {
	g := guest{list: target("eu")}
	g.before = func(m *w.Module) {
		for name, f := range wasiFunctions {
			params, results := parseType(f.typ)
			m.ImportFunc("wasi_snapshot_preview1", name, params, results)
		}
	}
	p := load(t, newHost(t, Options{}), Spec{Module: g.bytes()})
	got, err := p.Request(good, nil)
	require.NoError(t, err)
	assert.Equal(t, target("eu"), got)
	assert.Len(t, wasiFunctions, 46)
}
