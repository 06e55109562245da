package anthropic

import (
	"bytes"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// ReadReply implements dialect.Translator.
func (Codec) ReadReply(op dialect.Op, body []byte, r *dialect.Reply) error {
	r.Reset()
	if op != dialect.OpMessages {
		return noForm("answer", op)
	}
	in := replyReader{reader: reader{lost: &r.Lost, path: "content."}, reply: r}
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: body}}
	f.Enter('{')
	for k, ok := f.Key(true); ok && in.err == nil; k, ok = f.Key(false) {
		in.member(&f, k)
	}
	if in.err == nil && !f.End() {
		in.bad("", "the answer", "is not one complete JSON object")
	}
	if in.refusal != nil {
		r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartRefusal, Text: in.refusal})
	}
	in.answer.To = len(r.Parts)
	r.Answers = append(r.Answers, in.answer)
	return in.err
}

// replyReader reads one answer.
type replyReader struct {
	reader
	reply   *dialect.Reply
	answer  dialect.Answer
	refusal dialect.Written // why the model refused
}

func (in *replyReader) member(f *jsonscan.Fields, k []byte) {
	r := in.reply
	switch string(k) {
	case "id":
		r.ID = in.text("", "id", f.Skip())
	case "model":
		r.Model = in.text("", "model", f.Skip())
	case "content":
		in.content(f)
	case "stop_reason":
		in.answer.Finish = finishOf(f.Word())
	case "stop_sequence":
		in.answer.Sequence = in.text("", "stop_sequence", f.Skip())
	case "stop_details":
		in.refusal = explanation(f.Skip())
	case "usage":
		readUsage(&f.Cursor, &r.Usage)
	case "type", "role":
		f.Skip()
	default:
		in.unknown("", k, f.Skip())
	}
}

func (in *replyReader) content(f *jsonscan.Fields) {
	in.reply.Parts = in.reply.Parts[:0]
	f.Enter('[')
	for ok := f.More(']', true); ok && in.err == nil; ok = f.More(']', false) {
		var b block
		b.read(&in.reader, f)
		switch b.kind {
		case textBlock, callBlock, thinkingBlock, redactedBlock:
			in.reply.Parts = append(in.reply.Parts, in.part(&b))
		default: // what the provider's own tools said
			in.unknown(in.path, b.typed(), []byte("true"))
		}
	}
	in.signCalls()
}

// signCalls gives calls the signatures that AppendReply wrote behind them.
func (in *replyReader) signCalls() {
	kept := in.reply.Parts[:0]
	for _, p := range in.reply.Parts {
		if n := len(kept); n > 0 && signs(&p, &kept[n-1]) {
			kept[n-1].Signature, kept[n-1].Signer = p.Signature, p.Signer
			continue
		}
		kept = append(kept, p)
	}
	in.reply.Parts = kept
}

// signs says that a hidden thought is what became of the signature of the call before it. Only Gemini signs calls.
func signs(p, before *dialect.Part) bool {
	return p.Kind == dialect.PartHidden && p.Signer == dialect.Gemini && before.Kind == dialect.PartCall && before.Signature == nil
}

// explanation is why the model refused, as stop_details tells; nil where it does not.
func explanation(v dialect.Raw) dialect.Written {
	if len(v) == 0 || v[0] != '{' {
		return nil
	}
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: v}}
	var text dialect.Written
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		if v := f.Skip(); string(k) == "explanation" && len(v) > 2 {
			text = inside(v)
		}
	}
	return text
}

func finishOf(word []byte) dialect.Finish {
	switch string(word) {
	case "end_turn":
		return dialect.FinishStop
	case "stop_sequence":
		return dialect.FinishSequence
	case "max_tokens", "model_context_window_exceeded":
		return dialect.FinishLength
	case "tool_use":
		return dialect.FinishCalls
	case "refusal":
		return dialect.FinishRefusal
	case "pause_turn":
		return dialect.FinishPause
	}
	return dialect.FinishUnsaid
}

// stopReason is the word for why an answer ended. Clients run tools only for tool_use, whatever another provider calls
// the end of an answer with calls.
func stopReason(f dialect.Finish, called, refused bool) string {
	switch f {
	case dialect.FinishSequence:
		return "stop_sequence"
	case dialect.FinishLength:
		return "max_tokens"
	case dialect.FinishCalls:
		return "tool_use"
	case dialect.FinishFilter, dialect.FinishRefusal:
		return "refusal"
	case dialect.FinishPause:
		return "pause_turn"
	}
	switch {
	case refused:
		return "refusal"
	case called:
		return "tool_use"
	}
	return "end_turn"
}

