package openai

import (
	"strconv"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// replyReader reads a whole answer of chat/completions or completions.
type replyReader struct {
	op dialect.Op
	r  *dialect.Reply
}

func readChatReply(op dialect.Op, body []byte, r *dialect.Reply) error {
	p := replyReader{op: op, r: r}
	f := fields(body)
	var choices []byte
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "id":
			r.ID = inside(f.Skip())
		case "model":
			r.Model = inside(f.Skip())
		case "created":
			r.Created = f.Count()
		case "choices":
			choices = f.Skip()
		case "usage":
			readUsage(&f.Cursor, &r.Usage)
		case "object", "system_fingerprint", "service_tier", "provider": // how it was served, not what it says
			f.Skip()
		default:
			p.lose("", k, f.Skip())
		}
	}
	if !f.End() || !isArray(choices) {
		return malformed(op.String() + " answer")
	}
	c := jsonscan.Cursor{B: choices}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		p.choice(c.Skip())
	}
	return nil
}

// lose notes a member that is not understood, unless it says nothing.
func (p *replyReader) lose(path string, k, v []byte) {
	if !isHollow(v) {
		p.r.Lost = addPath(p.r.Lost, path+string(k))
	}
}

// choice reads one choice.
func (p *replyReader) choice(v []byte) {
	if !isObject(v) {
		return
	}
	r := p.r
	a := dialect.Answer{Index: len(r.Answers), From: len(r.Parts)}
	var e ending
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		switch string(k) {
		case "index":
			if isNumber(m) {
				a.Index = indexOf(m)
			}
		case "message":
			p.message(m, &e)
		case "text":
			if text := inside(m); len(text) > 0 {
				r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartText, Text: text})
			}
		case "finish_reason":
			e.reason = some(m)
		case "stop_reason", "matched_stop": // vLLM and SGLang: the stop sequence, or a token
			e.sequence = inside(m)
		case "logprobs":
			if a.LogProbs = some(m); p.op == dialect.OpCompletions && a.LogProbs != nil {
				a.LogProbs = nil
				p.lose("choices.", k, m)
			}
		case "native_finish_reason": // OpenRouter: the same in the words of another
		default:
			p.lose("choices.", k, m)
		}
	}
	a.To = len(r.Parts)
	a.Finish, a.Sequence = e.finish()
	r.Answers = append(r.Answers, a)
}

// ending is what tells why an answer ended.
type ending struct {
	reason   []byte // as written; nil: untold
	sequence dialect.Written
	called   bool // the answer calls tools
	refused  bool // it holds a refusal
}

// finish is why the answer ended. A server may say "stop" where its answer calls tools or refuses: OpenAI itself does
// for a call that tool_choice demanded, and for every refusal.
func (e *ending) finish() (f dialect.Finish, sequence dialect.Written) {
	if e.reason == nil {
		return dialect.FinishUnsaid, nil
	}
	word := fields(e.reason)
	switch string(word.Word()) {
	case "length", "max_tokens", "model_length": // the last is Mistral's
		return dialect.FinishLength, nil
	case "tool_calls", "function_call":
		return dialect.FinishCalls, nil
	case "content_filter":
		return dialect.FinishFilter, nil
	}
	switch {
	case e.called:
		return dialect.FinishCalls, nil
	case e.refused:
		return dialect.FinishRefusal, nil
	case len(e.sequence) > 0:
		return dialect.FinishSequence, e.sequence
	}
	return dialect.FinishStop, nil
}

// said is what a message or a delta says: its members as written.
type said struct {
	content      []byte
	refusal      []byte
	reasoning    [2][]byte
	calls        []byte
	functionCall []byte
	extra        []byte
	images       []byte
	audio        []byte
}

// member is where the value of the member k belongs; nil for none.
func (s *said) member(k []byte) *[]byte {
	switch string(k) {
	case "content":
		return &s.content
	case "refusal":
		return &s.refusal
	case "reasoning_content":
		return &s.reasoning[0]
	case "reasoning":
		return &s.reasoning[1]
	case "tool_calls":
		return &s.calls
	case "function_call":
		return &s.functionCall
	case "extra_content":
		return &s.extra
	case "images":
		return &s.images
	case "audio":
		return &s.audio
	}
	return nil
}

// reasoned is the text of the thinking.
func (s *said) reasoned() dialect.Written {
	m := chatMessage{reasoning: s.reasoning}
	return m.reasoned()
}

