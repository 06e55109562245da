package uplink

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/wedge-proxy/wedge/store"
	"github.com/wedge-proxy/wedge/wire"
)

// What the node keeps in its store, below "uplink/":
//
//	meta          what is in use, and what is known to be good: the one key whose write makes a revision the node's
//	g/GEN/h       the signed head of a whole state
//	g/GEN/r/N     its resources, some in a value
//	g/GEN/d/REV   what changed after it, a delta in a value
//	blob/DIGEST   modules
//	secret/C/NAME a sealed secret whose commitment is C
//
// There are no transactions. So a generation and its deltas are written before meta names them, what meta does not name
// is never read, and everything that is read is verified again.
const prefix = "uplink/"

var metaKey = []byte(prefix + "meta")

// saved is one revision on the disk: the signed head of what a generation and its deltas come to.
type saved struct {
	Gen  uint64 `json:"gen"`
	Head []byte `json:"head"` // a wire.SignedHead
}

// meta is the node's memory of its revisions.
type meta struct {
	Used saved `json:"used"` // what was in use last
	Good saved `json:"good"` // what outlived its probation last; may be Used
	// Trials counts the deaths of the process with Used, as long as it is on probation: each start takes the process before
	// to have died, unless that left -1 when it ended well.
	Trial  bool `json:"trial,omitempty"`
	Trials int  `json:"trials,omitempty"`
	// Highest is the last position that was taken from each key that signs heads.
	Highest map[string]wire.Position `json:"highest,omitempty"`
	// Quarantined are revisions that killed the process.
	Quarantined []wire.Position `json:"quarantined,omitempty"`
}

// mostQuarantined bounds what is remembered of revisions that killed the process.
const mostQuarantined = 64

func (m *meta) quarantine(at wire.Position) {
	m.Quarantined = append(m.Quarantined, at)
	if over := len(m.Quarantined) - mostQuarantined; over > 0 {
		m.Quarantined = slices.Delete(m.Quarantined, 0, over)
	}
}

// admits tells why a head is older than one that was taken from the same key, or nil.
func (m *meta) admits(h *wire.SignedHead) error {
	if highest := m.Highest[h.Key.String()]; h.Position.Before(highest) {
		return fmt.Errorf("revision %s is older than %s, which the node has had", h.Position, highest)
	}
	return nil
}

// fallBack makes the revision that is known to be good the one in use. The origin may send revisions between the two
// again.
func (m *meta) fallBack() {
	if good, err := wire.ParseHead(m.Good.Head); err == nil {
		m.Highest = maps.Clone(m.Highest)
		for key, at := range m.Highest {
			if good.Before(at) {
				m.Highest[key] = good.Position
			}
		}
	}
	m.Used, m.Trial, m.Trials = m.Good, false, 0
}

// disk is the node's store as the uplink uses it.
type disk struct{ kv KV }

func (d disk) loadMeta() (m meta, err error) {
	text, err := d.kv.Get(metaKey)
	if errors.Is(err, store.ErrNotFound) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return meta{}, fmt.Errorf("cannot read what the node knows of its revisions: %w", err)
	}
	return m, nil
}

// saveMeta makes a revision the node's. All that it names must have been written before.
func (d disk) saveMeta(m *meta) error {
	text, err := json.Marshal(m)
	if err == nil {
		err = d.kv.Sync() // what meta names must not be missing after a power cut
	}
	if err == nil {
		err = d.kv.Put(metaKey, text)
	}
	if err == nil {
		err = d.kv.Sync()
	}
	if err != nil {
		return fmt.Errorf("cannot keep the revision in the node's store: %w", err)
	}
	return nil
}

func genKey(gen uint64, rest string) []byte {
	b := append(make([]byte, 0, 64), prefix+"g/"...)
	b = binary.BigEndian.AppendUint64(b, gen)
	return append(append(b, '/'), rest...)
}

func numbered(gen uint64, kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(genKey(gen, ""), kind, '/'), n)
}

// valueBytes is about how many bytes of resources go into a value: a transaction of the store's takes a megabyte.
const valueBytes = 256 << 10

