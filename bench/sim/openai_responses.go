package sim

import (
	"bytes"

	"github.com/valyala/fastjson"
)

// planResponses answers POST /v1/responses.
var planResponses = planText(bodyModel, readResponses, writeResponse)

// planWarmUp answers what a WebSocket sends ahead of a question: with a response that says nothing and costs nothing.
var planWarmUp = planText(bodyModel, readResponses, writeWarmUp)

func newResponseWriter(q *query, out *answer, a *ask, rep *reply) responseWriter {
	return responseWriter{answer: out, ask: a, choice: &rep.choices[0], id: rep.id.hex("resp_", 48), ids: rep.id,
		told: appendTold(nil, q.body)}
}

func writeWarmUp(q *query, out *answer, a *ask, rep *reply) {
	w := newResponseWriter(q, out, a, rep)
	w.in, w.out, w.silent = 0, 0, true
	w.choice.finish = finishStop
	for _, told := range [...]struct{ event, status string }{{"response.created", inProgress}, {"response.completed", completed}} {
		w.event(told.event)
		w.put(`,"response":`)
		w.response(told.status)
		w.close(0)
	}
}

func writeResponse(q *query, out *answer, a *ask, rep *reply) {
	w := newResponseWriter(q, out, a, rep)
	if a.stream {
		w.stream()
	} else {
		w.response(w.finalStatus())
	}
}

func readResponses(q *query, a *ask, p *prompt) *failure {
	v := q.body
	if instructions := v.GetStringBytes("instructions"); instructions != nil {
		p.label("system")
		p.add(instructions)
	}
	if before := v.GetStringBytes("previous_response_id"); before != nil && !q.recalled {
		p.label(string(before))
	}
	asked, f := readInput(v, p, a)
	if f != nil {
		return f
	}
	if f := readSampling(v, a, "max_output_tokens"); f != nil {
		return f
	}
	a.choices, a.stops = 1, nil // responses know neither
	for _, item := range v.GetArray("include") {
		a.logprobs = a.logprobs || string(item.GetStringBytes()) == "message.output_text.logprobs"
	}
	if a.top, f = integer(v, "top_logprobs", 0, 20, 0); f != nil {
		return f
	}
	if f := readResponseTools(v, p, a, asked); f != nil {
		return f
	}
	return readFormat(field(v, "text").Get("format"), "text.format", "", a)
}

// readInput reads "input", a text or a list of items, and tells whether the user has the last word.
func readInput(v *fastjson.Value, p *prompt, a *ask) (asked bool, f *failure) {
	m := field(v, "input")
	if m == nil {
		return false, missing("input")
	}
	if b, err := m.StringBytes(); err == nil {
		p.label("user")
		p.add(b)
		a.topic = string(b)
		return true, nil
	}
	list, err := m.Array()
	if err != nil {
		return false, wrongType("input", "a string or an array of objects", m)
	}
	for i, item := range list {
		if item.Type() != fastjson.TypeObject {
			return false, wrongType("input["+string(appendInt(nil, i))+"]", "an object", item)
		}
		role := string(item.GetStringBytes("role"))
		asked = role == "user"
		if role == "" {
			readItem(item, p)
			continue
		}
		if role == "developer" {
			role = "system"
		}
		p.label(role)
		text := readContent(field(item, "content"), p)
		if asked {
			a.topic = text
		}
	}
	return asked, nil
}

// readItem adds an item that is no message: a call, its output, reasoning and the like.
func readItem(item *fastjson.Value, p *prompt) {
	switch string(item.GetStringBytes("type")) {
	case "function_call":
		p.call(item.GetStringBytes("name"), item.GetStringBytes("arguments"))
	case "function_call_output":
		p.label("tool")
		readContent(field(item, "output"), p)
	default:
		p.add(item.MarshalTo(nil))
	}
}

func readResponseTools(v *fastjson.Value, p *prompt, a *ask, asked bool) *failure {
	list := field(v, "tools")
	if list == nil {
		return nil
	}
	var tools []tool
	for i, t := range list.GetArray() {
		if string(t.GetStringBytes("type")) != "function" {
			p.add(t.MarshalTo(nil)) // a tool that the provider itself would run
			continue
		}
		name := string(t.GetStringBytes("name"))
		if name == "" {
			return missing("tools[" + string(appendInt(nil, i)) + "].name")
		}
		tools = append(tools, newTool(t, "parameters"))
	}
	p.offer(tools)
	tc, f := readToolChoice(v, tools)
	if f != nil {
		return f
	}
	if asked || tc.name != "" {
		a.calls = tc.choose(tools, a.topic)
	}
	return nil
}

// told lists what a response repeats of its request, with what stands there when the request is silent.
var told = [...]struct{ key, fallback string }{
	{"instructions", "null"}, {"max_output_tokens", "null"}, {"max_tool_calls", "null"}, {"parallel_tool_calls", "true"},
	{"previous_response_id", "null"}, {"prompt_cache_key", "null"}, {"reasoning", `{"effort":null,"summary":null}`},
	{"safety_identifier", "null"}, {"store", "true"}, {"temperature", "1.0"},
	{"text", `{"format":{"type":"text"},"verbosity":"medium"}`}, {"tool_choice", `"auto"`}, {"tools", "[]"},
	{"top_logprobs", "0"}, {"top_p", "1.0"}, {"truncation", `"disabled"`}, {"user", "null"}, {"metadata", "{}"},
}

