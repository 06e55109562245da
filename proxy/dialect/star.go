package dialect

import "errors"

// ErrInexpressible is wrapped by the error for a request that a dialect cannot express without losing what it asks,
// such as a file that another provider keeps. It says what, and what to do.
var ErrInexpressible = errors.New("cannot be said in the provider's dialect")

// Translator carries requests and answers between one dialect and the model. Implementations hold no state. What they
// read is valid JSON (errors wrap ErrMalformed otherwise) and may be hostile in every other way.
type Translator interface {
	// Read reads a request into c, which is reset first. A request that has no meaning in the model wraps
	// ErrInexpressible.
	Read(op Op, body []byte, c *Chat) error
	// AppendRequest appends the request of the dialect's chat operation (ChatOp) that asks for what c says. What the
	// dialect has no word for is left out and told; what must not be left out wraps ErrInexpressible. model is the
	// provider's name of the model, which the path holds in some dialects.
	AppendRequest(dst []byte, c *Chat, model string, stream bool) ([]byte, FieldSet, error)
	// FieldName is what clients of the operation call a field.
	FieldName(op Op, f Field) string

	// ReadReply reads a whole answer, which Whole found good, into r, which is reset first.
	ReadReply(op Op, body []byte, r *Reply) error
	// AppendReply appends the whole answer that tells what r says, valid for the dialect's SDKs. What the dialect has
	// no word for is left out.
	AppendReply(dst []byte, op Op, r *Reply) ([]byte, error)

	// ReadEvent appends what one SSE event, which Event found good, tells. data of nil stands for the good end of a
	// body without a terminal event: what is owed by then is told. Whatever a stream's dialect, its events come in the
	// order of EventKinds' descriptions: EventStart first, then content, EventFinish for each answer, EventUsage if
	// usage is known, EventEnd.
	ReadEvent(op Op, st *Reading, name, data []byte, events []Event) ([]Event, error)
	// AppendEvent appends the SSE events that tell e. After EventEnd, st.Terminal is the offset in what is returned
	// where the dialect's terminal event begins (the end, where it has none), and what was appended for EventUsage is
	// of use only to clients that asked for usage.
	AppendEvent(dst []byte, op Op, st *Writing, e *Event) []byte
}

// Embedder carries requests for vectors, and their answers, between one dialect and the model.
type Embedder interface {
	// ReadEmbedding reads a request into e, which is reset first. It may wrap ErrInexpressible.
	ReadEmbedding(op Op, body []byte, e *Embedding) error
	// AppendEmbedding appends the request of the dialect's operation EmbedOp; it wraps ErrInexpressible where the
	// dialect has none.
	AppendEmbedding(dst []byte, e *Embedding, model string) ([]byte, FieldSet, error)
	// ReadVectors reads a whole answer of EmbedOp into v, which is reset first.
	ReadVectors(op Op, body []byte, v *Vectors) error
	// AppendVectors appends the answer of an operation. asked is what the client asked for; model its name.
	AppendVectors(dst []byte, op Op, v *Vectors, asked *Embedding, model string) ([]byte, error)
}

// Paths says where a dialect's operations and models are.
type Paths interface {
	// AppendPath appends the path, below a provider's base URL, at which an operation of the dialect is asked for.
	AppendPath(dst []byte, op Op, model string, stream bool) []byte
	// Param is a parameter of the catalog, which names it as OpenAI does, in the words of an operation: the name of
	// the member that holds it ("generationConfig.temperature" for a member within another), and its value. A name
	// that only the dialect itself has stays; "" means that the operation has no word for it.
	Param(op Op, key string, value Raw) (name string, out Raw)
	// AppendModel appends one model as GET of its path tells it: created in seconds since 1970.
	AppendModel(dst []byte, name string, created int64) []byte
	// AppendModels appends the list of all models.
	AppendModels(dst []byte, names []string, created int64) []byte
	// AppendCount appends the answer of an operation that counts tokens.
	AppendCount(dst []byte, op Op, tokens int64) []byte
}

// Codec is everything about one dialect but the rewriting of its answers. It holds no state.
type Codec interface {
	Answers
	Errors
	Prompts
	Translator
	Embedder
	Paths
}

// Reading is what a Translator keeps of one stream that it reads. The zero value is ready; it is meant to be pooled.
type Reading struct {
	Own interface{ Reset() } // the dialect's, which makes it
}

// Reset makes st ready for another stream.
func (st *Reading) Reset() {
	if st.Own != nil {
		st.Own.Reset()
	}
}

// Writing is what a Translator keeps of one stream that it writes. The zero value is ready; it is meant to be pooled.
type Writing struct {
	Stream   Stream // as Event would have it: what a terminal error needs
	Terminal int
	Own      interface{ Reset() } // the dialect's, which makes it
}

// Reset makes st ready for another stream.
func (st *Writing) Reset() {
	st.Stream, st.Terminal = Stream{}, 0
	if st.Own != nil {
		st.Own.Reset()
	}
}

// ChatOp is the operation by which a dialect is asked for what a Chat says.
func (d ID) ChatOp() Op { return [...]Op{OpChat, OpMessages, OpGenerate}[d] }

// EmbedOp is the operation by which a dialect is asked for vectors; OpOther where it has none.
func (d ID) EmbedOp() Op { return [...]Op{OpEmbeddings, OpOther, OpBatchEmbed}[d] }
