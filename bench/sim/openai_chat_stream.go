package sim

// stream writes the reply as chunks: for every choice its role, its content by pieces and its end, the
// choices taking turns; then the usage, if asked for; then the end of the stream.
func (w *chatWriter) stream() {
	w.grow(w.out+3*len(w.reply.choices)+2, w.head)
	for i := range w.reply.choices {
		w.open(i)
		if len(w.reply.choices[i].calls) > 0 {
			w.put(`"role":"assistant","content":null,"refusal":null`)
		} else {
			w.put(`"role":"assistant","content":"","refusal":null`)
		}
		w.close(0, 0, 0, "")
	}
	for piece, more := 0, true; more; piece++ {
		more = false
		for i := range w.reply.choices {
			more = w.content(i, piece) || more
		}
	}
	for i := range w.reply.choices {
		w.open(i)
		w.close(0, 0, 0, chatFinish[w.reply.choices[i].finish])
	}
	if w.ask.usage {
		w.put("data: ")
		w.putHead(w.head)
		w.put(`],"usage":`)
		w.putUsage()
		w.put("}")
		w.endEvent(0)
	}
	w.put("data: [DONE]")
	w.endEvent(0)
}

// content writes the piece-th content event of choice i and tells whether there was one.
func (w *chatWriter) content(i, piece int) bool {
	c := &w.reply.choices[i]
	if len(c.calls) > 0 {
		return w.callPiece(i, piece)
	}
	n := pieces(w.ask.pieces, len(c.ends))
	if piece >= n {
		return false
	}
	from, to := group(piece, n, len(c.ends))
	w.open(i)
	w.put(`"content":`)
	w.putJSON(span(c.text, c.ends, from, to))
	w.close(to-from, from, to, "")
	return true
}

// callPiece writes the piece-th event of choice i's calls: each call has one with its name, then its arguments.
func (w *chatWriter) callPiece(i, piece int) bool {
	c := &w.reply.choices[i]
	for k := range c.calls {
		call := &c.calls[k]
		n := pieces(w.ask.pieces, len(call.ends))
		if piece > n {
			piece -= n + 1
			continue
		}
		w.open(i)
		w.put(`"tool_calls":[{"index":`)
		w.putInt(k)
		tokens := 1
		if piece == 0 {
			w.put(`,"id":"`)
			w.put(w.callID(i, k))
			w.put(`","type":"function","function":{"name":`)
			w.putJSON(call.name)
			w.put(`,"arguments":""}}]`)
		} else {
			from, to := group(piece-1, n, len(call.ends))
			tokens = to - from
			w.put(`,"function":{"arguments":`)
			w.putJSON(span(call.args, call.ends, from, to))
			w.put(`}}]`)
		}
		w.close(tokens, 0, 0, "")
		return true
	}
	return false
}

// open begins a chunk of choice i, up to the inside of its delta.
func (w *chatWriter) open(i int) {
	w.put("data: ")
	w.putHead(w.head)
	w.put(`{"index":`)
	w.putInt(i)
	w.put(`,"delta":{`)
	w.current = i
}

// close ends the chunk: its tokens, the range of tokens whose log probabilities it carries, and the reason
// why its choice ended, if it did.
func (w *chatWriter) close(tokens, from, to int, finish string) {
	w.put(`},"logprobs":`)
	if to > from {
		w.logprobs(&w.reply.choices[w.current], from, to)
	} else {
		w.put("null")
	}
	w.put(`,"finish_reason":`)
	w.body = appendNullable(w.body, finish)
	w.put("}]")
	if w.ask.usage {
		w.put(`,"usage":null`)
	}
	w.put("}")
	w.endEvent(tokens)
}
