package openai

import (
	"fmt"
	"slices"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// chunkReading is what is kept of a stream of chunks that is read. Why answers ended, and the usage, are held back to the
// stream's end, since servers tell them in any order.
type chunkReading struct {
	began, ended bool
	id           []byte
	usage        dialect.Usage
	answers      []answerReading

	memo   dialect.Memo // the shape of the last event with a text and nothing else
	same   dialect.Event
	pieces []dialect.Part
	ids    []byte // where made up ids lie
}

// answerReading is what is kept of one answer.
type answerReading struct {
	index            int
	reason, sequence []byte // as written, and the stop sequence
	called, refused  bool
	calls            []callReading
}

// finish is why the answer ended.
func (a *answerReading) finish() (dialect.Finish, dialect.Written) {
	e := ending{sequence: a.sequence, called: a.called, refused: a.refused}
	if len(a.reason) > 0 {
		e.reason = a.reason
	}
	return e.finish()
}

// callReading is what is kept of a call: its deltas name it by its index, or only by its place and id.
type callReading struct {
	index int
	id    []byte
	begun bool
}

// Reset makes s ready for another stream.
func (s *chunkReading) Reset() {
	*s = chunkReading{id: s.id[:0], answers: s.answers[:0], pieces: s.pieces[:0], ids: s.ids[:0]}
}

// extended is s with one more element, whose buffers are those of an element that was there before.
func extended[T any](s []T) []T {
	if len(s) < cap(s) {
		return s[:len(s)+1]
	}
	var t T
	return append(s, t)
}

// readChunk reads one event of chat/completions or completions.
func readChunk(op dialect.Op, st *dialect.Reading, data []byte, events []dialect.Event) ([]dialect.Event, error) {
	s, ok := st.Own.(*chunkReading)
	if !ok {
		s = new(chunkReading)
		st.Own = s
	}
	switch {
	case s.sameShape(data):
		e := s.same
		e.Text = data[s.memo.Head : len(data)-int(s.memo.Tail)]
		return append(events, e), nil
	case data == nil, isDone(data):
		return s.end(events), nil
	case len(data) == 0:
		return events, nil
	}
	s.ids = s.ids[:0]
	r := chunkReader{s: s, data: data, events: events, plain: true}
	if err := r.read(op); err != nil {
		return events, err
	}
	return r.events, nil
}

// sameShape reports whether data is the remembered event with another text, whose escapes, if any, are valid.
func (s *chunkReading) sameShape(data []byte) bool {
	m := &s.memo
	if m.Same(data) {
		return true
	}
	head, end := int(m.Head), len(data)-int(m.Tail)
	if head == 0 || end <= head || string(data[:head]) != string(m.Bytes[:head]) || string(data[end:]) != string(m.Bytes[head:head+int(m.Tail)]) {
		return false
	}
	c := jsonscan.Cursor{B: data[head-1 : end+1]} // the text in its quotes
	c.Str()
	return c.End()
}

// end tells what is owed at a stream's good end.
func (s *chunkReading) end(events []dialect.Event) []dialect.Event {
	if s.ended {
		return events
	}
	s.ended = true
	if !s.began {
		s.began = true
		events = append(events, dialect.Event{Kind: dialect.EventStart})
	}
	slices.SortFunc(s.answers, func(a, b answerReading) int { return a.index - b.index })
	for i := range s.answers {
		a := &s.answers[i]
		e := dialect.Event{Kind: dialect.EventFinish, Answer: a.index}
		e.Finish, e.Sequence = a.finish()
		events = append(events, e)
	}
	if s.usage.Known {
		events = append(events, dialect.Event{Kind: dialect.EventUsage, Usage: s.usage})
	}
	return append(events, dialect.Event{Kind: dialect.EventEnd})
}

// answer is what is kept of the answer with that index; nil if there are too many.
func (s *chunkReading) answer(index int) *answerReading {
	for i := range s.answers {
		if s.answers[i].index == index {
			return &s.answers[i]
		}
	}
	if len(s.answers) >= most {
		return nil
	}
	s.answers = extended(s.answers)
	a := &s.answers[len(s.answers)-1]
	*a = answerReading{index: index, reason: a.reason[:0], sequence: a.sequence[:0], calls: a.calls[:0]}
	return a
}

// chunkReader reads one chunk.
type chunkReader struct {
	s      *chunkReading
	data   []byte
	events []dialect.Event

	plain bool   // so far, the chunk holds nothing but what may repeat in each, and one text
	text  []byte // that text as written, with its quotes
	at    int    // its event
}

func (r *chunkReader) read(op dialect.Op) error {
	start := dialect.Event{Kind: dialect.EventStart}
	choices, ok := r.envelope(&start)
	switch {
	case !ok:
		return malformed("event of the " + op.String() + " stream")
	case isHollow(choices):
		return nil // such as Azure's first event, which has no id yet
	case !r.s.began:
		r.s.began = true
		r.s.id = append(r.s.id[:0], start.ID...)
		start.Usage = r.s.usage
		r.events = append(r.events, start)
	}
	n := 0
	c := jsonscan.Cursor{B: choices}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		if err := r.choice(c.Skip()); err != nil {
			return err
		}
		n++
	}
	if r.plain && n == 1 && r.text != nil {
		r.s.same = r.events[r.at]
		r.s.same.Text = nil
		r.s.memo.Keep(r.data, cap(r.data)-cap(r.text)+1, len(r.text)-2)
	}
	return nil
}

