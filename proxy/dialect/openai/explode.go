package openai

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// AppendStream implements dialect.Answers. Nothing is appended with an error.
func (Codec) AppendStream(dst []byte, op dialect.Op, whole []byte) (out []byte, tail, terminal int, err error) {
	doc, err := compact(whole)
	if err != nil {
		return dst, 0, 0, err
	}
	top, ok := members(doc)
	if !ok {
		return dst, 0, 0, fmt.Errorf("%w: the whole %s answer is not a JSON object", dialect.ErrMalformed, op)
	}
	start := len(dst)
	switch op {
	case dialect.OpChat, dialect.OpCompletions:
		w := newChunks(dst, op, top)
		if !w.choices(top.get("choices")) {
			return dst, 0, 0, fmt.Errorf("%w: the choices of the whole %s answer are not as they must be", dialect.ErrMalformed, op)
		}
		tail = len(w.dst) - start
		if usage := top.get("usage"); isSet(usage) {
			w.event(nil, usage)
		}
		terminal = len(w.dst) - start
		return append(w.dst, "data: [DONE]\n\n"...), tail, terminal, nil
	case dialect.OpResponses:
		w := typedEvents{dst: dst}
		at, ok := w.response(top)
		if !ok {
			return dst, 0, 0, fmt.Errorf("%w: the whole answer is not a finished response", dialect.ErrMalformed)
		}
		return w.dst, at - start, at - start, nil
	}
	return dst, 0, 0, fmt.Errorf("cannot stream a whole answer of the operation %s: it has no streamed form", op)
}

// chunks writes the events of chat/completions or completions.
type chunks struct {
	dst   []byte
	op    dialect.Op
	base  []byte // the members that every chunk has, with a comma behind each
	first []byte // the members that only the first chunk has, likewise; then nil
}

func newChunks(dst []byte, op dialect.Op, top object) *chunks {
	w := &chunks{dst: dst, op: op}
	kind := `"chat.completion.chunk"`
	if op == dialect.OpCompletions {
		kind = `"text_completion"`
	}
	for _, m := range top {
		switch m.key {
		case "choices", "usage":
		case "object":
		case "id", "created", "model", "service_tier", "system_fingerprint":
			w.base = append(appendMember(w.base, m.key, m.val), ',')
		default:
			w.first = append(appendMember(w.first, m.key, m.val), ',')
		}
	}
	w.base = append(appendMember(w.base, "object", []byte(kind)), ',')
	return w
}

// event writes one chunk with the choices and the usage (nil: none).
func (w *chunks) event(choices, usage []byte) {
	w.dst = append(append(append(w.dst, "data: {"...), w.base...), w.first...)
	w.first = nil
	w.dst = append(append(append(w.dst, `"choices":[`...), choices...), ']')
	if usage != nil {
		w.dst = appendMember(append(w.dst, ','), "usage", usage)
	}
	w.dst = append(w.dst, "}\n\n"...)
}

func (w *chunks) choices(val []byte) bool {
	all, ok := elements(val)
	for _, v := range all {
		o, isObject := members(v)
		ok = ok && isObject
		if w.op == dialect.OpCompletions {
			ok = ok && w.textChoice(o)
		} else {
			ok = ok && w.chatChoice(o)
		}
	}
	if len(all) == 0 {
		w.event(nil, nil)
	}
	return ok
}

// oneChoice is a choice that is streamed.
type oneChoice struct {
	w        *chunks
	index    string
	logprobs []byte // not written yet; nil or null: none
}

func (w *chunks) newChoice(o object) *oneChoice {
	c := &oneChoice{w: w, index: "0", logprobs: o.get("logprobs")}
	if index := o.get("index"); isSet(index) {
		c.index = string(index)
	}
	return c
}

