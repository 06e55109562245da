package openai

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// flatTools reads the list of tools. One that is no function is refused and not left out: the client counts on what it
// finds, and the answer would be another without it.
func (r *responsesReader) flatTools(v []byte) error {
	if !isArray(v) {
		return inexpressible("tools that are no list", "send a list of functions")
	}
	r.c.Tools = r.c.Tools[:0]
	c := jsonscan.Cursor{B: v}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		if err := r.flatTool(c.Skip()); err != nil {
			return err
		}
	}
	return nil
}

// flatTool reads a function, whose definition stands in the tool itself.
func (r *responsesReader) flatTool(v []byte) error {
	var t dialect.Tool
	function := false
	if !isObject(v) {
		return notFunction(nil)
	}
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		switch {
		case string(k) == "type":
			if !wordIs(m, "function") {
				return notFunction(m)
			}
			function = true
		case isHollow(m), isBool(m) && !isTrue(m): // not strict, not deferred: the defaults
		case string(k) == "name" && isString(m):
			t.Name = inside(m)
		case string(k) == "description" && isString(m):
			t.Description = inside(m)
		case string(k) == "parameters" && isObject(m):
			t.Schema = some(m)
		case string(k) == "strict" && isTrue(m):
			t.Strict = m
		case string(k) == "cache_control":
			t.Cache = some(m)
		case string(k) == "allowed_callers" && listsOnly(m, "direct"):
		default:
			r.c.Unknown = addPath(r.c.Unknown, "tools."+string(k))
		}
	}
	switch {
	case !function:
		return notFunction(nil)
	case t.Name == nil:
		return inexpressible("a function without a name", "name it")
	}
	r.c.Tools = append(r.c.Tools, t)
	return nil
}

// notFunction is the error for a tool of another type.
func notFunction(kind []byte) error {
	return inexpressible("a tool"+ofType(kind)+", which only the responses API has,",
		"leave it out, or ask for a model whose provider has the responses API")
}

// typeMost is how long a type may be to be repeated in an error.
const typeMost = 40

// ofType names the type of what is refused, as long as it is a word.
func ofType(v []byte) string {
	word := inside(v)
	if len(word) == 0 || len(word) > typeMost {
		return " of an unknown type"
	}
	for _, ch := range word {
		if ch != '_' && ch-'0' > 9 && ch|0x20-'a' > 'z'-'a' {
			return " of an unknown type"
		}
	}
	return " of the type " + string(word)
}

// toolChoice reads tool_choice, once the tools are known.
func (r *responsesReader) toolChoice() error {
	v := r.choice
	kind := memberOf(v, "type")
	switch {
	case v == nil:
		return nil
	case wordIs(kind, "allowed_tools"):
		return r.allowed(v)
	case isObject(v) && !wordIs(kind, "function"):
		return inexpressible("a choice of a tool"+ofType(kind), "choose a function")
	case !r.requestReader.choice(v):
		r.c.Unknown = addPath(r.c.Unknown, "tool_choice")
	}
	return nil
}
