package usage

import (
	"bytes"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// What a provider tells that cannot be is counted as far as the origin books it, and complained of once.
func TestNumbersThatCannotBe(t *testing.T) {
	var log bytes.Buffer
	kv, c := newDisk(), newClock()
	u := open(t, kv, Options{Now: c.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	k := sampleKey()
	for range 20_000 {
		u.Add(k, Values{Requests: 1, Input: 9e14, Output: math.MaxInt64, CostNano: math.MaxInt64 / 4, WasteNano: -1, Took: time.Hour})
	}
	for range 3 {
		require.NoError(t, u.Flush())
		u.work()
		u.Add(k, Values{Requests: 1, CostNano: math.MinInt64, Took: -time.Second, FirstToken: -1})
	}
	// What an earlier release left is no better.
	bad := usageOf(&k)
	bad.Requests, bad.CostNano, bad.Latency = 1, -7, make([]int64, wire.LatencyBuckets)
	require.NoError(t, kv.Put(u.journal.partKey(u.seq, u.journal.part), appendRecord(nil, record{rows: []wire.Usage{bad}})))
	u = open(t, kv, Options{Now: c.Now})
	r, ok := u.Next()
	require.True(t, ok)
	require.Len(t, r.Usage, 1)
	for _, n := range counted(&r.Usage[0]) {
		assert.GreaterOrEqual(t, *n, int64(0))
		assert.LessOrEqual(t, *n, int64(wire.MostCounted))
	}
	assert.Equal(t, []int64{20_003, wire.MostCounted}, []int64{r.Usage[0].Requests, r.Usage[0].CostNano})
	assert.Equal(t, 1, strings.Count(log.String(), "cannot be true"), log.String())
	assert.Contains(t, log.String(), "requests=20000")
}
