package wasmhost

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

func sampleRequest() *abi.Request {
	return &abi.Request{ID: 7, Random: 42, PromptTokens: 120, Messages: 2, Model: []byte("support-bot"),
		Tenant: []byte("acme"), Endpoint: []byte("/v1/chat/completions")}
}

// deciding reads a field of the view and returns a target.
func deciding() guest {
	g := guest{list: target("eu")}
	g.request = w.Code(w.I32Const(bufferAt), w.Load(w.OpI32Load, 48), w.I32Const(4), w.Op(w.OpI32LtU),
		w.Op(0x04, w.I64), w.I64Const(0), w.Op(w.OpElse), g.listed(), w.Op(w.OpEnd))
	return g
}

func benchmarkRequest(b *testing.B, s Spec) {
	p := load(b, newHost(b, Options{}), s)
	in, dst := sampleRequest(), make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Request(in, dst); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEmpty(b *testing.B) {
	benchmarkRequest(b, Spec{Module: guest{request: w.I64Const(0)}.bytes()})
}
func BenchmarkDecide(b *testing.B) { benchmarkRequest(b, Spec{Module: deciding().bytes()}) }
func BenchmarkDecideClean(b *testing.B) {
	benchmarkRequest(b, Spec{Module: deciding().bytes(), Isolation: Clean})
}
func BenchmarkDecideClean192K(b *testing.B) {
	g := deciding()
	g.pages, g.maxPages = 3, 3
	benchmarkRequest(b, Spec{Module: g.bytes(), Isolation: Clean})
}
func BenchmarkDecideFresh(b *testing.B) {
	benchmarkRequest(b, Spec{Module: deciding().bytes(), Isolation: Fresh})
}

func BenchmarkDecideParallel(b *testing.B) {
	p := load(b, newHost(b, Options{}), Spec{Module: deciding().bytes()})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		in, dst := sampleRequest(), make([]byte, 0, 256)
		for pb.Next() {
			if _, err := p.Request(in, dst); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// scanning looks at every byte of a chunk's text.
func scanning() guest {
	g := guest{caps: abi.CapChunk}
	g.chunk = w.Code(w.Loop(
		w.LocalGet(0), w.I32Const(1), w.Op(w.OpI32Sub), w.LocalTee(0), w.Load(w.OpI32Load8U, bufferAt), w.Op(w.OpDrop),
		w.LocalGet(0), w.BrIf(0)), w.I64Const(0))
	return g
}

func BenchmarkChunk(b *testing.B) {
	p := load(b, newHost(b, Options{}), Spec{Module: scanning().bytes(), Hooks: policy.Chunk})
	in, dst := &abi.Chunk{Seq: 3, Text: make([]byte, 116)}, make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		_, err := p.Chunk(in, dst)
		require.NoError(b, err)
	}
}
