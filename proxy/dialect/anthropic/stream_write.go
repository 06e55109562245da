package anthropic

import (
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// writing is what is kept of one stream that is written. Blocks follow one another: what is told of a later call while
// one is open waits.
type writing struct {
	begun  bool
	index  int       // of the open block, or of the next
	open   blockKind // otherBlock: none
	call   liveCall
	calls  int // so far
	queue  []heldCall
	late   []byte // text that came before the arguments of the open call had ended
	latest bool   // the event before was of a call
	last   int    // the ordinal of the call that began last

	id, refusal, sequence []byte
	finish                dialect.Finish
	usage                 dialect.Usage
}

// liveCall is the call whose block is open.
type liveCall struct {
	ordinal   int
	object    braces
	signature []byte // as it is shown; written behind the block
}

// heldCall is a call that waits.
type heldCall struct {
	ordinal                   int
	id, name, args, signature []byte
}

const keptBytes = 64 << 10

// Reset makes the state ready for another stream. It keeps buffers of ordinary size.
func (w *writing) Reset() {
	queue := w.queue[:cap(w.queue)]
	for i := range queue {
		if cap(queue[i].args) > keptBytes {
			queue[i].args = nil
		}
	}
	*w = writing{
		queue: queue[:0], late: w.late[:0], id: w.id[:0], refusal: w.refusal[:0], sequence: w.sequence[:0],
		call: liveCall{signature: w.call.signature[:0]},
	}
}

// AppendEvent implements dialect.Translator. Why the message ended, and what it used, stand in one event at the end.
func (Codec) AppendEvent(dst []byte, op dialect.Op, st *dialect.Writing, e *dialect.Event) []byte {
	if op != dialect.OpMessages || e.Answer != 0 {
		return dst
	}
	w, ok := st.Own.(*writing)
	if !ok {
		w = new(writing)
		st.Own = w
	}
	st.Stream.Events++
	if !w.begun {
		w.begun = true
		dst = w.start(dst, e)
	}
	switch e.Kind {
	case dialect.EventText, dialect.EventThinking, dialect.EventHidden, dialect.EventCall, dialect.EventArgs, dialect.EventSignature:
		st.Stream.Content, st.Stream.Choices = true, 1
		return w.content(dst, e)
	case dialect.EventRefusal:
		w.refusal = append(w.refusal, e.Text...)
	case dialect.EventFinish:
		w.finish = e.Finish
		w.sequence = append(w.sequence[:0], e.Sequence...)
		st.Stream.Choices, st.Stream.Ended, st.Stream.Finished = 1, 1, true
		return w.settle(w.tellLate(w.settle(dst)))
	case dialect.EventUsage:
		w.usage, st.Stream.Usage = e.Usage, e.Usage
	case dialect.EventEnd:
		dst = w.end(w.settle(dst))
		st.Terminal = len(dst)
		return append(dst, messageStop...)
	}
	return dst
}

func (w *writing) start(dst []byte, e *dialect.Event) []byte {
	if e.Kind != dialect.EventStart {
		e = &dialect.Event{}
	}
	w.id = append(w.id[:0], e.ID...)
	w.usage = e.Usage
	dst = append(dst, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"...)
	dst = appendMessageHead(dst, e.ID, e.Model)
	dst = append(dst, `],"stop_reason":null,"stop_sequence":null,"stop_details":null,"container":null,"diagnostics":null,"usage":`...)
	return append(appendUsage(dst, &e.Usage), "}}\n\n"...)
}

func (w *writing) end(dst []byte) []byte {
	dst = append(dst, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"...)
	dst = appendEnding(dst, w.finish, w.sequence, w.refusal, w.calls > 0)
	dst = appendUsage(append(dst, `,"container":null},"usage":`...), &w.usage)
	return append(dst, "}\n\n"...)
}

func (w *writing) content(dst []byte, e *dialect.Event) []byte {
	behind := w.latest
	w.latest = e.Kind == dialect.EventCall || e.Kind == dialect.EventArgs
	switch e.Kind {
	case dialect.EventText:
		switch {
		case len(e.Text) == 0:
		case w.open == callBlock && !w.call.object.closed() || len(w.queue) > 0:
			w.late = append(w.late, e.Text...)
		default:
			dst = appendDelta(w.enter(dst, textBlock), w.index, "text_delta", "text", e.Text)
		}
	case dialect.EventThinking:
		if len(e.Text) > 0 {
			dst = appendDelta(w.enter(dst, thinkingBlock), w.index, "thinking_delta", "thinking", e.Text)
		}
	case dialect.EventCall:
		dst = w.begin(dst, e)
	case dialect.EventArgs:
		dst = w.args(dst, e)
	case dialect.EventSignature:
		switch {
		case w.open == thinkingBlock:
			dst = appendNumber(dst, deltaHead, int64(w.index))
			dst = append(dst, `,"delta":{"type":"signature_delta","signature":"`...)
			dst = append(dialect.AppendSignature(dst, dialect.Anthropic, e.Signature, e.Signer), "\"}}\n\n"...)
			dst = w.stop(dst)
		case behind && w.sign(e):
		default:
			dst = w.hidden(w.settle(dst), e)
		}
	case dialect.EventHidden:
		dst = w.hidden(w.settle(dst), e)
	}
	return dst
}

// tellLate writes the text that waited for a call's arguments.
func (w *writing) tellLate(dst []byte) []byte {
	if len(w.late) == 0 {
		return dst
	}
	dst = appendDelta(w.enter(dst, textBlock), w.index, "text_delta", "text", w.late)
	w.late = w.late[:0]
	return dst
}

// enter makes the open block one of a text or of a thought.
func (w *writing) enter(dst []byte, kind blockKind) []byte {
	if w.open == kind {
		return dst
	}
	dst = w.settle(dst)
	w.open = kind
	if kind == textBlock {
		return append(w.startBlock(dst), "{\"type\":\"text\",\"text\":\"\",\"citations\":null}}\n\n"...)
	}
	return append(w.startBlock(dst), "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n"...)
}

func (w *writing) startBlock(dst []byte) []byte {
	dst = appendNumber(dst, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":", int64(w.index))
	return append(dst, `,"content_block":`...)
}

// hidden writes reasoning that only its signer can read, as a block of its own.
func (w *writing) hidden(dst []byte, e *dialect.Event) []byte {
	dst = append(appendHidden(w.startBlock(dst), e.Signature, e.Signer), "}\n\n"...)
	return w.stop(dst)
}

func (w *writing) stop(dst []byte) []byte {
	dst = appendBlockStop(dst, w.index)
	w.index, w.open = w.index+1, otherBlock
	return dst
}

// settle ends the open block, and writes every call that waits.
func (w *writing) settle(dst []byte) []byte {
	for w.open != otherBlock {
		dst = w.next(dst)
	}
	return dst
}

// next ends the open block and opens that of the first call that waits, if there is one.
func (w *writing) next(dst []byte) []byte {
	call := w.open == callBlock
	dst = w.stop(dst)
	if call && len(w.call.signature) > 0 {
		dst = append(w.startBlock(dst), `{"type":"redacted_thinking","data":"`...)
		dst = append(append(dst, w.call.signature...), "\"}}\n\n"...)
		dst = w.stop(dst)
	}
	if len(w.queue) == 0 {
		return dst
	}
	held := w.queue[0]
	copy(w.queue, w.queue[1:])
	w.queue[len(w.queue)-1] = heldCall{id: held.id, name: held.name, args: held.args, signature: held.signature} // for its buffers
	w.queue = w.queue[:len(w.queue)-1]
	dst = w.openCall(dst, held.ordinal, held.id, held.name)
	w.call.signature = append(w.call.signature, held.signature...)
	return w.grow(dst, held.args)
}
