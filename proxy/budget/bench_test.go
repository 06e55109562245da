package budget

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// nested is a book with four budgets that have plenty, and their accounts.
func nested(tb testing.TB) (*Book, []*Account) {
	now := at
	var rules []wire.Budget
	for i := range 4 {
		rules = append(rules, rule(fmt.Sprint("b", i), 1e18, func(b *wire.Budget) { b.Period = "total" }))
	}
	b := open(tb, newDisk(), nil, &now, rules...)
	var accounts []*Account
	for i := range rules {
		accounts = append(accounts, b.Account(rules[i].Name))
	}
	var h Hold
	require.Nil(tb, admit(b, &h, 1e15, now, "b0", "b1", "b2", "b3"))
	require.NoError(tb, b.Flush())
	h.Settle(1)
	return b, accounts
}

// BenchmarkAdmit holds money in four budgets, and settles.
func BenchmarkAdmit(b *testing.B) {
	book, accounts := nested(b)
	var h Hold
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if book.Admit(&h, accounts, 10, now) != nil {
			b.Fatal("short")
		}
		h.Settle(7)
	}
}

// BenchmarkAdmitParallel does so from every processor, in the same budgets.
func BenchmarkAdmitParallel(b *testing.B) {
	book, accounts := nested(b)
	now := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		var h Hold
		for pb.Next() {
			if book.Admit(&h, accounts, 10, now) == nil {
				h.Settle(7)
			}
		}
	})
}
