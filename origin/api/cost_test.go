package api

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

// booked is a server with some usage: 2.5 USD on openai, and 3 answers without a price.
func booked(t *testing.T) *server {
	s := newServer(t)
	s.seed()
	hour := time.Now().Unix() / 3600
	_, err := s.ledger.Book(t.Context(), "n1", &wire.Report{Incarnation: "i", Seq: 1, Usage: []wire.Usage{
		{Hour: hour, Model: "bot", Version: "1.0.0", Key: "k", Team: "red", Tags: "app=shop", Provider: "openai", Target: "openai",
			Requests: 3, Input: 30, CachedInput: 20, Output: 6, CostNano: 2e9, ListNano: 3e9, WasteNano: 1e8, Estimated: 5e8},
		{Hour: hour - 30, Model: "bot", Version: "1.1.0", Key: "k", Team: "=1+1", Provider: "openai", Target: "openai", Requests: 1, CostNano: 5e8, ListNano: 4e8},
		{Hour: hour, Model: "free", Key: "j", Cache: "hit-disk", Requests: 2, Unpriced: 3, SavedNano: 1},
		{Hour: hour - 24*60, Model: "old", Key: "j", Tags: "a:b=c", Requests: 1, CostNano: 1},
	}})
	require.NoError(t, err)
	return s
}

func TestCost(t *testing.T) {
	document, _ := documentOf(t)
	s := booked(t)
	var cost Cost
	a := s.as(vault.Viewer, get, "/api/v1/cost", "").is(http.StatusOK)
	a.into(&cost)
	fitsRoute(t, document, get, "/api/v1/cost", a.body)
	require.Len(t, cost.Items, 2, "of thirty days, the dearest first")
	assert.Equal(t, map[string]string{"model": "bot"}, cost.Items[0].By)
	assert.Equal(t, CostSums{
		Cost: "2.5", CostNano: 25e8, List: "3.4", ListNano: 34e8, Discount: "0.9", DiscountNano: 9e8, Saved: "0", Waste: "0.1", WasteNano: 1e8,
		Estimated: "0.5", EstimatedNano: 5e8, Requests: 4, Input: 30, CachedInput: 20, Output: 6,
	}, cost.Items[0].CostSums)
	assert.Equal(t, "0", cost.Items[1].Cost)
	assert.Equal(t, int64(3), cost.Items[1].Unpriced)
	assert.Equal(t, "0.000000001", cost.Total.Saved)

	for query, want := range map[string]int64{
		"where=team:red": 2e9, "where=tag:app:shop": 2e9, "where=team=red,tag:app=shop": 2e9, "since=90d&where=tag:a:b=c": 1, "since=90d&where=tag:a:b:c": 0, "where=team:red,version:1.1.0": 0, "where=version:1.0.0,version:1.1.0": 25e8,
		"since=90d": 25e8 + 1, "since=2h": 2e9, "where=tenant:k": 25e8, "by=node": 25e8, "by=tag:app,team&bucket=day&tz=Asia/Tokyo": 25e8,
	} {
		s.do(get, "/api/v1/cost?"+query, "").is(http.StatusOK).into(&cost)
		assert.Equal(t, want, cost.Total.CostNano, query)
	}
	for query, says := range map[string]string{
		"by=colour": "colour", "where=team": "NAME:VALUE", "where=tag:app": "NAME:VALUE", "bucket=year": "year", "tz=Moon/Crater": "Moon",
		"tz=Local": "Local", "format=xml": "xml", "since=1h&until=2h": "not before", "after=-1": "after", "limit=0": "limit",
	} {
		s.do(get, "/api/v1/cost?"+query, "").failed(http.StatusBadRequest, codeInvalid, says)
	}
}

func TestCostPages(t *testing.T) {
	s := booked(t)
	var whole, part Cost
	s.do(get, "/api/v1/cost?by=version,team", "").is(http.StatusOK).into(&whole)
	require.Len(t, whole.Items, 3)
	var items []CostRow
	for next := ""; ; next = "&after=" + string(rune('0'+part.Next)) {
		part = Cost{}
		s.do(get, "/api/v1/cost?by=version,team&limit=1"+next, "").is(http.StatusOK).into(&part)
		items = append(items, part.Items...)
		assert.Equal(t, whole.Total, part.Total)
		if part.Next == 0 {
			break
		}
	}
	assert.Equal(t, whole.Items, items)
}

