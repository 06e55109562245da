package abi

import (
	"encoding/binary"
	"math"
)

// A view is a header of fixed length, then the tables, each on a multiple of 8 and with 4 bytes of zeros behind it, then
// the bytes that the spans name, without gaps. An empty field is the span 0,0, like one that was not asked for.
const (
	pairRow   = 16
	tableEdge = 8 // u32 n before the rows, u32 0 behind them
)

// Size is the length of the view in bytes. caps must be those that Put gets.
func (r *Request) Size(caps Caps) int {
	n := RequestHeader + len(r.Model) + len(r.Tenant) + len(r.User) + len(r.Endpoint) + len(r.Version) + sizePairs(r.KV)
	if caps&CapHeaders != 0 {
		n += sizePairs(r.Headers)
	}
	if caps&CapTargets != 0 && len(r.Targets) > 0 {
		n += tableEdge + TargetRow*len(r.Targets)
		for i := range r.Targets {
			n += len(r.Targets[i].Name) + len(r.Targets[i].Region)
		}
	}
	if caps&CapSystem != 0 {
		n += len(r.System)
	}
	if caps&CapUser != 0 {
		n += len(r.LastUser)
	}
	if caps&CapBody != 0 {
		n += len(r.Body)
	}
	return n
}

func sizePairs(pairs []Pair) int {
	if len(pairs) == 0 {
		return 0
	}
	n := tableEdge + pairRow*len(pairs)
	for i := range pairs {
		n += len(pairs[i].Name) + len(pairs[i].Value)
	}
	return n
}

// Put writes the binary view into dst, which must have at least Size bytes, and returns its length. Every byte of it
// is written, whatever dst held before. It allocates nothing.
func (r *Request) Put(dst []byte, caps Caps) int {
	h := (*[RequestHeader]byte)(dst)
	le := binary.LittleEndian
	le.PutUint32(h[0:], MagicRequest)
	le.PutUint64(h[8:], both(RequestHeader, r.Flags))
	le.PutUint64(h[16:], r.ID)
	le.PutUint64(h[24:], uint64(r.UnixMS))
	le.PutUint64(h[32:], r.PrefixHash)
	le.PutUint64(h[40:], r.Random)
	le.PutUint64(h[48:], both(r.PromptTokens, r.MaxTokens))
	le.PutUint64(h[56:], both(r.Messages, r.Tools))
	le.PutUint64(h[64:], both(math.Float32bits(r.Temperature), r.Attempt))

	w := writer{dst[:len(dst):len(dst)], RequestHeader}
	var headers, targets, kv, system, user, body uint64
	// A table's rows name places behind all tables, so that the tables come first and their text after them.
	first := w.at
	if caps&CapHeaders != 0 && len(r.Headers) > 0 {
		headers = w.table(len(r.Headers), pairRow)
	}
	if caps&CapTargets != 0 && len(r.Targets) > 0 {
		targets = w.table(len(r.Targets), TargetRow)
	}
	if len(r.KV) > 0 {
		kv = w.table(len(r.KV), pairRow)
	}
	if w.at != first {
		w.pairs(headers, r.Headers)
		w.targets(targets, r.Targets)
		w.pairs(kv, r.KV)
	}
	le.PutUint64(h[72:], w.span(r.Model))
	le.PutUint64(h[80:], w.span(r.Tenant))
	le.PutUint64(h[88:], w.span(r.User))
	le.PutUint64(h[96:], w.span(r.Endpoint))
	if caps&CapSystem != 0 {
		system = w.span(r.System)
	}
	if caps&CapUser != 0 {
		user = w.span(r.LastUser)
	}
	if caps&CapBody != 0 {
		body = w.span(r.Body)
	}
	le.PutUint64(h[104:], system)
	le.PutUint64(h[112:], user)
	le.PutUint64(h[120:], headers)
	le.PutUint64(h[128:], targets)
	le.PutUint64(h[136:], body)
	le.PutUint64(h[144:], kv)
	le.PutUint64(h[152:], w.span(r.Version))
	le.PutUint32(h[4:], uint32(w.at))
	return w.at
}

// both puts two u32 that stand side by side into one store, which is what most of the time goes into.
func both(first, second uint32) uint64 { return uint64(first) | uint64(second)<<32 }

// writer fills a view behind its header.
type writer struct {
	dst []byte
	at  int
}

// span writes bytes and gives the two u32 that name them, as one u64.
func (w *writer) span(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	at := w.at
	w.at = at + len(b)
	copy(w.dst[at:w.at], b)
	return uint64(at) | uint64(len(b))<<32
}

