package proxy

import (
	"bytes"
	"mime"
	"strings"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// form is where a multipart body names its model.
type form struct{ start, end int }

// part is a part of a multipart body.
type part struct {
	form
	name string
	file bool
}

// readForm takes a multipart body apart and finds the model that it names.
func (x *exchange) readForm(c *content, boundary string) *dialect.Error {
	body := x.ctx.Request.Body()
	var ok bool
	if c.parts, ok = readParts(body, boundary); !ok {
		return fail(codeInvalidRequest, "", "the multipart body cannot be understood; send at most 1,000 parts, each with a name, with CRLF between the lines")
	}
	for _, p := range c.parts {
		if p.name != "model" || !x.ctx.IsPost() {
			continue
		}
		if p.file || x.form.end > 0 {
			return fail(codeInvalidRequest, "model", "the form names its model twice, or in a file; name it once, in a field")
		}
		x.form = p.form
		x.ref = bytes.TrimSpace(body[p.start:p.end])
	}
	return nil
}

// readParts takes a multipart body apart. It returns false if two readers could understand the body differently.
func readParts(body []byte, boundary string) (parts []part, ok bool) {
	mark := []byte("\r\n--" + boundary)
	if boundary == "" || !bytes.HasPrefix(body, mark[2:]) {
		return nil, false
	}
	for at := len(mark) - 2; len(parts) < maxArguments; {
		if bytes.HasPrefix(body[at:], []byte("--")) {
			return parts, true
		}
		length := bytes.Index(body[at:], []byte("\r\n\r\n"))
		if length < 0 || !bytes.HasPrefix(body[at:], []byte("\r\n")) {
			return nil, false
		}
		p := part{form: form{start: at + length + 4}}
		size := bytes.Index(body[p.start:], mark[1:]) // a line feed alone ends a line for some readers
		if size < 1 || body[p.start+size-1] != '\r' || !p.readHead(body[at+2:at+length]) {
			return nil, false
		}
		p.end = p.start + size - 1
		parts = append(parts, p)
		at = p.start + size - 1 + len(mark)
	}
	return nil, false
}

// readHead reads a part's header lines. It returns false if they cannot be understood.
func (p *part) readHead(head []byte) bool {
	for line := range strings.SplitSeq(string(head), "\r\n") {
		key, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "content-disposition":
			_, params, err := mime.ParseMediaType(value)
			if err != nil || p.name != "" {
				return false
			}
			p.name = params["name"]
			_, p.file = params["filename"]
		case "content-transfer-encoding":
			switch strings.ToLower(strings.TrimSpace(value)) {
			case "base64", "quoted-printable":
				return false
			}
		}
	}
	return p.name != "" && !bytes.Contains(bytes.ReplaceAll(head, []byte("\r\n"), nil), []byte("\n"))
}
