//go:build !race

package budget

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

func TestAdmitDoesNotAllocate(t *testing.T) {
	book, accounts := nested(t)
	var h Hold
	now := time.Now()
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if book.Admit(&h, accounts, 10, now) == nil {
			h.Settle(7)
		}
	}))
}

// A budget that nobody spends of costs what its account is, and its place among the names.
func TestIdleAccountsAreSmall(t *testing.T) {
	const n = 100_000
	now := at
	b := open(t, newDisk(), nil, &now)
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("budget-", i)
	}
	rules := make([]wire.Budget, n)
	for i := range rules {
		rules[i] = rule(names[i], 1000)
	}
	place := make(map[string]*Account, n) // of the names
	var before, after runtime.MemStats
	for _, name := range names {
		place[name] = nil
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.mu.Lock()
	b.accounts = place
	b.mu.Unlock()
	b.Use(rules)
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Len(t, b.accounts, n)
	each := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / n
	t.Logf("%.1f bytes each", each)
	assert.LessOrEqual(t, each, 64.0)
	runtime.KeepAlive(rules)
}
