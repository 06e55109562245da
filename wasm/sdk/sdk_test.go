package sdk

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNew(t *testing.T) {
	for _, lang := range Languages() {
		files, build, err := New(lang, "my-rule")
		require.NoError(t, err)
		assert.NotEmpty(t, build, lang)
		assert.Contains(t, string(files["README.md"]), "    "+shell(build)+"\n", lang)
		assert.Contains(t, files, "cases/long.json", lang)
		for name, text := range files {
			assert.NotContains(t, string(text), "{{", "%s: %s", lang, name)
			assert.False(t, strings.HasSuffix(name, ".tmpl"), "%s: %s", lang, name)
		}
		again, _, err := New(lang, "my-rule")
		require.NoError(t, err)
		assert.Equal(t, files, again, lang)
	}
}

func TestNewRefuses(t *testing.T) {
	_, _, err := New("cobol", "my-rule")
	assert.EqualError(t, err, `unknown language "cobol": want one of go, rust, assemblyscript, c, cpp, zig, d, wat, js`)
	for _, name := range []string{"", "My-Rule", "../x", "a b", "1st", strings.Repeat("a", 64)} {
		_, _, err := New("c", name)
		assert.ErrorContains(t, err, "cannot be named", name)
	}
}

// TestBuildIsACopy keeps a caller from changing the next caller's command.
func TestBuildIsACopy(t *testing.T) {
	first, err := Build("c")
	require.NoError(t, err)
	first[0] = "rm"
	second, err := Build("c")
	require.NoError(t, err)
	assert.Equal(t, "clang", second[0])
}

func TestShellQuotes(t *testing.T) {
	assert.Equal(t, `go build '-ldflags=-s -w' .`, shell([]string{"go", "build", "-ldflags=-s -w", "."}))
}
