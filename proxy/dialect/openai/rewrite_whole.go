package openai

import (
	"fmt"
	"sync"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// wholes are the states for whole answers, which end with the call.
var wholes = sync.Pool{New: func() any { return new(rewriting) }}

// AppendWhole implements dialect.Rewriter. After a stop the further parts and items of a response are left out.
func (Rewriter) AppendWhole(dst, body []byte, op dialect.Op, e dialect.Editor) ([]byte, error) {
	if !answersText(op) {
		return append(dst, body...), nil
	}
	s := wholes.Get().(*rewriting)
	defer func() {
		s.Reset()
		wholes.Put(s)
	}()
	w := rewriter{rewriting: s, op: op, editor: e, data: body}
	ok := false
	if op == dialect.OpResponses {
		ok = w.wholeResponse()
	} else {
		ok = w.wholeChoices()
	}
	switch {
	case w.err != nil:
		return dst, w.err
	case !ok:
		return dst, fmt.Errorf("%w: the whole %s answer cannot be edited", dialect.ErrMalformed, op)
	}
	return w.appendPatched(dst, extent{0, len(body)}), nil
}

// wholeChoices edits an answer of chat/completions or completions.
func (w *rewriter) wholeChoices() bool {
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
			if c := w.readChoice(&f, "message"); f.Bad || !w.editChoice(&c) {
				return false
			}
		}
	}
	return f.End()
}

// editChoice edits a choice that is told at once.
func (w *rewriter) editChoice(d *written) bool {
	c := w.choice(d.index, 0)
	if c == nil {
		return false
	}
	e := w.ask(c, w.inside(d.text), true, w.inside(d.finish))
	switch {
	case !e.Replace:
	case d.text.at > 0:
		w.changeText(d, e.Text)
	case d.holder.at > 0:
		w.addContent(d, e.Text)
	}
	if e.Stop {
		if w.stopped = false; d.finish.at > 0 {
			w.putString(d.finish, w.reason)
		}
	}
	return w.err == nil
}

// addContent adds the content that a message lacks.
func (w *rewriter) addContent(d *written, text []byte) {
	from := len(w.texts)
	if d.nonempty {
		w.texts = append(w.texts, ',')
	}
	w.texts = jsonscan.AppendString(append(w.texts, `"content":`...), text)
	end := d.holder.end - 1
	w.patches = append(w.patches, patch{extent{end, end}, from, len(w.texts)})
}

// wholeResponse edits an answer of responses.
func (w *rewriter) wholeResponse() bool {
	c := jsonscan.Cursor{B: w.data}
	at := value(&c)
	if !c.End() || w.data[at.at] != '{' {
		return false
	}
	status, details := w.memberAt(at, "status"), w.memberAt(at, "incomplete_details")
	w.finish = w.finishOf(w.inside(status), w.memberAt(details, "reason"))
	if !w.responseDone(at) || w.err != nil {
		return false
	}
	if w.stopped && status.at > 0 {
		w.putEnd(status, details)
	}
	return true
}

// finishOf is the finish reason that a response's status and the reason for an incomplete one amount to.
func (w *rewriter) finishOf(status []byte, why extent) []byte {
	switch reason := w.inside(why); {
	case string(status) == "completed":
		return []byte("stop")
	case string(reason) == "max_output_tokens":
		return []byte("length")
	default:
		return reason
	}
}

// putEnd patches in how the response ended.
func (w *rewriter) putEnd(status, details extent) {
	word, why := responseEnd(w.reason)
	from := len(w.texts)
	w.texts = append(append(append(w.texts, '"'), word...), '"')
	if details.at == 0 && why != nil {
		w.texts = appendDetails(append(w.texts, `,"incomplete_details":`...), why)
	}
	w.patches = append(w.patches, patch{status, from, len(w.texts)})
	if details.at > 0 {
		from = len(w.texts)
		w.texts = appendDetails(w.texts, why)
		w.patches = append(w.patches, patch{details, from, len(w.texts)})
	}
}
