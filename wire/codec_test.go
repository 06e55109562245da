package wire

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var digests = rapid.Custom(func(t *rapid.T) (d [sha256.Size]byte) {
	copy(d[:], rapid.SliceOfN(rapid.Byte(), len(d), len(d)).Draw(t, "digest"))
	return d
})

var payloads = rapid.Custom(func(t *rapid.T) *Payload {
	p := &Payload{At: time.UnixMicro(rapid.Int64().Draw(t, "at")).UTC(), Audit: digests.Draw(t, "audit")}
	for range rapid.IntRange(0, 5).Draw(t, "items") {
		item := Item{Kind: rapid.StringN(0, -1, 300).Draw(t, "kind"), Name: rapid.String().Draw(t, "name"), Deleted: rapid.Bool().Draw(t, "deleted")}
		if !item.Deleted {
			item.Digest = digests.Draw(t, "digest")
		}
		p.Items = append(p.Items, item)
	}
	return p
})

// checkCuts makes sure that no part of an encoding, nor more than it, is taken for the whole.
func checkCuts(t require.TestingT, encoded []byte, parse func([]byte) error) {
	require.NoError(t, parse(encoded))
	for n := range encoded {
		require.Error(t, parse(encoded[:n:n]), "the first %d bytes", n)
	}
	require.Error(t, parse(append(encoded[:len(encoded):len(encoded)], 0)))
}

func TestPayloadsHaveOneEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := payloads.Draw(t, "payload")
		encoded := p.Append([]byte("x"))[1:]
		got, err := ParsePayload(encoded)
		require.NoError(t, err)
		require.Equal(t, p, got)
		checkCuts(t, encoded, func(b []byte) error { _, err := ParsePayload(b); return err })
	})
	p := Payload{At: time.UnixMicro(1_234_567).UTC(), Audit: AuditDigest("a", "b"), Items: []Item{
		{Kind: "k", Name: "n", Digest: sha256.Sum256([]byte("x"))}, {Kind: "k", Name: "m", Deleted: true}}}
	encoded := p.Append(nil)
	assert.Equal(t, "ff01c7cf5a442ae2e8714ba0e2ca9d952ebbdf7b9cd718923d30e162d5267668",
		Chain{}.Next(1, encoded).String(), "as computed without this package")
	longer := bytes.Replace(encoded, []byte{2, 1, 'k', 1, 'n', 1}, []byte{0x82, 0, 1, 'k', 1, 'n', 1}, 1)
	require.Len(t, longer, len(encoded)+1)
	_, err := ParsePayload(longer)
	assert.Error(t, err)
	other := bytes.Replace(encoded, []byte{1, 'k', 1, 'm', 0}, []byte{1, 'k', 1, 'm', 2}, 1)
	_, err = ParsePayload(other)
	assert.Error(t, err)
}

func TestPayloadsThatAreTooLarge(t *testing.T) {
	p := Payload{Items: make([]Item, maxItems)}
	for i := range p.Items {
		p.Items[i].Deleted = true
	}
	_, err := ParsePayload(p.Append(nil))
	require.NoError(t, err)
	p.Items = append(p.Items, Item{Deleted: true})
	_, err = ParsePayload(p.Append(nil))
	assert.Error(t, err)

	d := Delta{Rev: 1, Bodies: make([][]byte, maxItems)}
	_, err = ParseDelta(d.Append(nil))
	require.NoError(t, err)
	d.Bodies = append(d.Bodies, nil)
	_, err = ParseDelta(d.Append(nil))
	assert.Error(t, err)
}

func TestAuditDigests(t *testing.T) {
	assert.NotEqual(t, AuditDigest("ab", "c"), AuditDigest("a", "bc"))
	assert.NotEqual(t, AuditDigest("", "a"), AuditDigest("a", ""))
}

func TestDeltas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resources := drawResources(t)
		at := Position{Epoch: 5, Rev: rapid.Int64Range(0, 1<<40).Draw(t, "rev"), Chain: digests.Draw(t, "chain")}
		d, want := deltaOf(at.Rev+1, resources)
		encoded := d.Append([]byte("x"))[1:]
		got, err := ParseDelta(encoded)
		require.NoError(t, err)
		require.Equal(t, encoded, got.Append(nil))

		next, edits, err := got.Follow(at)
		require.NoError(t, err)
		require.Equal(t, Position{Epoch: 5, Rev: at.Rev + 1, Chain: at.Chain.Next(at.Rev+1, d.Payload)}, next)
		require.Equal(t, want, edits)
		require.True(t, at.Before(next))
	})
	d := Delta{Rev: 1, Payload: []byte("p"), Bodies: [][]byte{[]byte("b")}}
	encoded := d.Append(nil)
	for _, n := range []int{0, 7, 8, 9, len(encoded) - 1} {
		_, err := ParseDelta(encoded[:n])
		assert.Error(t, err, n)
	}
	d.Rev = 0
	_, err := ParseDelta(d.Append(nil))
	assert.Error(t, err)
	_, err = ParseDelta([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0x80, 0})
	assert.Error(t, err, "a number has one encoding")
}

