package openai

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// AppendWhole implements dialect.Answers. A stream without [DONE] is whole where every choice has ended: some
// servers leave the marker out. Nothing is appended with an error.
func (Codec) AppendWhole(dst []byte, op dialect.Op, sse []byte) ([]byte, error) {
	a := assembly{op: op}
	for {
		n := stream.Next(sse)
		if n == 0 && (len(sse) > 0 || !a.st.Finished) {
			return dst, fmt.Errorf("%w: the %s stream has no end", dialect.ErrMalformed, op)
		}
		if n == 0 {
			return a.appendTo(dst), nil
		}
		end, err := a.event(sse[:n])
		switch {
		case err != nil:
			return dst, err
		case end:
			return a.appendTo(dst), nil
		}
		sse = sse[n:]
	}
}

// assembly is the whole answer as far as the events told it.
type assembly struct {
	op      dialect.Op
	st      dialect.Stream
	scratch []byte

	top     object // all but choices, object and usage
	usage   []byte
	choices []*choice

	response object       // responses: that of the terminal event
	items    []outputItem // and the finished output items
}

// event adds one complete event and reports whether it ends the stream.
func (a *assembly) event(event []byte) (end bool, err error) {
	var name, data []byte
	name, data, a.scratch = stream.Fields(event, a.scratch)
	kind, err := Codec{}.Event(a.op, &a.st, name, data)
	switch {
	case err != nil || kind == dialect.Ignored:
		return false, err
	case kind == dialect.Failed:
		return false, fmt.Errorf("%w: in the %s stream", dialect.ErrProvider, a.op)
	case kind == dialect.Terminal && a.op != dialect.OpResponses:
		return true, nil
	}
	if data, err = compact(data); err != nil {
		return false, err
	}
	o, _ := members(data)
	if a.op == dialect.OpResponses {
		a.addTyped(o, kind == dialect.Terminal)
		return kind == dialect.Terminal, nil
	}
	if !a.addChunk(o) {
		return false, fmt.Errorf("%w: the deltas of the %s stream do not fit together", dialect.ErrMalformed, a.op)
	}
	return false, nil
}

// addTyped adds an event of a responses stream.
func (a *assembly) addTyped(o object, terminal bool) {
	if terminal {
		a.response, _ = members(o.get("response"))
	}
	if item := o.get("item"); isSet(item) && string(o.get("type")) == `"response.output_item.done"` {
		a.items = append(a.items, outputItem{indexOf(o.get("output_index")), item})
	}
}

// addChunk adds an event of another stream.
func (a *assembly) addChunk(o object) bool {
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
		if len(a.top) > most {
			return false
		}
	}
	return ok
}

// choice is one choice; message is the text of completions too.
type choice struct {
	index    int
	message  node
	logprobs node
	lists    node   // an object of the further members that are lists, such as token_ids
	rest     object // further members
}

type outputItem struct {
	index int
	val   []byte
}

func (a *assembly) addChoice(val []byte) bool {
	o, ok := members(val)
	c := a.choice(indexOf(o.get("index")))
	if len(a.choices) > most {
		return false
	}
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
		if len(c.rest) > most {
			return false
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

// appendTo appends the whole answer.
func (a *assembly) appendTo(dst []byte) []byte {
	if a.op == dialect.OpResponses {
		return a.finalResponse().appendTo(dst)
	}
	slices.SortStableFunc(a.choices, func(x, y *choice) int { return x.index - y.index })
	object, text := `"chat.completion"`, false
	if a.op == dialect.OpCompletions {
		object, text = `"text_completion"`, true
	}
	dst = append(append(dst, `{"object":`...), object...)
	for _, m := range a.top {
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

// finalResponse is the response that the terminal event carries. Some servers leave its output out; it is then put
// together from the finished items.
func (a *assembly) finalResponse() object {
	if isSet(a.response.get("output")) {
		return a.response
	}
	slices.SortStableFunc(a.items, func(x, y outputItem) int { return x.index - y.index })
	output := []byte{'['}
	for i, it := range a.items {
		if i > 0 {
			output = append(output, ',')
		}
		output = append(output, it.val...)
	}
	a.response.set("output", append(output, ']'))
	return a.response
}
