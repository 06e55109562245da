package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"strings"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/route"
)

// passThrough serves the operations that the node does not read: with a model in the body they go to its target,
// without one to the provider that x-wedge-provider names, if the key may. What a provider keeps for one tenant is
// invisible to the others.
func (x *exchange) passThrough(rest []byte) *dialect.Error {
	x.op, x.parsed = dialect.OpOther, true // what can be read of the body is read in findModel
	if e := x.authenticate(); e != nil {
		return e
	}
	if !x.plainPath() {
		return fail(codeInvalidRequest, "", "the path holds escapes, empty or dot segments; write it plainly")
	}
	if e := x.readControls(); e != nil {
		return e
	}
	if e := x.findModel(); e != nil {
		return e
	}
	var e *dialect.Error
	if len(x.ref) > 0 {
		e = x.resolve()
	} else {
		e = x.resolveProvider()
	}
	if e == nil {
		e = x.checkObjects(rest)
	}
	if e != nil {
		return e
	}
	x.cache, x.reason = cacheBypass, "the operation is passed through"
	if done, e := x.join(); done {
		return e
	}
	if e := x.attempt(); e != nil {
		return e
	}
	return x.replyRaw(rest)
}

// form is where a multipart body names its model.
type form struct{ start, end int }

// findModel looks for the model that the body names. Whatever a provider might take for a model must be found: the
// key may not be allowed to use it.
func (x *exchange) findModel() *dialect.Error {
	body := x.ctx.Request.Body()
	if len(body) == 0 {
		return nil
	}
	kind, params, err := mime.ParseMediaType(string(x.ctx.Request.Header.ContentType()))
	switch {
	case err != nil && len(x.ctx.Request.Header.ContentType()) > 0:
		return fail(codeInvalidRequest, "", "the content-type cannot be understood; send application/json or multipart/form-data")
	case kind == "multipart/form-data":
		return x.findFormModel(params["boundary"])
	case kind == "application/json" || bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")):
		if err := x.view.Parse(body); err != nil {
			return bodyError(err)
		}
		x.doc = readDocument(&x.view)
		x.ref = x.doc.model
	}
	return nil
}

func (x *exchange) findFormModel(boundary string) *dialect.Error {
	body := x.ctx.Request.Body()
	if x.form = formField(body, 0, boundary, "model"); x.form.end == 0 {
		return nil
	}
	if formField(body, x.form.end, boundary, "model").end > 0 {
		return fail(codeInvalidRequest, "model", "the form names its model twice; name it once")
	}
	x.ref = bytes.TrimSpace(body[x.form.start:x.form.end])
	return nil
}

// formField finds the value of a form's text field, from an offset on.
func formField(body []byte, from int, boundary, name string) (f form) {
	if boundary == "" {
		return f
	}
	mark := []byte("--" + boundary)
	first := bytes.Index(body[from:], mark)
	if first < 0 {
		return f
	}
	for at := from + first; ; {
		head := at + len(mark)
		length := bytes.Index(body[head:], []byte("\r\n\r\n"))
		if length < 0 {
			return form{}
		}
		start := head + length + 4
		end := bytes.Index(body[start:], append([]byte("\r\n"), mark...))
		if end < 0 {
			return form{}
		}
		if partNamed(body[head:head+length], name) {
			return form{start, start + end}
		}
		at = start + end + 2
	}
}

func partNamed(head []byte, name string) bool {
	for line := range strings.SplitSeq(string(head), "\r\n") {
		key, value, _ := strings.Cut(line, ":")
		if !strings.EqualFold(strings.TrimSpace(key), "content-disposition") {
			continue
		}
		_, params, err := mime.ParseMediaType(value)
		return err == nil && params["name"] == name && params["filename"] == ""
	}
	return false
}

// resolveProvider takes the provider that x-wedge-provider names.
func (x *exchange) resolveProvider() *dialect.Error {
	if len(x.forced) == 0 {
		return fail(codeInvalidRequest, "", "the request names no model; name the provider in x-wedge-provider")
	}
	p := x.snap.providers[string(x.forced)]
	if p == nil || !x.who.passthrough[p.Name] {
		return fail(codeForbidden, "", "the key "+x.who.Name+" may not use this path at provider "+quoteShort(x.forced)+"; list the provider in the key's passthrough")
	}
	x.version = x.s.directVersion(x.snap, p, "")
	x.version.targets[0].model = nil
	x.model, x.why = x.version.Version.Model, "provider named"
	return nil
}

// objectKey is where the owner of a provider's object is kept.
func objectKey(id string) []byte { return append([]byte("object/"), id...) }

