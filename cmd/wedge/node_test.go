package main

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:8080": "localhost:8080", "[::]:8080": "localhost:8080", "127.0.0.1:8080": "127.0.0.1:8080",
		"[::1]:8080": "[::1]:8080", "10.1.2.3:80": "10.1.2.3:80",
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		require.NoError(t, err)
		assert.Equal(t, want, reachable(a), addr)
	}
}

func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	never := func() (string, error) { return "", errors.New("asked for another secret") }
	made, err := secretFile(path, func() (string, error) { return "made", nil })
	require.NoError(t, err)
	assert.Equal(t, "made", made)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	for text, want := range map[string]string{"made": "made", "mine\n": "mine", " mine \r\n": "mine"} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		got, err := secretFile(path, never)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	require.NoError(t, os.WriteFile(path, []byte("\n"), 0o600))
	_, err = secretFile(path, never)
	assert.Error(t, err, "a file without a secret")
	_, err = secretFile(filepath.Join(path, "under a file"), func() (string, error) { return "made", nil })
	assert.ErrorContains(t, err, "cannot write ")
}

func TestReadSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edge.yaml")
	read := func(text string) (c edgeCmd, err error) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		err = readSettings(path, c.settings())
		return c, err
	}
	got, err := read("catalog: c.yaml\nlisten: \":1\"\ncache_memory: 1MiB\ndrain: 5s\n")
	require.NoError(t, err)
	assert.Equal(t, edgeCmd{Catalog: "c.yaml", Listen: ":1", CacheMemory: 1 << 20, Drain: 5 * time.Second}, got)
	got, err = read("# nothing\n")
	require.NoError(t, err)
	assert.Equal(t, edgeCmd{}, got)
	for text, want := range map[string]string{
		"\nnope: 1\n":              `:2: unknown setting "nope"`,
		"admin_token: x\n":         `:1: unknown setting "admin_token"`,
		"read_timeout: 5\n":        `:1: setting "read_timeout": want a time such as 30s`,
		"data: [x]\n":              `:1: setting "data": want a text`,
		"name: a\nname: b\n":       `:2: setting "name" stands twice`,
		"max_body: 0\nmax_body: 1": `want a size such as 64MiB`,
		"- catalog\n":              `:1: want settings`,
		"a: b: c\n":                "cannot use the settings in ",
	} {
		_, err := read(text)
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "main.")
		assert.NotContains(t, err.Error(), "!!")
	}
}

// Each setting of the file is a flag of the command.
func TestSettingsAreFlags(t *testing.T) {
	code, help, _ := runLine("edge", "--help")
	require.Equal(t, exitDone, code)
	for name := range new(edgeCmd).settings() {
		assert.Contains(t, help, "      --"+flagOf(name))
	}
}

func flagOf(setting string) string { return strings.ReplaceAll(setting, "_", "-") }

func TestUpHelpShowsDefaults(t *testing.T) {
	code, help, _ := runLine("up", "--help")
	require.Equal(t, exitDone, code)
	words := strings.Join(strings.Fields(help), " ")
	for _, want := range []string{"./wedge-data", "127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:9090"} {
		assert.Contains(t, words, "(default "+want+")")
	}
}

// What the node cannot have for its policies keeps it from running policies, not from serving.
func TestFolderOfPolicies(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	open := func(data string) *node {
		n := &node{o: nodeOptions{Data: data}, log: log}
		n.openPolicies()
		t.Cleanup(n.close)
		return n
	}
	n := open(t.TempDir())
	assert.NotNil(t, n.policies)
	assert.Empty(t, n.notes)

	others := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(others, "policies"), 0o700))
	require.NoError(t, os.Chmod(filepath.Join(others, "policies"), 0o777)) //nolint:gosec // what the test is about
	n = open(others)
	assert.NotNil(t, n.policies)
	require.Len(t, n.notes, 1)
	assert.Contains(t, n.notes[0], "others may write to it")
	assert.DirExists(t, n.policyTemp)

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	t.Setenv("TMPDIR", file)
	n = open(file)
	assert.Nil(t, n.policies)
	require.Len(t, n.notes, 1)
	assert.Contains(t, n.notes[0], "this node runs none")
}

func TestModuleFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.wasm")
	require.NoError(t, os.WriteFile(path, []byte("module"), 0o600))
	code, err := moduleFile(path)
	require.NoError(t, err)
	assert.Equal(t, "module", string(code))
	require.NoError(t, os.Truncate(path, 1<<40))
	_, err = moduleFile(path)
	require.ErrorContains(t, err, "has 1048576 MiB")
	_, err = moduleFile(os.DevNull)
	require.ErrorContains(t, err, "is not a file")
	_, err = moduleFile(path + "x")
	require.ErrorIs(t, err, os.ErrNotExist)
}
