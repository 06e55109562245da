package openai

import (
	"strconv"
)

// typedEvents writes the events of a responses stream.
type typedEvents struct {
	dst      []byte
	sequence int
}

// event writes one event: its type, its number and the further members.
func (w *typedEvents) event(kind string, o object) {
	w.dst = append(append(append(w.dst, "event: "...), kind...), "\ndata: "...)
	w.dst = append(append(append(w.dst, `{"type":"`...), kind...), `","sequence_number":`...)
	w.dst = strconv.AppendInt(w.dst, int64(w.sequence), 10)
	w.sequence++
	for _, m := range o {
		w.dst = appendMember(append(w.dst, ','), m.key, m.val)
	}
	w.dst = append(w.dst, "}\n\n"...)
}

// response writes all events of a finished response and returns where in dst the terminal one begins.
func (w *typedEvents) response(top object) (terminal int, ok bool) {
	kind := "response.completed"
	switch string(top.get("status")) {
	case "", `"completed"`:
	case `"incomplete"`:
		kind = "response.incomplete"
	default:
		return 0, false
	}
	items, ok := elements(top.get("output"))
	if !ok {
		return 0, false
	}
	started := top.with("status", `"in_progress"`, "output", "[]", "usage", "null", "completed_at", "null",
		"incomplete_details", "null").without("output_text").appendTo(nil)
	w.event("response.created", object{{"response", started}})
	w.event("response.in_progress", object{{"response", started}})
	for i, it := range items {
		if !w.item(i, it) {
			return 0, false
		}
	}
	terminal = len(w.dst)
	w.event(kind, object{{"response", top.appendTo(nil)}})
	return terminal, true
}

// place says which item, and which part of it, an event is about.
type place struct{ item, output, part []byte }

// about begins an event's members: the place, with the part's index under the given name unless that is "".
func (p place) about(part string, more ...member) object {
	o := object{{"item_id", p.item}, {"output_index", p.output}}
	if part != "" {
		o = append(o, member{part, p.part})
	}
	return append(o, more...)
}

func (w *typedEvents) item(i int, val []byte) bool {
	o, ok := members(val)
	if !ok {
		return false
	}
	p := place{item: o.get("id"), output: strconv.AppendInt(nil, int64(i), 10)}
	if !isString(p.item) {
		p.item = []byte(`""`)
	}
	added := o.with("status", `"in_progress"`)
	kind := string(o.get("type"))
	switch kind {
	case `"message"`, `"reasoning"`:
		added = added.with("content", "[]", "summary", "[]")
	default:
		if t, ok := streamedText[kind]; ok && isString(o.get(t.key)) {
			added = added.with(t.key, `""`)
		}
	}
	w.event("response.output_item.added", object{{"output_index", p.output}, {"item", added.appendTo(nil)}})
	w.body(kind, o, p)
	w.event("response.output_item.done", object{{"output_index", p.output}, {"item", val}})
	return true
}

// streamed is the name of a text's member, and what the names of its events begin with.
type streamed struct{ key, event string }

// streamedText names, for the types of item that are one text, the text's member and its events.
var streamedText = map[string]streamed{
	`"function_call"`:         {"arguments", argumentsEvents},
	`"mcp_call"`:              {"arguments", "response.mcp_call_arguments"},
	`"custom_tool_call"`:      {"input", "response.custom_tool_call_input"},
	`"code_interpreter_call"`: {"code", "response.code_interpreter_call_code"},
}

// partText names, for the types of part that are a text, the same.
var partText = map[string]streamed{
	`"output_text"`:    {"text", saidEvents},
	`"refusal"`:        {"refusal", "response.refusal"},
	`"reasoning_text"`: {"text", "response.reasoning_text"},
	`"summary_text"`:   {"text", "response.reasoning_summary_text"},
}

const (
	saidEvents      = "response.output_text"
	argumentsEvents = "response.function_call_arguments"
)

// body streams what an item holds, between its added and its done.
func (w *typedEvents) body(kind string, o object, p place) {
	if t, ok := streamedText[kind]; ok {
		if text := o.get(t.key); isString(text) {
			w.text(t.event, t.key, text, p.about(""))
		}
		return
	}
	if kind != `"message"` && kind != `"reasoning"` {
		return
	}
	summary, _ := elements(o.get("summary"))
	for i, part := range summary {
		p.part = strconv.AppendInt(nil, int64(i), 10)
		w.part("response.reasoning_summary_part", "summary_index", part, p)
	}
	content, _ := elements(o.get("content"))
	for i, part := range content {
		p.part = strconv.AppendInt(nil, int64(i), 10)
		w.part("response.content_part", "content_index", part, p)
	}
}

// part streams one part of a message or of reasoning.
func (w *typedEvents) part(event, index string, val []byte, p place) {
	o, _ := members(val)
	added := o.with("text", `""`, "refusal", `""`, "annotations", "[]", "logprobs", "[]")
	w.event(event+".added", p.about(index, member{"part", added.appendTo(nil)}))
	at := p.about(index)
	t := partText[string(o.get("type"))]
	switch text := o.get(t.key); {
	case !isString(text):
	case t.event == saidEvents:
		w.outputText(o, text, at)
	default:
		w.text(t.event, t.key, text, at)
	}
	w.event(event+".done", p.about(index, member{"part", val}))
}

// outputText streams a text with its logprobs and annotations.
func (w *typedEvents) outputText(o object, text []byte, at object) {
	logprobs := o.get("logprobs")
	if !isSet(logprobs) {
		logprobs = []byte("[]")
	}
	due := logprobs
	for _, piece := range pieces(text) {
		w.event("response.output_text.delta", at.and("delta", piece).and("logprobs", due))
		due = []byte("[]")
	}
	annotations, _ := elements(o.get("annotations"))
	for i, a := range annotations {
		n := strconv.AppendInt(nil, int64(i), 10)
		w.event("response.output_text.annotation.added", at.and("annotation_index", n).and("annotation", a))
	}
	w.event("response.output_text.done", at.and("text", text).and("logprobs", logprobs))
}

// text streams a text as deltas and once more as a whole, under the name that key gives it.
func (w *typedEvents) text(event, key string, text []byte, at object) {
	for _, piece := range pieces(text) {
		w.event(event+".delta", at.and("delta", piece))
	}
	w.event(event+".done", at.and(key, text))
}

// and returns a copy of o with one more member.
func (o object) and(key string, val []byte) object {
	return append(o[:len(o):len(o)], member{key, val})
}
