package openai

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// toolMember reads a member about tools, of the new form or the old, and reports whether it understood all of it.
func (r *requestReader) toolMember(k, v []byte) (bool, error) {
	switch string(k) {
	case "tools":
		return r.tools(v, true), nil
	case "functions":
		if len(r.c.Tools) == 0 {
			r.tools(v, false)
		}
		return !isArray(v) || len(r.c.Tools) == 0, nil // the answer calls tools, in the newer form only
	case "tool_choice", "function_call":
		r.among = nil
		if among := memberOf(v, "allowed_tools"); isArray(memberOf(among, "tools")) {
			r.among = among
			return true, nil
		}
		return r.choice(v), nil
	}
	if isBool(v) && !isTrue(v) { // several calls are the default of all dialects
		r.c.Parallel = v
	}
	return isBool(v), nil
}

// tools reads a list of tools, or of bare functions.
func (r *requestReader) tools(v []byte, wrapped bool) bool {
	if !isArray(v) {
		return false
	}
	r.c.Tools = r.c.Tools[:0]
	understood := true
	c := jsonscan.Cursor{B: v}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		if t := c.Skip(); wrapped {
			r.tool(t)
		} else {
			understood = r.function(t, dialect.Tool{}) && understood
		}
	}
	return understood
}

// tool reads one tool. Only functions have a meaning in all dialects.
func (r *requestReader) tool(v []byte) {
	if !isObject(v) {
		r.c.Unknown = addPath(r.c.Unknown, "tools")
		return
	}
	var kind, function []byte
	var t dialect.Tool
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		switch string(k) {
		case "type":
			kind = m
		case "function":
			function = some(m)
		case "cache_control":
			t.Cache = some(m)
		case "custom":
			kind = m
		default:
			if !isHollow(m) {
				r.c.Unknown = addPath(r.c.Unknown, "tools."+string(k))
			}
		}
	}
	if function == nil || kind != nil && !wordIs(kind, "function") || !r.function(function, t) {
		r.c.Unknown = addPath(r.c.Unknown, "tools")
	}
}

// function reads the definition of a function as a tool, of which t holds the rest.
func (r *requestReader) function(v []byte, t dialect.Tool) bool {
	if !isObject(v) {
		return false
	}
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		switch {
		case string(k) == "name" && isString(m):
			t.Name = inside(m)
		case string(k) == "description" && isString(m):
			t.Description = inside(m)
		case string(k) == "parameters" && isObject(m):
			t.Schema = some(m)
		case string(k) == "strict" && isBool(m):
			if isTrue(m) { // not strict is the default
				t.Strict = m
			}
		case !isHollow(m):
			r.c.Unknown = addPath(r.c.Unknown, "tools.function."+string(k))
		}
	}
	if t.Name == nil {
		return false
	}
	r.c.Tools = append(r.c.Tools, t)
	return true
}

// choice reads tool_choice, or function_call.
func (r *requestReader) choice(v []byte) bool {
	r.c.Choice, r.c.ChoiceName = dialect.ChoiceUnsaid, nil
	f := fields(v)
	switch {
	case isObject(v):
		return r.namedChoice(v)
	case !isString(v):
		return false
	}
	switch string(f.Word()) {
	case "auto":
		r.c.Choice = dialect.ChoiceAuto
	case "none":
		r.c.Choice = dialect.ChoiceNone
	case "required", "any": // any is Mistral's
		r.c.Choice = dialect.ChoiceAny
	}
	return r.c.Choice != dialect.ChoiceUnsaid
}

// namedChoice reads the choice of one function.
func (r *requestReader) namedChoice(v []byte) bool {
	var name []byte
	understood := true
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		switch string(k) {
		case "type":
			understood = understood && wordIs(m, "function")
		case "name": // of function_call
			name = inside(m)
		case "function":
			if function := inside(memberOf(m, "name")); function != nil {
				name = function
			}
			r.c.Unknown = addOthers(r.c.Unknown, m, "tool_choice", "function", "name")
		default:
			understood = understood && isHollow(m)
		}
	}
	if !understood || name == nil {
		return false
	}
	r.c.Choice, r.c.ChoiceName = dialect.ChoiceNamed, name
	return true
}

// allowed reads a choice among some of the tools: the others are left out, which says the same.
func (r *requestReader) allowed(v []byte) error {
	c := r.c
	c.Choice, c.ChoiceName = dialect.ChoiceAuto, nil
	if wordIs(memberOf(v, "mode"), "required") {
		c.Choice = dialect.ChoiceAny
	}
	names := memberOf(v, "tools")
	if !isArray(names) {
		return inexpressible("allowed_tools without a list of tools", "list the tools that may be called")
	}
	all := c.Tools
	c.Tools = c.Tools[:0]
	for i := range all {
		if listsTool(names, all[i].Name) {
			c.Tools = append(c.Tools, all[i])
		}
	}
	clear(all[len(c.Tools):])
	return nil
}

// listsTool says that a list of tools names a function.
func listsTool(list []byte, name dialect.Written) bool {
	c := jsonscan.Cursor{B: list}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		tool := c.Skip()
		if function := memberOf(tool, "function"); function != nil { // chat/completions has its name there
			tool = function
		}
		if string(inside(memberOf(tool, "name"))) == string(name) {
			return true
		}
	}
	return false
}
