package gemini

import (
	"fmt"
	"slices"

	"github.com/wedge-proxy/wedge/internal/jsonedit"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// Rewriter edits the text of answers for one client. A Text is of one candidate, up to the next part that is no text:
// what follows a thought, a call or a picture is a Text anew. To editors it tells why an answer ended in the words of
// OpenAI's chat API, as they tell it. It holds nothing; its zero value is ready.
type Rewriter struct{}

var _ dialect.Rewriter = Rewriter{}

// rewriting is what is kept of one stream.
type rewriting struct {
	dialect.Asker
	choices []liveChoice
	origin  []byte // the members that tell where the answer comes from, with a comma before each
	begun   bool   // the origin is known
	usage   []byte // the latest usageMetadata

	parts   []part           // of the candidate in hand
	patches jsonedit.Patches // of the event in hand
	lines   []byte           // data of several lines
	finish  []byte           // why the candidate in hand ended, for the editor
	joined  []byte           // a text of several parts
}

// liveChoice is a candidate of a stream.
type liveChoice struct {
	index                int64
	asked, open, changed bool // the editor saw a text, saw one without its end, changed one
	called, ended        bool
}

// Reset makes s ready for another stream. It keeps buffers of ordinary size.
func (s *rewriting) Reset() {
	asker, patches := s.Asker, s.patches
	asker.Reset()
	patches.Reset()
	*s = rewriting{
		Asker: asker, choices: kept(s.choices), origin: kept(s.origin), usage: kept(s.usage), parts: kept(s.parts),
		patches: patches, lines: kept(s.lines), finish: kept(s.finish), joined: kept(s.joined),
	}
}

// kept is s without elements, or nil if it is larger than is worth keeping.
func kept[T any](s []T) []T {
	if cap(s) > keptBytes {
		return nil
	}
	return s[:0]
}

// choice is the candidate with that index, a new one if there is none; nil if there are too many.
func (s *rewriting) choice(index int64) *liveChoice {
	for i := range s.choices {
		if s.choices[i].index == index {
			return &s.choices[i]
		}
	}
	if len(s.choices) >= most {
		return nil
	}
	s.choices = append(s.choices, liveChoice{index: index})
	return &s.choices[len(s.choices)-1]
}

// rewriter is one call of a Rewriter.
type rewriter struct {
	*rewriting
	editor dialect.Editor
	dst    []byte
	data   []byte // of the event in hand, or the whole answer
	atOnce bool   // it is the whole
}

// AppendEvents implements dialect.Rewriter.
func (Rewriter) AppendEvents(dst, events []byte, op dialect.Op, st *dialect.Rewriting, e dialect.Editor) ([]byte, bool, error) {
	if op != dialect.OpGenerate {
		return append(dst, events...), false, nil
	}
	s, ok := st.Own.(*rewriting)
	if !ok {
		s = new(rewriting)
		st.Own = s
	}
	w := rewriter{rewriting: s, editor: e, dst: dst}
	for len(events) > 0 && !s.Stopped {
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
	return w.dst, s.Stopped, nil
}

// event edits one event, and appends it and what it brings with it.
func (w *rewriter) event(event []byte) error {
	var name []byte
	name, w.data, w.lines = stream.Fields(event, w.lines)
	if len(w.data) == 0 {
		w.dst = append(w.dst, event...)
		return nil
	}
	w.patches.Reset()
	if !w.begun {
		w.keepOrigin()
	}
	ok := w.editAll()
	switch {
	case w.Err != nil:
		return w.Err
	case !ok:
		return fmt.Errorf("%w: an event of the %s stream cannot be edited", dialect.ErrMalformed, dialect.OpGenerate)
	}
	w.dst = w.patches.AppendEvent(w.dst, event, name, w.data)
	if w.Stopped {
		w.end()
	}
	return nil
}

// keepOrigin keeps what the events that are added repeat.
func (w *rewriter) keepOrigin() {
	f := fields(w.data)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "modelVersion", "model_version", "responseId", "response_id", "createTime", "create_time":
			w.origin = append(append(append(w.origin, `,"`...), k...), `":`...)
			w.origin = append(w.origin, v...)
			w.begun = true
		}
	}
	jsonedit.OneLine(w.origin)
}

// ask shows the editor a text of the candidate, given as written. It returns the edit.
func (w *rewriter) ask(c *liveChoice, written []byte, last bool) dialect.Edit {
	t := dialect.Text{Choice: int(c.index), Bytes: written, First: !c.open, Last: last}
	if last {
		t.Finish = w.finish
	}
	e := w.Ask(w.editor, t)
	c.asked, c.open, c.changed = true, !last, c.changed || e.Replace
	return e
}

