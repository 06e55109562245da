package spend

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// kinds are those of all alerts, the earliest first.
func (o *origin) kinds() (kinds []string) {
	o.t.Helper()
	require.NoError(o.t, o.watch(context.Background()))
	alerts, err := o.Alerts(context.Background(), 0, 100)
	require.NoError(o.t, err)
	for i := range alerts {
		kinds = append([]string{strings.TrimSuffix(alerts[i].Kind+" "+string(rune('0'+alerts[i].Percent/10)), " 0")}, kinds...)
	}
	return kinds
}

func TestAlertsAreRaisedOnce(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.put(`{"budgets":[{"name":"b","limit_usd":1,"period":"daily","scope":"total","alerts":[50,80]}]}`)
		assert.Empty(t, o.kinds())
		o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Want: 1e9})
		o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Granted: 1e9, Spent: 6e8, Rate: 1})
		assert.Equal(t, []string{wire.AlertThreshold + " 5"}, o.kinds())
		o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Granted: 1e9, Spent: 6e8, Unverified: 1e7, Rate: 1e8})
		assert.Equal(t, []string{"threshold 5", "burn_rate", "unverified"}, o.kinds())
		o.lease("b", wire.PotReport{Budget: "b", Period: o.today(), Want: 1, Min: 1})
		assert.Contains(t, o.kinds(), "lease_denied")
		o.at = o.at.Add(6 * time.Minute)
		assert.Contains(t, o.kinds(), "node_offline")
		o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Granted: 1e9, Spent: 1e9})
		all := o.kinds()
		assert.Contains(t, all, "exhausted")
		assert.Contains(t, all, "threshold 8")
		assert.Equal(t, all, o.kinds(), "nothing is told twice")
		o.at = o.at.Add(24 * time.Hour)
		o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Want: 1e9})
		o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Granted: 1e9, Spent: 5e8})
		assert.Len(t, o.kinds(), len(all)+1, "a new day has its own")
		require.NoError(t, o.forget(context.Background(), o.at.Add(time.Hour)))
		assert.Empty(t, o.kinds())
	})
}

// A rolling budget's alerts are raised once in its length, not in each of the parts that it is counted in.
func TestAlertsOfRollingBudgets(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.put(`{"budgets":[{"name":"b","limit_usd":1,"period":"rolling-1h","scope":"total","alerts":[50]}]}`)
		part := func() int64 { return o.at.Truncate(5 * time.Minute).Unix() }
		for range 23 { // from half of them on, the last thirteen come to over half of the limit
			o.lease("a", wire.PotReport{Budget: "b", Period: part(), Spent: 5e7})
			o.lease("a", wire.PotReport{Budget: "b", Period: part(), Want: 1e9, Min: 1e9})
			o.kinds()
			o.at = o.at.Add(5 * time.Minute)
		}
		counts := map[string]int{}
		for _, kind := range o.kinds() {
			counts[kind]++
		}
		assert.Equal(t, []int{2, 2}, []int{counts["threshold 5"], counts["lease_denied"]}, "in two hours")
	})
}

func TestFlawsAreToldOnceADay(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.put(`{"webhooks":[{"name":"ops","url":"https://ops.example/","events":["report_flawed"]}]}`)
		for range 2 {
			for _, node := range []string{"a", "b", "a"} {
				o.Flawed(context.Background(), node, "a number")
			}
			o.at = o.at.Add(24 * time.Hour)
		}
		assert.Equal(t, slices.Repeat([]string{"report_flawed"}, 4), o.kinds())
		alerts, err := o.Alerts(context.Background(), 0, 1)
		require.NoError(t, err)
		assert.Equal(t, []string{"b", "the node b told what cannot be: a number"}, []string{alerts[0].Node, alerts[0].Message})
		all, err := o.Deliveries(context.Background(), 0, 10)
		require.NoError(t, err)
		assert.Len(t, all, 4)
	})
}

func TestFirstSpendersAreTold(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.o.Spenders = func(context.Context) (keys, models []string, err error) { return []string{"k"}, []string{"m"}, nil }
		assert.Equal(t, []string{"first_spend", "first_spend"}, o.kinds())
		o.at = o.at.Add(time.Hour)
		assert.Len(t, o.kinds(), 2)
		o.at = o.at.Add(time.Hour)
		o.o.Spenders = func(context.Context) (keys, models []string, err error) { return nil, nil, errors.New("no") }
		assert.Len(t, o.kinds(), 2, "what cannot be read is asked for later")
	})
}

