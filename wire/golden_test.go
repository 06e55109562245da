package wire

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// encodings are encodings of every format, the same at every run.
func encodings(t testing.TB) map[string][]byte {
	resources := []Resource{{KindModel, "m", []byte(`{"name":"m"}`)}, {KindVersion, "m@1.0.0", []byte(`{"targets":[{"model":"a","provider":"p"}],"version":"1.0.0"}`)}}
	payload := Payload{At: time.UnixMicro(1_800_000_000_123_456).UTC(), Audit: AuditDigest("somebody", "because"), Items: []Item{
		{Kind: KindModel, Name: "m", Digest: resources[0].Digest()}, {Kind: KindKey, Name: "k", Deleted: true}}}
	delta := Delta{Rev: 8, Payload: payload.Append(nil), Bodies: [][]byte{resources[0].Body}}
	whole := headOf(resources)
	next, _, err := delta.Follow(whole.Position)
	require.NoError(t, err)
	head := SignHead(signer, next, nil, time.UnixMilli(1_800_000_000_456))
	token := JoinToken{ID: "abc", Secret: "s3cret", Expires: time.Unix(1_800_000_000, 0).UTC(), CA: bytes.Repeat([]byte{7}, 32)}
	bundle := writeBundleOf(t, bundleResources(t))
	return map[string][]byte{
		"payload": delta.Payload, "delta": delta.Append(nil), "resource": AppendResource(nil, &resources[1]),
		"head": head.Append(nil), "head with state": whole.Append(nil), "frame": AppendFrame(nil, FramePing, []byte{0, 0, 1, 0xa3, 0x18, 0x5c, 0x50, 0}),
		"join token": []byte(token.String()), "public key": []byte(FormatPublicKey(signer.Public().(ed25519.PublicKey))), "bundle": bundle,
	}
}

// Formats are in the field: what was once written must be written and read the same for ever.
func TestFormatsDoNotDrift(t *testing.T) {
	got := encodings(t)
	var text strings.Builder
	for _, name := range []string{"payload", "delta", "resource", "head", "head with state", "frame", "join token", "public key", "bundle"} {
		_, _ = fmt.Fprintf(&text, "%s: %x\n", name, got[name])
	}
	testkit.Golden(t, "testdata/formats.golden", []byte(text.String()))
}

func TestWhatWasOnceWrittenIsRead(t *testing.T) {
	trust, stored := signedBy(signer), map[string][]byte{}
	lines := bufio.NewScanner(bytes.NewReader(readFile(t, "testdata/formats.golden")))
	for lines.Scan() {
		name, digits, _ := strings.Cut(lines.Text(), ": ")
		b, err := hex.DecodeString(digits)
		require.NoError(t, err)
		stored[name] = b
	}
	payload, err := ParsePayload(stored["payload"])
	require.NoError(t, err)
	assert.Equal(t, "2027-01-15T08:00:00.123456Z", payload.At.Format(time.RFC3339Nano))
	assert.Equal(t, AuditDigest("somebody", "because"), payload.Audit)
	assert.Equal(t, Item{Kind: KindKey, Name: "k", Deleted: true}, payload.Items[1])

	whole, err := ParseHead(stored["head with state"])
	require.NoError(t, err)
	require.NoError(t, trust.Verify(&whole))
	head, err := ParseHead(stored["head"])
	require.NoError(t, err)
	require.NoError(t, trust.Verify(&head))
	delta, err := ParseDelta(stored["delta"])
	require.NoError(t, err)
	next, edits, err := delta.Follow(whole.Position)
	require.NoError(t, err)
	assert.Equal(t, head.Position, next)
	assert.Equal(t, []Edit{{Resource{KindModel, "m", []byte(`{"name":"m"}`)}, false}, {Resource{KindKey, "k", nil}, true}}, edits)

	r, err := ParseResource(stored["resource"])
	require.NoError(t, err)
	assert.Equal(t, Resource{KindVersion, "m@1.0.0", []byte(`{"targets":[{"model":"a","provider":"p"}],"version":"1.0.0"}`)}, r)
	token, err := ParseJoinToken(string(stored["join token"]))
	require.NoError(t, err)
	assert.Equal(t, "s3cret", token.Secret)
	keys, err := TrustOf(string(stored["public key"]))
	require.NoError(t, err)
	assert.Equal(t, trust, keys)
	bundle, err := ReadBundle(bytes.NewReader(stored["bundle"]), trust)
	require.NoError(t, err)
	assert.Equal(t, bundleResources(t), bundle.Resources)
}