// AppendReply implements dialect.Translator. Of several answers it tells the first; pictures and sound have no word.
func (Codec) AppendReply(dst []byte, op dialect.Op, r *dialect.Reply) ([]byte, error) {
	if op != dialect.OpMessages {
		return dst, noForm("answer", op)
	}
	var a dialect.Answer
	if len(r.Answers) > 0 {
		a = r.Answers[0]
	}
	dst = appendMessageHead(dst, r.ID, r.Model)
	var refusal dialect.Written
	blocks, calls := 0, 0
	for i := a.From; i < a.To; i++ {
		p := &r.Parts[i]
		switch p.Kind {
		case dialect.PartRefusal:
			refusal = p.Text
			continue
		case dialect.PartText, dialect.PartThinking, dialect.PartHidden, dialect.PartCall:
		default:
			continue
		}
		if p.Kind == dialect.PartCall {
			calls++
		}
		if blocks++; blocks > 1 {
			dst = append(dst, ',')
		}
		dst = appendAnswerPart(dst, p, r.ID, calls)
	}
	dst = append(dst, "],"...)
	dst = appendEnding(dst, a.Finish, a.Sequence, refusal, calls > 0)
	dst = appendUsage(append(dst, `,"container":null,"diagnostics":null,"usage":`...), &r.Usage)
	return append(dst, '}'), nil
}

// appendMessageHead appends a message up to its content.
func appendMessageHead(dst []byte, id, model dialect.Written) []byte {
	dst = append(dst, `{"id":"`...)
	if !bytes.HasPrefix(id, []byte("msg_")) {
		dst = append(dst, "msg_"...)
	}
	dst = append(append(dst, id...), `","type":"message","role":"assistant","model":"`...)
	return append(append(dst, model...), `","content":[`...)
}

// appendAnswerPart appends the block that a part is; call is the ordinal of a call, from 1.
func appendAnswerPart(dst []byte, p *dialect.Part, id dialect.Written, call int) []byte {
	switch p.Kind {
	case dialect.PartText:
		return append(append(append(dst, `{"type":"text","text":"`...), p.Text...), `","citations":null}`...)
	case dialect.PartThinking:
		dst = append(append(append(dst, `{"type":"thinking","thinking":"`...), p.Text...), `","signature":"`...)
		if len(p.Signature) > 0 {
			dst = dialect.AppendSignature(dst, dialect.Anthropic, p.Signature, p.Signer)
		}
		return append(dst, `"}`...)
	case dialect.PartHidden:
		return appendHidden(dst, p.Signature, p.Signer)
	}
	dst = append(appendToolUse(dst, p.ID, id, call, p.Name), `,"input":`...)
	at := len(dst)
	dst, ok := dialect.AppendArgs(dst, p.Args)
	if !ok { // cut off
		dst = append(dst[:at], "{}"...)
	}
	dst = append(dst, '}')
	if len(p.Signature) > 0 {
		dst = appendHidden(append(dst, ','), p.Signature, p.Signer)
	}
	return dst
}

func appendHidden(dst []byte, signature dialect.Written, signer dialect.ID) []byte {
	dst = append(dst, `{"type":"redacted_thinking","data":"`...)
	return append(dialect.AppendSignature(dst, dialect.Anthropic, signature, signer), `"}`...)
}

// appendToolUse appends a call up to its input. One without an id gets one of its message and ordinal.
func appendToolUse(dst []byte, id, message dialect.Written, call int, name dialect.Written) []byte {
	dst = append(dst, `{"type":"tool_use","id":"`...)
	if len(id) == 0 {
		dst = appendCallID(append(dst, "toolu_"...), message, new(int))
		dst = appendNumber(dst, "_", int64(call))
	} else {
		dst = appendCallID(dst, id, nil)
	}
	dst = append(append(dst, `","name":"`...), name...)
	return append(dst, '"')
}

// appendEnding appends the members that tell why a message ended.
func appendEnding(dst []byte, f dialect.Finish, sequence, refusal dialect.Written, called bool) []byte {
	reason := stopReason(f, called, len(refusal) > 0)
	dst = append(append(append(dst, `"stop_reason":"`...), reason...), `","stop_sequence":`...)
	if f == dialect.FinishSequence && len(sequence) > 0 {
		dst = append(append(append(dst, '"'), sequence...), '"')
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"stop_details":`...)
	if len(refusal) == 0 {
		return append(dst, "null"...)
	}
	dst = append(append(dst, `{"type":"refusal","category":null,"explanation":"`...), refusal...)
	return append(dst, `"}`...)
}
