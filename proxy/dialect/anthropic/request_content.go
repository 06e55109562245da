package anthropic

import (
	"bytes"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// messages writes the conversation and the instructions. Turns of one side that follow one another are one message, in
// which results of tools come first. Instructions that came later go before the conversation: whether they may stand
// within depends on the model. Instructions alone are asked as the user's words, as there must be a message.
func (w *writer) messages() {
	turns := w.chat.Turns
	w.dst = append(w.dst, `,"messages":[`...)
	for i := 0; i < len(turns); {
		end := i + 1
		for end < len(turns) && w.answers(turns[end]) == w.answers(turns[i]) {
			end++
		}
		w.turns(turns[i:end], dialect.Results, "user")
		w.turns(turns[i:end], dialect.User, "user")
		w.turns(turns[i:end], dialect.Assistant, "assistant")
		i = end
	}
	if w.opened == "" {
		if w.role = "user"; !w.instructions() {
			w.cannot("a request without a message: let the user say something")
		}
		w.dst = append(w.dst, "]}]"...)
		return
	}
	w.dst = append(w.dst, "]}]"...)
	at := len(w.dst)
	w.dst = append(w.dst, `,"system":[`...)
	w.role, w.blocks = "", 0
	if !w.instructions() {
		w.dst = w.dst[:at]
		return
	}
	w.dst = append(w.dst, ']')
}

// answers says that a turn is of the model, and that something of it will be written.
func (w *writer) answers(t dialect.Turn) bool {
	if t.Role != dialect.Assistant {
		return false
	}
	for _, p := range w.chat.Parts[t.From:t.To] {
		switch p.Kind {
		case dialect.PartText, dialect.PartRefusal:
			if len(trimEnd(p.Text)) > 0 {
				return true
			}
		case dialect.PartThinking, dialect.PartHidden:
			if known(&p) {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// known says that Anthropic signed a thought. It refuses any other.
func known(p *dialect.Part) bool { return len(p.Signature) > 0 && p.Signer == dialect.Anthropic }

// instructions writes the texts that rule the conversation; false if there are none.
func (w *writer) instructions() bool {
	c := w.chat
	before := w.blocks
	for i := range c.System {
		w.instruction(&c.System[i])
	}
	for _, t := range c.Turns {
		if t.Role != dialect.System {
			continue
		}
		w.left.Add(dialect.FieldSystemTurn)
		for i := t.From; i < t.To; i++ {
			w.instruction(&c.Parts[i])
		}
	}
	return w.blocks > before
}

func (w *writer) instruction(p *dialect.Part) {
	if p.Kind != dialect.PartText {
		w.cannot("instructions that are no text: let the user send what is none")
		return
	}
	w.text(p)
}

// turns writes those turns that have the role.
func (w *writer) turns(turns []dialect.Turn, role dialect.Role, name string) {
	w.role = name
	for _, t := range turns {
		if t.Role != role {
			continue
		}
		if t.Name != nil {
			w.left.Add(dialect.FieldName)
		}
		for i := t.From; i < t.To; i++ {
			w.part(&w.chat.Parts[i])
		}
	}
}

// block begins a block of the message of w.role, or of the list that is open where that is empty.
func (w *writer) block(kind string) {
	if w.role != "" && w.role != w.opened {
		if w.opened != "" {
			w.dst = append(w.dst, "]},"...)
		}
		w.dst = append(append(append(w.dst, `{"role":"`...), w.role...), `","content":[`...)
		w.opened, w.blocks = w.role, 0
	}
	if w.blocks++; w.blocks > 1 {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(append(append(w.dst, `{"type":"`...), kind...), '"')
}

func (w *writer) part(p *dialect.Part) {
	switch p.Kind {
	case dialect.PartText, dialect.PartRefusal:
		w.text(p)
	case dialect.PartImage:
		if w.role == "assistant" {
			w.cannot("a picture that the model made: send it as the user's")
			return
		}
		w.image(p)
	case dialect.PartFile:
		w.document(p)
	case dialect.PartThinking, dialect.PartHidden:
		w.thought(p)
	case dialect.PartCall:
		w.call(p)
	case dialect.PartResult:
		w.result(p)
	case dialect.PartAudio:
		w.cannot("sound: Anthropic's API hears none; send a transcript")
	default:
		w.cannot("a video: Anthropic's API sees none; send pictures of it")
	}
}

// text writes a text. The API refuses one without any character that can be seen, and white space at the end of an
// answer that the model is to go on with.
func (w *writer) text(p *dialect.Part) {
	trimmed := trimEnd(p.Text)
	if len(trimmed) == 0 {
		if p.Cache != nil {
			w.left.Add(dialect.FieldCache)
		}
		return
	}
	text := p.Text
	if parts := w.chat.Parts; w.role == "assistant" && p == &parts[len(parts)-1] {
		text = trimmed
	}
	w.block("text")
	w.dst = append(append(append(w.dst, `,"text":"`...), text...), '"')
	w.end(p)
}

// end ends a block.
func (w *writer) end(p *dialect.Part) {
	w.cacheControl(p.Cache)
	w.dst = append(w.dst, '}')
}

// thought writes reasoning that Anthropic signed.
func (w *writer) thought(p *dialect.Part) {
	switch {
	case !known(p):
		w.left.Add(dialect.FieldSignature)
	case p.Kind == dialect.PartHidden:
		w.block("redacted_thinking")
		w.dst = append(append(append(w.dst, `,"data":"`...), p.Signature...), `"}`...)
	default:
		w.block("thinking")
		w.dst = append(append(append(w.dst, `,"thinking":"`...), p.Text...), `","signature":"`...)
		w.dst = append(append(w.dst, p.Signature...), `"}`...)
	}
}

func (w *writer) call(p *dialect.Part) {
	if p.Signature != nil {
		w.left.Add(dialect.FieldSignature)
	}
	w.block("tool_use")
	w.dst = appendCallID(append(w.dst, `,"id":"`...), p.ID, &w.calls)
	w.dst = append(append(append(w.dst, `","name":"`...), p.Name...), `","input":`...)
	var ok bool
	if w.dst, ok = dialect.AppendArgs(w.dst, p.Args); !ok {
		w.cannot("the arguments of the call of %q, which are no JSON object: send them as one", p.Name)
		return
	}
	w.end(p)
}

func (w *writer) result(p *dialect.Part) {
	w.block("tool_result")
	w.dst = append(appendCallID(append(w.dst, `,"tool_use_id":"`...), p.ID, &w.results), '"')
	at := len(w.dst)
	w.dst = append(w.dst, `,"content":[`...)
	role, blocks := w.role, w.blocks
	w.role, w.blocks = "", 0
	for i := p.From; i < p.To; i++ {
		w.part(&w.chat.Nested[i])
	}
	if w.dst = append(w.dst, ']'); w.blocks == 0 {
		w.dst = w.dst[:at]
	}
	w.role, w.blocks = role, blocks
	if p.Failed {
		w.dst = append(w.dst, `,"is_error":true`...)
	}
	w.end(p)
}

// appendCallID appends the id of a call in the characters that the API takes, the same for the call and its result.
// Those without an id are numbered: the first result is of the first call.
func appendCallID(dst []byte, id dialect.Written, unnamed *int) []byte {
	const hex = "0123456789abcdef"
	if len(id) == 0 {
		*unnamed++
		return appendNumber(dst, "call_", int64(*unnamed))
	}
	for _, ch := range id {
		if ch == '-' || ch == '_' || ch-'0' <= 9 || ch|0x20-'a' < 26 {
			dst = append(dst, ch)
		} else {
			dst = append(dst, '_', hex[ch>>4], hex[ch&15])
		}
	}
	return dst
}

// image writes a picture.
func (w *writer) image(p *dialect.Part) {
	if p.Detail != nil && string(p.Detail) != "auto" {
		w.left.Add(dialect.FieldDetail)
	}
	if len(p.Name) > 0 {
		w.left.Add(dialect.FieldFileName)
	}
	media := p.Media
	switch {
	case p.Data == nil:
	case media == nil:
		if media = sniff(p.Data); media == nil {
			w.cannot("a picture of an unknown kind: name its media type")
		}
	case bytes.EqualFold(media, []byte("image/jpg")):
		media = []byte("image/jpeg")
	}
	w.block("image")
	w.source(p, media, "a picture")
	w.end(p)
}

// source writes where a picture or a document comes from.
func (w *writer) source(p *dialect.Part, media dialect.Written, what string) {
	w.dst = append(w.dst, `,"source":{"type":"`...)
	switch {
	case p.Data != nil:
		w.dst = append(append(w.dst, `base64","media_type":"`...), media...)
		w.dst = append(append(w.dst, `","data":"`...), p.Data...)
	case p.URL != nil:
		w.dst = append(append(w.dst, `url","url":"`...), p.URL...)
	case p.FileID != nil:
		w.cannot("%s that another provider keeps as the file %q: send its bytes or its URL", what, p.FileID)
	default:
		w.cannot("%s without bytes and URL: send one of them", what)
	}
	w.dst = append(w.dst, `"}`...)
}
