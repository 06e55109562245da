package proxy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/request"
	"github.com/wedge-proxy/wedge/wire"
)

// limitOf is the bound on an answer's tokens among a version's parameters, or 0.
func limitOf(params []wire.Param) int64 {
	for _, p := range params {
		if slices.Contains(tokenLimits, p.Key) || strings.EqualFold(p.Key, "maxOutputTokens") {
			if n, err := strconv.ParseInt(string(p.Value), 10, 64); err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}

// nestedSet is a member that a version sets within a top-level member of a body.
type nestedSet struct {
	container, key string
	value          []byte // JSON
	force          bool
}

// compileEdits puts a version's parameters into the words of every operation.
func (s *Server) compileEdits(v *version) (err error) {
	for op := range dialect.Ops {
		if op == dialect.OpOther {
			continue
		}
		force, fill := s.sets(v, op, v.Force, true), s.sets(v, op, v.Params, false)
		if v.edits[op], err = request.CompileEdits(fill, force); err != nil {
			return err
		}
	}
	return nil
}

// tokenLimits are the names of the bound on an answer's length in OpenAI's operations. They stand for one another, so that
// a version's parameters fit every operation and a client cannot step around a forced bound by using its other name.
var tokenLimits = []string{"max_tokens", "max_completion_tokens", "max_output_tokens"}

// sets are a version's parameters as edits of one operation's bodies; those within a member go to v.nested. Of several
// that an operation calls alike the first one counts.
func (s *Server) sets(v *version, op dialect.Op, params []wire.Param, force bool) (out []request.Set) {
	for _, p := range params {
		name, value := s.o.Dialects.For(op).Param(op, p.Key, p.Value)
		container, key, nested := strings.Cut(name, ".")
		if nested && op.Dialect() == dialect.Gemini {
			if !slices.ContainsFunc(v.nested[op], func(other nestedSet) bool { return other.container == container && other.key == key }) {
				v.nested[op] = append(v.nested[op], nestedSet{container, key, value, force})
			}
			continue
		}
		if name == "" || slices.ContainsFunc(out, func(other request.Set) bool { return other.Key == name }) {
			continue
		}
		set := request.Set{Key: name, Value: value}
		if op.Dialect() == dialect.OpenAI && slices.Contains(tokenLimits, name) {
			set.Aliases = slices.DeleteFunc(slices.Clone(tokenLimits), func(other string) bool { return other == name })
		}
		out = append(out, set)
	}
	return out
}

// setNested is a body with nested sets. A member counts as present if it is not null, whether its name is in camel case or
// in snake case, which Gemini's servers take alike.
func setNested(body []byte, sets []nestedSet) []byte {
	for _, set := range sets {
		body = set.append(nil, body)
	}
	return body
}

// append appends the body, a valid JSON object, with the set.
func (set *nestedSet) append(dst, body []byte) []byte {
	container := memberOf(body, 0, set.container)
	if !container.found || body[container.at] != '{' {
		object := append(append([]byte{'{'}, set.member()...), '}')
		member := append(append(request.AppendString(nil, set.container), ':'), object...)
		return container.put(dst, body, member, object)
	}
	inner := memberOf(body, container.at, set.key)
	if inner.found && body[inner.at] != 'n' && !set.force {
		return append(dst, body...)
	}
	return inner.put(dst, body, set.member(), set.value)
}

func (set *nestedSet) member() []byte {
	return append(append(request.AppendString(nil, set.key), ':'), set.value...)
}

// spot is where a member's value lies in a document, or where the object ends that has no such member.
type spot struct {
	at, end int
	found   bool
	empty   bool // the object has no members
}

// put appends the document with a value in the place of the one that was found, or with a further member.
func (p spot) put(dst, doc, member, value []byte) []byte {
	dst = append(dst, doc[:p.at]...)
	switch {
	case p.found:
		dst = append(dst, value...)
	case p.empty:
		dst = append(dst, member...)
	default:
		dst = append(append(dst, ','), member...)
	}
	return append(dst, doc[p.end:]...)
}

// memberOf finds a member of the object at doc[at].
func memberOf(doc []byte, at int, name string) (p spot) {
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: doc, I: at}}
	f.Enter('{')
	p.empty = true
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		p.empty = false
		same := sameName(string(k), name)
		f.Peek()
		from := f.I
		f.Skip()
		if same {
			return spot{at: from, end: f.I, found: true}
		}
	}
	p.at, p.end = f.I-1, f.I-1
	return p
}

