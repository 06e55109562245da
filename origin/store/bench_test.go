package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func benchEach(b *testing.B, bench func(b *testing.B, s *Store)) {
	for name, database := range databases {
		b.Run(name, func(b *testing.B) { bench(b, open(b, Options{URL: database(b)})) })
	}
}

// BenchmarkApply commits changes of one resource of 1 KB, one after the other.
func BenchmarkApply(b *testing.B) {
	benchEach(b, func(b *testing.B, s *Store) {
		text := body(strings.Repeat("x", 1000))
		for i := 0; b.Loop(); i++ {
			apply(b, s, Put("m", fmt.Sprint(i%100), text, Any))
		}
	})
}

// BenchmarkApplyMany commits changes of 1000 resources.
func BenchmarkApplyMany(b *testing.B) {
	benchEach(b, func(b *testing.B, s *Store) {
		ops := make([]Op, MaxOps)
		for i := range ops {
			ops[i] = Put("m", fmt.Sprint(i), body(strings.Repeat("x", 1000)), Any)
		}
		for b.Loop() {
			apply(b, s, ops...)
		}
	})
}

// BenchmarkChanges reads 1000 changes of one resource of 1 KB.
func BenchmarkChanges(b *testing.B) {
	benchEach(b, func(b *testing.B, s *Store) {
		for i := range 1000 {
			apply(b, s, Put("m", fmt.Sprint(i), body(strings.Repeat("x", 1000)), Any))
		}
		for b.Loop() {
			changes, _, err := s.Changes(b.Context(), 0, 1000)
			require.NoError(b, err)
			require.Len(b, changes, 1000)
		}
	})
}

// BenchmarkPutBlob puts blobs of 2 MB.
func BenchmarkPutBlob(b *testing.B) {
	benchEach(b, func(b *testing.B, s *Store) {
		blob := randomBlob(2 << 20)
		b.SetBytes(int64(len(blob)))
		for i := 0; b.Loop(); i++ {
			blob[i%len(blob)]++
			_, err := s.PutBytes(b.Context(), blob)
			require.NoError(b, err)
		}
	})
}
