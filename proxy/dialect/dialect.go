// Package dialect is one chat model and the contract between the request path and the providers' wire forms: what an
// operation is, what a request asks, what an answer tells, and how an error reads. It knows no provider; the packages
// below it know one each.
package dialect

import (
	"errors"
	"time"
)

// ID is a wire form.
type ID uint8

const (
	OpenAI ID = iota
	Anthropic
	Gemini
	IDs // how many there are
)

// String is the dialect's name in catalogs.
func (d ID) String() string { return [...]string{"openai", "anthropic", "gemini"}[d] }

// Named is the dialect that a catalog names; false if there is none.
func Named(name string) (ID, bool) {
	for d := range IDs {
		if d.String() == name {
			return d, true
		}
	}
	return 0, false
}

// Op is the operation that a client asks for. Ops are part of cache keys: never renumber them.
type Op uint8

const (
	OpOther       Op = iota // passed through, never cached
	OpChat                  // POST /v1/chat/completions
	OpResponses             // POST /v1/responses
	OpCompletions           // POST /v1/completions
	OpEmbeddings            // POST /v1/embeddings
	OpMessages              // POST /v1/messages
	OpCountTokens           // POST /v1/messages/count_tokens
	OpGenerate              // POST /v1beta/models/M:generateContent and :streamGenerateContent
	OpEmbed                 // POST /v1beta/models/M:embedContent
	OpBatchEmbed            // POST /v1beta/models/M:batchEmbedContents
	OpCount                 // POST /v1beta/models/M:countTokens
	Ops                     // how many there are
)

var ops = [Ops]struct {
	name    string
	dialect ID
}{
	{"other", OpenAI}, {"chat", OpenAI}, {"responses", OpenAI}, {"completions", OpenAI}, {"embeddings", OpenAI},
	{"messages", Anthropic}, {"count_tokens", Anthropic},
	{"generate", Gemini}, {"embed", Gemini}, {"batch_embed", Gemini}, {"count", Gemini},
}

// String is the operation's name in logs and metrics.
func (o Op) String() string { return ops[o].name }

// Dialect is the wire form of the operation.
func (o Op) Dialect() ID { return ops[o].dialect }

// Chats says that the operation's answer is a text: a conversation's next turn, or a completion.
func (o Op) Chats() bool {
	switch o {
	case OpChat, OpResponses, OpCompletions, OpMessages, OpGenerate:
		return true
	}
	return false
}

// Embeds says that the operation's answer is vectors.
func (o Op) Embeds() bool { return o == OpEmbeddings || o == OpEmbed || o == OpBatchEmbed }

// Counts says that the operation's answer is the number of a request's tokens.
func (o Op) Counts() bool { return o == OpCountTokens || o == OpCount }

// Usage is what an answer consumed, in tokens. Input counts every token of the prompt, however it was billed: Cached
// and CacheWrite are parts of it. Output counts Reasoning.
type Usage struct {
	Input, Output  int64
	Cached         int64 // of Input: read from the provider's prompt cache
	CacheWrite     int64 // of Input: written to it
	CacheWriteHour int64 // of CacheWrite: to be kept for an hour and not for minutes
	Reasoning      int64 // of Output
	AudioInput     int64 // of Input
	AudioOutput    int64 // of Output
	ImageInput     int64 // of Input
	ImageOutput    int64 // of Output
	Images         int64 // that were made, where they are not billed as tokens
	AudioMillis    int64 // that were heard, where they are not billed as tokens
	Letters        int64 // that were spoken, where they are not billed as tokens

	Known bool // false where the provider told nothing
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
	Wanted   int // answers that were asked for, where nothing but the end of the last of them ends the stream; 0: one
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

	// AppendCut appends the SSE events that end a stream as its provider would at the limit of its tokens: what is open
	// is closed, every answer that has not ended ends with the dialect's word for the limit, u is told, and the terminal
	// event follows. sse are the events that the client has got so far, none of them terminal. tail and terminal are
	// as for AppendStream.
	AppendCut(dst []byte, op Op, sse []byte, u *Usage) (out []byte, tail, terminal int, err error)
}

// Error is a failure in words and codes, before it takes a dialect's form.
type Error struct {
	Status  int
	Code    string // of the closed vocabulary
	Message string // what could not be done, to what, and what to do
	Param   string // the request's field at fault, or ""
	Body    []byte // a provider's own error object in the client's dialect; nil where there is none to pass on

	RetryAfter time.Duration // how long to wait before asking again; 0 where nobody knows
	Final      bool          // asking again is of no use, whatever the status says

	Stream *Stream // the broken stream, where one had begun: its terminal error carries on its id and numbering
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refusal is what a provider's error answer says.
type Refusal struct {
	Message    string        // the provider's own words, at most 1,000 bytes; "" where it is no error of the dialect
	Broke      bool          // the operator's money or quota ran out: asking again is of no use
	RetryAfter time.Duration // as the body tells it; 0 where it does not
}

// Errors writes and reads errors in one dialect.
type Errors interface {
	// AppendError appends the body of an error response.
	AppendError(dst []byte, e *Error, requestID string) []byte
	// AppendStreamError appends the dialect's terminal error events for a stream that has begun.
	AppendStreamError(dst []byte, op Op, e *Error, requestID string) []byte
	// ReadError reads the body of a provider's answer whose status is not 2xx.
	ReadError(status int, body []byte) Refusal
}
