package openai

import (
	"strconv"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// chatMessage is one message of a request: its members as written, nil where they are missing or null.
type chatMessage struct {
	from         speaker
	content      []byte
	name         []byte
	refusal      []byte
	reasoning    [2][]byte // reasoning_content and reasoning: servers call it one or the other
	calls        []byte
	functionCall []byte
	callID       []byte
	extra        []byte
	cache        []byte
}

// speaker is who speaks a message.
type speaker uint8

const (
	byNobody speaker = iota
	bySystem
	byUser
	byModel
	byTool
)

func speakerOf(word []byte) speaker {
	switch string(word) {
	case "system", "developer":
		return bySystem
	case "user":
		return byUser
	case "assistant":
		return byModel
	case "tool", "function":
		return byTool
	}
	return byNobody
}

// messages reads the list of messages at f.
func (r *requestReader) messages(f *jsonscan.Fields) error {
	c := r.c
	c.System, c.Turns, c.Parts, c.Nested = c.System[:0], c.Turns[:0], c.Parts[:0], c.Nested[:0]
	r.asked, r.began = false, false
	if f.Peek() != '[' {
		f.Skip()
		return inexpressible("messages that are no list", "send a list of messages")
	}
	f.Enter('[')
	for ok := f.More(']', true); ok; ok = f.More(']', false) {
		m, err := r.message(f)
		if err == nil && !f.Bad {
			err = r.turn(&m)
		}
		if err != nil {
			return err
		}
		r.asked = true
	}
	return nil
}

// message passes the message at f.
func (r *requestReader) message(f *jsonscan.Fields) (m chatMessage, err error) {
	if f.Peek() != '{' {
		f.Skip()
		return m, inexpressible("a message that is no object", "send objects with role and content")
	}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		v := f.Skip()
		if to := m.member(k); to != nil {
			*to = some(v)
			continue
		}
		switch {
		case string(k) == "role":
			word := fields(v)
			m.from = speakerOf(word.Word())
		case string(k) == "audio" && isSet(v):
			return m, inexpressible("an earlier answer's sound by its id", "send what it said as text")
		case !isHollow(v):
			r.c.Unknown = addPath(r.c.Unknown, "messages."+string(k))
		}
	}
	return m, nil
}

// member is where the value of the member k belongs; nil for none.
func (m *chatMessage) member(k []byte) *[]byte {
	switch string(k) {
	case "content":
		return &m.content
	case "name":
		return &m.name
	case "refusal":
		return &m.refusal
	case "reasoning_content":
		return &m.reasoning[0]
	case "reasoning":
		return &m.reasoning[1]
	case "tool_calls":
		return &m.calls
	case "function_call":
		return &m.functionCall
	case "tool_call_id":
		return &m.callID
	case "extra_content":
		return &m.extra
	case "cache_control":
		return &m.cache
	}
	return nil
}

// turn adds a message to the conversation.
func (r *requestReader) turn(m *chatMessage) error {
	c := r.c
	if m.from == bySystem && !r.began {
		if m.name != nil {
			c.Unknown = addPath(c.Unknown, "messages.name")
		}
		from := len(c.System)
		return r.texts(&c.System, from, m)
	}
	r.began = true
	t := dialect.Turn{From: len(c.Parts), Name: inside(m.name)}
	var err error
	switch m.from {
	case bySystem:
		t.Role = dialect.System
		err = r.texts(&c.Parts, t.From, m)
	case byUser:
		err = r.content(&c.Parts, m.content)
		mark(c.Parts[t.From:], m.cache)
	case byModel:
		t.Role = dialect.Assistant
		err = r.answer(m)
		mark(c.Parts[t.From:], m.cache)
	case byTool:
		return r.result(m)
	default:
		return inexpressible("a message of an unknown role", "use system, developer, user, assistant or tool")
	}
	t.To = len(c.Parts)
	c.Turns = append(c.Turns, t)
	return err
}

// texts reads the content of instructions, which are texts alone.
func (r *requestReader) texts(to *[]dialect.Part, from int, m *chatMessage) error {
	if err := r.content(to, m.content); err != nil {
		return err
	}
	for i := from; i < len(*to); i++ {
		if (*to)[i].Kind != dialect.PartText {
			return inexpressible("a system message with content other than text", "send it as a user message")
		}
	}
	mark((*to)[from:], m.cache)
	return nil
}

// mark sets the mark of a message, where the prompt cache may cut, on its last part.
func mark(parts []dialect.Part, cache dialect.Raw) {
	if len(parts) > 0 && cache != nil {
		parts[len(parts)-1].Cache = cache
	}
}

// answer reads what the model said: its thinking, its text, its refusal and its calls, in this order.
func (r *requestReader) answer(m *chatMessage) error {
	c := r.c
	x := readExtra(m.extra, &c.Unknown, "messages")
	if x.signed() {
		c.Parts = appendThinking(c.Parts, &x, m.reasoned())
	} else if text := m.reasoned(); len(text) > 0 {
		c.Parts = append(c.Parts, dialect.Part{Kind: dialect.PartThinking, Text: text})
	}
	if m.calls == nil && m.functionCall == nil && m.refusal == nil || !isHollow(m.content) { // an empty text beside them says nothing
		if err := r.content(&c.Parts, m.content); err != nil {
			return err
		}
	}
	if text := inside(m.refusal); len(text) > 0 {
		c.Parts = append(c.Parts, dialect.Part{Kind: dialect.PartRefusal, Text: text})
	}
	if x.signature != nil {
		c.Parts = append(c.Parts, dialect.Part{Kind: dialect.PartHidden, Signature: x.signature, Signer: dialect.Gemini})
	}
	if m.functionCall != nil {
		if p, ok := readFunction(m.functionCall); ok {
			p.ID = r.oldID(r.calls)
			r.calls++
			c.Unknown = addOthers(c.Unknown, m.functionCall, "messages", "function_call", "name", "arguments")
			c.Parts = append(c.Parts, p)
		}
	}
	return r.toolCalls(m.calls)
}

