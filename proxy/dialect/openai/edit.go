package openai

import (
	"fmt"
	"strconv"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// copier copies a body with changes, which are made in the order of the body.
type copier struct {
	request
	dst  []byte
	done int // what lies before it is copied or left out
}

func newCopier(dst, body []byte, op dialect.Op) *copier {
	c := &copier{dst: dst}
	c.read(op, body)
	return c
}

// leave copies up to e and leaves e out: what is appended to dst next stands in its place.
func (c *copier) leave(e extent) {
	c.dst = append(c.dst, c.B[c.done:e.at]...)
	c.done = e.end
}

// insert copies up to at.
func (c *copier) insert(at int) { c.leave(extent{at, at}) }

// rest copies what is left.
func (c *copier) rest() []byte { return append(c.dst, c.B[c.done:]...) }

// addMember inserts a further member behind the last one, up to its value.
func (c *copier) addMember(name string) {
	if c.last == 0 {
		c.I = 0
		c.Enter('{')
		c.insert(c.I)
	} else {
		c.insert(c.last)
		c.dst = append(c.dst, ',')
	}
	c.dst = append(append(append(c.dst, '"'), name...), `":`...)
}

func noPlace(what string, op dialect.Op) error {
	return fmt.Errorf("cannot set %s of a request of the operation %s: %w", what, op, dialect.ErrNoPlace)
}

// AppendSystem implements dialect.Prompts. To replace the system text by nothing removes its messages.
func (Codec) AppendSystem(dst, body []byte, op dialect.Op, replace bool, text []byte) ([]byte, error) {
	c := newCopier(dst, body, op)
	if len(text) == 0 && (!replace || !c.hasInstructions() && c.systems == 0) {
		return append(dst, body...), nil
	}
	ok := true
	switch {
	case c.list.at == 0 && c.instructions.at == 0, op != dialect.OpChat && op != dialect.OpResponses:
		ok = false
	case c.hasInstructions() || c.systems > 0:
		ok = c.editSystem(replace, text)
	case op == dialect.OpResponses:
		c.addInstructions(text)
	default:
		ok = c.addSystem(text)
	}
	if !ok {
		return dst, noPlace("the system text", op)
	}
	return c.rest(), nil
}

func (c *copier) hasInstructions() bool {
	return c.instructions.at > 0 && c.B[c.instructions.at] != 'n'
}

func (c *copier) addInstructions(text []byte) {
	if c.instructions.at > 0 {
		c.leave(c.instructions)
	} else {
		c.addMember("instructions")
	}
	c.dst = jsonscan.AppendString(c.dst, text)
}

func (c *copier) addSystem(text []byte) bool {
	if c.B[c.list.at] != '[' {
		return false
	}
	c.insert(c.list.at + 1)
	c.dst = append(jsonscan.AppendString(append(c.dst, `{"role":"system","content":`...), text), '}')
	if c.turns > 0 {
		c.dst = append(c.dst, ',')
	}
	return true
}

// editSystem puts text before or in place of a system text that is there. It reports whether there is a place.
func (c *copier) editSystem(replace bool, text []byte) bool {
	if !c.hasInstructions() {
		if !replace {
			return c.setText(c.system, true, text)
		}
		return c.replaceTurns(text)
	}
	early := c.instructions.at < c.list.at
	ok := true
	if replace && !early {
		ok = c.replaceTurns(nil)
	}
	if replace && len(text) == 0 {
		c.leave(c.instructions)
		c.dst = append(c.dst, "null"...)
	} else {
		ok = c.setText(turn{text: c.instructions}, !replace, text) && ok
	}
	if replace && early {
		ok = c.replaceTurns(nil) && ok
	}
	return ok
}

// replaceTurns replaces the text of the first system message and removes the others, or all if there is no text.
func (c *copier) replaceTurns(text []byte) bool {
	if c.systems == 0 {
		return true
	}
	var kept bool
	var removed extent // at the list's beginning, up to what is kept
	last := 0          // the end of the turn before
	c.I = c.list.at
	c.Enter('[')
	for more := c.More(']', true); more; more = c.More(']', false) {
		t := c.readTurn()
		switch after := c.I; {
		case t.role != system || len(text) > 0:
			if removed.at > 0 {
				c.leave(extent{removed.at, t.at})
				removed = extent{}
			}
			if kept = true; t.role == system {
				if !c.setText(t, false, text) {
					return false
				}
				text, c.I = nil, after
			}
		case kept:
			c.leave(extent{last, t.end})
		case removed.at == 0:
			removed = t.extent
		default:
			removed.end = t.end
		}
		last = t.end
	}
	if removed.at > 0 {
		c.leave(removed)
	}
	return true
}

// AppendMessage implements dialect.Prompts. The messages of a responses request are its input items; the text of a
// function's output is what it put out.
func (Codec) AppendMessage(dst, body []byte, op dialect.Op, i int, text []byte) ([]byte, error) {
	c := newCopier(dst, body, op)
	if c.list.at == 0 || i < 0 || i >= c.turns || !c.setText(c.turnAt(i), false, text) {
		return dst, noPlace("the text of message "+strconv.Itoa(i), op)
	}
	return c.rest(), nil
}

// setText puts text before the turn's text or in place of it, and reports whether the turn has a place for it. A
// chat message that only calls tools has.
func (c *copier) setText(t turn, before bool, text []byte) bool {
	if t.text.at == 0 {
		if c.op != dialect.OpChat || t.role == nobody || t.role == tokens {
			return false
		}
		c.insert(t.end - 1)
		c.dst = jsonscan.AppendString(append(c.dst, `,"content":`...), text)
		return true
	}
	switch c.B[t.text.at] {
	case '"':
		c.setString(t.text, before, text)
	case 'n':
		c.leave(t.text)
		c.dst = jsonscan.AppendString(c.dst, text)
	case '[':
		c.setParts(t, before, text)
	default:
		return false
	}
	return true
}

// setString puts text before what a string says, on a line of its own, or in place of it.
func (c *copier) setString(e extent, before bool, text []byte) {
	if !before {
		c.leave(e)
		c.dst = jsonscan.AppendString(c.dst, text)
		return
	}
	c.insert(e.at + 1)
	if c.dst = jsonscan.AppendText(c.dst, text); e.end-e.at > 2 {
		c.dst = append(c.dst, `\n`...)
	}
}

// setParts edits the first part that is text, and removes the others in which a replaced text went on. Where no part
// is text it puts one before the others.
func (c *copier) setParts(t turn, before bool, text []byte) {
	c.I = t.text.at
	c.Enter('[')
	first, found, last := c.I, false, 0
	for more := c.More(']', true); more; more = c.More(']', false) {
		p := c.readPart()
		switch {
		case p.text.at == 0:
		case !found:
			found = true
			c.setString(p.text, before, text)
		case !before:
			c.leave(extent{last, p.end})
		}
		last = p.end
	}
	if found {
		return
	}
	kind := "text"
	switch {
	case c.op == dialect.OpChat:
	case t.role == assistant:
		kind = "output_text"
	default:
		kind = "input_text"
	}
	c.insert(first)
	c.dst = append(append(append(c.dst, `{"type":"`...), kind...), `","text":`...)
	if c.dst = append(jsonscan.AppendString(c.dst, text), '}'); last > 0 {
		c.dst = append(c.dst, ',')
	}
}

// AppendMaxTokens implements dialect.Prompts. A limit under either of the operation's names is replaced, both if both
// are set.
func (Codec) AppendMaxTokens(dst, body []byte, op dialect.Op, n int64) ([]byte, error) {
	if limitNames[op][0] == "" {
		return dst, noPlace("the limit of output tokens", op)
	}
	c := newCopier(dst, body, op)
	set := false
	a, b := c.limits[0], c.limits[1]
	if a.at > b.at {
		a, b = b, a
	}
	for _, l := range [...]extent{a, b} {
		if l.at > 0 && body[l.at] != 'n' {
			c.leave(l)
			c.dst, set = strconv.AppendInt(c.dst, n, 10), true
		}
	}
	switch {
	case set:
	case c.limits[0].at > 0:
		c.leave(c.limits[0])
		c.dst = strconv.AppendInt(c.dst, n, 10)
	default:
		c.addMember(limitNames[op][0])
		c.dst = strconv.AppendInt(c.dst, n, 10)
	}
	return c.rest(), nil
}
