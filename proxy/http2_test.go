package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/internal/testkit"
)

// testCertificate is one that tests trust.
func testCertificate(t *testing.T) (tls.Certificate, *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	trust := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.NextProtos = nil
	return s.TLS.Certificates[0], trust
}

// http2Client speaks HTTP/2, and nothing else.
func http2Client(t *testing.T, trust *tls.Config) *http.Client {
	t.Helper()
	var p http.Protocols
	p.SetHTTP2(trust != nil)
	p.SetUnencryptedHTTP2(trust == nil)
	tr := &http.Transport{TLSClientConfig: trust, Protocols: &p}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// http2Servers are the ways in which clients may speak HTTP/2, with a client for each.
func http2Servers(t *testing.T, each func(t *testing.T, s *Server, provider *sim.Server, url string, c *http.Client)) {
	t.Helper()
	for _, name := range []string{"tls", "plain"} {
		t.Run(name, func(t *testing.T) {
			provider, addr := newSim(t, sim.Options{LogSize: 100})
			s := newTestServer(t, testCatalog(addr))
			scheme, trust := "http://", (*tls.Config)(nil)
			if name == "tls" {
				var cert tls.Certificate
				cert, trust = testCertificate(t)
				scheme, s.o.TLS = "https://", &tls.Config{Certificates: []tls.Certificate{cert}}
			} else {
				s.o.PlainHTTP2 = true
			}
			each(t, s, provider, scheme+serveTest(t, s), http2Client(t, trust))
		})
	}
}

func ask2(t *testing.T, c *http.Client, url, key string, body []byte, headers ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions", bytes.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, answer
}

func TestHTTP2(t *testing.T) {
	http2Servers(t, func(t *testing.T, s *Server, _ *sim.Server, url string, c *http.Client) {
		body := chatBody(t, "cached")
		first, answer := ask2(t, c, url, testKey, body)
		assert.Equal(t, "HTTP/2.0", first.Proto)
		assert.Equal(t, 200, first.StatusCode, string(answer))
		assert.Equal(t, "miss", first.Header.Get("X-Wedge-Cache"))
		assert.Empty(t, first.Header.Get("Connection"))
		again, same := ask2(t, c, url, testKey, body)
		assert.Equal(t, "hit-memory", again.Header.Get("X-Wedge-Cache"))
		assert.Equal(t, string(answer), string(same))
		assert.EqualValues(t, len(same), again.ContentLength)

		// Equal bodies with other headers are other requests.
		skipped, _ := ask2(t, c, url, testKey, body, "X-Wedge-Cache", "no-store")
		assert.Equal(t, "bypass", skipped.Header.Get("X-Wedge-Cache"))
		other, _ := ask2(t, c, url, otherKey, body)
		assert.Equal(t, "miss", other.Header.Get("X-Wedge-Cache"))

		stream := bytes.Replace(chatBody(t, "plain"), []byte("{"), []byte(`{"stream":true,`), 1)
		streamed, events := ask2(t, c, url, testKey, stream)
		assert.Equal(t, "text/event-stream", strings.Split(streamed.Header.Get("Content-Type"), ";")[0])
		assert.True(t, bytes.HasSuffix(events, []byte("data: [DONE]\n\n")), string(events))
		assert.Contains(t, string(events), ": wedge {")

		refused, why := ask2(t, c, url, "nobody", body)
		assert.Equal(t, 401, refused.StatusCode)
		assert.Equal(t, "unauthenticated", refused.Header.Get("X-Wedge-Error"), string(why))
		broken, why := ask2(t, c, url, testKey, []byte("{"))
		assert.Equal(t, 400, broken.StatusCode)
		assert.Contains(t, string(why), "invalid_json")

		s.o.MaxBody = 100
		large, why := ask2(t, c, url, testKey, body)
		assert.Equal(t, 413, large.StatusCode, string(why))
		nothingUnderWay(t, s)

		resp, err := c.Get(url + "/v1/models?key=" + testKey)
		require.NoError(t, err)
		defer resp.Body.Close()
		assert.Equal(t, 200, resp.StatusCode)
	})
}

// Clients that speak HTTP/1.1 come to the same port.
func TestHTTP1BesideHTTP2(t *testing.T) {
	http2Servers(t, func(t *testing.T, _ *Server, _ *sim.Server, url string, c *http.Client) {
		tr := &http.Transport{TLSClientConfig: c.Transport.(*http.Transport).TLSClientConfig}
		defer tr.CloseIdleConnections()
		for range 2 {
			resp, answer := ask2(t, &http.Client{Transport: tr}, url, testKey, chatBody(t, "plain"))
			assert.Equal(t, "HTTP/1.1", resp.Proto)
			assert.Equal(t, 200, resp.StatusCode, string(answer))
		}
		bare, err := net.Dial("tcp", url[strings.LastIndex(url, "/")+1:])
		require.NoError(t, err)
		_ = bare.Close() // before it said what it speaks
	})
}

// A client that leaves takes the provider's call with it, and leaves the others on its connection alone.
func TestHTTP2ClientLeaves(t *testing.T) {
	ended := make(chan struct{}, 1)
	provider := scripted(t, func(_ int, w net.Conn, _ string) {
		_, _ = io.WriteString(w, streamHead)
		chunk(w, deltaEvent(`"A"`))
		_, _ = io.Copy(io.Discard, w)
		ended <- struct{}{}
	})
	s := newCorner(t, provider)
	s.o.PlainHTTP2 = true
	url, c := "http://"+serveTest(t, s), http2Client(t, nil)
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+chatPath, strings.NewReader(chatAsk("pair", "x", true)))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := c.Do(r)
	require.NoError(t, err)
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, `"A"`)
	began := time.Now()
	leave()
	<-ended
	assert.Less(t, time.Since(began), time.Second)
	testkit.Eventually(t, 5*time.Second, func() error {
		if n := s.inFlight.Load(); n != 0 {
			return fmt.Errorf("%d requests are under way", n)
		}
		return nil
	})
	_ = resp.Body.Close()
}

// A stream that breaks is no whole answer over HTTP/2 either.
func TestHTTP2BrokenPassThrough(t *testing.T) {
	provider := scripted(t, func(_ int, w net.Conn, _ string) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n")
		chunk(w, "begin")
	})
	s := newCorner(t, provider)
	s.o.PlainHTTP2 = true
	url, c := "http://"+serveTest(t, s), http2Client(t, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/audio/speech", strings.NewReader(`{"model":"pair","input":"x","voice":"a"}`))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := c.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	assert.Error(t, err)
}

// Requests under way end well when the server shuts down, and its clients are told to go elsewhere.
func TestHTTP2Shutdown(t *testing.T) {
	http2Servers(t, func(t *testing.T, s *Server, provider *sim.Server, url string, c *http.Client) {
		body := bytes.Replace(chatBody(t, "plain"), []byte("{"), []byte(`{"stream":true,`), 1)
		var asked sync.WaitGroup
		for range 5 {
			asked.Go(func() {
				resp, events := ask2(t, c, url, testKey, body, "X-Sim-Ttft", "1s")
				assert.Equal(t, 200, resp.StatusCode)
				assert.True(t, bytes.HasSuffix(events, []byte("data: [DONE]\n\n")))
			})
		}
		testkit.Eventually(t, 10*time.Second, func() error {
			if n := s.inFlight.Load(); n != 5 {
				return fmt.Errorf("%d requests are under way", n)
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
		asked.Wait()
	})
}
