package gemini

import (
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// pieceMost is about how much text AppendStream puts into one event, in bytes as written.
const pieceMost = 16 << 10

// AppendStream implements dialect.Answers. The dialect has no event for usage alone. Nothing is appended with an error.
func (Codec) AppendStream(dst []byte, op dialect.Op, whole []byte) (out []byte, tail, terminal int, err error) {
	doc, err := compact(whole)
	if err != nil {
		return dst, 0, 0, err
	}
	top, ok := members(doc)
	if !ok || op != dialect.OpGenerate {
		return dst, 0, 0, fmt.Errorf("%w: the whole %s answer has no streamed form", dialect.ErrMalformed, op)
	}
	w := explosion{dst: dst}
	for _, m := range top {
		switch m.key {
		case "modelVersion", "responseId", "createTime":
			w.base = append(w.base, m)
		}
	}
	var last []byte
	elements(top.get("candidates"), func(i int, v []byte) {
		end, good := w.candidate(i, v)
		ok = ok && good
		last = end.appendTo(append(last, ','))
	})
	if !ok {
		return dst, 0, 0, fmt.Errorf("%w: a candidate of the whole %s answer is not as it must be", dialect.ErrMalformed, op)
	}
	rest := top.without("candidates")
	if last != nil {
		last[0] = '['
		rest = append(object{{"candidates", append(last, ']')}}, rest...)
	}
	terminal = len(w.dst) - len(dst)
	w.event(rest)
	return w.dst, terminal, terminal, nil
}

// explosion writes the events that stand for a whole answer.
type explosion struct {
	dst  []byte
	base object // what every event repeats
}

func (w *explosion) event(o object) {
	w.dst = append(o.appendTo(append(w.dst, "data: "...)), "\r\n\r\n"...)
}

// candidate streams the parts of a candidate, and returns what its last event tells: all but the parts.
func (w *explosion) candidate(i int, v []byte) (end object, ok bool) {
	end, ok = members(v)
	index := end.get("index")
	if index == nil {
		index = appendNumber(nil, "", int64(i))
		end.set("index", index)
	}
	val := end.get("content")
	if val == nil || isNull(val) {
		return end, ok
	}
	content, good := members(val)
	elements(content.get("parts"), func(_ int, v []byte) {
		part, isObject := members(v)
		good = good && isObject
		w.part(part, content, index)
	})
	if content.get("parts") != nil {
		content.set("parts", []byte(`[{"text":""}]`))
		end.set("content", content.appendTo(nil))
	}
	return end, ok && good
}

// part streams one part, a long text in pieces: its signature comes with the last one.
func (w *explosion) part(part, content object, index []byte) {
	text := inside(part.get("text"))
	for len(text) > pieceMost {
		n := jsonscan.Prefix(text, pieceMost)
		piece := part.without("thoughtSignature")
		piece.set("text", appendText(nil, "", text[:n]))
		w.onePart(piece, content, index)
		text = text[n:]
		part.set("text", appendText(nil, "", text))
	}
	w.onePart(part, content, index)
}

func (w *explosion) onePart(part, content object, index []byte) {
	rest := content.without("parts")
	parts := append(part.appendTo([]byte{'['}), ']')
	whole := append(object{{"parts", parts}}, rest...)
	candidate := object{{"content", whole.appendTo(nil)}, {"index", index}}
	list := append(candidate.appendTo([]byte{'['}), ']')
	w.event(append(object{{"candidates", list}}, w.base...))
}
