package origin

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/store/pgtest"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

func TestMain(m *testing.M) {
	testkit.Main(m, goleak.Cleanup(func(code int) {
		pgtest.Stop()
		os.Exit(code)
	}))
}

// running is an origin that answers.
type running struct {
	*Origin
	t      testing.TB
	client *http.Client
	token  string
	stop   func() error // ends Run, and tells what it returned
}

var supported = wire.Support{
	OriginSecrets: true, Dialects: map[string]bool{"openai": true}, Strategies: map[string]bool{"weighted": true},
	Balances: map[string]bool{"round_robin": true, "weighted": true},
}

func start(t testing.TB, o Options) *running {
	t.Helper()
	if o.Data == "" {
		o.Data = t.TempDir()
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Support = supported
	opened, err := Open(t.Context(), o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- opened.Run(ctx) }()
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: caOf(t, o.Data)}}
	r := &running{Origin: opened, t: t, client: &http.Client{Transport: transport}}
	ended := false
	r.stop = func() error {
		if ended {
			return nil
		}
		ended = true
		cancel()
		err := <-done
		transport.CloseIdleConnections()
		return errors.Join(err, opened.Close())
	}
	t.Cleanup(func() { require.NoError(t, r.stop()) })
	token, err := os.ReadFile(filepath.Join(o.Data, adminFile))
	if err == nil {
		r.token = strings.TrimSpace(string(token))
	}
	return r
}

func caOf(t testing.TB, data string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, caFile))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(text))
	return pool
}

func (r *running) do(method, path, body string) (status int, answer string) {
	r.t.Helper()
	response := r.open(method, path, body)
	defer func() { require.NoError(r.t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(r.t, err)
	return response.StatusCode, string(text)
}

func (r *running) open(method, path, body string) *http.Response {
	r.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, r.URL()+path, strings.NewReader(body))
	require.NoError(r.t, err)
	request.Header.Set("Authorization", "Bearer "+r.token)
	response, err := r.client.Do(request)
	require.NoError(r.t, err)
	return response
}

const provider = `{"dialect":"openai","base_url":"https://x.test/v1"}`

func TestFirstStart(t *testing.T) {
	data := filepath.Join(t.TempDir(), "new", "data")
	r := start(t, Options{Data: data})
	assert.True(t, strings.HasPrefix(r.URL(), "http://127.0.0.1:"))
	for file, mode := range map[string]os.FileMode{adminFile: 0o600, caFile: 0o644, "kek": 0o600} {
		info, err := os.Stat(filepath.Join(data, file))
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), file)
	}
	status, _ := r.do("PUT", "/api/v1/providers/p", provider)
	assert.Equal(t, http.StatusCreated, status)
	status, text := r.do("GET", "/metrics", "")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, "go_goroutines")
	token := r.token
	require.NoError(t, r.stop())

	again := start(t, Options{Data: data})
	assert.Equal(t, token, again.token)
	status, text = again.do("GET", "/api/v1/providers/p", "")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, "x.test")
	head, err := again.store.Head(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 2, head.Rev, "trust, and the provider")
}

func TestTLS(t *testing.T) {
	data := t.TempDir()
	r := start(t, Options{Data: data, TLS: "on", Hosts: []string{"127.0.0.1", "wedge.test"}})
	assert.True(t, strings.HasPrefix(r.URL(), "https://127.0.0.1:"))
	response := r.open("GET", "/readyz", "")
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, 2, response.ProtoMajor)
	assert.EqualValues(t, tls.VersionTLS13, response.TLS.Version)
	for _, name := range []string{"wedge.test", "localhost", "127.0.0.1"} {
		require.NoError(t, response.TLS.PeerCertificates[0].VerifyHostname(name))
	}
	text, err := os.ReadFile(filepath.Join(data, caFile))
	require.NoError(t, err)
	block, _ := pem.Decode(text)
	_, fingerprint := r.Vault().CA()
	assert.Equal(t, fingerprint, sha256.Sum256(block.Bytes))
	last := response.TLS.PeerCertificates[len(response.TLS.PeerCertificates)-1]
	assert.Equal(t, block.Bytes, last.Raw, "nodes compare the CA's fingerprint with the join token's")

	// Whoever shows a certificate of another CA is refused before anything is read.
	other := start(t, Options{TLS: "on"})
	foreign, err := other.Vault().ServerCertificate([]string{"x"})
	require.NoError(t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: caOf(t, data), Certificates: []tls.Certificate{foreign}}}
	defer transport.CloseIdleConnections()
	_, err = (&http.Client{Transport: transport}).Get(r.URL() + "/healthz") //nolint:bodyclose // there is none
	require.ErrorContains(t, err, "certificate")
}

