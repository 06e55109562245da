// Package wedge1 is the SDK for Wedge policies in Go: typed views of what a policy sees, and builders of what it
// decides. It has no dependencies and allocates nothing per call once its buffers have grown.
//
//	package main
//
//	import "my-policy/wedge1"
//
//	func init() {
//		wedge1.Serve(wedge1.Policy{Caps: wedge1.Headers, Request: request})
//	}
//
//	func request(r *wedge1.Request, a *wedge1.Actions) error {
//		if string(r.Headers().Get("x-plan")) == "free" {
//			a.Target("small")
//		}
//		return nil
//	}
//
//	func main() {}
//
// Build it with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' -o policy.wasm .
package wedge1

// Caps say what a policy wants to see. The bits of the hooks are set by Serve.
type Caps uint32

// The capabilities. A field whose bit is unset is empty in the view.
const (
	Body    Caps = 1 << 1 // Request.Body
	System  Caps = 1 << 2 // Request.System
	User    Caps = 1 << 3 // Request.LastUser
	Headers Caps = 1 << 4 // Request.Headers: those that the catalog lists
	Targets Caps = 1 << 5 // Request.Targets
	State   Caps = 1 << 9 // the policy keeps state in its memory between requests
)

const (
	capChunk    Caps = 1 << 6
	capResponse Caps = 1 << 7
	capDone     Caps = 1 << 8
)

// Policy is what Serve needs to know. Views, and all bytes in them, are valid until the function returns.
type Policy struct {
	Caps Caps

	// Init gets the catalog's config, a JSON object, {} if there is none. It may keep the bytes. An error refuses
	// the policy.
	Init func(config []byte) error

	Request  func(*Request, *Actions) error
	Response func(*Response, *Actions) error // optional
	Chunk    func(*Chunk, *Actions) error    // optional
	Done     func(*Done, *Actions) error     // optional
}

// caps are the policy's and its hooks'.
func (p *Policy) caps() Caps {
	c := p.Caps
	if p.Chunk != nil {
		c |= capChunk
	}
	if p.Response != nil {
		c |= capResponse
	}
	if p.Done != nil {
		c |= capDone
	}
	return c
}

// Error is a failure that the node counts by its kind; what happens to the request is the catalog's on_error. Any
// other error counts as ErrInternal.
type Error int32

// The kinds of failure.
const (
	ErrInternal    Error = -1
	ErrBadInput    Error = -2
	ErrUnsupported Error = -3
	ErrConfig      Error = -4
	ErrExhausted   Error = -5
)

var errorNames = [...]string{"internal", "bad input", "unsupported", "config", "exhausted"}

func (e Error) Error() string {
	if i := -int(e) - 1; i >= 0 && i < len(errorNames) {
		return errorNames[i]
	}
	return "unknown"
}

// code is the negative result that stands for an error, or 0.
func code(err error) int64 {
	if err == nil {
		return 0
	}
	if e, ok := err.(Error); ok && e < 0 {
		return int64(e)
	}
	return int64(ErrInternal)
}

// Hash is FNV-1a over text with a mixed end: the same text gives the same number in every SDK. Start with seed 0.
func Hash(seed uint64, text []byte) uint64 {
	h := 14695981039346656037 ^ seed
	for _, c := range text {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}
