package wire

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

const (
	keyPrefix    = "wk_"
	publicLength = 12
	secretLength = 40 // base62: 238 bits
	idLength     = len(keyPrefix) + publicLength

	base36 = "0123456789abcdefghijklmnopqrstuvwxyz"
	base62 = base36 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// NewKey makes a virtual key, wk_PUBLIC_SECRET, its public part wk_PUBLIC, and the hash to store instead of it.
func NewKey() (key, id string, hash [32]byte, err error) {
	b := append(make([]byte, 0, idLength+1+secretLength), keyPrefix...)
	if b, err = appendRandom(b, publicLength, base36); err != nil {
		return "", "", hash, err
	}
	if b, err = appendRandom(append(b, '_'), secretLength, base62); err != nil {
		return "", "", hash, err
	}
	return string(b), string(b[:idLength]), HashKey(b), nil
}

// appendRandom appends n characters, each drawn evenly from the alphabet.
func appendRandom(dst []byte, n int, alphabet string) ([]byte, error) {
	even := 256 - 256%len(alphabet) // bytes from here on would favour the first characters
	var pool [64]byte
	for n > 0 {
		if _, err := rand.Read(pool[:]); err != nil {
			return nil, fmt.Errorf("cannot draw a virtual key: %w", err)
		}
		for _, b := range pool {
			if n > 0 && int(b) < even {
				dst = append(dst, alphabet[int(b)%len(alphabet)])
				n--
			}
		}
	}
	return dst, nil
}

// KeyID is the public part of a virtual key, borrowed from it; false if it does not look like one.
func KeyID(key []byte) ([]byte, bool) {
	if len(key) <= idLength+1 || key[idLength] != '_' || !validKeyID(key[:idLength]) {
		return nil, false
	}
	return key[:idLength:idLength], true
}

// HashKey is what a catalog stores of a virtual key: SHA-256 over the whole of it.
func HashKey(key []byte) [32]byte { return sha256.Sum256(key) }

func validKeyID(id []byte) bool {
	if len(id) != idLength || string(id[:len(keyPrefix)]) != keyPrefix {
		return false
	}
	for _, c := range id[len(keyPrefix):] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
