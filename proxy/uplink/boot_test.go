package uplink

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// short makes every revision prove itself at once.
func short(o *Options) { o.probation = time.Millisecond }

// full is a state with everything that a node fetches. The secret's value and the module tell the catalogs apart, too.
func full(f *fake, n int) []wire.Resource {
	return content{url: at127(n), module: f.module(fmt.Sprint("module ", n)), secret: f.secret(fmt.Sprint("secret ", n)),
		trust: []string{public(f.signer)}}.state(f.t)
}

// whole fails the test unless what is in use is all of one revision.
func (n *node) whole() {
	n.t.Helper()
	c := n.catalog()
	var i int
	_, err := fmt.Sscanf(n.serves(), "http://127.0.0.1:%d", &i)
	require.NoError(n.t, err)
	assert.Equal(n.t, fmt.Sprint("module ", i), string(c.Policies[0].Code()))
	value, err := n.Secret("origin:k")
	assert.NoError(n.t, err)
	assert.Equal(n.t, fmt.Sprint("secret ", i), value)
}

func TestBootWithoutAnything(t *testing.T) {
	n := newNode(t, newFake(t)).open()
	assert.False(t, n.boot())
	assert.Zero(t, n.Status().Rev)
}

// TestTamperedStore: whatever somebody changes in the store, the node uses nothing that was not signed; and with an origin
// it is whole again.
func TestTamperedStore(t *testing.T) {
	f := newFake(t)
	f.change(full(f, 1))
	n := newNode(t, f, short).run()
	n.at(f, 1)
	f.put(full(f, 2))
	n.at(f, 2)
	n.proved()
	require.NoError(t, n.stop())
	n.o.probation = time.Hour
	n.run()
	f.put(full(f, 3))
	n.at(f, 3)
	require.NoError(t, n.stop())
	keys := n.kv.keys()
	require.Greater(t, len(keys), 8, keys)
	for _, key := range keys {
		value := n.kv.values[key]
		step := max(1, len(value)/40)
		for i := 0; i < len(value); i += step {
			b := []byte(value)
			b[i] ^= 1 << (i % 7)
			n.tampered(key, string(b))
		}
		n.tampered(key, value[:len(value)/2])
		n.tampered(key, "")
		n.tampered(key, "\x00missing")
		other := n.another(key, value+"x")
		other.o.Origins = n.o.Origins
		before := len(f.told(3))
		other.run()
		testkit.Eventually(t, patience, func() error {
			if other.Status().Rev != 3 || other.Status().Link != "up" {
				return fmt.Errorf("%q: %+v", key, other.Status())
			}
			return nil
		})
		other.whole()
		require.NoError(t, other.stop())
		assert.LessOrEqual(t, before, len(f.told(3)))
	}
}

// TestForgedStore: what somebody else signed is not used, however well it fits together.
func TestForgedStore(t *testing.T) {
	f, n := follows(t, short)
	n.proved()
	require.NoError(t, n.stop())
	stranger := newKey(t)
	head := func(key ed25519.PrivateKey, state []wire.Resource) []byte { return signed(key, f.at, state)[5:] }
	for name, c := range map[string]struct{ base, last []byte }{
		"both":     {head(stranger, simple(t, 6)), head(stranger, nil)},
		"the base": {head(stranger, simple(t, 6)), head(f.signer, nil)},
		"the last": {head(f.signer, simple(t, 6)), head(stranger, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			other := n.alone()
			m, err := other.disk.loadMeta()
			require.NoError(t, err)
			require.NoError(t, other.disk.saveBase(7, c.base, simple(t, 6)))
			m.Used, m.Good = saved{7, c.last}, saved{7, c.last}
			require.NoError(t, other.disk.saveMeta(&m))
			ok, err := other.Boot(t.Context())
			assert.False(t, ok)
			assert.ErrorContains(t, err, "not trusted")
			assert.Nil(t, other.catalog())
		})
	}
}

// TestRefusedIsForgotten: what was refused is not what the next process begins with, though it was stored.
func TestRefusedIsForgotten(t *testing.T) {
	f, n := follows(t)
	n.with(func() { n.refuses = func(*wire.Catalog) error { return errors.New("no") } })
	f.put(simple(t, 2))
	n.refused(f, 2)
	require.NoError(t, n.stop())
	alone := n.alone()
	require.True(t, alone.boot())
	assert.Equal(t, at127(1), alone.serves())
}

