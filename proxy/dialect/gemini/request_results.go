package gemini

import (
	"bytes"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// result writes what a tool answered: an object as it is, a text as the result, or as the error. An object that would
// be read as such a wrapping is wrapped, too.
func (w *writer) result(p *dialect.Part, k int) {
	name := p.Name
	if len(name) == 0 {
		if name = w.callee(p.ID, k); name == nil {
			w.cannot("the result of the call %q, which is not among the calls before it, so that nobody knows its function: send the call", p.ID)
		}
	}
	w.member(`{"functionResponse":{`)
	if len(p.ID) > 0 {
		w.dst = append(appendText(w.dst, `"id":`, p.ID), ',')
	}
	w.dst = append(appendText(w.dst, `"name":`, name), `,"response":`...)
	w.response(p)
	w.resultParts(p)
	w.dst = append(w.dst, "}}"...)
}

// calleeMost bounds how far back the call of a result is looked for, in parts.
const calleeMost = 1024

// callee is the name of the function that was called under an id before the k-th part.
func (w *writer) callee(id dialect.Written, k int) dialect.Written {
	parts := w.chat.Parts[max(0, k-calleeMost):k]
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i].Kind == dialect.PartCall && bytes.Equal(parts[i].ID, id) {
			return parts[i].Name
		}
	}
	return nil
}

func (w *writer) response(p *dialect.Part) {
	texts := 0
	var last *dialect.Part
	for i := p.From; i < p.To; i++ {
		if n := &w.chat.Nested[i]; n.Kind == dialect.PartText {
			texts, last = texts+1, n
		}
	}
	if texts == 1 && !p.Failed && w.objectOf(last.Text) {
		return
	}
	if texts == 0 && !p.Failed {
		w.dst = append(w.dst, "{}"...)
		return
	}
	if p.Failed {
		w.dst = append(w.dst, `{"error":"`...)
	} else {
		w.dst = append(w.dst, `{"result":"`...)
	}
	texts = 0
	for i := p.From; i < p.To; i++ {
		n := &w.chat.Nested[i]
		if n.Kind != dialect.PartText {
			continue
		}
		if texts++; texts > 1 {
			w.dst = append(w.dst, `\n`...)
		}
		w.cached(n)
		w.dst = append(w.dst, n.Text...)
	}
	w.dst = append(w.dst, `"}`...)
}

// objectOf writes the JSON object that a text is, if it is one that is read as it is.
func (w *writer) objectOf(text dialect.Written) bool {
	if len(text) == 0 || text[0] != '{' {
		return false
	}
	from := len(w.dst)
	w.dst = jsonscan.AppendDecoded(w.dst, text)
	c := jsonscan.Cursor{B: w.dst[from:]}
	c.Skip()
	if c.End() && !idle(w.dst[from:]) {
		if _, _, wrapped := sole(w.dst[from:]); !wrapped {
			return true
		}
	}
	w.dst = w.dst[:from]
	return false
}

// nests says that what a result shows goes into the result itself, as Gemini 3 and later have it: there is no place for
// URLs.
func (w *writer) nests(n *dialect.Part) bool {
	return (w.gen.current() || w.gen.foreign()) && n.Data != nil
}

func (w *writer) resultParts(p *dialect.Part) {
	before := w.opened
	w.opened = false
	for i := p.From; i < p.To; i++ {
		n := &w.chat.Nested[i]
		if n.Kind == dialect.PartText || !w.nests(n) {
			continue
		}
		if !w.opened {
			w.dst = append(w.dst, `,"parts":[`...)
		}
		w.cached(n)
		w.media(n)
	}
	if w.opened {
		w.dst = append(w.dst, ']')
	}
	w.opened = before
}

// resultMedia writes, behind the results of a content, what else they show.
func (w *writer) resultMedia(turns []dialect.Turn) {
	for _, t := range turns {
		if t.Role != dialect.Results {
			continue
		}
		for _, p := range w.chat.Parts[t.From:t.To] {
			for i := p.From; i < p.To; i++ {
				if n := &w.chat.Nested[i]; n.Kind != dialect.PartText && !w.nests(n) {
					w.cached(n)
					w.media(n)
				}
			}
		}
	}
}