// reasoned is the text of the model's thinking.
func (m *chatMessage) reasoned() dialect.Written {
	for _, v := range m.reasoning {
		if text := inside(v); len(text) > 0 {
			return text
		}
	}
	return nil
}

func (r *requestReader) toolCalls(v []byte) error {
	if v == nil {
		return nil
	}
	if !isArray(v) {
		return inexpressible("tool_calls that are no list", "send a list of calls")
	}
	f := fields(v)
	f.Enter('[')
	for ok := f.More(']', true); ok; ok = f.More(']', false) {
		p, ok := readCall(f.Skip(), &r.c.Unknown, "messages.tool_calls")
		if !ok {
			return inexpressible("an earlier call of something that is no function", "leave out calls of custom tools")
		}
		r.c.Parts = append(r.c.Parts, p)
	}
	return nil
}

// readCall reads one tool call; false if it calls no function. unknown gets the paths of what it does not understand.
func readCall(v []byte, unknown *[]string, path string) (p dialect.Part, ok bool) {
	if !isObject(v) {
		return p, false
	}
	var id, kind []byte
	var x extra
	f := fields(v)
	f.Enter('{')
	for k, more := f.Key(true); more; k, more = f.Key(false) {
		m := f.Skip()
		switch string(k) {
		case "id":
			id = inside(m)
		case "type":
			kind = some(m)
		case "function":
			p, ok = readFunction(m)
			*unknown = addOthers(*unknown, m, path, "function", "name", "arguments")
		case "extra_content":
			x = readExtra(m, unknown, path)
		case "index": // a stream's own, which some clients send back
		default:
			if !isHollow(m) {
				*unknown = addPath(*unknown, path+"."+string(k))
			}
		}
	}
	p.ID = id
	if x.signature != nil {
		p.Signature, p.Signer = x.signature, dialect.Gemini
	}
	return p, ok && (kind == nil || len(kind) == 2 || wordIs(kind, "function"))
}

// readFunction reads which function is called with which arguments.
func readFunction(v []byte) (p dialect.Part, ok bool) {
	if !isObject(v) {
		return p, false
	}
	p.Kind = dialect.PartCall
	f := fields(v)
	f.Enter('{')
	for k, more := f.Key(true); more; k, more = f.Key(false) {
		switch m := f.Skip(); string(k) {
		case "name":
			p.Name = inside(m)
		case "arguments": // a text; some servers put the object itself
			if p.Args = nil; isString(m) || isObject(m) {
				p.Args = some(m)
			}
		}
	}
	return p, p.Name != nil
}

// oldID is the id of the nth call of the old form, which had none.
func (r *requestReader) oldID(n int) dialect.Written {
	from := len(r.c.Scratch)
	r.c.Scratch = strconv.AppendInt(append(r.c.Scratch, "call_"...), int64(n), 10)
	return r.c.Scratch[from:len(r.c.Scratch):len(r.c.Scratch)]
}

// result reads what a tool answered. The results of one turn's calls are one turn.
func (r *requestReader) result(m *chatMessage) error {
	c := r.c
	p := dialect.Part{Kind: dialect.PartResult, ID: inside(m.callID), Name: inside(m.name), From: len(c.Nested)}
	if p.ID == nil && p.Name != nil && r.calls > 0 {
		p.ID = r.oldID(r.calls - 1)
	}
	if p.ID == nil {
		return inexpressible("a tool's result without tool_call_id", "say which call it answers")
	}
	if p.Name == nil {
		p.Name = calledName(c.Parts, p.ID)
	}
	if err := r.content(&c.Nested, m.content); err != nil {
		return err
	}
	for i := p.From; i < len(c.Nested); i++ {
		switch c.Nested[i].Kind {
		case dialect.PartText, dialect.PartImage, dialect.PartFile:
		default:
			return inexpressible("a tool's result with content other than text, images and files", "describe it in text")
		}
	}
	p.To, p.Cache = len(c.Nested), m.cache
	if n := len(c.Turns); n == 0 || c.Turns[n-1].Role != dialect.Results {
		c.Turns = append(c.Turns, dialect.Turn{Role: dialect.Results, From: len(c.Parts)})
	}
	c.Parts = append(c.Parts, p)
	c.Turns[len(c.Turns)-1].To = len(c.Parts)
	return nil
}

// calledWithin is how many parts back the call of a result is looked for.
const calledWithin = 1 << 10

// calledName is the name of the tool that was called last with that id.
func calledName(parts []dialect.Part, id dialect.Written) dialect.Written {
	for i := len(parts) - 1; i >= max(0, len(parts)-calledWithin); i-- {
		if p := &parts[i]; p.Kind == dialect.PartCall && string(p.ID) == string(id) {
			return p.Name
		}
	}
	return nil
}
