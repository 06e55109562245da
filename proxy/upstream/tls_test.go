package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tlsServer is an HTTPS server, and a client configuration that trusts it.
func tlsServer(t *testing.T, h http.HandlerFunc) (*httptest.Server, *tls.Config) {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, &tls.Config{RootCAs: roots}
}

func tlsEndpoint(t *testing.T, s *httptest.Server, c *tls.Config) *Endpoint {
	return endpointWith(t, Options{BaseURL: s.URL, TLS: c})
}

func TestTLS(t *testing.T) {
	var resumed atomic.Int32
	long := strings.Repeat("0123456789abcdef", 10000)
	s, conf := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.TLS.DidResume {
			resumed.Add(1)
		}
		w.Header().Set("Proto", r.Proto)
		_, _ = w.Write(b)
	})
	e := tlsEndpoint(t, s, conf)
	var c Call
	for range 3 {
		for _, body := range []string{"small", long} {
			require.NoError(t, e.Do(&c, &Request{Body: []byte(body), FirstByte: 5 * time.Second}))
			b, err := c.AppendAll(nil, 1<<20)
			require.NoError(t, err)
			require.Equal(t, body, string(b))
			require.Equal(t, "HTTP/1.1", string(c.Header("proto")))
			c.Close()
		}
	}
	open, idle := e.Conns()
	require.Equal(t, []int{1, 1}, []int{open, idle}, "one connection, session tickets notwithstanding")
	require.Zero(t, resumed.Load())

	s.CloseClientConnections()
	time.Sleep(10 * time.Millisecond)
	_, err := fetch(t, e, &c)
	require.NoError(t, err, "a closed one is replaced")
	require.EqualValues(t, 1, resumed.Load(), "and its session resumed")
}

func TestTLSIsVerified(t *testing.T) {
	s, conf := tlsServer(t, func(http.ResponseWriter, *http.Request) { t.Error("a request came through") })
	other := conf.Clone()
	other.ServerName = "other.test"
	for name, c := range map[string]*tls.Config{"unknown authority": nil, "another name": other} {
		err := tlsEndpoint(t, s, c).Do(new(Call), get())
		require.ErrorIs(t, err, ErrRefused, name)
		var bad *tls.CertificateVerificationError
		assert.ErrorAs(t, err, &bad, name)
	}
}

func TestTLSServerName(t *testing.T) {
	names := make(chan string, 1)
	s := httptest.NewUnstartedServer(nil)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- h.ServerName + " " + strings.Join(h.SupportedProtos, ",")
		return nil, nil
	}}
	s.StartTLS()
	defer s.Close()
	e := endpoint(t, strings.Replace(s.URL, "127.0.0.1", "localhost", 1))
	_ = e.Do(new(Call), get())
	assert.Equal(t, "localhost http/1.1", <-names)
}

func TestTLSStream(t *testing.T) {
	next := make(chan string)
	s, conf := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for m := range next {
			for _, one := range strings.Split(m, "|") {
				_, _ = io.WriteString(w, one)
				w.(http.Flusher).Flush()
			}
		}
		<-r.Context().Done()
	})
	e := tlsEndpoint(t, s, conf)
	var c Call
	require.NoError(t, e.Do(&c, get()))
	b, err := c.AppendAvailable(nil)
	require.NoError(t, err)
	require.Empty(t, b)
	for _, m := range []string{"one", strings.Repeat("x", 40000), "a|b|c|d"} {
		next <- m
		b = b[:0]
		want := strings.ReplaceAll(m, "|", "")
		for len(b) < len(want) {
			require.NoError(t, c.Wait())
			time.Sleep(10 * time.Millisecond)
			b, err = c.AppendAvailable(b)
			require.NoError(t, err)
		}
		require.Equal(t, want, string(b))
	}
	close(next)
	outlived := abortSoon(&c)
	require.ErrorIs(t, c.Wait(), ErrAborted)
	assert.Less(t, outlived(), promptly)
	c.Close()
}

func TestTLSHandshakeEnds(t *testing.T) {
	s := listen(t, func(p *peer) { p.gone() }) // says nothing
	e := endpoint(t, strings.Replace(s.url(), "http", "https", 1))
	var c Call
	req := get()
	req.FirstByte = 50 * time.Millisecond
	require.ErrorIs(t, e.Do(&c, req), ErrTimeout)
	outlived := abortSoon(&c)
	require.ErrorIs(t, e.Do(&c, get()), ErrAborted)
	assert.Less(t, outlived(), promptly)
}
