package gemini

import (
	"bytes"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// result reads what a tool answered: the text or value that SDKs wrap into an object, or that object.
func (r *requestReader) result(v dialect.Raw) dialect.Part {
	const path = "contents.parts.functionResponse"
	c := r.chat
	p := dialect.Part{Kind: dialect.PartResult}
	var response, parts dialect.Raw
	f, ok := r.object(path, v)
	for k, ok := f.Key(ok); ok; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "id":
			p.ID = r.text(path, ".id", v)
		case "name":
			p.Name = r.text(path, ".name", v)
		case "response":
			response = given(v)
		case "parts":
			parts = given(v)
		case "willContinue", "will_continue":
			r.unless(path+".", k, v, "false")
		case "scheduling":
			r.unless(path+".", k, v, `"SCHEDULING_UNSPECIFIED"`, `"WHEN_IDLE"`)
		default:
			r.unknown(path+".", k, v)
		}
	}
	if len(p.ID) == 0 {
		p.ID = r.calledAs(p.Name)
	}
	if len(p.Name) == 0 {
		p.Name = r.callee(p.ID)
	}
	p.From = len(c.Nested)
	if response != nil {
		r.response(&p, response)
	}
	if parts != nil {
		r.resultParts(parts)
	}
	p.To = len(c.Nested)
	return p
}

func (r *requestReader) response(p *dialect.Part, response dialect.Raw) {
	name, v, ok := sole(response)
	switch {
	case response[0] != '{':
		r.bad("contents.parts.functionResponse.response", "an object")
		return
	case !ok:
		v = response
	default:
		p.Failed = name == "error"
	}
	if idle(v) && v[0] == '{' {
		return
	}
	text := inside(v)
	if text == nil {
		text = r.put(func(dst []byte) []byte { return jsonscan.AppendText(dst, v) })
	}
	r.chat.Nested = append(r.chat.Nested, dialect.Part{Kind: dialect.PartText, Text: text})
}

// sole is the value of an object's only member, if that is one by which the API knows an answer: result, output or
// error.
func sole(doc dialect.Raw) (name string, v dialect.Raw, ok bool) {
	if len(doc) == 0 || doc[0] != '{' {
		return "", nil, false
	}
	f := fields(doc)
	f.Enter('{')
	n := 0
	for k, more := f.Key(true); more; k, more = f.Key(false) {
		switch n++; string(k) {
		case "result":
			name = "result"
		case "output":
			name = "output"
		case "error":
			name = "error"
		default:
			name = ""
		}
		v = f.Skip()
	}
	return name, v, n == 1 && name != ""
}

// resultParts reads the pictures and files of a result.
func (r *requestReader) resultParts(list dialect.Raw) {
	const path = "contents.parts.functionResponse.parts."
	it := r.items(path[:len(path)-1], list)
	for it.next() && r.err == nil {
		var p rawPart
		p.read(&r.reader, &it.Fields, path)
		switch {
		case it.Bad || p.inline == nil && p.file == nil:
			r.bad(path[:len(path)-1], "a list of parts with inlineData or fileData")
		default:
			r.chat.Nested = append(r.chat.Nested, r.media(&p, path))
		}
	}
}

// callsMost bounds the calls of one turn among which the one that a result answers is looked for.
const callsMost = 512

// latest are the parts of the latest turn that holds calls, and the parts after it.
func (r *requestReader) latest() (calls, results []dialect.Part) {
	if r.callers == 0 {
		return nil, nil
	}
	t := r.chat.Turns[r.callers-1]
	results = r.chat.Parts[t.To:]
	return r.chat.Parts[t.From:min(t.To, t.From+callsMost)], results[:min(len(results), callsMost)]
}

// calledAs is the id of the call that the next result of a function without an id answers: the first result of a
// function is that of its first call.
func (r *requestReader) calledAs(name dialect.Written) dialect.Written {
	calls, results := r.latest()
	before := 0
	for i := range results {
		if results[i].Kind == dialect.PartResult && bytes.Equal(results[i].Name, name) {
			before++
		}
	}
	for i := range calls {
		if calls[i].Kind != dialect.PartCall || !bytes.Equal(calls[i].Name, name) {
			continue
		}
		if before == 0 {
			return calls[i].ID
		}
		before--
	}
	return nil
}

// callee is the name of the function that was called under an id.
func (r *requestReader) callee(id dialect.Written) dialect.Written {
	calls, _ := r.latest()
	for i := range calls {
		if calls[i].Kind == dialect.PartCall && bytes.Equal(calls[i].ID, id) {
			return calls[i].Name
		}
	}
	return nil
}