// twiceSpelt is a member that the body of a request of Gemini's API has in camel case and in snake case: what the node
// sets, or policies see, would be one, and the provider might take the other. "" if there is none.
func (x *exchange) twiceSpelt() string {
	if x.client != dialect.Gemini || x.known != nil {
		return ""
	}
	body := x.ctx.Request.Body()
	if name := twiceSpelt(body, 0); name != "" {
		return name
	}
	for _, container := range [...]string{"generationConfig", "generateContentRequest"} {
		inner := memberOf(body, 0, container)
		if !inner.found || body[inner.at] != '{' {
			continue
		}
		if name := twiceSpelt(body, inner.at); name != "" {
			return name
		}
		if config := memberOf(body, inner.at, "generationConfig"); config.found && body[config.at] == '{' {
			if name := twiceSpelt(body, config.at); name != "" {
				return name
			}
		}
	}
	return ""
}

// twiceSpelt looks at the object at doc[at].
func twiceSpelt(doc []byte, at int) string {
	seen := map[string]bool{}
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: doc, I: at}}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		name := strings.ToLower(strings.ReplaceAll(string(k), "_", ""))
		if seen[name] {
			return name
		}
		seen[name] = true
		f.Skip()
	}
	return ""
}

// sameName says that two names differ at most in their case, camel or snake.
func sameName(a, b string) bool {
	return a == b || strings.EqualFold(strings.ReplaceAll(a, "_", ""), b)
}

// appendGeminiModel appends the body of an operation of Gemini's API. The model is in the path; where the body names it
// once more, it must be the same.
func appendGeminiModel(dst, body []byte, op dialect.Op, model string) []byte {
	name := request.AppendString(nil, "models/"+strings.TrimPrefix(model, "models/"))
	switch op {
	case dialect.OpBatchEmbed:
		requests := memberOf(body, 0, "requests")
		if !requests.found || body[requests.at] != '[' {
			return append(dst, body...)
		}
		return appendEachModel(dst, body, requests.at, name)
	case dialect.OpCount:
		if inner := memberOf(body, 0, "generateContentRequest"); inner.found && body[inner.at] == '{' {
			return replaceModel(dst, body, inner.at, name)
		}
	}
	return replaceModel(dst, body, 0, name)
}

// wanted is how many answers a streamed request of Gemini's API asks for, if it says so: no other event ends the stream
// than the end of the last of them.
func (x *exchange) wanted() int {
	if x.op != dialect.OpGenerate || !x.asksStream() {
		return 0
	}
	body := x.requestBody()
	config := memberOf(body, 0, "generationConfig")
	if !config.found || body[config.at] != '{' {
		return 0
	}
	count := memberOf(body, config.at, "candidateCount")
	n, err := strconv.Atoi(string(body[count.at:count.end]))
	if !count.found || err != nil {
		return 0
	}
	return n
}

func replaceModel(dst, body []byte, at int, name []byte) []byte {
	if p := memberOf(body, at, "model"); p.found {
		return p.put(dst, body, nil, name)
	}
	return append(dst, body...)
}

// appendEachModel appends the body with another model in every object of the list at body[at].
func appendEachModel(dst, body []byte, at int, name []byte) []byte {
	c := jsonscan.Cursor{B: body, I: at}
	done := 0
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		if c.Peek() == '{' {
			if p := memberOf(body, c.I, "model"); p.found {
				dst = append(append(dst, body[done:p.at]...), name...)
				done = p.end
			}
		}
		c.Skip()
	}
	return append(dst, body[done:]...)
}

// storeOf is what a version's parameters say about store. Other parameters that make the answer depend on what the
// provider keeps are the client's alone.
func storeOf(params []wire.Param) (store string, err error) {
	for _, p := range params {
		switch p.Key {
		case "store":
			store = string(p.Value)
		case "previous_response_id", "conversation", "background":
			return "", fmt.Errorf("%s cannot be set by a version; leave it to the clients", p.Key)
		}
	}
	return store, nil
}
