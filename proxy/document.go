package proxy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/request"
)

// document is what a node reads of a request's body.
type document struct {
	model, user, metadataUser   []byte
	stream, includeUsage, store bool
	continues                   bool // what a provider keeps is part of the request
	refers                      bool // it may name objects that a provider keeps
	forgets                     bool // store: false
}

func readDocument(v *request.View, body []byte) (d document) {
	d.model, d.user, d.metadataUser = v.Model(), v.User(), v.MetadataUser()
	d.stream, d.includeUsage = v.Stream(), v.IncludeUsage()
	stored, said := v.Store()
	d.store, d.forgets = stored, said && !stored
	for _, name := range [...]string{"previous_response_id", "conversation", "background"} {
		raw, ok := v.Field(name)
		d.continues = d.continues || ok && string(raw) != "null" && string(raw) != "false"
	}
	d.refers = d.continues || namesKept(body)
	return d
}

// memo remembers what bodies that were answered from memory say, so that one which comes again byte for byte need not
// be read and digested again; and what was decided of the last request with such a body, for the next one with the
// very same headers. It compares bytes, never only their hashes.
type memo struct {
	slots [memoSlots]atomic.Pointer[memoEntry]
}

const (
	memoSlots   = 2048
	memoLargest = 8 << 10 // bytes of a body
)

type memoEntry struct {
	body    []byte
	doc     document // its slices are the entry's own
	digests [4]atomic.Pointer[editedDigest]
	again   atomic.Bool // asked for since another body wanted the slot
	last    atomic.Pointer[decided]
	prompt  [dialect.Ops]atomic.Pointer[dialect.Prompt] // what the body asks, once a policy wanted to know
}

// editedDigest is a body's digest after a version's edits, which stand for an operation.
type editedDigest struct {
	edits *request.Edits
	documentDigest
}

// documentDigest is the SHA-256 of what a request asks, as a request of op.
type documentDigest struct {
	sum [32]byte
	op  dialect.Op
}

// digestAfter is the body's digest after edits, if it is known; e may be nil.
func (e *memoEntry) digestAfter(edits *request.Edits) (digest documentDigest, ok bool) {
	if e == nil {
		return digest, false
	}
	for i := range e.digests {
		if d := e.digests[i].Load(); d != nil && d.edits == edits {
			return d.documentDigest, true
		}
	}
	return digest, false
}

// learnDigest remembers a digest while there is room; e may be nil.
func (e *memoEntry) learnDigest(edits *request.Edits, sum documentDigest) {
	if e == nil {
		return
	}
	for i := range e.digests {
		if e.digests[i].CompareAndSwap(nil, &editedDigest{edits, sum}) {
			return
		}
	}
}

// promptOf is what the body asks; its texts are the entry's own.
func (e *memoEntry) promptOf(prompts dialect.Prompts, op dialect.Op) *dialect.Prompt {
	p := e.prompt[op].Load()
	if p == nil {
		p = new(dialect.Prompt)
		prompts.ReadPrompt(op, e.body, p)
		e.prompt[op].Store(p)
	}
	return p
}

// decided is everything about a request that follows from its bytes, its key and the snapshot.
type decided struct {
	snap      *Snapshot
	who       *principal
	uri, head []byte
	user      []byte
	session   []byte
	tags      []byte

	rules  cacheRules
	forced []byte
	resolved
	key     cache.Key
	keyless bool // policies changed the request that was remembered
	ruled   atomic.Pointer[ruledKey]
	hit     atomic.Pointer[preparedHit]
}

// find returns what is known of a body, or nil and the place to remember it at. A body has two places, so that few of
// those in use want the same one.
func (m *memo) find(body []byte) (e *memoEntry, place *atomic.Pointer[memoEntry]) {
	if len(body) > memoLargest {
		return nil, nil
	}
	h := xxhash.Sum64(body)
	one, two := &m.slots[h%memoSlots], &m.slots[(h>>32)%memoSlots]
	for _, place := range [...]*atomic.Pointer[memoEntry]{one, two} {
		if e := place.Load(); e != nil && bytes.Equal(e.body, body) {
			if !e.again.Load() {
				e.again.Store(true)
			}
			return e, place
		}
	}
	if e := one.Load(); e != nil && e.again.Load() {
		return nil, two
	}
	return nil, one
}