// write writes one chunk of the choice: what it brings, then the logprobs if they are due, then how it ended.
func (c *oneChoice) write(key string, val []byte, logprobs bool, rest object) {
	v := appendMember(append(append([]byte(`{"index":`), c.index...), ','), key, val)
	if c.logprobs != nil {
		v = append(v, `,"logprobs":`...)
		if logprobs {
			v = append(v, c.logprobs...)
			c.logprobs = []byte("null")
		} else {
			v = append(v, "null"...)
		}
	}
	if rest == nil {
		v = append(v, `,"finish_reason":null`...)
	}
	for _, m := range rest {
		v = appendMember(append(v, ','), m.key, m.val)
	}
	c.w.event(append(v, '}'), nil)
}

// finish writes the last chunk: the reason, and all members of the choice that nothing else carried.
func (c *oneChoice) finish(key, val string, o object, known ...string) {
	rest := o.without(append(known, "index", "logprobs")...)
	if rest.get("finish_reason") == nil {
		rest.set("finish_reason", []byte("null"))
	}
	c.write(key, []byte(val), true, rest)
}

func (w *chunks) textChoice(o object) bool {
	c := w.newChoice(o)
	text := o.get("text")
	if !isString(text) {
		return false
	}
	for _, p := range pieces(text) {
		c.write("text", p, true, nil)
	}
	c.finish("text", `""`, o, "text")
	return true
}

// chatChoice streams the role, reasoning before all other members of the message, and the end.
func (w *chunks) chatChoice(o object) bool {
	c := w.newChoice(o)
	message, ok := members(o.get("message"))
	if !ok {
		return false
	}
	c.write("delta", roleDelta(message).appendTo(nil), false, nil)
	for _, reasoning := range []bool{true, false} {
		for _, m := range message {
			if m.key != "role" && isSet(m.val) && strings.HasPrefix(m.key, "reasoning") == reasoning {
				c.part(m)
			}
		}
	}
	c.finish("delta", "{}", o, "message")
	return true
}

// roleDelta is the delta of a choice's first chunk: the role, an empty content if there will be text, and the
// members that are null.
func roleDelta(message object) object {
	d := object{{"role", []byte(`"assistant"`)}}
	for _, m := range message {
		switch {
		case m.key == "role" || !isSet(m.val):
			d.set(m.key, m.val)
		case m.key == "content" && isString(m.val):
			d.set("content", []byte(`""`))
		}
	}
	return d
}

// part streams one member of the message. Logprobs go with the first content or refusal.
func (c *oneChoice) part(m member) {
	calls, isArray := elements(m.val)
	switch {
	case m.key == "tool_calls" && isArray && len(calls) > 0:
		for i, call := range calls {
			c.toolCall(i, call)
		}
	case hasText(m.val):
		for _, p := range pieces(m.val) {
			c.write("delta", object{{m.key, p}}.appendTo(nil), m.key == "content" || m.key == "refusal", nil)
		}
	case m.key != "content" || !isString(m.val):
		c.write("delta", object{m}.appendTo(nil), false, nil)
	}
}

// toolCall streams one call: all but the arguments, then the arguments.
func (c *oneChoice) toolCall(i int, val []byte) {
	index := strconv.Itoa(i)
	call, ok := members(val)
	if !ok {
		call = object{}
	}
	function, _ := members(orObject(call.get("function")))
	arguments := function.get("arguments")
	split := hasText(arguments)
	if split {
		call = call.with("function", string(function.with("arguments", `""`).appendTo(nil)))
	}
	call = append(object{{"index", []byte(index)}}, call.without("index")...)
	c.delta(call)
	if !split {
		return
	}
	for _, p := range pieces(arguments) {
		c.delta(object{{"index", []byte(index)}, {"function", object{{"arguments", p}}.appendTo(nil)}})
	}
}

func (c *oneChoice) delta(call object) {
	d := append([]byte(`{"tool_calls":[`), call.appendTo(nil)...)
	c.write("delta", append(d, "]}"...), false, nil)
}