// envelope reads what stands around the choices of a chunk, and returns them.
func (r *chunkReader) envelope(start *dialect.Event) (choices []byte, ok bool) {
	f := fields(r.data)
	f.Enter('{')
	for k, more := f.Key(true); more; k, more = f.Key(false) {
		switch string(k) {
		case "id":
			start.ID = inside(f.Skip())
		case "model":
			start.Model = inside(f.Skip())
		case "created":
			start.Created = f.Count()
		case "choices":
			choices = f.Skip()
		case "usage":
			var u dialect.Usage
			if readUsage(&f.Cursor, &u); u.Known {
				r.s.usage, r.plain = u, false
			}
		default:
			f.Skip()
		}
	}
	return choices, f.End()
}

// choice reads one choice of a chunk.
func (r *chunkReader) choice(v []byte) error {
	var delta, text, reason, sequence, logprobs []byte
	index := 0
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		switch string(k) {
		case "index":
			index = indexOf(m)
		case "delta":
			delta = m
		case "text":
			text = m
		case "finish_reason":
			reason = some(m)
		case "stop_reason", "matched_stop":
			sequence = inside(m)
		case "logprobs":
			logprobs = some(m)
		}
	}
	a := r.s.answer(index)
	if a == nil {
		return fmt.Errorf("%w: a stream with more than %d answers", dialect.ErrMalformed, most)
	}
	r.say(a, dialect.EventText, text)
	if err := r.delta(a, delta); err != nil {
		return err
	}
	if r.plain = r.plain && logprobs == nil; logprobs != nil && text == nil { // those of completions have another form
		r.events = append(r.events, dialect.Event{Kind: dialect.EventLogProbs, Answer: a.index, Raw: logprobs})
	}
	if reason != nil {
		r.plain = false
		a.reason = append(a.reason[:0], reason...)
		a.sequence = append(a.sequence[:0], sequence...)
	}
	return nil
}

// say tells a text, as written with its quotes, unless it is empty or none.
func (r *chunkReader) say(a *answerReading, kind dialect.EventKind, v []byte) {
	text := inside(v)
	if len(text) == 0 {
		return
	}
	if r.text != nil {
		r.plain = false
	}
	r.text, r.at = v, len(r.events)
	r.events = append(r.events, dialect.Event{Kind: kind, Answer: a.index, Text: text})
}

