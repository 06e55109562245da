package openai

import (
	"sync"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

var responseWritings = sync.Pool{New: func() any { return new(responseWriting) }}

// appendResponse appends a whole response. It has room for one answer.
func appendResponse(dst []byte, r *dialect.Reply) ([]byte, error) {
	s := responseWritings.Get().(*responseWriting)
	defer func() {
		s.Reset()
		responseWritings.Put(s)
	}()
	w := responseWriter{responseWriting: s, dst: dst}
	w.begin(r.ID, r.Model, r.Created)
	w.usage = r.Usage
	if len(r.Answers) > 0 {
		a := &r.Answers[0]
		due := a.LogProbs // they go with the first text
		for i := a.From; i < a.To; i++ {
			w.part(&r.Parts[i])
			if due != nil && w.probable(due) {
				due = nil
			}
		}
		w.finish = a.Finish
	}
	w.shutAll()
	w.response(w.ending())
	return w.dst, nil
}

// part adds a part of a whole answer. What the API has no word for, such as sound, is left out.
func (w *responseWriter) part(p *dialect.Part) {
	switch p.Kind {
	case dialect.PartText, dialect.PartRefusal:
		kind := saidText
		if p.Kind == dialect.PartRefusal {
			kind = refusedText
		}
		if it := w.last(messageItem); it != nil {
			w.shutText(it)
		}
		w.say(kind, p.Text)
	case dialect.PartThinking:
		if it := w.last(reasoningItem); it != nil {
			w.shut(it, false)
		}
		w.say(thoughtText, p.Text)
		w.sign(p.Signature, p.Signer)
	case dialect.PartHidden:
		w.hide(p.Signature, p.Signer)
	case dialect.PartCall:
		it := w.beginCall(p.ID, p.Name)
		it.json = dialect.AppendArgsText(it.json, p.Args)
		if p.Signer == dialect.Gemini {
			w.sign(p.Signature, p.Signer)
		}
	case dialect.PartImage:
		w.draw(p.Media, p.Data)
	}
}
