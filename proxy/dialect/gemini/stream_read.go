package gemini

import (
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// reading is what is kept of one stream that is read.
type reading struct {
	begun, ended bool

	id      []byte // of the answer
	usage   dialect.Usage
	latest  []byte // the usageMetadata of plain events since then
	answers []answerReading
	lost    []string
	scratch []byte // of the event
}

type answerReading struct {
	index    int
	calls    int
	finished bool
	reason   dialect.Finish
}

// Reset makes the state ready for another stream.
func (r *reading) Reset() {
	if cap(r.scratch) > keptBytes {
		r.scratch = nil
	}
	*r = reading{id: r.id[:0], latest: r.latest[:0], answers: r.answers[:0], lost: r.lost[:0], scratch: r.scratch[:0]}
}

// keptBytes bounds the buffers that are kept for another stream.
const keptBytes = 64 << 10

// ReadEvent implements dialect.Translator. The provider tells a call whole.
func (Codec) ReadEvent(op dialect.Op, st *dialect.Reading, _, data []byte, events []dialect.Event) ([]dialect.Event, error) {
	if op != dialect.OpGenerate {
		return events, noForm("stream", op)
	}
	r, ok := st.Own.(*reading)
	if !ok {
		r = new(reading)
		st.Own = r
	}
	switch {
	case r.ended:
		return events, nil
	case data == nil:
		return r.end(events), nil
	}
	if told, ok := r.plain(data, events); ok {
		return told, nil
	}
	r.scratch = r.scratch[:0]
	in := reader{lost: &r.lost, scratch: &r.scratch}
	w := rawResponse{usage: r.known()}
	f := fields(data)
	w.read(&in, &f)
	if in.err == nil && !f.End() {
		in.bad("an event", "one complete JSON object")
	}
	r.usage = w.usage
	events = r.begin(&w, events)
	if w.candidates != nil && in.err == nil {
		it := in.items("candidates", w.candidates)
		for i := 0; it.next() && in.err == nil; i++ {
			events = r.candidate(&in, it.Skip(), i, events)
		}
	}
	if w.blocked && len(r.answers) == 0 {
		r.answers = append(r.answers, answerReading{finished: true, reason: dialect.FinishFilter})
	}
	if in.err == nil && r.finished() {
		events = r.end(events)
	}
	return events, in.err
}

// known is the usage that was told last.
func (r *reading) known() dialect.Usage {
	if len(r.latest) > 0 {
		c := jsonscan.Cursor{B: r.latest}
		readUsage(&c, &r.usage)
		r.latest = r.latest[:0]
	}
	return r.usage
}

// begin tells the start of the stream, once.
func (r *reading) begin(w *rawResponse, events []dialect.Event) []dialect.Event {
	if r.begun {
		return events
	}
	r.begun = true
	r.id = append(r.id[:0], w.id...)
	return append(events, dialect.Event{Kind: dialect.EventStart, ID: w.id, Model: w.model, Created: w.created, Usage: w.usage})
}

// finished says that every candidate seen has ended.
func (r *reading) finished() bool {
	for i := range r.answers {
		if !r.answers[i].finished {
			return false
		}
	}
	return len(r.answers) > 0
}

// answer is the state of the answer with that index.
func (r *reading) answer(index int) *answerReading {
	for i := range r.answers {
		if r.answers[i].index == index {
			return &r.answers[i]
		}
	}
	r.answers = append(r.answers, answerReading{index: index})
	return &r.answers[len(r.answers)-1]
}

// candidate tells what an event says of one candidate.
func (r *reading) candidate(in *reader, v dialect.Raw, i int, events []dialect.Event) []dialect.Event {
	var w rawCandidate
	w.read(in, v, i)
	if len(r.answers) > most {
		in.err = fmt.Errorf("%w: a stream with more than %d candidates", dialect.ErrMalformed, most)
		return events
	}
	a := r.answer(w.index)
	if w.parts != nil {
		it := in.items(answerPath, w.parts)
		for it.next() && in.err == nil {
			parts, n := in.answerPart(&it.Fields)
			for i := range parts[:n] {
				events = r.tell(in, a, &parts[i], events)
			}
		}
	}
	if w.logprobs != nil {
		raw := in.put(func(dst []byte) []byte { return appendChatLogprobs(dst, w.logprobs) })
		events = append(events, dialect.Event{Kind: dialect.EventLogProbs, Answer: a.index, Raw: raw})
	}
	if w.reason != "" {
		a.finished, a.reason = true, finishOf(w.reason, a.calls > 0)
	}
	return events
}

// tell tells one part.
func (r *reading) tell(in *reader, a *answerReading, p *dialect.Part, events []dialect.Event) []dialect.Event {
	e := dialect.Event{Kind: dialect.EventText, Answer: a.index, Text: p.Text}
	switch p.Kind {
	case dialect.PartText:
		return append(events, e)
	case dialect.PartThinking:
		if e.Kind = dialect.EventThinking; len(p.Text) > 0 {
			events = append(events, e)
		}
		return signed(events, dialect.EventSignature, a.index, 0, p)
	case dialect.PartHidden:
		return signed(events, dialect.EventHidden, a.index, 0, p)
	case dialect.PartCall:
		return r.tellCall(in, a, p, events)
	}
	e.Kind, e.Media, e.Text = dialect.EventMedia, p.Media, p.Data
	return append(events, e)
}

// signed tells a signature, if there is one.
func signed(events []dialect.Event, kind dialect.EventKind, answer, call int, p *dialect.Part) []dialect.Event {
	if p.Signature == nil {
		return events
	}
	return append(events, dialect.Event{Kind: kind, Answer: answer, Call: call, Signature: p.Signature, Signer: p.Signer})
}

func (r *reading) tellCall(in *reader, a *answerReading, p *dialect.Part, events []dialect.Event) []dialect.Event {
	call := a.calls
	a.calls++
	if len(p.ID) == 0 {
		p.ID = in.put(func(dst []byte) []byte { return appendCallID(dst, r.id, a.index, a.calls) })
	}
	args := in.put(func(dst []byte) []byte { return dialect.AppendArgsText(dst, p.Args) })
	events = append(events,
		dialect.Event{Kind: dialect.EventCall, Answer: a.index, Call: call, ID: p.ID, Name: p.Name},
		dialect.Event{Kind: dialect.EventArgs, Answer: a.index, Call: call, Text: args})
	return signed(events, dialect.EventSignature, a.index, call, p)
}

// end tells what is owed at the end, once.
func (r *reading) end(events []dialect.Event) []dialect.Event {
	r.ended = true
	events = r.begin(&rawResponse{}, events)
	for i := range r.answers {
		a := &r.answers[i]
		events = append(events, dialect.Event{Kind: dialect.EventFinish, Answer: a.index, Finish: a.reason})
	}
	if len(r.answers) == 0 {
		events = append(events, dialect.Event{Kind: dialect.EventFinish})
	}
	if u := r.known(); u.Known {
		events = append(events, dialect.Event{Kind: dialect.EventUsage, Usage: u})
	}
	return append(events, dialect.Event{Kind: dialect.EventEnd})
}
