package dialect

import (
	"fmt"
	"slices"
	"sync"
)

// Set is the dialects that a node speaks, and the way from one to another through the model in the middle.
type Set struct {
	Codecs    [IDs]Codec
	Rewriters [IDs]Rewriter
}

// For is the codec of an operation.
func (s *Set) For(op Op) Codec { return s.Codecs[op.Dialect()] }

// Complete says that no codec is missing.
func (s *Set) Complete() bool {
	for d := range IDs {
		if s.Codecs[d] == nil || s.Rewriters[d] == nil {
			return false
		}
	}
	return true
}

var (
	chats      = sync.Pool{New: func() any { return new(Chat) }}
	replies    = sync.Pool{New: func() any { return new(Reply) }}
	embeddings = sync.Pool{New: func() any { return new(Embedding) }}
	vectors    = sync.Pool{New: func() any { return new(Vectors) }}
)

// Bodies of more bytes are looked at before they are read: each of their parts takes some hundred bytes, and a few of the
// body.
const (
	plainly   = 256 << 10
	mostItems = 1 << 17
)

// crowded says that a body has more members and elements than a conversation has.
func crowded(body []byte) bool {
	if len(body) <= plainly {
		return false
	}
	items := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case ',':
			items++
		case '"':
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
		}
	}
	return items > mostItems
}

// WithChat calls use with what the body of a request says. The Chat is use's until it returns.
func (s *Set) WithChat(op Op, body []byte, use func(*Chat) error) error {
	if crowded(body) {
		return fmt.Errorf("%w: the request has more than %d members and elements; send less of the conversation", ErrInexpressible, mostItems)
	}
	c := chats.Get().(*Chat)
	defer func() {
		c.Reset()
		chats.Put(c)
	}()
	if err := s.For(op).Read(op, body, c); err != nil {
		return err
	}
	return use(c)
}

// AppendRequest appends the body of a request as the dialect to has it: of its ChatOp, or of its EmbedOp for one that
// asks for vectors. lost are the fields that it cannot express, as the client calls them. Errors wrap ErrInexpressible,
// or ErrMalformed.
func (s *Set) AppendRequest(dst []byte, from Op, body []byte, to ID, model string, stream bool) (out []byte, lost []string, err error) {
	if from.Embeds() {
		return s.appendEmbedding(dst, from, body, to, model)
	}
	err = s.WithChat(from, body, func(c *Chat) (err error) {
		var left FieldSet
		out, left, err = s.Codecs[to].AppendRequest(dst, c, model, stream)
		lost = s.lost(from, left, c.Unknown)
		return err
	})
	return out, lost, err
}

func (s *Set) appendEmbedding(dst []byte, from Op, body []byte, to ID, model string) (out []byte, lost []string, err error) {
	if crowded(body) {
		return dst, nil, fmt.Errorf("%w: the request has more than %d inputs; send fewer at a time", ErrInexpressible, mostItems)
	}
	e := embeddings.Get().(*Embedding)
	defer func() {
		e.Reset()
		embeddings.Put(e)
	}()
	if err := s.For(from).ReadEmbedding(from, body, e); err != nil {
		return dst, nil, err
	}
	out, left, err := s.Codecs[to].AppendEmbedding(dst, e, model)
	return out, s.lost(from, left, e.Unknown), err
}

// lost names what a request lost on its way.
func (s *Set) lost(op Op, left FieldSet, unknown []string) (names []string) {
	for f := range Fields {
		if name := s.For(op).FieldName(op, f); left.Has(f) && name != "" { // "": it was said by nobody
			names = append(names, name)
		}
	}
	return append(names, unknown...)
}

// Client is what an answer in another dialect than the provider's must know of who reads it.
type Client struct {
	Op      Op
	Body    []byte // the request's, which answers with vectors follow
	Model   string // as the client named it
	Created int64  // seconds since 1970, where the provider does not tell
}

