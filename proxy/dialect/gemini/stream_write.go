package gemini

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// writing is what is kept of one stream that is written. A call waits until it is whole, as Gemini tells calls, and a
// piece of a thought until it is known whether its signature follows: that must come with a text.
type writing struct {
	tail    []byte // by which every event ends
	answers []answerWriting
	usage   dialect.Usage
}

type answerWriting struct {
	index  int
	finish dialect.Finish
	broken bool // a call was left out
	held   []heldCall

	thinks  bool // a piece of a thought waits
	thought []byte
}

// heldCall is a call that waits.
type heldCall struct {
	ordinal                   int
	id, name, args, signature []byte
	signer                    dialect.ID
}

// Reset makes the state ready for another stream. It keeps buffers of ordinary size.
func (w *writing) Reset() {
	for i := range w.answers {
		a := &w.answers[i]
		if len(a.held) > 0 || cap(a.thought) > keptBytes {
			*a = answerWriting{}
		}
	}
	*w = writing{tail: w.tail[:0], answers: w.answers[:0]}
}

const eventEnd = "}\r\n\r\n"

// AppendEvent implements dialect.Translator. Why the answers ended, and what they used, stand in one event at the end.
func (Codec) AppendEvent(dst []byte, op dialect.Op, st *dialect.Writing, e *dialect.Event) []byte {
	if op != dialect.OpGenerate {
		return dst
	}
	w, ok := st.Own.(*writing)
	if !ok {
		w = new(writing)
		st.Own = w
	}
	st.Stream.Events++
	if e.Kind == dialect.EventStart || len(w.tail) == 0 {
		w.start(e)
	}
	switch e.Kind {
	case dialect.EventStart:
	case dialect.EventUsage:
		w.usage, st.Stream.Usage = e.Usage, e.Usage
	case dialect.EventEnd:
		return w.end(dst, st)
	case dialect.EventFinish:
		a := w.answer(e.Answer, &st.Stream)
		dst = w.settle(dst, a, len(a.held))
		a.finish = e.Finish
	default:
		st.Stream.Content = true
		return w.content(dst, w.answer(e.Answer, &st.Stream), e)
	}
	return dst
}

func (w *writing) start(e *dialect.Event) {
	if w.tail = w.tail[:0]; e.Kind == dialect.EventStart {
		w.usage = e.Usage
		w.tail = appendOrigin(w.tail, e.ID, e.Model, e.Created)
	}
	w.tail = append(w.tail, eventEnd...)
}

// answer is the state of the answer with that index.
func (w *writing) answer(index int, st *dialect.Stream) *answerWriting {
	for i := range w.answers {
		if w.answers[i].index == index {
			return &w.answers[i]
		}
	}
	if index < 64 {
		st.Choices |= 1 << index
	}
	if n := len(w.answers); n < cap(w.answers) {
		w.answers = w.answers[:n+1]
	} else {
		w.answers = append(w.answers, answerWriting{})
	}
	a := &w.answers[len(w.answers)-1]
	*a = answerWriting{index: index, held: a.held[:0], thought: a.thought[:0]}
	return a
}

func (w *writing) open(dst []byte) []byte {
	return append(dst, `data: {"candidates":[`+openParts...)
}

// shut ends an event of one part of an answer.
func (w *writing) shut(dst []byte, a *answerWriting) []byte {
	dst = appendNumber(dst, shutParts+`,"index":`, int64(a.index))
	return append(append(dst, "}]"...), w.tail...)
}

// content writes what tells something of an answer. Everything but a call and its signature comes after what waits.
func (w *writing) content(dst []byte, a *answerWriting, e *dialect.Event) []byte {
	switch e.Kind {
	case dialect.EventCall:
		return w.hold(dst, a, e)
	case dialect.EventArgs:
		if h := a.call(e.Call); h != nil {
			h.args = append(h.args, e.Text...)
		}
		return dst
	case dialect.EventSignature:
		if h := a.call(e.Call); h != nil {
			h.signature, h.signer = append(h.signature[:0], e.Signature...), e.Signer
			return dst
		}
		return w.part(dst, a, &dialect.Part{Kind: dialect.PartThinking, Text: a.unthought(), Signature: e.Signature, Signer: e.Signer})
	}
	dst = w.settle(dst, a, a.wholeCalls()) // some servers go on with a call after a text
	switch e.Kind {
	case dialect.EventText, dialect.EventRefusal:
		dst = append(append(append(w.open(dst), `{"text":"`...), e.Text...), `"}`...)
		return w.shut(dst, a)
	case dialect.EventThinking:
		a.thinks, a.thought = true, append(a.thought[:0], e.Text...)
	case dialect.EventHidden:
		return w.part(dst, a, &dialect.Part{Kind: dialect.PartHidden, Signature: e.Signature, Signer: e.Signer})
	case dialect.EventMedia:
		return w.part(dst, a, &dialect.Part{Kind: dialect.PartImage, Media: e.Media, Data: e.Text})
	case dialect.EventLogProbs:
		return w.logprobs(w.open(dst), a, e.Raw)
	}
	return dst
}

