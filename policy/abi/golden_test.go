package abi_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
)

var update = flag.Bool("update", false, "write the golden vectors anew from the tables of these tests")

// viewVector is one entry of testdata/views.json; see testdata/README.md.
type viewVector struct {
	Name   string          `json:"name"`
	Kind   string          `json:"kind"`
	Caps   uint32          `json:"caps"`
	Fields json.RawMessage `json:"fields"`
	View   string          `json:"view"`
}

// actionVector is one entry of testdata/actions.json; see testdata/README.md.
type actionVector struct {
	Name    string          `json:"name"`
	Call    call            `json:"call"`
	List    string          `json:"list"`
	JSON    json.RawMessage `json:"json,omitempty"`
	Checked *string         `json:"checked,omitempty"`
	Ignored int             `json:"ignored,omitempty"`
	Error   string          `json:"error,omitempty"`
}

type call struct {
	Kind     string   `json:"kind"`
	Hooks    []string `json:"hooks"`
	BodyLen  int      `json:"body_len"`
	Messages int      `json:"messages"`
}

// golden compares v, as JSON, with a file, or writes the file.
func golden(t *testing.T, file string, v any) {
	t.Helper()
	var got bytes.Buffer
	e := json.NewEncoder(&got)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	require.NoError(t, e.Encode(v))
	if *update {
		require.NoError(t, os.WriteFile(file, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String(), "if the change is meant: go test ./policy/abi -update")
}

func TestViewVectors(t *testing.T) {
	var out []viewVector
	for _, c := range requestCases() {
		out = append(out, vector(c.name, "request", c.caps, c.view.AppendJSON(nil, c.caps), func(b []byte) int {
			return c.view.Put(b, c.caps)
		}, c.view.Size(c.caps)))
	}
	for _, c := range chunkCases() {
		out = append(out, vector(c.name, "chunk", abi.CapChunk, c.view.AppendJSON(nil), c.view.Put, c.view.Size()))
	}
	for _, c := range responseCases() {
		out = append(out, vector(c.name, "response", abi.CapResponse, c.view.AppendJSON(nil), c.view.Put, c.view.Size()))
	}
	for _, c := range doneCases() {
		out = append(out, vector(c.name, "done", abi.CapDone, c.view.AppendJSON(nil), c.view.Put, c.view.Size()))
	}
	golden(t, "testdata/views.json", out)
}

// vector writes into dirty memory, longer than need be.
func vector(name, kind string, caps abi.Caps, fields []byte, put func([]byte) int, size int) viewVector {
	dst := bytes.Repeat([]byte{0xee}, size+8)
	n := put(dst)
	return viewVector{name, kind, uint32(caps), fields, hex.EncodeToString(dst[:n])}
}

func TestActionVectors(t *testing.T) {
	out := actionCases()
	names := map[string]bool{}
	for _, v := range out {
		require.False(t, names[v.Name], "two vectors are called %s", v.Name)
		names[v.Name] = true
		if v.JSON == nil {
			continue
		}
		list, err := abi.AppendFromJSON(nil, v.JSON)
		if v.List == "" && v.Error != "" {
			require.ErrorContains(t, err, v.Error, v.Name)
			continue
		}
		require.NoError(t, err, v.Name)
		require.Equal(t, v.List, hex.EncodeToString(list), v.Name)
	}
	golden(t, "testdata/actions.json", out)
}
