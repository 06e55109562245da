package wedge1

import (
	"encoding/binary"
	"math"
)

// view is a view's bytes; spans in it are u32 offset and u32 length.
type view struct{ b []byte }

func (v *view) u32(at int) uint32 { return binary.LittleEndian.Uint32(v.b[at:]) }
func (v *view) u64(at int) uint64 { return binary.LittleEndian.Uint64(v.b[at:]) }

func (v *view) span(at int) []byte {
	off, n := v.u32(at), v.u32(at+4)
	return v.b[off : off+n : off+n]
}

// Request is what a policy sees of a request.
type Request struct{ view }

func (r *Request) flag(bit uint32) bool { return r.u32(12)&bit != 0 }

func (r *Request) Stream() bool     { return r.flag(1) }  // the client wants a stream
func (r *Request) HasTools() bool   { return r.flag(2) }  // tools are declared
func (r *Request) HasImages() bool  { return r.flag(4) }  // a message holds an image
func (r *Request) JSONOutput() bool { return r.flag(8) }  // the answer shall be JSON
func (r *Request) Retry() bool      { return r.flag(16) } // an attempt has failed

func (r *Request) ID() uint64         { return r.u64(16) }
func (r *Request) UnixMS() int64      { return int64(r.u64(24)) }
func (r *Request) PrefixHash() uint64 { return r.u64(32) } // of system text and tools
func (r *Request) Random() uint64     { return r.u64(40) } // for draws

func (r *Request) PromptTokens() uint32 { return r.u32(48) } // estimated
func (r *Request) MaxTokens() uint32    { return r.u32(52) } // 0 where the client is silent
func (r *Request) Messages() uint32     { return r.u32(56) } // how many
func (r *Request) Tools() uint32        { return r.u32(60) } // how many
func (r *Request) Attempt() uint32      { return r.u32(68) } // 0 for the first

// Temperature is NaN where the client is silent.
func (r *Request) Temperature() float32 { return math.Float32frombits(r.u32(64)) }

func (r *Request) Model() []byte    { return r.span(72) } // as resolved, without @version
func (r *Request) Tenant() []byte   { return r.span(80) }
func (r *Request) User() []byte     { return r.span(88) }  // empty if unknown
func (r *Request) Endpoint() []byte { return r.span(96) }  // the path
func (r *Request) System() []byte   { return r.span(104) } // with System
func (r *Request) LastUser() []byte { return r.span(112) } // with User
func (r *Request) Body() []byte     { return r.span(136) } // with Body
func (r *Request) Version() []byte  { return r.span(152) }

// Headers are those that the catalog lists, with the capability Headers.
func (r *Request) Headers() Pairs { return Pairs{table{r.view, r.u32(120), r.u32(124)}} }

// KV are the key-values that came with the request.
func (r *Request) KV() Pairs { return Pairs{table{r.view, r.u32(144), r.u32(148)}} }

// Targets are the model version's, with the capability Targets.
func (r *Request) Targets() Rows { return Rows{table{r.view, r.u32(128), r.u32(132)}} }

// table is u32 n and then n rows; a missing one has the length 0.
type table struct {
	view
	off, n uint32
}

// Len is how many rows there are.
func (t table) Len() int {
	if t.n == 0 {
		return 0
	}
	return int(t.u32(int(t.off)))
}

func (t table) row(i, size int) int { return int(t.off) + 4 + i*size }

// Pairs are names with values.
type Pairs struct{ table }

// At is the i-th pair, counted from 0.
func (p Pairs) At(i int) (name, value []byte) {
	at := p.row(i, 16)
	return p.span(at), p.span(at + 8)
}

// Get is the value of a name, nil if it is not there. The case of ASCII letters does not count.
func (p Pairs) Get(name string) []byte {
	for i := range p.Len() {
		at := p.row(i, 16)
		if int(p.u32(at+4)) == len(name) && EqualFold(p.span(at), name) {
			return p.span(at + 8)
		}
	}
	return nil
}

// EqualFold tells whether a and b are equal but for the case of ASCII letters.
func EqualFold[A, B ~string | ~[]byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c-'A' < 26 {
		return c | 0x20
	}
	return c
}

