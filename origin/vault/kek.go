package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/wedge-proxy/wedge/origin/store"
)

// kekVariable is the environment variable that takes the place of a KEK's file.
const kekVariable = "WEDGE_KEK"

// ParseKEK reads a key-encryption key: 64 hexadecimal digits.
func ParseKEK(s string) (kek [32]byte, err error) {
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(b) != len(kek) {
		return kek, errors.New("not a key-encryption key: want 64 hexadecimal digits, such as openssl rand -hex 32 prints")
	}
	return [32]byte(b), nil
}

// LoadKEK reads the key-encryption key from the environment variable WEDGE_KEK or, where that is not set, from a file,
// which is made, for its owner's eyes only, if it is not there. Several processes may do so at once.
func LoadKEK(path string) ([32]byte, error) {
	if s, ok := os.LookupEnv(kekVariable); ok {
		kek, err := ParseKEK(s)
		if err != nil {
			return kek, fmt.Errorf("cannot use %s: %w", kekVariable, err)
		}
		return kek, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKEK(path); err == nil {
			b, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return [32]byte{}, fmt.Errorf("cannot load the key-encryption key: %w", err)
	}
	kek, err := ParseKEK(string(b))
	if err != nil {
		return kek, fmt.Errorf("cannot use the file %s: %w", path, err)
	}
	return kek, nil
}

// makeKEK puts a new key on the disk before it gets its name: whoever finds the name finds the whole key, and of several
// who make one, one wins.
func makeKEK(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".kek-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	var kek [32]byte
	_, _ = rand.Read(kek[:]) // never fails
	_, err = f.WriteString(hex.EncodeToString(kek[:]) + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sealer encrypts and decrypts with one KEK.
type sealer struct {
	id   string // tells KEKs apart without telling them
	aead cipher.AEAD
}

func newSealer(kek [32]byte) (*sealer, error) {
	block, err := aes.NewCipher(kek[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, kek[:])
	_, _ = mac.Write([]byte("wedge kek 1\n"))
	return &sealer{id: hex.EncodeToString(mac.Sum(nil)[:16]), aead: aead}, nil
}

// Kinds of what is encrypted. With its name the kind is bound to it, so that nobody who can write to the database only
// can pass one off as another.
const (
	sealedCA     = "ca"
	sealedSigner = "signer"
	sealedSecret = "secret"
)

func boundTo(kind, name string) []byte { return []byte("wedge vault 1\n" + kind + "\n" + name) }

func (s *sealer) seal(kind, name string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, boundTo(kind, name))
}

func (s *sealer) open(kind, name string, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, boundTo(kind, name))
	if err != nil {
		return nil, fmt.Errorf("cannot decrypt the %s %q: %w: the database has been tampered with or damaged: restore a backup",
			kind, name, store.ErrCorrupt)
	}
	return plain, nil
}

// keyring is the KEKs that this process knows: more than one where it has changed it.
type keyring struct {
	mu      sync.Mutex
	sealers map[string]*sealer
}

func (k *keyring) add(kek [32]byte) (*sealer, error) {
	s, err := newSealer(kek)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sealers == nil {
		k.sealers = map[string]*sealer{}
	}
	k.sealers[s.id] = s
	return s, nil
}

// get finds the one that the database is encrypted with.
func (k *keyring) get(id string) (*sealer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.sealers[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: the secrets in the database are encrypted with another one: "+
		"start every origin with the KEK of the first, from its file or in %s, and after a change of the KEK with the new one", ErrKEK, kekVariable)
}