// saveBase writes a whole state as a generation of its own. What a crash or a refusal left of another one goes first.
func (d disk) saveBase(gen uint64, head []byte, sorted []wire.Resource) error {
	if err := d.forget(genKey(gen, ""), func([]byte) bool { return true }); err != nil {
		return err
	}
	var value []byte
	n := uint64(0)
	for i := range sorted {
		value = wire.AppendFrame(value, wire.FrameResource, wire.AppendResource(nil, &sorted[i]))
		if len(value) < valueBytes && i+1 < len(sorted) {
			continue
		}
		n++
		if err := d.kv.Put(numbered(gen, 'r', n), value); err != nil {
			return err
		}
		value = value[:0]
	}
	return d.kv.Put(genKey(gen, "h"), head)
}

func (d disk) saveDelta(gen uint64, rev int64, delta []byte) error {
	return d.kv.Put(numbered(gen, 'd', uint64(rev)), delta)
}

// baseHead is the signed head of a generation's whole state.
func (d disk) baseHead(gen uint64) (wire.SignedHead, error) {
	text, err := d.kv.Get(genKey(gen, "h"))
	if err != nil {
		return wire.SignedHead{}, fmt.Errorf("the head of generation %d: %w", gen, err)
	}
	return wire.ParseHead(text)
}

// load reads a revision back and verifies all of it, as if an origin had just sent it.
func (d disk) load(s saved, keys wire.Trust) (*state, *wire.SignedHead, error) {
	last, err := wire.ParseHead(s.Head)
	if err == nil {
		err = keys.Verify(&last)
	}
	if err != nil {
		return nil, nil, err
	}
	base, err := d.baseHead(s.Gen)
	if err == nil {
		err = keys.Verify(&base)
	}
	if err != nil {
		return nil, nil, err
	}
	st, err := d.loadBase(s.Gen, &base)
	if err == nil {
		err = d.loadDeltas(st, s.Gen, last.Rev)
	}
	if err == nil && st.at != last.Position {
		err = fmt.Errorf("what is in the store leads to revision %s, not to %s", st.at, last.Position)
	}
	return st, &last, err
}

func (d disk) loadBase(gen uint64, head *wire.SignedHead) (*state, error) {
	st := newState()
	err := d.kv.Each(append(genKey(gen, ""), 'r', '/'), func(_, value []byte) error {
		return st.addFrames(slices.Clone(value))
	})
	if err == nil {
		err = st.conclude(head)
	}
	return st, err
}

// loadDeltas applies the deltas up to a revision. What follows it is of revisions that were not taken.
func (d disk) loadDeltas(st *state, gen uint64, last int64) error {
	return d.kv.Each(append(genKey(gen, ""), 'd', '/'), func(_, value []byte) error {
		if st.at.Rev >= last {
			return nil
		}
		delta, err := wire.ParseDelta(slices.Clone(value))
		if err != nil {
			return err
		}
		return st.follow(&delta)
	})
}

// signers names the keys that the heads of revisions were signed with.
func (d disk) signers(revisions ...saved) (names []wire.KeyName) {
	for _, s := range revisions {
		if last, err := wire.ParseHead(s.Head); err == nil {
			names = append(names, last.Key)
		}
		if base, err := d.baseHead(s.Gen); err == nil {
			names = append(names, base.Key)
		}
	}
	return names
}

// clean forgets the generations that meta does not name.
func (d disk) clean(m *meta) error {
	return d.forget([]byte(prefix+"g/"), func(key []byte) bool {
		if len(key) < len(prefix)+10 {
			return true
		}
		gen := binary.BigEndian.Uint64(key[len(prefix)+2:])
		return gen != m.Used.Gen && gen != m.Good.Gen
	})
}

// forget deletes the keys below a prefix that are old.
func (d disk) forget(prefix []byte, old func(key []byte) bool) error {
	var keys [][]byte
	err := d.kv.Each(prefix, func(key, _ []byte) error {
		if old(key) {
			keys = append(keys, slices.Clone(key))
		}
		return nil
	})
	for _, key := range keys {
		err = errors.Join(err, d.kv.Delete(key))
	}
	return err
}

func blobKey(digest string) []byte { return []byte(prefix + "blob/" + digest) }

func secretKey(name, commit string) []byte { return []byte(prefix + "secret/" + commit + "/" + name) }
