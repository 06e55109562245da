package tokens

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// sample returns n bytes of the golden texts of that name, again and again.
func sample(tb testing.TB, name string, n int) []byte {
	var text []byte
	for _, g := range golden(tb) {
		if g.Name == name {
			text = append(text, g.Text...)
		}
	}
	require.NotEmpty(tb, text)
	return bytes.Repeat(text, n/len(text)+1)[:n]
}

func BenchmarkCount(b *testing.B) {
	source, err := os.ReadFile("split.go")
	require.NoError(b, err)
	body, err := json.Marshal(map[string]any{"model": "m", "messages": []string{string(sample(b, "english", 900))}, "tools": []string{string(sample(b, "json", 700)), string(sample(b, "json, indented", 700))}})
	require.NoError(b, err)
	for name, text := range map[string][]byte{
		"prose 1.4 KB":       sample(b, "english", 1400),
		"prose 2 KB":         sample(b, "english", 2048),
		"JSON 2 KB":          bytes.Repeat(body, 3)[:2048],
		"code 64 KB":         bytes.Repeat(source, 1+65536/len(source))[:65536],
		"many scripts 64 KB": sample(b, "all prose", 65536),
		"base64 64 KB":       sample(b, "random base64", 65536),
		"one piece 64 KB":    bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz"), 65536/26),
		"spaces 64 KB":       bytes.Repeat([]byte(" "), 65536),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				Count(text)
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		load()
	}
}

func BenchmarkScale(b *testing.B) {
	var f Factors
	f.Learn("claude-known", 1000, 1200)
	for _, model := range []string{"claude-known", "an-unknown-model-of-some-length"} {
		b.Run(model, func(b *testing.B) {
			for b.Loop() {
				f.Scale(model, 1000)
			}
		})
	}
}

func BenchmarkLearn(b *testing.B) {
	var f Factors
	for b.Loop() {
		f.Learn("claude-known", 1000, 1200)
	}
}
