package openai

import (
	"strconv"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// written is where a choice of a chunk, or of a whole answer, holds what an edit may change.
type written struct {
	extent
	index    int64
	holder   extent // the delta or the message
	text     extent // its content, or the text of completions
	tells    [2]extent
	finish   extent
	nonempty bool // the holder has members
}

// chunk edits an event of chat/completions or completions, and reports whether it is valid.
func (w *rewriter) chunk() bool {
	if d, ok := w.shape.match(w.data); ok {
		return w.editDelta(&d)
	}
	if len(w.head) == 0 {
		w.keepHead()
	}
	var only written
	count := 0
	var f jsonscan.Fields
	f.B = w.data
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		if string(k) != "choices" || f.Peek() != '[' {
			f.Skip()
			continue
		}
		f.Enter('[')
		for more := f.More(']', true); more; more = f.More(']', false) {
			only = w.readChoice(&f, "delta")
			if count++; f.Bad || !w.editDelta(&only) {
				return false
			}
		}
	}
	if !f.End() {
		return false
	}
	if count == 1 && w.onlyText(&only) {
		w.shape.keep(w.data, only.index, only.text)
	}
	return true
}

// onlyText says whether a text is all that the choice brings of what an edit may change.
func (w *rewriter) onlyText(d *written) bool {
	return len(w.inside(d.text)) > 0 && !isSet(w.of(d.finish)) && !isSet(w.of(d.tells[0])) && !isSet(w.of(d.tells[1]))
}

// shape is what stands around the text of an event that brings nothing but text. The next event is most often the
// same around another text, and need not be taken apart.
type shape struct {
	around []byte
	at     int // where in it the text lies; 0 without a shape
	index  int64
}

// keep keeps the shape of the event that brings the string at text.
func (s *shape) keep(data []byte, index int64, text extent) {
	s.around = append(append(s.around[:0], data[:text.at+1]...), data[text.end-1:]...)
	s.at, s.index = text.at+1, index
}

// match finds the text in an event of the same shape, where the text is not empty and free of escapes.
func (s *shape) match(data []byte) (d written, ok bool) {
	end := len(data) - len(s.around) + s.at
	if s.at == 0 || end <= s.at || string(data[:s.at]) != string(s.around[:s.at]) || string(data[end:]) != string(s.around[s.at:]) {
		return d, false
	}
	if text := data[s.at:end]; jsonscan.Span(text, 0) != len(text) {
		return d, false
	}
	d.index, d.text = s.index, extent{s.at - 1, end + 1}
	return d, true
}

// keepHead keeps what the chunks that are added repeat.
func (w *rewriter) keepHead() {
	var f jsonscan.Fields
	f.B = w.data
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "id", "object", "created", "model", "service_tier", "system_fingerprint", "provider":
			w.head = append(append(append(append(w.head, '"'), k...), `":`...), v...)
			w.head = append(w.head, ',')
		}
	}
	oneLine(w.head, 0)
}

// readChoice reads the choice under the cursor; holder names the member that has the content in it.
func (w *rewriter) readChoice(f *jsonscan.Fields, holder string) (c written) {
	f.Peek()
	c.at = f.I
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "index":
			c.index = f.Count()
		case "text":
			if e := value(&f.Cursor); w.op == dialect.OpCompletions {
				c.text = e
			}
		case "logprobs":
			c.tells[0] = value(&f.Cursor)
		case "token_ids":
			c.tells[1] = value(&f.Cursor)
		case "finish_reason":
			c.finish = value(&f.Cursor)
		case holder:
			if w.op == dialect.OpChat && f.Peek() == '{' {
				c.readHolder(f)
				continue
			}
			f.Skip()
		default:
			f.Skip()
		}
	}
	c.end = f.I
	return c
}

func (c *written) readHolder(f *jsonscan.Fields) {
	c.holder.at = f.I
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		if c.nonempty = true; string(k) == "content" {
			c.text = value(&f.Cursor)
		} else {
			f.Skip()
		}
	}
	c.holder.end = f.I
}

// editDelta edits one choice of a chunk. It reports false where there are too many choices.
func (w *rewriter) editDelta(d *written) bool {
	c := w.choice(d.index, 0)
	if c == nil {
		return false
	}
	text := w.inside(d.text)
	last := !c.ended && isSet(w.of(d.finish))
	switch {
	case w.stopped: // by another choice in this event
		if c.ended = c.ended || last; len(text) > 0 {
			w.changeText(d, nil)
		}
		return true
	case len(text) == 0 && !last:
		return true
	}
	var finish []byte
	if last {
		finish = w.inside(d.finish)
	}
	e := w.ask(c, text, last, finish)
	switch {
	case !e.Replace:
	case len(text) > 0:
		w.changeText(d, e.Text)
	default:
		w.addDelta(c.index, e.Text)
	}
	if e.Stop && isSet(w.of(d.finish)) {
		w.putString(d.finish, w.reason)
	}
	return true
}

// changeText puts another text in, and takes out what tells the one before.
func (w *rewriter) changeText(d *written, text []byte) {
	w.putString(d.text, text)
	for _, e := range d.tells {
		if isSet(w.of(e)) {
			w.put(e, "null")
		}
	}
}

// flush ends the choices that the provider left open at the end of the stream.
func (w *rewriter) flush() {
	if w.op == dialect.OpResponses {
		return
	}
	for i := range w.choices {
		c := &w.choices[i]
		if !c.begun || c.ended || w.stopped {
			continue
		}
		if e := w.ask(c, nil, true, nil); e.Replace {
			w.addDelta(c.index, e.Text)
		}
	}
}

// addDelta adds an event with a text.
func (w *rewriter) addDelta(index int64, text []byte) {
	w.beginChunk(index)
	w.dst = jsonscan.AppendString(w.dst, text)
	if w.op == dialect.OpChat {
		w.dst = append(w.dst, '}')
	}
	w.dst = append(w.dst, `,"logprobs":null,"finish_reason":null}]}`+"\n\n"...)
}

// beginChunk adds an event up to the text of its choice.
func (w *rewriter) beginChunk(index int64) {
	w.dst = append(append(append(w.dst, "data: {"...), w.head...), `"choices":[{"index":`...)
	w.dst = strconv.AppendInt(w.dst, index, 10)
	if w.op == dialect.OpChat {
		w.dst = append(w.dst, `,"delta":{"content":`...)
	} else {
		w.dst = append(w.dst, `,"text":`...)
	}
}

// finishChunks ends the choices that are open, and the stream.
func (w *rewriter) finishChunks() {
	w.endChoices()
	w.dst = append(w.dst, doneEvent...)
}

const doneEvent = "data: [DONE]\n\n"

// endChoices ends the choices that are open.
func (w *rewriter) endChoices() {
	for i := range w.choices {
		c := &w.choices[i]
		if c.ended {
			continue
		}
		c.ended = true
		w.dst = append(append(append(w.dst, "data: {"...), w.head...), `"choices":[{"index":`...)
		w.dst = strconv.AppendInt(w.dst, c.index, 10)
		if w.op == dialect.OpChat {
			w.dst = append(w.dst, `,"delta":{}`...)
		} else {
			w.dst = append(w.dst, `,"text":""`...)
		}
		w.dst = append(jsonscan.AppendString(append(w.dst, `,"logprobs":null,"finish_reason":`...), w.reason), "}]}\n\n"...)
	}
}
