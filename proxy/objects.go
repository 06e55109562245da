package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/store"
)

// objectKey is where the owner of a provider's object is kept.
func objectKey(provider string, id []byte) []byte {
	key := append(append([]byte("object/"), provider...), 0)
	return append(key, id...)
}

// nobody owns what cannot be looked up; no tenant is called so.
const nobody = "\x00"

// owner returns the tenant that an object belongs to; "" for an unknown one.
func (s *Server) owner(provider string, id []byte) (tenant string) {
	v, err := s.o.Durable.Get(objectKey(provider, id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return ""
	case err != nil:
		s.o.Log.Error("cannot look up whose an object is; nobody can reach it through this node", "error", err)
		return nobody
	}
	return string(v)
}

// claim makes an object of the provider that answered the tenant's, unless it is somebody's already, or the request
// itself brought its id up.
func (x *exchange) claim(name string) {
	var buf [maxID]byte
	id, only := appendID(buf[:0], []byte(name))
	if !only || string(id) != name || bytes.Contains(x.ctx.Request.Body(), id) {
		return
	}
	if x.s.owner(x.answered.provider.Name, id) != "" {
		return
	}
	if err := x.s.o.Durable.Put(objectKey(x.answered.provider.Name, id), []byte(x.who.Tenant)); err != nil {
		x.s.o.Log.Error("cannot note whose an object is; nobody can reach it through this node", "error", err)
	}
}

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

// keptNames are the names, and the beginnings of escaped ones, that tell of objects which a provider keeps.
var keptNames = [...][]byte{[]byte("file_id"), []byte("vector_store_id"), []byte("container"), []byte(`\u00`)}

// namesKept says that a body may name objects which a provider keeps.
func namesKept(body []byte) bool {
	for _, name := range keptNames {
		if bytes.Contains(body, name) {
			return true
		}
	}
	return false
}

// checkKept refuses what refers to objects that a provider keeps for another tenant, and pins a request about one's
// own to their provider.
func (x *exchange) checkKept() *dialect.Error {
	if !x.doc.refers {
		return nil
	}
	if x.op == dialect.OpResponses && x.doc.continues && !x.version.keeps() {
		param := ""
		if memberOf(x.ctx.Request.Body(), 0, "previous_response_id").found {
			param = "previous_response_id"
		}
		return fail(codeInvalidRequest, param, "no provider of model "+x.model.Name+" keeps conversations; send the conversation in input, without previous_response_id, conversation and background")
	}
	r := x.newReferences(false)
	r.document(place{}, x.ctx.Request.Body())
	return r.end()
}

// keeps says that a target has the Responses API, whose provider keeps what it answered.
func (v *version) keeps() bool {
	for _, one := range append([]*version{v}, v.fallback...) {
		for i := range one.targets {
			if p := one.targets[i].provider; p.dialect == dialect.OpenAI && !p.chatsOnly {
				return true
			}
		}
	}
	return false
}

// checkObjects refuses a passed-through request that names objects of others, wherever it does.
func (x *exchange) checkObjects(c content) *dialect.Error {
	r := x.newReferences(true)
	r.path(x.rest())
	r.arguments(x.ctx.QueryArgs())
	if r.failure == nil {
		c.check(r)
	}
	return r.end()
}

func notYours(id []byte) *dialect.Error {
	return fail(codeNotFound, "", "object "+quoteShort(id)+" does not exist, or belongs to another tenant")
}

// isWord tells a collection's or a verb's name from an object's id.
func isWord(segment []byte) bool {
	for _, c := range segment {
		if c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// listsAll says that the request asks for what a provider keeps for everyone: its path names no object.
func (x *exchange) listsAll() bool {
	if !x.ctx.IsGet() {
		return false
	}
	for segment := range bytes.SplitSeq(x.rest(), []byte("/")) {
		if !isWord(segment) {
			return false
		}
	}
	return true
}

// ownObjects notes the objects that the answer in x.out tells of as the tenant's, and takes those of others out of
// a list of everything.
func (x *exchange) ownObjects() *dialect.Error {
	if x.listsAll() {
		return x.filterList()
	}
	var doc map[string]json.RawMessage
	if json.Unmarshal(x.out, &doc) != nil {
		return nil
	}
	if x.ctx.IsPost() {
		x.claim(stringOf(doc["id"]))
	}
	for name, v := range doc {
		if strings.HasSuffix(name, "_file_id") {
			x.claim(stringOf(v))
		}
	}
	return nil
}

func stringOf(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s) // anything else is no id
	return s
}

// filterList leaves the tenant's own objects in a list, and of what stands beside them the plain values. An answer of
// any other form cannot be filtered, and is not passed on.
func (x *exchange) filterList() *dialect.Error {
	var doc map[string]json.RawMessage
	var items []json.RawMessage
	err := json.Unmarshal(x.out, &doc)
	if err == nil {
		err = json.Unmarshal(doc["data"], &items)
	}
	if err != nil || items == nil {
		return x.explainFailure(errors.Join(dialect.ErrMalformed, err))
	}
	kept, ids := []json.RawMessage{}, []string{}
	for _, item := range items {
		var object struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(item, &object) == nil && x.ownerOf(object.ID) == x.who.Tenant {
			kept, ids = append(kept, item), append(ids, object.ID)
		}
	}
	x.keepPlain(doc)
	doc["data"], _ = json.Marshal(kept)
	if _, ok := doc["first_id"]; ok && len(ids) > 0 {
		doc["first_id"], _ = json.Marshal(ids[0])
		doc["last_id"], _ = json.Marshal(ids[len(ids)-1])
	}
	x.out, _ = json.Marshal(doc)
	return nil
}

// ownerOf is the tenant that an object of the provider that answered belongs to.
func (x *exchange) ownerOf(id string) string {
	return x.s.owner(x.answered.provider.Name, []byte(id))
}

// keepPlain takes out of a list what may tell of others' objects.
func (x *exchange) keepPlain(doc map[string]json.RawMessage) {
	for name, v := range doc {
		owner := x.ownerOf(stringOf(v))
		switch {
		case name == "first_id" || name == "last_id":
			doc[name] = json.RawMessage("null")
		case v[0] == '{' || v[0] == '[' || owner != "" && owner != x.who.Tenant:
			delete(doc, name)
		}
	}
}