// Rows are the targets of a request.
type Rows struct{ table }

// At is the i-th target, counted from 0.
func (t Rows) At(i int) Target { return Target{t.view, t.row(i, 40)} }

// Target is one row of a request's targets.
type Target struct {
	view
	at int
}

func (t Target) Name() []byte     { return t.span(t.at) }
func (t Target) Region() []byte   { return t.span(t.at + 8) }
func (t Target) Healthy() bool    { return t.u32(t.at+16)&1 != 0 }
func (t Target) Breaker() bool    { return t.u32(t.at+16)&2 != 0 } // its breaker keeps requests away
func (t Target) InFlight() uint32 { return t.u32(t.at + 20) }
func (t Target) TTFT() uint32     { return t.u32(t.at + 24) } // µs to the first token on average; 0 unknown
func (t Target) PerToken() uint32 { return t.u32(t.at + 28) } // µs per output token on average; 0 unknown
func (t Target) PriceIn() uint32  { return t.u32(t.at + 32) } // nano-USD per 1,000 tokens; all bits set: unknown
func (t Target) PriceOut() uint32 { return t.u32(t.at + 36) }

// Chunk is one decoded delta of a streamed answer.
type Chunk struct{ view }

func (c *Chunk) First() bool    { return c.u32(12)&1 != 0 } // the first delta of this choice
func (c *Chunk) Last() bool     { return c.u32(12)&2 != 0 } // no text follows for this choice
func (c *Chunk) ID() uint64     { return c.u64(16) }
func (c *Chunk) Seq() uint32    { return c.u32(24) } // counts this request's chunks from 0
func (c *Chunk) Choice() uint32 { return c.u32(28) }
func (c *Chunk) Tokens() uint32 { return c.u32(32) } // sent so far, estimated
func (c *Chunk) Text() []byte   { return c.span(40) }
func (c *Chunk) State() []byte  { return c.span(48) } // what the last call of this request left
func (c *Chunk) Finish() []byte { return c.span(56) } // the finish reason, in the last chunk

// Response is a whole answer's text.
type Response struct{ view }

func (r *Response) Cached() bool   { return r.u32(12)&2 != 0 }
func (r *Response) ID() uint64     { return r.u64(16) }
func (r *Response) Status() uint32 { return r.u32(24) }
func (r *Response) Choice() uint32 { return r.u32(28) }
func (r *Response) Input() uint32  { return r.u32(32) } // tokens
func (r *Response) Output() uint32 { return r.u32(36) } // tokens
func (r *Response) Text() []byte   { return r.span(40) }
func (r *Response) State() []byte  { return r.span(48) } // what Policy.Request left
func (r *Response) Finish() []byte { return r.span(56) }

// Done tells how a request ended.
type Done struct{ view }

func (d *Done) Error() bool       { return d.u32(12)&1 != 0 } // the client got an error
func (d *Done) Cached() bool      { return d.u32(12)&2 != 0 } // a cache or another caller's call answered
func (d *Done) Cancelled() bool   { return d.u32(12)&4 != 0 } // the client left before the end
func (d *Done) Stream() bool      { return d.u32(12)&8 != 0 } // the answer was streamed
func (d *Done) ID() uint64        { return d.u64(16) }
func (d *Done) Status() uint32    { return d.u32(24) }
func (d *Done) TTFT() uint32      { return d.u32(28) } // µs
func (d *Done) Duration() uint32  { return d.u32(32) } // µs
func (d *Done) Input() uint32     { return d.u32(36) } // tokens
func (d *Done) Output() uint32    { return d.u32(40) }
func (d *Done) CachedIn() uint32  { return d.u32(44) }
func (d *Done) Reasoning() uint32 { return d.u32(48) }
func (d *Done) Cost() uint64      { return d.u64(56) } // nano-USD; all bits set: unknown
func (d *Done) Model() []byte     { return d.span(64) }
func (d *Done) Version() []byte   { return d.span(72) }
func (d *Done) Target() []byte    { return d.span(80) }
func (d *Done) State() []byte     { return d.span(88) }
