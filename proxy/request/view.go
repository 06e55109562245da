// Package request reads a client's JSON body in place, edits it surgically and gives it a canonical form to be
// digested; it knows the few fields that a node acts on, and no dialect, model or transport beyond them.
package request

// View is one client's body, read in place. The zero value is ready. It is for one goroutine at a time and is
// meant to be pooled: after its first few bodies it allocates nothing.
type View struct {
	body  []byte
	brace int      // offset of the closing brace
	top   []member // the members of the top level in canonical order

	fields fields

	open    []member `wedge:"kept"` // members of the objects being read, the innermost last
	objects []object `wedge:"kept"` // objects that are not canonical as they stand, in the order of the text
	kept    []member `wedge:"kept"` // their members, and last those of the top level
	noted   []member `wedge:"kept"` // see note
	order   []ranked `wedge:"kept"` // scratch of keepMany
	decoded []byte   `wedge:"kept"` // keys and fields without their escapes
	odd     int      // offset after the last thing read that is not canonical
	escape  int      // offset after the last escape read
	high    uint64   // has a high bit if a string may have bytes outside ASCII
	fault   fault

	replaced []change `wedge:"kept"` // scratch of plan
	added    []int32  `wedge:"kept"`
	splices  []splice `wedge:"kept"` // scratch of AppendBody
}

// fields are the values of the members that a View offers by name.
type fields struct {
	model, user, metadataUser []byte
	stream, includeUsage      bool
	store, storeSet           bool
}

// What a pooled View keeps, in elements: enough for bodies of some 100 KB.
const (
	maxKeptMembers = 4 << 10
	maxKeptObjects = 2 << 10
	maxKeptBytes   = 16 << 10
)

// Reset forgets the body. It keeps buffers of ordinary size and lets larger ones go.
func (v *View) Reset() {
	v.body, v.top, v.fields = nil, nil, fields{}
	v.open, v.kept = reuse(v.open, maxKeptMembers), reuse(v.kept, maxKeptMembers)
	v.noted, v.objects = reuse(v.noted, maxKeptMembers), reuse(v.objects, maxKeptObjects)
	v.order, v.decoded = reuse(v.order, maxKeptMembers), reuse(v.decoded, maxKeptBytes)
	v.brace, v.odd, v.escape, v.high, v.fault = 0, 0, 0, 0, fault{}
	v.replaced, v.added, v.splices = v.replaced[:0], v.added[:0], v.splices[:0]
}

// reuse is s without elements, or nil if it is larger than limit.
func reuse[T any](s []T, limit int) []T {
	if cap(s) > limit {
		return nil
	}
	return s[:0]
}

// Parse reads a body, which it borrows until Reset or the next Parse. The body must be one JSON object in the
// strict sense of RFC 8259, with valid UTF-8, no lone surrogates, no duplicate keys at any depth and at most
// 512 levels; the error is a *SyntaxError otherwise, and a *FieldError if a field that the View offers has a
// type it cannot have. After an error the View is as after Reset.
func (v *View) Parse(body []byte) error {
	v.Reset()
	v.body = body
	err := v.document()
	if err == nil {
		err = v.readFields()
	}
	if err != nil {
		v.Reset()
	}
	return err
}

// HasModel says that the body names a model.
func (v *View) HasModel() bool { return len(v.fields.model) > 0 }

// Model is the model's name without escapes, nil if there is none. Like every slice that a View returns it is
// borrowed until Reset and must not be changed.
func (v *View) Model() []byte { return v.fields.model }

// Stream says that the client asked for a stream.
func (v *View) Stream() bool { return v.fields.stream }

// IncludeUsage says that the client asked for usage at the end of the stream.
func (v *View) IncludeUsage() bool { return v.fields.includeUsage }

// Store is the body's store; set is false if it is absent or null.
func (v *View) Store() (value, set bool) { return v.fields.store, v.fields.storeSet }

// User is the body's user without escapes, nil if there is none.
func (v *View) User() []byte { return v.fields.user }

// MetadataUser is the body's metadata.user_id without escapes, nil if it is not a string.
func (v *View) MetadataUser() []byte { return v.fields.metadataUser }

// Field is the text of a top-level member's value; false if there is no such member.
func (v *View) Field(name string) (raw []byte, ok bool) {
	k := v.find([]byte(name))
	if k < 0 {
		return nil, false
	}
	return v.raw(&v.top[k]), true
}

// AppendRenamed appends the body with another name for a top-level member. It returns false, and appends nothing, if the
// body has no such member or has one of the new name.
func (v *View) AppendRenamed(dst []byte, from, to string) (out []byte, ok bool) {
	k := v.find([]byte(from))
	if k < 0 || v.find([]byte(to)) >= 0 {
		return dst, false
	}
	m := &v.top[k]
	at, end := int(m.key), int(m.key+m.keyLen)
	if m.flags&decodedKey != 0 { // the name lies elsewhere; where it is written ends before the colon
		return dst, false
	}
	dst = append(append(dst, v.body[:at]...), to...)
	return append(dst, v.body[end:]...), true
}
