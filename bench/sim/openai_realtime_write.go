package sim

import "encoding/base64"

// realtimeWriter writes a reply as the events of a Realtime response.
type realtimeWriter struct {
	*answer
	r   *realtimeTalk
	p   *realtimeResponse
	ask *ask
	now mark
}

func (w *realtimeWriter) write(rep *reply) {
	p := w.p
	p.planned, p.choice, p.media = w.answer, &rep.choices[0], w.ask.media
	w.in += p.heard.tokens - p.heard.instead
	p.in, w.stream, w.now.item = w.in, true, -1
	for range max(len(p.choice.calls), 1) {
		p.ids = append(p.ids, w.r.ids.id("item_", 21))
		p.callIDs = append(p.callIDs, w.r.ids.id("call_", 16))
	}
	w.event("response.created")
	w.object(inProgress, "null", nil, "null")
	w.event("rate_limits.updated")
	w.put(`,"rate_limits":[{"name":"requests","limit":5000,"remaining":4999,"reset_seconds":0.012},` +
		`{"name":"tokens","limit":800000,"remaining":795000,"reset_seconds":0.375}]`)
	w.close(0)
	w.preamble = len(w.events)
	text := w.out
	if len(p.choice.calls) == 0 {
		w.message()
	}
	for k := range p.choice.calls {
		w.call(k)
	}
	w.out = text + w.now.sound
	details := "null"
	if p.status() == incomplete {
		details = `{"type":"incomplete","reason":"max_output_tokens"}`
	}
	w.event("response.done")
	w.object(p.status(), details, p.outputs(w.r, w.now), p.usage(text, w.now.sound))
}

// object ends an event about the whole response.
func (w *realtimeWriter) object(status, details string, output []byte, usage string) {
	w.put(`,"response":`)
	w.body = append(w.body, w.p.object(status, details, output, usage)...)
	w.close(0)
}

// event begins an event, up to the members that are its own.
func (w *realtimeWriter) event(name string) { w.body = w.r.appendEvent(w.body, w.r.named(name)) }

func (w *realtimeWriter) close(tokens int) {
	w.put("}\n")
	w.events = append(w.events, event{end: len(w.body), tokens: tokens})
	w.p.marks = append(w.p.marks, w.now)
}

// inItem begins an event about the k-th item.
func (w *realtimeWriter) inItem(name string, k int) {
	w.event(name)
	w.put(`,"response_id":"` + w.p.id + `","item_id":"` + w.p.ids[k] + `","output_index":`)
	w.putInt(k)
}

// inPart begins an event about the one part of the message.
func (w *realtimeWriter) inPart(name string) {
	w.inItem(name, 0)
	w.put(`,"content_index":0`)
}

// item tells that the k-th item is there or done, as a part of the response and of the conversation.
func (w *realtimeWriter) item(k int, end, status, text string) {
	item := w.p.item(w.r, k, status, text)
	w.event("response.output_item." + end)
	w.put(`,"response_id":"` + w.p.id + `","output_index":`)
	w.putInt(k)
	w.put(`,"item":`)
	w.body = append(w.body, item...)
	w.close(0)
	if w.p.apart || w.r.named("conversation.item."+end) == "" {
		return
	}
	w.event("conversation.item." + end)
	w.put(`,"previous_item_id":` + w.p.before(k) + `,"item":`)
	w.body = append(w.body, item...)
	w.close(0)
}

// begin tells that the k-th item is there.
func (w *realtimeWriter) begin(k int) {
	w.now.item, w.now.text = k, 0
	w.item(k, "added", inProgress, "")
}

// end tells that the k-th item is done.
func (w *realtimeWriter) end(k int) {
	w.now.item, w.now.ended = -1, k+1
	w.item(k, "done", w.p.itemStatus(k), w.p.text(k))
}

func (w *realtimeWriter) part(name, text string) {
	w.inPart(name)
	if w.p.spoken {
		w.put(`,"part":{"type":"audio","transcript":`)
	} else {
		w.put(`,"part":{"type":"text","text":`)
	}
	w.putJSON(text)
	w.put("}")
	w.close(0)
}

func (w *realtimeWriter) message() {
	c := w.p.choice
	w.begin(0)
	w.part("response.content_part.added", "")
	name, member := "response.output_text", "text"
	if w.p.spoken {
		name, member = "response.output_audio_transcript", "transcript"
	}
	n := pieces(w.ask.pieces, len(c.ends))
	for i := range n {
		from, to := group(i, n, len(c.ends))
		w.now.text = c.ends[to-1]
		w.inPart(name + ".delta")
		w.put(`,"delta":`)
		w.putJSON(span(c.text, c.ends, from, to))
		w.close(to - from)
		if w.p.spoken {
			w.sound(from, to)
		}
	}
	if w.p.spoken {
		w.inPart("response.output_audio.done")
		w.close(0)
	}
	w.inPart(name + ".done")
	w.put(`,"` + member + `":`)
	w.putJSON(c.text)
	w.close(0)
	w.part("response.content_part.done", c.text)
	w.end(0)
}

// sound tells how some tokens sound.
func (w *realtimeWriter) sound(from, to int) {
	speak := appendSpeech
	if w.p.phone != noPhone {
		speak = appendTelephone
	}
	cost := soundCost * (to - from)
	w.now.sound += cost
	w.inPart("response.output_audio.delta")
	w.put(`,"delta":"`)
	w.body = base64.StdEncoding.AppendEncode(w.body, speak(nil, w.ask.key, from, to))
	w.put(`"`)
	w.close(cost)
}

func (w *realtimeWriter) call(k int) {
	c := &w.p.choice.calls[k]
	w.begin(k)
	inCall := func(name string) {
		w.inItem(name, k)
		w.put(`,"call_id":"` + w.p.callIDs[k] + `"`)
	}
	n := pieces(w.ask.pieces, len(c.ends))
	for i := range n {
		from, to := group(i, n, len(c.ends))
		w.now.text = c.ends[to-1]
		inCall("response.function_call_arguments.delta")
		w.put(`,"delta":`)
		w.putJSON(span(c.args, c.ends, from, to))
		w.close(to - from)
	}
	inCall("response.function_call_arguments.done")
	w.put(`,"name":`)
	w.putJSON(c.name)
	w.put(`,"arguments":`)
	w.putJSON(c.args)
	w.close(0)
	w.end(k)
}