// forget lets go what was decided under an old snapshot, and with it the snapshot.
func (m *memo) forget() {
	for i := range m.slots {
		if e := m.slots[i].Load(); e != nil {
			e.last.Store(nil)
			for i := range e.digests {
				e.digests[i].Store(nil)
			}
		}
	}
}

// learn remembers a body at its place, unless what is there is in use.
func learn(place *atomic.Pointer[memoEntry], body []byte, d document, edits *request.Edits, digest documentDigest) {
	if old := place.Load(); old != nil && old.again.Swap(false) && !bytes.Equal(old.body, body) {
		return
	}
	e := &memoEntry{body: bytes.Clone(body), doc: d}
	e.learnDigest(edits, digest)
	e.doc.model, e.doc.user, e.doc.metadataUser = bytes.Clone(d.model), bytes.Clone(d.user), bytes.Clone(d.metadataUser)
	place.Store(e)
}

// digestDocument is SHA-256 over the canonical form of what the client asks after the version's edits: of its body, or of
// the chat that says the same.
func (x *exchange) digestDocument() documentDigest {
	edits := x.version.edits[x.op]
	if digest, ok := x.known.digestAfter(edits); ok && (digest.op == x.op || x.shareable()) {
		return digest
	}
	x.parseAgain()
	if !x.appendShared() && !x.appendRenamed(edits) {
		x.keyBuf = x.view.AppendCanonical(x.keyBuf[:0], edits)
		x.digest.op = x.op
	}
	x.digest.sum = sha256.Sum256(x.keyBuf)
	x.known.learnDigest(edits, x.digest)
	return x.digest
}

// appendRenamed is for chats that bound their answer by OpenAI's newer name for it: either name has the same key.
func (x *exchange) appendRenamed(edits *request.Edits) (ok bool) {
	if x.op != dialect.OpChat {
		return false
	}
	x.lines, ok = x.view.AppendRenamed(x.lines[:0], "max_completion_tokens", "max_tokens")
	if !ok || x.chat.Parse(x.lines) != nil {
		return false
	}
	x.keyBuf = x.chat.AppendCanonical(x.keyBuf[:0], edits)
	x.chat.Reset()
	x.digest.op = x.op
	return true
}

// shareable says that a request of another operation may have the key of a chat.
func (x *exchange) shareable() bool {
	switch x.op {
	case dialect.OpResponses:
		return !x.doc.continues && (x.doc.forgets && x.version.forceStore == "" || x.version.forceStore == "false")
	case dialect.OpMessages:
		return len(x.ctx.Request.Header.PeekBytes(headerAnthropicBeta)) == 0
	}
	return x.op == dialect.OpGenerate
}

// appendShared puts the canonical form of the chat of OpenAI's dialect that says what the request does into x.keyBuf, and
// says whether there is one: nothing may be lost on the way.
func (x *exchange) appendShared() bool {
	if !x.shareable() {
		return false
	}
	x.body = x.view.AppendBody(x.body[:0], nil, request.Attempt{})
	err := x.s.o.Dialects.WithChat(x.op, x.body, func(c *dialect.Chat) error {
		if !meansAlike(x.op, c) {
			return errLossy
		}
		out, left, err := x.s.o.Dialects.Codecs[dialect.OpenAI].AppendRequest(x.lines[:0], c, bytesx.String(x.ref), false)
		x.lines = out
		if err == nil && left != 0 {
			err = errLossy
		}
		return err
	})
	if err != nil || x.chat.Parse(x.lines) != nil {
		return false
	}
	x.keyBuf = x.chat.AppendCanonical(x.keyBuf[:0], x.version.edits[dialect.OpChat])
	x.chat.Reset()
	x.digest.op = dialect.OpChat
	return true
}

