package sim

import (
	"strings"

	"github.com/valyala/fastjson"
)

// wholeSize is enough for most whole answers, in bytes.
const wholeSize = 2 << 10

// imageTokens is what any part of a message costs that is not text.
const imageTokens = 85

// planChat answers POST /v1/chat/completions.
var planChat = planText(bodyModel, readChat, writeChat)

func writeChat(_ *query, out *answer, a *ask, rep *reply) {
	w := chatWriter{answer: out, ask: a, reply: rep}
	object, produce := "chat.completion", w.whole
	if a.stream {
		object, produce = "chat.completion.chunk", w.stream
	}
	w.head = newHead(rep.id.id("chatcmpl-", 29), object, a.model, `,"service_tier":"default"`)
	produce()
}

// readChat reads what a chat request asks for.
func readChat(q *query, a *ask, p *prompt) *failure {
	v := q.body
	last, f := readMessages(v, p, a)
	if f != nil {
		return f
	}
	if f := readSampling(v, a, "max_completion_tokens", "max_tokens"); f != nil {
		return f
	}
	if a.usage, f = includeUsage(v); f != nil {
		return f
	}
	if a.logprobs, f = flag(v, "logprobs"); f != nil {
		return f
	}
	if a.top, f = integer(v, "top_logprobs", 0, 20, 0); f != nil {
		return f
	}
	if f := readChatTools(v, p, a, last); f != nil {
		return f
	}
	return readFormat(field(v, "response_format"), "response_format", "json_schema", a)
}

// readSampling reads the members that chat, completions and responses share. The first of maxKeys that is
// there bounds the answer.
func readSampling(v *fastjson.Value, a *ask, maxKeys ...string) (f *failure) {
	for _, key := range maxKeys {
		if a.max == 0 {
			if a.max, f = integer(v, key, 1, 1<<31, 0); f != nil {
				return f
			}
		}
	}
	if a.choices, f = integer(v, "n", 1, 128, 1); f != nil {
		return f
	}
	if f = decimal(v, "temperature", 0, 2); f != nil {
		return f
	}
	if f = decimal(v, "top_p", 0, 1); f != nil {
		return f
	}
	if a.stops, f = stopsOf(v); f != nil {
		return f
	}
	a.stream, f = flag(v, "stream")
	return f
}

func includeUsage(v *fastjson.Value) (bool, *failure) {
	o := field(v, "stream_options")
	if o == nil {
		return false, nil
	}
	return flag(o, "include_usage")
}