// hook hears deliveries, and answers with one status after the other, the last one for ever.
type hook struct {
	mu       sync.Mutex
	statuses []int
	heads    []http.Header
	bodies   []string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heads, h.bodies = append(h.heads, r.Header), append(h.bodies, string(body))
	status := h.statuses[0]
	if len(h.statuses) > 1 {
		h.statuses = h.statuses[1:]
	}
	if status == http.StatusFound {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
}

// delivers raises an alert for a webhook and delivers it as often as said, with a day between.
func (o *origin) delivers(h *hook, secret string, rounds int) Delivery {
	o.t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	o.o.Client = &http.Client{Transport: server.Client().Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	o.put(`{"budgets":[{"name":"b","limit_usd":1,"period":"daily","scope":"total","alerts":[50]}],
		"webhooks":[{"name":"ops","url":"` + server.URL + `/token-in-the-path"` + secret + `},{"name":"deaf","url":"` + server.URL + `","events":["first_spend"]}]}`)
	o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Spent: 6e8})
	require.NoError(o.t, o.watch(context.Background()))
	for range rounds {
		require.NoError(o.t, o.deliver(context.Background()))
		o.at = o.at.Add(24 * time.Hour)
	}
	all, err := o.Deliveries(context.Background(), 0, 10)
	require.NoError(o.t, err)
	require.Len(o.t, all, 1, "only who wants to know is told")
	assert.NotContains(o.t, all[0].Error, "token-in-the-path")
	return all[0]
}

func TestDeliveriesAreSigned(t *testing.T) {
	for value, key := range map[string]string{"plain": "plain", "whsec_" + base64.StdEncoding.EncodeToString([]byte("bytes")): "bytes"} {
		onEach(t, func(t *testing.T, o *origin) {
			o.o.Secret = func(_ context.Context, name string) (string, error) {
				assert.Equal(t, "hook", name)
				return value, nil
			}
			h := &hook{statuses: []int{500, 302, 204}}
			d := o.delivers(h, `,"secret":"origin:hook"`, 5)
			assert.Equal(t, Delivery{Alert: 1, Webhook: "ops", State: StateDelivered, Tries: 3, Status: 204}, d)
			require.Len(t, h.heads, 3, "a redirect is no success, and not followed")
			for i, head := range h.heads {
				assert.Equal(t, h.heads[0].Get("Webhook-Id"), head.Get("Webhook-Id"), "by which it is known again")
				mac := hmac.New(sha256.New, []byte(key))
				mac.Write([]byte(head.Get("Webhook-Id") + "." + head.Get("Webhook-Timestamp") + "." + h.bodies[i]))
				assert.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), head.Get("Webhook-Signature"))
			}
			var m struct {
				Type string
				Data Alert
			}
			require.NoError(t, json.Unmarshal([]byte(h.bodies[2]), &m))
			assert.Equal(t, "budget.threshold", m.Type)
			assert.Equal(t, []any{"b", 50, int64(1e9), int64(6e8)}, []any{m.Data.Budget, m.Data.Percent, m.Data.Limit, m.Data.Spent})
		})
	}
}

func TestDeliveriesAreGivenUp(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		h := &hook{statuses: []int{503}}
		d := o.delivers(h, "", 20)
		assert.Equal(t, StateGivenUp, d.State)
		assert.Len(t, h.heads, len(pauses)+1)
		assert.Empty(t, h.heads[0].Get("Webhook-Signature"))
	})
	onEach(t, func(t *testing.T, o *origin) {
		h := &hook{statuses: []int{410}}
		assert.Equal(t, StateGivenUp, o.delivers(h, "", 3).State, "it is gone for good")
		assert.Len(t, h.heads, 1)
	})
	onEach(t, func(t *testing.T, o *origin) {
		o.o.Secret = func(context.Context, string) (string, error) { return "", errors.New("sealed") }
		h := &hook{statuses: []int{200}}
		d := o.delivers(h, `,"secret":"origin:hook"`, 1)
		assert.Equal(t, StateWaiting, d.State)
		assert.Contains(t, d.Error, "origin:hook")
		assert.Empty(t, h.heads, "nothing is sent unsigned")
	})
}
