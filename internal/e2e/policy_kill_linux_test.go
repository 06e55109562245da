package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// slowToCompile is a guest that says v in a response header, with so many functions that keep a compiler busy. No two
// are alike.
func slowToCompile(v, functions int) []byte {
	return guest{list: abi.AppendResponseHeader(nil, "x-v", fmt.Sprint(v)), funcs: func(m *w.Module) {
		block := w.Block(w.LocalGet(0), w.BrIf(0), w.LocalGet(1), w.I32Const(int32(v)), w.Op(w.OpI32Add), w.LocalSet(1))
		for range functions {
			m.FuncLocals(i32, none, bytes.Repeat(i32, 300), w.Repeat(2000, block))
		}
	}}.module()
}

// compilers are the processes that compile into a node's data folder.
func (n *node) compilers(t *testing.T) (pids []string) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range found {
		line, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(line), "\x00compile-policy\x00"+n.folder) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

// awaitCompiler waits until somebody compiles for the node.
func (n *node) awaitCompiler(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, startTime, func() error {
		if len(n.compilers(t)) == 0 {
			return fmt.Errorf("nobody compiles")
		}
		return nil
	})
}

// awaitNoCompiler waits until nobody compiles for the node.
func (n *node) awaitNoCompiler(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, 3*time.Second, func() error {
		if pids := n.compilers(t); len(pids) > 0 {
			return fmt.Errorf("still compiling: %v", pids)
		}
		return nil
	})
}

// spoil truncates or changes one of the node's compiled policies.
func (n *node) spoil(t *testing.T) {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(n.folder, "policies"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, files)
	path := files[rand.IntN(len(files))]
	code, err := os.ReadFile(path)
	require.NoError(t, err)
	if rand.IntN(2) == 0 {
		code = code[:len(code)/2]
	} else if len(code) > 0 {
		code[rand.IntN(len(code))] ^= 0xff
	}
	require.NoError(t, os.WriteFile(path, code, 0o600))
}

// TestPolicyKill ends a node without warning while it compiles a policy, swaps one, or starts with one. It must start
// again each time and run the policy that the catalog names; what lies in its cache must not lead it astray, and no
// compiler may stay behind.
func TestPolicyKill(t *testing.T) {
	t.Parallel()
	const few, most = 5, 120 // functions: a fraction of a second, and ten seconds
	rounds := 5
	if testing.Short() || raceBuilt() {
		rounds = 2
	}
	p := startProvider(t, "--log-size", "0")
	n, paths := swapNode(t, p, 2)
	for round := 1; round <= rounds; round++ {
		l := startPaced(n.as(t, "ann"), 50, func(i int) string { return ask(fmt.Sprint("m", i%2), "kill") })
		writeModule(t, paths[1], versioned(1+round%2, round))
		if round%2 == 0 { // anywhere between two catalogs
			writeModule(t, paths[0], slowToCompile(100+round, few))
			time.Sleep(time.Duration(rand.IntN(800)) * time.Millisecond)
			n.kill()
		} else {
			writeModule(t, paths[0], slowToCompile(100+round, most))
			n.awaitCompiler(t)
			n.kill()
			writeModule(t, paths[0], slowToCompile(100+round, few))
		}
		l.end()
		for _, a := range l.answers {
			assert.NotEmpty(t, a.header.Get("X-V"), "an answer without the policy")
		}
		n.awaitNoCompiler(t)
		n.spoil(t)

		early := start(t, n.args...) // and once more, before it is ready
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		early.kill()
		n.awaitNoCompiler(t)

		n.start(t)
		ann := n.as(t, "ann")
		for i, want := range []int{100 + round, 1 + round%2} {
			a := ann.chat(ask(fmt.Sprint("m", i), "alive?"))
			require.Equal(t, 200, a.status, a.body)
			assert.Equal(t, fmt.Sprint(want), a.header.Get("X-V"))
		}
		n.spoil(t)
	}
	n.restart(t)
	assert.Equal(t, fmt.Sprint(100+rounds), n.as(t, "ann").chat(ask("m0", "at last")).header.Get("X-V"))
}
