package openai

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// responseReader reads a whole response.
type responseReader struct {
	r        *dialect.Reply
	called   bool     // it calls tools
	refused  bool     // it holds a refusal
	logprobs [][]byte // of the texts' parts: lists with something in them
}

// readResponse reads a whole response. All it says is in its output: its other members repeat the request, or tell how
// it was served.
func readResponse(body []byte, r *dialect.Reply) error {
	p := responseReader{r: r}
	var output, status, details []byte
	f := fields(body)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "id":
			r.ID = inside(f.Skip())
		case "model":
			r.Model = inside(f.Skip())
		case "created_at":
			r.Created = f.Count()
		case "output":
			output = f.Skip()
		case "status":
			status = some(f.Skip())
		case "incomplete_details":
			details = some(f.Skip())
		case "usage":
			readUsage(&f.Cursor, &r.Usage)
		default:
			f.Skip()
		}
	}
	if !f.End() || !isArray(output) {
		return malformed("responses answer")
	}
	c := jsonscan.Cursor{B: output}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		p.item(c.Skip())
	}
	a := dialect.Answer{To: len(r.Parts), Finish: p.finish(status, details), LogProbs: p.logProbs()}
	r.Answers = append(r.Answers, a)
	return nil
}

// finish is why the answer ended.
func (p *responseReader) finish(status, details []byte) dialect.Finish {
	switch {
	case wordIs(status, "incomplete") && wordIs(memberOf(details, "reason"), "content_filter"):
		return dialect.FinishFilter
	case wordIs(status, "incomplete"):
		return dialect.FinishLength
	case p.called:
		return dialect.FinishCalls
	case p.refused:
		return dialect.FinishRefusal
	}
	return dialect.FinishStop
}

// item reads one item of the output.
func (p *responseReader) item(v []byte) {
	r := p.r
	part, ok := dialect.Part{}, false
	switch itemKindOf(v) {
	case messageItem:
		p.message(v)
		return
	case callItem:
		if part, ok = readCallItem(v, &r.Lost, "output."); part.Name != nil && len(part.ID) == 0 {
			from := len(r.Scratch)
			r.Scratch = appendCallID(r.Scratch, r.ID, len(r.Parts))
			part.ID, ok = r.Scratch[from:len(r.Scratch):len(r.Scratch)], true
		}
		p.called = p.called || ok
	case reasoningItem:
		if part, ok = readReasoning(v, &r.Scratch, &r.Lost, "output."); !ok {
			return // an empty one tells nothing
		}
	case imageItem:
		part, ok = readImageItem(v)
	}
	if !ok {
		r.Lost = addPath(r.Lost, "output")
		return
	}
	r.Parts = append(r.Parts, part)
}

// message reads the parts of a message.
func (p *responseReader) message(v []byte) {
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		switch string(k) {
		case "type", "id", "status", "role":
			continue
		case "content":
			if isArray(m) {
				p.content(m)
				continue
			}
		}
		p.lose("output.", k, m)
	}
}

// lose notes a member that is not understood, unless it says nothing.
func (p *responseReader) lose(path string, k, v []byte) {
	if !isHollow(v) {
		p.r.Lost = addPath(p.r.Lost, path+string(k))
	}
}

func (p *responseReader) content(v []byte) {
	c := jsonscan.Cursor{B: v}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		p.part(c.Skip())
	}
}

// part reads one part of a message. An empty text tells nothing.
func (p *responseReader) part(v []byte) {
	kind := itemPartKindOf(memberOf(v, "type"))
	if kind != textPart && kind != refusalPart {
		p.r.Lost = addPath(p.r.Lost, "output.content")
		return
	}
	part := dialect.Part{Kind: dialect.PartText}
	if kind == refusalPart {
		part.Kind, p.refused = dialect.PartRefusal, true
	}
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		switch {
		case string(k) == "type":
		case string(k) == "text" && kind == textPart, string(k) == "refusal" && kind == refusalPart:
			part.Text = inside(m)
		case string(k) == "logprobs" && isArray(m):
			if !isHollow(m) {
				p.logprobs = append(p.logprobs, m)
			}
		default:
			p.lose("output.content.", k, m)
		}
	}
	if len(part.Text) > 0 {
		p.r.Parts = append(p.r.Parts, part)
	}
}

// logProbs is the logprobs of all texts as chat/completions have them; nil without any.
func (p *responseReader) logProbs() dialect.Raw {
	r := p.r
	if len(p.logprobs) == 0 {
		return nil
	}
	from := len(r.Scratch)
	r.Scratch = append(r.Scratch, `{"content":`...)
	for i, list := range p.logprobs {
		r.Scratch = append(append(r.Scratch, listed(i)...), list[1:len(list)-1]...)
	}
	r.Scratch = append(r.Scratch, `],"refusal":null}`...)
	return r.Scratch[from:len(r.Scratch):len(r.Scratch)]
}