// another is the node that finds another value in its store.
func (n *node) another(key, value string) *node {
	other := &node{t: n.t, o: n.o, kv: n.kv.again(0), stop: func() error { return nil }}
	if value == "\x00missing" {
		delete(other.kv.values, key)
	} else {
		other.kv.values[key] = value
	}
	other.o.Origins = []string{"http://127.0.0.1:1"}
	return other
}

// tampered starts the node with another value in its store, and without an origin.
func (n *node) tampered(key, value string) {
	n.t.Helper()
	other := n.another(key, value).open()
	ok, _ := other.Boot(n.t.Context())
	if !ok {
		require.Nil(n.t, other.catalog(), "%q", key)
		return
	}
	require.Contains(n.t, []string{at127(2), at127(3)}, other.serves(), "%q", key)
	other.whole()
}

// TestCrashes: the process dies after any single write. The next one has the old revision or the new one, whole, without
// asking anybody, and comes to the new one when it asks.
func TestCrashes(t *testing.T) {
	for name, change := range map[string]func(f *fake, n *node){
		"delta":  func(f *fake, _ *node) { f.put(full(f, 2)) },
		"deltas": func(f *fake, _ *node) { f.send(append(f.change(full(f, 7))[:1], f.change(full(f, 2))...)...) },
		"snapshot": func(f *fake, _ *node) {
			f.change(full(f, 2))
			f.send(f.snapshot()...)
		},
		"snapshot and delta": func(f *fake, n *node) {
			f.change(full(f, 7))
			frames := f.snapshot()
			f.send(append(frames, f.change(full(f, 2))...)...)
		},
		"delta with the whole state": func(f *fake, _ *node) {
			f.send(f.change(full(f, 2))[0], f.whole())
		},
		"fold": func(f *fake, _ *node) { f.send(f.whole()) },
		"key": func(f *fake, _ *node) {
			fresh := newKey(f.t)
			state := content{url: at127(2), module: f.module("module 2"), secret: f.secret("secret 2"),
				trust: []string{public(f.signer), public(fresh)}}.state(f.t)
			f.put(state)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for limit := 1; ; limit++ {
				if crash(t, change, limit) {
					assert.Greater(t, limit, 2, "there was nothing to interrupt")
					return
				}
			}
		})
	}
}

// crash ends a process after so many writes. It says that the process had nothing left to write.
func crash(t *testing.T, change func(*fake, *node), limit int) (survived bool) {
	f := newFake(t)
	defer f.stop()
	f.change(full(f, 1))
	n := newNode(t, f, short).run()
	n.at(f, 1)
	n.proved()
	require.NoError(t, n.stop())
	f.cut() // what follows is for the next process
	n.kv = n.kv.again(limit)
	n.run()
	n.up(f)
	acks := len(f.told(1))
	change(f, n)
	testkit.Eventually(t, patience, func() error {
		done := n.Status().Rev == f.at.Rev && !n.Status().Trial && len(f.told(f.at.Rev)) > 0 && (f.at.Rev > 1 || len(f.told(1)) > acks)
		if !done && !n.kv.dead() {
			return fmt.Errorf("%+v", n.Status())
		}
		return nil
	})
	if !n.kv.dead() {
		time.Sleep(5 * time.Millisecond) // for what is tidied up at the end
	}
	_ = n.stop()
	dead := n.kv.dead()
	alone := n.alone()
	require.True(t, alone.boot(), "after %d writes", limit)
	require.Contains(t, []string{at127(1), at127(2), at127(7)}, alone.serves())
	alone.whole()
	n.kv = n.kv.again(0)
	n.run()
	testkit.Eventually(t, patience, func() error {
		if n.Status().Rev != f.at.Rev {
			return fmt.Errorf("after %d writes: %+v", limit, n.Status())
		}
		return nil
	})
	n.proved()
	require.NoError(t, n.stop())
	alone = n.alone()
	require.True(t, alone.boot())
	alone.whole()
	return !dead
}