// claimResponse makes a response that the provider keeps the tenant's, so that nobody else can go on from it.
func (x *exchange) claimResponse(id string) {
	if x.op == dialect.OpResponses && x.answered != nil && (x.stores() || !x.doc.forgets && x.version.forceStore == "" && x.version.fillStore == "") {
		x.claim(id)
	}
}

// responseID finds the id of a response at the beginning of what a provider sent; "" if there is none.
func responseID(b []byte) string {
	for {
		i := bytes.Index(b, []byte(`"id"`))
		if i < 0 {
			return ""
		}
		b = bytes.TrimLeft(b[i+4:], " \t\r\n:")
		if rest, ok := bytes.CutPrefix(b, []byte(`"resp`)); ok {
			if end := bytes.IndexByte(rest, '"'); end >= 0 && end < 250 {
				return "resp" + string(rest[:end])
			}
		}
	}
}

// owner returns the tenant that an object belongs to and the provider that keeps it; "" for an unknown one.
func (s *Server) owner(id string) (tenant, provider string) {
	v, err := s.o.Durable.Get(objectKey(id))
	if err != nil {
		return "", ""
	}
	tenant, provider, _ = strings.Cut(string(v), "\x00")
	return tenant, provider
}

// claim makes an object the tenant's, unless it is somebody's already.
func (x *exchange) claim(id string) {
	if id == "" || len(id) > 256 {
		return
	}
	if tenant, _ := x.s.owner(id); tenant != "" {
		return
	}
	if err := x.s.o.Durable.Put(objectKey(id), []byte(x.who.Tenant+"\x00"+x.answered.provider.Name)); err != nil {
		x.s.o.Log.Error("cannot note whose an object is; nobody can reach it through this node", "error", err)
	}
}

func (x *exchange) mine(id string) bool {
	tenant, _ := x.s.owner(id)
	return tenant == x.who.Tenant
}

// checkObjects refuses paths and bodies that name objects of others.
func (x *exchange) checkObjects(rest []byte) *dialect.Error {
	for segment := range strings.SplitSeq(string(rest), "/") {
		tenant, _ := x.s.owner(segment)
		if tenant == x.who.Tenant || tenant == "" && isWord(segment) {
			continue
		}
		return notYours(segment)
	}
	if len(x.ref) == 0 && x.ctx.IsPost() || bytes.HasPrefix(rest, []byte("fine_tuning")) {
		return x.checkReferences()
	}
	return nil
}

func notYours(id string) *dialect.Error {
	return fail(codeNotFound, "", "object "+quoteShort([]byte(id))+" does not exist, or belongs to another tenant")
}

