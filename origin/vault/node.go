package vault

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// NodeOf tells which node a certificate identifies: one that this CA issued to a node, and that is good now. Who shows
// it must have proven that the key is theirs.
func (v *Vault) NodeOf(cert *x509.Certificate) (name string, err error) {
	if cert == nil {
		return "", fmt.Errorf("%w: there is none", ErrCertificate)
	}
	now, print := v.now(), sha256.Sum256(cert.Raw)
	if name, ok := v.nodes.get(print, now); ok {
		return name, nil
	}
	if name, err = v.verifyNode(cert, now); err != nil {
		return "", fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	v.nodes.put(print, knownNode{name, cert.NotBefore, cert.NotAfter})
	return name, nil
}

func (v *Vault) verifyNode(cert *x509.Certificate, now time.Time) (name string, err error) {
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: v.ca.pool, CurrentTime: now, KeyUsages: client}); err != nil {
		return "", err
	}
	// Verify takes a certificate without usages for one with all of them.
	if cert.IsCA || !slices.Equal(cert.ExtKeyUsage, client) || cert.KeyUsage != x509.KeyUsageDigitalSignature {
		return "", errors.New("it is not for clients alone")
	}
	name, ok := onlyCommonName(cert.Subject)
	if !ok {
		return "", errors.New("its subject is not a common name alone")
	}
	return name, wire.CheckName(name)
}

// maxNodes bounds how many certificates are remembered.
const maxNodes = 16 << 10

// nodeCache remembers certificates that have been verified: nodes show theirs with every request, and to verify a
// signature takes a hundred times as long as all else that is done with most of them.
type nodeCache struct {
	mu    sync.RWMutex
	known map[[sha256.Size]byte]knownNode // by the digest of the certificate
}

type knownNode struct {
	name       string
	from, till time.Time // when the certificate is good
}

func (c *nodeCache) get(print [sha256.Size]byte, now time.Time) (name string, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.known[print]
	return n.name, ok && !now.Before(n.from) && !now.After(n.till)
}

func (c *nodeCache) put(print [sha256.Size]byte, n knownNode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxNodes || c.known == nil {
		c.known = map[[sha256.Size]byte]knownNode{}
	}
	c.known[print] = n
}
