package dialect

import (
	"bytes"
	"slices"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
)

// marks are the beginnings of strings by which the dialects show what another provider signed (AppendSignature). Gemini's
// are in base64, as its SDKs want signatures to be.
var marks = [IDs][]string{
	OpenAI:    {`"anthropic:`, `"gemini:`},
	Anthropic: {`"gemini:`, `"openai:`},
	Gemini:    {`"YW50aHJvcGljO`, `"b3BlbmFpO`},
}

// extraContent is the member in which OpenAI's dialect shows signatures.
const extraContent = "extra_content"

// MayCarry says that a body may hold what another provider signed, which AppendOwn takes out.
func MayCarry(op Op, body []byte) bool {
	if op.Dialect() == OpenAI && bytes.Contains(body, []byte(`"`+extraContent+`"`)) {
		return true
	}
	if op == OpMessages && slices.ContainsFunc(unsigned, func(b []byte) bool { return bytes.Contains(body, b) }) {
		return true
	}
	return slices.ContainsFunc(marks[op.Dialect()], func(mark string) bool { return bytes.Contains(body, []byte(mark)) })
}

// unsigned is how thoughts look to Anthropic's clients whose provider signs none. Anthropic signs all of its own.
var unsigned = [][]byte{[]byte(`"signature":""`), []byte(`"signature": ""`)}

// AppendOwn appends a request's body, valid JSON, without what another provider signed: it came to the client through a
// translation, and a provider of the client's own dialect would refuse it. google says that the provider is Google's
// endpoint of OpenAI's dialect, whose own signatures stay. cut is false, and nothing is appended, if there is nothing to
// take out.
func AppendOwn(dst []byte, op Op, body []byte, google bool) (out []byte, cut bool) {
	s := own{op: op, google: google}
	out = s.object(dst, body, func(dst, key, val []byte) ([]byte, bool) {
		switch {
		case val[0] != '[':
		case op == OpChat && string(key) == "messages", op == OpResponses && string(key) == "input",
			op == OpMessages && string(key) == "messages", op == OpGenerate && string(key) == "contents":
			return s.array(dst, val, s.turn), true
		}
		return append(dst, val...), true
	})
	if !s.cut {
		return dst, false
	}
	return out, true
}

// own copies a body and leaves out what is not its dialect's provider's own.
type own struct {
	op          Op
	google, cut bool
}

// turn appends a message, an item or a content.
func (s *own) turn(dst, turn []byte) ([]byte, bool) {
	if turn[0] != '{' {
		return append(dst, turn...), true
	}
	if s.op == OpResponses && s.marked(member(turn, "encrypted_content")) {
		return dst, false
	}
	return s.object(dst, turn, func(dst, key, val []byte) ([]byte, bool) {
		switch {
		case s.op.Dialect() == OpenAI && string(key) == extraContent:
			return append(dst, val...), s.keeps(val)
		case val[0] != '[':
		case s.op == OpChat && string(key) == "tool_calls", s.op == OpMessages && string(key) == "content",
			s.op == OpGenerate && string(key) == "parts":
			return s.array(dst, val, s.part), true
		}
		return append(dst, val...), true
	}), true
}

// part appends a tool call, a block or a part.
func (s *own) part(dst, part []byte) ([]byte, bool) {
	if part[0] != '{' {
		return append(dst, part...), true
	}
	switch s.op {
	case OpMessages:
		switch string(member(part, "type")) {
		case `"thinking"`:
			signature := member(part, "signature")
			return append(dst, part...), string(signature) != `""` && !s.marked(signature)
		case `"redacted_thinking"`:
			return append(dst, part...), !s.marked(member(part, "data"))
		}
		return append(dst, part...), true
	case OpGenerate:
		if string(member(part, "thought")) == "true" && (s.marked(member(part, "thoughtSignature")) || s.marked(member(part, "thought_signature"))) {
			return dst, false
		}
	}
	return s.object(dst, part, func(dst, key, val []byte) ([]byte, bool) {
		switch string(key) {
		case extraContent:
			return append(dst, val...), s.op != OpChat || s.keeps(val)
		case "thoughtSignature", "thought_signature":
			return append(dst, val...), s.op != OpGenerate || !s.marked(val)
		}
		return append(dst, val...), true
	}), true
}

// keeps says that an extra_content is the provider's own.
func (s *own) keeps(extra []byte) bool {
	return s.google && member(extra, "anthropic") == nil && member(extra, "openai") == nil
}

// marked says that a value is a signature of another provider.
func (s *own) marked(val []byte) bool {
	return slices.ContainsFunc(marks[s.op.Dialect()], func(mark string) bool { return bytes.HasPrefix(val, []byte(mark)) })
}

// object appends an object's members as keep appends them; those that it does not keep are left out.
func (s *own) object(dst, doc []byte, keep func(dst, key, val []byte) ([]byte, bool)) []byte {
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: doc}}
	f.Enter('{')
	dst = append(dst, '{')
	first := len(dst)
	for from, first2 := f.I, true; ; from, first2 = f.I, false {
		key, ok := f.Key(first2)
		if !ok {
			return append(dst, '}')
		}
		name := bytes.TrimLeft(doc[from:f.I], " \t\r\n,") // with its colon
		at := len(dst)
		if at > first {
			dst = append(dst, ',')
		}
		key = append([]byte(nil), key...)
		var kept bool
		if dst, kept = keep(append(dst, name...), key, f.Skip()); !kept {
			dst, s.cut = dst[:at], true
		}
	}
}

// array appends an array's elements as keep appends them; those that it does not keep are left out.
func (s *own) array(dst, doc []byte, keep func(dst, val []byte) ([]byte, bool)) []byte {
	c := jsonscan.Cursor{B: doc}
	c.Enter('[')
	dst = append(dst, '[')
	first := len(dst)
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		at := len(dst)
		if at > first {
			dst = append(dst, ',')
		}
		var kept bool
		if dst, kept = keep(dst, c.Skip()); !kept {
			dst, s.cut = dst[:at], true
		}
	}
	return append(dst, ']')
}

// member is the value of an object's member; nil if it has none, or is no object.
func member(doc []byte, name string) (val []byte) {
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: doc}}
	if f.Peek() != '{' {
		return nil
	}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		same := string(k) == name
		if v := f.Skip(); same {
			val = v
		}
	}
	return val
}
