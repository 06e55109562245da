package openai

import (
	"slices"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// conversation reads the input at f: a text, or a list of items.
func (r *responsesReader) conversation(f *jsonscan.Cursor) error {
	c := r.c
	c.System, c.Turns, c.Parts, c.Nested = c.System[:0], c.Turns[:0], c.Parts[:0], c.Nested[:0]
	r.asked, r.began = false, false
	switch f.Peek() {
	case '"':
		c.Parts = append(c.Parts, dialect.Part{Kind: dialect.PartText, Text: inside(f.Skip())})
		c.Turns = append(c.Turns, dialect.Turn{Role: dialect.User, To: 1})
		r.asked = true
		return nil
	case '[':
	default:
		if !isHollow(f.Skip()) {
			return inexpressible("input that is neither a text nor a list of items", "send one or the other")
		}
		return nil
	}
	f.Enter('[')
	for ok := f.More(']', true); ok; ok = f.More(']', false) {
		if err := r.item(f.Skip()); err != nil {
			return err
		}
		r.asked = true
	}
	return nil
}

// instruction puts the instructions before all other system texts.
func (r *responsesReader) instruction() error {
	switch text := inside(r.instructions); {
	case len(text) > 0:
		r.c.System = slices.Insert(r.c.System, 0, dialect.Part{Kind: dialect.PartText, Text: text})
	case !isHollow(r.instructions):
		return inexpressible("instructions that are no text", "send a text, or system messages in input")
	}
	return nil
}

// itemKind is the type of an item of the input or of an answer.
type itemKind uint8

const (
	otherItem itemKind = iota
	messageItem
	callItem
	resultItem
	reasoningItem
	imageItem
)

// itemKindOf is the type of an item. A message needs none.
func itemKindOf(v []byte) (kind itemKind) {
	if !isObject(v) {
		return otherItem
	}
	typed, spoken := false, false
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			if f.Null() {
				continue
			}
			typed = true
			kind = itemKindNamed(f.Word())
		case "role":
			spoken = true
			f.Skip()
		default:
			f.Skip()
		}
	}
	if !typed && spoken {
		return messageItem
	}
	return kind
}

// itemKindNamed knows the types by name.
func itemKindNamed(word []byte) itemKind {
	switch string(word) {
	case "message":
		return messageItem
	case "function_call":
		return callItem
	case "function_call_output":
		return resultItem
	case "reasoning":
		return reasoningItem
	case "image_generation_call":
		return imageItem
	}
	return otherItem
}

// item adds an item to the conversation. One that is not understood is refused: what follows rests on it.
func (r *responsesReader) item(v []byte) error {
	c := r.c
	p, ok := dialect.Part{}, true
	switch itemKindOf(v) {
	case messageItem:
		return r.message(v)
	case resultItem:
		return r.output(v)
	case callItem:
		if p, ok = readCallItem(v, &c.Unknown, "input."); !ok {
			return inexpressible("an earlier call without call_id or name", "send the call as it came")
		}
	case reasoningItem:
		if p, ok = readReasoning(v, &c.Scratch, &c.Unknown, "input."); !ok {
			return nil // it is empty: nothing is left of it without its encrypted_content
		}
	case imageItem:
		if p, ok = readImageItem(v); !ok {
			return inexpressible("an earlier picture without its data", "send its result with it")
		}
	default:
		if wordIs(memberOf(v, "type"), "item_reference") {
			return inexpressible("a reference to an item that the provider keeps", "send the item itself")
		}
		return inexpressible("an item"+ofType(memberOf(v, "type")), "leave it out, or ask for a model whose provider has the responses API")
	}
	r.began = true
	at := r.open(dialect.Assistant)
	c.Parts = append(c.Parts, p)
	at.To = len(c.Parts)
	return nil
}

// open is the turn of the model or of its tools to which something is to be added. What one answer says is one turn,
// whatever number of items it has.
func (r *responsesReader) open(role dialect.Role) *dialect.Turn {
	c := r.c
	if n := len(c.Turns); n == 0 || c.Turns[n-1].Role != role {
		c.Turns = append(c.Turns, dialect.Turn{Role: role, From: len(c.Parts), To: len(c.Parts)})
	}
	return &c.Turns[len(c.Turns)-1]
}

// typedMessage reads what a message consists of: who speaks, the content, and the mark of the whole message.
func (r *responsesReader) typedMessage(v []byte) (from speaker, content, cache []byte) {
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type", "id", "status":
			f.Skip()
		case "role":
			from = speakerOf(f.Word())
		case "content":
			content = some(f.Skip())
		case "cache_control":
			cache = some(f.Skip())
		default:
			if m := f.Skip(); !isHollow(m) {
				r.c.Unknown = addPath(r.c.Unknown, "input."+string(k))
			}
		}
	}
	return from, content, cache
}

// message adds a message.
func (r *responsesReader) message(v []byte) error {
	from, content, cache := r.typedMessage(v)
	c := r.c
	if from == bySystem && !r.began {
		return r.instruct(&c.System, content, cache)
	}
	r.began = true
	if from == byModel {
		at := r.open(dialect.Assistant)
		err := r.itemContent(&c.Parts, content, cache)
		at.To = len(c.Parts)
		return err
	}
	t := dialect.Turn{From: len(c.Parts)}
	var err error
	switch from {
	case bySystem:
		t.Role = dialect.System
		err = r.instruct(&c.Parts, content, cache)
	case byUser:
		err = r.itemContent(&c.Parts, content, cache)
	default:
		return inexpressible("a message of an unknown role", "use system, developer, user or assistant")
	}
	t.To = len(c.Parts)
	c.Turns = append(c.Turns, t)
	return err
}

