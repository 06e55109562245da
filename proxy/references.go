package proxy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

const (
	maxID        = 256  // bytes of an object's id
	minID        = 8    // bytes of an id that is noticed where none must stand
	maxLookups   = 1000 // of ids, for one request
	maxArguments = 1000 // of a form or a query
)

// references checks the objects that a request names: each must be the tenant's at one and the same provider. It
// narrows down the providers that may be asked.
type references struct {
	x         *exchange
	providers []string
	thorough  bool // every string may be an id, and not only those that stand under names which hold one
	mine      bool // an object of the tenant was named
	lookups   int
	failure   *dialect.Error
	buf       [maxID]byte
}

// newReferences begins with the providers that the request may go to.
func (x *exchange) newReferences(thorough bool) *references {
	r := &references{x: x, thorough: thorough}
	if len(x.forced) > 0 {
		r.providers = []string{string(x.forced)}
		return r
	}
	r.add(x.version)
	for _, v := range x.version.fallback {
		r.add(v)
	}
	return r
}

func (r *references) add(v *version) {
	for i := range v.targets {
		if name := v.targets[i].provider.Name; !slices.Contains(r.providers, name) {
			r.providers = append(r.providers, name)
		}
	}
}

// end pins the request to the provider that keeps the objects, or refuses it.
func (r *references) end() *dialect.Error {
	if r.failure == nil && r.mine {
		r.x.forced = []byte(r.providers[0])
	}
	return r.failure
}

// place is where a string stands in a document, a form or a query.
type place struct {
	name  []byte // of the member, as it is written; elements stand under the name of their list
	holds bool   // what stands here must be an object's id
	free  bool   // below the client's own data, where names mean nothing
}

// member is the place of a member of an object that stands at p. An id stands where its object does.
func (p place) member(name []byte) place {
	var buf [maxID]byte
	plain, _ := appendID(buf[:0], name)
	switch string(plain) {
	case "id":
		return p
	case "metadata", "parameters", "schema":
		p.free = true
	}
	return place{name: name, holds: !p.free && holdsID(string(plain)), free: p.free}
}

// holdsID tells the names under which ids of objects stand.
func holdsID(name string) bool {
	switch name {
	case "file_id", "file_ids", "vector_store_id", "vector_store_ids", "container", "container_id",
		"previous_response_id", "conversation", "conversation_id", "assistant_id", "thread_id":
		return true
	}
	return strings.HasSuffix(name, "_file") || strings.HasSuffix(name, "_file_id") || strings.HasSuffix(name, "_file_ids")
}

// see takes note of a string. It returns false when the request is to be refused.
func (r *references) see(p place, s []byte) bool {
	if !p.holds && !r.thorough {
		return true
	}
	id, only := appendID(r.buf[:0], s)
	switch {
	case p.holds && !only:
		r.refuse(p, s)
	case p.holds || only && len(id) >= minID && bytes.ContainsAny(id, "0123456789-_"):
		r.look(p, id)
	}
	return r.failure == nil
}

// look asks whose an object is at each of the providers.
func (r *references) look(p place, id []byte) {
	if r.lookups++; r.lookups > maxLookups {
		r.failure = fail(codeInvalidRequest, "", "the request names too many objects; name at most "+strconv.Itoa(maxLookups))
		return
	}
	var own []string
	foreign := false
	for _, provider := range r.providers {
		switch r.x.s.owner(provider, id) {
		case r.x.who.Tenant:
			own = append(own, provider)
		case "":
		default:
			foreign = true
		}
	}
	switch {
	case len(own) > 0:
		r.providers, r.mine = own, true
	case foreign || p.holds:
		r.refuse(p, id)
	}
}

func (r *references) refuse(p place, id []byte) {
	r.failure = notYours(id)
	if p.holds {
		r.failure.Param = string(p.name)
	}
}

// path checks the segments of a path: those that are no words must be the tenant's objects.
func (r *references) path(rest []byte) {
	for segment := range bytes.SplitSeq(rest, []byte("/")) {
		if r.failure == nil {
			r.look(place{holds: !isWord(segment)}, segment)
		}
	}
}

// arguments checks those of a query or of a form.
func (r *references) arguments(args *fasthttp.Args) {
	for name, value := range args.All() {
		if r.failure == nil {
			r.argument(name, value)
		}
	}
}

// argument checks a value that is an id, a list of ids with commas, or JSON; its name may be that of a list's element.
func (r *references) argument(name, value []byte) {
	plain, _, _ := bytes.Cut(name, []byte("["))
	p := place{}.member(plain)
	if !r.see(place{}, name) {
		return
	}
	if json.Valid(value) {
		r.document(p, value)
		return
	}
	for part := range bytes.SplitSeq(value, []byte(",")) {
		if !r.see(p, part) {
			return
		}
	}
}

// document checks every string of a JSON text, which must be valid.
func (r *references) document(p place, text []byte) {
	s := scanner{text: text, visit: r.see}
	s.value(p)
}

// scanner walks over a valid JSON text. visit gets the strings as they are written, member names among them.
type scanner struct {
	text  []byte
	at    int
	visit func(p place, s []byte) bool
}

// value walks over the value that comes next. It returns false when visit did.
func (s *scanner) value(p place) bool {
	switch s.next() {
	case '"':
		return s.visit(p, s.str())
	case '{':
		return s.object(p)
	case '[':
		s.at++
		for s.next() != ']' {
			if !s.value(p) {
				return false
			}
		}
		s.at++
	default:
		for s.at < len(s.text) && bytes.IndexByte([]byte(",]} \t\r\n"), s.text[s.at]) < 0 {
			s.at++
		}
	}
	return true
}

func (s *scanner) object(p place) bool {
	s.at++
	for s.next() != '}' {
		name := s.str()
		s.next()
		if !s.visit(place{}, name) || !s.value(p.member(name)) {
			return false
		}
	}
	s.at++
	return true
}

// next skips what separates values and returns the first byte of the next one.
func (s *scanner) next() byte {
	for {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
			s.at++
		default:
			return c
		}
	}
}

// str takes the string that comes next, without its quotes.
func (s *scanner) str() []byte {
	from := s.at + 1
	for s.at = from; s.text[s.at] != '"'; s.at++ {
		if s.text[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
	return s.text[from : s.at-1]
}

// appendID appends the id that a string, with JSON's escapes, consists of. What stands before and after it and is
// part of no id is left out; only is false if there is no id, or more than one word.
func appendID(dst, s []byte) (id []byte, only bool) {
	id = dst
	ended := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			if c = ' '; s[i] == 'u' && i+4 < len(s) {
				c = escaped(s[i+1 : i+5])
				i += 4
			}
		}
		switch {
		case !partOfID(c):
			ended = len(id) > len(dst)
		case ended || len(id)-len(dst) == maxID:
			return id, false
		default:
			id = append(id, c)
		}
	}
	return id, len(id) > len(dst)
}

// escaped is the byte that four hexadecimal digits stand for; a space for what is part of no id.
func escaped(digits []byte) byte {
	n, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil || n > '~' {
		return ' '
	}
	return byte(n)
}

func partOfID(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-' || c == '.' || c == ':'
}
