package uplink

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// follows is a node that has taken revision 1.
func follows(t *testing.T, change ...func(*Options)) (*fake, *node) {
	f := newFake(t)
	f.change(simple(t, 1))
	n := newNode(t, f, change...).run()
	n.at(f, 1)
	return f, n
}

func TestTakesWhatTheOriginHas(t *testing.T) {
	f, n := follows(t)
	assert.Equal(t, at127(1), n.serves())
	assert.Equal(t, []asked{{}}, f.wants(), "a node that has nothing asks for all")
	f.put(simple(t, 2))
	n.at(f, 2)
	assert.Equal(t, at127(2), n.serves())
	ack := f.told(2)[0]
	assert.Equal(t, n.catalog().Digest(), ack.Digest)
	f.send(f.whole())
	testkit.Eventually(t, patience, func() error {
		if len(f.told(2)) < 2 {
			return errors.New("the head that covers the state is not answered")
		}
		return nil
	})
	assert.Equal(t, ack.Digest, f.told(2)[1].Digest)
	st := n.Status()
	assert.Equal(t, []any{"up", "n1", f.server.URL, int64(100), int64(2), true}, []any{st.Link, st.Node, st.Origin, st.Epoch, st.Rev, st.Trial})
	assert.Nil(t, st.Refused)
}

func TestGoesOnWhereItStood(t *testing.T) {
	f, n := follows(t)
	f.put(simple(t, 2))
	n.at(f, 2)
	require.NoError(t, n.stop())
	f.change(simple(t, 3))
	n.run()
	assert.Equal(t, at127(2), n.all()[0].Providers[0].BaseURL, "before the network was tried")
	n.at(f, 3)
	wants := f.wants()
	assert.Equal(t, f.past[2], wants[len(wants)-1].at)
	assert.Equal(t, at127(3), n.serves())
}