func TestInTheClearOnLoopbackOnly(t *testing.T) {
	for _, c := range []struct {
		mode, address string
		want          bool
		says          string
	}{
		{"", "127.0.0.1:1", false, ""}, {"auto", "[::1]:1", false, ""}, {"auto", "localhost:1", false, ""}, {"", ":1", true, ""},
		{"auto", "0.0.0.0:1", true, ""}, {"auto", "10.0.0.1:1", true, ""}, {"auto", "wedge.test:1", true, ""}, {"on", "127.0.0.1:1", true, ""},
		{"auto", "[::ffff:127.0.0.1]:1", false, ""}, {"off", "127.0.0.1:1", false, ""},
		{"off", "0.0.0.0:1", false, "without TLS"}, {"off", ":1", false, "without TLS"}, {"maybe", ":1", false, "auto, on or off"},
		{"", "nonsense", false, "host:port"},
	} {
		got, err := encrypts(c.mode, c.address)
		assert.Equal(t, c.want, got, "%s %s", c.mode, c.address)
		if c.says != "" {
			require.ErrorContains(t, err, c.says)
		} else {
			require.NoError(t, err)
		}
	}
	data := filepath.Join(t.TempDir(), "data")
	_, err := Open(t.Context(), Options{Data: data, Listen: "0.0.0.0:0", TLS: "off"})
	require.ErrorContains(t, err, "without TLS")
	assert.NoFileExists(t, filepath.Join(data, "origin.db"), "it is refused before anything is made")
}

func TestOpenFails(t *testing.T) {
	_, err := Open(t.Context(), Options{})
	require.ErrorContains(t, err, "folder")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	data := t.TempDir()
	_, err = Open(t.Context(), Options{Data: data, Listen: taken.Addr().String()})
	require.ErrorContains(t, err, "choose another address")

	r := start(t, Options{Data: data}) // nothing was left open
	_, err = Open(t.Context(), Options{Data: data, Listen: "127.0.0.1:0"})
	require.ErrorIs(t, err, store.ErrInUse)
	require.NoError(t, r.stop())
	require.NoError(t, os.WriteFile(filepath.Join(data, "kek"), []byte(strings.Repeat("ab", 32)), 0o600))
	_, err = Open(t.Context(), Options{Data: data, Listen: "127.0.0.1:0"})
	require.ErrorIs(t, err, vault.ErrKEK)
}

// At the end streams end at once, and a request that is under way is answered.
func TestShutdown(t *testing.T) {
	for _, mode := range []string{"off", "on"} {
		trying, answered := make(chan struct{}), make(chan struct{})
		r := start(t, Options{TLS: mode})
		feed := r.open("GET", "/api/v1/changes", "")
		reader, writer := io.Pipe()
		go func() {
			defer close(answered)
			request, err := http.NewRequest("PUT", r.URL()+"/api/v1/providers/late", reader)
			if !assert.NoError(t, err) {
				return
			}
			request.Header.Set("Authorization", "Bearer "+r.token)
			response, err := r.client.Do(request)
			if assert.NoError(t, err) {
				assert.Equal(t, http.StatusCreated, response.StatusCode)
				_, _ = io.Copy(io.Discard, response.Body)
				assert.NoError(t, response.Body.Close())
			}
		}()
		go func() {
			_, _ = io.WriteString(writer, provider[:10])
			close(trying)
		}()
		<-trying
		time.Sleep(50 * time.Millisecond) // the request has arrived
		stopped := make(chan error, 1)
		go func() { stopped <- r.stop() }()
		_, err := io.Copy(io.Discard, feed.Body)
		require.NoError(t, err, "the feed ends as an answer does")
		require.NoError(t, feed.Body.Close())
		_, err = io.WriteString(writer, provider[10:])
		require.NoError(t, err)
		require.NoError(t, writer.Close())
		<-answered
		require.NoError(t, <-stopped)
	}
}

