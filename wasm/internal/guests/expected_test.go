package guests

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
)

// hashOfABC is the SDKs' hash of abc with the seed 3.
const hashOfABC = 0xf0840d66ca2ca955

// writer writes what the echoes write.
type writer struct{ list []byte }

func (w *writer) nums(all ...uint32) {
	for _, n := range all {
		w.list = abi.AppendMaxTokens(w.list, n)
	}
}

func (w *writer) wide(all ...uint64) {
	for _, n := range all {
		w.list = abi.AppendKVAdd(w.list, int64(n), 0, "")
	}
}

func (w *writer) texts(all ...[]byte) {
	for _, t := range all {
		w.list = abi.AppendTarget(w.list, t)
	}
}

func (w *writer) bits(flags uint32, n int) {
	for i := range n {
		w.nums(flags >> i & 1)
	}
}

func (w *writer) pairs(all []abi.Pair) {
	for _, p := range all {
		w.list = abi.AppendSetHeader(w.list, p.Name, p.Value)
	}
}

// expected is what an echo answers to a view, and the export that gets it.
func expected(t *testing.T, kind string, view []byte) (export string, list []byte) {
	var w writer
	switch kind {
	case "request":
		r, err := abi.ReadRequest(view)
		require.NoError(t, err)
		w.request(&r)
		return abi.ExportRequest, w.list
	case "chunk":
		c, err := abi.ReadChunk(view)
		require.NoError(t, err)
		w.bits(c.Flags, 2)
		w.wide(c.ID)
		w.nums(c.Seq, c.Choice, c.Tokens)
		w.texts(c.Text, c.State, c.Finish)
		return abi.ExportChunk, w.list
	case "response":
		r, err := abi.ReadResponse(view)
		require.NoError(t, err)
		w.nums(r.Flags / abi.DoneCached & 1)
		w.wide(r.ID)
		w.nums(r.Status, r.Choice, r.Input, r.Output)
		w.texts(r.Text, r.State, r.Finish)
		return abi.ExportResponse, w.list
	}
	d, err := abi.ReadDone(view)
	require.NoError(t, err)
	w.bits(d.Flags, 4)
	w.wide(d.ID)
	w.nums(d.Status, d.TTFT, d.Duration, d.Input, d.Output, d.Cached, d.Reasoning)
	w.wide(d.CostNanoUSD)
	w.texts(d.Model, d.Version, d.Target, d.State)
	return abi.ExportDone, w.list
}

func (w *writer) request(r *abi.Request) {
	w.bits(r.Flags, 5)
	w.wide(r.ID, uint64(r.UnixMS), r.PrefixHash, r.Random)
	w.nums(r.PromptTokens, r.MaxTokens, r.Messages, r.Tools, math.Float32bits(r.Temperature), r.Attempt)
	w.texts(r.Model, r.Tenant, r.User, r.Endpoint, r.System, r.LastUser, r.Body, r.Version)
	w.pairs(r.Headers)
	w.pairs(r.KV)
	for _, target := range r.Targets {
		w.texts(target.Name, target.Region)
		w.bits(target.Flags, 2)
		w.nums(target.InFlight, target.TTFT, target.PerToken, target.PriceIn, target.PriceOut)
	}
}