// TestRefuses: whatever an origin says, the last good revision stays, the origin hears why, and the next good one is
// taken: as a delta on top of what was refused where that can be, or else as a whole state.
func TestRefuses(t *testing.T) {
	stranger := newKey(t)
	broken := errors.New("it does not compile")
	for name, c := range map[string]struct {
		code, resource, message string
		rev                     int64 // that the refusal names; 0: 2
		poison                  func(f *fake, n *node)
	}{
		"a stranger's signature": {wire.NackSignature, "", "not trusted", 0, func(f *fake, _ *node) {
			frames := f.change(simple(t, 2))
			f.send(frames[0], signed(stranger, f.at, nil))
		}},
		"a stranger's snapshot": {wire.NackSignature, "", "not trusted", 7, func(f *fake, _ *node) {
			f.send(stated(simple(t, 7), wire.Position{Epoch: 100, Rev: 7}, stranger)...)
			f.change(simple(t, 2))
			f.cut()
		}},
		"a signature of something else": {wire.NackSignature, "", "signature is not valid", 0, func(f *fake, _ *node) {
			frames := f.change(simple(t, 2))
			head := wire.SignHead(f.signer, f.at, nil, f.authority.cert.NotBefore)
			head.Chain = wire.Chain{1}
			f.send(frames[0], frame(wire.FrameHead, head.Append(nil)))
		}},
		"a body that is not covered": {wire.NackChain, "", "not the one that the chain covers", 0, func(f *fake, _ *node) {
			f.change(simple(t, 2))
			d, err := wire.ParseDelta(f.deltas[2])
			require.NoError(t, err)
			d.Bodies[0] = simple(t, 9)[0].Body
			f.send(frame(wire.FrameDelta, d.Append(nil)), f.head())
		}},
		"a delta that does not follow": {wire.NackChain, "", "does not follow", 3, func(f *fake, _ *node) {
			f.change(simple(t, 2))
			f.send(f.change(simple(t, 3))...)
		}},
		"no delta at all": {wire.NackChain, "", "", 0, func(f *fake, _ *node) {
			f.change(simple(t, 2))
			f.send(frame(wire.FrameDelta, []byte("nonsense")))
		}},
		"a head without its deltas": {wire.NackChain, "", "does not lead to the head", 0, func(f *fake, _ *node) {
			f.change(simple(t, 2))
			f.send(f.head())
		}},
		"a snapshot that is not whole": {wire.NackChain, "", "not those that the head covers", 0, func(f *fake, _ *node) {
			f.change(simple(t, 2))
			frames := f.snapshot()
			f.send(append(frames[:1], frames[2:]...)...)
		}},
		"a snapshot whose head covers nothing": {wire.NackChain, "", "does not cover", 0, func(f *fake, _ *node) {
			f.change(simple(t, 2))
			frames := f.snapshot()
			f.send(append(frames[:len(frames)-1], f.head())...)
		}},
		"a state that is another": {wire.NackChain, "", "not the origin's", 1, func(f *fake, _ *node) {
			f.send(signed(f.signer, f.at, simple(t, 5)))
			f.change(simple(t, 2))
		}},
		"an unknown field": {wire.NackSchema, "", "warp", 0, func(f *fake, _ *node) {
			state := simple(t, 2)
			for i := range state {
				if state[i].Kind == wire.KindModel {
					state[i].Body = []byte(`{"name":"m","warp":9}`)
				}
			}
			f.put(state)
		}},
		"a kind that has no meaning": {wire.NackSchema, "", "nobody", 0, func(f *fake, _ *node) {
			f.put(append(simple(t, 2), resource(t, wire.KindRelease, "nobody", wire.Release{Model: "nobody", Candidate: "1.0.0"})))
		}},
		"what does not compile": {wire.NackCompile, "", "compile", 0, func(f *fake, n *node) {
			n.with(func() {
				n.refuses = func(c *wire.Catalog) error {
					if c.Providers[0].BaseURL == at127(2) {
						return broken
					}
					return nil
				}
			})
			f.put(simple(t, 2))
		}},
		"a snapshot that does not compile": {wire.NackCompile, "", "compile", 0, func(f *fake, n *node) {
			n.with(func() {
				n.refuses = func(c *wire.Catalog) error {
					if c.Providers[0].BaseURL == at127(2) {
						return broken
					}
					return nil
				}
			})
			f.change(simple(t, 2))
			f.send(f.snapshot()...)
		}},
		"a module that nobody has": {wire.NackResource, "policy/pol", "no such blob", 0, func(f *fake, _ *node) {
			f.put(content{url: at127(2), module: "gone"}.state(t))
		}},
		"a module that is another": {wire.NackResource, "policy/pol", "something else", 0, func(f *fake, _ *node) {
			f.with(func() { f.blobs[digest("right")] = []byte("wrong") })
			f.put(content{url: at127(2), module: "right"}.state(t))
		}},
		"a module that is too large": {wire.NackLimit, "policy/pol", "more than", 0, func(f *fake, _ *node) {
			f.put(content{url: at127(2), module: f.module(strings.Repeat("x", maxBlob+1))}.state(t))
		}},
		"a module that cannot be fetched": {wire.NackResource, "", "overslept", 0, func(f *fake, _ *node) {
			f.with(func() { f.answer[wire.PathBlob] = refuseWith(503, "busy", "overslept") })
			f.put(content{url: at127(2), module: "x"}.state(t))
		}},
		"a secret that is another": {wire.NackResource, "secret/k", "not the one that the bundle names", 0, func(f *fake, _ *node) {
			f.secret("one")
			record := f.secret("two")
			f.secret("three")
			f.put(content{url: at127(2), secret: record}.state(t))
		}},
		"a secret that is not there": {wire.NackResource, "", "which the origin does not have", 0, func(f *fake, _ *node) {
			state := content{url: at127(2), secret: f.secret("one")}.state(t)
			for i := range state {
				if state[i].Kind == wire.KindSecret {
					state = append(state[:i:i], state[i+1:]...)
					break
				}
			}
			f.put(state)
		}},
		"a secret of the machine's": {wire.NackResource, "provider/p", "${HOME}", 0, func(f *fake, _ *node) {
			f.put(content{url: at127(2), header: "${HOME}"}.state(t))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f, n := follows(t)
			c.poison(f, n)
			rev := c.rev
			if rev == 0 {
				rev = 2
			}
			nack := n.refused(f, rev)
			assert.Equal(t, c.code, nack.Code, nack.Message)
			assert.Equal(t, c.resource, nack.Resource)
			assert.Contains(t, nack.Message, c.message)
			f.put(content{url: at127(99), header: "${ALLOWED}"}.state(t))
			n.at(f, f.at.Rev)
			assert.Equal(t, at127(99), n.serves())
			for _, c := range n.all() {
				assert.NotEqual(t, at127(7), c.Providers[0].BaseURL, "what nobody signed")
			}
			assert.Nil(t, n.Status().Refused)
			require.NoError(t, n.stop())
			assert.True(t, n.alone().boot())
		})
	}
}

