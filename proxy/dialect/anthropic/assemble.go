package anthropic

import (
	"encoding/json"
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// AppendWhole implements dialect.Answers. A stream without message_stop is whole once it told why the message ended.
// Nothing is appended with an error.
func (Codec) AppendWhole(dst []byte, op dialect.Op, sse []byte) ([]byte, error) {
	a := assembly{op: op}
	for {
		n := stream.Next(sse)
		if n == 0 && (len(sse) > 0 || !a.st.Finished) {
			return dst, fmt.Errorf("%w: the %s stream has no end", dialect.ErrMalformed, op)
		}
		end := n == 0
		if !end {
			var err error
			if end, err = a.event(sse[:n]); err != nil {
				return dst, err
			}
		}
		if end {
			return a.appendTo(dst)
		}
		sse = sse[n:]
	}
}

// assembly is the whole message as far as the events told it.
type assembly struct {
	op      dialect.Op
	st      dialect.Stream
	message object // of message_start, and what message_delta changed
	usage   object
	blocks  []*grownBlock
}

// event adds one complete event and reports whether it ends the stream.
func (a *assembly) event(event []byte) (end bool, err error) {
	name, data, _ := stream.Fields(event, nil) // what is kept of data must not lie in a scratch
	kind, err := Codec{}.Event(a.op, &a.st, name, data)
	switch {
	case err != nil || kind == dialect.Ignored || kind == dialect.Terminal:
		return kind == dialect.Terminal, err
	case kind == dialect.Failed:
		return false, fmt.Errorf("%w: in the %s stream", dialect.ErrProvider, a.op)
	}
	o, ok := members(data)
	if !ok || !a.add(o, name) {
		return false, fmt.Errorf("%w: the events of the %s stream do not fit together", dialect.ErrMalformed, a.op)
	}
	return false, nil
}

func (a *assembly) add(o object, name []byte) (ok bool) {
	kind := string(inside(o.get("type")))
	if kind == "" {
		kind = string(name)
	}
	switch kind {
	case "message_start":
		if a.message, ok = members(o.get("message")); !ok {
			return false
		}
		if usage := a.message.get("usage"); usage != nil && !isNull(usage) {
			a.usage, ok = members(usage)
		}
		return ok
	case "content_block_start":
		return a.start(o.get("index"), o.get("content_block"))
	case "content_block_delta":
		b := a.block(o.get("index"))
		return b != nil && b.add(o.get("delta"))
	case "message_delta":
		ok = true
		if delta := o.get("delta"); delta != nil {
			ok = a.message.overlay(delta)
		}
		if usage := o.get("usage"); usage != nil && !isNull(usage) {
			ok = a.usage.overlay(usage) && ok
		}
		return ok
	}
	return true
}

// start begins the block with an index that no other has.
func (a *assembly) start(index, val []byte) bool {
	if a.block(index) != nil || len(a.blocks) >= most {
		return false
	}
	start, ok := members(val)
	a.blocks = append(a.blocks, &grownBlock{index: string(index), start: start})
	return ok
}

func (a *assembly) block(index []byte) *grownBlock {
	for i := len(a.blocks) - 1; i >= 0; i-- {
		if a.blocks[i].index == string(index) {
			return a.blocks[i]
		}
	}
	return nil
}

func (a *assembly) appendTo(dst []byte) ([]byte, error) {
	if a.message == nil {
		return dst, fmt.Errorf("%w: the %s stream has no beginning", dialect.ErrMalformed, a.op)
	}
	content := []byte{'['}
	for i, b := range a.blocks {
		if i > 0 {
			content = append(content, ',')
		}
		content = b.appendTo(content)
	}
	a.message.set("content", append(content, ']'))
	if a.usage != nil {
		a.message.set("usage", a.usage.appendTo(nil))
	}
	return a.message.appendTo(dst), nil
}

// grownBlock is a content block: as it began, and what its deltas added. What a delta calls partial_json is the input,
// and a citation one of the citations; every other text goes on with the member of its name, so that blocks which
// nobody knows yet come together, too.
type grownBlock struct {
	index string
	start object
	texts []grownText
	input []byte // decoded
	cited []byte // elements, with a comma before each
}

type grownText struct {
	key  string
	text []byte
}

func (b *grownBlock) add(delta []byte) bool {
	o, ok := members(delta)
	for _, m := range o {
		switch {
		case m.key == "type" || isNull(m.val):
		case m.key == "partial_json":
			b.input = jsonscan.AppendDecoded(b.input, inside(m.val))
		case m.key == "citation":
			b.cited = append(append(b.cited, ','), m.val...)
		case m.val[0] == '"':
			ok = b.grow(m.key, inside(m.val)) && ok
		default:
			b.start.set(m.key, m.val)
			ok = ok && len(b.start) <= most
		}
	}
	return ok
}

func (b *grownBlock) grow(key string, text []byte) bool {
	for i := range b.texts {
		if b.texts[i].key == key {
			b.texts[i].text = append(b.texts[i].text, text...)
			return true
		}
	}
	grown := append(append([]byte(nil), inside(b.start.get(key))...), text...)
	b.texts = append(b.texts, grownText{key, grown})
	return len(b.texts) <= most
}

// appendTo appends the whole block. An input that was cut off is no JSON; SDKs show an empty one then.
func (b *grownBlock) appendTo(dst []byte) []byte {
	for _, g := range b.texts {
		b.start.set(g.key, append(append([]byte{'"'}, g.text...), '"'))
	}
	if json.Valid(b.input) {
		b.start.set("input", b.input)
	}
	if b.cited != nil {
		list := []byte{'['}
		elements(b.start.get("citations"), func(_ int, v []byte) { list = append(append(list, v...), ',') })
		b.start.set("citations", append(append(list, b.cited[1:]...), ']'))
	}
	return b.start.appendTo(dst)
}
