package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/internal/invariants"
	"github.com/wedge-proxy/wedge/wire"
)

// A pooled exchange comes back zero, so that nothing of one request is seen by the next.
func TestExchangeComesBackZero(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	s := newTestServer(t, testCatalog(addr))
	for _, request := range [][]byte{
		rawRequest("/v1/chat/completions", testKey, chatBody(t, "cached")),
		rawRequest("/v1/chat/completions", testKey, chatBody(t, "plain")),
		rawRequest("/v1/chat/completions", testKey, bytes.Replace(chatBody(t, "plain"), []byte("{"), []byte(`{"stream":true,`), 1)),
		rawRequest("/v1/chat/completions", testKey, []byte("{")),
		rawRequest("/v1/chat/completions", "nobody", chatBody(t, "plain")),
		rawRequest("/v1/moderations", otherKey, []byte(`{"model":"plain","input":"x"}`)),
		rawRequest("/v1/nothing", otherKey, nil),
	} {
		serveLoop(t, &s.http, request, 2)
		x := exchanges.Get().(*exchange)
		assert.Empty(t, invariants.Dirty(x), string(request[:60]))
		exchanges.Put(x)
	}
}

func serveTest(t *testing.T, s *Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, s.Shutdown(context.Background()))
		require.NoError(t, <-done)
	})
	return ln.Addr().String()
}

// Catalogs are swapped while requests run; every request sees one of them, whole.
func TestPublishUnderLoad(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	s := newTestServer(t, testCatalog(addr))
	node := serveTest(t, s)
	var catalogs []*wire.Catalog
	for _, v := range []string{"1.0.0", "7.0.0"} {
		c, err := wire.ParseCatalog("test", []byte(strings.ReplaceAll(testCatalog(addr), "1.0.0", v)))
		require.NoError(t, err)
		catalogs = append(catalogs, c)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				assert.NoError(t, s.Publish(catalogs[i%2], "test"))
			}
		}
	}()
	var clients sync.WaitGroup
	for g := range 4 {
		clients.Add(1)
		go func() {
			defer clients.Done()
			nc, err := net.Dial("tcp", node)
			if !assert.NoError(t, err) {
				return
			}
			defer nc.Close()
			br := bufio.NewReader(nc)
			for i := range 300 {
				model := []string{"cached", "plain"}[i%2]
				body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"%d %d"}],"stream":%v}`, model, g, i%20, i%3 == 0)
				_, err := nc.Write(rawRequest("/v1/chat/completions", testKey, []byte(body)))
				assert.NoError(t, err)
				resp, err := http.ReadResponse(br, nil)
				if !assert.NoError(t, err) {
					return
				}
				var b bytes.Buffer
				_, err = b.ReadFrom(resp.Body)
				assert.NoError(t, err)
				_ = resp.Body.Close()
				assert.Equal(t, 200, resp.StatusCode, b.String())
			}
		}()
	}
	clients.Wait()
	close(stop)
	wg.Wait()
	nothingUnderWay(t, s)
	assert.Zero(t, s.o.Cache.Flights.Len())
}

// Two requests that differ in anything that may change the answer never share one.
func TestKeysDiffer(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	s := newTestServer(t, testCatalog(addr))
	base := `{"model":"cached@1.0.0","messages":[{"role":"user","content":"x"}]`
	requests := map[string][]byte{}
	add := func(name string, request []byte) { requests[name] = request }
	add("base", rawRequest("/v1/chat/completions", otherKey, []byte(base+`}`)))
	add("temperature", rawRequest("/v1/chat/completions", otherKey, []byte(base+`,"temperature":0.7}`)))
	add("number's spelling", rawRequest("/v1/chat/completions", otherKey, []byte(base+`,"temperature":0.70}`)))
	add("unknown field", rawRequest("/v1/chat/completions", otherKey, []byte(base+`,"x":null}`)))
	add("version", rawRequest("/v1/chat/completions", otherKey, []byte(strings.Replace(base, "1.0.0", "1.1.0", 1)+`}`)))
	add("operation", rawRequest("/v1/completions", otherKey, []byte(base+`}`)))
	add("query", rawRequest("/v1/chat/completions?a=b", otherKey, []byte(base+`}`)))
	for _, h := range []string{"OpenAI-Beta: x", "X-Custom: 1", "X-Wedge-Provider: one", "X-Wedge-Provider: two"} {
		add(h, bytes.Replace(requests["base"], []byte("Host: x\r\n"), []byte("Host: x\r\n"+h+"\r\n"), 1))
	}
	for name, request := range requests {
		assert.Contains(t, string(serveLoop(t, &s.http, request, 1).last), "X-Wedge-Cache: miss", name)
	}
	same := map[string][]byte{
		"white space":      rawRequest("/v1/chat/completions", otherKey, []byte(strings.ReplaceAll(base, ":", " : ")+` }`)),
		"order":            rawRequest("/v1/chat/completions", otherKey, []byte(`{"messages":[{"content":"x","role":"user"}],"model":"cached@1.0.0"}`)),
		"escapes":          rawRequest("/v1/chat/completions", otherKey, []byte(strings.ReplaceAll(base, `"x"`, `"\u0078"`)+`}`)),
		"transport fields": rawRequest("/v1/chat/completions", otherKey, []byte(base+`,"stream":false,"user":"u","metadata":{"a":"b"},"store":false}`)),
		"another name":     rawRequest("/v1/chat/completions", otherKey, []byte(strings.Replace(base, "1.0.0", "1.x", 1)+`}`)),
		"filled parameter": rawRequest("/v1/chat/completions", otherKey, []byte(base+`,"temperature":0.2}`)),
	}
	for name, request := range same {
		assert.Contains(t, string(serveLoop(t, &s.http, request, 1).last), "X-Wedge-Cache: hit-memory", name)
	}
	assert.Contains(t, string(serveLoop(t, &s.http, bytes.Replace(requests["base"], []byte(otherKey), []byte(testKey), 1), 1).last),
		"X-Wedge-Cache: miss", "another tenant")
}

func TestDrain(t *testing.T) {
	_, addr := newWitness(t)
	s := newTestServer(t, testCatalog(addr))
	node := serveTest(t, s)
	s.Drain(true)
	g := fetch(t, node, chatPath, chatAsk("plain", "x", false))
	assert.Equal(t, 503, g.StatusCode)
	assert.Equal(t, "draining", g.Header.Get("x-wedge-error"))
	require.ErrorContains(t, s.Ready(), "drained by the operator")
	s.Drain(false)
	assert.Equal(t, 200, fetch(t, node, chatPath, chatAsk("plain", "x", false)).StatusCode)
	require.NoError(t, s.Ready())
}