func (n *node) with(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

// TestRefusedSnapshots: what a refused state left in the store does not spoil the next one, however large each was.
func TestRefusedSnapshots(t *testing.T) {
	f, n := follows(t)
	n.with(func() {
		n.refuses = func(c *wire.Catalog) error {
			if c.Providers[0].BaseURL != at127(9) {
				return errors.New("not this one")
			}
			return nil
		}
	})
	large := content{url: at127(2)}
	for i := range 3000 {
		large.more += map[bool]string{true: "keys: [", false: ", "}[i == 0] +
			fmt.Sprintf(`{name: key%d, id: wk_%012d, hash: "sha256:%064x", models: ["*"]}`, i, i, i)
	}
	large.more += "]\n"
	f.change(large.state(t))
	f.send(f.snapshot()...)
	n.refused(f, 2)
	f.put(content{url: at127(3), more: large.more}.state(t)) // a delta on top of it
	n.refused(f, 3)
	f.change(simple(t, 9))
	f.send(f.snapshot()...)
	n.at(f, 4)
	require.NoError(t, n.stop())
	alone := n.alone()
	assert.True(t, alone.boot())
	assert.Equal(t, at127(9), alone.serves())
}

func TestOldHeads(t *testing.T) {
	f, n := follows(t)
	first := f.snapshot()
	f.put(simple(t, 2))
	n.at(f, 2)
	f.send(first...)
	assert.Equal(t, wire.NackSignature, n.refused(f, 1).Code)
	f.send(stated(simple(t, 3), wire.Position{Epoch: 99, Rev: 50}, f.signer)...)
	assert.Contains(t, n.refused(f, 50).Message, "older")
	assert.Equal(t, at127(2), n.serves())

	f.restore(101, simple(t, 4)) // the same number in a later epoch
	testkit.Eventually(t, patience, func() error {
		if n.Status().Epoch != 101 {
			return errors.New("the new epoch is not in use")
		}
		return nil
	})
	assert.Equal(t, at127(4), n.serves())
	before := f.at
	f.put(simple(t, 5))
	n.at(f, before.Rev+1)
	f.send(stated(simple(t, 6), wire.Position{Epoch: 100, Rev: 500}, f.signer)...)
	assert.Contains(t, n.refused(f, 500).Message, "older")
	assert.Equal(t, at127(5), n.serves())
}

// TestRatchetOutlivesTheState: a node that has lost its revisions still knows how far it was, for each key.
func TestRatchetOutlivesTheState(t *testing.T) {
	f, n := follows(t)
	first := f.snapshot()
	f.put(simple(t, 2))
	n.at(f, 2)
	require.NoError(t, n.stop())
	for _, key := range n.kv.keys() {
		if strings.HasPrefix(key, prefix+"g/") {
			require.NoError(t, n.kv.Delete([]byte(key)))
		}
	}
	f.with(func() { f.opening = func(wire.Position) [][]byte { return first } })
	n.run()
	assert.Contains(t, n.refused(f, 1).Message, "older than 100/2, which the node has had")
	assert.Nil(t, n.catalog())
	f.with(func() { f.opening = nil })
	f.cut()
	n.at(f, 2)
	assert.Equal(t, at127(2), n.serves())
}

func TestFramesThatAreNotUnderstood(t *testing.T) {
	for name, frames := range map[string][][]byte{
		"an unknown type":                   {frame('Z', []byte("?"))},
		"a resource without a snapshot":     {frame(wire.FrameResource, []byte{})},
		"a resource that is none":           {frame(wire.FrameSnapshot, []byte(`{}`)), frame(wire.FrameResource, []byte{0xff})},
		"a resource that comes twice":       {frame(wire.FrameSnapshot, []byte(`{}`)), frame(wire.FrameResource, []byte{1, 'a', 1, 'b', 0}), frame(wire.FrameResource, []byte{1, 'a', 1, 'b', 0})},
		"a delta in a snapshot":             {frame(wire.FrameSnapshot, []byte(`{}`)), frame(wire.FrameDelta, []byte{})},
		"a snapshot that is not understood": {frame(wire.FrameSnapshot, []byte(`{"a":1}`))},
		"a head that is none":               {frame(wire.FrameHead, []byte("head"))},
		"a ping that is none":               {frame(wire.FramePing, []byte("ping"))},
		"a wish that is not understood":     {frame(wire.FrameControl, []byte(`{"jump":true}`))},
		"a frame that is too long":          {{0xff, 0xff, 0xff, 0xff, 'D'}},
		"half a frame":                      {frame(wire.FrameDelta, make([]byte, 100))[:50]},
	} {
		t.Run(name, func(t *testing.T) {
			f, n := follows(t)
			streams := len(f.wants())
			f.send(frames...)
			if name == "half a frame" {
				f.cut()
			}
			testkit.Eventually(t, patience, func() error {
				if len(f.wants()) == streams {
					return errors.New("the node goes on as if nothing had happened")
				}
				return nil
			})
			n.up(f)
			rev := f.put(simple(t, 2))
			n.at(f, rev)
		})
	}
}

// TestFrameBoundaries: a frame is a frame however it is cut into packets.
func TestFrameBoundaries(t *testing.T) {
	f, n := follows(t)
	var all []byte
	for i := 2; i < 6; i++ {
		for _, frame := range f.change(simple(t, i)) {
			all = append(all, frame...)
		}
	}
	for len(all) > 0 {
		k := min(len(all), 7)
		f.send(all[:k])
		all = all[k:]
	}
	n.at(f, 5)
	for rev := int64(2); rev <= 5; rev++ {
		assert.Len(t, f.told(rev), 1)
	}
}

// TestTooMuchAtOnce: a node does not hold more than it may before a head covers it.
func TestTooMuchAtOnce(t *testing.T) {
	f, n := follows(t)
	start, err := json.Marshal(wire.SnapshotStart{Epoch: 100, Rev: 8})
	require.NoError(t, err)
	f.send(frame(wire.FrameSnapshot, start))
	body := make([]byte, 9<<20)
	for i := range 8 {
		f.send(frame(wire.FrameResource, wire.AppendResource(nil, &wire.Resource{Kind: "x", Name: fmt.Sprint(i), Body: body})))
	}
	nack := n.refused(f, 8)
	assert.Equal(t, wire.NackLimit, nack.Code)
	testkit.Eventually(t, patience, func() error {
		if len(f.wants()) < 2 {
			return errors.New("it takes what follows")
		}
		return nil
	})
	n.up(f)
	n.at(f, f.put(simple(t, 2)))
}

// TestTooManyDeltas: where too much came since the last good revision, the node asks for a whole state in its place.
func TestTooManyDeltas(t *testing.T) {
	f, n := follows(t)
	n.with(func() {
		n.refuses = func(c *wire.Catalog) error {
			if c.Providers[0].BaseURL != at127(9) {
				return errors.New("not this one")
			}
			return nil
		}
	})
	n.work.Lock()
	n.staging.bytes = maxStaged - 100 // as if much had been refused
	n.work.Unlock()
	f.put(simple(t, 9))
	n.at(f, 2)
	assert.Equal(t, 2, f.snapshots())
}

// TestAnewIsNotForgotten: a whole state that could not be had is asked for again.
func TestAnewIsNotForgotten(t *testing.T) {
	f, n := follows(t)
	busy := 3
	f.with(func() {
		f.answer[wire.PathStream] = func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			busy--
			if busy == 0 {
				delete(f.answer, wire.PathStream)
			}
			f.mu.Unlock()
			assert.Equal(t, "0", r.URL.Query().Get("epoch"))
			refuseWith(503, "busy", "too many")(w, r)
		}
	})
	f.send(signed(f.signer, f.at, simple(t, 5)))
	n.refused(f, 1)
	testkit.Eventually(t, patience, func() error {
		if wants := f.wants(); len(wants) < 2 {
			return errors.New("it does not come again")
		}
		return nil
	})
	assert.Equal(t, asked{}, f.wants()[1])
}
