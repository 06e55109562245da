package wire

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Position is where in the origin's history a reader stands. The zero Position is the beginning of none.
type Position struct {
	Epoch int64
	Rev   int64
	Chain Chain
}

// Before says that the position is older than another: of an earlier epoch, or of the same and an earlier revision.
func (p Position) Before(other Position) bool {
	if p.Epoch != other.Epoch {
		return p.Epoch < other.Epoch
	}
	return p.Rev < other.Rev
}

// String is EPOCH/REV.
func (p Position) String() string { return fmt.Sprintf("%d/%d", p.Epoch, p.Rev) }

// StateDigest stands for all shared resources at a revision: see DigestState.
type StateDigest [sha256.Size]byte

// DigestState is the digest of a set of sorted resources: of each one that is Shared, its kind, its name and its body's
// digest. It is what makes a snapshot verifiable without its history.
func DigestState(sorted []Resource) StateDigest {
	h := sha256.New()
	b := []byte("wedge state 1\n")
	for i := range sorted {
		if r := &sorted[i]; Shared(r.Kind) {
			digest := r.Digest()
			b = append(appendText(appendText(b, r.Kind), r.Name), digest[:]...)
			_, _ = h.Write(b)
			b = b[:0]
		}
	}
	_, _ = h.Write(b)
	return StateDigest(h.Sum(nil))
}

// SignedHead says, in the origin's name, that its history stands at a position. With a State it says as well what
// there is at that position.
type SignedHead struct {
	Position
	IssuedAt  time.Time    // in whole milliseconds; when it was signed
	State     *StateDigest // nil where only the position is told
	Key       KeyName      // who signed
	Signature [ed25519.SignatureSize]byte
}

// KeyName tells one signing key from another: the first 8 bytes of the SHA-256 of the public key.
type KeyName [8]byte

// String is the name in hexadecimal digits.
func (k KeyName) String() string { return hex.EncodeToString(k[:]) }

// NameOf is the name of a public key.
func NameOf(key ed25519.PublicKey) (name KeyName) {
	sum := sha256.Sum256(key)
	copy(name[:], sum[:])
	return name
}

// signedText is what the signature covers.
func (h *SignedHead) signedText() []byte {
	b := make([]byte, 0, 128)
	b = append(b, "wedge head 1\n"...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Rev))
	b = append(b, h.Chain[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.IssuedAt.UnixMilli()))
	if h.State == nil {
		return append(b, 0)
	}
	return append(append(b, 1), h.State[:]...)
}

// SignHead signs a position, and what there is at it if state is not nil.
func SignHead(key ed25519.PrivateKey, at Position, state *StateDigest, now time.Time) SignedHead {
	h := SignedHead{Position: at, IssuedAt: time.UnixMilli(now.UnixMilli()).UTC(), State: state}
	h.Key = NameOf(key.Public().(ed25519.PublicKey))
	copy(h.Signature[:], ed25519.Sign(key, h.signedText()))
	return h
}

// Trust is the keys whose heads a node believes, by name.
type Trust map[KeyName]ed25519.PublicKey

var errSignature = errors.New("the head's signature is not valid")

// Verify tells whether a key that is trusted signed the head.
func (t Trust) Verify(h *SignedHead) error {
	key, ok := t[h.Key]
	if !ok {
		return fmt.Errorf("the head is signed with the key %s, which is not trusted", h.Key)
	}
	if !ed25519.Verify(key, h.signedText(), h.Signature[:]) {
		return errSignature
	}
	return nil
}

const publicKeyPrefix = "ed25519:"

// FormatPublicKey is a public key as people pass it on: ed25519: and base64url.
func FormatPublicKey(key ed25519.PublicKey) string {
	return publicKeyPrefix + base64.RawURLEncoding.EncodeToString(key)
}

// ParsePublicKey reads what FormatPublicKey wrote.
func ParsePublicKey(s string) (ed25519.PublicKey, error) {
	digits, ok := strings.CutPrefix(strings.TrimSpace(s), publicKeyPrefix)
	key, err := base64.RawURLEncoding.Strict().DecodeString(digits)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%s is not a public key; want ed25519: and 43 characters", show(s))
	}
	return key, nil
}

// TrustOf reads public keys.
func TrustOf(keys ...string) (Trust, error) {
	t := Trust{}
	for _, s := range keys {
		key, err := ParsePublicKey(s)
		if err != nil {
			return nil, err
		}
		t[NameOf(key)] = key
	}
	return t, nil
}

// Append appends the head's encoding, of fixed length but for the state.
func (h *SignedHead) Append(dst []byte) []byte {
	text := h.signedText()
	dst = append(dst, text[len("wedge head 1\n"):]...)
	dst = append(dst, h.Key[:]...)
	return append(dst, h.Signature[:]...)
}

// ParseHead reads what Append wrote, and nothing else. Whether the signature is any good, Trust.Verify tells.
func ParseHead(b []byte) (SignedHead, error) {
	r := payloadReader{rest: b}
	h := SignedHead{}
	h.Epoch = int64(binary.BigEndian.Uint64(r.take(8)))
	h.Rev = int64(binary.BigEndian.Uint64(r.take(8)))
	copy(h.Chain[:], r.take(len(h.Chain)))
	h.IssuedAt = time.UnixMilli(int64(binary.BigEndian.Uint64(r.take(8)))).UTC()
	switch r.take(1)[0] {
	case 0:
	case 1:
		h.State = new(StateDigest)
		copy(h.State[:], r.take(len(h.State)))
	default:
		r.failed = true
	}
	copy(h.Key[:], r.take(len(h.Key)))
	copy(h.Signature[:], r.take(len(h.Signature)))
	if r.failed || len(r.rest) > 0 || h.Epoch < 0 || h.Rev < 0 || !bytes.Equal(h.Append(nil), b) {
		return SignedHead{}, errors.New("not a signed head")
	}
	return h, nil
}
