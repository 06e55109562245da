package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// selfSigned writes a certificate for 127.0.0.1 that is its own authority, and its key, into dir.
func selfSigned(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "wedge"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &secret.PublicKey, secret)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return cert, key
}

// curl runs curl, and returns the head and the body of the answer.
func curl(t testing.TB, args ...string) (head, body string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "-i", "-N", "--max-time", "30"}, args...)...).CombinedOutput()
	require.NoError(t, err, string(out))
	head, body, _ = strings.Cut(string(out), "\r\n\r\n")
	return strings.ToLower(head), body
}

// TestCurlSpeaksHTTP2: whole answers and streams, with TLS and in the clear, beside HTTP/1.1 on the same port, and a
// certificate that is renewed while the node runs.
func TestCurlSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	text := (&catalog{}).at("sim", p.addr, "").key("ann", "").model("m", "", `{provider: sim, model: m}`).String()
	cert, key := selfSigned(t, t.TempDir())
	for name, c := range map[string]struct{ node, client, http1 []string }{
		"tls":   {[]string{"--tls-cert", cert, "--tls-key", key}, []string{"--http2", "--cacert", cert}, []string{"--http1.1", "--cacert", cert}},
		"plain": {[]string{"--h2c"}, []string{"--http2-prior-knowledge"}, []string{"--http1.1"}},
	} {
		n := startNode(t, text, c.node...)
		url := map[string]string{"tls": "https://", "plain": "http://"}[name] + n.data + chatPath
		ask1 := []string{url, "-H", "authorization: Bearer " + keyOf("ann"), "-H", "content-type: application/json", "-d"}
		head, body := curl(t, append(append(c.client, ask1...), ask("m", "hi"))...)
		assert.True(t, strings.HasPrefix(head, "http/2 200"), head)
		assert.Contains(t, body, `"choices"`)
		head, body = curl(t, append(append(c.client, ask1...), ask("m", "hi", streamed))...)
		assert.True(t, strings.HasPrefix(head, "http/2 200"), head)
		assert.Contains(t, head, "content-type: text/event-stream")
		assert.NotContains(t, head, "connection:")
		assert.True(t, strings.HasSuffix(body, "data: [DONE]\n\n"), body)
		head, _ = curl(t, append(append(c.http1, ask1...), ask("m", "hi"))...)
		assert.True(t, strings.HasPrefix(head, "http/1.1 200"), head)
		if name == "plain" {
			continue
		}
		selfSigned(t, filepath.Dir(cert))
		testkit.Eventually(t, patience, func() error {
			if out, err := exec.CommandContext(t.Context(), "curl", append(append(c.client, "-sS", "--max-time", "5"), append(ask1, ask("m", "hi"))...)...).CombinedOutput(); err != nil {
				return fmt.Errorf("the renewed certificate is not in use: %s", out)
			}
			return nil
		})
	}
}
