package anthropic

import (
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonedit"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// Rewriter edits the text of messages for one client: a Text is of one content block, by whose index it is known. To
// editors it tells why a message ended in the words of OpenAI's chat API, as they tell it. It holds nothing; its zero
// value is ready.
type Rewriter struct{}

var _ dialect.Rewriter = Rewriter{}

// rewriting is what is kept of one stream.
type rewriting struct {
	dialect.Asker
	blocks []liveBlock
	usage  dialect.Usage
	told   bool // why the message ended

	memo   dialect.Memo // the latest event that told a text and nothing else
	latest int64        // the index of its block

	patches jsonedit.Patches // of the event in hand
	lines   []byte           // data of several lines
	finish  []byte           // why the message ended, for the editor
}

// liveBlock is a content block of a stream.
type liveBlock struct {
	index                int64
	open, text           bool
	begun, ended, edited bool // the editor saw a text, saw the last, changed one
}

// Reset makes s ready for another stream. It keeps buffers of ordinary size.
func (s *rewriting) Reset() {
	asker, patches := s.Asker, s.patches
	asker.Reset()
	patches.Reset()
	*s = rewriting{Asker: asker, blocks: kept(s.blocks), patches: patches, lines: kept(s.lines), finish: kept(s.finish)}
}

// kept is s without elements, or nil if it is larger than is worth keeping.
func kept[T any](s []T) []T {
	if cap(s) > keptBytes {
		return nil
	}
	return s[:0]
}

// block is the block with that index, a new one if there is none; nil if there are too many.
func (s *rewriting) block(index int64) *liveBlock {
	for i := len(s.blocks) - 1; i >= 0; i-- {
		if s.blocks[i].index == index {
			return &s.blocks[i]
		}
	}
	if len(s.blocks) >= most {
		return nil
	}
	s.blocks = append(s.blocks, liveBlock{index: index})
	return &s.blocks[len(s.blocks)-1]
}

// rewriter is one call of a Rewriter.
type rewriter struct {
	*rewriting
	editor dialect.Editor
	dst    []byte
	data   []byte // of the event in hand, or the whole answer
}

// AppendEvents implements dialect.Rewriter.
func (Rewriter) AppendEvents(dst, events []byte, op dialect.Op, st *dialect.Rewriting, e dialect.Editor) ([]byte, bool, error) {
	if op != dialect.OpMessages {
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
	send, ok := true, true
	if w.memo.Same(w.data) {
		text := jsonedit.Extent{At: int(w.memo.Head) - 1, End: len(w.data) - int(w.memo.Tail) + 1}
		ok = w.piece(w.latest, text)
	} else {
		send, ok = w.typed(name)
	}
	switch {
	case w.Err != nil:
		return w.Err
	case !ok:
		return fmt.Errorf("%w: an event of the %s stream cannot be edited", dialect.ErrMalformed, dialect.OpMessages)
	}
	if send {
		w.dst = w.patches.AppendEvent(w.dst, event, name, w.data)
	}
	if w.Stopped {
		w.end()
	}
	return nil
}

// typed edits an event by its type. It reports whether it is to be sent, and whether it can be edited.
func (w *rewriter) typed(name []byte) (send, ok bool) {
	p := eventParts{usage: w.usage}
	p.read(w.data, name)
	if p.Bad {
		return false, false
	}
	w.usage = p.usage
	switch p.kind {
	case blockStart:
		return true, w.start(&p)
	case blockDelta:
		return w.delta(&p)
	case blockStop:
		b := w.block(p.index)
		if b == nil {
			return false, false
		}
		w.endText(b)
		b.open = false
	case messageDelta:
		w.messageDelta(&p)
	case messageEnd:
		w.flush()
		return !w.Stopped, true // or end sends it
	}
	return true, true
}

// start begins a block. Some servers put a text into it already.
func (w *rewriter) start(p *eventParts) bool {
	b := w.block(p.index)
	if b == nil {
		return false
	}
	*b = liveBlock{index: p.index, open: true, text: p.textual}
	if b.text && len(p.text.Inside(w.data)) > 0 {
		w.change(b, p.text)
		if b.edited && p.citations.IsSet(w.data) {
			w.patches.Put(p.citations, "null")
		}
	}
	return true
}

// delta edits what a block goes on with. Citations of a text that was changed are not sent.
func (w *rewriter) delta(p *eventParts) (send, ok bool) {
	if p.cites {
		b := w.block(p.index)
		return b == nil || !b.edited, true
	}
	text := p.text.Inside(w.data)
	if !p.textual || len(text) == 0 {
		return true, true
	}
	if jsonscan.Span(text, 0) == len(text) {
		w.memo.Keep(w.data, p.text.At+1, len(text))
		w.latest = p.index
	}
	return true, w.piece(p.index, p.text)
}

// piece edits a piece of a block's text.
func (w *rewriter) piece(index int64, text jsonedit.Extent) bool {
	b := w.block(index)
	if b == nil {
		return false
	}
	b.text = true
	w.change(b, text)
	return true
}

// change shows the editor the piece of text at e and puts in what it wants instead.
func (w *rewriter) change(b *liveBlock, e jsonedit.Extent) {
	if edit := w.ask(b, e.Inside(w.data), false, nil); edit.Replace {
		w.patches.PutString(e, "", edit.Text, "")
	}
}

// ask shows the editor a text of the block, given as written.
func (w *rewriter) ask(b *liveBlock, written []byte, last bool, finish []byte) dialect.Edit {
	e := w.Ask(w.editor, dialect.Text{Choice: int(b.index), Bytes: written, First: !b.begun, Last: last, Finish: finish})
	b.begun, b.ended, b.edited = true, b.ended || last, b.edited || e.Replace
	return e
}

// endText asks for the last words of a block, which get an event of their own.
func (w *rewriter) endText(b *liveBlock) {
	if !b.text || b.ended {
		return
	}
	if e := w.ask(b, nil, true, w.finish); e.Replace {
		w.dst = appendNumber(w.dst, deltaHead, b.index)
		w.dst = jsonscan.AppendString(append(w.dst, `,"delta":{"type":"text_delta","text":`...), e.Text)
		w.dst = append(w.dst, "}}\n\n"...)
	}
}

// flush ends the texts that the provider left open at the end of the message.
func (w *rewriter) flush() {
	for i := range w.blocks {
		if !w.Stopped && w.Err == nil {
			w.endText(&w.blocks[i])
		}
	}
}

// messageDelta edits the event that tells why the message ended.
func (w *rewriter) messageDelta(p *eventParts) {
	w.finish = appendFinish(w.finish[:0], p.ends[stopReasonAt].Inside(w.data))
	w.flush()
	if w.Stopped && p.ends[stopReasonAt].At > 0 {
		w.closeBlocks()
		w.putEnd(p.ends)
		w.told = true
	}
}

// putEnd patches in why the message ended.
func (w *rewriter) putEnd(ends [3]jsonedit.Extent) {
	w.patches.PutString(ends[stopReasonAt], "", stopWord(w.Reason), "")
	for _, e := range ends[stopReasonAt+1:] {
		if e.IsSet(w.data) {
			w.patches.Put(e, "null")
		}
	}
}

// closeBlocks ends the blocks that are open.
func (w *rewriter) closeBlocks() {
	for i := range w.blocks {
		if b := &w.blocks[i]; b.open {
			w.dst = appendBlockStop(w.dst, int(b.index))
			b.open = false
		}
	}
}

// end ends the message, with the usage as far as it was told.
func (w *rewriter) end() {
	if !w.told {
		w.closeBlocks()
		w.dst = append(w.dst, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"...)
		w.dst = jsonscan.AppendString(w.dst, stopWord(w.Reason))
		w.dst = append(w.dst, `,"stop_sequence":null,"stop_details":null,"container":null},"usage":`...)
		w.dst = append(appendUsage(w.dst, &w.usage), "}\n\n"...)
	}
	w.dst = append(w.dst, messageStop...)
}

// appendFinish appends what OpenAI's chat API calls a stop reason.
func appendFinish(dst, reason []byte) []byte {
	switch finishOf(reason) {
	case dialect.FinishStop, dialect.FinishSequence:
		return append(dst, "stop"...)
	case dialect.FinishLength:
		return append(dst, "length"...)
	case dialect.FinishCalls:
		return append(dst, "tool_calls"...)
	case dialect.FinishRefusal:
		return append(dst, "content_filter"...)
	}
	return append(dst, reason...)
}

// stopWord is the reverse of appendFinish. A word that nobody knows passes.
func stopWord(reason []byte) []byte {
	switch string(reason) {
	case "stop":
		return []byte("end_turn")
	case "length":
		return []byte("max_tokens")
	case "tool_calls":
		return []byte("tool_use")
	case "content_filter":
		return []byte("refusal")
	}
	return reason
}
