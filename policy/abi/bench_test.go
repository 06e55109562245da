package abi_test

import (
	"math"
	"testing"

	"github.com/wedge-proxy/wedge/policy/abi"
)

func sample() abi.Request {
	return abi.Request{
		Flags: abi.FlagStream, ID: 7, UnixMS: 1_700_000_000_000, PrefixHash: 11, Random: 13, PromptTokens: 420, Messages: 3,
		Temperature: float32(math.NaN()),
		Model:       []byte("support-bot"), Tenant: []byte("acme"), User: []byte("u-42"),
		Endpoint: []byte("/v1/chat/completions"), Version: []byte("1.0.0"),
	}
}

// BenchmarkPut writes the view that most policies ask for: fields parsed before, no body.
func BenchmarkPut(b *testing.B) {
	r, dst := sample(), make([]byte, 4<<10)
	for b.Loop() {
		_ = dst[:r.Size(0)]
		r.Put(dst, 0)
	}
}

func BenchmarkPutTargets(b *testing.B) {
	r, dst := sample(), make([]byte, 4<<10)
	for range 4 {
		r.Targets = append(r.Targets, abi.Target{Name: []byte("openai"), Region: []byte("us-east"), TTFT: 1})
	}
	for b.Loop() {
		_ = dst[:r.Size(abi.CapTargets)]
		r.Put(dst, abi.CapTargets)
	}
}

func BenchmarkPutChunk(b *testing.B) {
	c, dst := abi.Chunk{Text: []byte(" word"), State: make([]byte, 64)}, make([]byte, 4<<10)
	for b.Loop() {
		_ = dst[:c.Size()]
		c.Put(dst)
	}
}