// said reads the members of a message.
func (p *replyReader) said(v []byte) (s said) {
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		to := s.member(k)
		switch {
		case to != nil:
			*to = some(m)
		case string(k) == "role", string(k) == "reasoning_details": // OpenRouter: the reasoning again, in another form
		default:
			p.lose("choices.message.", k, m)
		}
	}
	return s
}

// message reads what an answer says: thinking, text, refusal, pictures and sound, and calls, in this order.
func (p *replyReader) message(v []byte, e *ending) {
	if !isObject(v) {
		return
	}
	r := p.r
	s := p.said(v)
	x := readExtra(s.extra, &r.Lost, "choices.message")
	if x.signed() {
		r.Parts = appendThinking(r.Parts, &x, s.reasoned())
	} else if text := s.reasoned(); text != nil {
		r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartThinking, Text: text})
	}
	understood := false
	if r.Parts, understood = appendPieces(r.Parts, s.content); !understood {
		r.Lost = addPath(r.Lost, "choices.message.content")
	}
	if text := inside(s.refusal); len(text) > 0 {
		e.refused = true
		r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartRefusal, Text: text})
	}
	p.media(&s)
	if x.signature != nil {
		r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartHidden, Signature: x.signature, Signer: dialect.Gemini})
	}
	p.calls(&s, e)
}

// appendPieces appends what a content says: a text, or Mistral's list of texts and thinking.
func appendPieces(parts []dialect.Part, v []byte) (out []dialect.Part, understood bool) {
	if text := inside(v); text != nil {
		if len(text) > 0 {
			parts = append(parts, dialect.Part{Kind: dialect.PartText, Text: text})
		}
		return parts, true
	}
	if !isArray(v) {
		return parts, v == nil
	}
	understood = true
	c := jsonscan.Cursor{B: v}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		piece := c.Skip()
		switch kind := memberOf(piece, "type"); {
		case wordIs(kind, "text"):
			parts, _ = appendPieces(parts, memberOf(piece, "text"))
		case wordIs(kind, "thinking"):
			from := len(parts)
			parts, understood = appendPieces(parts, memberOf(piece, "thinking"))
			for i := from; i < len(parts); i++ {
				parts[i].Kind = dialect.PartThinking
			}
		default:
			understood = false
		}
	}
	return parts, understood
}

// media reads pictures, as OpenRouter has them, and sound.
func (p *replyReader) media(s *said) {
	r := p.r
	if isArray(s.images) {
		c := jsonscan.Cursor{B: s.images}
		c.Enter('[')
		for ok := c.More(']', true); ok; ok = c.More(']', false) {
			url := inside(memberOf(memberOf(c.Skip(), "image_url"), "url"))
			if media, data, ok := cutDataURL(url); ok {
				r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartImage, Media: media, Data: data})
			} else {
				r.Lost = addPath(r.Lost, "choices.message.images")
			}
		}
	}
	if s.audio == nil {
		return
	}
	// What it is encoded in is told to nobody but who asked; what it says is, in words.
	if text := inside(memberOf(s.audio, "transcript")); len(text) > 0 {
		r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartText, Text: text})
	}
	if data := inside(memberOf(s.audio, "data")); len(data) > 0 {
		r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartAudio, Data: data})
	}
}

// calls reads the tool calls.
func (p *replyReader) calls(s *said, e *ending) {
	n := 0
	if call, ok := readFunction(s.functionCall); ok {
		p.call(call, &n)
	}
	if isArray(s.calls) {
		c := jsonscan.Cursor{B: s.calls}
		c.Enter('[')
		for ok := c.More(']', true); ok; ok = c.More(']', false) {
			if call, ok := readCall(c.Skip(), &p.r.Lost, "choices.message.tool_calls"); ok {
				p.call(call, &n)
			} else {
				p.r.Lost = addPath(p.r.Lost, "choices.message.tool_calls")
			}
		}
	}
	e.called = n > 0
}

// call adds the nth call. One without an id gets one, by which its result will be known.
func (p *replyReader) call(call dialect.Part, n *int) {
	r := p.r
	if len(call.ID) == 0 {
		from := len(r.Scratch)
		r.Scratch = appendCallID(r.Scratch, r.ID, *n)
		call.ID = r.Scratch[from:len(r.Scratch):len(r.Scratch)]
	}
	*n++
	r.Parts = append(r.Parts, call)
}

// appendCallID appends the id of the nth call of an answer that gives none.
func appendCallID(dst []byte, answer dialect.Written, n int) []byte {
	dst = append(dst, "call_"...)
	if len(answer) > 0 {
		dst = append(append(dst, answer...), '_')
	}
	return strconv.AppendInt(dst, int64(n), 10)
}