func TestProbation(t *testing.T) {
	f, n := follows(t, func(o *Options) { o.probation = 50 * time.Millisecond })
	assert.True(t, n.Status().Trial)
	n.proved()
	f.put(simple(t, 2))
	n.at(f, 2)
	assert.True(t, n.Status().Trial)
	f.put(simple(t, 3))
	n.at(f, 3)
	n.proved()
	require.NoError(t, n.stop())
	m, err := disk{n.kv}.loadMeta()
	require.NoError(t, err)
	assert.Equal(t, m.Used, m.Good)
	assert.False(t, m.Trial)
}

// die opens the node as after a process that died, and boots it.
func (n *node) die() {
	n.t.Helper()
	n.kv = n.kv.again(0)
	n.open()
	require.True(n.t, n.boot())
}

// TestCrashLoop: what the process died with twice is not tried again, the origin hears of it once, and the next revision is
// taken.
func TestCrashLoop(t *testing.T) {
	f, n := follows(t, short)
	n.proved()
	require.NoError(t, n.stop())
	n.o.probation = time.Hour
	n.run()
	f.put(simple(t, 2))
	n.at(f, 2)
	deadly := n.kv.again(0) // no end of a process is noted here
	require.NoError(t, n.stop())
	n.kv = deadly
	n.die()
	assert.Equal(t, at127(2), n.serves(), "once may be an accident")
	assert.True(t, n.Status().Trial)
	n.die()
	assert.Equal(t, at127(1), n.serves())
	assert.False(t, n.Status().Trial)
	require.NotNil(t, n.Status().Refused)
	assert.EqualValues(t, 1, n.Status().Lag)
	f.with(func() { f.acks = nil })
	n.follow()
	assert.Equal(t, wire.NackCrashLoop, n.refused(f, 2).Code)
	testkit.Eventually(t, patience, func() error {
		if len(f.told(2)) < 2 { // when it begins, and when the origin says it again
			return errors.New("the revision is not refused when it comes again")
		}
		return nil
	})
	assert.Equal(t, at127(1), n.serves())
	require.NoError(t, n.stop())
	n.run() // and not after a restart either
	n.refused(f, 2)
	f.put(simple(t, 3))
	n.at(f, 3)
	assert.Equal(t, at127(3), n.serves())
}

// TestCrashLoopThenBetween: a revision between the good one and the deadly one is not refused as an older one.
func TestCrashLoopThenBetween(t *testing.T) {
	f, n := follows(t, short)
	n.proved()
	require.NoError(t, n.stop())
	n.o.probation = time.Hour
	n.run()
	f.put(simple(t, 2))
	n.at(f, 2)
	between := [][]byte{frame(wire.FrameDelta, f.deltas[2]), f.head()}
	f.put(simple(t, 3))
	n.at(f, 3)
	n.kv = n.kv.again(0)
	require.NoError(t, n.stop())
	n.die()
	n.die()
	assert.Equal(t, at127(1), n.serves())
	f.with(func() { f.acks, f.opening = nil, func(wire.Position) [][]byte { return between } })
	n.follow()
	n.at(f, 2)
	assert.Equal(t, at127(2), n.serves())
}

// TestEndsWell: a process that is ended is no process that died.
func TestEndsWell(t *testing.T) {
	f, n := follows(t, short)
	n.proved()
	require.NoError(t, n.stop())
	n.o.probation = time.Hour
	n.run()
	f.put(simple(t, 2))
	n.at(f, 2)
	for range 4 {
		require.NoError(t, n.stop())
		n.run()
		assert.Equal(t, at127(2), n.serves())
	}
}

// TestCrashLoopOfTheOnlyOne: where there is nothing else, an origin is asked for another revision before it is tried again,
// and it is tried where none answers.
func TestCrashLoopOfTheOnlyOne(t *testing.T) {
	f, n := follows(t)
	n.kv = n.kv.again(0)
	require.NoError(t, n.stop())
	n.die()
	n.kv = n.kv.again(0)
	n.open()
	ok, err := n.Boot(t.Context())
	require.ErrorIs(t, err, errResort)
	require.False(t, ok)

	alone := n.alone()
	_, err = alone.Boot(t.Context())
	require.ErrorIs(t, err, errResort)
	alone.follow()
	testkit.Eventually(t, patience, func() error {
		if alone.Status().Rev != 1 {
			return errors.New("the only revision is not in use")
		}
		return nil
	})
	require.NoError(t, alone.stop())

	f.put(simple(t, 2)) // the origin has mended it
	served := len(n.used)
	n.follow()
	n.at(f, 2)
	for _, c := range n.used[served:] {
		assert.NotEqual(t, at127(1), c.Providers[0].BaseURL, "the revision that it died with is not tried first")
	}
}