// unthought is the piece of a thought that waits, which does not any more.
func (a *answerWriting) unthought() dialect.Written {
	if !a.thinks {
		return nil
	}
	a.thinks = false
	return a.thought
}

// part writes an event of one part.
func (w *writing) part(dst []byte, a *answerWriting, p *dialect.Part) []byte {
	dst, _ = appendAnswerPart(w.open(dst), p)
	return w.shut(dst, a)
}

// logprobs ends an event that tells of tokens.
func (w *writing) logprobs(dst []byte, a *answerWriting, v dialect.Raw) []byte {
	dst = append(dst, `{"text":""}`+shutParts...)
	at := len(dst)
	dst, ok := appendLogprobs(append(dst, `,"logprobsResult":`...), v)
	if !ok {
		dst = dst[:at]
	}
	dst = appendNumber(dst, `,"index":`, int64(a.index))
	return append(append(dst, "}]"...), w.tail...)
}

// hold begins a call: those before it that are whole go out.
func (w *writing) hold(dst []byte, a *answerWriting, e *dialect.Event) []byte {
	dst = w.settle(dst, a, a.wholeCalls())
	if n := len(a.held); n < cap(a.held) {
		a.held = a.held[:n+1]
	} else {
		a.held = append(a.held, heldCall{})
	}
	h := &a.held[len(a.held)-1]
	*h = heldCall{
		ordinal: e.Call, id: append(h.id[:0], e.ID...), name: append(h.name[:0], e.Name...), args: h.args[:0], signature: h.signature[:0],
	}
	return dst
}

// wholeCalls is how many of the calls that wait are whole, from the first on.
func (a *answerWriting) wholeCalls() (n int) {
	for n < len(a.held) && whole(a.held[n].args) {
		n++
	}
	return n
}

// call is the call that waits with that ordinal; nil if there is none.
func (a *answerWriting) call(ordinal int) *heldCall {
	for i := range a.held {
		if a.held[i].ordinal == ordinal {
			return &a.held[i]
		}
	}
	return nil
}

// whole says that the text of arguments, written inside a string, ends a JSON object.
func whole(args dialect.Written) bool {
	var b braces
	b.feed(args)
	return b.begun && b.depth <= 0
}

// settle writes the piece of a thought that waits, and the first n calls.
func (w *writing) settle(dst []byte, a *answerWriting, n int) []byte {
	if a.thinks {
		dst = w.part(dst, a, &dialect.Part{Kind: dialect.PartThinking, Text: a.unthought()})
	}
	for i := range a.held[:n] {
		at := len(dst)
		var ok bool
		if dst, ok = appendHeld(w.open(dst), &a.held[i]); !ok {
			dst, a.broken = dst[:at], true
			continue
		}
		dst = w.shut(dst, a)
	}
	// The buffers of those that went out are for those to come.
	for i := n; i < len(a.held); i++ {
		a.held[i-n], a.held[i] = a.held[i], a.held[i-n]
	}
	a.held = a.held[:len(a.held)-n]
	return dst
}

func appendHeld(dst []byte, h *heldCall) ([]byte, bool) {
	p := dialect.Part{Kind: dialect.PartCall, ID: h.id, Name: h.name, Signer: h.signer}
	if len(h.signature) > 0 {
		p.Signature = h.signature
	}
	start := len(dst)
	quoted := append(append(append(dst, '"'), h.args...), '"') // beyond what is appended in the end
	p.Args = quoted[start:]
	from := len(quoted)
	out, ok := appendCall(quoted, &p)
	if !ok {
		return dst, false
	}
	return append(out[:start], out[from:]...), true
}

// end writes the last event.
func (w *writing) end(dst []byte, st *dialect.Writing) []byte {
	if len(w.answers) == 0 {
		w.answer(0, &st.Stream)
	}
	for i := range w.answers {
		a := &w.answers[i]
		dst = w.settle(dst, a, len(a.held))
	}
	st.Terminal = len(dst)
	dst = append(dst, `data: {"candidates":[`...)
	for i := range w.answers {
		if i > 0 {
			dst = append(dst, ',')
		}
		a := &w.answers[i]
		dst = append(dst, openParts+`{"text":""}`+shutParts+`,"finishReason":"`...)
		dst = append(dst, reasonOf(a.finish, a.broken)...)
		dst = append(appendNumber(dst, `","index":`, int64(a.index)), '}')
	}
	dst = append(dst, ']')
	if w.usage.Known {
		dst = appendUsage(append(dst, `,"usageMetadata":`...), &w.usage)
	}
	st.Stream.Ended, st.Stream.Finished = st.Stream.Choices, true
	return append(dst, w.tail...)
}

// braces follows the text of a JSON object, written inside a string, to its end.
type braces struct {
	depth                  int
	begun, quoted, escaped bool
}

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
