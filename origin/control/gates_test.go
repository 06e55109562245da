package control

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// A provider that wants to know who asks is there; one that nobody listens for is not.
func TestReach(t *testing.T) {
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + r.Header.Get("Authorization")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	p := &wire.Provider{Name: "p", BaseURL: server.URL + "/v1", APIKey: "${KEY}"}
	require.NoError(t, reach(t.Context(), p))
	assert.Equal(t, "/v1/models", asked)
	server.Close()
	require.ErrorContains(t, reach(t.Context(), p), "refused")
}
