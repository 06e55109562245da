package uplink

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
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
//	secret/NAME   sealed secrets, with what they were committed to
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
	// Trials counts the starts of the process with Used since it came into use, as long as it is on probation.
	Trial  bool `json:"trial,omitempty"`
	Trials int  `json:"trials,omitempty"`
	// Highest is the last position seen of each key that signs heads.
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

// saveBase writes a whole state as a generation of its own.
func (d disk) saveBase(gen uint64, head []byte, sorted []wire.Resource) error {
	var value []byte
	n := uint64(0)
	flush := func() error {
		if len(value) == 0 {
			return nil
		}
		n++
		err := d.kv.Put(numbered(gen, 'r', n), value)
		value = value[:0]
		return err
	}
	for i := range sorted {
		value = wire.AppendFrame(value, wire.FrameResource, wire.AppendResource(nil, &sorted[i]))
		if len(value) >= valueBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return d.kv.Put(genKey(gen, "h"), head)
}

func (d disk) saveDelta(gen uint64, rev int64, delta []byte) error {
	return d.kv.Put(numbered(gen, 'd', uint64(rev)), delta)
}

// load reads a revision back and verifies all of it, as if an origin had just sent it.
func (d disk) load(s saved, trust func(*state) (wire.Trust, error)) (*state, error) {
	last, err := wire.ParseHead(s.Head)
	if err != nil {
		return nil, err
	}
	text, err := d.kv.Get(genKey(s.Gen, "h"))
	if err != nil {
		return nil, err
	}
	base, err := wire.ParseHead(text)
	if err != nil {
		return nil, err
	}
	st := newState()
	err = d.kv.Each(append(genKey(s.Gen, ""), 'r', '/'), func(_, value []byte) error {
		return st.addFrames(slices.Clone(value))
	})
	if err != nil {
		return nil, err
	}
	if err := st.conclude(&base); err != nil {
		return nil, err
	}
	err = d.kv.Each(append(genKey(s.Gen, ""), 'd', '/'), func(_, value []byte) error {
		if st.at.Rev >= last.Rev {
			return nil // of a revision that was not taken
		}
		return st.follow(slices.Clone(value))
	})
	if err != nil {
		return nil, err
	}
	if st.at != last.Position {
		return nil, fmt.Errorf("what is in the store leads to revision %s, not to %s", st.at, last.Position)
	}
	keys, err := trust(st)
	if err != nil {
		return nil, err
	}
	return st, errors.Join(keys.Verify(&base), keys.Verify(&last))
}

// clean forgets the generations that meta does not name.
func (d disk) clean(m *meta) error {
	var old [][]byte
	err := d.kv.Each([]byte(prefix+"g/"), func(key, _ []byte) error {
		gen := binary.BigEndian.Uint64(key[len(prefix)+2:])
		if gen != m.Used.Gen && gen != m.Good.Gen {
			old = append(old, slices.Clone(key))
		}
		return nil
	})
	for _, key := range old {
		err = errors.Join(err, d.kv.Delete(key))
	}
	return err
}

func blobKey(digest string) []byte { return []byte(prefix + "blob/" + digest) }
func secretKey(name string) []byte { return []byte(prefix + "secret/" + name) }

// sealed is a secret as it lies on the disk.
type sealed struct {
	Commit string `json:"commit"`
	Sealed []byte `json:"sealed"`
}
