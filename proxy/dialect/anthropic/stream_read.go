package anthropic

import (
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// reading is what is kept of one stream that is read.
type reading struct {
	begun, finished, ended bool

	usage   dialect.Usage
	open    []openBlock
	calls   int
	called  bool   // the block before was a call
	signed  []byte // the signature of the open thought so far
	scratch []byte
}

type openBlock struct {
	index int64
	kind  blockKind
	call  int  // ordinal
	full  bool // it has told something of its input
}

// Reset makes the state ready for another stream.
func (r *reading) Reset() {
	*r = reading{open: r.open[:0], signed: r.signed[:0], scratch: r.scratch[:0]}
}

// ReadEvent implements dialect.Translator. Blocks that the provider's own tools fill are passed over.
func (Codec) ReadEvent(op dialect.Op, st *dialect.Reading, name, data []byte, events []dialect.Event) ([]dialect.Event, error) {
	if op != dialect.OpMessages {
		return events, noForm("stream", op)
	}
	r, ok := st.Own.(*reading)
	if !ok {
		r = new(reading)
		st.Own = r
	}
	if data == nil {
		return r.end(events), nil
	}
	e := wireEvent{kind: name, usage: r.usage}
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: data}}
	e.read(&f)
	if !f.End() {
		return events, fmt.Errorf("%w: an event of the %s stream is not valid", dialect.ErrMalformed, op)
	}
	return r.apply(&e, events)
}

// wireEvent is the members of one event that tell something of the answer.
type wireEvent struct {
	kind  []byte
	index int64
	usage dialect.Usage
	inner dialect.Raw // the message or the block that begins
	delta wireDelta
}

type wireDelta struct {
	text, thinking, args, signature dialect.Raw
	stop, sequence, details         dialect.Raw
}

func (e *wireEvent) read(f *jsonscan.Fields) {
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			e.kind = kindOf(f.Word())
		case "index":
			e.index = f.Count()
		case "message", "content_block":
			e.inner = f.Skip()
		case "usage":
			readUsage(&f.Cursor, &e.usage)
		case "delta":
			e.delta.read(f)
		default:
			f.Skip()
		}
	}
}

// kindOf is a type of event as a constant: what Word returns does not last.
func kindOf(word []byte) []byte {
	for _, kind := range kinds {
		if string(word) == string(kind) {
			return kind
		}
	}
	return nil
}

var kinds = [...][]byte{
	[]byte("content_block_delta"), []byte("content_block_start"), []byte("content_block_stop"),
	[]byte("message_start"), []byte("message_delta"), []byte("message_stop"),
}

func (d *wireDelta) read(f *jsonscan.Fields) {
	if f.Peek() != '{' {
		f.Skip()
		return
	}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "text":
			d.text = v
		case "thinking":
			d.thinking = v
		case "partial_json":
			d.args = v
		case "signature":
			d.signature = v
		case "stop_reason":
			d.stop = v
		case "stop_sequence":
			d.sequence = v
		case "stop_details":
			d.details = v
		}
	}
}

func (r *reading) apply(e *wireEvent, events []dialect.Event) ([]dialect.Event, error) {
	switch string(e.kind) {
	case "message_start":
		return r.start(e.inner, events)
	case "content_block_start":
		return r.startBlock(e, r.begin(events))
	case "content_block_delta":
		return r.grow(e, r.begin(events)), nil
	case "content_block_stop":
		for i := len(r.open) - 1; i >= 0; i-- {
			if r.open[i].index == e.index {
				return r.close(i, events), nil
			}
		}
	case "message_delta":
		r.usage = e.usage
		return r.finish(&e.delta, r.begin(events)), nil
	case "message_stop":
		return r.end(events), nil
	}
	return events, nil
}

// begin tells the start of a stream that has none of its own.
func (r *reading) begin(events []dialect.Event) []dialect.Event {
	if r.begun {
		return events
	}
	r.begun = true
	return append(events, dialect.Event{Kind: dialect.EventStart})
}

func (r *reading) start(message dialect.Raw, events []dialect.Event) ([]dialect.Event, error) {
	if r.begun {
		return events, nil
	}
	r.begun = true
	start := dialect.Event{Kind: dialect.EventStart}
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: message}}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "id":
			start.ID = inside(f.Skip())
		case "model":
			start.Model = inside(f.Skip())
		case "usage":
			readUsage(&f.Cursor, &r.usage)
		default:
			f.Skip()
		}
	}
	if !f.End() {
		return events, fmt.Errorf("%w: message_start has no message", dialect.ErrMalformed)
	}
	start.Usage = r.usage
	return append(events, start), nil
}

