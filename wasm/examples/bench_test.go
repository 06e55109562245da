package examples

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/wasm/internal/guests"
)

// BenchmarkRequest is one decision: the view is written, the metered guest called, its actions are checked.
func BenchmarkRequest(b *testing.B) {
	for i := range examples {
		e := &examples[i]
		for _, lang := range e.langs {
			dir := filepath.Join(e.name, lang)
			b.Run(dir, func(b *testing.B) { benchmarkFirst(b, e, guests.Build(b, lang, dir), policy.OnRequest) })
		}
	}
}

// BenchmarkChunk is one delta of an answer.
func BenchmarkChunk(b *testing.B) {
	for i := range examples {
		e := &examples[i]
		if e.hooks&policy.Chunk == 0 {
			continue
		}
		for _, lang := range e.langs {
			dir := filepath.Join(e.name, lang)
			b.Run(dir, func(b *testing.B) { benchmarkFirst(b, e, guests.Build(b, lang, dir), policy.OnChunk) })
		}
	}
}

// benchmarkFirst repeats the first call of a kind in the example's cases that has an effect.
func benchmarkFirst(b *testing.B, e *example, module []byte, kind policy.Kind) {
	for _, c := range readCases(b, e) {
		for _, s := range c.Steps {
			if s.Kind != kind || len(s.Want) == 0 {
				continue
			}
			p, err := load(b, e, module, c.Config, "")
			require.NoError(b, err)
			s.Chunk.State = []byte("\x00\x03[EM\x00\x0fann@example.com")
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				if kind == policy.OnChunk {
					_, err = p.Chunk(&s.Chunk, dst)
				} else {
					_, err = p.Request(&s.Request, dst)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			return
		}
	}
	b.Fatal("the example has no case to measure")
}
