package anthropic

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// begin begins a call: at once if the open block can end, for which the arguments of an open call must be complete.
func (w *writing) begin(dst []byte, e *dialect.Event) []byte {
	w.last = e.Call
	w.calls++
	if w.open == callBlock && !w.call.object.closed() {
		w.hold(e)
		return dst
	}
	return w.openCall(w.settle(dst), e.Call, e.ID, e.Name)
}

// hold keeps a call for later, in a buffer that an earlier one left if there is one.
func (w *writing) hold(e *dialect.Event) {
	if n := len(w.queue); n < cap(w.queue) {
		w.queue = w.queue[:n+1]
	} else {
		w.queue = append(w.queue, heldCall{})
	}
	h := &w.queue[len(w.queue)-1]
	*h = heldCall{
		ordinal: e.Call, id: append(h.id[:0], e.ID...), name: append(h.name[:0], e.Name...), args: h.args[:0], signature: h.signature[:0],
	}
}

func (w *writing) openCall(dst []byte, ordinal int, id, name dialect.Written) []byte {
	w.open = callBlock
	w.call = liveCall{ordinal: ordinal, signature: w.call.signature[:0]}
	dst = appendToolUse(w.startBlock(dst), id, w.id, ordinal+1, name)
	return append(dst, ",\"input\":{}}}\n\n"...)
}

// grow writes a piece of the open call's arguments.
func (w *writing) grow(dst []byte, text dialect.Written) []byte {
	if len(text) == 0 {
		return dst
	}
	w.call.object.feed(text)
	return appendDelta(dst, w.index, "input_json_delta", "partial_json", text)
}

// args writes a piece of a call's arguments, or keeps it. A call that is complete makes room for those that wait.
func (w *writing) args(dst []byte, e *dialect.Event) []byte {
	if w.open == callBlock && w.call.ordinal == e.Call {
		dst = w.grow(dst, e.Text)
		for len(w.queue) > 0 && w.call.object.closed() {
			dst = w.next(dst)
		}
		if len(w.queue) == 0 && w.call.object.closed() {
			dst = w.tellLate(dst)
		}
		return dst
	}
	for i := range w.queue {
		if w.queue[i].ordinal == e.Call {
			w.queue[i].args = append(w.queue[i].args, e.Text...)
		}
	}
	return dst
}

// sign keeps the signature of the call that began last, until its block ends; false if it has ended.
func (w *writing) sign(e *dialect.Event) bool {
	if w.open == callBlock && w.call.ordinal == w.last {
		w.call.signature = dialect.AppendSignature(w.call.signature[:0], dialect.Anthropic, e.Signature, e.Signer)
		return true
	}
	for i := range w.queue {
		if h := &w.queue[i]; h.ordinal == w.last {
			h.signature = dialect.AppendSignature(h.signature[:0], dialect.Anthropic, e.Signature, e.Signer)
			return true
		}
	}
	return false
}

// braces follows the text of a JSON object, written inside a string, to its end.
type braces struct {
	depth                  int
	begun, quoted, escaped bool
}

func (b *braces) closed() bool { return b.begun && b.depth <= 0 }

func (b *braces) feed(text dialect.Written) {
	for i := 0; i < len(text); {
		ch := text[i]
		if ch == '\\' {
			r, n := jsonscan.Unescape(text[i:])
			ch = byte(min(r, 0x7f))
			i += n
		} else {
			i++
		}
		switch {
		case b.escaped:
			b.escaped = false
		case b.quoted:
			b.quoted, b.escaped = ch != '"', ch == '\\'
		case ch == '"':
			b.quoted = true
		case ch == '{', ch == '[':
			b.begun = true
			b.depth++
		case ch == '}', ch == ']':
			b.depth--
		}
	}
}
