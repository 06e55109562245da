package anthropic

import (
	"fmt"
	"strconv"

	"github.com/wedge-proxy/wedge/internal/jsonedit"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// copier copies a body with changes, which are made in the order of the body.
type copier struct {
	request
	jsonedit.Copy
}

func newCopier(dst, body []byte) *copier {
	c := &copier{Copy: jsonedit.Copy{Dst: dst, Doc: body}}
	c.read(body)
	return c
}

func noPlace(what string, op dialect.Op) error {
	return fmt.Errorf("cannot set %s of a request of the operation %s: %w", what, op, dialect.ErrNoPlace)
}

// addMember adds a member to the request, up to its value.
func (c *copier) addMember(name string) {
	object := jsonscan.Cursor{B: c.Doc}
	object.Peek()
	c.AddMember(object.I, c.last, name)
}

// AppendSystem implements dialect.Prompts. To put a text in place of all of it, or nothing, removes the system messages
// that stand among the others, too.
func (Codec) AppendSystem(dst, body []byte, op dialect.Op, replace bool, text []byte) ([]byte, error) {
	if !asks(op) {
		return dst, noPlace("the system text", op)
	}
	if len(text) == 0 && !replace {
		return append(dst, body...), nil
	}
	c := newCopier(dst, body)
	early := c.system.At < c.list.At
	if replace && !early {
		c.dropSystems()
	}
	ok := true
	switch {
	case c.system.IsSet(body):
		ok = c.editSystem(replace, text)
	case len(text) == 0:
	case c.system.At > 0:
		c.Leave(c.system)
		c.Dst = jsonscan.AppendString(c.Dst, text)
	case replace && early: // the member comes behind what is dropped
		c.dropSystems()
		c.addSystem(text)
		return c.Rest(), nil
	default:
		c.addSystem(text)
	}
	if !ok {
		return dst, noPlace("the system text", op)
	}
	if replace && early {
		c.dropSystems()
	}
	return c.Rest(), nil
}

func (c *copier) addSystem(text []byte) {
	c.addMember("system")
	c.Dst = jsonscan.AppendString(c.Dst, text)
}

// editSystem puts text before or in place of the system text of the request itself, and reports whether that is a text
// or a list of blocks.
func (c *copier) editSystem(replace bool, text []byte) bool {
	switch c.Doc[c.system.At] {
	case '"':
		c.SetString(c.system, !replace, text)
	case '[':
		switch {
		case !replace:
			c.addFirst(c.system, text)
		case len(text) == 0:
			c.Leave(c.system)
			c.Dst = append(c.Dst, "[]"...)
		default:
			c.setParts(c.system, text)
		}
	default:
		return false
	}
	return true
}

// addFirst adds a block with a text at the beginning of a list.
func (c *copier) addFirst(list jsonedit.Extent, text []byte) {
	behind := ""
	l := jsonscan.Cursor{B: c.Doc[:list.End], I: list.At}
	l.Enter('[')
	if l.More(']', true) {
		behind = ","
	}
	c.addPart(list.At+1, "", text, behind)
}

// dropSystems removes the system messages from the list.
func (c *copier) dropSystems() {
	if c.systems == 0 {
		return
	}
	kept := false
	var dropped jsonedit.Extent // at the list's beginning, up to what is kept
	last := 0                   // the end of the message before
	c.eachTurn(func(t turn) {
		switch {
		case t.speaker != system:
			if dropped.At > 0 {
				c.Leave(jsonedit.Extent{At: dropped.At, End: t.At})
			}
			dropped, kept = jsonedit.Extent{}, true
		case kept:
			c.Leave(jsonedit.Extent{At: last, End: t.End})
		case dropped.At == 0:
			dropped = t.Extent
		default:
			dropped.End = t.End
		}
		last = t.End
	})
	if dropped.At > 0 {
		c.Leave(dropped)
	}
}

// AppendMessage implements dialect.Prompts. A text that a message of blocks had not comes last, as results of tools must
// come first, but before calls, as those must come last.
func (Codec) AppendMessage(dst, body []byte, op dialect.Op, i int, text []byte) ([]byte, error) {
	if asks(op) {
		c := newCopier(dst, body)
		var t turn
		n := 0
		c.eachTurn(func(other turn) {
			if n == i {
				t = other
			}
			n++
		})
		if c.setTurn(t, text) {
			return c.Rest(), nil
		}
	}
	return dst, noPlace("the text of message "+strconv.Itoa(i), op)
}

// setTurn replaces the text of a message, and reports whether it has a place for it.
func (c *copier) setTurn(t turn, text []byte) bool {
	if t.text.At == 0 {
		if t.speaker == tools { // no message, or nobody's
			return false
		}
		c.Insert(t.End - 1)
		c.Dst = jsonscan.AppendString(append(c.Dst, `,"content":`...), text)
		return true
	}
	switch c.Doc[t.text.At] {
	case '"', 'n':
		c.Leave(t.text)
		c.Dst = jsonscan.AppendString(c.Dst, text)
	case '[':
		c.setParts(t.text, text)
	default:
		return false
	}
	return true
}

// addPart adds a block with a text to a list, between what parts it from the others.
func (c *copier) addPart(at int, before string, text []byte, behind string) {
	c.Insert(at)
	c.Dst = append(append(c.Dst, before...), `{"type":"text","text":`...)
	c.Dst = append(append(jsonscan.AppendString(c.Dst, text), '}'), behind...)
}

// setParts replaces the text of the first block that is text, and removes the others that are. Where none is it adds one.
func (c *copier) setParts(list jsonedit.Extent, text []byte) {
	found, last, call := false, 0, 0
	c.eachPart(list, func(p part) {
		switch {
		case p.text.At > 0 && found:
			c.Leave(jsonedit.Extent{At: last, End: p.End})
		case p.text.At > 0:
			found = true
			c.SetString(p.text, false, text)
		case p.kind == callBlock && call == 0:
			call = p.At
		}
		last = p.End
	})
	switch {
	case found:
	case last == 0:
		c.addPart(list.At+1, "", text, "")
	case call > 0:
		c.addPart(call, "", text, ",")
	default:
		c.addPart(last, ",", text, "")
	}
}

// AppendMaxTokens implements dialect.Prompts. To count tokens takes no limit.
func (Codec) AppendMaxTokens(dst, body []byte, op dialect.Op, n int64) ([]byte, error) {
	if op != dialect.OpMessages {
		return dst, noPlace("the limit of output tokens", op)
	}
	c := newCopier(dst, body)
	if c.limit.At > 0 {
		c.Leave(c.limit)
	} else {
		c.addMember("max_tokens")
	}
	c.Dst = strconv.AppendInt(c.Dst, n, 10)
	return c.Rest(), nil
}
