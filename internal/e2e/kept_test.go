package e2e

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKeptResponsesBelongToTenants continues a conversation that the provider keeps for another tenant.
func TestKeptResponsesBelongToTenants(t *testing.T) {
	t.Parallel()
	n, _ := passNode(t)
	ann, eve := n.as(t, "ann"), n.as(t, "eve")
	made := ann.do("POST", "/v1/responses", `{"model":"m","input":"remember this","store":true}`)
	require.Equal(t, 200, made.status, made.body)
	var response struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(made.body), &response))
	next := `{"model":"m","input":"and now?","previous_response_id":"` + response.ID + `"}`
	eve.do("POST", "/v1/responses", next).wantError(t, 404, "not_found")
	a := ann.do("POST", "/v1/responses", next)
	assert.Equal(t, 200, a.status, a.body)
	assert.Equal(t, "bypass", a.header.Get("X-Wedge-Cache"))
}
