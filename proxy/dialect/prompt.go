package dialect

import "errors"

// ErrNoPlace is wrapped by the error of an edit that a request has no place for: the embeddings API has no system
// text, a message that is not there has none either.
var ErrNoPlace = errors.New("the request has no place for it")

// Prompt is what a request asks, in the words of no dialect. Texts are decoded: without JSON's escapes, a message's
// text parts joined by a line feed.
type Prompt struct {
	System      []byte // system and developer messages, or instructions, joined by a line feed
	LastUser    []byte // text of the last message of the user, the prompt, or the last input
	Messages    int    // how many; a plain prompt or input counts as one
	Tools       int
	MaxTokens   int64   // 0 where the client is silent
	Temperature float64 // NaN where the client is silent
	Images      bool    // a message holds an image, by value or by URL
	JSONOutput  bool    // response_format or text.format asks for JSON
	PrefixHash  uint64  // xxhash of the raw bytes of the system messages and the tools, 0 without both
	TextBytes   int     // bytes of all texts, the measure of an estimate

	Scratch []byte // where decoded texts lie; kept between uses
}

// Prompts reads and edits the requests of one dialect. bodies are valid JSON objects; implementations hold no state.
type Prompts interface {
	// ReadPrompt fills in p; its texts point into body or p.Scratch. It allocates nothing once Scratch has grown.
	ReadPrompt(op Op, body []byte, p *Prompt)

	// Every edit appends the whole edited body to dst, changed at that place only, text escaped rightly.

	// AppendSystem puts text before the system text, as a message or instruction of its own kind where there is
	// none, or in place of all of it.
	AppendSystem(dst, body []byte, op Op, replace bool, text []byte) ([]byte, error)
	// AppendMessage replaces the text of message i; parts that are not text (images) stay.
	AppendMessage(dst, body []byte, op Op, i int, text []byte) ([]byte, error)
	// AppendMaxTokens sets the operation's own limit of output tokens, under the name that the body uses.
	AppendMaxTokens(dst, body []byte, op Op, n int64) ([]byte, error)

	// AppendAnswer appends a whole answer that says text, as a provider of the dialect would: id and model are the
	// answer's own, created in seconds since 1970.
	AppendAnswer(dst []byte, op Op, id, model string, created int64, text []byte) ([]byte, error)
}

// Text is a piece of an answer's text on its way to one client.
type Text struct {
	Choice      int    // index of the choice, or of the output item; each text part of an item is First and Last anew
	Bytes       []byte // decoded, good for the call; empty with Last where the last text came before the end
	First, Last bool   // of the choice
	Finish      []byte // the finish reason, with Last, where the dialect tells it by then
}

// Edit says what becomes of a Text.
type Edit struct {
	Replace bool
	Text    []byte // with Replace, good until the next call; empty drops the text
	Stop    bool   // the answer ends well after this text
	Reason  []byte // with Stop: the finish reason; empty means stop
}

// Editor is asked for every piece of text, in order. An error ends the rewriting.
type Editor interface {
	EditText(t *Text) (Edit, error)
}

// Rewriter rewrites the answers of one dialect for one client. What no edit changed keeps its bytes; what would tell
// a changed text, such as its tokens' probabilities, is dropped with it. Answers that are no text pass as they are.
// It is no Answers at the same time, whose AppendWhole is another.
type Rewriter interface {
	// AppendWhole appends a whole answer with the text of each of its choices edited, each as one Text that is
	// First and Last. Stop sets the finish reason. Nothing is appended with an error.
	AppendWhole(dst, body []byte, op Op, e Editor) ([]byte, error)
	// AppendEvents appends whole SSE events of one stream, edited. A Text that is Last may be replaced, too:
	// what it says is sent before the choice's end. After a Stop it appends the dialect's own good end for the rest
	// of the answer (finish reasons, terminal event), and tells so by ended: nothing of the stream may follow, and
	// later calls append nothing. With an error it appends the events before the one at fault.
	AppendEvents(dst, events []byte, op Op, st *Rewriting, e Editor) (out []byte, ended bool, err error)
}

// Rewriting is what a Rewriter keeps of one stream. The zero value is ready; it is meant to be pooled.
type Rewriting struct {
	Own interface{ Reset() } // the dialect's, which makes it
}

// Reset makes st ready for another stream. It keeps buffers of ordinary size.
func (st *Rewriting) Reset() {
	if st.Own != nil {
		st.Own.Reset()
	}
}