func TestCostAsCSV(t *testing.T) {
	s := booked(t)
	a := s.do(get, "/api/v1/cost?by=team&format=csv&bucket=month&since=10d", "").is(http.StatusOK)
	assert.Equal(t, "text/csv; charset=utf-8; header=present", a.header.Get("Content-Type"))
	assert.Contains(t, string(a.body), "\r\n")
	rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "start,team,cost_usd,list_usd,cache_discount_usd,saved_usd,waste_usd,estimated_usd,requests,cache_hits,unpriced,"+
		"input_tokens,cached_input_tokens,output_tokens,cost_nano_usd", strings.Join(rows[0], ","))
	found := map[string][]string{}
	for _, r := range rows[1:] {
		found[r[1]] = r[2:]
	}
	assert.Equal(t, "0.5,0.4,-0.1,0,0,0,1,0,0,0,0,0,500000000", strings.Join(found["'=1+1"], ","), "no formula for a spreadsheet")
	assert.Equal(t, "2,3,1,0,0.1,0.5,3,0,0,30,20,6,2000000000", strings.Join(found["red"], ","))
}

func TestReconcile(t *testing.T) {
	document, _ := documentOf(t)
	s := booked(t)
	today, before := time.Now().UTC(), time.Now().UTC().Add(-30*time.Hour)
	day := func(at time.Time) string { return at.Format(time.DateOnly) }
	bill := "date,model,cost\n" + day(today) + ",gpt,2.01\n" + day(before) + ",gpt,1\n" + day(before) + ",=o3,7\n"
	const path = "/api/v1/cost/reconcile?provider=openai"
	a := s.as(vault.Operator, post, path, bill, "Content-Type", mediaCSV).is(http.StatusOK)
	fitsRoute(t, document, post, "/api/v1/cost/reconcile", a.body)
	var r Reconciliation
	a.into(&r)
	assert.Equal(t, map[string]int{"matched": 1, "different": 1, "not_billed": 0, "not_counted": 1}, r.Count)
	assert.Equal(t, []int64{1001e7, 25e8}, []int64{r.Total.Billed, r.Total.Counted})
	assert.Equal(t, []string{day(before), day(today)}, []string{r.Since, r.Until})
	assert.Equal(t, int64(-5e8), r.Lines[1].Diff)
	assert.False(t, r.Matched)

	a = s.do(post, path+"&format=csv&tolerance=0&map=cost%3Dcost,%20date=date", bill, "Content-Type", mediaCSV).is(http.StatusOK)
	assert.Equal(t, "day,model,status,billed_usd,counted_usd,diff_usd,diff_percent,unpriced\r\n"+
		day(before)+",'=o3,not_counted,7,0,-7,-100.0000,0\r\n"+day(before)+",gpt,different,1,0.5,-0.5,-50.0000,0\r\n"+
		day(today)+",gpt,matched,2.01,2,-0.01,-0.4975,0\r\n", string(a.body), "a cent is no difference")

	for path, says := range map[string]string{
		"": "provider", "?provider=openai&format=xml": "xml", "?provider=openai&tolerance=NaN": "tolerance", "?provider=openai&tolerance=-1": "tolerance",
		"?provider=openai&map=date": "NAME=COLUMN", "?provider=openai&map=model=sku": "sku",
	} {
		s.do(post, "/api/v1/cost/reconcile"+path, bill, "Content-Type", mediaCSV).failed(http.StatusBadRequest, codeInvalid, says)
	}
	s.do(post, path, "date,cost\n2026-01-02,€5\n", "Content-Type", mediaCSV).failed(http.StatusBadRequest, codeInvalid, "only USD")
	s.do(post, path, "date,cost\n", "Content-Type", mediaCSV).failed(http.StatusBadRequest, codeInvalid, "no line")
	s.do(post, "/api/v1/cost/reconcile?provider=nobody", bill, "Content-Type", mediaCSV).failed(http.StatusNotFound, codeNotFound)
}
