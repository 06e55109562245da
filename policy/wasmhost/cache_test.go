package wasmhost

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// child starts this test binary as the compiler.
func child(t testing.TB) []string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return []string{exe, childArg}
}

// entries are the finished and the unfinished entries of a cache directory.
func entries(t *testing.T, dir string) (whole, rest []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range all {
		if strings.HasPrefix(e.Name(), unfinished) {
			rest = append(rest, filepath.Join(dir, e.Name()))
		} else {
			whole = append(whole, filepath.Join(dir, e.Name()))
		}
	}
	return whole, rest
}

// code is the file of machine code in an entry.
func code(t *testing.T, entry string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(entry, "wazero-*", "*"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func decides(t *testing.T, o Options, module []byte) {
	t.Helper()
	h := newHost(t, o)
	p := load(t, h, Spec{Module: module})
	got, err := p.Request(good, nil)
	require.NoError(t, err)
	assert.Equal(t, target("eu"), got)
	h.Close()
}

func TestCompileChild(t *testing.T) {
	o := Options{CacheDir: filepath.Join(t.TempDir(), "wasm"), Compile: child(t)}
	module := guest{list: target("eu")}.bytes()
	decides(t, o, module)
	info, err := os.Stat(o.CacheDir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	whole, rest := entries(t, o.CacheDir)
	assert.Len(t, whole, 1)
	assert.Empty(t, rest)

	o.Compile = []string{"/nonexistent"}
	decides(t, o, module) // from the cache
}

func TestBrokenCacheEntries(t *testing.T) {
	module := guest{list: target("eu")}.bytes()
	for name, spoil := range map[string]func(t *testing.T, entry string){
		"a flipped bit": func(t *testing.T, entry string) {
			file := code(t, entry)
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			b[len(b)/2] ^= 1
			require.NoError(t, os.WriteFile(file, b, 0o600))
		},
		"a huge number of functions": func(t *testing.T, entry string) {
			file := code(t, entry)
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			copy(b[7+int(b[6]):], "\xff\xff\xff\x7f")
			require.NoError(t, os.WriteFile(file, b, 0o600))
		},
		"a file cut short": func(t *testing.T, entry string) { require.NoError(t, os.Truncate(code(t, entry), 40)) },
		"an empty file":    func(t *testing.T, entry string) { require.NoError(t, os.Truncate(code(t, entry), 0)) },
		"a file gone":      func(t *testing.T, entry string) { require.NoError(t, os.Remove(code(t, entry))) },
		"a file added": func(t *testing.T, entry string) {
			require.NoError(t, os.WriteFile(filepath.Join(entry, "more"), nil, 0o600))
		},
		"no digests":    func(t *testing.T, entry string) { require.NoError(t, os.Remove(filepath.Join(entry, sumsName))) },
		"empty digests": func(t *testing.T, entry string) { require.NoError(t, os.Truncate(filepath.Join(entry, sumsName), 0)) },
		"a format that the engine does not know, well signed": func(t *testing.T, entry string) {
			require.NoError(t, os.WriteFile(code(t, entry), []byte("WAZEVOgarbage"), 0o600))
			require.NoError(t, writeSums(entry))
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{CacheDir: t.TempDir()}
			require.NoError(t, os.Chmod(o.CacheDir, 0o700))
			decides(t, o, module)
			whole, _ := entries(t, o.CacheDir)
			require.Len(t, whole, 1)
			before, err := os.ReadFile(code(t, whole[0]))
			require.NoError(t, err)
			spoil(t, whole[0])
			decides(t, o, module)
			after, err := os.ReadFile(code(t, whole[0]))
			require.NoError(t, err)
			assert.Equal(t, before, after, "it was made again")
		})
	}
}

func TestCacheDirectoryMustBePrivate(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o770))
	_, err := New(Options{CacheDir: dir})
	assert.ErrorContains(t, err, "others may write to it (mode 0770): run chmod 700")
	require.NoError(t, os.Chmod(dir, 0o700))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(dir, 12345, 12345))
		_, err = New(Options{CacheDir: dir})
		assert.ErrorContains(t, err, "it belongs to user 12345")
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = New(Options{CacheDir: file})
	assert.Error(t, err)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(t.TempDir(), link))
	_, err = New(Options{CacheDir: link})
	assert.ErrorContains(t, err, "not a directory")
	_, err = New(Options{Compile: []string{"x"}})
	assert.ErrorContains(t, err, "needs a cache directory")
}

// heavy takes the compiler some seconds: functions of many blocks and locals.
func heavy() []byte {
	g := guest{list: target("eu"), funcs: func(m *w.Module) {
		block := w.Block(w.LocalGet(0), w.BrIf(0), w.LocalGet(1), w.I32Const(1), w.Op(w.OpI32Add), w.LocalSet(1))
		for range 30 {
			m.FuncLocals(i32, none, []byte(strings.Repeat("\x7f", 1000)), w.Repeat(8000, block))
		}
	}}
	return g.bytes()
}

func TestCancelledLoad(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	h := newHost(t, Options{CacheDir: dir, Compile: child(t)})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := h.Load(ctx, Spec{Name: "heavy", Module: heavy(), Hooks: policy.Route})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, rest := entries(t, dir)
	assert.Empty(t, rest)
}

func TestLeftoversOfKilledNodesAreSwept(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	for _, name := range []string{"old", "new"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, unfinished+name, "wazero"), 0o700))
	}
	long := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, unfinished+"old"), long, long))
	for range keptEntries + 5 {
		e, err := os.MkdirTemp(dir, "entry")
		require.NoError(t, err)
		require.NoError(t, os.Chtimes(e, long, long))
	}
	newHost(t, Options{CacheDir: dir})
	whole, rest := entries(t, dir)
	assert.Equal(t, []string{filepath.Join(dir, unfinished+"new")}, rest, "another node may be making it")
	assert.Len(t, whole, keptEntries)
}

func TestCompileChildRefuses(t *testing.T) {
	for _, args := range [][]string{nil, {"dir"}, {"dir", "pages"}} {
		assert.Error(t, CompileChild(args, strings.NewReader(""), os.Stdout))
	}
	cmd := exec.Command(child(t)[0], childArg, t.TempDir(), "16")
	cmd.Stdin = strings.NewReader("\x00asm\x01\x00\x00\x00\xff")
	out, err := cmd.Output()
	require.Error(t, err)
	assert.NotEmpty(t, out, "the reason")
}
