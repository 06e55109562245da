package sim

import (
	"encoding/base64"
	"strconv"
)

// liveReply is one answer of a Live conversation, while it is under way.
type liveReply struct {
	spoken   bool
	captions bool // the client is told what is spoken
	heard    int  // tokens of sound in what it answers
	media    int  // tokens of pictures in it
	in       int
	thought  int  // tokens
	shown    bool // the client sees the thought, in the first event
	choice   *choice
	calls    []string // ids of its calls
	told     []byte   // its calls as parts, JSON between commas
	marks    []int    // bytes of text that each event and those before it have said
	planned  *answer
}

// liveWriter writes a reply as the messages of a Live turn.
type liveWriter struct {
	*answer
	l   *liveTalk
	p   *liveReply
	ask *ask
	now int // bytes of text so far
}

func (w *liveWriter) write(rep *reply) {
	p, c := w.p, &rep.choices[0]
	p.planned, p.choice, p.in, p.media, p.thought = w.answer, c, w.in, w.ask.media, rep.thought
	w.stream = true
	if p.shown = w.ask.thinks && !w.ask.hidden; p.shown {
		w.part(`{"text":`, c.thought, `,"thought":true}`, rep.thought)
	}
	n := pieces(w.ask.pieces, len(c.ends))
	for i := range n {
		from, to := group(i, n, len(c.ends))
		w.say(span(c.text, c.ends, from, to), from, to)
	}
	out := len(c.ends)
	if p.spoken {
		out *= soundCost
	}
	if w.call(rep.out - rep.thought) {
		w.out = rep.out
		return
	}
	w.put(`{"serverContent":{"generationComplete":true}}`)
	w.close(0)
	for k := range c.calls {
		out += c.calls[k].tokens() // cut off, and not told
	}
	w.out = out + rep.thought
	w.put(`{"serverContent":{"turnComplete":true},"usageMetadata":` + p.usage(out, rep.thought) + `}`)
	w.close(0)
}

func (w *liveWriter) close(tokens int) {
	w.put("\n")
	w.events = append(w.events, event{end: len(w.body), tokens: tokens})
	w.p.marks = append(w.p.marks, w.now)
}

// part tells one part of the model's turn, with text between what is before and after it.
func (w *liveWriter) part(before, text, after string, tokens int) {
	w.put(`{"serverContent":{"modelTurn":{"parts":[` + before)
	w.putJSON(text)
	w.put(after + `]}}}`)
	w.close(tokens)
}

// say tells some tokens of text, or how they sound.
func (w *liveWriter) say(text string, from, to int) {
	w.now = w.p.choice.ends[to-1]
	if !w.p.spoken {
		w.part(`{"text":`, text, "}", to-from)
		return
	}
	if w.p.captions {
		w.put(`{"serverContent":{"outputTranscription":{"text":`)
		w.putJSON(text)
		w.put("}}}")
		w.close(0)
	}
	sound := base64.StdEncoding.EncodeToString(appendSpeech(nil, w.ask.key, from, to))
	w.part(`{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":`, sound, "}}", soundCost*(to-from))
}

// call tells the calls in one message, with what they cost: the turn goes on when they are answered. It tells
// whether there are any.
func (w *liveWriter) call(tokens int) bool {
	p := w.p
	var list []byte
	for k := range p.choice.calls {
		c := &p.choice.calls[k]
		if c.cut {
			continue
		}
		id := w.l.ids.id("function-call-", 20)
		one := append(appendJSON([]byte(`{"name":`), c.name), `,"args":`+c.args+`,"id":"`+id+`"}`...)
		list = joinItems(list, one)
		p.told = joinItems(p.told, append(append([]byte(`{"functionCall":`), one...), '}'))
		p.calls = append(p.calls, id)
	}
	if list == nil {
		return false
	}
	w.put(`{"toolCall":{"functionCalls":[` + string(list) + `]},"usageMetadata":` + p.usage(tokens, p.thought) + `}`)
	w.close(tokens)
	return true
}

// mused is how many tokens of thought the first n events hold.
func (p *liveReply) mused(n int) int {
	if p.shown && n > 0 {
		return p.thought
	}
	return 0
}

// usage tells what an answer of some tokens costs, after a thought of some more.
func (p *liveReply) usage(out, thought int) string {
	text, sound := out, 0
	if p.spoken && len(p.choice.calls) == 0 {
		text, sound = 0, out
	}
	u := `{"promptTokenCount":` + strconv.Itoa(p.in)
	if out > 0 {
		u += `,"responseTokenCount":` + strconv.Itoa(out)
	}
	u += `,"totalTokenCount":` + strconv.Itoa(p.in+out+thought) + `,"promptTokensDetails":` + byModality(p.in-p.heard-p.media, p.heard, p.media)
	if out > 0 {
		u += `,"responseTokensDetails":` + byModality(text, sound, 0)
	}
	if thought > 0 {
		u += `,"thoughtsTokenCount":` + strconv.Itoa(thought)
	}
	return u + "}"
}

// byModality lists tokens of text, of sound and of pictures, where there are any.
func byModality(text, sound, pictures int) string {
	var list []byte
	for i, n := range [...]int{text, sound, pictures} {
		if n > 0 {
			modality := [...]string{"TEXT", "AUDIO", "IMAGE"}[i]
			list = joinItems(list, []byte(`{"modality":"`+modality+`","tokenCount":`+strconv.Itoa(n)+`}`))
		}
	}
	return "[" + string(list) + "]"
}

// liveTurn is the dialect of one answer. A failure says nothing: it closes the socket once the turn is over.
type liveTurn struct {
	gemini
	l *liveTalk
}

func (d liveTurn) appendError(dst []byte, f *failure) []byte {
	d.l.failure = f
	return dst
}

func (d liveTurn) appendStreamError(dst, _ []byte, f *failure) []byte { return d.appendError(dst, f) }
