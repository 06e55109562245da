package sim

const seqMember = `"sequence_number":`

// stream writes the response as typed events.
func (w *responseWriter) stream() {
	for _, name := range [...]string{"response.created", "response.in_progress"} {
		w.event(name)
		w.put(`,"response":`)
		w.response(inProgress)
		w.close(0)
	}
	w.preamble = len(w.events)
	if len(w.choice.calls) == 0 {
		w.streamMessage()
	}
	for k := range w.choice.calls {
		w.streamCall(k)
	}
	w.event("response." + w.finalStatus())
	w.put(`,"response":`)
	w.response(w.finalStatus())
	w.close(0)
}

// event begins an event, up to the members that are its own.
func (w *responseWriter) event(name string) {
	w.put("event: ")
	w.put(name)
	w.put("\ndata: {\"type\":\"")
	w.put(name)
	w.put(`",` + seqMember)
	w.putInt(w.seq)
	w.seq++
}

func (w *responseWriter) close(tokens int) {
	w.put("}")
	w.endEvent(tokens)
}

func (w *responseWriter) streamMessage() {
	c, id := w.choice, w.itemID("msg_", 0)
	w.event("response.output_item.added")
	w.put(`,"output_index":0,"item":`)
	w.message(inProgress, false)
	w.close(0)
	w.inPart("response.content_part.added", id)
	w.put(`,"part":`)
	w.part(0)
	w.close(0)
	n := pieces(w.ask.pieces, len(c.ends))
	for i := range n {
		from, to := group(i, n, len(c.ends))
		w.inPart("response.output_text.delta", id)
		w.put(`,"delta":`)
		w.putJSON(span(c.text, c.ends, from, to))
		w.put(`,"logprobs":`)
		w.logprobs(from, to)
		w.close(to - from)
	}
	w.inPart("response.output_text.done", id)
	w.put(`,"text":`)
	w.putJSON(c.text)
	w.put(`,"logprobs":`)
	w.logprobs(0, len(c.ends))
	w.close(0)
	w.inPart("response.content_part.done", id)
	w.put(`,"part":`)
	w.part(len(c.ends))
	w.close(0)
	w.event("response.output_item.done")
	w.put(`,"output_index":0,"item":`)
	w.message(w.finalStatus(), true)
	w.close(0)
}

// inPart begins an event about the message's one content part.
func (w *responseWriter) inPart(name, id string) {
	w.event(name)
	w.put(`,"item_id":"`)
	w.put(id)
	w.put(`","output_index":0,"content_index":0`)
}

func (w *responseWriter) streamCall(k int) {
	c := &w.choice.calls[k]
	w.event("response.output_item.added")
	w.put(`,"output_index":`)
	w.putInt(k)
	w.put(`,"item":`)
	w.call(k, inProgress)
	w.close(0)
	n := pieces(w.ask.pieces, len(c.ends))
	for i := range n {
		from, to := group(i, n, len(c.ends))
		w.inCall("response.function_call_arguments.delta", k)
		w.put(`,"delta":`)
		w.putJSON(span(c.args, c.ends, from, to))
		w.close(to - from)
	}
	w.inCall("response.function_call_arguments.done", k)
	w.put(`,"arguments":`)
	w.putJSON(c.args)
	w.put(`,"name":`)
	w.putJSON(c.name)
	w.close(0)
	w.event("response.output_item.done")
	w.put(`,"output_index":`)
	w.putInt(k)
	w.put(`,"item":`)
	w.call(k, w.finalStatus())
	w.close(0)
}

// inCall begins an event about the arguments of the k-th call.
func (w *responseWriter) inCall(name string, k int) {
	w.event(name)
	w.put(`,"item_id":"`)
	w.put(w.itemID("fc_", k))
	w.put(`","output_index":`)
	w.putInt(k)
}
