package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// JoinToken lets one node enrol, once.
type JoinToken struct {
	ID      string    `json:"i"`
	Secret  string    `json:"s"`
	Expires time.Time `json:"e"`
	// CA is the SHA-256 of the CA's certificate (DER): whom the node tells the secret to. Empty over plain HTTP.
	CA []byte `json:"c,omitempty"`
}

const joinPrefix = "wj_"

// String is the token as people pass it on: one word.
func (t JoinToken) String() string {
	b, err := json.Marshal(t)
	if err != nil {
		panic("BUG: a join token has no JSON: " + err.Error())
	}
	return joinPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseJoinToken reads what String wrote.
func ParseJoinToken(s string) (t JoinToken, err error) {
	digits, ok := strings.CutPrefix(strings.TrimSpace(s), joinPrefix)
	b, decodeErr := base64.RawURLEncoding.DecodeString(digits)
	if !ok || decodeErr != nil || DecodeStrict(b, &t) != nil || t.ID == "" || t.Secret == "" {
		return JoinToken{}, errors.New("this is not a join token; make one with wedge node invite")
	}
	return t, nil
}

// CommitSecret is the commitment that a secret's resource holds.
func CommitSecret(salt [32]byte, secret string) string {
	sum := sha256.Sum256(append(salt[:], secret...))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// sealingInfo binds what is sealed to its purpose; the secret's name follows.
const sealingInfo = "wedge secret 1\n"

// SealSecret seals a secret and its salt to a node: HPKE (RFC 9180) with DHKEM(P-256, HKDF-SHA256), HKDF-SHA256 and
// AES-256-GCM in one message.
func SealSecret(to *ecdsa.PublicKey, name string, salt [32]byte, secret string) ([]byte, error) {
	if to.Curve != elliptic.P256() {
		return nil, fmt.Errorf("cannot seal the secret %s: the node's key is not one of the curve P-256", name)
	}
	public, err := to.ECDH()
	if err != nil {
		return nil, fmt.Errorf("cannot seal the secret %s: %w", name, err)
	}
	key, err := hpke.NewDHKEMPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("cannot seal the secret %s: %w", name, err)
	}
	return hpke.Seal(key, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(sealingInfo+name), append(salt[:], secret...))
}

// OpenSecret opens what SealSecret sealed, and refuses a secret that is not the one committed to.
func OpenSecret(key *ecdsa.PrivateKey, name, commit string, sealed []byte) (string, error) {
	private, err := key.ECDH()
	if err != nil {
		return "", fmt.Errorf("cannot open the secret %s: %w", name, err)
	}
	own, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		return "", fmt.Errorf("cannot open the secret %s: %w", name, err)
	}
	b, err := hpke.Open(own, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(sealingInfo+name), sealed)
	if err != nil || len(b) < 32 {
		return "", fmt.Errorf("cannot open the secret %s: it is not sealed to this node", name)
	}
	secret := string(b[32:])
	if CommitSecret([32]byte(b[:32]), secret) != commit {
		return "", fmt.Errorf("cannot use the secret %s: it is not the one that the bundle names", name)
	}
	return secret, nil
}

// NewSalt draws a salt.
func NewSalt() (salt [32]byte) {
	_, _ = rand.Read(salt[:]) // never fails
	return salt
}
