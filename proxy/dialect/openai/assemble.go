package openai

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// AppendWhole implements dialect.Answers. Nothing is appended with an error.
func (d Codec) AppendWhole(dst []byte, op dialect.Op, sse []byte) ([]byte, error) {
	var st dialect.Stream
	var scratch []byte
	a := assembly{op: op}
	for {
		n := stream.Next(sse)
		if n == 0 {
			return dst, fmt.Errorf("%w: the %s stream has no end", dialect.ErrMalformed, op)
		}
		var name, data []byte
		name, data, scratch = stream.Fields(sse[:n], scratch)
		sse = sse[n:]
		kind, err := d.Event(op, &st, name, data)
		switch {
		case err != nil:
			return dst, err
		case kind == dialect.Ignored:
			continue
		case kind == dialect.Failed:
			return dst, fmt.Errorf("%w: in the %s stream", dialect.ErrProvider, op)
		case kind == dialect.Terminal && op != dialect.OpResponses:
			return a.appendTo(dst), nil
		}
		if data, err = compact(data); err != nil {
			return dst, err
		}
		if !a.add(data) {
			return dst, fmt.Errorf("%w: the deltas of the %s stream do not fit together", dialect.ErrMalformed, op)
		}
		if kind == dialect.Terminal {
			return a.appendResponse(dst, data), nil
		}
	}
}

// assembly is the whole answer as far as the events told it.
type assembly struct {
	op      dialect.Op
	top     object // all but choices, object and usage
	usage   []byte
	choices []*choice
	items   []item // responses: the finished output items
}

// choice is one choice; message is the text of completions too.
type choice struct {
	index    int
	message  node
	logprobs node
	lists    node   // an object of the further members that are lists, such as token_ids
	rest     object // further members
}

type item struct {
	index int
	val   []byte
}

// add adds one valid event on one line.
func (a *assembly) add(data []byte) bool {
	o, _ := members(data)
	if a.op == dialect.OpResponses {
		if string(o.get("type")) == `"response.output_item.done"` {
			a.items = append(a.items, item{indexOf(o.get("output_index")), o.get("item")})
		}
		return true
	}
	ok := true
	for _, m := range o {
		switch {
		case m.key == "choices":
			all, _ := elements(m.val)
			for _, v := range all {
				ok = a.addChoice(v) && ok
			}
		case m.key == "usage":
			if isSet(m.val) {
				a.usage = m.val
			}
		case m.key == "object", m.key == "obfuscation": // a chunk's own
		case isSet(m.val) || a.top.get(m.key) == nil:
			a.top.set(m.key, m.val)
		}
	}
	return ok
}

func (a *assembly) addChoice(val []byte) bool {
	o, _ := members(val)
	c := a.choice(indexOf(o.get("index")))
	ok := true
	for _, m := range o {
		switch {
		case m.key == "index":
		case m.key == "delta" && a.op == dialect.OpChat, m.key == "text" && a.op == dialect.OpCompletions:
			ok = c.message.merge(m.key, m.val) && ok
		case m.key == "logprobs":
			ok = c.logprobs.merge(m.key, m.val) && ok
		case m.val[0] == '[':
			ok = c.lists.child(m.key).merge(m.key, m.val) && ok
		case isSet(m.val) || c.rest.get(m.key) == nil:
			c.rest.set(m.key, m.val)
		}
	}
	return ok
}

func (a *assembly) choice(index int) *choice {
	for _, c := range a.choices {
		if c.index == index {
			return c
		}
	}
	a.choices = append(a.choices, &choice{index: index, lists: node{obj: []child{}}})
	return a.choices[len(a.choices)-1]
}

// appendTo appends the whole answer of chat/completions or completions.
func (a *assembly) appendTo(dst []byte) []byte {
	slices.SortStableFunc(a.choices, func(x, y *choice) int { return x.index - y.index })
	object, text := `"chat.completion"`, false
	if a.op == dialect.OpCompletions {
		object, text = `"text_completion"`, true
	}
	dst = append(dst, '{')
	if id := a.top.get("id"); id != nil {
		dst = append(appendMember(dst, "id", id), ',')
	}
	dst = appendMember(dst, "object", []byte(object))
	for _, m := range a.top.without("id") {
		dst = appendMember(append(dst, ','), m.key, m.val)
	}
	dst = append(dst, `,"choices":[`...)
	for i, c := range a.choices {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = c.appendTo(dst, text)
	}
	dst = append(dst, ']')
	if a.usage != nil {
		dst = appendMember(append(dst, ','), "usage", a.usage)
	}
	return append(dst, '}')
}

func (c *choice) appendTo(dst []byte, text bool) []byte {
	dst = strconv.AppendInt(append(dst, `{"index":`...), int64(c.index), 10)
	if text {
		dst = c.message.appendTo(append(dst, `,"text":`...))
	} else {
		c.finishMessage()
		dst = c.message.appendTo(append(dst, `,"message":`...))
	}
	dst = c.logprobs.appendTo(append(dst, `,"logprobs":`...))
	if c.rest.get("finish_reason") == nil {
		c.rest.set("finish_reason", []byte("null"))
	}
	for _, m := range c.rest {
		dst = appendMember(append(dst, ','), m.key, m.val)
	}
	for _, l := range c.lists.obj {
		dst = l.node.appendTo(appendMember(append(dst, ','), l.key, nil))
	}
	return append(dst, '}')
}

// finishMessage turns the joined deltas into a message: it always has role, content and refusal, and its tool
// calls have no index.
func (c *choice) finishMessage() {
	m := &c.message
	if m.kind() != '{' {
		m.raw = []byte("{}")
	}
	m.expand()
	for _, def := range [...]member{{"role", []byte(`"assistant"`)}, {"content", []byte("null")}, {"refusal", []byte("null")}} {
		if n := m.child(def.key); n.obj == nil && n.arr == nil && n.raw == nil {
			n.raw = def.val
		}
	}
	calls := m.child("tool_calls")
	if calls.kind() != '[' {
		return
	}
	calls.expand()
	for _, call := range calls.arr {
		if call.expand(); call.obj != nil {
			call.obj = slices.DeleteFunc(call.obj, func(f child) bool { return f.key == "index" })
		}
	}
}

// appendResponse appends the response that the terminal event carries. Some servers leave its output out; it is
// then put together from the finished items.
func (a *assembly) appendResponse(dst, terminal []byte) []byte {
	o, _ := members(terminal)
	response, _ := members(o.get("response"))
	if !isSet(response.get("output")) {
		slices.SortStableFunc(a.items, func(x, y item) int { return x.index - y.index })
		output := []byte{'['}
		for i, it := range a.items {
			if i > 0 {
				output = append(output, ',')
			}
			output = append(output, it.val...)
		}
		response.set("output", append(output, ']'))
	}
	return response.appendTo(dst)
}
