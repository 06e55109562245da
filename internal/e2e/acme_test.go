package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
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

// pebbleVersion is of the ACME authority that Let's Encrypt tests with.
const pebbleVersion = "v2.10.1"

// pebble builds the authority and its name server.
func pebble(t *testing.T) (authority, names string) {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	at := "github.com/letsencrypt/pebble/v2/cmd/pebble"
	cmd := exec.CommandContext(ctx, "go", "install", at+"@"+pebbleVersion, at+"-challtestsrv@"+pebbleVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		skip(t, "pebble cannot be built: "+string(out))
	}
	return filepath.Join(dir, "pebble"), filepath.Join(dir, "pebble-challtestsrv")
}

// startAuthority starts an ACME authority that finds every name at this machine and its node at a port. It returns the
// authority's directory.
func startAuthority(t *testing.T, port string, cert, key string) (directory string) {
	t.Helper()
	authority, names := pebble(t)
	dns, listen, manage := testkit.FreeAddr(t), testkit.FreeAddr(t), testkit.FreeAddr(t)
	listen = "127.0.0.1" + listen[strings.LastIndexByte(listen, ':'):] // which its certificate is for
	config := filepath.Join(t.TempDir(), "pebble.json")
	var number int
	_, _ = fmt.Sscan(port, &number)
	text, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": manage, "certificate": cert, "privateKey": key, "tlsPort": number, "httpPort": 1,
		"ocspResponderURL": "", "externalAccountBindingRequired": false,
	}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, text, 0o600))
	run := func(program string, args ...string) {
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				t.Logf("%s:\n%s", filepath.Base(program), out.String())
			}
		})
	}
	run(names, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dnsserver", dns, "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", testkit.FreeAddr(t))
	run(authority, "-config", config, "-dnsserver", dns)
	testkit.Eventually(t, startTime, func() error {
		c, err := net.Dial("tcp", listen)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return "https://" + listen + "/dir"
}

// TestACME lets a node get itself a certificate from a real authority, which asks for it over TLS-ALPN-01, and start again with
// the one that it has.
func TestACME(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	c := (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "x", "")).key("ann", "")
	addr := testkit.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	addr = "127.0.0.1:" + port // where the authority looks
	cert, key := selfSigned(t, t.TempDir())
	directory := startAuthority(t, port, cert, key)
	n := startNode(t, c.String(), "--listen", addr, "--acme-domain", "ai.example.test", "--acme-directory", directory, "--acme-ca", cert)
	ask := func() (*http.Response, *x509.Certificate, error) {
		transport := &http.Transport{
			ForceAttemptHTTP2: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			},
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the authority's root is of the moment; the name is looked at below
		}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequest("GET", "https://ai.example.test/v1/models", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+keyOf("ann"))
		resp, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(r)
		if err != nil {
			return nil, nil, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp, resp.TLS.PeerCertificates[0], nil
	}
	var first *x509.Certificate
	testkit.Eventually(t, time.Minute, func() error {
		resp, leaf, err := ask()
		if err == nil {
			assert.Equal(t, 200, resp.StatusCode)
			assert.Equal(t, "HTTP/2.0", resp.Proto)
			first = leaf
		}
		return err
	})
	require.NoError(t, first.VerifyHostname("ai.example.test"))
	assert.Contains(t, first.Issuer.CommonName, "Pebble")

	n.terminate()
	n.start(t)
	_, again, err := ask()
	require.NoError(t, err)
	assert.Equal(t, first.SerialNumber, again.SerialNumber, "what was had is kept")
}
