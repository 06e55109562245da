package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writeCertificate writes a certificate for name, and its key, into dir.
func writeCertificate(t *testing.T, dir, name string, until time.Time) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &secret.PublicKey, secret)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return cert, key
}

// A renewed certificate is in use without a restart; one that is broken leaves the last good one in use.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	var o tlsOptions
	o.Cert, o.Key = writeCertificate(t, dir, "first", time.Now().Add(time.Hour))
	var log strings.Builder
	c, err := o.config(slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	served := func() string {
		got, err := c.GetCertificate(&tls.ClientHelloInfo{})
		require.NoError(t, err)
		return got.Leaf.Subject.CommonName
	}
	assert.Equal(t, "first", served())
	writeCertificate(t, dir, "the second", time.Now().Add(time.Hour))
	time.Sleep(certificateLook + 10*time.Millisecond)
	assert.Equal(t, "the second", served())
	require.NoError(t, os.WriteFile(o.Key, []byte("half a k"), 0o600))
	time.Sleep(certificateLook + 10*time.Millisecond)
	assert.Equal(t, "the second", served())
	assert.Contains(t, log.String(), "the last good one stays in use")
	writeCertificate(t, dir, "third, expired", time.Now().Add(-time.Hour))
	time.Sleep(certificateLook + 10*time.Millisecond)
	assert.Equal(t, "third, expired", served())
	assert.Contains(t, log.String(), "has expired")
}

func TestTLSOptions(t *testing.T) {
	for says, o := range map[string]tlsOptions{
		"needs --tls-key":      {Cert: "c"},
		"needs --tls-cert":     {Key: "k"},
		"--h2c is for clients": {Cert: "c", Key: "k", Plain: true},
	} {
		assert.ErrorContains(t, o.check(), says)
	}
	o := tlsOptions{Cert: "nowhere.pem", Key: "nowhere.key"}
	_, err := o.config(slog.Default())
	assert.ErrorContains(t, err, "cannot read the certificate for TLS")
	dir := t.TempDir()
	o.Cert, _ = writeCertificate(t, dir, "a", time.Now().Add(time.Hour))
	_, o.Key = writeCertificate(t, t.TempDir(), "b", time.Now().Add(time.Hour))
	_, err = o.config(slog.Default())
	assert.ErrorContains(t, err, "cannot use the certificate in")

	var merged tlsOptions
	merged.merge(&tlsOptions{Cert: "c.pem", Key: "/k.pem", Plain: true}, "/etc/wedge")
	assert.Equal(t, tlsOptions{Cert: "/etc/wedge/c.pem", Key: "/k.pem", Plain: true}, merged)
	c, err := (&tlsOptions{}).config(slog.Default())
	require.NoError(t, err)
	assert.Nil(t, c)
}
