package gemini

import (
	"fmt"
	"strconv"

	"github.com/wedge-proxy/wedge/internal/jsonedit"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// copier copies a body with changes, which are made in the order of the body.
type copier struct {
	prompt
	jsonedit.Copy
}

func newCopier(dst, body []byte, op dialect.Op) *copier {
	c := &copier{prompt: prompt{op: op}, Copy: jsonedit.Copy{Dst: dst, Doc: body}}
	c.read(body)
	return c
}

func noPlace(what string, op dialect.Op) error {
	return fmt.Errorf("cannot set %s of a request of the operation %s: %w", what, op, dialect.ErrNoPlace)
}

// generates says that there are instructions and settings: to count tokens takes them only within a request to generate.
func (c *copier) generates() bool {
	return c.op == dialect.OpGenerate || c.op == dialect.OpCount && c.counted
}

func appendTextPart(dst, text []byte) []byte {
	return append(jsonscan.AppendString(append(dst, `{"text":`...), text), '}')
}

func appendTextParts(dst, text []byte) []byte {
	return append(appendTextPart(append(dst, '['), text), ']')
}

// AppendSystem implements dialect.Prompts. A text comes before others as a part of its own.
func (Codec) AppendSystem(dst, body []byte, op dialect.Op, replace bool, text []byte) ([]byte, error) {
	c := newCopier(dst, body, op)
	if !c.generates() || !c.setSystem(replace, text) {
		return dst, noPlace("the system text", op)
	}
	return c.Rest(), nil
}

// setSystem edits the instructions, and reports whether they have a place for the text.
func (c *copier) setSystem(replace bool, text []byte) bool {
	is := c.system.IsSet(c.Doc)
	switch {
	case is && c.Doc[c.system.At] != '{':
		return false
	case len(text) == 0 && (!replace || !is):
	case len(text) == 0:
		c.Leave(c.system)
		c.Dst = append(c.Dst, "null"...)
	case is && !replace:
		again := c.from(c.system)
		t := again.turn()
		if !t.parts.IsSet(c.Doc) {
			return c.setTurn(t, text)
		}
		return c.addPart(t.parts, text, partPlace{first: true})
	default:
		if c.system.At > 0 {
			c.Leave(c.system)
		} else {
			c.AddMember(c.at, c.last, "systemInstruction")
		}
		c.Dst = append(appendTextParts(append(c.Dst, `{"parts":`...), text), '}')
	}
	return true
}

// AppendMessage implements dialect.Prompts. The messages of requests for vectors are what is to be embedded. A text that
// a content had not comes last, but before calls.
func (Codec) AppendMessage(dst, body []byte, op dialect.Op, i int, text []byte) ([]byte, error) {
	if asks(op) {
		c := newCopier(dst, body, op)
		if c.setTurn(c.turnAt(i), text) {
			return c.Rest(), nil
		}
	}
	return dst, noPlace("the text of message "+strconv.Itoa(i), op)
}

// turnAt reads the i-th content again; the zero turn if there is none.
func (c *copier) turnAt(i int) (t turn) {
	if c.list.At == 0 {
		return t
	}
	again := c.from(c.list)
	n := 0
	for l := again.elements(); again.next(&l); n++ {
		if t = again.element(); n == i {
			return t
		}
	}
	return turn{}
}

// setTurn replaces the text of a content, and reports whether it has a place for it.
func (c *copier) setTurn(t turn, text []byte) bool {
	switch {
	case t.At == 0 || c.Doc[t.At] != '{':
		return false
	case t.parts.At == 0:
		c.AddMember(t.At, t.last, "parts")
		c.Dst = appendTextParts(c.Dst, text)
	case !t.parts.IsSet(c.Doc):
		c.Leave(t.parts)
		c.Dst = appendTextParts(c.Dst, text)
	default:
		return c.setParts(t.parts, text)
	}
	return true
}

// partPlace is where a part is added: before all others, before the part at, or else behind the last one.
type partPlace struct {
	first    bool
	at, last int
}

// setParts replaces the first text, and removes the others. Where there is none it adds one.
func (c *copier) setParts(list jsonedit.Extent, text []byte) bool {
	found, place := false, partPlace{}
	again := c.from(list)
	for l := again.elements(); again.next(&l); {
		p := again.part()
		switch {
		case p.kind == textPart && !found:
			found = true
			c.SetString(p.text, false, text)
		case p.kind == textPart && p.bare:
			c.Leave(jsonedit.Extent{At: place.last, End: p.End})
		case p.kind == textPart:
			c.SetString(p.text, false, nil)
		case p.kind == callPart && place.at == 0:
			place.at = p.At
		}
		place.last = p.End
	}
	return found || c.addPart(list, text, place)
}

// addPart adds a text to the list of parts, which may be a lone object, and reports whether it is one of both.
func (c *copier) addPart(list jsonedit.Extent, text []byte, place partPlace) bool {
	switch before := place.first || place.at > 0; c.Doc[list.At] {
	case '[':
		c.addElement(list, text, place)
	case '{':
		c.Insert(list.At)
		if c.Dst = append(c.Dst, '['); before {
			c.Dst = append(appendTextPart(c.Dst, text), ',')
		}
		c.Insert(list.End)
		if !before {
			c.Dst = appendTextPart(append(c.Dst, ','), text)
		}
		c.Dst = append(c.Dst, ']')
	default:
		return false
	}
	return true
}

func (c *copier) addElement(list jsonedit.Extent, text []byte, place partPlace) {
	l := jsonscan.Cursor{B: c.Doc[:list.End], I: list.At}
	l.Enter('[')
	switch {
	case !l.More(']', true):
		c.Insert(list.At + 1)
		c.Dst = appendTextPart(c.Dst, text)
	case place.first || place.at > 0:
		c.Insert(max(place.at, list.At+1))
		c.Dst = append(appendTextPart(c.Dst, text), ',')
	default:
		c.Insert(place.last)
		c.Dst = appendTextPart(append(c.Dst, ','), text)
	}
}

// AppendMaxTokens implements dialect.Prompts. A limit under either of its names is replaced, both if both are set.
func (Codec) AppendMaxTokens(dst, body []byte, op dialect.Op, n int64) ([]byte, error) {
	c := newCopier(dst, body, op)
	if !c.generates() || c.config.IsSet(body) && body[c.config.At] != '{' {
		return dst, noPlace("the limit of output tokens", op)
	}
	set := false
	for _, l := range c.limits {
		if l.At > 0 {
			c.Leave(l)
			c.Dst, set = strconv.AppendInt(c.Dst, n, 10), true
		}
	}
	switch {
	case set:
	case c.config.IsSet(body):
		c.AddMember(c.config.At, c.configLast, "maxOutputTokens")
		c.Dst = strconv.AppendInt(c.Dst, n, 10)
	default:
		if c.config.At > 0 {
			c.Leave(c.config)
		} else {
			c.AddMember(c.at, c.last, "generationConfig")
		}
		c.Dst = append(appendNumber(c.Dst, `{"maxOutputTokens":`, n), '}')
	}
	return c.Rest(), nil
}
