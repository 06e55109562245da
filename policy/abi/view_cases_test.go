package abi_test

import (
	"math"

	"github.com/wedge-proxy/wedge/policy/abi"
)

const every = abi.CapBody | abi.CapSystem | abi.CapUser | abi.CapHeaders | abi.CapTargets

type requestCase struct {
	name string
	caps abi.Caps
	view abi.Request
}

func requestCases() []requestCase {
	full := fullRequest()
	return []requestCase{
		{"request of zeros", every, abi.Request{}},
		{"request as most policies ask for it", 0, sample()},
		{"request with everything", every, full},
		{"request with the system text", abi.CapSystem, full},
		{"request with the last user text", abi.CapUser, full},
		{"request with headers", abi.CapHeaders, full},
		{"request with targets", abi.CapTargets, full},
		{"request with its body", abi.CapBody, full},
		{"request at the limits of its numbers", 0, abi.Request{
			Flags: 31, ID: math.MaxUint64, UnixMS: math.MaxInt64, PrefixHash: math.MaxUint64, Random: math.MaxUint64,
			PromptTokens: math.MaxUint32, MaxTokens: math.MaxUint32, Messages: math.MaxUint32, Tools: math.MaxUint32,
			Temperature: 0.1, Attempt: math.MaxUint32,
		}},
		{"request with text that JSON escapes", abi.CapUser, abi.Request{
			Model: []byte("a\"b\\c"), LastUser: []byte("eins\nzwei\tdrei\x00\x1f ü 語 😀 </script>"), Temperature: 2,
		}},
	}
}

func fullRequest() abi.Request {
	return abi.Request{
		Flags: abi.FlagStream | abi.FlagTools | abi.FlagRetry, ID: 0x0102030405060708, UnixMS: 1_795_386_248_123,
		PrefixHash: 0xfedcba9876543210, Random: 0x9e3779b97f4a7c15, PromptTokens: 1234, MaxTokens: 256, Messages: 2, Tools: 1,
		Temperature: 0.7, Attempt: 1,
		Model: []byte("support-bot"), Tenant: []byte("acme"), User: []byte("u-42"),
		Endpoint: []byte("/v1/chat/completions"), System: []byte("Be brief."), LastUser: []byte("Où est la gare ?"),
		Headers: []abi.Pair{
			{Name: []byte("accept-language"), Value: []byte("fr-FR,fr;q=0.9")},
			{Name: []byte("x-plan"), Value: nil},
		},
		Targets: []abi.Target{
			{
				Name: []byte("openai"), Region: []byte("us-east"), Flags: abi.TargetHealthy, InFlight: 3, TTFT: 250_000,
				PerToken: 12_000, PriceIn: 250_000, PriceOut: 2_000_000,
			},
			{Name: []byte("eu"), Flags: abi.TargetBreaker, PriceIn: math.MaxUint32, PriceOut: math.MaxUint32},
		},
		Body:    []byte(`{"model":"support-bot","messages":[]}`),
		KV:      []abi.Pair{{Name: []byte("spent:acme"), Value: []byte("1200")}},
		Version: []byte("1.0.0"),
	}
}

type chunkCase struct {
	name string
	view abi.Chunk
}

func chunkCases() []chunkCase {
	return []chunkCase{
		{"chunk of zeros", abi.Chunk{}},
		{"first chunk", abi.Chunk{Flags: abi.ChunkFirst, ID: 9, Text: []byte("Hello")}},
		{"chunk in the middle", abi.Chunk{
			ID: 9, Seq: 17, Choice: 1, Tokens: 21, Text: []byte(" wörld"), State: []byte("seen=17"),
		}},
		{"last chunk", abi.Chunk{Flags: abi.ChunkLast, ID: 9, Seq: 18, Tokens: 22, Finish: []byte("stop")}},
	}
}

type responseCase struct {
	name string
	view abi.Response
}

func responseCases() []responseCase {
	return []responseCase{
		{"response of zeros", abi.Response{}},
		{"response", abi.Response{
			Flags: abi.DoneCached, ID: 10, Status: 200, Choice: 2, Input: 30, Output: 40, Text: []byte("It is 42."),
			State: []byte("k"), Finish: []byte("stop"),
		}},
	}
}

type doneCase struct {
	name string
	view abi.Done
}

func doneCases() []doneCase {
	return []doneCase{
		{"done of zeros", abi.Done{}},
		{"done", abi.Done{
			Flags: abi.DoneCached | abi.DoneStream, ID: 11, Status: 200, TTFT: 1_500, Duration: 90_000, Input: 1, Output: 2,
			Cached: 3, Reasoning: 4, CostNanoUSD: 123_456_789_012, Model: []byte("support-bot"), Version: []byte("1.1.0"),
			Target: []byte("eu"), State: []byte("s"),
		}},
		{"done at an unknown cost", abi.Done{
			Flags: abi.DoneError | abi.DoneCancelled, ID: 12, Status: 502, CostNanoUSD: math.MaxUint64,
		}},
	}
}
