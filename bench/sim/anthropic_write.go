package sim

import (
	"encoding/base64"

	"github.com/cespare/xxhash/v2"
)

// messageWriter writes a reply's first choice as Anthropic's message.
type messageWriter struct {
	*answer
	ask    *ask
	choice *choice
	reply  *reply
	id     string
	index  int // of the next content block
}

func writeMessage(_ *query, out *answer, a *ask, rep *reply) {
	w := messageWriter{answer: out, ask: a, choice: &rep.choices[0], reply: rep, id: rep.id.id("msg_01", 22)}
	if a.stream {
		w.stream()
	} else {
		w.whole()
	}
}

// signature is what proves to this provider that it had a thought itself: base64, as the real ones are.
func signature(thought string) string {
	r := rng(xxhash.Sum64String(thought))
	return base64.StdEncoding.EncodeToString([]byte(r.hex("sim-", 44)))
}

// shownThought is the thought as the client may see it; its signature is of that.
func (w *messageWriter) shownThought() string {
	if w.ask.hidden {
		return ""
	}
	return w.choice.thought
}

func (w *messageWriter) toolID(k int) string {
	r := rng(mix(uint64(w.reply.id) + uint64(k)))
	return r.id("toolu_01", 22)
}

// stopReason is why the message ended.
func (w *messageWriter) stopReason() string {
	switch {
	case w.choice.finish == finishLength:
		return "max_tokens"
	case w.choice.finish == finishCalls:
		return "tool_use"
	case w.choice.stop != "":
		return "stop_sequence"
	}
	return "end_turn"
}

// ending writes the members that tell why the message ended.
func (w *messageWriter) ending() {
	w.put(`"stop_reason":"`)
	w.put(w.stopReason())
	w.put(`","stop_sequence":`)
	w.body = appendNullable(w.body, w.choice.stop)
	w.put(`,"stop_details":null,"container":null`)
}

// head writes the message's members before its content.
func (w *messageWriter) head() {
	w.put(`{"id":"`)
	w.put(w.id)
	w.put(`","type":"message","role":"assistant","model":`)
	w.putJSON(w.ask.model)
	w.put(`,"diagnostics":null,"content":[`)
}

// inputUsage writes the members about the prompt, whose cached tokens do not count as input.
func (w *messageWriter) inputUsage() {
	c := w.ask.cached
	w.put(`"input_tokens":`)
	w.putInt(max(w.in-c.read-c.write, 0))
	w.put(`,"cache_creation_input_tokens":`)
	w.putInt(c.write)
	w.put(`,"cache_read_input_tokens":`)
	w.putInt(c.read)
}

// usage writes the whole usage object.
func (w *messageWriter) usage(out, thought int) {
	w.put("{")
	w.inputUsage()
	short, long := w.ask.cached.write, 0
	if w.ask.cached.hour {
		short, long = 0, short
	}
	w.put(`,"cache_creation":{"ephemeral_5m_input_tokens":`)
	w.putInt(short)
	w.put(`,"ephemeral_1h_input_tokens":`)
	w.putInt(long)
	w.put("}")
	w.outputUsage(out, thought)
	w.put(`,"service_tier":"standard","inference_geo":null,"speed":"standard"}`)
}

func (w *messageWriter) outputUsage(out, thought int) {
	w.put(`,"output_tokens":`)
	w.putInt(out)
	w.put(`,"output_tokens_details":{"thinking_tokens":`)
	w.putInt(thought)
	w.put(`},"server_tool_use":null`)
}