func appendTold(dst []byte, v *fastjson.Value) []byte {
	for _, m := range told {
		dst = append(dst, `,"`...)
		dst = append(dst, m.key...)
		dst = append(dst, `":`...)
		if given := field(v, m.key); given != nil {
			dst = given.MarshalTo(dst)
		} else {
			dst = append(dst, m.fallback...)
		}
	}
	return dst
}

// responseWriter writes a reply's first choice as a response: one message, or one item for each call.
type responseWriter struct {
	*answer
	ask    *ask
	choice *choice
	id     string
	ids    rng // draws the items' ids
	told   []byte
	seq    int  // the next event's sequence_number
	silent bool // it has no output
}

const (
	inProgress = "in_progress"
	completed  = "completed"
	incomplete = "incomplete"
)

func (w *responseWriter) finalStatus() string {
	if w.choice.finish == finishLength {
		return incomplete
	}
	return completed
}

// response writes the response object; only an ended one has output and usage.
func (w *responseWriter) response(status string) {
	w.put(`{"id":"`)
	w.put(w.id)
	w.put(`","object":"response","created_at":`)
	w.appendStamp()
	w.put(`,"status":"`)
	w.put(status)
	w.put(`","background":false,"error":null,"incomplete_details":`)
	if status == incomplete {
		w.put(`{"reason":"max_output_tokens"}`)
	} else {
		w.put("null")
	}
	w.put(`,"completed_at":`)
	if status == completed {
		w.appendStamp()
	} else {
		w.put("null")
	}
	w.put(`,"model":`)
	w.putJSON(w.ask.model)
	w.put(`,"service_tier":"default"`)
	w.body = append(w.body, w.told...)
	w.put(`,"output":[`)
	if status != inProgress && !w.silent {
		w.output()
	}
	w.put(`],"usage":`)
	if status != inProgress {
		w.usage()
	} else {
		w.put("null")
	}
	w.put("}")
}

func (w *responseWriter) usage() {
	w.put(`{"input_tokens":`)
	w.putInt(w.in)
	w.put(`,"input_tokens_details":{"cached_tokens":0},"output_tokens":`)
	w.putInt(w.out)
	w.put(`,"output_tokens_details":{"reasoning_tokens":`)
	w.putInt(w.thought)
	w.put(`},"total_tokens":`)
	w.putInt(w.in + w.out)
	w.put("}")
}

func (w *responseWriter) output() {
	if len(w.choice.calls) == 0 {
		w.message(w.finalStatus(), true)
		return
	}
	for k := range w.choice.calls {
		if k > 0 {
			w.put(",")
		}
		w.call(k, w.finalStatus())
	}
}

func (w *responseWriter) itemID(prefix string, k int) string {
	r := rng(mix(uint64(w.ids) + uint64(k)))
	return r.hex(prefix, 48)
}

// message writes the message item, with its content or before it has any.
func (w *responseWriter) message(status string, content bool) {
	w.put(`{"id":"`)
	w.put(w.itemID("msg_", 0))
	w.put(`","type":"message","status":"`)
	w.put(status)
	w.put(`","content":[`)
	if content {
		w.part(len(w.choice.ends))
	}
	w.put(`],"role":"assistant"}`)
}

// part writes the content part with the first tokens of the text.
func (w *responseWriter) part(tokens int) {
	w.put(`{"type":"output_text","annotations":[],"logprobs":`)
	w.logprobs(0, tokens)
	w.put(`,"text":`)
	w.putJSON(span(w.choice.text, w.choice.ends, 0, tokens))
	w.put("}")
}

func (w *responseWriter) logprobs(from, to int) {
	w.put("[")
	for i := from; w.ask.logprobs && i < to; i++ {
		if i > from {
			w.put(",")
		}
		w.putLogprob(span(w.choice.text, w.choice.ends, i, i+1), w.ask.top)
	}
	w.put("]")
}

// call writes the item of the k-th call; one in progress has no arguments yet.
func (w *responseWriter) call(k int, status string) {
	w.put(`{"id":"`)
	w.put(w.itemID("fc_", k))
	w.put(`","type":"function_call","status":"`)
	w.put(status)
	w.put(`","arguments":`)
	if status == inProgress {
		w.put(`""`)
	} else {
		w.putJSON(w.choice.calls[k].args)
	}
	w.put(`,"call_id":"`)
	r := rng(mix(uint64(w.ids) + uint64(k)<<16))
	w.put(r.id("call_", 24))
	w.put(`","name":`)
	w.putJSON(w.choice.calls[k].name)
	w.put("}")
}

// openaiResponses is the dialect of /v1/responses: its streams fail by events of their own.
type openaiResponses struct{ openai }

// appendStreamError appends an error event, or after the response has begun, that response as failed.
func (openaiResponses) appendStreamError(dst, sent []byte, f *failure) []byte {
	first, _, begun := bytes.Cut(sent, []byte("\n\n"))
	if !begun {
		dst = appendJSON(append(dst, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":"...), f.code)
		dst = appendJSON(append(dst, `,"message":`...), f.message)
		return append(dst, ",\"param\":null}\n\n"...)
	}
	cause := appendJSON([]byte(`"error":{"code":"server_error","message":`), f.message)
	seq := appendInt([]byte(seqMember), bytes.Count(sent, []byte(seqMember)))
	failed := bytes.Replace(first, []byte("response.created"), []byte("response.failed"), 2)
	failed = bytes.Replace(failed, []byte(seqMember+"0"), seq, 1)
	failed = bytes.Replace(failed, []byte(`"status":"in_progress"`), []byte(`"status":"failed"`), 1)
	failed = bytes.Replace(failed, []byte(`"error":null`), append(cause, '}'), 1)
	return append(append(dst, failed...), '\n', '\n')
}
