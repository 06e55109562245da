// Package guests builds policies for tests and calls their exports without a host. It knows the SDKs and the
// toolchains that scripts/setup.sh installs, and is imported by _test.go files only.
package guests

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wedge-proxy/wedge/wasm/sdk"
)

const buildTime = 4 * time.Minute

// tools are the commands that a language's build needs.
var tools = map[string][]string{
	"go": {"go"}, "rust": {"rustc", "wasm-ld"}, "assemblyscript": {"npm", "asc"}, "c": {"clang", "wasm-ld"},
	"cpp": {"clang++", "wasm-ld"}, "zig": {"zig"}, "d": {"ldc2", "wasm-ld"}, "wat": {"wat2wasm"},
	"js": {"npm", "wasm-merge"},
}

// Build builds the policy in the folder, which holds what differs from a new project, and gives the module's bytes. Each
// is built once in a process. The test is skipped where the toolchain is missing, and fails for that with CI=true.
func Build(t testing.TB, lang, dir string) []byte {
	t.Helper()
	const name = "policy"
	files, _, err := sdk.New(lang, name)
	if err != nil {
		t.Fatal(err)
	}
	own, err := readTree(dir)
	if err != nil {
		t.Fatalf("cannot read the policy: %v", err)
	}
	for at, text := range own {
		// The packages of this module become a project of its own, as an author has it.
		const here = `"github.com/wedge-proxy/wedge/wasm/sdk/go"`
		files[at] = bytes.Replace(text, []byte(here), []byte(`"`+name+`/wedge1"`), 1)
	}
	return BuildFiles(t, lang, files)
}

// BuildFiles is Build for a whole project.
func BuildFiles(t testing.TB, lang string, files map[string][]byte) []byte {
	t.Helper()
	needTools(t, lang)
	module, err := built(lang, files)
	if err != nil {
		t.Fatalf("cannot build a policy in %s: %v", lang, err)
	}
	return module
}

type build struct {
	once   sync.Once
	module []byte
	err    error
}

var builds sync.Map // of *build, by language and files

func built(lang string, files map[string][]byte) ([]byte, error) {
	key := fmt.Sprint(lang, files)
	entry, _ := builds.LoadOrStore(key, &build{})
	b := entry.(*build)
	b.once.Do(func() { b.module, b.err = run(lang, files) })
	return b.module, b.err
}

func run(lang string, files map[string][]byte) ([]byte, error) {
	dir, err := os.MkdirTemp("", "wedge-guest-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := writeTree(dir, files); err != nil {
		return nil, err
	}
	if _, err := os.Stat(modules()); err == nil {
		if err := os.Symlink(modules(), filepath.Join(dir, "node_modules")); err != nil {
			return nil, err
		}
	}
	command, err := sdk.Build(lang)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+searchPath(), "GOWORK=off", "GOFLAGS=-mod=mod")
	cmd.Path, err = lookPath(command[0])
	if err != nil {
		return nil, err
	}
	cmd.Err = nil
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
	}
	return os.ReadFile(filepath.Join(dir, sdk.Output))
}

func readTree(dir string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() || strings.HasSuffix(e.Name(), ".wasm") {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, err
}

func writeTree(dir string, files map[string][]byte) error {
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func needTools(t testing.TB, lang string) {
	t.Helper()
	if testing.Short() {
		t.Skip("compilers take long: this runs without -short")
	}
	for _, tool := range tools[lang] {
		if _, err := lookPath(tool); err != nil {
			missing(t, fmt.Sprintf("%s is not installed: scripts/setup.sh installs what policies in %s need", tool, lang))
		}
	}
}

// missing skips the test, except where nothing may be skipped unseen.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Root is the repository's folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

func modules() string { return filepath.Join(Root(), "wasm", "_toolchain", "node_modules") }

// searchPath is PATH with the tools from npm last, and with a rustc that knows WebAssembly before another.
var searchPath = sync.OnceValue(func() string {
	var dirs []string
	given := filepath.SplitList(os.Getenv("PATH"))
	i := slices.IndexFunc(given, func(dir string) bool { return knowsWasm(filepath.Join(dir, "rustc")) })
	if i >= 0 {
		dirs = append(dirs, given[i])
	}
	dirs = append(append(dirs, given...), filepath.Join(modules(), ".bin"))
	return strings.Join(dirs, string(filepath.ListSeparator))
})

func knowsWasm(rustc string) bool {
	out, err := exec.Command(rustc, "--print", "target-libdir", "--target", "wasm32-unknown-unknown").Output()
	if err != nil {
		return false
	}
	found, err := os.Stat(strings.TrimSpace(string(out)))
	return err == nil && found.IsDir()
}

func lookPath(tool string) (string, error) {
	for _, dir := range filepath.SplitList(searchPath()) {
		at := filepath.Join(dir, tool)
		if info, err := os.Stat(at); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			if tool == "rustc" && !knowsWasm(at) {
				continue
			}
			return at, nil
		}
	}
	return "", fmt.Errorf("cannot find %s", tool)
}
