package openai

import (
	"fmt"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// AppendCut implements dialect.Answers. Nothing is appended with an error.
func (Codec) AppendCut(dst []byte, op dialect.Op, sse []byte, u *dialect.Usage) (out []byte, tail, terminal int, err error) {
	switch op {
	case dialect.OpChat, dialect.OpCompletions:
		return cutChunks(dst, op, sse, u)
	case dialect.OpResponses:
		return cutResponse(dst, sse, u)
	}
	return dst, 0, 0, fmt.Errorf("cannot end a stream of the operation %s: it has no streamed form", op)
}

// eachEvent calls use with the data of each event of a stream that has one and is valid, until it returns false.
func eachEvent(op dialect.Op, sse []byte, use func(kind dialect.Kind, name, data []byte) bool) error {
	var st dialect.Stream
	for n := stream.Next(sse); n > 0; n = stream.Next(sse) {
		name, data, _ := stream.Fields(sse[:n], nil) // what is kept of data must not lie in a scratch
		kind, err := Codec{}.Event(op, &st, name, data)
		if err != nil {
			return err
		}
		if kind != dialect.Ignored && !isDone(data) && !use(kind, name, data) {
			return fmt.Errorf("%w: an event of the %s stream has no place in it", dialect.ErrMalformed, op)
		}
		sse = sse[n:]
	}
	return nil
}

// cutChunks ends a stream of chat/completions or completions.
func cutChunks(dst []byte, op dialect.Op, sse []byte, u *dialect.Usage) (out []byte, tail, terminal int, err error) {
	w := rewriter{rewriting: new(rewriting), op: op, editor: dialect.Pass{}}
	told := false // u, or what the provider says of it
	err = eachEvent(op, sse, func(kind dialect.Kind, _, data []byte) bool {
		told = kind == dialect.Tail
		w.data = data
		return w.chunk()
	})
	if err != nil {
		return dst, 0, 0, err
	}
	start := len(dst)
	w.dst, w.reason = dst, append(w.reason, "length"...)
	if len(w.choices) == 0 {
		w.beginStream()
	}
	w.endChoices()
	tail = len(w.dst) - start
	if u.Known && !told {
		w.dst = append(append(append(w.dst, "data: {"...), w.head...), `"choices":[],"usage":`...)
		w.dst = append(appendUsage(w.dst, u), "}\n\n"...)
	}
	terminal = len(w.dst) - start
	return append(w.dst, doneEvent...), tail, terminal, nil
}

// beginStream begins the first choice, in a stream that has none, under a name of its own if it has none.
func (w *rewriter) beginStream() {
	c := w.choice(0, 0)
	if len(w.head) == 0 {
		object := "chat.completion.chunk"
		if w.op == dialect.OpCompletions {
			object = "text_completion"
		}
		w.head = append(append(append(w.head, `"id":"","object":"`...), object...), `","created":0,"model":"",`...)
	}
	if w.op == dialect.OpChat {
		w.dst = append(append(append(w.dst, "data: {"...), w.head...), `"choices":[{"index":0,"delta":{"role":"assistant","content":""`...)
		w.dst = append(w.dst, closeDelta...)
	}
	c.begun = true
}
