package uplink

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// bundle is what the origin has as a file.
func (f *fake) bundle() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b bytes.Buffer
	state := wire.DigestState(f.state)
	err := wire.WriteBundle(&b, wire.SignHead(f.signer, f.at, &state, time.Now()), f.state, func(digest string) (io.Reader, int64, error) {
		return bytes.NewReader(f.blobs[digest]), int64(len(f.blobs[digest])), nil
	})
	require.NoError(f.t, err)
	return b.Bytes()
}

func (f *fake) keys() wire.Trust {
	trust, err := wire.TrustOf(public(f.signer))
	require.NoError(f.t, err)
	return trust
}

// TestImport: a node that never saw an origin serves a bundle, and finds its origin later.
func TestImport(t *testing.T) {
	f := newFake(t)
	f.change(content{url: at127(1), module: f.module("module 1"), trust: f.trust}.state(t))
	n := newNode(t, f)
	token := n.o.Join
	at, err := Import(n.kv, n.o.Dir, bytes.NewReader(f.bundle()), f.keys())
	require.NoError(t, err)
	assert.Equal(t, f.at, at)
	n.o.Join = ""
	n.open()
	require.True(t, n.boot())
	assert.Equal(t, at127(1), n.serves())
	assert.Equal(t, "module 1", string(n.catalog().Policies[0].Code()))
	assert.False(t, n.Status().Trial)
	n.follow()
	assert.Eventually(t, func() bool { return strings.Contains(n.Status().Error, "this node has not enrolled") }, patience, time.Millisecond)
	require.NoError(t, n.stop(), "it has something to serve")
	n.o.Join = token
	n.run()
	assert.Equal(t, at127(1), n.serves())
	f.put(full(f, 2))
	n.at(f, 2)
	n.whole()
	assert.Equal(t, f.past[1], f.wants()[0].at, "it goes on from the bundle")
}

func TestImportRefuses(t *testing.T) {
	f := newFake(t)
	f.change(simple(t, 1))
	old := f.bundle()
	n := newNode(t, f).run()
	n.at(f, 1)
	f.put(simple(t, 2))
	n.at(f, 2)
	require.NoError(t, n.stop())
	before := n.kv.again(0).values
	_, err := Import(n.kv, n.o.Dir, bytes.NewReader(old), f.keys())
	assert.ErrorContains(t, err, "cannot take the bundle: revision 100/1 is older than 100/2")
	stranger, err := wire.TrustOf(public(newKey(t)))
	require.NoError(t, err)
	_, err = Import(n.kv, n.o.Dir, bytes.NewReader(f.bundle()), stranger)
	assert.ErrorContains(t, err, "not trusted")
	_, err = Import(n.kv, n.o.Dir, strings.NewReader("nonsense"), f.keys())
	assert.Error(t, err)
	assert.Equal(t, before, n.kv.values)
	assert.Equal(t, []string{public(f.signer)}, n.anchors())
}

// TestImportTakesPart: the bundle takes the place of what a node has, with all that it knows of positions.
func TestImportTakesPlace(t *testing.T) {
	f := newFake(t)
	f.change(trusting(t, 1, f.signer))
	n := newNode(t, f).run()
	n.at(f, 1)
	require.NoError(t, n.stop())
	first := f.signer
	f.with(func() { f.signer = newKey(t) })
	f.change(trusting(t, 2, f.signer))
	_, err := Import(n.kv, n.o.Dir, bytes.NewReader(f.bundle()), f.keys())
	require.NoError(t, err)
	alone := n.alone()
	require.True(t, alone.boot())
	assert.Equal(t, at127(2), alone.serves())
	assert.Equal(t, []string{public(f.signer)}, alone.anchors())
	m, err := disk{n.kv}.loadMeta()
	require.NoError(t, err)
	assert.Len(t, m.Highest, 2, "what the key before had signed is not forgotten")
	assert.NotEqual(t, first, f.signer)
}

// TestImportCrashes: the process dies after any single write: the node has what it had, or the bundle.
func TestImportCrashes(t *testing.T) {
	f := newFake(t)
	f.change(content{url: at127(1), trust: f.trust}.state(t))
	n := newNode(t, f, short).run()
	n.at(f, 1)
	n.proved()
	require.NoError(t, n.stop())
	f.change(content{url: at127(2), module: f.module("module 2"), trust: f.trust}.state(t))
	for limit := 1; ; limit++ {
		kv := n.kv.again(limit)
		_, err := Import(kv, n.o.Dir, bytes.NewReader(f.bundle()), f.keys())
		other := &node{t: t, o: n.o, kv: kv}
		alone := other.alone()
		require.True(t, alone.boot())
		if err == nil {
			assert.Equal(t, at127(2), alone.serves())
			assert.Greater(t, limit, 3)
			return
		}
		assert.Equal(t, at127(1), alone.serves())
	}
}
