package proxy

import (
	"bytes"
	"crypto/sha256"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/wedge-proxy/wedge/proxy/request"
)

// document is what a node reads of a request's body.
type document struct {
	model, user, metadataUser   []byte
	stream, includeUsage, store bool
	continues                   bool // what a provider keeps is part of the request
}

func readDocument(v *request.View) (d document) {
	d.model, d.user, d.metadataUser = v.Model(), v.User(), v.MetadataUser()
	d.stream, d.includeUsage = v.Stream(), v.IncludeUsage()
	d.store, _ = v.Store()
	for _, name := range [...]string{"previous_response_id", "conversation", "background"} {
		raw, ok := v.Field(name)
		d.continues = d.continues || ok && string(raw) != "null" && string(raw) != "false"
	}
	return d
}

// memo remembers what the bodies that were asked for more than once say, so that a body which comes again byte for
// byte need not be read and digested again. What it remembers depends on the bytes alone, and it compares them.
type memo struct {
	slots [memoSlots]atomic.Pointer[memoEntry]
}

const (
	memoSlots   = 1024
	memoLargest = 8 << 10 // bytes of a body
)

type memoEntry struct {
	body   []byte
	doc    document       // its slices are the entry's own
	edits  *request.Edits // digest is the body's after these
	digest [32]byte
	again  atomic.Bool // asked for since another body wanted the slot
}

// find returns what is known of a body, or nil, and its place.
func (m *memo) find(body []byte) (e *memoEntry, place *atomic.Pointer[memoEntry]) {
	if len(body) > memoLargest {
		return nil, nil
	}
	place = &m.slots[xxhash.Sum64(body)%memoSlots]
	if e = place.Load(); e == nil || !bytes.Equal(e.body, body) {
		return nil, place
	}
	if !e.again.Load() {
		e.again.Store(true)
	}
	return e, place
}

// learn remembers a body at its place, unless what is there is in use.
func learn(place *atomic.Pointer[memoEntry], body []byte, d document, edits *request.Edits, digest [32]byte) {
	if old := place.Load(); old != nil && old.again.Swap(false) && !bytes.Equal(old.body, body) {
		return
	}
	e := &memoEntry{body: bytes.Clone(body), edits: edits, digest: digest, doc: d}
	e.doc.model, e.doc.user, e.doc.metadataUser = bytes.Clone(d.model), bytes.Clone(d.user), bytes.Clone(d.metadataUser)
	place.Store(e)
}

// digestDocument is SHA-256 over the body's canonical form after the version's edits.
func (x *exchange) digestDocument() [32]byte {
	edits := x.version.edits[x.op]
	if x.known != nil && x.known.edits == edits {
		return x.known.digest
	}
	x.parseAgain()
	x.keyBuf = x.view.AppendCanonical(x.keyBuf[:0], edits)
	x.digest = sha256.Sum256(x.keyBuf)
	return x.digest
}

// parseAgain reads a body that was only recognised, for what takes more than the memo knows.
func (x *exchange) parseAgain() {
	if !x.parsed {
		x.parsed = true
		if err := x.view.Parse(x.ctx.Request.Body()); err != nil {
			panic("BUG: a body was good before and is not now: " + err.Error())
		}
	}
}

// remember lets the memo know a body that was answered from memory: it is likely to come again.
func (x *exchange) remember() {
	if x.place != nil && x.parsed {
		learn(x.place, x.ctx.Request.Body(), x.doc, x.version.edits[x.op], x.digest)
	}
}