// deltaOf is the delta that puts resources, but deletes every third.
func deltaOf(rev int64, resources []Resource) (Delta, []Edit) {
	d, p, edits := Delta{Rev: rev}, Payload{}, []Edit(nil)
	for i, r := range resources {
		item := Item{Kind: r.Kind, Name: r.Name, Deleted: i%3 == 2}
		e := Edit{Resource{Kind: r.Kind, Name: r.Name}, item.Deleted}
		if !item.Deleted {
			item.Digest, e.Body = r.Digest(), r.Body
		}
		if p.Items = append(p.Items, item); !Shared(r.Kind) {
			continue
		}
		if edits = append(edits, e); !item.Deleted {
			d.Bodies = append(d.Bodies, r.Body)
		}
	}
	d.Payload = p.Append(nil)
	return d, edits
}

func TestDeltasThatDoNotFollow(t *testing.T) {
	at := Position{Epoch: 1, Rev: 4}
	refused := func(want string, edit func(d *Delta)) {
		t.Helper()
		d, _ := deltaOf(5, []Resource{{KindModel, "m", []byte(`{}`)}, {"unheard-of", "x", []byte(`{"a":1}`)}, {KindKey, "gone", nil}, {KindKey, "k", []byte(`{"b":1}`)}})
		_, _, err := d.Follow(at)
		require.NoError(t, err)
		edit(&d)
		got, edits, err := d.Follow(at)
		assert.EqualError(t, err, want)
		assert.Equal(t, at, got)
		assert.Nil(t, edits)
	}
	refused("revision 6 does not follow 4", func(d *Delta) { d.Rev = 6 })
	refused("revision 4 does not follow 4", func(d *Delta) { d.Rev = 4 })
	refused("revision 5: not the payload of a revision", func(d *Delta) { d.Payload = d.Payload[1:] })
	refused("revision 5: the body of the key k is missing", func(d *Delta) { d.Bodies = d.Bodies[:1] })
	refused("revision 5: there are more bodies than resources", func(d *Delta) { d.Bodies = append(d.Bodies, []byte(`{"a":1}`)) })
	refused("revision 5: the body of the model m is not the one that the chain covers", func(d *Delta) { d.Bodies[0], d.Bodies[1] = d.Bodies[1], d.Bodies[0] })
	refused("revision 5: the body of the key k is not the one that the chain covers", func(d *Delta) { d.Bodies[1] = []byte(`{"b":1} `) })
}

func TestHeads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := Position{rapid.Int64Min(0).Draw(t, "epoch"), rapid.Int64Min(0).Draw(t, "rev"), digests.Draw(t, "chain")}
		var state *StateDigest
		if rapid.Bool().Draw(t, "whole") {
			d := StateDigest(digests.Draw(t, "state"))
			state = &d
		}
		h := SignHead(signer, at, state, time.Unix(0, rapid.Int64().Draw(t, "now")))
		encoded := h.Append([]byte("x"))[1:]
		got, err := ParseHead(encoded)
		require.NoError(t, err)
		require.Equal(t, h, got)
		require.NoError(t, signedBy(signer).Verify(&got))
		checkCuts(t, encoded, func(b []byte) error { _, err := ParseHead(b); return err })
	})
}

func TestHeadsThatNobodySigned(t *testing.T) {
	h := headOf(nil)
	trust := signedBy(signer)
	require.NoError(t, trust.Verify(&h))
	encoded := h.Append(nil)
	for i := range encoded {
		tampered := bytes.Clone(encoded)
		tampered[i] ^= 1
		if got, err := ParseHead(tampered); err == nil {
			assert.Error(t, trust.Verify(&got), "byte %d", i)
		}
	}
	bare := h
	bare.State = nil
	assert.Equal(t, errSignature, trust.Verify(&bare), "what it says of a state cannot be taken away")

	_, other, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	assert.EqualError(t, signedBy(other).Verify(&h), "the head is signed with the key "+h.Key.String()+", which is not trusted")
	forged := SignHead(other, h.Position, h.State, h.IssuedAt)
	forged.Key = h.Key
	assert.Equal(t, errSignature, trust.Verify(&forged))
	assert.Error(t, Trust(nil).Verify(&h))

	negative := SignHead(signer, Position{Epoch: -1}, nil, time.Now())
	_, err = ParseHead(negative.Append(nil))
	assert.Error(t, err)
}

