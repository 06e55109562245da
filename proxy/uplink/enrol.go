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
	"net/http"
	"net/url"
	"os"

	"github.com/wedge-proxy/wedge/wire"
)

var (
	errToken      = errors.New("the join token is of no use")
	errNoIdentity = errors.New("this node has not enrolled: give it a join token once, from wedge node invite, with --join or in WEDGE_JOIN")
)

// nameless says that the node has no identity, or one that is over and a join token to get another.
func (u *Uplink) nameless() bool {
	id := u.identity()
	return id == nil || u.o.Join != "" && u.o.now().After(id.certificate.NotAfter)
}

// enrol gets the node an identity with its join token.
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
	key, err := u.ownKey()
	if err != nil {
		return err
	}
	csr, err := request(key, u.name())
	if err != nil {
		return err
	}
	answer, err := u.askIdentity(ctx, origin, token.CA, csr)
	if err != nil {
		return fmt.Errorf("cannot enrol at %s: %w", origin, err)
	}
	id, trust, err := received(key, answer)
	if err != nil {
		return err
	}
	if err := u.become(id, trust); err != nil {
		return err
	}
	u.o.Log.Info("the node has enrolled", "node", id.name(), "origin", origin, "until", id.certificate.NotAfter)
	return nil
}

// become takes an identity, and the keys that were named with it: who made the join token vouches for them.
func (u *Uplink) become(id *identity, trust wire.Trust) error {
	u.work.Lock()
	defer u.work.Unlock()
	err := u.believe(union(trust, u.anchor))
	if err == nil {
		err = id.save(u.o.Dir)
	}
	if err == nil {
		u.vouched = trust
		u.setIdentity(id)
	}
	return err
}

// ownKey is the node's key: the one that it has, since secrets in its store are sealed to it, or a new one.
func (u *Uplink) ownKey() (*ecdsa.PrivateKey, error) {
	if id := u.identity(); id != nil {
		return id.key, nil
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// request is a certificate request with the key.
func request(key *ecdsa.PrivateKey, name string) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
}

// askIdentity tells an origin the join token, once it is sure that it is the right origin.
func (u *Uplink) askIdentity(ctx context.Context, origin string, fingerprint, csr []byte) (*wire.Enrolled, error) {
	at, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{TLSClientConfig: u.firstTLS(at.Hostname(), fingerprint), TLSHandshakeTimeout: callTime}
	c := &caller{origin: origin, http: &http.Client{Transport: t, CheckRedirect: noRedirect}, now: u.o.now}
	defer c.http.CloseIdleConnections()
	var answer wire.Enrolled
	err = c.post(ctx, wire.PathEnrol, wire.Enrolment{Token: u.o.Join, Name: u.o.Name, Region: u.o.Region, CSR: csr}, &answer)
	return &answer, err
}

// firstTLS trusts the authority of the file, or else the one whose certificate has the join token's fingerprint: the
// token's secret goes to nobody else.
func (u *Uplink) firstTLS(host string, fingerprint []byte) *tls.Config {
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
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
			return err
		},
	}
}

// received makes an identity of what an origin answered. What is of no use must not take the place of what is.
func received(key *ecdsa.PrivateKey, e *wire.Enrolled) (*identity, wire.Trust, error) {
	certificate, err := x509.ParseCertificate(e.Certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("the origin's certificate for this node cannot be read: %w", err)
	}
	if public, ok := certificate.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(key.Public()) {
		return nil, nil, errors.New("the origin's certificate is for another key than this node's")
	}
	if !signedBy(certificate, e.CA) {
		return nil, nil, errors.New("the origin's certificate for this node is not signed by the authority that it names")
	}
	trust, err := wire.TrustOf(e.Trust...)
	if err != nil || len(trust) == 0 {
		return nil, nil, errors.New("the origin names no keys to trust")
	}
	return &identity{key, certificate, e.CA}, trust, nil
}

// signedBy says that one of the authorities, in PEM, signed a certificate.
func signedBy(certificate *x509.Certificate, authorities []byte) bool {
	for block, rest := pem.Decode(authorities); block != nil; block, rest = pem.Decode(rest) {
		ca, err := x509.ParseCertificate(block.Bytes)
		if err == nil && certificate.CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
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
	fresh, _, err := received(id.key, &answer)
	if err == nil {
		err = fresh.save(u.o.Dir)
	}
	if err == nil {
		u.setIdentity(fresh)
	}
	return err
}
