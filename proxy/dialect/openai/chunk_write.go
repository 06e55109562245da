package openai

import (
	"strconv"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// chunkWriting is what is kept of a stream of chunks that is written.
type chunkWriting struct {
	head    []byte // of every event, up to its choices
	id      []byte
	answers []answerWriting
}

// answerWriting is what is kept of one answer.
type answerWriting struct {
	index     int
	began     bool
	refused   bool
	called    bool   // the last thing that was told is a call
	thinking  []byte // since the last signature: it goes with it
	thoughts  int
	images    int
	afterCall int // the ordinal of that call
}

// Reset makes s ready for another stream.
func (s *chunkWriting) Reset() {
	*s = chunkWriting{head: s.head[:0], id: s.id[:0], answers: s.answers[:0]}
}

// appendChunk appends the events of chat/completions or completions that tell e.
func appendChunk(dst []byte, op dialect.Op, st *dialect.Writing, e *dialect.Event) []byte {
	s, ok := st.Own.(*chunkWriting)
	if !ok {
		s = new(chunkWriting)
		st.Own = s
	}
	w := chunkWriter{dst: dst, op: op, s: s, st: &st.Stream}
	if e.Kind == dialect.EventStart || len(s.head) == 0 {
		w.start(e)
	}
	switch e.Kind {
	case dialect.EventStart:
		if op == dialect.OpChat {
			w.begin(s.answer(0))
		}
	case dialect.EventUsage:
		st.Stream.Usage = e.Usage
		st.Stream.Events++
		w.dst = appendUsage(append(append(w.dst, s.head...), `],"usage":`...), &e.Usage)
		w.dst = append(w.dst, "}\n\n"...)
	case dialect.EventEnd:
		st.Stream.Finished = true
		st.Stream.Events++
		st.Terminal = len(w.dst)
		w.dst = append(w.dst, "data: [DONE]\n\n"...)
	default:
		if op == dialect.OpChat {
			w.delta(e)
		} else {
			w.text(e)
		}
	}
	return w.dst
}

// answer is what is kept of the answer with that index.
func (s *chunkWriting) answer(index int) *answerWriting {
	for i := range s.answers {
		if s.answers[i].index == index {
			return &s.answers[i]
		}
	}
	s.answers = extended(s.answers)
	a := &s.answers[len(s.answers)-1]
	*a = answerWriting{index: index, thinking: a.thinking[:0]}
	return a
}

// chunkWriter writes chunks.
type chunkWriter struct {
	dst []byte
	op  dialect.Op
	s   *chunkWriting
	st  *dialect.Stream
}

// start keeps what every event begins with.
func (w *chunkWriter) start(e *dialect.Event) {
	prefix, object := chatPrefix, "chat.completion.chunk"
	if w.op == dialect.OpCompletions {
		prefix, object = textPrefix, "text_completion"
	}
	if e.Kind != dialect.EventStart {
		e = &dialect.Event{} // what it names is its own
	}
	w.s.id = append(w.s.id[:0], e.ID...)
	w.s.head = appendReplyHead(append(w.s.head[:0], "data: "...), prefix, object, e.ID, e.Model, e.Created)
}

// open begins a chunk of an answer, up to what is in its delta.
func (w *chunkWriter) open(a *answerWriting) {
	w.st.Events++
	if a.index < 64 {
		w.st.Choices |= 1 << a.index
	}
	w.dst = append(append(w.dst, w.s.head...), `{"index":`...)
	w.dst = strconv.AppendInt(w.dst, int64(a.index), 10)
	w.dst = append(w.dst, `,"delta":{`...)
}

const (
	closeDelta  = `},"logprobs":null,"finish_reason":null}]}` + "\n\n"
	closeString = `"` + closeDelta
)

// begin writes the chunk with the role, by which an answer begins.
func (w *chunkWriter) begin(a *answerWriting) {
	a.began = true
	w.open(a)
	w.dst = append(append(w.dst, `"role":"assistant","content":null,"refusal":null`...), closeDelta...)
}

// delta writes the chunk that tells e.
func (w *chunkWriter) delta(e *dialect.Event) {
	a := w.s.answer(e.Answer)
	if !a.began {
		w.begin(a)
	}
	if e.Kind != dialect.EventFinish && e.Kind != dialect.EventLogProbs {
		w.st.Content = true
	}
	switch e.Kind {
	case dialect.EventText:
		a.called = false
		w.string(a, `"content":"`, e.Text)
	case dialect.EventRefusal:
		a.refused = true
		w.string(a, `"refusal":"`, e.Text)
	case dialect.EventThinking:
		a.called = false
		a.thinking = append(a.thinking, e.Text...)
		w.string(a, `"reasoning_content":"`, e.Text)
	case dialect.EventCall, dialect.EventArgs:
		w.call(a, e)
	case dialect.EventSignature, dialect.EventHidden:
		w.signature(a, e)
	case dialect.EventMedia:
		w.media(a, e)
	case dialect.EventLogProbs:
		w.open(a)
		w.dst = appendValue(w.dst, `},"logprobs":`, e.Raw)
		w.dst = append(w.dst, `,"finish_reason":null}]}`+"\n\n"...)
	case dialect.EventFinish:
		w.open(a)
		w.finish(a, reasonOf(e.Finish, a.refused))
	}
}

func (w *chunkWriter) string(a *answerWriting, name string, text dialect.Written) {
	w.open(a)
	w.dst = append(append(append(w.dst, name...), text...), closeString...)
}

// finish ends the chunk, and with it the answer.
func (w *chunkWriter) finish(a *answerWriting, reason string) {
	w.dst = append(append(append(w.dst, `},"logprobs":null,"finish_reason":"`...), reason...), `"}]}`+"\n\n"...)
	w.ended(a)
}

func (w *chunkWriter) ended(a *answerWriting) {
	if a.index < 64 {
		w.st.Ended |= 1 << a.index
	}
	w.st.Finished = w.st.Ended == w.st.Choices
}

// call writes the beginning of a call, or a piece of its arguments.
func (w *chunkWriter) call(a *answerWriting, e *dialect.Event) {
	a.called, a.afterCall = true, e.Call
	w.callHead(a, e.Call)
	if e.Kind == dialect.EventArgs {
		w.dst = append(append(append(w.dst, `,"function":{"arguments":"`...), e.Text...), `"}}]`+closeDelta...)
		return
	}
	w.dst = append(append(w.dst, `,"id":"`...), e.ID...)
	if len(e.ID) == 0 {
		w.dst = appendCallID(w.dst, w.s.id, e.Call)
	}
	w.dst = appendText(w.dst, `","type":"function","function":{"name":`, e.Name)
	w.dst = append(w.dst, `,"arguments":""}}]`+closeDelta...)
}

func (w *chunkWriter) callHead(a *answerWriting, call int) {
	w.open(a)
	w.dst = strconv.AppendInt(append(w.dst, `"tool_calls":[{"index":`...), int64(call), 10)
}

// signature writes what proves a call or thinking to its signer.
func (w *chunkWriter) signature(a *answerWriting, e *dialect.Event) {
	hidden := e.Kind == dialect.EventHidden
	switch {
	case a.called && !hidden:
		w.callHead(a, a.afterCall)
		w.dst = appendCallSignature(append(w.dst, `,"function":{"arguments":""},`...), e.Signature, e.Signer)
		w.dst = append(w.dst, `}]`+closeDelta...)
	case e.Signer == dialect.Gemini:
		w.open(a)
		w.dst = appendSigned(append(w.dst, `"extra_content":{`...), e.Signature)
		w.dst = append(w.dst, `}`+closeDelta...)
	default:
		w.open(a)
		w.dst = append(append(append(w.dst, `"extra_content":{"`...), signers[e.Signer]...), `":{"thinking":[`...)
		w.dst = appendThought(w.dst, hidden, a.thinking, e.Signature)
		w.dst = strconv.AppendInt(append(w.dst, `,"index":`...), int64(a.thoughts), 10)
		w.dst = append(w.dst, `}]}}`+closeDelta...)
		a.thoughts++
	}
	if !hidden {
		a.thinking = a.thinking[:0]
	}
}

// media writes a picture or a sound.
func (w *chunkWriter) media(a *answerWriting, e *dialect.Event) {
	w.open(a)
	if len(e.Media) == 0 || audioFamily(e.Media) {
		w.dst = append(appendAudio(w.dst, w.s.id, e.Text), closeDelta...)
		return
	}
	w.dst = appendImage(append(w.dst, `"images":[`...), a.images, e.Media, e.Text)
	w.dst = append(w.dst, `]`+closeDelta...)
	a.images++
}

// text writes the chunk of completions that tells e: they are text and nothing else.
func (w *chunkWriter) text(e *dialect.Event) {
	a := w.s.answer(e.Answer)
	switch e.Kind {
	case dialect.EventText, dialect.EventRefusal:
		w.st.Content = true
		w.textHead(a)
		w.dst = append(append(w.dst, e.Text...), `","logprobs":null,"finish_reason":null}]}`+"\n\n"...)
	case dialect.EventFinish:
		w.textHead(a)
		w.dst = append(append(w.dst, `","logprobs":null,"finish_reason":"`...), textReasonOf(e.Finish)...)
		w.dst = append(w.dst, `"}]}`+"\n\n"...)
		w.ended(a)
	}
}

func (w *chunkWriter) textHead(a *answerWriting) {
	w.st.Events++
	if a.index < 64 {
		w.st.Choices |= 1 << a.index
	}
	w.dst = strconv.AppendInt(append(append(w.dst, w.s.head...), `{"index":`...), int64(a.index), 10)
	w.dst = append(w.dst, `,"text":"`...)
}
