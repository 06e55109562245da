package main

import (
	"bytes"
	"compress/flate"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPack(t *testing.T) {
	packed, err := pack([]byte("YQ== 0\nYmM= 1\n"))
	require.NoError(t, err)
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	require.NoError(t, err)
	assert.Equal(t, "\x01\x02abc", string(plain))
}

func TestPackRefuses(t *testing.T) {
	for source, why := range map[string]string{
		"YQ== 1\n": `line 1: "YQ== 1" does not carry rank 0`,
		"YQ==\n":   `line 1: "YQ==" does not carry rank 0`,
		"* 0\n":    "is not base64",
		" 0\n":     "a token of 0 bytes does not fit",
	} {
		_, err := pack([]byte(source))
		assert.ErrorContains(t, err, why, "%q", source)
	}
	_, err := pack([]byte(strings.Repeat("YWFh", 86) + " 0\n"))
	assert.ErrorContains(t, err, "a token of 258 bytes does not fit")
}

func TestRunTakesThePublishedVocabularyOnly(t *testing.T) {
	in := filepath.Join(t.TempDir(), "other.tiktoken")
	require.NoError(t, os.WriteFile(in, []byte("YQ== 0\n"), 0o600))
	assert.ErrorContains(t, run(in, filepath.Join(t.TempDir(), "out")), "is not the published vocabulary")
	assert.ErrorContains(t, run("", ""), "give its path with -in")
}
