package openai

import (
	"fmt"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Read implements dialect.Translator.
func (Codec) Read(op dialect.Op, body []byte, c *dialect.Chat) error {
	c.Reset()
	switch op {
	case dialect.OpChat:
		return readChat(body, c)
	case dialect.OpResponses:
		return readResponses(body, c)
	case dialect.OpCompletions:
		return readCompletions(body, c)
	}
	return noForm("request", op)
}

// AppendRequest implements dialect.Translator. What it appends is the normal form of a request, too: requests of all
// dialects that ask for the same thing share it.
func (Codec) AppendRequest(dst []byte, c *dialect.Chat, model string, stream bool) ([]byte, dialect.FieldSet, error) {
	return appendChatRequest(dst, c, model, stream)
}

// FieldName implements dialect.Translator.
func (Codec) FieldName(op dialect.Op, f dialect.Field) string {
	if op == dialect.OpResponses {
		return responsesFieldName(f)
	}
	return chatFieldName(f)
}

// ReadReply implements dialect.Translator.
func (Codec) ReadReply(op dialect.Op, body []byte, r *dialect.Reply) error {
	r.Reset()
	switch op {
	case dialect.OpChat, dialect.OpCompletions:
		return readChatReply(op, body, r)
	case dialect.OpResponses:
		return readResponse(body, r)
	}
	return noForm("answer", op)
}

// AppendReply implements dialect.Translator.
func (Codec) AppendReply(dst []byte, op dialect.Op, r *dialect.Reply) ([]byte, error) {
	switch op {
	case dialect.OpChat:
		return appendChatReply(dst, r)
	case dialect.OpResponses:
		return appendResponse(dst, r)
	case dialect.OpCompletions:
		return appendTextReply(dst, r)
	}
	return dst, noForm("answer", op)
}

// ReadEvent implements dialect.Translator. Nothing asks a provider for a stream of the responses API: OpenAI's operation
// for a Chat is chat/completions, so only that and completions are read.
func (Codec) ReadEvent(op dialect.Op, st *dialect.Reading, _, data []byte, events []dialect.Event) ([]dialect.Event, error) {
	switch op {
	case dialect.OpChat, dialect.OpCompletions:
		return readChunk(op, st, data, events)
	}
	return events, noForm("event", op)
}

// AppendEvent implements dialect.Translator. An operation that has no streams gets nothing.
func (Codec) AppendEvent(dst []byte, op dialect.Op, st *dialect.Writing, e *dialect.Event) []byte {
	switch op {
	case dialect.OpChat, dialect.OpCompletions:
		return appendChunk(dst, op, st, e)
	case dialect.OpResponses:
		return appendResponseEvent(dst, st, e)
	}
	return dst
}

// ReadEmbedding implements dialect.Embedder.
func (Codec) ReadEmbedding(op dialect.Op, body []byte, e *dialect.Embedding) error {
	e.Reset()
	if op != dialect.OpEmbeddings {
		return noForm("request for vectors", op)
	}
	return readEmbedding(body, e)
}

// AppendEmbedding implements dialect.Embedder.
func (Codec) AppendEmbedding(dst []byte, e *dialect.Embedding, model string) ([]byte, dialect.FieldSet, error) {
	return appendEmbedding(dst, e, model)
}

// ReadVectors implements dialect.Embedder.
func (Codec) ReadVectors(op dialect.Op, body []byte, v *dialect.Vectors) error {
	v.Reset()
	if op != dialect.OpEmbeddings {
		return noForm("answer with vectors", op)
	}
	return readVectors(body, v)
}

// AppendVectors implements dialect.Embedder.
func (Codec) AppendVectors(dst []byte, op dialect.Op, v *dialect.Vectors, asked *dialect.Embedding, model string) ([]byte, error) {
	if op != dialect.OpEmbeddings {
		return dst, noForm("answer with vectors", op)
	}
	return appendVectors(dst, v, asked, model)
}

// noForm is the error for what an operation has no form of.
func noForm(what string, op dialect.Op) error {
	return fmt.Errorf("the operation %s has no %s that could be carried between dialects: it %w", op, what, dialect.ErrInexpressible)
}
