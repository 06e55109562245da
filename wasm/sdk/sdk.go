// Package sdk holds the sources of the policy SDKs, the command that builds a policy in each language, and the projects
// that authors start from. It knows neither hosts nor toolchains.
package sdk

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Output is the file that every build command writes, in the project's folder.
const Output = "policy.wasm"

//go:embed c/wedge1.h c/wedge1.d c/wedge1.zig rust/src/wedge1.rs assemblyscript/wedge1.ts js/build.mjs all:templates
//go:embed go/actions.go go/guest.go go/json.go go/view.go go/wedge1.go
var sources embed.FS

// language says how policies are written in one language.
type language struct {
	name    string
	sdk     map[string]string // file of a project: source in this package
	command []string
}

var (
	clangFlags = []string{"-O3", "-mbulk-memory", "-ffreestanding", "-nostdlib", "-Wall", "-Wextra",
		"-Wl,--no-entry", "-Wl,-z,stack-size=16384", "-Wl,--strip-debug", "-o", Output}
	header = map[string]string{"wedge1.h": "c/wedge1.h"}
)

var languages = []language{
	{"go", map[string]string{
		"wedge1/actions.go": "go/actions.go", "wedge1/guest.go": "go/guest.go", "wedge1/json.go": "go/json.go",
		"wedge1/view.go": "go/view.go", "wedge1/wedge1.go": "go/wedge1.go",
	}, words("env GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath", "-ldflags=-s -w", "-o", Output, ".")},
	{"rust", map[string]string{"wedge1.rs": "rust/src/wedge1.rs"},
		words("rustc --edition=2021 --crate-type=cdylib --target=wasm32-unknown-unknown -Copt-level=3 -Cpanic=abort"+
			" -Cstrip=symbols -Ctarget-feature=+bulk-memory -Clink-arg=-zstack-size=65536", "-o", Output, "policy.rs")},
	{"assemblyscript", map[string]string{"wedge1.ts": "assemblyscript/wedge1.ts"}, words("npm run --silent build")},
	{"c", header, append(words("clang --target=wasm32 -std=c11"), append(clangFlags, "policy.c")...)},
	{"cpp", header, append(words("clang++ --target=wasm32 -std=c++17 -fno-exceptions -fno-rtti"), append(clangFlags, "policy.cpp")...)},
	{"zig", map[string]string{"wedge1.zig": "c/wedge1.zig"},
		words("zig build-exe policy.zig -target wasm32-freestanding -O ReleaseFast -fno-entry -rdynamic -fstrip"+
			" --stack 16384", "-femit-bin="+Output)},
	{"d", map[string]string{"wedge1.d": "c/wedge1.d"},
		words("ldc2 -mtriple=wasm32-unknown-unknown-wasm -mattr=+bulk-memory -betterC -O3 -fvisibility=hidden -release -boundscheck=off -i"+
			" -L--no-entry -L-zstack-size=16384 -L--strip-all", "-of="+Output, "policy.d")},
	{"wat", nil, words("wat2wasm policy.wat", "-o", Output)},
	{"js", map[string]string{"build.mjs": "js/build.mjs"}, words("npm run --silent build")},
}

func words(first string, rest ...string) []string { return append(strings.Fields(first), rest...) }

// Languages names the languages that New and Build know.
func Languages() []string {
	names := make([]string, len(languages))
	for i := range languages {
		names[i] = languages[i].name
	}
	return names
}

func find(lang string) (*language, error) {
	for i := range languages {
		if languages[i].name == lang {
			return &languages[i], nil
		}
	}
	return nil, fmt.Errorf("unknown language %q: want one of %s", lang, strings.Join(Languages(), ", "))
}

// Build gives the command that, run in a project's folder, writes the policy into the file Output. It needs the
// language's toolchain, and a network only if node_modules is missing in a project of assemblyscript or js.
func Build(lang string) ([]string, error) {
	l, err := find(lang)
	if err != nil {
		return nil, err
	}
	return slices.Clone(l.command), nil
}

// Files gives the SDK's files for a project in the language, by their paths in it.
func Files(lang string) (map[string][]byte, error) {
	l, err := find(lang)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(l.sdk))
	for name, source := range l.sdk {
		if files[name], err = sources.ReadFile(source); err != nil {
			return nil, fmt.Errorf("cannot read the SDK's %s: %w", source, err)
		}
	}
	return files, nil
}

var goodName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// New gives the files of a project that builds at once, by their paths in its folder, and its build command. The name
// has lower-case letters, digits and hyphens.
func New(lang, name string) (files map[string][]byte, build []string, err error) {
	if !goodName.MatchString(name) {
		return nil, nil, fmt.Errorf("a policy cannot be named %q: want lower-case letters, digits and hyphens", name)
	}
	if files, err = Files(lang); err != nil {
		return nil, nil, err
	}
	if build, err = Build(lang); err != nil {
		return nil, nil, err
	}
	for _, folder := range []string{"templates/all", "templates/" + lang} {
		if err = render(files, folder, name, build); err != nil {
			return nil, nil, fmt.Errorf("cannot write the project of %s: %w", name, err)
		}
	}
	return files, build, nil
}

// render adds the files of a folder of templates. What is called *.tmpl loses that ending, which hides Go's files
// from the go command here.
func render(files map[string][]byte, folder, name string, build []string) error {
	fill := strings.NewReplacer("{{name}}", name, "{{build}}", shell(build))
	return fs.WalkDir(sources, folder, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := sources.ReadFile(at)
		if err != nil {
			return err
		}
		relative := strings.TrimSuffix(strings.TrimPrefix(at, folder+"/"), ".tmpl")
		files[path.Clean(relative)] = []byte(fill.Replace(string(text)))
		return nil
	})
}

// shell writes a command as one types it.
func shell(command []string) string {
	quoted := make([]string, len(command))
	for i, word := range command {
		if strings.ContainsAny(word, " *?$") {
			word = "'" + word + "'"
		}
		quoted[i] = word
	}
	return strings.Join(quoted, " ")
}