func (r *reading) startBlock(e *wireEvent, events []dialect.Event) ([]dialect.Event, error) {
	if len(r.open) >= most {
		return events, fmt.Errorf("%w: more than %d blocks are open", dialect.ErrMalformed, most)
	}
	in := reader{path: "content_block."}
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: e.inner}}
	var b block
	b.read(&in, &f)
	open := openBlock{index: e.index, kind: b.kind, call: r.calls}
	called := r.called
	r.called = b.kind == callBlock
	switch b.kind {
	case textBlock:
		events = told(events, dialect.EventText, inside(b.text))
	case thinkingBlock:
		r.signed = append(r.signed[:0], inside(b.signature)...)
		events = told(events, dialect.EventThinking, inside(b.text))
	case redactedBlock:
		hidden := in.part(&b)
		kind := dialect.EventHidden
		if called && hidden.Signer == dialect.Gemini {
			kind = dialect.EventSignature
		}
		events = append(events, dialect.Event{Kind: kind, Signature: hidden.Signature, Signer: hidden.Signer})
	case callBlock:
		call := in.part(&b)
		events = append(events, dialect.Event{Kind: dialect.EventCall, Call: r.calls, ID: call.ID, Name: call.Name})
		if open.full = !idle(call.Args); open.full {
			r.scratch = jsonscan.AppendText(r.scratch[:0], call.Args)
			events = append(events, dialect.Event{Kind: dialect.EventArgs, Call: r.calls, Text: r.scratch})
		}
		r.calls++
	}
	r.open = append(r.open, open)
	return events, in.err
}

// told adds a text, unless it is empty.
func told(events []dialect.Event, kind dialect.EventKind, text dialect.Written) []dialect.Event {
	if len(text) == 0 {
		return events
	}
	return append(events, dialect.Event{Kind: kind, Text: text})
}

// grow tells the delta of a block. One of a block that never began is told by what it is.
func (r *reading) grow(e *wireEvent, events []dialect.Event) []dialect.Event {
	d := &e.delta
	var b *openBlock
	for i := len(r.open) - 1; i >= 0 && b == nil; i-- {
		if r.open[i].index == e.index {
			b = &r.open[i]
		}
	}
	switch {
	case b != nil && b.kind == otherBlock:
	case d.text != nil:
		return told(events, dialect.EventText, inside(d.text))
	case d.thinking != nil:
		return told(events, dialect.EventThinking, inside(d.thinking))
	case d.signature != nil:
		r.signed = append(r.signed, inside(d.signature)...)
	case isText(d.args) && b != nil && b.kind == callBlock:
		b.full = true
		return append(events, dialect.Event{Kind: dialect.EventArgs, Call: b.call, Text: inside(d.args)})
	}
	return events
}

// close ends an open block: a thought tells its signature, and a call without arguments that it has none.
func (r *reading) close(i int, events []dialect.Event) []dialect.Event {
	b := r.open[i]
	r.open = append(r.open[:i], r.open[i+1:]...)
	switch {
	case b.kind == callBlock && !b.full:
		return append(events, dialect.Event{Kind: dialect.EventArgs, Call: b.call, Text: []byte("{}")})
	case b.kind == thinkingBlock && len(r.signed) > 0:
		signature, signer := dialect.CutSignature(dialect.Anthropic, r.signed)
		r.signed = r.signed[:0]
		return append(events, dialect.Event{Kind: dialect.EventSignature, Signature: signature, Signer: signer})
	}
	return events
}

func (r *reading) finish(d *wireDelta, events []dialect.Event) []dialect.Event {
	if r.finished || len(d.stop) == 0 || d.stop[0] != '"' {
		return events
	}
	events = r.closeAll(events)
	r.finished = true
	events = told(events, dialect.EventRefusal, explanation(d.details))
	return append(events, dialect.Event{Kind: dialect.EventFinish, Finish: finishOf(inside(d.stop)), Sequence: inside(d.sequence)})
}

func (r *reading) closeAll(events []dialect.Event) []dialect.Event {
	for len(r.open) > 0 {
		events = r.close(0, events)
	}
	return events
}

// end tells what is owed at the end, once.
func (r *reading) end(events []dialect.Event) []dialect.Event {
	if r.ended {
		return events
	}
	r.ended = true
	events = r.closeAll(r.begin(events))
	if !r.finished {
		events = append(events, dialect.Event{Kind: dialect.EventFinish})
	}
	if r.usage.Known {
		events = append(events, dialect.Event{Kind: dialect.EventUsage, Usage: r.usage})
	}
	return append(events, dialect.Event{Kind: dialect.EventEnd})
}