// delta reads what a chunk adds to the message of an answer.
func (r *chunkReader) delta(a *answerReading, v []byte) error {
	if !isObject(v) {
		return nil
	}
	var s said
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		if to := s.member(k); to != nil && isSet(m) {
			*to = m // up to the end of the data: where it lies in them is told by its capacity
		}
	}
	if inside(s.reasoning[0]) != nil {
		s.reasoning[1] = nil // some servers say it under both names
	}
	r.say(a, dialect.EventThinking, s.reasoning[0])
	r.say(a, dialect.EventThinking, s.reasoning[1])
	if isArray(s.content) {
		r.list(a, s.content)
	}
	r.say(a, dialect.EventText, s.content)
	if len(inside(s.refusal)) > 0 {
		a.refused, r.plain = true, false
		r.say(a, dialect.EventRefusal, s.refusal)
	}
	r.extra(a, s.extra)
	r.media(a, &s)
	return r.calls(a, &s)
}

// list reads a content that is a list.
func (r *chunkReader) list(a *answerReading, v []byte) {
	r.plain = false
	r.s.pieces, _ = appendPieces(r.s.pieces[:0], v)
	for i := range r.s.pieces {
		kind := dialect.EventText
		if r.s.pieces[i].Kind == dialect.PartThinking {
			kind = dialect.EventThinking
		}
		r.events = append(r.events, dialect.Event{Kind: kind, Answer: a.index, Text: r.s.pieces[i].Text})
	}
}

// extra reads the signatures of thinking. Its text came as reasoning.
func (r *chunkReader) extra(a *answerReading, v []byte) {
	if v == nil {
		return
	}
	r.plain = false
	var unknown []string
	x := readExtra(v, &unknown, "")
	r.s.pieces = r.s.pieces[:0]
	if x.signed() {
		r.s.pieces = appendThinking(r.s.pieces, &x, nil)
	}
	for i := range r.s.pieces {
		p := &r.s.pieces[i]
		e := dialect.Event{Kind: dialect.EventSignature, Answer: a.index, Signature: p.Signature, Signer: p.Signer}
		if p.Kind == dialect.PartHidden {
			e.Kind = dialect.EventHidden
		}
		if p.Signature != nil {
			r.events = append(r.events, e)
		}
	}
	if x.signature != nil {
		r.events = append(r.events, dialect.Event{Kind: dialect.EventHidden, Answer: a.index, Signature: x.signature, Signer: dialect.Gemini})
	}
}

// media reads pictures and sound.
func (r *chunkReader) media(a *answerReading, s *said) {
	if s.images == nil && s.audio == nil {
		return
	}
	r.plain = false
	whole := dialect.Reply{Parts: r.s.pieces[:0]}
	p := replyReader{r: &whole}
	p.media(s)
	for i := range whole.Parts {
		part := &whole.Parts[i]
		e := dialect.Event{Kind: dialect.EventMedia, Answer: a.index, Media: part.Media, Text: part.Data}
		if part.Kind == dialect.PartText {
			e = dialect.Event{Kind: dialect.EventText, Answer: a.index, Text: part.Text}
		}
		r.events = append(r.events, e)
	}
	r.s.pieces = whole.Parts[:0]
}

// calls reads pieces of tool calls.
func (r *chunkReader) calls(a *answerReading, s *said) error {
	if s.calls == nil && s.functionCall == nil {
		return nil
	}
	before, plain := len(r.events), r.plain && r.text == nil && s.functionCall == nil
	r.plain = false
	if isObject(s.functionCall) {
		r.call(a, 0, callDelta{function: s.functionCall})
	}
	if !isArray(s.calls) {
		return nil
	}
	c := jsonscan.Cursor{B: s.calls}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		d, ok := readCallDelta(c.Skip())
		if !ok {
			continue // a custom tool: nobody who was translated asked for one
		}
		n := a.call(&d)
		if n < 0 {
			return fmt.Errorf("%w: an answer with more than %d calls", dialect.ErrMalformed, most)
		}
		r.call(a, n, d)
		// Arguments and nothing else may come again. Without an index it depends on what came before whose they are.
		if args := memberOf(d.function, "arguments"); plain && len(r.events) == before+1 && r.events[before].Kind == dialect.EventArgs && isString(args) && d.index >= 0 {
			r.plain, r.text, r.at = true, args, before
		} else {
			r.plain = false
		}
	}
	return nil
}