// table makes room for rows and gives the table's span.
func (w *writer) table(n, row int) uint64 {
	at := w.at
	length := 4 + n*row
	w.at = at + 4 + length
	binary.LittleEndian.PutUint32(w.dst[at:], uint32(n))
	binary.LittleEndian.PutUint32(w.dst[at+length:], 0)
	return uint64(at) | uint64(length)<<32
}

// pairs fills the rows of a table whose span is not 0.
func (w *writer) pairs(table uint64, pairs []Pair) {
	if table == 0 {
		return
	}
	rows := w.dst[uint32(table)+4:]
	for i := range pairs {
		binary.LittleEndian.PutUint64(rows[pairRow*i:], w.span(pairs[i].Name))
		binary.LittleEndian.PutUint64(rows[pairRow*i+8:], w.span(pairs[i].Value))
	}
}

func (w *writer) targets(table uint64, targets []Target) {
	if table == 0 {
		return
	}
	rows := w.dst[uint32(table)+4:]
	for i := range targets {
		t, row := &targets[i], rows[TargetRow*i:][:TargetRow]
		binary.LittleEndian.PutUint64(row[0:], w.span(t.Name))
		binary.LittleEndian.PutUint64(row[8:], w.span(t.Region))
		binary.LittleEndian.PutUint64(row[16:], both(t.Flags, t.InFlight))
		binary.LittleEndian.PutUint64(row[24:], both(t.TTFT, t.PerToken))
		binary.LittleEndian.PutUint64(row[32:], both(t.PriceIn, t.PriceOut))
	}
}

// Size is the length of the view in bytes.
func (c *Chunk) Size() int { return ChunkHeader + len(c.Text) + len(c.State) + len(c.Finish) }

// Put writes the binary view as Request.Put does.
func (c *Chunk) Put(dst []byte) int {
	h := (*[ChunkHeader]byte)(dst)
	le := binary.LittleEndian
	le.PutUint32(h[0:], MagicChunk)
	le.PutUint64(h[8:], both(ChunkHeader, c.Flags))
	le.PutUint64(h[16:], c.ID)
	le.PutUint64(h[24:], both(c.Seq, c.Choice))
	le.PutUint64(h[32:], uint64(c.Tokens))
	w := writer{dst[:len(dst):len(dst)], ChunkHeader}
	le.PutUint64(h[40:], w.span(c.Text))
	le.PutUint64(h[48:], w.span(c.State))
	le.PutUint64(h[56:], w.span(c.Finish))
	le.PutUint32(h[4:], uint32(w.at))
	return w.at
}

// Size is the length of the view in bytes.
func (r *Response) Size() int { return ResponseHeader + len(r.Text) + len(r.State) + len(r.Finish) }

// Put writes the binary view as Request.Put does.
func (r *Response) Put(dst []byte) int {
	h := (*[ResponseHeader]byte)(dst)
	le := binary.LittleEndian
	le.PutUint32(h[0:], MagicResponse)
	le.PutUint64(h[8:], both(ResponseHeader, r.Flags))
	le.PutUint64(h[16:], r.ID)
	le.PutUint64(h[24:], both(r.Status, r.Choice))
	le.PutUint64(h[32:], both(r.Input, r.Output))
	w := writer{dst[:len(dst):len(dst)], ResponseHeader}
	le.PutUint64(h[40:], w.span(r.Text))
	le.PutUint64(h[48:], w.span(r.State))
	le.PutUint64(h[56:], w.span(r.Finish))
	le.PutUint32(h[4:], uint32(w.at))
	return w.at
}

// Size is the length of the view in bytes.
func (d *Done) Size() int {
	return DoneHeader + len(d.Model) + len(d.Version) + len(d.Target) + len(d.State)
}

// Put writes the binary view as Request.Put does.
func (d *Done) Put(dst []byte) int {
	h := (*[DoneHeader]byte)(dst)
	le := binary.LittleEndian
	le.PutUint32(h[0:], MagicDone)
	le.PutUint64(h[8:], both(DoneHeader, d.Flags))
	le.PutUint64(h[16:], d.ID)
	le.PutUint64(h[24:], both(d.Status, d.TTFT))
	le.PutUint64(h[32:], both(d.Duration, d.Input))
	le.PutUint64(h[40:], both(d.Output, d.Cached))
	le.PutUint64(h[48:], uint64(d.Reasoning))
	le.PutUint64(h[56:], d.CostNanoUSD)
	w := writer{dst[:len(dst):len(dst)], DoneHeader}
	le.PutUint64(h[64:], w.span(d.Model))
	le.PutUint64(h[72:], w.span(d.Version))
	le.PutUint64(h[80:], w.span(d.Target))
	le.PutUint64(h[88:], w.span(d.State))
	le.PutUint32(h[4:], uint32(w.at))
	return w.at
}
