package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheModuleKeepsTheLadder(t *testing.T) {
	pkgs := listPackages(t)
	assert.Greater(t, len(pkgs), 10, "go list found the module")
	for _, problem := range problems(pkgs, ladder) {
		t.Error(problem)
	}
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Dir,GoFiles,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var pkgs []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		require.NoError(t, err)
		p.lines = countLines(t, p)
		pkgs = append(pkgs, p)
	}
}

func countLines(t *testing.T, p pkg) map[string]int {
	t.Helper()
	lines := map[string]int{}
	for _, file := range p.GoFiles {
		text, err := os.ReadFile(filepath.Join(p.Dir, file))
		require.NoError(t, err)
		lines[file] = bytes.Count(text, []byte("\n"))
	}
	return lines
}

// good is a package that keeps the table of TestProblems.
func good(name string) pkg {
	return pkg{ImportPath: module + "/" + name, Name: filepath.Base(name), Doc: "Package " + filepath.Base(name) + " is one sentence."}
}

func TestProblems(t *testing.T) {
	const other = "example.org/other"
	table := map[string]row{
		"low":             {rung: 0},
		"kit":             {rung: 0, testOnly: true},
		"kit2":            {rung: 1, testOnly: true},
		"mid":             {rung: 1, modules: []string{other}},
		"mid2":            {rung: 1, also: []string{"mid"}},
		"high":            {rung: 2, never: []string{"mid2", other}},
		"cmd/tool":        {rung: 3},
		"internal/bytesx": {rung: 0},
	}
	for name, c := range map[string]struct {
		pkg  string
		edit func(p *pkg)
		want []string
	}{
		"nothing": {"low", func(*pkg) {}, nil},
		"what is allowed": {"mid", func(p *pkg) {
			p.Imports = []string{"fmt", "net/http", module + "/low", other, other + "/sub"}
		}, nil},
		"a test kit in tests":      {"mid", func(p *pkg) { p.TestImports = []string{module + "/kit"} }, nil},
		"a test kit in a test kit": {"kit2", func(p *pkg) { p.Imports = []string{module + "/kit"} }, nil},
		"a named neighbour":        {"mid2", func(p *pkg) { p.Imports = []string{module + "/mid"} }, nil},
		"a command":                {"cmd/tool", func(p *pkg) { p.Name, p.Doc = "main", "Command tool runs." }, nil},
		"unsafe at home":           {"internal/bytesx", func(p *pkg) { p.Imports = []string{"unsafe"} }, nil},

		"no row": {"new", func(*pkg) {}, []string{"new: has no row in the ladder"}},
		"an import without a row": {"mid", func(p *pkg) { p.Imports = []string{module + "/new"} },
			[]string{"mid: imports new, which has no row in the ladder"}},
		"an arrow up": {"low", func(p *pkg) { p.Imports = []string{module + "/mid"} },
			[]string{"low: on rung 0 imports mid on rung 1"}},
		"an arrow sideways": {"mid", func(p *pkg) { p.Imports = []string{module + "/mid2"} },
			[]string{"mid: on rung 1 imports mid2 on rung 1"}},
		"a foreign module": {"low", func(p *pkg) { p.Imports = []string{other} },
			[]string{"low: imports example.org/other, which its row does not name"}},
		"a module with a similar name": {"mid", func(p *pkg) { p.Imports = []string{other + "2"} },
			[]string{"mid: imports example.org/other2, which its row does not name"}},
		"a test kit outside tests": {"mid", func(p *pkg) { p.Imports = []string{module + "/kit"} },
			[]string{"mid: imports kit outside its tests"}},
		"what it must never know": {"high", func(p *pkg) { p.Deps = []string{"fmt", module + "/mid2/deep", other} },
			[]string{"high: depends on mid2/deep, which it must never know",
				"high: depends on example.org/other, which it must never know"}},
		"unsafe": {"low", func(p *pkg) { p.Imports = []string{"unsafe"} },
			[]string{"low: imports unsafe: only internal/bytesx may"}},
		"unsafe in a test": {"low", func(p *pkg) { p.XTestImports = []string{"unsafe"} },
			[]string{"low: imports unsafe: only internal/bytesx may"}},
		"no doc": {"low", func(p *pkg) { p.Doc = "" },
			[]string{`low: its doc comment does not begin with a sentence "Package low ….", but with ""`}},
		"another package's doc": {"low", func(p *pkg) { p.Doc = "Package lower is wrong." },
			[]string{`low: its doc comment does not begin with a sentence "Package low ….", but with "Package lower is wrong."`}},
		"a command with a package's doc": {"cmd/tool", func(p *pkg) { p.Name, p.Doc = "main", "Package main runs." },
			[]string{`cmd/tool: its doc comment does not begin with a sentence "Command tool ….", but with "Package main runs."`}},
		"a long file": {"low", func(p *pkg) { p.GoFiles, p.lines = []string{"a.go", "b.go"}, map[string]int{"a.go": 600, "b.go": 601} },
			[]string{"low: b.go has 601 lines, more than 600: split it by what it knows"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := good(c.pkg)
			c.edit(&p)
			assert.Equal(t, c.want, problems([]pkg{p}, table))
		})
	}
}
