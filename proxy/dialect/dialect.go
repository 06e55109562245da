// Package dialect is the contract between the request path and the providers' wire forms: what an operation
// is, what an answer tells, and how an error reads. It knows no provider; the packages below it know one each.
package dialect

import (
	"errors"
	"time"
)

// Op is the operation that a client asks for. Ops are part of cache keys: never renumber them.
type Op uint8

const (
	OpOther       Op = iota // passed through, never cached
	OpChat                  // POST /v1/chat/completions
	OpResponses             // POST /v1/responses
	OpCompletions           // POST /v1/completions
	OpEmbeddings            // POST /v1/embeddings
)

// String is the operation's name in logs and metrics.
func (o Op) String() string {
	return [...]string{"other", "chat", "responses", "completions", "embeddings"}[o]
}

// Usage is what an answer consumed, in tokens. Input includes Cached; Output includes Reasoning.
type Usage struct {
	Input, Cached, Output, Reasoning int64
	Known                            bool // false where the provider told nothing
}

// Kind says what a streamed event means for the relay.
type Kind uint8

const (
	Delta    Kind = iota // an ordinary event: pass it on
	First                // as Delta, and the first one that carries content: time to first token
	Tail                 // usage only: for clients that asked for it
	Terminal             // the dialect's good end; nothing after it belongs to the answer
	Failed               // the dialect's own in-stream error or failed end: pass it on, keep nothing
	Ignored              // a comment or an empty event
)

// Stream is what one streamed answer has told so far. The zero value is ready; it is reset by assignment.
type Stream struct {
	Usage    Usage
	Events   int  // events that were not Ignored
	Content  bool // a First has been seen
	Finished bool // every choice has its finish_reason, or the terminal event came
	Choices  uint64
	Ended    uint64 // bit sets of the first 64 choice indexes seen and finished
	Sequence int64  // what comes next in dialects that number their events
	Memo     Memo
}

// Memo is what a codec keeps about one stream between its events, since codecs hold no state. Only the codec that
// wrote it can read it.
type Memo struct {
	Bytes      [512]byte
	Head, Tail uint16 // lengths within Bytes
}

// ErrMalformed is wrapped by every error that says the provider's bytes are not an answer of the operation.
var ErrMalformed = errors.New("malformed answer")

// ErrProvider is wrapped by the error for a 200 whose body is the provider's own error object.
var ErrProvider = errors.New("the provider answered 200 with an error")

// Answers reads and converts the answers of one dialect. Implementations hold no state and keep no argument.
type Answers interface {
	// Whole checks a complete 2xx body and reads its usage. It wraps ErrMalformed or ErrProvider. Allocation-free
	// for a good body.
	Whole(op Op, body []byte) (Usage, error)

	// Event classifies one complete SSE event (name may be empty) and updates st. An event that is not valid
	// for the operation wraps ErrMalformed. Allocation-free for a good event.
	Event(op Op, st *Stream, name, data []byte) (Kind, error)

	// AppendWhole appends the whole answer that a complete stream (raw SSE bytes up to and including its
	// terminal event) stands for: text, tool calls, finish reasons, logprobs and usage as a whole answer has them.
	AppendWhole(dst []byte, op Op, sse []byte) ([]byte, error)

	// AppendStream appends the SSE events that stand for a whole answer, ending with the terminal event. tail
	// and terminal are the offsets within what was appended where the usage-only event (if the dialect has one,
	// else tail == terminal) and the terminal event begin.
	AppendStream(dst []byte, op Op, whole []byte) (out []byte, tail, terminal int, err error)
}

// Error is a failure in words and codes, before it takes a dialect's form.
type Error struct {
	Status  int
	Code    string // of the closed vocabulary
	Message string // what could not be done, to what, and what to do
	Param   string // the request's field at fault, or ""
	Body    []byte // a provider's own error object in the client's dialect; nil where there is none to pass on

	RetryAfter time.Duration // how long to wait before asking again; 0 where nobody knows

	Stream *Stream // the broken stream, where one had begun: its terminal error carries on its id and numbering
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errors writes errors in one dialect.
type Errors interface {
	// AppendError appends the body of an error response.
	AppendError(dst []byte, e *Error, requestID string) []byte
	// AppendStreamError appends the dialect's terminal error events for a stream that has begun.
	AppendStreamError(dst []byte, op Op, e *Error, requestID string) []byte
}
