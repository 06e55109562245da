package gemini

import (
	"fmt"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// AppendWhole implements dialect.Answers. Nothing is appended with an error.
func (Codec) AppendWhole(dst []byte, op dialect.Op, sse []byte) ([]byte, error) {
	a := assembly{op: op}
	for n := stream.Next(sse); n > 0; n = stream.Next(sse) {
		if err := a.event(sse[:n]); err != nil {
			return dst, err
		}
		sse = sse[n:]
	}
	if !a.st.Finished {
		return dst, fmt.Errorf("%w: the %s stream has no end", dialect.ErrMalformed, op)
	}
	return a.appendTo(dst), nil
}

// assembly is the whole answer as far as the events told it: of what is told again, the last word counts.
type assembly struct {
	op         dialect.Op
	st         dialect.Stream
	top        object // all but the candidates
	candidates []*grown
}

// event adds one complete event.
func (a *assembly) event(event []byte) error {
	name, data, _ := stream.Fields(event, nil) // what is kept of data must not lie in a scratch
	kind, err := Codec{}.Event(a.op, &a.st, name, data)
	switch {
	case err != nil || kind == dialect.Ignored:
		return err
	case kind == dialect.Failed:
		return fmt.Errorf("%w: in the %s stream", dialect.ErrProvider, a.op)
	}
	o, ok := members(data)
	for _, m := range o {
		switch {
		case m.key == "candidates":
			elements(m.val, func(i int, v []byte) { ok = a.candidate(i, v) && ok })
		case !isNull(m.val):
			a.top.set(m.key, m.val)
		}
	}
	if !ok || len(a.top) > most {
		return fmt.Errorf("%w: the events of the %s stream do not fit together", dialect.ErrMalformed, a.op)
	}
	return nil
}

// candidate adds what an event tells of a candidate, the i-th of the event.
func (a *assembly) candidate(i int, v []byte) bool {
	o, ok := members(v)
	if index := o.get("index"); index != nil {
		i = int(countOf(index))
	}
	for _, c := range a.candidates {
		if c.index == i {
			return c.add(o) && ok
		}
	}
	c := &grown{index: i}
	a.candidates = append(a.candidates, c)
	return c.add(o) && ok && len(a.candidates) <= most
}

func (a *assembly) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	for i, c := range a.candidates {
		if i == 0 {
			dst = append(dst, `"candidates":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = c.appendTo(dst)
	}
	if len(a.candidates) > 0 {
		dst = append(dst, ']')
		if len(a.top) > 0 {
			dst = append(dst, ',')
		}
	}
	return append(a.top.appendMembers(dst), '}')
}

// grown is a candidate as far as it was told.
type grown struct {
	index   int
	rest    object // all but content and logprobsResult
	content object // all but parts
	parts   []grownPart
	blank   bool   // an empty text was told
	chosen  []byte // elements of the logprobsResult's lists, with a comma before each
	top     []byte
}

// grownPart is a part; one that is a text goes on with the next one of its kind, up to a signature, by which a whole
// answer's text ends, too.
type grownPart struct {
	whole     []byte // of one that is no text
	text      []byte
	thought   bool
	signature []byte // as written, with its quotes
}

func (g *grown) add(o object) (ok bool) {
	ok = true
	for _, m := range o {
		switch {
		case isNull(m.val):
		case m.key == "content":
			content, good := members(m.val)
			ok = ok && good
			for _, m := range content {
				if m.key != "parts" {
					g.content.set(m.key, m.val)
				}
			}
			elements(content.get("parts"), func(_ int, v []byte) { ok = g.part(v) && ok })
		case m.key == "logprobsResult":
			logprobs, good := members(m.val)
			ok = ok && good
			elements(logprobs.get("chosenCandidates"), func(_ int, v []byte) { g.chosen = append(append(g.chosen, ','), v...) })
			elements(logprobs.get("topCandidates"), func(_ int, v []byte) { g.top = append(append(g.top, ','), v...) })
		default:
			g.rest.set(m.key, m.val)
		}
	}
	return ok && len(g.rest) <= most && len(g.content) <= most
}

func (g *grown) part(v []byte) bool {
	o, ok := members(v)
	text := inside(o.get("text"))
	if text == nil && len(o.without("thought", "thoughtSignature")) == 0 {
		text = []byte{} // the default is left out
	}
	if text == nil || len(o.without("text", "thought", "thoughtSignature")) > 0 {
		g.parts = append(g.parts, grownPart{whole: v})
		return ok
	}
	next := grownPart{thought: string(o.get("thought")) == "true", signature: given(o.get("thoughtSignature"))}
	if n := len(g.parts); n > 0 && g.parts[n-1].joins(&next) {
		last := &g.parts[n-1]
		last.text, last.signature = append(last.text, text...), next.signature
		return ok
	}
	if g.blank = true; len(text) > 0 || next.signature != nil {
		next.text = append(next.text, text...)
		g.parts = append(g.parts, next)
	}
	return ok
}

func (p *grownPart) joins(next *grownPart) bool {
	return p.whole == nil && p.signature == nil && p.thought == next.thought && !hides(inside(next.signature))
}

func (g *grown) appendTo(dst []byte) []byte {
	if g.parts == nil && g.blank {
		g.parts = []grownPart{{}}
	}
	dst = append(dst, '{')
	if g.content != nil || g.parts != nil {
		dst = append(dst, `"content":{`...)
		for i := range g.parts {
			if i == 0 {
				dst = append(dst, `"parts":[`...)
			} else {
				dst = append(dst, ',')
			}
			dst = g.parts[i].appendTo(dst)
		}
		if g.parts != nil {
			dst = append(dst, ']')
			if g.content != nil {
				dst = append(dst, ',')
			}
		}
		dst = append(g.content.appendMembers(dst), "},"...)
	}
	if g.chosen != nil {
		dst = append(append(dst, `"logprobsResult":{"chosenCandidates":[`...), g.chosen[1:]...)
		if g.top != nil {
			dst = append(append(dst, `],"topCandidates":[`...), g.top[1:]...)
		}
		dst = append(dst, "]},"...)
	}
	g.rest.set("index", appendNumber(nil, "", int64(g.index)))
	return append(g.rest.appendMembers(dst), '}')
}

func (p *grownPart) appendTo(dst []byte) []byte {
	if p.whole != nil {
		return append(dst, p.whole...)
	}
	dst = appendText(dst, `{"text":`, p.text)
	if p.thought {
		dst = append(dst, `,"thought":true`...)
	}
	if p.signature != nil {
		dst = append(append(dst, `,"thoughtSignature":`...), p.signature...)
	}
	return append(dst, '}')
}