// readMessages adds the messages to p and returns the role of the last one.
func readMessages(v *fastjson.Value, p *prompt, a *ask) (last string, f *failure) {
	m := field(v, "messages")
	if m == nil {
		return "", missing("messages")
	}
	list, err := m.Array()
	if err != nil {
		return "", wrongType("messages", "an array of objects", m)
	}
	if len(list) == 0 {
		return "", invalid("messages", "empty_array",
			"Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	}
	for i, msg := range list {
		at := "messages[" + string(appendInt(nil, i)) + "]"
		if msg.Type() != fastjson.TypeObject {
			return "", wrongType(at, "an object", msg)
		}
		if last, f = readRole(msg, at); f != nil {
			return "", f
		}
		p.label(last)
		text := readContent(field(msg, "content"), p)
		for _, c := range msg.GetArray("tool_calls") {
			p.call(c.GetStringBytes("function", "name"), c.GetStringBytes("function", "arguments"))
		}
		if last == "user" {
			a.topic = text
		}
	}
	return last, nil
}

// readRole reads a message's role, by the newest of its names.
func readRole(msg *fastjson.Value, at string) (string, *failure) {
	role := string(msg.GetStringBytes("role"))
	switch role {
	case "system", "user", "assistant", "tool":
		return role, nil
	case "developer":
		return "system", nil
	case "function":
		return "tool", nil
	case "":
		return "", missing(at + ".role")
	}
	return "", invalid(at+".role", "invalid_value",
		"Invalid value: '%s'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.", role)
}

// readContent adds a message's content to p, a string or a list of parts, and returns its text.
func readContent(c *fastjson.Value, p *prompt) string {
	if c == nil {
		return ""
	}
	if b, err := c.StringBytes(); err == nil {
		p.add(b)
		return string(b)
	}
	var text strings.Builder
	for _, part := range c.GetArray() {
		b := part.GetStringBytes("text")
		if b == nil {
			p.attach(part)
			continue
		}
		p.add(b)
		text.Write(b)
	}
	return text.String()
}

// readChatTools decides which tools are to be called: none after a tool has already answered.
func readChatTools(v *fastjson.Value, p *prompt, a *ask, lastRole string) *failure {
	list := field(v, "tools")
	if list == nil {
		return nil
	}
	var tools []tool
	for i, t := range list.GetArray() {
		fn := field(t, "function")
		if fn == nil {
			p.add(t.MarshalTo(nil)) // a custom tool: it takes free text, which this provider never sends
			continue
		}
		name := string(fn.GetStringBytes("name"))
		if name == "" {
			return missing("tools[" + string(appendInt(nil, i)) + "].function.name")
		}
		tools = append(tools, newTool(fn, "parameters"))
	}
	p.offer(tools)
	tc, f := readToolChoice(v, tools)
	if f != nil {
		return f
	}
	if lastRole == "user" || tc.name != "" {
		a.calls = tc.choose(tools, a.topic)
	}
	return nil
}

// newTool reads a tool's declaration, which has the schema in one of the given members.
func newTool(v *fastjson.Value, schemas ...string) tool {
	t := tool{name: string(v.GetStringBytes("name")), description: string(v.GetStringBytes("description"))}
	for _, key := range schemas {
		if t.schema == nil {
			t.schema = field(v, key)
		}
	}
	return t
}

// readToolChoice reads "tool_choice" and "parallel_tool_calls"; the name of a forced function stands beside
// the type in responses and one level down in chat.
func readToolChoice(v *fastjson.Value, tools []tool) (toolChoice, *failure) {
	var tc toolChoice
	if p := field(v, "parallel_tool_calls"); p != nil {
		tc.single = p.Type() == fastjson.TypeFalse
	}
	c := field(v, "tool_choice")
	if c == nil {
		return tc, nil
	}
	if b, err := c.StringBytes(); err == nil {
		tc.never, tc.required = string(b) == "none", string(b) == "required"
		return tc, nil
	}
	name := c.GetStringBytes("function", "name")
	if name == nil {
		name = c.GetStringBytes("name")
	}
	tc.name = string(name)
	for _, t := range tools {
		if t.name == tc.name {
			return tc, nil
		}
	}
	return tc, invalid("tool_choice", "", "Invalid value for 'tool_choice': no function named '%s' was specified in the 'tools' parameter.", tc.name)
}

// readFormat reads an answer's format; the schema stands in format itself or in its member at.
func readFormat(format *fastjson.Value, param, at string, a *ask) *failure {
	if format == nil {
		return nil
	}
	switch kind := string(format.GetStringBytes("type")); kind {
	case "", "text":
	case "json_object":
		a.json = true
	case "json_schema":
		if at != "" {
			format = field(format, at)
		}
		if a.schema = format.Get("schema"); a.schema == nil {
			return missing(param + "." + strings.TrimPrefix(at+".schema", "."))
		}
	default:
		return invalid(param+".type", "invalid_value",
			"Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', and 'text'.", kind)
	}
	return nil
}

// chatWriter writes a reply as a chat completion.
type chatWriter struct {
	*answer
	ask   *ask
	reply *reply
	head  head

	current int // the choice whose chunk is being written
}

func (w *chatWriter) whole() {
	w.body = make([]byte, 0, wholeSize)
	w.putHead(w.head)
	for i := range w.reply.choices {
		c := &w.reply.choices[i]
		if i > 0 {
			w.put(",")
		}
		w.put(`{"index":`)
		w.putInt(i)
		w.put(`,"message":{"role":"assistant","content":`)
		if len(c.calls) > 0 {
			w.put("null")
			w.calls(c, i)
		} else {
			w.putJSON(c.text)
		}
		w.put(`,"refusal":null,"annotations":[]},"logprobs":`)
		w.logprobs(c, 0, len(c.ends))
		w.put(`,"finish_reason":"`)
		w.put(chatFinish[c.finish])
		w.put(`"}`)
	}
	w.put(`],"usage":`)
	w.putUsage()
	w.put("}")
}

var chatFinish = [...]string{finishStop: "stop", finishLength: "length", finishCalls: "tool_calls"}

func (w *chatWriter) calls(c *choice, index int) {
	w.put(`,"tool_calls":[`)
	for k := range c.calls {
		if k > 0 {
			w.put(",")
		}
		w.put(`{"id":"`)
		w.put(w.callID(index, k))
		w.put(`","type":"function","function":{"name":`)
		w.putJSON(c.calls[k].name)
		w.put(`,"arguments":`)
		w.putJSON(c.calls[k].args)
		w.put("}}")
	}
	w.put("]")
}

func (w *chatWriter) callID(index, k int) string {
	r := rng(mix(uint64(w.reply.id) + uint64(index<<16+k)))
	return r.id("call_", 24)
}

// logprobs appends the log probabilities of a range of c's tokens, or null.
func (w *chatWriter) logprobs(c *choice, from, to int) {
	if !w.ask.logprobs || len(c.calls) > 0 {
		w.put("null")
		return
	}
	w.put(`{"content":[`)
	for i := from; i < to; i++ {
		if i > from {
			w.put(",")
		}
		w.putLogprob(span(c.text, c.ends, i, i+1), w.ask.top)
	}
	w.put(`],"refusal":null}`)
}
