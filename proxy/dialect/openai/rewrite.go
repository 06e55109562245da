package openai

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// Rewriter edits the text of answers of chat/completions, completions and responses for one client. It holds
// nothing; its zero value is ready.
type Rewriter struct{}

var _ dialect.Rewriter = Rewriter{}

// answersText says whether the operation's answers are text.
func answersText(op dialect.Op) bool {
	return op == dialect.OpChat || op == dialect.OpCompletions || op == dialect.OpResponses
}

// rewriting is what is kept of one stream.
type rewriting struct {
	choices []rewritten
	head    []byte // of chunks: the members that all repeat, a comma behind each; of responses: the response object
	items   []byte // of responses: the finished items as sent, a comma before each but the first
	shape   shape
	added   int64 // events that the provider did not number
	next    int64 // the number that an event added now gets
	stopped bool
	reason  []byte // with stopped

	text    dialect.Text // the editor's
	decoded []byte
	lines   []byte // data of several lines

	patches []patch // of the data in hand
	texts   []byte  // what patches put in
}

// rewritten is one choice, or one text part of an output item.
type rewritten struct {
	index, part           int64
	begun, ended, changed bool
	sent                  []byte // of responses: all text so far, as the inside of a JSON string
	item                  []byte // of responses: the item's id as a JSON string
	done                  int    // of responses: how many of the part's closing events have been sent
}

// patch puts texts[from:to] in the place of a value.
type patch struct {
	extent
	from, to int
}

// keptMost bounds each buffer that is kept for the next stream.
const keptMost = 64 << 10

// Reset makes s ready for another stream.
func (s *rewriting) Reset() {
	choices := s.choices[:cap(s.choices)]
	if len(choices) > 16 {
		choices = nil
	}
	for i := range choices {
		choices[i] = rewritten{sent: kept(choices[i].sent), item: kept(choices[i].item)}
	}
	*s = rewriting{
		choices: choices[:0], head: kept(s.head), items: kept(s.items), reason: kept(s.reason), decoded: kept(s.decoded),
		lines: kept(s.lines), patches: s.patches[:0], texts: kept(s.texts), shape: shape{around: kept(s.shape.around)},
	}
}

func kept(b []byte) []byte {
	if cap(b) > keptMost {
		return nil
	}
	return b[:0]
}

// choice returns the choice with that index (and part), a new one if there is none; nil if there are too many.
func (s *rewriting) choice(index, part int64) *rewritten {
	for i := range s.choices {
		if c := &s.choices[i]; c.index == index && c.part == part {
			return c
		}
	}
	n := len(s.choices)
	switch {
	case n >= most:
		return nil
	case n < cap(s.choices):
		s.choices = s.choices[:n+1]
	default:
		s.choices = append(s.choices, rewritten{})
	}
	c := &s.choices[n]
	*c = rewritten{index: index, part: part, sent: c.sent[:0], item: c.item[:0]}
	return c
}

// rewriter is one call of a Rewriter.
type rewriter struct {
	*rewriting
	op     dialect.Op
	editor dialect.Editor
	dst    []byte
	data   []byte // of the event in hand, or the whole answer
	finish []byte // why the whole answer ended
	err    error  // the editor's
}

// AppendEvents implements dialect.Rewriter.
func (Rewriter) AppendEvents(dst, events []byte, op dialect.Op, st *dialect.Rewriting, e dialect.Editor) ([]byte, bool, error) {
	if !answersText(op) {
		return append(dst, events...), false, nil
	}
	s, ok := st.Own.(*rewriting)
	if !ok {
		s = new(rewriting)
		st.Own = s
	}
	w := rewriter{rewriting: s, op: op, editor: e, dst: dst}
	for len(events) > 0 && !s.stopped {
		n := stream.Next(events)
		if n == 0 {
			n = len(events)
		}
		whole := len(w.dst)
		if err := w.event(events[:n]); err != nil {
			return w.dst[:whole], false, err
		}
		events = events[n:]
	}
	return w.dst, s.stopped, nil
}

func (w *rewriter) event(event []byte) error {
	var name []byte
	name, w.data, w.lines = stream.Fields(event, w.lines)
	w.patches, w.texts = w.patches[:0], w.texts[:0]
	ok := true
	switch {
	case len(w.data) == 0:
	case isDone(w.data):
		w.flush()
	case w.op == dialect.OpResponses:
		ok = w.typedEvent(event, name)
		return w.fault(ok)
	default:
		ok = w.chunk()
	}
	if err := w.fault(ok); err != nil {
		return err
	}
	if !w.stopped || !isDone(w.data) {
		w.emit(event, name)
	}
	if w.stopped {
		w.finishChunks()
	}
	return nil
}

