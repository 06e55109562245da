package uplink

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// trusting is a state that names keys.
func trusting(t testing.TB, n int, keys ...ed25519.PrivateKey) []wire.Resource {
	c := content{url: at127(n), trust: []string{}}
	for _, key := range keys {
		c.trust = append(c.trust, public(key))
	}
	return c.state(t)
}

// anchors are the keys that the node's folder holds.
func (n *node) anchors() []string {
	text, err := os.ReadFile(filepath.Join(n.o.Dir, trustFile))
	require.NoError(n.t, err)
	return strings.Fields(string(text))
}

// TestRotation: a key is added, signs, and the one before it is retired. At each step the node may be started alone.
func TestRotation(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprint("restarts ", restarts), func(t *testing.T) {
			f := newFake(t)
			first, second := f.signer, newKey(t)
			f.change(trusting(t, 1, first))
			n := newNode(t, f, short).run()
			step := func(i int) {
				t.Helper()
				n.at(f, int64(i))
				n.proved()
				assert.Equal(t, at127(i), n.serves())
				alone := n.alone()
				require.True(t, alone.boot(), "after step %d", i)
				assert.Equal(t, at127(i), alone.serves())
				if restarts {
					require.NoError(t, n.stop())
					f.cut()
					n.run()
					n.up(f)
				}
			}
			step(1)
			f.put(trusting(t, 2, first, second))
			step(2)
			f.with(func() { f.signer = second })
			f.put(trusting(t, 3, first, second))
			step(3)
			assert.ElementsMatch(t, []string{public(first), public(second)}, n.anchors())
			snapshots := f.snapshots()
			f.put(trusting(t, 4, second)) // the base in the store is signed with the first
			testkit.Eventually(t, patience, func() error {
				if f.snapshots() == snapshots {
					return errors.New("no whole state was asked for")
				}
				if got := n.anchors(); len(got) != 1 || got[0] != public(second) {
					return fmt.Errorf("the retired key is still trusted at the next start: %v", got)
				}
				return nil
			})
			step(4)
			n.up(f) // it asked anew
			f.send(stated(trusting(t, 66, first), wire.Position{Epoch: 100, Rev: 66}, first)...)
			assert.Equal(t, wire.NackSignature, n.refused(f, 66).Code)
			f.put(trusting(t, 5, second))
			step(5)
			assert.Equal(t, snapshots+1, f.snapshots())
		})
	}
}

// snapshots counts the whole states that were asked for.
func (f *fake) snapshots() (n int) {
	for _, a := range f.wants() {
		if a.at.Epoch == 0 {
			n++
		}
	}
	return n
}

// TestRetiredOnProbation: as long as the revision to fall back to is signed with the old key, it is kept.
func TestRetiredOnProbation(t *testing.T) {
	f := newFake(t)
	first, second := f.signer, newKey(t)
	f.change(trusting(t, 1, first, second))
	n := newNode(t, f, short).run()
	n.at(f, 1)
	n.proved()
	require.NoError(t, n.stop())
	f.cut()
	n.o.probation = 1 << 40
	n.run()
	n.up(f)
	f.with(func() { f.signer = second })
	f.put(trusting(t, 2, second))
	testkit.Eventually(t, patience, func() error {
		if len(f.told(2)) < 2 {
			return errors.New("the whole state has not come")
		}
		return nil
	})
	assert.ElementsMatch(t, []string{public(first), public(second)}, n.anchors())
	n.kv = n.kv.again(0)
	require.NoError(t, n.stop())
	n.o.Origins = []string{"http://127.0.0.1:1"}
	n.die()
	assert.Equal(t, at127(2), n.serves())
	n.die()
	assert.Equal(t, at127(1), n.serves())
	assert.ElementsMatch(t, []string{public(first), public(second)}, n.anchors())
}

// TestRatchetPerKey: what one key has signed does not bind the other, but what is in use does.
func TestRatchetPerKey(t *testing.T) {
	f := newFake(t)
	first, second := f.signer, newKey(t)
	f.change(trusting(t, 1, first, second))
	old := f.snapshot()
	n := newNode(t, f).run()
	n.at(f, 1)
	f.put(trusting(t, 2, first, second))
	n.at(f, 2)
	f.with(func() { f.signer = second })
	f.put(trusting(t, 3, first, second))
	n.at(f, 3)
	f.send(old...)
	assert.Contains(t, n.refused(f, 1).Message, "which is in use")
	require.NoError(t, n.stop())
	m, err := disk{n.kv}.loadMeta()
	require.NoError(t, err)
	at := func(key ed25519.PrivateKey) int64 {
		return m.Highest[wire.NameOf(key.Public().(ed25519.PublicKey)).String()].Rev
	}
	assert.Equal(t, []int64{2, 3}, []int64{at(first), at(second)})
}

// TestStateWithoutKeys: where a state names no keys, those of the enrolment count.
func TestStateWithoutKeys(t *testing.T) {
	f, n := follows(t)
	assert.Equal(t, []string{public(f.signer)}, n.anchors())
	n.at(f, f.put(trusting(t, 2, f.signer, newKey(t))))
	assert.Len(t, n.anchors(), 2)
	require.NoError(t, n.stop())
	assert.True(t, n.alone().boot())
}