// A request that does not end keeps nobody waiting for ever.
func TestShutdownBreaksOff(t *testing.T) {
	r := start(t, Options{drain: 50 * time.Millisecond})
	reader, writer := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		request, err := http.NewRequest("PUT", r.URL()+"/api/v1/providers/late", reader)
		if err == nil {
			request.Header.Set("Authorization", "Bearer "+r.token)
			var response *http.Response
			if response, err = r.client.Do(request); err == nil {
				err = response.Body.Close()
			}
		}
		failed <- err
	}()
	_, err := io.WriteString(writer, provider[:10])
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, r.stop())
	assert.Less(t, time.Since(began), 5*time.Second)
	_ = writer.Close()
	<-failed
}

func TestRestore(t *testing.T) {
	data := t.TempDir()
	r := start(t, Options{Data: data})
	_, _ = r.do("PUT", "/api/v1/providers/p", provider)
	status, backup := r.do("POST", "/api/v1/backup", "")
	require.Equal(t, http.StatusOK, status)
	before, err := r.store.Head(t.Context())
	require.NoError(t, err)
	token := r.token
	require.NoError(t, r.stop())
	file := filepath.Join(t.TempDir(), "backup")
	require.NoError(t, os.WriteFile(file, []byte(backup), 0o600))

	fresh := t.TempDir()
	_, err = Restore(t.Context(), Options{Data: fresh}, file+"x")
	require.ErrorIs(t, err, os.ErrNotExist)
	head, err := Restore(t.Context(), Options{Data: fresh}, file)
	require.ErrorIs(t, err, vault.ErrKEK, "the key is not in the backup")
	require.ErrorContains(t, err, filepath.Join(fresh, "kek"))
	assert.Greater(t, head.Epoch, before.Epoch)

	key, err := os.ReadFile(filepath.Join(data, "kek"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(fresh, "kek"), key, 0o600))
	again := start(t, Options{Data: fresh})
	again.token = token
	status, text := again.do("GET", "/api/v1/providers/p", "")
	assert.Equal(t, http.StatusOK, status, text)
	_, err = Restore(t.Context(), Options{Data: fresh}, file)
	require.Error(t, err, "it is running")
	require.NoError(t, again.stop())
	_, err = Restore(t.Context(), Options{Data: fresh}, file)
	require.ErrorIs(t, err, store.ErrNotEmpty)

	other := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(other, "kek"), key, 0o600))
	_, err = Restore(t.Context(), Options{Data: other}, file)
	require.NoError(t, err)
}

func TestResetAdmin(t *testing.T) {
	data := t.TempDir()
	r := start(t, Options{Data: data})
	lost := r.token
	require.NoError(t, r.stop())
	require.NoError(t, os.Remove(filepath.Join(data, adminFile)))
	path, err := ResetAdmin(t.Context(), Options{Data: data})
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(data, adminFile), path)
	r = start(t, Options{Data: data})
	status, _ := r.do("GET", "/api/v1/tokens", "")
	assert.Equal(t, http.StatusOK, status)
	r.token = lost
	status, _ = r.do("GET", "/api/v1/tokens", "")
	assert.Equal(t, http.StatusUnauthorized, status)
}

func TestTidy(t *testing.T) {
	r := start(t, Options{})
	for _, name := range []string{"a", "b", "c"} {
		status, _ := r.do("PUT", "/api/v1/providers/"+name, provider)
		require.Equal(t, http.StatusCreated, status)
	}
	_, err := r.store.PutBytes(t.Context(), []byte("nobody's"))
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	require.NoError(t, tidy(t.Context(), r.store, time.Now(), log))
	changes, _, err := r.store.Changes(t.Context(), 0, 10)
	require.NoError(t, err)
	assert.Len(t, changes, 4, "what is new stays")
	require.NoError(t, tidy(t.Context(), r.store, time.Now().Add(keepHistory+time.Hour), log))
	_, _, err = r.store.Changes(t.Context(), 0, 10)
	require.ErrorIs(t, err, store.ErrCompacted)
	require.NoError(t, r.store.Verify(t.Context()))
}

func TestCertificateIsRenewedInTime(t *testing.T) {
	r := start(t, Options{})
	now := time.Now()
	c := &certificate{vault: r.vault, hosts: []string{"localhost"}, now: func() time.Time { return now }}
	first, err := c.get(nil)
	require.NoError(t, err)
	now = first.Leaf.NotAfter.Add(-renewBefore - time.Minute)
	same, err := c.get(nil)
	require.NoError(t, err)
	assert.Same(t, first, same)
	now = now.Add(2 * time.Minute)
	next, err := c.get(nil)
	require.NoError(t, err)
	assert.NotSame(t, first, next)
}
