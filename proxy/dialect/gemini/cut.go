package gemini

import (
	"fmt"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// AppendCut implements dialect.Answers. The dialect has no event for usage alone, and no end marker: the terminal event
// is the one that ends the candidates. Nothing is appended with an error.
func (Codec) AppendCut(dst []byte, op dialect.Op, sse []byte, u *dialect.Usage) (out []byte, tail, terminal int, err error) {
	if op != dialect.OpGenerate {
		return dst, 0, 0, fmt.Errorf("cannot end a stream of the operation %s: it has no streamed form", op)
	}
	w := rewriter{rewriting: new(rewriting), editor: dialect.Pass{}}
	var st dialect.Stream
	for n := stream.Next(sse); n > 0; n = stream.Next(sse) {
		if err := w.note(&st, sse[:n]); err != nil {
			return dst, 0, 0, err
		}
		sse = sse[n:]
	}
	if len(w.choices) == 0 {
		w.choice(0)
	}
	if u.Known {
		w.usage = appendUsage(w.usage[:0], u)
	}
	w.dst, w.Reason = dst, append(w.Reason, "length"...)
	w.endEvent()
	return w.dst, 0, 0, nil
}

// note takes note of an event.
func (w *rewriter) note(st *dialect.Stream, event []byte) error {
	var name []byte
	name, w.data, w.lines = stream.Fields(event, w.lines)
	kind, err := Codec{}.Event(dialect.OpGenerate, st, name, w.data)
	if err != nil || kind == dialect.Ignored {
		return err
	}
	w.patches.Reset()
	if !w.begun {
		w.keepOrigin()
	}
	if !w.editAll() {
		return fmt.Errorf("%w: an event of the %s stream has no place in it", dialect.ErrMalformed, dialect.OpGenerate)
	}
	return nil
}