func (w *messageWriter) whole() {
	w.head()
	c := w.choice
	comma := ""
	if w.ask.thinks {
		w.put(`{"type":"thinking","thinking":`)
		w.putJSON(w.shownThought())
		w.put(`,"signature":"` + signature(w.shownThought()) + `"}`)
		comma = ","
	}
	if c.text != "" {
		w.put(comma + `{"type":"text","text":`)
		w.putJSON(c.text)
		w.put(`,"citations":null}`)
		comma = ","
	}
	for k := range c.calls {
		w.put(comma)
		input := c.calls[k].args
		if c.calls[k].cut {
			input = "{}"
		}
		w.toolUse(k, input)
		comma = ","
	}
	w.put(`],`)
	w.ending()
	w.put(`,"usage":`)
	w.usage(w.out, w.reply.thought)
	w.put("}")
}

func (w *messageWriter) toolUse(k int, input string) {
	w.put(`{"type":"tool_use","id":"` + w.toolID(k) + `","name":`)
	w.putJSON(w.choice.calls[k].name)
	w.put(`,"input":` + input + `,"caller":{"type":"direct"}}`)
}

// stream writes the message as typed events: each content block is started, filled and stopped in turn.
func (w *messageWriter) stream() {
	w.anthropicEvent("message_start")
	w.put(`,"message":`)
	w.head()
	w.put(`],"stop_reason":null,"stop_sequence":null,"stop_details":null,"container":null,"usage":`)
	w.usage(1, 0)
	w.put("}")
	w.close(0)
	w.preamble = len(w.events)
	if w.ask.thinks {
		w.streamThought()
	}
	if c := w.choice; c.text != "" {
		w.start(0, func() { w.put(`{"type":"text","text":"","citations":null}`) })
		w.deltas("text_delta", "text", c.text, c.ends)
		w.stop()
	}
	for k := range w.choice.calls {
		call := &w.choice.calls[k]
		w.start(1, func() { w.toolUse(k, "{}") })
		w.delta(0, "input_json_delta", "partial_json", "")
		w.deltas("input_json_delta", "partial_json", call.args, call.ends)
		w.stop()
	}
	w.anthropicEvent("message_delta")
	w.put(`,"delta":{`)
	w.ending()
	w.put(`},"usage":{`)
	w.inputUsage()
	w.outputUsage(w.out, w.reply.thought)
	w.put("}")
	w.close(0)
	w.anthropicEvent("message_stop")
	w.close(0)
}

func (w *messageWriter) streamThought() {
	w.start(0, func() { w.put(`{"type":"thinking","thinking":"","signature":""}`) })
	if !w.ask.hidden {
		w.deltas("thinking_delta", "thinking", w.choice.thought, w.choice.thoughtEnds)
	}
	w.delta(0, "signature_delta", "signature", signature(w.shownThought()))
	w.stop()
}

func (w *messageWriter) close(tokens int) {
	w.put("}")
	w.endEvent(tokens)
}

// start begins a content block; the first one is followed by a ping.
func (w *messageWriter) start(tokens int, block func()) {
	w.anthropicEvent("content_block_start")
	w.put(`,"index":`)
	w.putInt(w.index)
	w.put(`,"content_block":`)
	block()
	w.close(tokens)
	if w.index == 0 {
		w.anthropicEvent("ping")
		w.close(0)
	}
}

func (w *messageWriter) stop() {
	w.anthropicEvent("content_block_stop")
	w.put(`,"index":`)
	w.putInt(w.index)
	w.close(0)
	w.index++
}

// deltas sends text by pieces.
func (w *messageWriter) deltas(kind, member, text string, ends []int) {
	n := pieces(w.ask.pieces, len(ends))
	for i := range n {
		from, to := group(i, n, len(ends))
		w.delta(to-from, kind, member, span(text, ends, from, to))
	}
}

func (w *messageWriter) delta(tokens int, kind, member, text string) {
	w.anthropicEvent("content_block_delta")
	w.put(`,"index":`)
	w.putInt(w.index)
	w.put(`,"delta":{"type":"`)
	w.put(kind)
	w.put(`","`)
	w.put(member)
	w.put(`":`)
	w.putJSON(text)
	w.put("}")
	w.close(tokens)
}
