package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

// Pages of the origins that a node allows may ask, and see all that is answered; others may not even ask.
func TestPagesOfOtherOrigins(t *testing.T) {
	_, at := newSim(t, sim.Options{})
	s, node := turnServer(t, at)
	ask := func(method, origin string, header ...string) *http.Response {
		r, err := http.NewRequest(method, "http://"+node+"/v1/chat/completions", strings.NewReader(`{"model":"cached","messages":[{"role":"user","content":"x"}]}`))
		require.NoError(t, err)
		r.Header.Set("Origin", origin)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		_ = resp.Body.Close()
		return resp
	}
	preflight := func(origin string) *http.Response {
		return ask("OPTIONS", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
	}
	assert.Equal(t, 405, preflight("https://app.example.com").StatusCode, "as long as none is allowed")

	s.o.Origins = []string{"*.example.com", "http://plain.test"}
	resp := preflight("https://app.example.com")
	assert.Equal(t, 204, resp.StatusCode)
	assert.Equal(t, "https://app.example.com", resp.Header.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, "authorization,content-type", resp.Header.Get("Access-Control-Allow-Headers"))
	assert.Contains(t, resp.Header.Get("Access-Control-Allow-Methods"), "POST")
	for origin, may := range map[string]bool{
		"https://app.example.com": true, "http://plain.test": true, "https://plain.test": false, "https://example.com": false,
		"https://app.example.com.evil.test": false, "null": false, "nonsense": false, "": false,
	} {
		for key, status := range map[string]int{testKey: 200, "wk_wrong": 401} {
			for range 2 { // the second one is a hit
				resp = ask("POST", origin, "Authorization", "Bearer "+key)
				assert.Equal(t, status, resp.StatusCode, origin)
				assert.Equal(t, "Origin", resp.Header.Get("Vary"))
				if may {
					assert.Equal(t, origin, resp.Header.Get("Access-Control-Allow-Origin"))
					assert.Equal(t, "*", resp.Header.Get("Access-Control-Expose-Headers"))
				} else {
					assert.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"), origin)
				}
			}
		}
		if !may {
			assert.NotEqual(t, 204, preflight(origin).StatusCode, origin)
		}
	}
}

func TestCheckOrigin(t *testing.T) {
	for _, good := range []string{"*", "app.example.com", "*.example.com:8443", "https://app.example.com"} {
		assert.NoError(t, CheckOrigin(good))
	}
	assert.Error(t, CheckOrigin("[a"))
}
