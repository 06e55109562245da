package anthropic

import (
	"fmt"
	"sync"

	"github.com/wedge-proxy/wedge/internal/jsonedit"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// wholes are the states for whole answers, which end with the call.
var wholes = sync.Pool{New: func() any { return new(rewriting) }}

// AppendWhole implements dialect.Rewriter. After a stop the further blocks are left out.
func (Rewriter) AppendWhole(dst, body []byte, op dialect.Op, e dialect.Editor) ([]byte, error) {
	if op != dialect.OpMessages {
		return append(dst, body...), nil
	}
	s := wholes.Get().(*rewriting)
	defer func() {
		s.Reset()
		wholes.Put(s)
	}()
	w := rewriter{rewriting: s, editor: e, data: body}
	ok := w.whole()
	switch {
	case w.Err != nil:
		return dst, w.Err
	case !ok:
		return dst, fmt.Errorf("%w: the whole %s answer cannot be edited", dialect.ErrMalformed, op)
	}
	return w.patches.AppendTo(dst, body), nil
}

// whole edits the message, and reports whether it is valid.
func (w *rewriter) whole() bool {
	var content jsonedit.Extent
	p := eventParts{Fields: jsonscan.Fields{Cursor: jsonscan.Cursor{B: w.data}}}
	p.Enter('{')
	for k, ok := p.Key(true); ok; k, ok = p.Key(false) {
		if string(k) == "content" {
			content = jsonedit.Value(&p.Cursor)
		} else {
			p.readEnd(k)
		}
	}
	if !p.End() {
		return false
	}
	reason := p.ends[stopReasonAt]
	w.finish = appendFinish(w.finish, reason.Inside(w.data))
	if w.wholeBlocks(content); !w.Stopped {
		return true
	}
	if reason.At > 0 {
		w.putEnd(p.ends)
	} else {
		w.patches.PutString(jsonedit.Extent{At: content.End, End: content.End}, `,"stop_reason":`, stopWord(w.Reason), "")
	}
	return true
}

// wholeBlocks edits the blocks in the list at content, and cuts off what follows a stop.
func (w *rewriter) wholeBlocks(content jsonedit.Extent) {
	c := jsonscan.Cursor{B: w.data[:content.End], I: content.At}
	if content.At == 0 || c.Peek() != '[' {
		return
	}
	last, cut := 0, 0
	c.Enter('[')
	index := int64(0)
	for ok := c.More(']', true); ok && w.Err == nil; ok = c.More(']', false) {
		e := jsonedit.Value(&c)
		switch {
		case !w.Stopped:
			w.wholeBlock(index, e)
		case cut == 0:
			cut = last
		}
		last = e.End
		index++
	}
	if cut > 0 {
		w.patches.Put(jsonedit.Extent{At: cut, End: last}, "")
	}
}

// wholeBlock edits the block at e if it is one of text.
func (w *rewriter) wholeBlock(index int64, e jsonedit.Extent) {
	p := eventParts{Fields: jsonscan.Fields{Cursor: jsonscan.Cursor{B: w.data[:e.End], I: e.At}}}
	p.readDelta()
	text := p.text.Inside(w.data)
	if !p.textual || text == nil {
		return
	}
	b := liveBlock{index: index}
	edit := w.ask(&b, text, true, w.finish)
	if !edit.Replace {
		return
	}
	w.patches.PutString(p.text, "", edit.Text, "")
	if p.citations.IsSet(w.data) {
		w.patches.Put(p.citations, "null")
	}
}
