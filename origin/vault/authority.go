package vault

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	skew     = 5 * time.Minute // how far clocks may be behind the origin's
	maxCSR   = 16 << 10        // bytes
)

// authority is the origin's certificate authority.
type authority struct {
	cert        *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
	fingerprint [sha256.Size]byte
	pool        *x509.CertPool
}

// newAuthority makes the certificate (DER) and the private key (PKCS #8, DER) of an authority.
func newAuthority(now time.Time) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: "Wedge origin CA"},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	if cert, err = x509.CreateCertificate(rand.Reader, template, template, private.Public(), private); err != nil {
		return nil, nil, err
	}
	key, err = x509.MarshalPKCS8PrivateKey(private)
	return cert, key, err
}

func loadAuthority(cert, key []byte) (*authority, error) {
	c, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, fmt.Errorf("the certificate authority's certificate: %w: %w", store.ErrCorrupt, err)
	}
	k, err := x509.ParsePKCS8PrivateKey(key)
	private, ok := k.(*ecdsa.PrivateKey)
	if err != nil || !ok || !private.PublicKey.Equal(c.PublicKey) {
		return nil, fmt.Errorf("the certificate authority's key is not that of its certificate: %w", store.ErrCorrupt)
	}
	a := &authority{cert: c, key: private, fingerprint: sha256.Sum256(cert), pool: x509.NewCertPool()}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	a.pool.AddCert(c)
	return a, nil
}

// newSerial draws a serial number of 127 bits, as certificates want them: positive, and never the same.
func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// CA returns the certificate that nodes' and servers' certificates are signed with, and the SHA-256 of its DER.
func (v *Vault) CA() (pem []byte, fingerprint [sha256.Size]byte) {
	return bytes.Clone(v.ca.pem), v.ca.fingerprint
}

// issue signs a leaf's certificate.
func (v *Vault) issue(template *x509.Certificate, public *ecdsa.PublicKey) (der []byte, expires time.Time, err error) {
	now := v.now()
	template.SerialNumber = newSerial()
	template.NotBefore = now.Add(-skew)
	template.NotAfter = now.Add(leafLife)
	if template.NotAfter.After(v.ca.cert.NotAfter) {
		template.NotAfter = v.ca.cert.NotAfter
	}
	if !template.NotAfter.After(now) {
		return nil, time.Time{}, errors.New("the certificate authority's certificate has expired: begin with a new database")
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	der, err = x509.CreateCertificate(rand.Reader, template, v.ca.cert, public, v.ca.key)
	return der, template.NotAfter.UTC().Truncate(time.Second), err
}

// ServerCertificate issues a certificate, good for 90 days, for an origin that is reached under host names or IP
// addresses. The CA's certificate is part of the chain, so that nodes can compare its fingerprint.
func (v *Vault) ServerCertificate(hosts []string) (tls.Certificate, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Wedge origin"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if err := addHosts(template, hosts); err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot issue a server's certificate: %w: %w", store.ErrInvalid, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot issue a server's certificate: %w", err)
	}
	der, _, err := v.issue(template, &key.PublicKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot issue a server's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot issue a server's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, v.ca.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func addHosts(template *x509.Certificate, hosts []string) error {
	if len(hosts) == 0 {
		return errors.New("no host is given: name at least one under which nodes reach the origin")
	}
	for _, host := range hosts {
		if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
			template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
			continue
		}
		if !isHost(host) {
			return fmt.Errorf("%q is neither a host name nor an IP address: give it without scheme and port", host)
		}
		template.DNSNames = append(template.DNSNames, host)
	}
	return nil
}

// isHost knows the names that TLS can ask for; the first label may be a star.
func isHost(host string) bool {
	if len(host) > 253 {
		return false
	}
	labels := strings.Split(host, ".")
	for i, label := range labels {
		if i == 0 && label == "*" && len(labels) > 2 {
			continue
		}
		other := func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
		}
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, other) || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// IssueNode issues the certificate, good for 90 days, by which a node of this name identifies itself. csr is PKCS #10,
// DER, of an ECDSA P-256 key; it may ask for this name or none, and for nothing else. ErrCSR tells that it is refused.
func (v *Vault) IssueNode(csr []byte, name string) (der []byte, expires time.Time, err error) {
	key, err := checkCSR(csr, name)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("cannot issue a node's certificate: %w: %w", ErrCSR, err)
	}
	der, expires, err = v.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("cannot issue a node's certificate: %w", err)
	}
	return der, expires, nil
}

func checkCSR(der []byte, name string) (*ecdsa.PublicKey, error) {
	if err := wire.CheckName(name); err != nil {
		return nil, err
	}
	if len(der) > maxCSR {
		return nil, fmt.Errorf("it has %d bytes; at most %d are read", len(der), maxCSR)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("it is not PKCS #10: %w", err)
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("its key is not an ECDSA P-256 key")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("it is not signed with its key: %w", err)
	}
	asked, ok := onlyCommonName(csr.Subject)
	if len(csr.Subject.Names) > 0 && (!ok || asked != name) {
		return nil, fmt.Errorf("it asks for the subject %q, not for the common name %q", csr.Subject, name)
	}
	if len(csr.Extensions) > 0 {
		return nil, errors.New("it asks for extensions, such as further names: ask for a common name alone")
	}
	return key, nil
}

var oidCommonName = []int{2, 5, 4, 3}

// onlyCommonName is the common name of a subject that has one, and nothing else: of several, readers might see different
// ones.
func onlyCommonName(subject pkix.Name) (string, bool) {
	return subject.CommonName, len(subject.Names) == 1 && subject.Names[0].Type.Equal(oidCommonName)
}
