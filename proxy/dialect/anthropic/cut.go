package anthropic

import (
	"fmt"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// AppendCut implements dialect.Answers. The dialect has no event for usage alone. Nothing is appended with an error.
func (Codec) AppendCut(dst []byte, op dialect.Op, sse []byte, u *dialect.Usage) (out []byte, tail, terminal int, err error) {
	if op != dialect.OpMessages {
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
	if u.Known {
		w.usage = *u
	}
	w.dst, w.told, w.Reason = dst, st.Finished, append(w.Reason, "length"...)
	if st.Choices == 0 {
		start := dialect.Event{Kind: dialect.EventStart, Usage: w.usage}
		start.Usage.Output, start.Usage.Reasoning = 0, 0
		w.dst = new(writing).start(w.dst, &start)
	}
	w.end()
	terminal = len(w.dst) - len(messageStop) - len(dst)
	return w.dst, terminal, terminal, nil
}

// note takes note of an event.
func (w *rewriter) note(st *dialect.Stream, event []byte) error {
	var name []byte
	name, w.data, w.lines = stream.Fields(event, w.lines)
	kind, err := Codec{}.Event(dialect.OpMessages, st, name, w.data)
	if err != nil || kind == dialect.Ignored {
		return err
	}
	w.patches.Reset()
	if _, ok := w.typed(name); !ok {
		return fmt.Errorf("%w: an event of the %s stream has no place in it", dialect.ErrMalformed, dialect.OpMessages)
	}
	return nil
}