// edit edits a candidate of an event, and reports whether there is room for it.
func (w *rewriter) edit(d *candidate) bool {
	c := w.choice(d.index)
	if c == nil {
		return false
	}
	if w.Stopped { // by another candidate of this event
		w.cutParts(d, 0)
		c.ended = c.ended || d.ends
		return true
	}
	var slot jsonedit.Extent // an empty text where a text can be put in that comes after all
	cut := len(w.parts)
	for i := 0; i < len(w.parts) && !w.Stopped && w.Err == nil; i++ {
		p := &w.parts[i]
		switch text := p.text.Inside(w.data); {
		case p.kind == markPart:
		case p.kind != textPart:
			c.called = c.called || p.kind == callPart
			w.endText(c, d, slot)
			slot, cut = jsonedit.Extent{}, i
		case len(text) == 0:
			slot = p.text
		default:
			w.change(c, d, p.text, text, w.endsAfter(i, d))
			slot, cut = jsonedit.Extent{}, i+1
		}
	}
	if !w.Stopped {
		if cut = len(w.parts); d.ends && (c.open || !c.asked) && w.Err == nil {
			w.setFinish(c, d)
			w.askLast(c, d, slot)
		}
	}
	c.ended = c.ended || d.ends
	if w.Stopped {
		w.cutParts(d, cut)
		w.putFinish(d)
	}
	w.hide(c, d)
	return true
}

// setFinish notes for the editor why the candidate ended, if it did.
func (w *rewriter) setFinish(c *liveChoice, d *candidate) {
	if w.finish = w.finish[:0]; d.ends {
		w.finish = appendFinish(w.finish, d.finish.Of(w.data), c.called)
	}
}

// change shows the editor the text at e and puts in what it wants instead.
func (w *rewriter) change(c *liveChoice, d *candidate, e jsonedit.Extent, text []byte, last bool) {
	w.setFinish(c, d)
	if edit := w.ask(c, text, last); edit.Replace {
		w.patches.PutString(e, "", edit.Text, "")
		d.changed = true
	}
}

// endText ends the text that is open, if there is one.
func (w *rewriter) endText(c *liveChoice, d *candidate, slot jsonedit.Extent) {
	if c.open {
		w.setFinish(c, d)
		w.askLast(c, d, slot)
	}
}

// askLast asks for the last words of a text, which get the empty text at slot, or an event of their own.
func (w *rewriter) askLast(c *liveChoice, d *candidate, slot jsonedit.Extent) {
	switch e := w.ask(c, nil, true); {
	case !e.Replace:
	case slot.At > 0:
		w.patches.PutString(slot, "", e.Text, "")
		d.changed = true
	default:
		w.dst = appendTextPart(append(w.dst, `data: {"candidates":[{"content":{"parts":[`...), e.Text)
		w.dst = appendNumber(w.dst, `],"role":"model"},"index":`, c.index)
		w.dst = append(append(append(w.dst, "}]"...), w.origin...), eventEnd...)
	}
}

// endsAfter says that the text of part i is followed by another part, or is the last of the candidate.
func (w *rewriter) endsAfter(i int, d *candidate) bool {
	for _, p := range w.parts[i+1:] {
		switch {
		case p.kind == markPart:
		case p.kind != textPart:
			return true
		case p.text.End-p.text.At > 2:
			return false
		}
	}
	return d.ends
}

// cutParts removes the parts from the i-th on.
func (w *rewriter) cutParts(d *candidate, i int) {
	n := len(w.parts)
	if i >= n {
		return
	}
	from := d.parts.At + 1
	if i > 0 {
		from = w.parts[i-1].End
	}
	w.patches.Put(jsonedit.Extent{At: from, End: w.parts[n-1].End}, "")
}

// putFinish patches in why the candidate ended, if it did.
func (w *rewriter) putFinish(d *candidate) {
	if !d.ends {
		return
	}
	w.patches.PutString(d.finish, "", finishWord(w.Reason), "")
	if d.message.IsSet(w.data) {
		w.patches.Put(d.message, "null")
	}
}

// end ends the candidates that are open, if there are some.
func (w *rewriter) end() {
	if slices.ContainsFunc(w.choices, func(c liveChoice) bool { return !c.ended }) {
		w.endEvent()
	}
}

// endEvent adds the event that ends the candidates that are open, with the usage as far as it was told.
func (w *rewriter) endEvent() {
	w.dst = append(w.dst, `data: {"candidates":[`...)
	n := 0
	for i := range w.choices {
		c := &w.choices[i]
		if c.ended {
			continue
		}
		if n++; n > 1 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(w.dst, openParts+`{"text":""}`+shutParts+`,"finishReason":`...)
		w.dst = jsonscan.AppendString(w.dst, finishWord(w.Reason))
		w.dst = append(appendNumber(w.dst, `,"index":`, c.index), '}')
	}
	w.dst = append(w.dst, ']')
	if len(w.usage) > 0 {
		w.dst = append(append(w.dst, `,"usageMetadata":`...), w.usage...)
	}
	w.dst = append(append(w.dst, w.origin...), eventEnd...)
}

// appendFinish appends what OpenAI's chat API calls a finish reason.
func appendFinish(dst, reason []byte, called bool) []byte {
	switch finishOf(wordOf(reason), called) {
	case dialect.FinishStop:
		return append(dst, "stop"...)
	case dialect.FinishLength:
		return append(dst, "length"...)
	case dialect.FinishCalls:
		return append(dst, "tool_calls"...)
	case dialect.FinishFilter:
		return append(dst, "content_filter"...)
	}
	return append(dst, inside(reason)...)
}

// finishWord is the reverse of appendFinish. A word that nobody knows passes.
func finishWord(reason []byte) []byte {
	switch string(reason) {
	case "stop", "tool_calls":
		return []byte("STOP")
	case "length":
		return []byte("MAX_TOKENS")
	case "content_filter":
		return []byte("SAFETY")
	}
	return reason
}
