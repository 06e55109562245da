package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a change set; more is ErrInvalid.
const (
	MaxOps      = 1000
	MaxBody     = 1 << 20 // bytes; what is larger belongs into a blob
	MaxSetBytes = 8 << 20 // of all bodies together
	MaxName     = 253     // bytes of a kind or a name
	MaxText     = 4096    // bytes of an actor, a reason or an idempotency key
)

// What an operation may expect of a resource besides a version.
const (
	Absent int64 = 0  // that there is none
	Any    int64 = -1 // nothing
)

// Op puts or deletes one resource.
type Op struct {
	Kind, Name string
	// Body is JSON, canonical if equal meaning shall be equal bytes: the store keeps the bytes as they are.
	Body   []byte
	Delete bool // in place of a body
	// Expect is the version that the resource must have at this moment, Absent or Any. A resource's version is the
	// revision that changed it last.
	Expect int64
}

// Put makes or replaces a resource.
func Put(kind, name string, body []byte, expect int64) Op {
	return Op{Kind: kind, Name: name, Body: body, Expect: expect}
}

// Delete deletes a resource, which must be there.
func Delete(kind, name string, expect int64) Op {
	return Op{Kind: kind, Name: name, Delete: true, Expect: expect}
}

// ChangeSet is what becomes one revision, or nothing at all.
type ChangeSet struct {
	Actor  string // who
	Reason string // why; may be empty
	// Key makes it safe to send the change again: for 24 hours the same change with the same key gets the head that it
	// made at first, and another change is refused. The expected versions belong to what must be the same. "": no key.
	Key string
	Ops []Op // 1..MaxOps, each about another resource
}

// Head is the last revision of the present epoch.
type Head struct {
	Epoch    int64
	Rev      int64 // 0 before the first change
	Chain    Chain
	IssuedAt time.Time // when the revision was made; of revision 0, when the epoch began
}

// prepared is a change set that has been found sound.
type prepared struct {
	*ChangeSet
	size    int64 // of all bodies
	request [sha256.Size]byte
	items   []Item
	blobs   [][]string // by op
}

func (s *Store) prepare(set *ChangeSet) (*prepared, error) {
	if err := set.check(); err != nil {
		return nil, err
	}
	p := &prepared{ChangeSet: set, request: set.digest(), blobs: make([][]string, len(set.Ops))}
	for i := range set.Ops {
		op := &set.Ops[i]
		item := Item{Kind: op.Kind, Name: op.Name, Deleted: op.Delete}
		if !op.Delete {
			item.Digest = sha256.Sum256(op.Body)
			blobs, err := s.options.Blobs(op.Kind, op.Body)
			if err != nil {
				return nil, invalid("cannot tell which blobs %s %q names: %w", op.Kind, op.Name, err)
			}
			p.blobs[i] = blobs
		}
		p.size += int64(len(op.Body))
		p.items = append(p.items, item)
	}
	if p.size > MaxSetBytes {
		return nil, invalid("cannot store a change of %d bytes: %d is the most, so make it in several steps", p.size, MaxSetBytes)
	}
	return p, nil
}

func (set *ChangeSet) check() error {
	if len(set.Ops) == 0 || len(set.Ops) > MaxOps {
		return invalid("cannot store a change of %d operations: it takes 1 to %d", len(set.Ops), MaxOps)
	}
	if set.Actor == "" {
		return invalid("cannot store a change that nobody makes: say who the actor is")
	}
	for what, text := range map[string]string{"actor": set.Actor, "reason": set.Reason, "idempotency key": set.Key} {
		if len(text) > MaxText || !isText(text) {
			return invalid("cannot store a change with this %s: it must be UTF-8 without NUL of at most %d bytes", what, MaxText)
		}
	}
	type id struct{ kind, name string }
	seen := make(map[id]bool, len(set.Ops))
	for i := range set.Ops {
		op := &set.Ops[i]
		if err := op.check(); err != nil {
			return err
		}
		if seen[id{op.Kind, op.Name}] {
			return invalid("cannot change %s %q twice in one change: leave one of the operations out", op.Kind, op.Name)
		}
		seen[id{op.Kind, op.Name}] = true
	}
	return nil
}

func (op *Op) check() error {
	for _, name := range []string{op.Kind, op.Name} {
		if name == "" || len(name) > MaxName || !isText(name) {
			return invalid("cannot store %q %q: kinds and names are UTF-8 without NUL of 1 to %d bytes", op.Kind, op.Name, MaxName)
		}
	}
	switch {
	case op.Expect < Any:
		return invalid("cannot expect version %d of %s %q: say a version, Absent or Any", op.Expect, op.Kind, op.Name)
	case op.Delete && op.Body != nil:
		return invalid("cannot delete %s %q and give it a body: say which", op.Kind, op.Name)
	case op.Delete && op.Expect == Absent:
		return invalid("cannot delete %s %q and expect that it is absent: say its version or Any", op.Kind, op.Name)
	case len(op.Body) > MaxBody:
		return invalid("cannot store %s %q of %d bytes: %d is the most, so put what is large into a blob", op.Kind, op.Name, len(op.Body), MaxBody)
	case !op.Delete && !json.Valid(op.Body):
		return invalid("cannot store %s %q: its body is not JSON", op.Kind, op.Name)
	}
	return nil
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// digest tells the change set from every other one with the same key.
func (set *ChangeSet) digest() [sha256.Size]byte {
	h := sha256.New()
	b := appendText(appendText([]byte("wedge request 1\n"), set.Actor), set.Reason)
	for i := range set.Ops {
		op := &set.Ops[i]
		b = appendText(appendText(b, op.Kind), op.Name)
		b = binary.BigEndian.AppendUint64(b, uint64(op.Expect))
		b = strconv.AppendBool(b, op.Delete)
		h.Write(binary.AppendUvarint(b, uint64(len(op.Body))))
		h.Write(op.Body)
		b = b[:0]
	}
	return [sha256.Size]byte(h.Sum(nil))
}