// TestFallsBackToUnproved: a node that never had a revision for long goes back to the one before all the same.
func TestFallsBackToUnproved(t *testing.T) {
	f, n := follows(t)
	f.put(simple(t, 2))
	n.at(f, 2)
	n.kv = n.kv.again(0)
	require.NoError(t, n.stop())
	n.die()
	n.die()
	assert.Equal(t, at127(1), n.serves())
}

// TestFallsBackWithItsSecrets: what the good revision needs stays for as long as it may be needed.
func TestFallsBackWithItsSecrets(t *testing.T) {
	f := newFake(t)
	f.change(full(f, 1))
	n := newNode(t, f, short).run()
	n.at(f, 1)
	n.proved()
	require.NoError(t, n.stop())
	n.o.probation = time.Hour
	n.run()
	for i := 2; i < 5; i++ {
		f.put(full(f, i))
		n.at(f, int64(i))
		f.send(f.whole())
		testkit.Eventually(t, patience, func() error {
			if len(f.told(int64(i))) < 2 {
				return errors.New("no fold")
			}
			return nil
		})
	}
	n.kv = n.kv.again(0)
	require.NoError(t, n.stop())
	n.o.Origins = []string{"http://127.0.0.1:1"}
	n.die()
	n.whole()
	n.die()
	assert.Equal(t, at127(1), n.serves())
	n.whole()
}

// TestHistoryIsShort: folds leave one generation and no deltas, also while a revision is on probation.
func TestHistoryIsShort(t *testing.T) {
	f, n := follows(t, short)
	for i := 2; i < 6; i++ {
		f.put(simple(t, i))
		n.at(f, int64(i))
	}
	n.proved()
	f.send(f.whole())
	testkit.Eventually(t, patience, func() error {
		if len(f.told(5)) < 2 {
			return errors.New("no fold")
		}
		return nil
	})
	n.work.Lock()
	keys := n.kv.keys()
	n.work.Unlock()
	for _, key := range keys {
		assert.NotContains(t, key, "/d/")
	}
	assert.Len(t, keys, 3, "the state, its head and what is known of it: %q", keys)
	require.NoError(t, n.stop())
	assert.True(t, n.alone().boot())
}

// TestBootFallsBack: the one before is used where the last one cannot be.
func TestBootFallsBack(t *testing.T) {
	f, n := follows(t, short)
	n.proved()
	require.NoError(t, n.stop())
	n.o.probation = time.Hour
	n.run()
	f.put(simple(t, 2))
	n.at(f, 2)
	require.NoError(t, n.stop())
	alone := n.alone()
	alone.refuses = func(c *wire.Catalog) error {
		if c.Providers[0].BaseURL == at127(2) {
			return errors.New("no")
		}
		return nil
	}
	assert.True(t, alone.boot())
	assert.Equal(t, at127(1), alone.serves())
	alone.refuses = func(*wire.Catalog) error { return errors.New("not any") }
	alone.open()
	ok, err := alone.Boot(context.Background())
	assert.False(t, ok)
	assert.ErrorContains(t, err, "not any")
	assert.ErrorContains(t, err, "a whole one is asked for")
}

// TestStoreThatFails: a node that cannot keep a revision does not use it, and says so.
func TestStoreThatFails(t *testing.T) {
	f, n := follows(t, short)
	n.proved()
	n.kv.mu.Lock()
	n.kv.limit = n.kv.writes
	n.kv.mu.Unlock()
	f.put(simple(t, 2))
	nack := n.refused(f, 2)
	assert.Equal(t, wire.NackResource, nack.Code)
	assert.True(t, strings.HasPrefix(nack.Message, "cannot keep the revision in the node's store: "), nack.Message)
	assert.Equal(t, at127(1), n.serves())
}
