package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wedge-proxy/wedge/origin/vault"
)

// ask measures a request without its way through the network.
func ask(b *testing.B, s *server, request func(i int) *http.Request) {
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := request(i)
		r.Header.Set("Authorization", "Bearer "+s.tokens[vault.Admin])
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		if w.Code >= 300 {
			b.Fatal(w.Code, w.Body)
		}
	}
}

func BenchmarkGetResource(b *testing.B) {
	s := newServer(b)
	s.seed()
	ask(b, s, func(int) *http.Request { return httptest.NewRequest(get, "/api/v1/models/bot", nil) })
}

func BenchmarkPutResource(b *testing.B) {
	s := newServer(b)
	s.seed()
	ask(b, s, func(i int) *http.Request {
		body := strings.Replace(provider, "other", fmt.Sprintf("x%d", i), 1)
		return httptest.NewRequest(put, "/api/v1/providers/p", strings.NewReader(body))
	})
}
