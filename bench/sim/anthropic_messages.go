package sim

import (
	"strings"

	"github.com/valyala/fastjson"
)

// planMessages answers POST /v1/messages.
var planMessages = planText(bodyModel, readMessagesCreate, writeMessage)

// planMessageTokens answers POST /v1/messages/count_tokens.
func planMessageTokens(_ *brain, q *query) (*answer, *failure) {
	a, f := readText(q, bodyModel, readMessagesBody)
	if f != nil {
		return nil, f
	}
	out := &answer{status: 200, contentType: typeJSON, model: a.model, opts: a.opts}
	out.put(`{"input_tokens":`)
	out.putInt(a.in)
	out.put("}")
	return out, nil
}

// cacheUse is how many tokens of a prompt come from the provider's cache and how many go there.
type cacheUse struct {
	read, write int
	hour        bool // what goes there stays for an hour rather than five minutes
}

// wrong is the failure of a request to Anthropic whose param is not as it should be.
func wrong(param, message string) *failure {
	return &failure{status: 400, param: param, message: message}
}

// readMessagesCreate reads what a request asks for.
func readMessagesCreate(q *query, a *ask, p *prompt) (f *failure) {
	v := q.body
	if field(v, "max_tokens") == nil {
		return wrong("max_tokens", "Field required")
	}
	if a.max, f = integer(v, "max_tokens", 1, 1<<31, 0); f != nil {
		return f
	}
	for _, key := range [...]string{"temperature", "top_p", "top_k"} {
		if q.arg >= lean && v.Exists(key) {
			return wrong(key, "Extra inputs are not permitted")
		}
	}
	if f = decimal(v, "temperature", 0, 1); f != nil {
		return f
	}
	if a.stream, f = flag(v, "stream"); f != nil {
		return f
	}
	for _, stop := range v.GetArray("stop_sequences") {
		if text := string(stop.GetStringBytes()); strings.TrimSpace(text) == "" {
			return wrong("stop_sequences", "each stop sequence must contain non-whitespace")
		}
		a.stops = append(a.stops, string(stop.GetStringBytes()))
	}
	return readMessagesBody(q, a, p)
}

// readMessagesBody reads what a request and the counting of its tokens have in common.
func readMessagesBody(q *query, a *ask, p *prompt) *failure {
	v := q.body
	if q.arg == "" {
		return wrong("anthropic-version", "header is required")
	}
	r := messagesReader{prompt: p, ask: a, answered: -1, version: q.arg}
	if f := r.readAll(v); f != nil {
		return f
	}
	tools, f := r.readTools(v)
	if f != nil {
		return f
	}
	if len(tools) > 0 {
		tc, f := messagesToolChoice(v, tools)
		if f != nil {
			return f
		}
		if r.last == "user" || tc.name != "" {
			a.calls = tc.choose(tools, a.topic)
		}
	}
	a.cached = r.cacheUse(v)
	if format := v.Get("output_config", "format"); format != nil && format.Type() == fastjson.TypeObject {
		if a.schema = format.Get("schema"); a.schema == nil {
			return wrong("output_config.format.schema", "Field required")
		}
	}
	return r.readThinking(v)
}

// messagesReader goes through the messages of one request.
type messagesReader struct {
	*prompt
	ask      *ask
	version  string
	last     string // the role that has the last word
	mark     int    // tokens before the last cache breakpoint in messages and system prompt; 0 is none
	answered int    // tokens before the last turn of the assistant; -1 is none
	tools    int    // tokens of the tools, which stand before all others
	toolMark int    // as mark, within the tools
	hour     bool
}

func (r *messagesReader) readAll(v *fastjson.Value) *failure {
	if system := field(v, "system"); system != nil {
		r.role("system")
		if f := r.content(system, "system", "system"); f != nil {
			return f
		}
	}
	list := v.GetArray("messages")
	if len(list) == 0 {
		if field(v, "messages") == nil {
			return wrong("messages", "Field required")
		}
		return wrong("messages", "at least one message is required")
	}
	for i, m := range list {
		at := "messages." + string(appendInt(nil, i))
		role := string(m.GetStringBytes("role"))
		switch role {
		case "user", "system":
		case "assistant":
			r.answered = r.tokens
		default:
			return wrong(at+".role", "Input should be 'user' or 'assistant'")
		}
		content := field(m, "content")
		if content == nil {
			return wrong(at+".content", "Field required")
		}
		r.last = "" // each message has a label of its own
		if f := r.content(content, role, at+".content"); f != nil {
			return f
		}
	}
	return nil
}

// role begins what a role says, unless it is speaking already.
func (r *messagesReader) role(name string) {
	if r.last == name {
		return
	}
	r.last = name
	r.label(name)
	if name == "user" {
		r.ask.topic = ""
	}
}

// content reads a text or a list of blocks.
func (r *messagesReader) content(c *fastjson.Value, role, at string) *failure {
	if b, err := c.StringBytes(); err == nil {
		r.text(role, b)
		return nil
	}
	list, err := c.Array()
	if err != nil {
		return wrong(at, "Input should be a valid string or list")
	}
	for i, b := range list {
		if f := r.block(b, role, at+"."+string(appendInt(nil, i))); f != nil {
			return f
		}
		if r.marked(b) {
			r.mark = r.tokens
		}
	}
	return nil
}

func (r *messagesReader) text(role string, b []byte) {
	r.role(role)
	r.add(b)
	if role == "user" {
		r.ask.topic += string(b)
	}
}