// instruct reads the content of instructions, which are texts alone.
func (r *responsesReader) instruct(to *[]dialect.Part, content, cache []byte) error {
	from := len(*to)
	err := r.itemContent(to, content, cache)
	for i := from; i < len(*to) && err == nil; i++ {
		if (*to)[i].Kind != dialect.PartText {
			err = inexpressible("a system message with content other than text", "send it as a user message")
		}
	}
	return err
}

// output adds what a tool answered. The results of one turn's calls are one turn.
func (r *responsesReader) output(v []byte) error {
	c := r.c
	p := dialect.Part{Kind: dialect.PartResult, From: len(c.Nested)}
	var output []byte
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		switch string(k) {
		case "type", "id", "status":
		case "call_id":
			p.ID = inside(m)
		case "name":
			p.Name = inside(m)
		case "output":
			output = some(m)
		case "cache_control":
			p.Cache = some(m)
		default:
			if !isHollow(m) {
				c.Unknown = addPath(c.Unknown, "input."+string(k))
			}
		}
	}
	return r.result(&p, output)
}

// result adds the output of a tool to its turn.
func (r *responsesReader) result(p *dialect.Part, output []byte) error {
	c := r.c
	if len(p.ID) == 0 {
		return inexpressible("a tool's output without call_id", "say which call it answers")
	}
	if p.Name == nil {
		p.Name = calledName(c.Parts, p.ID)
	}
	if err := r.itemContent(&c.Nested, output, nil); err != nil {
		return err
	}
	for i := p.From; i < len(c.Nested); i++ {
		switch c.Nested[i].Kind {
		case dialect.PartText, dialect.PartImage, dialect.PartFile:
		default:
			return inexpressible("a tool's output with content other than text, images and files", "describe it in text")
		}
	}
	p.To = len(c.Nested)
	r.began = true
	at := r.open(dialect.Results)
	c.Parts = append(c.Parts, *p)
	at.To = len(c.Parts)
	return nil
}

// readCallItem reads a function_call. unknown gets the paths of what it does not understand.
func readCallItem(v []byte, unknown *[]string, path string) (p dialect.Part, ok bool) {
	p.Kind = dialect.PartCall
	f := fields(v)
	f.Enter('{')
	for k, more := f.Key(true); more; k, more = f.Key(false) {
		m := f.Skip()
		switch string(k) {
		case "type", "id", "status":
		case "call_id":
			p.ID = inside(m)
		case "name":
			p.Name = inside(m)
		case "arguments": // a text; some clients put the object itself
			if p.Args = nil; isString(m) || isObject(m) {
				p.Args = some(m)
			}
		case "extra_content": // where calls of chat/completions have their signature, too
			if x := readExtra(m, unknown, path+"extra_content"); x.signature != nil {
				p.Signature, p.Signer = x.signature, dialect.Gemini
			}
		default:
			if !isHollow(m) && (!isBool(m) || isTrue(m)) {
				*unknown = addPath(*unknown, path+string(k))
			}
		}
	}
	return p, len(p.ID) > 0 && p.Name != nil
}

// readReasoning reads reasoning: the model's own words where they are shown, else their summary, which stands for the
// same. A signature tells whose it is. It returns false if there is nothing in it. Texts of several parts are put
// together in scratch.
func readReasoning(v []byte, scratch *[]byte, unknown *[]string, path string) (p dialect.Part, ok bool) {
	var content, summary []byte
	f := fields(v)
	f.Enter('{')
	for k, more := f.Key(true); more; k, more = f.Key(false) {
		m := f.Skip()
		switch string(k) {
		case "type", "id", "status":
		case "content":
			content = some(m)
		case "summary":
			summary = some(m)
		case "encrypted_content":
			if shown := inside(m); len(shown) > 0 {
				p.Signature, p.Signer = dialect.CutSignature(dialect.OpenAI, shown)
			}
		default:
			if !isHollow(m) {
				*unknown = addPath(*unknown, path+string(k))
			}
		}
	}
	if p.Text = joinedTexts(content, scratch); len(p.Text) == 0 {
		p.Text = joinedTexts(summary, scratch)
	}
	if p.Kind = dialect.PartThinking; p.Text == nil {
		p.Kind = dialect.PartHidden
	}
	return p, len(p.Text) > 0 || p.Signature != nil
}

// joinedTexts is the texts of a list's parts, with an empty line between any two; nil for a list without parts.
func joinedTexts(v []byte, scratch *[]byte) (text dialect.Written) {
	if !isArray(v) {
		return nil
	}
	from, n := len(*scratch), 0
	c := jsonscan.Cursor{B: v}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		one := inside(memberOf(c.Skip(), "text"))
		if len(one) == 0 {
			if n == 0 && one != nil {
				text = one
			}
			continue
		}
		switch n++; n {
		case 1:
			text = one
			continue
		case 2:
			*scratch = append(*scratch, text...)
		}
		*scratch = append(append(*scratch, `\n\n`...), one...)
	}
	if n > 1 {
		text = (*scratch)[from:len(*scratch):len(*scratch)]
	}
	return text
}

// readImageItem reads a picture that the model made.
func readImageItem(v []byte) (p dialect.Part, ok bool) {
	p = dialect.Part{Kind: dialect.PartImage, Media: pngMedia, Data: inside(memberOf(v, "result"))}
	switch format := memberOf(v, "output_format"); {
	case wordIs(format, "jpeg"):
		p.Media = jpegMedia
	case wordIs(format, "webp"):
		p.Media = webpMedia
	}
	return p, len(p.Data) > 0
}

// The types of pictures that a model makes; nobody changes them.
var pngMedia, jpegMedia, webpMedia = dialect.Written("image/png"), dialect.Written("image/jpeg"), dialect.Written("image/webp")
