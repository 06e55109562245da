package vault

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
)

const day = 24 * time.Hour

// csrOf asks for a certificate.
func csrOf(t testing.TB, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	require.NoError(t, err)
	return der
}

func named(name string) x509.CertificateRequest {
	return x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}
}

// enrol issues a node's certificate.
func enrol(t testing.TB, v *Vault, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key := nodeKey(t, elliptic.P256())
	der, _, err := v.IssueNode(csrOf(t, key, named(name)), name)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert, key
}

func TestTheCA(t *testing.T) {
	v, _, now := fresh(t, sqlite(t))
	text, print := v.CA()
	block, rest := pem.Decode(text)
	require.NotNil(t, block)
	assert.Empty(t, rest)
	assert.Equal(t, sha256.Sum256(block.Bytes), print)
	ca, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	assert.True(t, ca.IsCA)
	assert.True(t, ca.MaxPathLenZero, "what it signs signs nothing")
	assert.Equal(t, elliptic.P256(), ca.PublicKey.(*ecdsa.PublicKey).Curve)
	assert.Equal(t, now.Now().Add(3650*day), ca.NotAfter)
	text[0] = 'x'
	again, _ := v.CA()
	assert.Equal(t, byte('-'), again[0], "who gets it may do with it as they like")
}

func TestANodeIsWhoItsCertificateSays(t *testing.T) {
	v, s, now := fresh(t, sqlite(t))
	key := nodeKey(t, elliptic.P256())
	der, expires, err := v.IssueNode(csrOf(t, key, named("eu/edge-1")), "eu/edge-1")
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	assert.Equal(t, now.Now().Add(90*day), expires)
	assert.Equal(t, expires, cert.NotAfter)
	assert.True(t, key.PublicKey.Equal(cert.PublicKey))
	assert.Empty(t, cert.DNSNames)
	assert.False(t, cert.IsCA)
	name, err := v.NodeOf(cert)
	require.NoError(t, err)
	assert.Equal(t, "eu/edge-1", name)
	name, err = openVault(t, s, Options{KEK: testKEK("first"), Now: now.Now}).NodeOf(cert)
	require.NoError(t, err)
	assert.Equal(t, "eu/edge-1", name, "other origins know it, too")
	name, err = v.NodeOf(cert)
	require.NoError(t, err)
	assert.Equal(t, "eu/edge-1", name, "from memory")

	_, _, err = v.IssueNode(csrOf(t, key, x509.CertificateRequest{}), "eu/edge-1")
	require.NoError(t, err, "who asks for no name gets the one that it was given")

	now.advance(90*day + time.Second)
	_, err = v.NodeOf(cert)
	assert.ErrorIs(t, err, ErrCertificate, "expired")
	_, err = openVault(t, s, Options{KEK: testKEK("first"), Now: now.Now}).NodeOf(cert)
	assert.ErrorIs(t, err, ErrCertificate, "nor can it be verified")
	now.advance(-90*day - time.Hour)
	_, err = v.NodeOf(cert)
	assert.ErrorIs(t, err, ErrCertificate, "not yet good")
}

func TestNothingOutlivesTheCA(t *testing.T) {
	v, _, now := fresh(t, sqlite(t))
	now.advance(3650*day - time.Hour)
	cert, _ := enrol(t, v, "late")
	assert.Equal(t, v.ca.cert.NotAfter, cert.NotAfter)
	now.advance(2 * time.Hour)
	_, _, err := v.IssueNode(csrOf(t, nodeKey(t, elliptic.P256()), named("later")), "later")
	assert.ErrorContains(t, err, "the certificate authority's certificate has expired")
}

func TestCertificateRequestsThatAreRefused(t *testing.T) {
	v, _, _ := fresh(t, sqlite(t))
	key := nodeKey(t, elliptic.P256())
	_, edwards, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	san := named("a")
	san.DNSNames = []string{"origin.example"}
	address := named("a")
	address.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	ca := named("a")
	ca.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}}
	organisation := named("a")
	organisation.Subject.Organization = []string{"b"}
	twice := named("a")
	twice.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: "b"}, {Type: oidCommonName, Value: "a"}}
	forged := csrOf(t, key, named("a"))
	forged[len(forged)-1] ^= 1
	swapped := csrOf(t, nodeKey(t, elliptic.P256()), named("a"))
	for what, c := range map[string]struct {
		csr        []byte
		name, says string
	}{
		"a wrong curve":       {csrOf(t, nodeKey(t, elliptic.P384()), named("a")), "a", "not an ECDSA P-256 key"},
		"a wrong kind of key": {csrOf(t, edwards, named("a")), "a", "not an ECDSA P-256 key"},
		"a bad signature":     {forged, "a", "not signed with its key"},
		"another name":        {csrOf(t, key, named("b")), "a", `asks for the subject "CN=b"`},
		"another case":        {csrOf(t, key, named("A")), "a", "asks for the subject"},
		"a trailing NUL":      {csrOf(t, key, named("a\x00")), "a", "asks for the subject"},
		"two names":           {csrOf(t, key, twice), "a", "asks for the subject"},
		"more than a name":    {csrOf(t, key, organisation), "a", "asks for the subject"},
		"a host name":         {csrOf(t, key, san), "a", "extensions"},
		"an address":          {csrOf(t, key, address), "a", "extensions"},
		"to be a CA":          {csrOf(t, key, ca), "a", "extensions"},
		"no name at all":      {csrOf(t, key, named("")), "", "not a name"},
		"no node's name":      {csrOf(t, key, named("../x")), "../x", "not a name"},
		"nothing":             {nil, "a", "not PKCS #10"},
		"something after it":  {append(swapped, 0), "a", "not PKCS #10"},
		"too much":            {make([]byte, maxCSR+1), "a", "at most 16384"},
	} {
		t.Run(what, func(t *testing.T) {
			_, _, err := v.IssueNode(c.csr, c.name)
			require.ErrorIs(t, err, ErrCSR)
			assert.ErrorContains(t, err, c.says)
		})
	}
}