func (r *messagesReader) block(b *fastjson.Value, role, at string) *failure {
	switch kind := string(b.GetStringBytes("type")); kind {
	case "text":
		if !b.Exists("text") {
			return wrong(at+".text", "Field required")
		}
		if role == "user" && r.version >= lean && len(b.GetArray("citations")) > 0 {
			return wrong(at+".citations", "Extra inputs are not permitted")
		}
		r.text(role, b.GetStringBytes("text"))
	case "image", "document":
		if role == "assistant" && r.version >= lean {
			return wrong(at, "`"+kind+"` blocks are not allowed in `assistant` messages")
		}
		r.role(role)
		r.attachment(b)
	case "thinking", "redacted_thinking":
		if kind == "thinking" && string(b.GetStringBytes("signature")) != signature(string(b.GetStringBytes("thinking"))) {
			return wrong(at, "Invalid `signature` in `thinking` block")
		}
		r.tokens += countTokens(b.GetStringBytes("thinking"))
	case "tool_use":
		r.role(role)
		r.call(b.GetStringBytes("name"), marshalled(field(b, "input")))
	case "tool_result":
		r.last = "" // each result has a label of its own
		r.role("tool")
		if c := field(b, "content"); c != nil {
			return r.content(c, "tool", at+".content")
		}
	case "":
		return wrong(at+".type", "Field required")
	default: // what the provider's own tools say
		r.role(role)
		r.add(b.MarshalTo(nil))
	}
	return nil
}

// attachment adds an image or a document, which may be plain text.
func (r *messagesReader) attachment(b *fastjson.Value) {
	if string(b.GetStringBytes("source", "type")) == "text" {
		r.add(b.GetStringBytes("source", "data"))
	} else {
		r.attach(b)
	}
}

// marshalled is v as JSON, an empty object if there is none.
func marshalled(v *fastjson.Value) []byte {
	if v == nil {
		return []byte("{}")
	}
	return v.MarshalTo(nil)
}

// marked tells whether v is a cache breakpoint.
func (r *messagesReader) marked(v *fastjson.Value) bool {
	c := field(v, "cache_control")
	if c == nil {
		return false
	}
	r.hour = string(c.GetStringBytes("ttl")) == "1h"
	return true
}

func (r *messagesReader) readTools(v *fastjson.Value) ([]tool, *failure) {
	before := r.tokens
	var tools []tool
	for i, t := range v.GetArray("tools") {
		name := string(t.GetStringBytes("name"))
		if name == "" {
			return nil, wrong("tools."+string(appendInt(nil, i))+".name", "Field required")
		}
		if kind := string(t.GetStringBytes("type")); kind == "" || kind == "custom" {
			tools = append(tools, newTool(t, "input_schema"))
			r.offer(tools[len(tools)-1:])
		} else {
			r.add(t.MarshalTo(nil)) // a tool that the provider itself would run
		}
		if r.marked(t) {
			r.toolMark = r.tokens - before
		}
	}
	r.tools = r.tokens - before
	return tools, nil
}

// cacheUse says what of the prompt is cached. What stands before the assistant's last turn was asked before: up
// to the last breakpoint it is read from the cache and the rest is written. So equal requests have equal usage,
// at the price that a question asked twice is written twice.
func (r *messagesReader) cacheUse(v *fastjson.Value) cacheUse {
	end := r.toolMark
	if r.mark > 0 {
		end = r.tools + r.mark
	}
	if r.marked(v) {
		end = r.tokens
	}
	known := 0
	if r.answered >= 0 {
		known = min(end, r.tools+r.answered)
	}
	return cacheUse{read: known, write: end - known, hour: r.hour}
}

func messagesToolChoice(v *fastjson.Value, tools []tool) (toolChoice, *failure) {
	var tc toolChoice
	c := field(v, "tool_choice")
	if c == nil {
		return tc, nil
	}
	tc.single = c.GetBool("disable_parallel_tool_use")
	switch string(c.GetStringBytes("type")) {
	case "auto":
	case "none":
		tc.never = true
	case "any":
		tc.required = true
	case "tool":
		tc.name = string(c.GetStringBytes("name"))
		for _, t := range tools {
			if t.name == tc.name {
				return tc, nil
			}
		}
		return tc, wrong("tool_choice.name", "Tool '"+tc.name+"' not found in provided tools")
	default:
		return tc, wrong("tool_choice.type", "Input should be 'auto', 'any', 'tool' or 'none'")
	}
	return tc, nil
}

const minBudget = 1024 // tokens of thought that a request may ask for at least

func (r *messagesReader) readThinking(v *fastjson.Value) *failure {
	c := field(v, "thinking")
	if c == nil {
		return nil
	}
	a := r.ask
	switch string(c.GetStringBytes("type")) {
	case "disabled":
	case "adaptive":
		a.thinks = true
	case "between_tools":
		a.thinks = r.last == "tool"
	case "enabled":
		a.thinks = true
		budget := c.GetInt("budget_tokens")
		if budget < minBudget {
			return wrong("thinking.enabled.budget_tokens", "Input should be greater than or equal to 1024")
		}
		if a.max > 0 && budget >= a.max {
			return wrong("max_tokens", "must be greater than `thinking.budget_tokens`")
		}
	default:
		return wrong("thinking.type", "Input should be 'adaptive', 'between_tools', 'disabled' or 'enabled'")
	}
	a.hidden = string(c.GetStringBytes("display")) == "omitted"
	return nil
}