// isWord tells a collection's or a verb's name from an object's id.
func isWord(segment string) bool {
	for i := range len(segment) {
		if c := segment[i]; c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// checkReferences refuses JSON bodies that refer to objects of others: every string that is known as somebody's id
// must be the tenant's, and the members that hold ids must hold known ones.
func (x *exchange) checkReferences() *dialect.Error {
	var doc any
	if json.Unmarshal(x.ctx.Request.Body(), &doc) != nil {
		return nil // a form or bytes
	}
	var foreign string
	walkStrings(doc, "", func(key, value string) {
		if foreign != "" || len(value) > 256 {
			return
		}
		tenant, _ := x.s.owner(value)
		if tenant != "" && tenant != x.who.Tenant || tenant == "" && holdsID(key) {
			foreign = value
		}
	})
	if foreign != "" {
		return notYours(foreign)
	}
	return nil
}

func holdsID(key string) bool {
	return key == "file_ids" || key == "file_id" || strings.HasSuffix(key, "_file") || strings.HasSuffix(key, "_file_id")
}

func walkStrings(v any, key string, visit func(key, value string)) {
	switch v := v.(type) {
	case string:
		visit(key, v)
	case []any:
		for _, e := range v {
			walkStrings(e, key, visit)
		}
	case map[string]any:
		for k, e := range v {
			walkStrings(e, k, visit)
		}
	}
}

// appendRawBody appends the body of a passed-through request, with the target's name of the model.
func (x *exchange) appendRawBody(dst []byte, t *target) []byte {
	body := x.ctx.Request.Body()
	if x.form.end > 0 {
		dst = append(append(dst, body[:x.form.start]...), t.Model...)
		return append(dst, body[x.form.end:]...)
	}
	return append(dst, body...)
}

// maxObjectBody bounds the JSON answers that are read for the ids of new objects, or filtered.
const maxObjectBody = 8 << 20

// openRaw takes an answer that is passed through: JSON about a provider's objects whole, the rest as it flows.
func (x *exchange) openRaw(t *target) (failure *dialect.Error, again bool) {
	x.answered = t
	if isJSON(x.up.call.ContentType()) && len(x.ref) == 0 {
		out, err := x.up.call.AppendAll(x.out[:0], maxObjectBody)
		if x.out = out; err != nil {
			return x.failed(err)
		}
		x.up.leave(route.Good, 0)
		return nil, false
	}
	x.up.raw = true
	x.openFlight(nil, nil)
	return nil, false
}

func isJSON(contentType []byte) bool { return bytes.HasPrefix(contentType, []byte("application/json")) }

// rawHeaders are the provider's headers that a passed-through answer keeps.
var rawHeaders = []string{"content-type", "content-disposition", "content-range", "accept-ranges", "etag", "last-modified", "openai-processing-ms"}

// replyRaw answers with what the provider answered.
func (x *exchange) replyRaw(rest []byte) *dialect.Error {
	up := x.up
	x.setHeaders()
	h := &x.ctx.Response.Header
	for _, name := range rawHeaders {
		if v := up.call.Header(name); len(v) > 0 {
			h.Set(name, string(v))
		}
	}
	x.status = up.call.Status()
	x.ctx.Response.SetStatusCode(x.status)
	if up.raw {
		x.streamed = true
		x.ctx.Response.SetBodyStream(x, int(up.call.ContentLength()))
		return nil
	}
	if e := x.ownObjects(rest); e != nil {
		return e
	}
	x.sendOut()
	return nil
}

// ownObjects notes the objects that the answer in x.out tells of as the tenant's, and takes those of others out of
// a list of everything.
func (x *exchange) ownObjects(rest []byte) *dialect.Error {
	var doc map[string]json.RawMessage
	if json.Unmarshal(x.out, &doc) != nil {
		return nil
	}
	if data, ok := doc["data"]; ok && x.ctx.IsGet() && !namesObject(rest) {
		return x.filterList(doc, data)
	}
	if x.ctx.IsPost() {
		x.claim(stringOf(doc["id"]))
	}
	for key, v := range doc {
		if strings.HasSuffix(key, "_file_id") {
			x.claim(stringOf(v))
		}
	}
	return nil
}

func namesObject(rest []byte) bool {
	for segment := range strings.SplitSeq(string(rest), "/") {
		if !isWord(segment) {
			return true
		}
	}
	return false
}

func stringOf(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s) // anything else is no id
	return s
}

func (x *exchange) filterList(doc map[string]json.RawMessage, data json.RawMessage) *dialect.Error {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return x.explainFailure(errors.Join(dialect.ErrMalformed, err))
	}
	kept, ids := []json.RawMessage{}, []string{}
	for _, item := range items {
		var object struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(item, &object) == nil && object.ID != "" && x.mine(object.ID) {
			kept, ids = append(kept, item), append(ids, object.ID)
		}
	}
	doc["data"], _ = json.Marshal(kept)
	if _, ok := doc["first_id"]; ok {
		doc["first_id"], doc["last_id"] = json.RawMessage("null"), json.RawMessage("null")
		if len(ids) > 0 {
			doc["first_id"], _ = json.Marshal(ids[0])
			doc["last_id"], _ = json.Marshal(ids[len(ids)-1])
		}
	}
	x.out, _ = json.Marshal(doc)
	return nil
}

// checkKept refuses a continuation of what a provider keeps for another tenant, and pins one's own to its provider.
func (x *exchange) checkKept() *dialect.Error {
	if !x.doc.continues {
		return nil
	}
	x.parseAgain()
	for _, name := range [...]string{"previous_response_id", "conversation"} {
		raw, ok := x.view.Field(name)
		if !ok || string(raw) == "null" {
			continue
		}
		id := stringOf(raw)
		if id == "" && len(raw) > 0 && raw[0] == '{' {
			var object struct {
				ID string `json:"id"`
			}
			_ = json.Unmarshal(raw, &object)
			id = object.ID
		}
		tenant, provider := x.s.owner(id)
		if id == "" || tenant != x.who.Tenant {
			e := notYours(id)
			e.Param = name
			return e
		}
		if len(x.forced) == 0 {
			x.forced = []byte(provider)
		}
	}
	return nil
}

// cutRaw ends a passed-through answer that broke: the connection is cut, for there is no way to say it in its bytes.
func (x *exchange) cutRaw(err error) error {
	x.failure = x.explainFailure(err)
	return err
}
