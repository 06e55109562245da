package api

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/spend"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

func TestBudgetsAreTold(t *testing.T) {
	s := newServer(t)
	money := s.api.options.Spend
	s.do(post, v1+"apply", `{"budgets":[{"name":"small","limit_usd":1,"period":"daily","scope":"total"},{"name":"big","limit_usd":100,"period":"total","scope":"total"}]}`).is(http.StatusOK)
	ask := func(report wire.PotReport) {
		t.Helper()
		_, err := money.Lease(t.Context(), "shop", &wire.LeaseRequest{Purse: "p", Pots: []wire.PotReport{report}})
		require.NoError(t, err)
	}
	ask(wire.PotReport{Budget: "big", Want: 4e9})
	ask(wire.PotReport{Budget: "big", Granted: 4e9, Spent: 1e9})

	var list Page[spend.Status]
	s.as(vault.Viewer, get, v1+"budgets/status?limit=1", "").is(http.StatusOK).into(&list)
	require.Len(t, list.Items, 1)
	assert.Equal(t, "big", list.Next)
	assert.Empty(t, list.Items[0].Nodes, "a list does not tell of each node")
	list = Page[spend.Status]{}
	s.as(vault.Viewer, get, v1+"budgets/status?after=big", "").is(http.StatusOK).into(&list)
	require.Len(t, list.Items, 1)
	assert.Equal(t, int64(1e9), list.Items[0].Remaining)
	assert.NotNil(t, list.Items[0].End)

	var big spend.Status
	s.as(vault.Viewer, get, v1+"budgets/big/status", "").is(http.StatusOK).into(&big)
	assert.Equal(t, []int64{1e9, 0, 3e9, 96e9}, []int64{big.Spent, big.Unverified, big.Leased, big.Remaining})
	require.Len(t, big.Nodes, 1)
	assert.Equal(t, "shop", big.Nodes[0].Node)
	s.as(vault.Viewer, get, v1+"budgets/other/status", "").is(http.StatusNotFound)

	s.as(vault.Viewer, post, v1+"budgets/big/write-off", `{"node":"shop"}`).is(http.StatusForbidden)
	s.do(post, v1+"budgets/big/write-off", `{}`).is(http.StatusBadRequest)
	s.do(post, v1+"budgets/other/write-off", `{"node":"shop"}`).is(http.StatusNotFound)
	var refused Failure
	s.do(post, v1+"budgets/big/write-off", `{"node":"shp"}`).is(http.StatusNotFound).into(&refused)
	assert.Equal(t, FailureDetail{Code: codeNotFound, Message: `there is no node "shp" that ever had any of it: those that have a lease are shop`}, refused.Error)
	s.do(get, v1+"budgets/other/status", "").is(http.StatusNotFound).into(&refused)
	assert.Equal(t, `there is no budget "other"`, refused.Error.Message)
	var done WrittenOff
	s.do(post, v1+"budgets/big/write-off", `{"node":"shop","reason":"gone"}`).is(http.StatusOK).into(&done)
	assert.Equal(t, WrittenOff{"big", "shop", 3e9}, done)
	var actions Page[Action]
	s.do(get, v1+"audit/actions", "").is(http.StatusOK).into(&actions)
	assert.Equal(t, []string{"budget.write-off", "big", "gone"}, []string{actions.Items[0].Action, actions.Items[0].Subject, actions.Items[0].Reason})
	s.as(vault.Viewer, get, v1+"budgets/big/status", "").into(&big)
	assert.Equal(t, []int64{1e9, 3e9, 0, 96e9}, []int64{big.Spent, big.Unverified, big.Leased, big.Remaining})
}
