package openai

import (
	"bytes"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// responseWriting is what is kept of a response that is written: all of it, since its last event repeats it.
type responseWriting struct {
	head    []byte // of the response object, up to its status
	suffix  []byte // of its items' ids
	items   []itemWriting
	calls   int
	refused bool
	finish  dialect.Finish
	usage   dialect.Usage
	scratch []byte
}

// itemWriting is an item of the output, as far as it has come.
type itemWriting struct {
	kind     itemKind
	index    int // in the output
	open     bool
	call     int    // the ordinal of the call
	json     []byte // the item up to here
	id, name extent // within json
	part     textKind
	parts    int    // that have begun
	text     int    // where in json the text of the open part begins
	logprobs []byte // of the open part, with commas between them

	signature []byte
	signer    dialect.ID
	signed    bool
}

// textKind is the kind of a text within an item.
type textKind uint8

const (
	noText textKind = iota
	saidText
	refusedText
	thoughtText
	argumentsText // which is no part of a list
)

const (
	keptItems     = 64
	keptItemBytes = 64 << 10
)

// Reset makes s ready for another response. It keeps buffers of ordinary size.
func (s *responseWriting) Reset() {
	if cap(s.items) > keptItems {
		s.items = nil
	}
	for i := range s.items {
		if it := &s.items[i]; cap(it.json)+cap(it.signature)+cap(it.logprobs) > keptItemBytes {
			*it = itemWriting{}
		}
	}
	if cap(s.scratch) > keptItemBytes {
		s.scratch = nil
	}
	*s = responseWriting{head: s.head[:0], suffix: s.suffix[:0], items: s.items[:0], scratch: s.scratch[:0]}
}

// responseWriter writes a response: its items into what is kept, and its events behind dst.
type responseWriter struct {
	*responseWriting
	dst []byte
	st  *dialect.Stream // nil: no events are told
}

const (
	responsePrefix = "resp_"
	suffixMost     = 48 // OpenAI takes ids of items of up to 64 bytes
)

// begin keeps what the response object begins with. An answer that does not tell when it was made was made at 0:
// codecs read no clock.
func (w *responseWriter) begin(id, model dialect.Written, created int64) {
	w.head = appendID(append(w.head[:0], `{"id":"`...), responsePrefix, id)
	w.head = strconv.AppendInt(append(w.head, `","object":"response","created_at":`...), created, 10)
	w.head = appendText(w.head, `,"model":`, model)
	id = bytes.TrimPrefix(id, []byte(responsePrefix))
	if len(id) > suffixMost || bytes.IndexByte(id, '\\') >= 0 {
		w.suffix = strconv.AppendUint(w.suffix[:0], xxhash.Sum64(id), 16)
	} else {
		w.suffix = append(w.suffix[:0], id...)
	}
}

// last is the last item, if it is of that kind and still open; else nil.
func (w *responseWriter) last(kind itemKind) *itemWriting {
	if n := len(w.items); n > 0 && w.items[n-1].open && w.items[n-1].kind == kind {
		return &w.items[n-1]
	}
	return nil
}

// add begins an item, with what its kind begins with. The item before it has come to its end, unless it is a call of
// which arguments are missing: calls may come at the same time.
func (w *responseWriter) add(kind itemKind, prefix, head string) *itemWriting {
	w.settle()
	w.items = extended(w.items)
	it := &w.items[len(w.items)-1]
	*it = itemWriting{kind: kind, index: len(w.items) - 1, open: true, json: it.json[:0], logprobs: it.logprobs[:0], signature: it.signature[:0]}
	it.json = append(append(it.json, `{"id":"`...), prefix...)
	it.id.at = len(it.json) - len(prefix)
	it.json = append(append(it.json, w.suffix...), '_')
	it.json = strconv.AppendInt(it.json, int64(it.index), 10)
	it.id.end = len(it.json)
	it.json = append(it.json, head...)
	return it
}

// settle ends the last item if nothing more can come to it.
func (w *responseWriter) settle() {
	n := len(w.items)
	if n == 0 || !w.items[n-1].open {
		return
	}
	it := &w.items[n-1]
	if it.kind == callItem {
		w.scratch = jsonscan.AppendDecoded(w.scratch[:0], it.json[it.text:])
		c := jsonscan.Cursor{B: w.scratch}
		if c.Peek() != '{' {
			return
		}
		if c.Skip(); !c.End() {
			return
		}
	}
	w.shut(it, false)
}

// say adds some of a text: to the part that is open if it is of that kind, else to a new one.
func (w *responseWriter) say(kind textKind, text dialect.Written) {
	if len(text) == 0 {
		return
	}
	it := w.place(kind)
	it.json = append(it.json, text...)
	w.tellDelta(it, text)
}

// place is the item to which a text goes, with a part for it open.
func (w *responseWriter) place(kind textKind) *itemWriting {
	var it *itemWriting
	if kind == thoughtText {
		if it = w.last(reasoningItem); it == nil || it.signed {
			it = w.think()
		}
	} else if it = w.last(messageItem); it == nil {
		it = w.add(messageItem, "msg_", `","type":"message","role":"assistant","content":[`)
		w.tellAdded(it)
	}
	if it.part != kind {
		w.shutText(it)
		w.beginText(it, kind)
		w.refused = w.refused || kind == refusedText
	}
	return it
}

// think begins an item of reasoning.
func (w *responseWriter) think() *itemWriting {
	it := w.add(reasoningItem, "rs_", `","type":"reasoning","summary":[`)
	w.tellAdded(it)
	return it
}

func (w *responseWriter) beginText(it *itemWriting, kind textKind) {
	if it.parts > 0 {
		it.json = append(it.json, ',')
	}
	it.parts++
	it.json = append(it.json, textForms[kind].open...)
	it.part, it.text, it.logprobs = kind, len(it.json), it.logprobs[:0]
	w.tellPart(it, ".added")
}

// shutText ends the open text of an item, if there is one. A call without arguments has none, which is an object, too.
func (w *responseWriter) shutText(it *itemWriting) {
	if it.part == noText {
		return
	}
	if it.part == argumentsText && it.text == len(it.json) {
		it.json = append(it.json, "{}"...)
		w.tellDelta(it, it.json[it.text:])
	}
	w.tellText(it)
	it.json = appendShut(it.json, it.part, it.logprobs)
	w.tellPart(it, ".done")
	it.part = noText
}

// shut ends an item.
func (w *responseWriter) shut(it *itemWriting, incomplete bool) {
	w.shutText(it)
	switch it.kind {
	case messageItem:
		it.json = appendStatus(append(it.json, ']'), incomplete)
	case callItem:
		if it.signed {
			it.json = appendCallSignature(append(it.json, ','), it.signature, it.signer)
		}
		it.json = appendStatus(it.json, incomplete)
	case reasoningItem:
		if it.json = append(it.json, ']'); it.signed {
			it.json = append(it.json, `,"encrypted_content":"`...)
			it.json = append(dialect.AppendSignature(it.json, dialect.OpenAI, it.signature, it.signer), '"')
		}
		it.json = append(it.json, '}')
	}
	it.open = false
	w.tellDone(it)
}

func appendStatus(dst []byte, incomplete bool) []byte {
	if incomplete {
		return append(dst, `,"status":"incomplete"}`...)
	}
	return append(dst, `,"status":"completed"}`...)
}

// shutAll ends what is open. In an answer that is cut short the last item is.
func (w *responseWriter) shutAll() {
	_, reason := w.ending()
	for i := range w.items {
		if it := &w.items[i]; it.open {
			w.shut(it, reason != "" && i == len(w.items)-1)
		}
	}
}

// beginCall begins a call. One without an id gets one, by which its result will be known.
func (w *responseWriter) beginCall(id, name dialect.Written) *itemWriting {
	it := w.add(callItem, "fc_", `","type":"function_call","call_id":"`)
	if it.json = append(it.json, id...); len(id) == 0 {
		it.json = appendCallID(it.json, w.suffix, w.calls)
	}
	w.calls++
	it.json = append(it.json, `","name":"`...)
	it.name.at = len(it.json)
	it.json = append(it.json, name...)
	it.name.end = len(it.json)
	it.json = append(it.json, `","arguments":"`...)
	it.part, it.text = argumentsText, len(it.json)
	w.tellAdded(it)
	return it
}

// args adds some of the arguments of the call with that ordinal. Nothing can come to one that ended.
func (w *responseWriter) args(call int, text dialect.Written) {
	for i := len(w.items) - 1; i >= 0; i-- {
		it := &w.items[i]
		if it.kind != callItem || it.call != call {
			continue
		}
		if it.open && len(text) > 0 {
			it.json = append(it.json, text...)
			w.tellDelta(it, text)
		}
		return
	}
}

// sign keeps what proves the last item to its signer. Only Gemini signs calls; what else signs something that nobody
// saw signs a thought that was not shown.
func (w *responseWriter) sign(signature dialect.Written, signer dialect.ID) {
	if len(signature) == 0 {
		return
	}
	it := w.last(callItem)
	if it == nil || signer != dialect.Gemini {
		it = w.last(reasoningItem)
	}
	switch {
	case it != nil && !it.signed:
	case signer == dialect.Gemini:
		it = w.think()
	default:
		it = w.place(thoughtText)
	}
	it.signature, it.signer, it.signed = append(it.signature[:0], signature...), signer, true
}

// hide adds reasoning that only its signer can read.
func (w *responseWriter) hide(signature dialect.Written, signer dialect.ID) {
	it := w.think()
	it.signature, it.signer, it.signed = append(it.signature[:0], signature...), signer, true
}

// draw adds a picture, whole.
func (w *responseWriter) draw(media, data dialect.Written) {
	format, ok := bytes.CutPrefix(media, []byte("image/"))
	if !ok && media != nil || len(data) == 0 {
		return
	}
	it := w.add(imageItem, "ig_", `","type":"image_generation_call"`)
	w.tellAdded(it)
	it.json = appendText(it.json, `,"result":`, data)
	if len(format) > 0 {
		it.json = appendText(it.json, `,"output_format":`, format)
	}
	it.json = appendStatus(it.json, false)
	w.shut(it, false)
}

// probable adds logprobs, as chat/completions have them, to the text that is open; false if there is none.
func (w *responseWriter) probable(logprobs dialect.Raw) bool {
	it := w.last(messageItem)
	if it == nil || it.part != saidText {
		return false
	}
	list := memberOf(logprobs, "content")
	if isHollow(list) || !isArray(list) {
		return true
	}
	if len(it.logprobs) > 0 {
		it.logprobs = append(it.logprobs, ',')
	}
	from := len(it.logprobs)
	it.logprobs = appendCompact(it.logprobs, list[1:len(list)-1])
	w.tellLogProbs(it, it.logprobs[from:])
	return true
}