// AppendAnswer appends a whole answer of the operation from as the client reads it. lost names what the answer says and the
// model in the middle has no word for.
func (s *Set) AppendAnswer(dst []byte, from Op, whole []byte, to Client) (out []byte, lost []string, err error) {
	if to.Op.Embeds() {
		out, err = s.appendVectors(dst, from, whole, to)
		return out, nil, err
	}
	r := replies.Get().(*Reply)
	defer func() {
		r.Reset()
		replies.Put(r)
	}()
	if err := s.For(from).ReadReply(from, whole, r); err != nil {
		return dst, nil, err
	}
	if r.Created == 0 {
		r.Created = to.Created
	}
	out, err = s.For(to.Op).AppendReply(dst, to.Op, r)
	return out, append(slices.Clone(r.Lost), untold(to.Op, r)...), err
}

// untold names what an answer says and an operation's answers have no place for.
func untold(op Op, r *Reply) (names []string) {
	has := func(kinds ...PartKind) bool {
		return slices.ContainsFunc(r.Parts, func(p Part) bool { return slices.Contains(kinds, p.Kind) })
	}
	for _, place := range [...]struct {
		none bool
		name string
	}{
		{op == OpMessages && has(PartImage), "answer.images"},
		{(op == OpMessages || op == OpResponses || op == OpCompletions) && has(PartAudio), "answer.audio"},
		{op == OpCompletions && has(PartCall), "answer.tool_calls"},
		{op == OpCompletions && has(PartThinking, PartHidden), "answer.thinking"},
		{(op == OpMessages || op == OpResponses) && len(r.Answers) > 1, "answer.alternatives"},
	} {
		if place.none {
			names = append(names, place.name)
		}
	}
	return names
}

func (s *Set) appendVectors(dst []byte, from Op, whole []byte, to Client) ([]byte, error) {
	e, v := embeddings.Get().(*Embedding), vectors.Get().(*Vectors)
	defer func() {
		e.Reset()
		v.Reset()
		embeddings.Put(e)
		vectors.Put(v)
	}()
	if err := s.For(to.Op).ReadEmbedding(to.Op, to.Body, e); err != nil {
		return dst, err
	}
	if err := s.For(from).ReadVectors(from, whole, v); err != nil {
		return dst, err
	}
	if len(v.Items) != len(e.Inputs) {
		return dst, fmt.Errorf("%w: %d vectors for %d inputs", ErrMalformed, len(v.Items), len(e.Inputs))
	}
	return s.For(to.Op).AppendVectors(dst, to.Op, v, e, to.Model)
}

// Relay carries one stream from one operation to another, event by event.
type Relay struct {
	set      *Set
	from, to Op
	created  int64
	reading  Reading
	writing  Writing
	events   []Event

	// Marks of what the last AppendEvent appended, as offsets in what it returned; -1 where there is none.
	Tail, TailEnd, Terminal int
}

// Begin makes the relay ready for a stream. created stands in where the provider does not tell when it began, in seconds
// since 1970.
func (r *Relay) Begin(s *Set, from, to Op, created int64) {
	r.set, r.from, r.to, r.created = s, from, to, created
	r.reading.Reset()
	r.writing.Reset()
}

// Written is what the stream has told its client, for the dialect's terminal error.
func (r *Relay) Written() *Stream { return &r.writing.Stream }

// AppendEvent appends, in the client's words, what an event tells that the provider's codec found good; data of nil
// stands for the good end of a body without a terminal event.
func (r *Relay) AppendEvent(dst, name, data []byte) (out []byte, err error) {
	r.Tail, r.TailEnd, r.Terminal = -1, -1, -1
	r.events, err = r.set.For(r.from).ReadEvent(r.from, &r.reading, name, data, r.events[:0])
	if err != nil {
		return dst, err
	}
	to := r.set.For(r.to)
	for i := range r.events {
		e := &r.events[i]
		if e.Kind == EventStart && e.Created == 0 {
			e.Created = r.created
		}
		at := len(dst)
		dst = to.AppendEvent(dst, r.to, &r.writing, e)
		switch e.Kind {
		case EventUsage:
			r.Tail, r.TailEnd = at, len(dst)
		case EventEnd:
			r.Terminal = r.writing.Terminal
		}
	}
	clear(r.events)
	return dst, nil
}