// meansAlike says that a request means to every provider what the chat means that says the same. What each dialect has
// its own idea of is left out: how much a model thinks, what a document is beside a text, whether schemas are strict where
// nothing is said, and what a text after a call is.
func meansAlike(op dialect.Op, c *dialect.Chat) bool {
	if len(c.Unknown) > 0 || c.Thinking != dialect.ThinkingUnsaid || c.ShowThinking || len(c.Effort) > 0 || op == dialect.OpResponses && len(c.Tools) > 0 {
		return false
	}
	for _, t := range c.Turns {
		called := false
		for i := range c.Parts[t.From:t.To] {
			kind := c.Parts[t.From+i].Kind
			if kind == dialect.PartFile || kind == dialect.PartText && called {
				return false
			}
			called = called || kind == dialect.PartCall
		}
	}
	return !slices.ContainsFunc(c.Nested, func(p dialect.Part) bool { return p.Kind == dialect.PartFile })
}

var errLossy = errors.New("a chat cannot say all of it")

// parseAgain reads a body that was only recognised, for what takes more than the memo knows.
func (x *exchange) parseAgain() {
	if !x.parsed {
		x.parsed = true
		if err := x.view.Parse(x.requestBody()); err != nil {
			panic("BUG: a body was good before and is not now: " + err.Error())
		}
	}
}

// recall takes over what was decided of the same bytes before. The caller's key has been checked; heads are compared
// only with one of the same key, so that how long it takes tells nothing about anybody else's.
func (x *exchange) recall() bool {
	if x.known, x.place = x.s.memo.find(x.ctx.Request.Body()); x.known == nil {
		return false
	}
	d := x.known.last.Load()
	if d == nil || d.snap != x.snap || d.who != x.who || !bytes.Equal(d.head, x.ctx.Request.Header.RawHeaders()) ||
		!bytes.Equal(d.uri, x.ctx.Request.Header.RequestURI()) {
		return false
	}
	x.doc = x.known.doc
	x.units.User, x.units.Session, x.units.Request, x.tags = d.user, d.session, x.id.bytes(), d.tags
	x.readRef()
	x.rules, x.forced, x.model, x.version, x.why, x.exp, x.arm = d.rules, d.forced, d.model, d.version, d.why, d.exp, d.arm
	x.key, x.recalled = d.key, d
	return true
}

// ruledKey is the key of a request after what its policies decided, told by their very actions.
type ruledKey struct {
	actions []byte
	version *version // as the actions led to it, and
	target  int      // the target, since policies may act alike together and yet not one by one
	key     cache.Key
}

// recallKey takes over the key of the same bytes about which policies decided the same.
func (x *exchange) recallKey() bool {
	switch d := x.recalled; {
	case d == nil:
		return false
	case !x.changed():
		return !d.keyless
	case x.ruling.edited:
		return false
	default:
		k := d.ruled.Load()
		if k == nil || k.version != x.version || k.target != x.ruling.target || !bytes.Equal(k.actions, x.ruling.lists) {
			return false
		}
		x.key = k.key
		return true
	}
}

// rememberKey keeps the key for the next request that recallKey knows.
func (x *exchange) rememberKey() {
	if x.recalled != nil && x.changed() && !x.ruling.edited {
		x.recalled.ruled.Store(&ruledKey{bytes.Clone(x.ruling.lists), x.version, x.ruling.target, x.key})
	}
}

// remember lets the memo know a request that was answered from memory: it is likely to come again.
func (x *exchange) remember() {
	if x.place == nil || x.recalled != nil || x.ruling != nil && x.ruling.edited {
		return
	}
	if x.parsed {
		learn(x.place, x.ctx.Request.Body(), x.doc, x.version.edits[x.op], x.digest)
		return
	}
	d := resolved{x.model, x.version, x.exp, x.arm, x.why}
	if x.ruling != nil {
		d = x.ruling.resolved
	}
	if x.timed || d.model.DrawsAnew() {
		return // the next one will not be decided alike
	}
	x.known.last.Store(&decided{
		snap: x.snap, who: x.who, uri: bytes.Clone(x.ctx.Request.Header.RequestURI()), head: bytes.Clone(x.ctx.Request.Header.RawHeaders()),
		user: bytes.Clone(x.units.User), session: bytes.Clone(x.units.Session), tags: bytes.Clone(x.tags), rules: x.rules, forced: bytes.Clone(x.forced), resolved: d, key: x.key, keyless: x.changed(),
	})
}