func (w *rewriter) fault(ok bool) error {
	if w.err == nil && !ok {
		return fmt.Errorf("%w: an event of the %s stream cannot be edited", dialect.ErrMalformed, w.op)
	}
	return w.err
}

// ask shows the editor a text of the choice, given as written. It returns the edit; Replace is set only where the
// text changes.
func (w *rewriter) ask(c *rewritten, written []byte, last bool, finish []byte) (e dialect.Edit) {
	text := written
	if bytes.IndexByte(written, '\\') >= 0 {
		w.decoded = jsonscan.AppendDecoded(w.decoded[:0], written)
		text = w.decoded
	}
	w.text = dialect.Text{Choice: int(c.index), Bytes: text, First: !c.begun, Last: last, Finish: finish}
	c.begun, c.ended = true, c.ended || last
	e, err := w.editor.EditText(&w.text)
	if err != nil {
		w.err = err
		return dialect.Edit{}
	}
	if e.Replace = e.Replace && string(e.Text) != string(text); e.Replace {
		c.changed = true
	}
	if e.Stop {
		w.stopped = true
		w.reason = append(w.reason[:0], e.Reason...)
		if len(e.Reason) == 0 {
			w.reason = append(w.reason, "stop"...)
		}
	}
	return e
}

// put patches text in at e.
func (w *rewriter) put(e extent, text string) {
	from := len(w.texts)
	w.texts = append(w.texts, text...)
	w.patches = append(w.patches, patch{e, from, len(w.texts)})
}

// putString patches text in at e as a JSON string.
func (w *rewriter) putString(e extent, text []byte) {
	from := len(w.texts)
	w.texts = jsonscan.AppendString(w.texts, text)
	w.patches = append(w.patches, patch{e, from, len(w.texts)})
}

// putWritten patches the string in at e whose inside is text.
func (w *rewriter) putWritten(e extent, text []byte) {
	from := len(w.texts)
	w.texts = append(append(append(w.texts, '"'), text...), '"')
	w.patches = append(w.patches, patch{e, from, len(w.texts)})
}

// appendPatched appends the data at e with its patches.
func (w *rewriter) appendPatched(dst []byte, e extent) []byte {
	slices.SortFunc(w.patches, func(a, b patch) int { return a.at - b.at })
	for _, p := range w.patches {
		if p.at >= e.at && p.end <= e.end {
			dst = append(append(dst, w.data[e.at:p.at]...), w.texts[p.from:p.to]...)
			e.at = p.end
		}
	}
	return append(dst, w.data[e.at:e.end]...)
}

// emit appends the event in hand, with its very bytes where nothing is patched.
func (w *rewriter) emit(event, name []byte) {
	all := extent{0, len(w.data)}
	if len(w.patches) == 0 {
		w.dst = append(w.dst, event...)
		return
	}
	if at := dataAt(event, w.data); at >= 0 {
		w.dst = w.appendPatched(append(w.dst, event[:at]...), all)
		w.dst = append(w.dst, event[at+len(w.data):]...)
		return
	}
	if len(name) > 0 {
		w.dst = append(append(append(w.dst, "event: "...), name...), '\n')
	}
	w.dst = append(w.dst, "data: "...)
	from := len(w.dst)
	w.dst = append(oneLine(w.appendPatched(w.dst, all), from), "\n\n"...)
}

// oneLine puts the JSON from b[from] on one line: within strings there are no line feeds.
func oneLine(b []byte, from int) []byte {
	for i := from; i < len(b); i++ {
		if b[i] == '\n' {
			b[i] = ' '
		}
	}
	return b
}

// dataAt is where in event the data begins, if that is the last line and the only one of its kind, and -1 if not.
func dataAt(event, data []byte) int {
	text := bytes.TrimRight(event, "\r\n")
	at := len(text) - len(data)
	if at < 0 || string(text[at:]) != string(data) || bytes.IndexByte(data, '\n') >= 0 {
		return -1
	}
	switch string(event[bytes.LastIndexAny(event[:at], "\r\n")+1 : at]) {
	case "data:", "data: ":
		return at
	}
	return -1
}

// value passes a value and returns where it is.
func value(c *jsonscan.Cursor) extent {
	c.Peek()
	at := c.I
	c.Skip()
	return extent{at, c.I}
}

// of is the value at e as written.
func (w *rewriter) of(e extent) []byte { return w.data[e.at:e.end] }

// inside is what stands between the quotes of the string at e, nil for every other value.
func (w *rewriter) inside(e extent) []byte {
	if v := w.of(e); isString(v) && len(v) > 1 {
		return v[1 : len(v)-1]
	}
	return nil
}
