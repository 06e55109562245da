package abi

import (
	"encoding/binary"
	"fmt"
	"math"
)

// reader walks a view that may hold anything. After the first fault it gives zeros.
type reader struct {
	view []byte // of the length that the view says it has
	err  error
}

// open checks the first 12 bytes: magic, total length, and a header that is no shorter than this version's.
func open(view []byte, kind string, magic uint32, header int) (reader, error) {
	if len(view) < header {
		return reader{}, fmt.Errorf("the %s view has %d bytes, want at least %d", kind, len(view), header)
	}
	le := binary.LittleEndian
	if got := le.Uint32(view); got != magic {
		return reader{}, fmt.Errorf("the %s view begins with %q, want %q", kind, view[:4], le.AppendUint32(nil, magic))
	}
	total, length := le.Uint32(view[4:]), le.Uint32(view[8:])
	if uint64(total) > uint64(len(view)) || length > total || uint64(length) < uint64(header) {
		return reader{}, fmt.Errorf("the %s view has %d bytes, but says %d, and %d of header; want at least %d of header",
			kind, len(view), total, length, header)
	}
	return reader{view: view[:total:total]}, nil
}

func (r *reader) u32(at int) uint32 { return binary.LittleEndian.Uint32(r.view[at:]) }
func (r *reader) u64(at int) uint64 { return binary.LittleEndian.Uint64(r.view[at:]) }

// span gives the bytes that the span at a place names, nil if there are none.
func (r *reader) span(at int) []byte {
	from, n := uint64(r.u32(at)), uint64(r.u32(at+4))
	if from+n > uint64(len(r.view)) {
		if r.err == nil {
			r.err = fmt.Errorf("the span at %d reaches from %d to %d, the view to %d", at, from, from+n, len(r.view))
		}
		return nil
	}
	if n == 0 {
		return nil
	}
	return r.view[from : from+n : from+n]
}

// table gives where the rows of a table begin and how many there are.
func (r *reader) table(at, row int) (rows, n int) {
	table := r.span(at)
	if len(table) == 0 {
		return 0, 0
	}
	if len(table) < 4 || uint64(binary.LittleEndian.Uint32(table))*uint64(row) != uint64(len(table)-4) {
		if r.err == nil {
			r.err = fmt.Errorf("the table at %d has %d bytes, want 4 and %d for each row", at, len(table), row)
		}
		return 0, 0
	}
	return int(r.u32(at)) + 4, (len(table) - 4) / row
}

func (r *reader) pairs(at int) []Pair {
	rows, n := r.table(at, pairRow)
	if n == 0 {
		return nil
	}
	pairs := make([]Pair, n)
	for i := range pairs {
		pairs[i] = Pair{r.span(rows + pairRow*i), r.span(rows + pairRow*i + 8)}
	}
	return pairs
}

func (r *reader) targets(at int) []Target {
	rows, n := r.table(at, TargetRow)
	if n == 0 {
		return nil
	}
	targets := make([]Target, n)
	for i := range targets {
		row := rows + TargetRow*i
		targets[i] = Target{
			Name: r.span(row), Region: r.span(row + 8), Flags: r.u32(row + 16), InFlight: r.u32(row + 20),
			TTFT: r.u32(row + 24), PerToken: r.u32(row + 28), PriceIn: r.u32(row + 32), PriceOut: r.u32(row + 36),
		}
	}
	return targets
}

// ReadRequest reads a binary view, which may hold anything. The result's bytes are parts of view.
func ReadRequest(view []byte) (Request, error) {
	r, err := open(view, "request", MagicRequest, RequestHeader)
	if err != nil {
		return Request{}, err
	}
	out := Request{
		Flags: r.u32(12), ID: r.u64(16), UnixMS: int64(r.u64(24)), PrefixHash: r.u64(32), Random: r.u64(40),
		PromptTokens: r.u32(48), MaxTokens: r.u32(52), Messages: r.u32(56), Tools: r.u32(60),
		Temperature: math.Float32frombits(r.u32(64)), Attempt: r.u32(68),
		Model: r.span(72), Tenant: r.span(80), User: r.span(88), Endpoint: r.span(96),
		System: r.span(104), LastUser: r.span(112), Headers: r.pairs(120), Targets: r.targets(128),
		Body: r.span(136), KV: r.pairs(144), Version: r.span(152),
	}
	if r.err != nil {
		return Request{}, fmt.Errorf("the request view: %w", r.err)
	}
	return out, nil
}

// ReadChunk reads a binary view as ReadRequest does.
func ReadChunk(view []byte) (Chunk, error) {
	r, err := open(view, "chunk", MagicChunk, ChunkHeader)
	if err != nil {
		return Chunk{}, err
	}
	out := Chunk{
		Flags: r.u32(12), ID: r.u64(16), Seq: r.u32(24), Choice: r.u32(28), Tokens: r.u32(32),
		Text: r.span(40), State: r.span(48), Finish: r.span(56),
	}
	if r.err != nil {
		return Chunk{}, fmt.Errorf("the chunk view: %w", r.err)
	}
	return out, nil
}

// ReadResponse reads a binary view as ReadRequest does.
func ReadResponse(view []byte) (Response, error) {
	r, err := open(view, "response", MagicResponse, ResponseHeader)
	if err != nil {
		return Response{}, err
	}
	out := Response{
		Flags: r.u32(12), ID: r.u64(16), Status: r.u32(24), Choice: r.u32(28), Input: r.u32(32), Output: r.u32(36),
		Text: r.span(40), State: r.span(48), Finish: r.span(56),
	}
	if r.err != nil {
		return Response{}, fmt.Errorf("the response view: %w", r.err)
	}
	return out, nil
}

// ReadDone reads a binary view as ReadRequest does.
func ReadDone(view []byte) (Done, error) {
	r, err := open(view, "done", MagicDone, DoneHeader)
	if err != nil {
		return Done{}, err
	}
	out := Done{
		Flags: r.u32(12), ID: r.u64(16), Status: r.u32(24), TTFT: r.u32(28), Duration: r.u32(32),
		Input: r.u32(36), Output: r.u32(40), Cached: r.u32(44), Reasoning: r.u32(48), CostNanoUSD: r.u64(56),
		Model: r.span(64), Version: r.span(72), Target: r.span(80), State: r.span(88),
	}
	if r.err != nil {
		return Done{}, fmt.Errorf("the done view: %w", r.err)
	}
	return out, nil
}