// callDelta is a piece of a call.
type callDelta struct {
	index     int // -1: untold
	id        dialect.Written
	function  []byte
	signature dialect.Written
}

func readCallDelta(v []byte) (d callDelta, ok bool) {
	d.index = -1
	if !isObject(v) {
		return d, false
	}
	ok = true
	f := fields(v)
	f.Enter('{')
	for k, more := f.Key(true); more; k, more = f.Key(false) {
		m := f.Skip()
		switch string(k) {
		case "custom":
			ok = isHollow(m)
		case "index":
			if isNumber(m) {
				d.index = max(0, indexOf(m))
			}
		case "id":
			d.id = inside(m)
		case "function":
			d.function = m
		case "extra_content":
			var unknown []string
			d.signature = readExtra(m, &unknown, "").signature
		}
	}
	return d, ok
}

// begins says that d is the first piece of another call than one with the same index: some servers number every call 0.
func (d *callDelta) begins(c *callReading) bool {
	return c.begun && len(d.id) > 0 && string(d.id) != string(c.id) && len(inside(memberOf(d.function, "name"))) > 0
}

// call is the ordinal of the call that d belongs to; -1 if there are too many. Without an index, as Google's endpoint has
// it, another id begins another call.
func (a *answerReading) call(d *callDelta) int {
	last := len(a.calls) - 1
	if d.index < 0 {
		if last >= 0 && (len(d.id) == 0 || string(d.id) == string(a.calls[last].id)) {
			return last
		}
	} else {
		for n := last; n >= 0; n-- {
			if a.calls[n].index == d.index && !d.begins(&a.calls[n]) {
				return n
			} else if a.calls[n].index == d.index {
				break
			}
		}
	}
	if len(a.calls) >= most {
		return -1
	}
	a.calls = extended(a.calls)
	call := &a.calls[last+1]
	*call = callReading{index: d.index, id: append(call.id[:0], d.id...)}
	return last + 1
}

// call tells what a piece adds to the nth call. The call begins when its name is known, or its arguments come.
func (r *chunkReader) call(a *answerReading, n int, d callDelta) {
	if n == len(a.calls) { // of the old form
		a.calls = extended(a.calls)
		a.calls[n] = callReading{id: a.calls[n].id[:0]}
	}
	call := &a.calls[n]
	name := inside(memberOf(d.function, "name"))
	args := memberOf(d.function, "arguments")
	if len(call.id) == 0 {
		call.id = append(call.id, d.id...)
	}
	if !call.begun && (len(name) > 0 || len(inside(args)) > 0) {
		call.begun, a.called = true, true
		if len(call.id) == 0 {
			call.id = appendCallID(call.id, r.s.id, n)
		}
		r.events = append(r.events, dialect.Event{Kind: dialect.EventCall, Answer: a.index, Call: n, ID: call.id, Name: name})
	}
	text := inside(args)
	if isObject(args) { // some servers send the object itself, whole
		from := len(r.s.ids)
		r.s.ids = jsonscan.AppendText(r.s.ids, args)
		text = r.s.ids[from:]
	}
	if len(text) > 0 {
		r.events = append(r.events, dialect.Event{Kind: dialect.EventArgs, Answer: a.index, Call: n, Text: text})
	}
	if d.signature != nil {
		r.events = append(r.events, dialect.Event{Kind: dialect.EventSignature, Answer: a.index, Call: n, Signature: d.signature, Signer: dialect.Gemini})
	}
}
