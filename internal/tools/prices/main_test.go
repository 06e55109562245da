package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	data, err := os.ReadFile("../../prices/testdata/genai.json")
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "table.jsonl.gz")
	var notes strings.Builder
	require.NoError(t, run(strings.NewReader(string(data)), &notes, "1.2.3", "2026-09-23", out))
	assert.Contains(t, notes.String(), "unpriced: sonar-deep-research of perplexity: no price of a catalog can say output_citation_mtok\n")
	assert.Regexp(t, `table\.jsonl\.gz: \d+ bytes, 4 models without a price\n$`, notes.String())
	first, err := os.ReadFile(out)
	require.NoError(t, err)

	require.NoError(t, run(strings.NewReader(string(data)), &notes, "1.2.3", "2026-09-23", out))
	again, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.Equal(t, first, again, "the same bytes for the same data")
}

func TestRunRefuses(t *testing.T) {
	var notes strings.Builder
	out := filepath.Join(t.TempDir(), "table")
	assert.ErrorContains(t, run(strings.NewReader("nonsense"), &notes, "1", "2026-09-23", out), "cannot read the data of genai-prices")
	assert.ErrorContains(t, run(strings.NewReader("[]"), &notes, "1", "soon", out), "cannot tell the table's source")
	assert.ErrorContains(t, run(strings.NewReader("[]"), &notes, "1", "2026-09-23", filepath.Join(out, "x")), "cannot write the table")
	assert.NoFileExists(t, out)
}
