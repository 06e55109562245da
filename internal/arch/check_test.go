package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const (
	module   = "github.com/wedge-proxy/wedge"
	maxLines = 600 // of a file that is not a test
)

// unsafeHome is the one package that may convert between strings and bytes without a copy.
const unsafeHome = "internal/bytesx"

// pkg is what `go list -json` tells of a package, and the lengths of its files.
type pkg struct {
	ImportPath   string
	Name         string
	Doc          string // the first sentence
	Dir          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string

	lines map[string]int // by file
}

// problems tells everything in which the packages break the table.
func problems(pkgs []pkg, table map[string]row) []string {
	var found []string
	for _, p := range pkgs {
		name := relative(p.ImportPath)
		r, listed := table[name]
		if !listed {
			found = append(found, name+": has no row in the ladder")
		}
		told := slices.Concat(checkDoc(p), checkLines(p), checkUnsafe(p))
		if listed {
			told = slices.Concat(told, checkImports(p, r, table), checkNever(p, r))
		}
		for _, problem := range told {
			found = append(found, name+": "+problem)
		}
	}
	return found
}

func checkImports(p pkg, r row, table map[string]row) (found []string) {
	for _, imported := range p.Imports {
		name := relative(imported)
		switch other, own := table[name]; {
		case isStd(imported):
		case !own && name != imported:
			found = append(found, fmt.Sprintf("imports %s, which has no row in the ladder", name))
		case !own && !anyCovers(r.modules, imported):
			found = append(found, fmt.Sprintf("imports %s, which its row does not name", imported))
		case own && other.testOnly && !r.testOnly:
			found = append(found, fmt.Sprintf("imports %s outside its tests", name))
		case own && other.rung >= r.rung && !anyCovers(r.also, name):
			found = append(found, fmt.Sprintf("on rung %d imports %s on rung %d", r.rung, name, other.rung))
		}
	}
	return found
}

// checkNever looks at everything that the package drags in, not only at what it imports itself.
func checkNever(p pkg, r row) (found []string) {
	for _, dep := range p.Deps {
		if anyCovers(r.never, relative(dep)) {
			found = append(found, fmt.Sprintf("depends on %s, which it must never know", relative(dep)))
		}
	}
	return found
}

func checkDoc(p pkg) []string {
	want := "Package " + p.Name + " "
	if p.Name == "main" {
		want = "Command " + path.Base(p.ImportPath) + " "
	}
	if strings.HasPrefix(p.Doc, want) && strings.HasSuffix(p.Doc, ".") {
		return nil
	}
	return []string{fmt.Sprintf("its doc comment does not begin with a sentence %q, but with %q", want+"….", p.Doc)}
}

func checkLines(p pkg) (found []string) {
	for _, file := range p.GoFiles {
		if n := p.lines[file]; n > maxLines {
			found = append(found, fmt.Sprintf("%s has %d lines, more than %d: split it by what it knows", file, n, maxLines))
		}
	}
	return found
}

func checkUnsafe(p pkg) []string {
	all := slices.Concat(p.Imports, p.TestImports, p.XTestImports)
	if relative(p.ImportPath) == unsafeHome || !slices.Contains(all, "unsafe") {
		return nil
	}
	return []string{"imports unsafe: only " + unsafeHome + " may"}
}

// relative is a path inside this module without the module's name; other paths stay as they are.
func relative(importPath string) string {
	return strings.TrimPrefix(importPath, module+"/")
}

// isStd tells whether a path belongs to the standard library: its first element has no dot.
func isStd(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// anyCovers tells whether one of the paths is p or a folder above it.
func anyCovers(paths []string, p string) bool {
	return slices.ContainsFunc(paths, func(above string) bool {
		return p == above || strings.HasPrefix(p, above+"/")
	})
}
