package uplink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// checkOrigin reads an origin's URL. What is not encrypted may go to this machine only.
func checkOrigin(text string) (string, error) {
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is not the URL of an origin; want one such as https://origin.example.com:8090", text)
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", fmt.Errorf("cannot follow %s without TLS: use https://, or an origin on this machine", text)
	}
	return u.String(), nil
}

// identity is who the node is. Its parts never change: a renewal makes another one.
type identity struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	authority   []byte // PEM
}

const (
	keyFile         = "node.key"
	certificateFile = "node.crt"
	authorityFile   = "ca.pem"
	trustFile       = "trust"
)

// loadIdentity reads the identity that a folder holds; nil if the node has not enrolled.
func loadIdentity(dir string) (*identity, error) {
	pair, err := os.ReadFile(filepath.Join(dir, certificateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the node's certificate: %w", err)
	}
	id := &identity{}
	key, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("cannot read the node's key: %w", err)
	}
	if id.key, err = parseKey(key); err != nil {
		return nil, fmt.Errorf("cannot read the node's key in %s: %w", dir, err)
	}
	block, _ := pem.Decode(pair)
	if block == nil {
		return nil, fmt.Errorf("the node's certificate in %s is none; delete the folder and enrol again", dir)
	}
	if id.certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("cannot read the node's certificate in %s: %w", dir, err)
	}
	if id.authority, err = os.ReadFile(filepath.Join(dir, authorityFile)); err != nil {
		return nil, fmt.Errorf("cannot read the certificate of the origin's authority: %w", err)
	}
	return id, nil
}

// loadTrust reads the keys whose heads the node believes at its start; none before it has enrolled or got a bundle.
func loadTrust(dir string) (wire.Trust, error) {
	text, err := os.ReadFile(filepath.Join(dir, trustFile))
	if errors.Is(err, fs.ErrNotExist) {
		return wire.Trust{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the keys that the node trusts: %w", err)
	}
	return wire.TrustOf(strings.Fields(string(text))...)
}

func saveTrust(dir string, trust wire.Trust) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of the node's identity: %w", err)
	}
	var keys []string
	for _, key := range trust {
		keys = append(keys, wire.FormatPublicKey(key))
	}
	slices.Sort(keys)
	return writeFile(filepath.Join(dir, trustFile), []byte(strings.Join(keys, "\n")+"\n"))
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("it is not an ECDSA P-256 key")
	}
	return key, nil
}

// save writes the identity; the certificate comes last, so that what is there is whole.
func (id *identity) save(dir string) error {
	key, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of the node's identity: %w", err)
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{
		{keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})},
		{authorityFile, id.authority},
		{certificateFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.certificate.Raw})},
	} {
		if err := writeFile(filepath.Join(dir, f.name), f.content); err != nil {
			return err
		}
	}
	return nil
}

// writeFile puts a file there whole or not at all.
func writeFile(path string, content []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot keep the node's identity: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the node's identity: %w", err)
	}
	return nil
}

func (id *identity) name() string { return id.certificate.Subject.CommonName }

// renewAt is when the certificate is exchanged: after a third of its life. So one of 90 days outlives any 60 days without
// an origin; a node whose certificate is over must be invited again.
func (id *identity) renewAt() time.Time {
	life := id.certificate.NotAfter.Sub(id.certificate.NotBefore)
	return id.certificate.NotBefore.Add(life / 3)
}

// who holds the node's identity.
type who struct {
	mu sync.RWMutex
	id *identity
}

func (u *Uplink) identity() *identity {
	u.who.mu.RLock()
	defer u.who.mu.RUnlock()
	return u.who.id
}

func (u *Uplink) setIdentity(id *identity) {
	u.who.mu.Lock()
	defer u.who.mu.Unlock()
	u.who.id = id
}
