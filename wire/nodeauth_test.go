package wire

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// certificateOf is a certificate that a key signs for itself.
func certificateOf(t testing.TB, key any, public any) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "node-1"}, NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	require.NoError(t, err)
	return der
}

func TestNodesSignTheirRequests(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, now := certificateOf(t, key, key.Public()), time.Unix(1_800_000_000, 5)
	header := SignRequest(key, der, "GET", "/v1/node/stream?rev=1", now)
	assert.True(t, strings.HasPrefix(header, "Wedge-Node "))

	certificate, err := CheckRequest(header, "GET", "/v1/node/stream?rev=1", now)
	require.NoError(t, err)
	assert.Equal(t, der, certificate.Raw)
	for _, late := range []time.Duration{-299 * time.Second, 299 * time.Second} {
		_, err = CheckRequest(header, "GET", "/v1/node/stream?rev=1", now.Add(late))
		assert.NoError(t, err, late)
	}
	for _, late := range []time.Duration{-302 * time.Second, 302 * time.Second, 1e18} {
		_, err = CheckRequest(header, "GET", "/v1/node/stream?rev=1", now.Add(late))
		assert.ErrorContains(t, err, "set the node's clock", late)
	}
	_, err = CheckRequest(header, "POST", "/v1/node/stream?rev=1", now)
	assert.Equal(t, errRequest, err)
	_, err = CheckRequest(header, "GET", "/v1/node/stream?rev=2", now)
	assert.Equal(t, errRequest, err)
}

func TestRequestsThatNobodySigned(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	now := time.Unix(1_800_000_000, 0)
	header := SignRequest(key, certificateOf(t, key, key.Public()), "GET", "/", now)
	parts := strings.Split(strings.TrimPrefix(header, NodeScheme+" "), ".")
	for name, header := range map[string]string{
		"nothing":               "",
		"another scheme":        "Bearer " + strings.Join(parts, "."),
		"too few parts":         NodeScheme + " " + parts[0] + "." + parts[1],
		"too many parts":        header + ".x",
		"no certificate":        NodeScheme + " ." + parts[1] + "." + parts[2],
		"no base64":             NodeScheme + " " + parts[0] + "=." + parts[1] + "." + parts[2],
		"another time":          NodeScheme + " " + parts[0] + ".1800000001." + parts[2],
		"the time with a sign":  NodeScheme + " " + parts[0] + ".+1800000000." + parts[2],
		"no time":               NodeScheme + " " + parts[0] + ".x." + parts[2],
		"a signature cut short": header[:len(header)-4],
		"another key":           SignRequest(other, certificateOf(t, key, key.Public()), "GET", "/", now),
		"another curve":         SignRequest(large, certificateOf(t, large, large.Public()), "GET", "/", now),
		"another kind of key":   SignRequest(key, certificateOf(t, signer, signer.Public().(ed25519.PublicKey)), "GET", "/", now),
		"bytes after the end":   SignRequest(key, append(certificateOf(t, key, key.Public()), 0), "GET", "/", now),
	} {
		_, err := CheckRequest(header, "GET", "/", now)
		assert.Equal(t, errRequest, err, name)
	}
}

func FuzzCheckRequest(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(f, err)
	now := time.Unix(1_800_000_000, 0)
	good := SignRequest(key, certificateOf(f, key, key.Public()), "GET", "/", now)
	f.Add(good)
	f.Add(NodeScheme + " AA.1.AA")
	f.Fuzz(func(t *testing.T, header string) {
		certificate, err := CheckRequest(header, "GET", "/", now)
		if err == nil {
			require.Equal(t, NodeScheme+" "+base64.RawURLEncoding.EncodeToString(certificate.Raw), header[:strings.IndexByte(header, '.')])
			return
		}
		require.Nil(t, certificate)
	})
}