func TestPositions(t *testing.T) {
	a := Position{Epoch: 1, Rev: 9}
	assert.Equal(t, "1/9", a.String())
	assert.True(t, a.Before(Position{Epoch: 2}) && a.Before(Position{Epoch: 1, Rev: 10}))
	assert.False(t, a.Before(a) || a.Before(Position{Epoch: 1, Rev: 8}) || a.Before(Position{Rev: 10}))
}

func TestPublicKeys(t *testing.T) {
	public := signer.Public().(ed25519.PublicKey)
	text := FormatPublicKey(public)
	trust, err := TrustOf(text, " "+text+"\n")
	require.NoError(t, err)
	assert.Equal(t, signedBy(signer), trust)
	for _, bad := range []string{"", text[8:], text + "A", text[:len(text)-1], "ed25519:", strings.Replace(text, ":", ";", 1), text[:len(text)-1] + "_"} {
		_, err := TrustOf(bad)
		assert.ErrorContains(t, err, "is not a public key", bad)
	}
}

func TestDigestState(t *testing.T) {
	a, b := Resource{KindKey, "a", []byte("{}")}, Resource{KindKey, "b", []byte("{}")}
	whole := DigestState([]Resource{a, b})
	assert.Equal(t, whole, DigestState([]Resource{a, {"unheard-of", "x", nil}, b}), "nodes do not see it")
	for name, other := range map[string][]Resource{
		"another order": {b, a}, "one less": {a}, "none": nil, "another body": {a, {KindKey, "b", []byte("{} ")}},
		"another name": {a, {KindKey, "c", b.Body}}, "another kind": {a, {KindModel, "b", b.Body}},
	} {
		assert.NotEqual(t, whole, DigestState(other), name)
	}
}

func TestFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		bodies := rapid.SliceOfN(rapid.SliceOf(rapid.Byte()), 0, 5).Draw(t, "bodies")
		for i, body := range bodies {
			stream = AppendFrame(stream, FrameType('A'+i), body)
		}
		r, buf := iotest.HalfReader(bytes.NewReader(stream)), []byte(nil)
		for i, want := range bodies {
			kind, body, err := ReadFrame(r, buf)
			require.NoError(t, err)
			require.Equal(t, FrameType('A'+i), kind)
			require.True(t, bytes.Equal(want, body))
			buf = body
		}
		_, _, err := ReadFrame(r, buf)
		require.Equal(t, io.EOF, err)
	})
	whole := AppendFrame(nil, FramePing, []byte("12345678"))
	for n := 1; n < len(whole); n++ {
		_, _, err := ReadFrame(bytes.NewReader(whole[:n]), nil)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, n)
	}
	_, _, err := ReadFrame(bytes.NewReader([]byte{0, 0xa0, 0, 1, 'P'}), nil)
	assert.EqualError(t, err, "a frame of 10485761 bytes is larger than the 10485760 that are read")
	broken := errors.New("broken")
	_, _, err = ReadFrame(iotest.ErrReader(broken), nil)
	assert.ErrorIs(t, err, broken)
}

func TestResourcesOnTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Resource{rapid.String().Draw(t, "kind"), rapid.StringN(0, -1, 300).Draw(t, "name"), rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body")}
		encoded := AppendResource([]byte("x"), &want)[1:]
		got, err := ParseResource(encoded)
		require.NoError(t, err)
		require.Equal(t, encoded, AppendResource(nil, &got))
		require.Equal(t, want.Digest(), got.Digest())
		checkCuts(t, encoded, func(b []byte) error { _, err := ParseResource(b); return err })
	})
	for _, bad := range []string{"818000", "ffffffffffffffffff01", "ffffffffffffffffffff01", "80000000"} {
		b, err := hex.DecodeString(bad)
		require.NoError(t, err)
		_, err = ParseResource(b)
		assert.Error(t, err, bad)
	}
}

func TestDecodeStrict(t *testing.T) {
	var a Ack
	require.NoError(t, DecodeStrict([]byte(` {"session":"s","rev":1} `), &a))
	assert.Equal(t, Ack{Session: "s", Rev: 1}, a)
	for _, bad := range []string{``, `{"session":"s","extra":1}`, `{"session":1}`, `{} {}`, `{}]`, `{"nack":{"x":1}}`} {
		assert.Error(t, DecodeStrict([]byte(bad), &a), bad)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"500ms": 500 * time.Millisecond, "30d": 720 * time.Hour, "1h30m": 90 * time.Minute} {
		var d Duration
		require.NoError(t, d.UnmarshalText([]byte(text)))
		assert.Equal(t, want, time.Duration(d))
		written, err := d.MarshalText()
		require.NoError(t, err)
		var again Duration
		require.NoError(t, again.UnmarshalText(written))
		assert.Equal(t, d, again)
	}
	var d Duration
	assert.EqualError(t, d.UnmarshalText([]byte("soon")), `"soon" is not a time span; want one such as 500ms, 1h or 30d`)
}
