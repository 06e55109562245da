package gemini

import (
	"bytes"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// rawPart is the members of a part, as written.
type rawPart struct {
	text, inline, file, call, result, signature dialect.Raw
	thought                                     bool
	own                                         string // what only Gemini's API itself understands
}

func (p *rawPart) isText() bool {
	return p.text != nil && p.inline == nil && p.file == nil && p.call == nil && p.result == nil && p.own == ""
}

// read reads the part at f, which is Bad afterwards if there is none. path is that of its members.
func (p *rawPart) read(r *reader, f *jsonscan.Fields, path string) {
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "text":
			p.text = given(v)
		case "inlineData", "inline_data":
			p.inline = given(v)
		case "fileData", "file_data":
			p.file = given(v)
		case "functionCall", "function_call":
			p.call = given(v)
		case "functionResponse", "function_response":
			p.result = given(v)
		case "thought":
			p.thought = string(v) == "true"
		case "thoughtSignature", "thought_signature":
			p.signature = given(v)
		case "executableCode", "executable_code", "codeExecutionResult", "code_execution_result", "toolCall", "tool_call",
			"toolResponse", "tool_response":
			if !isNull(v) {
				p.own = string(k)
			}
		default:
			r.unknown(path, k, v)
		}
	}
}

// part adds what a part says to its turn.
func (r *requestReader) part(w *rawPart) {
	const path = "contents.parts."
	switch {
	case w.own != "":
		r.refuse(path, []byte(w.own))
		return
	case w.result != nil:
		r.add(dialect.Results, r.result(w.result))
		return
	case w.call != nil && r.role != dialect.Assistant:
		r.bad(path+"functionCall", "in a content whose role is model")
	case w.empty():
		r.bad("contents.parts", "parts with a text, inlineData, fileData, functionCall or functionResponse")
	}
	parts, n := r.said(w, path)
	for i := range parts[:n] {
		p := &parts[i]
		if p.Kind == dialect.PartCall {
			if r.calls++; len(p.ID) == 0 {
				p.ID = r.put(func(dst []byte) []byte { return appendNumber(dst, "call_", int64(r.calls)) })
			}
		}
		r.add(r.role, *p)
	}
}

// empty says that a part has nothing that it must have one of. SDKs leave out an empty text beside its marks.
func (w *rawPart) empty() bool {
	return w.text == nil && w.inline == nil && w.file == nil && w.call == nil && w.result == nil && w.signature == nil && !w.thought && w.own == ""
}

// said is what a part says that is no result of a tool: nothing, one part, or one and its signature as a thought that
// nobody else can read, as in other dialects only thoughts and calls have one.
func (r *reader) said(w *rawPart, path string) (parts [2]dialect.Part, n int) {
	var p dialect.Part
	hidden := false
	if s := r.text(path, "thoughtSignature", w.signature); len(s) > 0 && !dummy(s) {
		hidden = cutSignature(&p, s, r.scratch)
	}
	add := func(p dialect.Part) { parts[n], n = p, n+1 }
	media := w.inline != nil || w.file != nil
	switch {
	case w.call != nil:
		r.call(&p, w.call)
		add(p)
		return parts, n
	case media && w.thought: // a draft
		addPath(r.lost, path+"thought", nil)
		return parts, 0
	case media:
		add(r.media(w, path))
	case w.thought && !hidden:
		if think(&p, r.text(path, "text", w.text)) {
			add(p)
		}
		return parts, n
	case !hidden:
		if text := r.text(path, "text", w.text); len(text) > 0 {
			add(dialect.Part{Kind: dialect.PartText, Text: text})
		}
	}
	if p.Signature != nil {
		p.Kind = dialect.PartHidden
		add(p)
	}
	return parts, n
}

// think makes p a thought that says text; false if it says nothing.
func think(p *dialect.Part, text dialect.Written) bool {
	p.Kind, p.Text = dialect.PartThinking, text
	if p.Signature != nil && p.Signer != dialect.Gemini && string(text) == filler {
		p.Text = nil
	}
	return len(text) > 0 || p.Signature != nil
}

// media reads a picture, sound, film or document.
func (r *reader) media(w *rawPart, path string) dialect.Part {
	p := dialect.Part{Kind: dialect.PartFile}
	r.located(&p, w, path)
	kind := p.Media
	if kind == nil {
		kind = guess(p.URL)
	}
	switch {
	case hasPrefix(kind, "image/"):
		p.Kind = dialect.PartImage
	case hasPrefix(kind, "audio/"):
		if p.Kind = dialect.PartAudio; p.Data == nil {
			r.refuse(path+"fileData: sound behind a URL ", p.URL)
		}
	case hasPrefix(kind, "video/"):
		p.Kind = dialect.PartVideo
	}
	return p
}

// located reads where data lies.
func (r *reader) located(p *dialect.Part, w *rawPart, path string) {
	v := w.inline
	if v == nil {
		v = w.file
	}
	f, ok := r.object("inlineData or fileData", v)
	for k, ok := f.Key(ok); ok; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "mimeType", "mime_type":
			if t := r.text(path, "mimeType", v); len(t) > 0 {
				p.Media = t
			}
		case "displayName", "display_name":
			if t := r.text(path, "displayName", v); len(t) > 0 {
				p.Name = t
			}
		case "data":
			p.Data = standard(r.text(path, "data", v), r.scratch)
		case "fileUri", "file_uri":
			p.URL = r.text(path, "fileUri", v)
		default:
			r.unknown(path, k, v)
		}
	}
	switch {
	case w.inline != nil && p.Data == nil:
		r.bad(path+"data", "base64")
	case w.inline == nil && len(p.URL) == 0:
		r.bad(path+"fileUri", "a URI")
	case isFile(p.URL):
		p.FileID, p.URL = p.URL, nil
	}
	if w.inline != nil {
		p.URL, p.FileID = nil, nil
	} else {
		p.Data = nil
	}
}

// isFile says that a URI names a file that Google keeps for a project.
func isFile(uri dialect.Written) bool {
	rest, ok := bytes.CutPrefix(uri, []byte("https://generativelanguage.googleapis.com/"))
	return ok && bytes.Contains(rest, []byte("files/")) || bytes.HasPrefix(uri, []byte("files/"))
}

// hasPrefix says that a media type begins so.
func hasPrefix(media dialect.Written, prefix string) bool {
	return len(media) > len(prefix) && bytes.EqualFold(media[:len(prefix)], []byte(prefix))
}

// call reads a call.
func (r *reader) call(p *dialect.Part, v dialect.Raw) {
	var w rawCall
	w.read(r, v, "functionCall")
	p.Kind, p.ID, p.Name, p.Args = dialect.PartCall, w.id, w.name, w.args
}

// rawCall is the members of a call.
type rawCall struct {
	id, name dialect.Written
	args     dialect.Raw
}

func (w *rawCall) read(r *reader, v dialect.Raw, path string) {
	f, ok := r.object(path, v)
	for k, ok := f.Key(ok); ok; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "id":
			w.id = r.text(path, ".id", v)
		case "name":
			w.name = r.text(path, ".name", v)
		case "args":
			if w.args = given(v); len(w.args) > 0 && w.args[0] != '{' {
				r.bad(path+".args", "an object")
			}
		case "willContinue", "will_continue":
			r.unless(path+".", k, v, "false")
		default:
			r.unknown(path+".", k, v)
		}
	}
	if len(w.name) == 0 {
		r.bad(path+".name", "the name of a function")
	}
}