func TestCertificatesThatAreNoNodes(t *testing.T) {
	v, _, now := fresh(t, sqlite(t))
	stranger, _, _ := fresh(t, sqlite(t))
	foreign, _ := enrol(t, stranger, "a")
	server, err := v.ServerCertificate([]string{"origin.example"})
	require.NoError(t, err)
	node, nodesKey := enrol(t, v, "a")
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	made := func(template x509.Certificate) *x509.Certificate { // by this CA, as it never would
		der, _, err := v.issue(&template, &nodesKey.PublicKey)
		require.NoError(t, err)
		cert, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		return cert
	}
	signed := func(usage x509.KeyUsage, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "b"}, KeyUsage: usage, ExtKeyUsage: client,
			NotBefore: now.Now().Add(-time.Hour), NotAfter: now.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &nodesKey.PublicKey, key)
		require.NoError(t, err)
		cert, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		return cert
	}
	for what, cert := range map[string]*x509.Certificate{
		"none":               nil,
		"another CA's":       foreign,
		"a server's":         leafOf(t, server),
		"the CA's own":       v.ca.cert,
		"one by a node":      signed(x509.KeyUsageDigitalSignature, node, nodesKey),
		"one to encrypt":     signed(x509.KeyUsageKeyEncipherment, v.ca.cert, v.ca.key),
		"one for anything":   made(x509.Certificate{Subject: pkix.Name{CommonName: "a"}}),
		"one for two things": made(x509.Certificate{Subject: pkix.Name{CommonName: "a"}, ExtKeyUsage: append(client, x509.ExtKeyUsageServerAuth)}),
		"one without a name": made(x509.Certificate{ExtKeyUsage: client}),
		"an impossible name": made(x509.Certificate{Subject: pkix.Name{CommonName: "../x"}, ExtKeyUsage: client}),
		"two names": made(x509.Certificate{Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: oidCommonName, Value: "b"}, {Type: oidCommonName, Value: "a"}}}, ExtKeyUsage: client}),
	} {
		t.Run(what, func(t *testing.T) {
			for range 2 {
				name, err := v.NodeOf(cert)
				require.ErrorIs(t, err, ErrCertificate)
				assert.Empty(t, name)
			}
		})
	}
	_, err = v.NodeOf(signed(x509.KeyUsageDigitalSignature, v.ca.cert, v.ca.key))
	assert.NoError(t, err, "it is those differences that count")
}

func TestAServersCertificateNamesItsHosts(t *testing.T) {
	v, _, now := fresh(t, sqlite(t))
	cert, err := v.ServerCertificate([]string{"origin.example", "localhost", "*.edge.example", "127.0.0.1", "::1"})
	require.NoError(t, err)
	require.Len(t, cert.Certificate, 2)
	assert.Equal(t, v.ca.cert.Raw, cert.Certificate[1])
	leaf := leafOf(t, cert)
	assert.Equal(t, leaf, cert.Leaf)
	assert.Equal(t, now.Now().Add(90*day), leaf.NotAfter)
	for _, host := range []string{"origin.example", "localhost", "x.edge.example", "127.0.0.1", "::1"} {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: v.ca.pool, DNSName: host, CurrentTime: now.Now()})
		assert.NoError(t, err, host)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: v.ca.pool, DNSName: "other.example", CurrentTime: now.Now()})
	assert.Error(t, err)

	for _, hosts := range [][]string{nil, {""}, {"https://origin.example"}, {"origin.example:8443"}, {"a b"}, {"a..b"}, {"-a"}, {"*"}, {"*.com*"},
		{"fe80::1%eth0"}, {"ö.example"}, {string(make([]byte, 300))}, {"good", ""}} {
		_, err := v.ServerCertificate(hosts)
		assert.ErrorIs(t, err, store.ErrInvalid, "%q", hosts)
	}
}

func TestNodeAndOriginMeetOverTLS(t *testing.T) {
	s := openStore(t, sqlite(t))
	v := openVault(t, s, Options{KEK: testKEK("first")}) // TLS looks at the true time
	server, err := v.ServerCertificate([]string{"127.0.0.1"})
	require.NoError(t, err)
	cert, key := enrol(t, v, "edge-1")
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{server}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: v.ca.pool})
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()

	name, accepted := make(chan string, 1), make(chan error, 1)
	go func() {
		c, err := listener.Accept()
		if err == nil {
			defer func() { _ = c.Close() }()
			if err = c.(*tls.Conn).HandshakeContext(t.Context()); err == nil {
				var n string
				n, err = v.NodeOf(c.(*tls.Conn).ConnectionState().PeerCertificates[0])
				name <- n
			}
		}
		accepted <- err
	}()
	c, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: v.ca.pool,
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}})
	require.NoError(t, err)
	chain := c.ConnectionState().PeerCertificates
	assert.Equal(t, v.ca.fingerprint, sha256.Sum256(chain[len(chain)-1].Raw), "the node can compare the CA's fingerprint")
	require.NoError(t, <-accepted)
	assert.Equal(t, "edge-1", <-name)
	require.NoError(t, c.Close())
}

func TestTheCertificatesThatAreRememberedAreBounded(t *testing.T) {
	var c nodeCache
	for i := range maxNodes + 10 {
		c.put(sha256.Sum256([]byte{byte(i), byte(i >> 8)}), knownNode{})
	}
	assert.Len(t, c.known, 10)
}
