package gemini

import (
	"fmt"
	"sync"

	"github.com/wedge-proxy/wedge/internal/jsonedit"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// wholes are the states for whole answers, which end with the call.
var wholes = sync.Pool{New: func() any { return new(rewriting) }}

// AppendWhole implements dialect.Rewriter. A text of several parts that follow one another is one Text: what becomes of
// it stands in the first of them. After a stop the candidate's further parts are left out.
func (Rewriter) AppendWhole(dst, body []byte, op dialect.Op, e dialect.Editor) ([]byte, error) {
	if op != dialect.OpGenerate {
		return append(dst, body...), nil
	}
	s := wholes.Get().(*rewriting)
	defer func() {
		s.Reset()
		wholes.Put(s)
	}()
	w := rewriter{rewriting: s, editor: e, data: body, atOnce: true}
	ok := w.editAll()
	switch {
	case w.Err != nil:
		return dst, w.Err
	case !ok:
		return dst, fmt.Errorf("%w: the whole %s answer cannot be edited", dialect.ErrMalformed, op)
	}
	return w.patches.AppendTo(dst, body), nil
}

// editWhole edits a candidate that is told at once.
func (w *rewriter) editWhole(d *candidate) {
	c := liveChoice{index: d.index}
	for i := range w.parts {
		c.called = c.called || w.parts[i].kind == callPart
	}
	w.setFinish(&c, d)
	var slot jsonedit.Extent
	cut := len(w.parts)
	for i := 0; i < len(w.parts) && !w.Stopped && w.Err == nil; {
		p := &w.parts[i]
		switch text := p.text.Inside(w.data); {
		case p.kind == textPart && len(text) > 0:
			end := w.runEnd(i)
			w.changeRun(&c, d, i, end)
			i, cut, slot = end, end, jsonedit.Extent{}
			continue
		case p.kind == textPart:
			slot = p.text
		case p.kind != markPart:
			slot = jsonedit.Extent{}
		}
		i++
	}
	if !c.asked {
		w.sayLast(&c, d, slot)
	}
	if w.Stopped {
		w.Stopped = false
		w.cutParts(d, cut)
		w.endWhole(d)
	}
	w.hide(&c, d)
}

// runEnd is behind the last part of the text that begins with part i.
func (w *rewriter) runEnd(i int) int {
	end := i + 1
	for end < len(w.parts) && (w.parts[end].kind == textPart || w.parts[end].kind == markPart) {
		end++
	}
	return end
}

// changeRun shows the editor the text of the parts from the i-th up to end. What it wants instead stands in the first;
// the others are removed, or emptied if they say something else, too.
func (w *rewriter) changeRun(c *liveChoice, d *candidate, i, end int) {
	text := w.parts[i].text.Inside(w.data)
	if end > i+1 {
		w.joined = w.joined[:0]
		for _, p := range w.parts[i:end] {
			w.joined = append(w.joined, p.text.Inside(w.data)...)
		}
		text = w.joined
	}
	e := w.ask(c, text, true)
	if !e.Replace {
		return
	}
	d.changed = true
	w.patches.PutString(w.parts[i].text, "", e.Text, "")
	for k := i + 1; k < end; k++ {
		switch p := &w.parts[k]; {
		case p.kind == markPart:
		case p.bare:
			w.patches.Put(jsonedit.Extent{At: w.parts[k-1].End, End: p.End}, "")
		default:
			w.patches.Put(p.text, `""`)
		}
	}
}

// sayLast asks for the text of a candidate that has none, and puts it into the empty text at slot, or adds a part.
func (w *rewriter) sayLast(c *liveChoice, d *candidate, slot jsonedit.Extent) {
	e := w.ask(c, nil, true)
	if !e.Replace {
		return
	}
	d.changed = true
	comma := func(more bool) string {
		if more {
			return ","
		}
		return ""
	}
	inside := func(outer jsonedit.Extent) jsonedit.Extent {
		return jsonedit.Extent{At: outer.End - 1, End: outer.End - 1}
	}
	switch {
	case slot.At > 0:
		w.patches.PutString(slot, "", e.Text, "")
	case d.parts.At > 0:
		w.patches.PutString(inside(d.parts), comma(len(w.parts) > 0)+`{"text":`, e.Text, "}")
	case d.content.IsSet(w.data) && w.data[d.content.At] == '{':
		w.patches.PutString(inside(d.content), comma(d.spoken)+`"parts":[{"text":`, e.Text, "}]")
	case d.content.At > 0:
		w.patches.PutString(d.content, `{"parts":[{"text":`, e.Text, `}],"role":"model"}`)
	default:
		w.patches.PutString(inside(d.Extent), comma(d.members)+`"content":{"parts":[{"text":`, e.Text, `}],"role":"model"}`)
	}
}

// endWhole tells why a candidate ended that was stopped.
func (w *rewriter) endWhole(d *candidate) {
	switch {
	case d.ends:
		w.putFinish(d)
	case d.finish.At > 0:
		w.patches.PutString(d.finish, "", finishWord(w.Reason), "")
	default:
		behind := jsonedit.Extent{At: d.End - 1, End: d.End - 1}
		before := `,"finishReason":`
		w.patches.PutString(behind, before, finishWord(w.Reason), "")
	}
}
