package proxy

import (
	"bytes"
	"mime"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// content is what the node has read of the body of a passed-through request.
type content struct {
	body  []byte
	json  bool
	parts []part         // of a multipart form
	args  *fasthttp.Args // of an urlencoded form
}

// readContent reads a body as far as the node must understand it: whatever a provider might take for a model or for an
// object must be found, for the key may not be allowed to use it.
func (x *exchange) readContent() (c content, e *dialect.Error) {
	c.body = x.ctx.Request.Body()
	if x.ctx.IsPost() && x.ctx.QueryArgs().Has("model") {
		return c, modelElsewhere()
	}
	if len(c.body) == 0 {
		return c, nil
	}
	header := string(x.ctx.Request.Header.ContentType())
	kind, params, err := mime.ParseMediaType(header)
	switch {
	case err != nil && header != "", strings.HasPrefix(kind, "multipart/") && kind != "multipart/form-data":
		return c, fail(codeInvalidRequest, "", "the content-type cannot be understood; send application/json or multipart/form-data")
	case kind == "multipart/form-data":
		return c, x.readForm(&c, params["boundary"])
	case strings.HasSuffix(kind, "json") || looksLikeJSON(c.body):
		return c, x.readJSON(&c)
	case kind == "application/x-www-form-urlencoded":
		return c, x.readArguments(&c)
	}
	return c, nil
}

// looksLikeJSON says that a provider might take a body for JSON whatever its type, in any encoding.
func looksLikeJSON(body []byte) bool {
	b := bytes.TrimLeft(body, " \t\r\n\x00\xef\xbb\xbf\xfe\xff")
	return len(b) > 0 && (b[0] == '{' || b[0] == '[')
}

func (x *exchange) readJSON(c *content) *dialect.Error {
	if err := x.view.Parse(c.body); err != nil {
		return bodyError(err)
	}
	c.json = true
	x.doc = readDocument(&x.view, c.body)
	if x.ctx.IsPost() {
		x.ref = x.doc.model
	}
	return nil
}

func (x *exchange) readArguments(c *content) *dialect.Error {
	if bytes.Count(c.body, []byte("&")) >= maxArguments {
		return fail(codeInvalidRequest, "", "the form has too many fields; send at most 1,000")
	}
	c.args = &fasthttp.Args{}
	if c.args.ParseBytes(c.body); c.args.Has("model") {
		return modelElsewhere()
	}
	return nil
}

func modelElsewhere() *dialect.Error {
	return fail(codeInvalidRequest, "model", "the model is named where it is not looked for; name it in a JSON body or a multipart form")
}

// check looks at every object that the body names.
func (c *content) check(r *references) {
	switch {
	case c.json:
		r.document(place{}, c.body)
	case c.args != nil:
		r.arguments(c.args)
	case c.parts == nil:
		r.see(place{}, c.body)
	}
	for _, p := range c.parts {
		switch value := c.body[p.start:p.end]; {
		case r.failure != nil:
			return
		case p.file:
			r.see(place{}, value)
		default:
			r.argument([]byte(p.name), value)
		}
	}
}
