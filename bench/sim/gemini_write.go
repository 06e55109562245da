package sim

// contentWriter writes a reply as Gemini's response, or as the chunks of one.
type contentWriter struct {
	*answer
	ask   *ask
	reply *reply
	id    string
	array bool // the stream is one JSON array
	told  int  // tokens of text and calls in the chunks so far
	mused int  // tokens of thought in them
}

func newContentWriter(out *answer, a *ask, rep *reply) *contentWriter {
	return &contentWriter{answer: out, ask: a, reply: rep, id: rep.id.id("", 22)}
}

func writeContent(_ *query, out *answer, a *ask, rep *reply) { newContentWriter(out, a, rep).whole() }

func writeContentEvents(_ *query, out *answer, a *ask, rep *reply) {
	newContentWriter(out, a, rep).stream()
}

func writeContentArray(_ *query, out *answer, a *ask, rep *reply) {
	out.contentType = typeJSON
	w := newContentWriter(out, a, rep)
	w.array = true
	w.stream()
}

func finishReason(c *choice) string {
	if c.finish == finishLength {
		return "MAX_TOKENS"
	}
	return "STOP"
}

func (w *contentWriter) whole() {
	w.put(`{"candidates":[`)
	for i := range w.reply.choices {
		if i > 0 {
			w.put(",")
		}
		w.open()
		w.parts(i)
		w.shut(i, finishReason(&w.reply.choices[i]))
	}
	w.told, w.mused = w.out-w.reply.thought, w.reply.thought
	w.tail()
}

// open begins a candidate, up to the inside of its parts.
func (w *contentWriter) open() { w.put(`{"content":{"parts":[`) }

// shut ends candidate i, with the reason why it ended if it did.
func (w *contentWriter) shut(i int, reason string) {
	w.put(`],"role":"model"}`)
	if reason != "" {
		w.put(`,"finishReason":"` + reason + `"`)
	}
	w.put(`,"index":`)
	w.putInt(i)
	w.put("}")
}

// tail ends a response after its candidates.
func (w *contentWriter) tail() {
	w.put(`],"usageMetadata":{"promptTokenCount":`)
	w.putInt(w.in)
	if w.told > 0 {
		w.put(`,"candidatesTokenCount":`)
		w.putInt(w.told)
	}
	w.put(`,"totalTokenCount":`)
	w.putInt(w.in + w.told + w.mused)
	w.put(`,"promptTokensDetails":`)
	w.putModalities(w.ask)
	if w.mused > 0 {
		w.put(`,"thoughtsTokenCount":`)
		w.putInt(w.mused)
	}
	w.put(`},"modelVersion":`)
	w.putJSON(w.ask.model)
	w.put(`,"responseId":"` + w.id + `"}`)
}

// putModalities writes how many tokens of a's prompt are text and how many are not.
func (a *answer) putModalities(from *ask) {
	a.put(`[{"modality":"TEXT","tokenCount":`)
	a.putInt(from.in - from.media)
	if from.media > 0 {
		a.put(`},{"modality":"IMAGE","tokenCount":`)
		a.putInt(from.media)
	}
	a.put("}]")
}

func (w *contentWriter) parts(i int) {
	c := &w.reply.choices[i]
	comma := ""
	if w.ask.thinks && !w.ask.hidden {
		w.textPart(c.thought, `,"thought":true`)
		comma = ","
	}
	if c.text != "" {
		w.put(comma)
		w.textPart(c.text, w.signed(c))
		comma = ","
	}
	for k := range c.calls {
		if !c.calls[k].cut {
			w.put(comma)
			w.callPart(i, k)
			comma = ","
		}
	}
}

// signed is the member that proves a thought, for the first part after it.
func (w *contentWriter) signed(c *choice) string {
	if !w.ask.thinks {
		return ""
	}
	return `,"thoughtSignature":"` + signature(c.thought) + `"`
}

func (w *contentWriter) textPart(text, more string) {
	w.put(`{"text":`)
	w.putJSON(text)
	w.put(more + "}")
}

func (w *contentWriter) callPart(i, k int) {
	c := &w.reply.choices[i]
	w.put(`{"functionCall":{"name":`)
	w.putJSON(c.calls[k].name)
	r := rng(mix(uint64(w.reply.id) + uint64(i<<16+k)))
	w.put(`,"args":` + c.calls[k].args + `,"id":"` + r.id("", 12) + `"}`)
	if k == 0 {
		w.put(w.signed(c))
	}
	w.put("}")
}

// stream writes the reply as responses that each hold one piece: for every candidate its thought, its text or
// calls, and the reason why it ended. Each tells the usage so far.
func (w *contentWriter) stream() {
	for i := range w.reply.choices {
		c := &w.reply.choices[i]
		w.mused += c.hidden + len(c.thoughtEnds)
		if w.ask.thinks && !w.ask.hidden {
			w.chunk(i, "", len(c.thoughtEnds), func() { w.textPart(c.thought, `,"thought":true`) })
		}
		n := pieces(w.ask.pieces, len(c.ends))
		for piece := range n {
			from, to := group(piece, n, len(c.ends))
			w.told += to - from
			w.chunk(i, "", to-from, func() { w.textPart(span(c.text, c.ends, from, to), "") })
		}
		for k := range c.calls {
			w.told += c.calls[k].tokens()
			if !c.calls[k].cut {
				w.chunk(i, "", c.calls[k].tokens(), func() { w.callPart(i, k) })
			}
		}
		last := ""
		if len(c.calls) == 0 {
			last = w.signed(c)
		}
		w.chunk(i, finishReason(c), 0, func() { w.textPart("", last) })
	}
	if w.array {
		w.put("]")
		w.events[len(w.events)-1].end = len(w.body)
	}
}

// chunk writes one response of a stream, with one part of candidate i.
func (w *contentWriter) chunk(i int, reason string, tokens int, part func()) {
	switch {
	case !w.array:
		w.put("data: ")
	case len(w.events) == 0:
		w.put("[")
	default:
		w.put(",\r\n")
	}
	w.put(`{"candidates":[`)
	w.open()
	part()
	w.shut(i, reason)
	w.tail()
	if !w.array {
		w.put("\r\n\r\n")
	}
	w.events = append(w.events, event{end: len(w.body), tokens: tokens})
}
