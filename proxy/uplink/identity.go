package uplink

import (
	"bytes"
	"context"
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
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
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
func loadTrust(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, trustFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the keys that the node trusts: %w", err)
	}
	keys := strings.Fields(string(text))
	_, err = wire.TrustOf(keys...)
	return keys, err
}

func saveTrust(dir string, keys []string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of the node's identity: %w", err)
	}
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

// renewAt is when the certificate is exchanged: after two thirds of its life.
func (id *identity) renewAt() time.Time {
	life := id.certificate.NotAfter.Sub(id.certificate.NotBefore)
	return id.certificate.NotBefore.Add(life * 2 / 3)
}

// request is a certificate request with the key.
func request(key *ecdsa.PrivateKey, name string) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
}

// received makes an identity of what an origin answered.
func received(key *ecdsa.PrivateKey, e *wire.Enrolled) (*identity, error) {
	certificate, err := x509.ParseCertificate(e.Certificate)
	if err != nil {
		return nil, fmt.Errorf("the origin's certificate for this node cannot be read: %w", err)
	}
	if public, ok := certificate.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(key.Public()) {
		return nil, errors.New("the origin's certificate is for another key than this node's")
	}
	if _, err := wire.TrustOf(e.Trust...); err != nil || len(e.Trust) == 0 {
		return nil, errors.New("the origin names no keys to trust")
	}
	return &identity{key, certificate, e.CA}, nil
}

var errToken = errors.New("the join token is of no use")

// enrol gets the node an identity with its join token, from the first origin that gives one.
func (u *Uplink) enrol(ctx context.Context, origin string) error {
	if u.o.Join == "" {
		return errNoIdentity
	}
	token, err := wire.ParseJoinToken(u.o.Join)
	if err != nil {
		return fmt.Errorf("%w: %w", errToken, err)
	}
	if !token.Expires.IsZero() && u.o.now().After(token.Expires) {
		return fmt.Errorf("%w: it has expired; make a new one with wedge node invite", errToken)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	csr, err := request(key, u.o.Name)
	if err != nil {
		return err
	}
	c := &caller{origin: origin, http: &http.Client{Transport: &http.Transport{TLSClientConfig: u.firstTLS(token.CA)}}, now: u.o.now}
	defer c.http.CloseIdleConnections()
	var answer wire.Enrolled
	ask := wire.Enrolment{Token: u.o.Join, Name: u.o.Name, Region: u.o.Region, CSR: csr}
	if err := c.post(ctx, wire.PathEnrol, ask, &answer); err != nil {
		return fmt.Errorf("cannot enrol at %s: %w", origin, err)
	}
	id, err := received(key, &answer)
	if err != nil {
		return err
	}
	if err := u.believe(answer.Trust); err != nil {
		return err
	}
	if err := id.save(u.o.Dir); err != nil {
		return err
	}
	u.setIdentity(id)
	u.o.Log.Info("the node has enrolled", "node", id.name(), "origin", origin, "until", id.certificate.NotAfter)
	return nil
}

// firstTLS trusts the authority of the file, or else the one whose certificate has the join token's fingerprint: the
// token's secret goes to nobody else.
func (u *Uplink) firstTLS(fingerprint []byte) *tls.Config {
	if u.o.CAFile != "" {
		return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: poolOf(u.authority())}
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			roots := x509.NewCertPool()
			found := false
			for _, c := range s.PeerCertificates {
				if sum := sha256.Sum256(c.Raw); len(fingerprint) > 0 && bytes.Equal(sum[:], fingerprint) {
					roots.AddCert(c)
					found = true
				}
			}
			if !found {
				return errors.New("its certificate is not of the authority that the join token names")
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: s.ServerName})
			return err
		},
	}
}

// authority is the authority's certificate in PEM: the file's, or what came at the enrolment.
func (u *Uplink) authority() []byte {
	if u.o.CAFile != "" {
		text, err := os.ReadFile(u.o.CAFile)
		if err != nil {
			u.o.Log.Error("cannot read the authority's certificate", "error", err)
		}
		return text
	}
	if id := u.identity(); id != nil {
		return id.authority
	}
	return nil
}

func poolOf(text []byte) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text) // an empty pool trusts nobody
	return pool
}

// renew exchanges the certificate for a new one of the same key.
func (u *Uplink) renew(ctx context.Context, c *caller) error {
	id := u.identity()
	csr, err := request(id.key, id.name())
	if err != nil {
		return err
	}
	var answer wire.Enrolled
	if err := c.post(ctx, wire.PathRenew, wire.Renewal{CSR: csr}, &answer); err != nil {
		return fmt.Errorf("cannot renew the node's certificate: %w", err)
	}
	fresh, err := received(id.key, &answer)
	if err == nil {
		err = fresh.save(u.o.Dir)
	}
	if err == nil {
		u.setIdentity(fresh)
	}
	return err
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
