// Package ledger counts what nodes report, each report exactly once, and tells what it comes to by hour, by version and by
// whatever else requests have in common; it knows neither nodes' connections nor what the numbers decide.
//
// A report is booked by moving its incarnation's watermark by one and writing the report down as it came, in one
// transaction with those that came at the same time, whose rows nobody else touches: so nodes hardly wait. Later, reports
// are folded into sums, by one process at a time.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

var (
	// ErrGap says that reports of the incarnation are missing before this one.
	ErrGap = errors.New("reports are missing before this one")
	// ErrReport says that a report can never be booked as it is.
	ErrReport = errors.New("not a report")
)

// Bounds of a report.
const (
	maxName = 253
	maxTags = 4096 // bytes
	maxRows = 50_000
)

// Ledger keeps the books in a store that has its Schema. It is safe for concurrent use, also by several processes.
type Ledger struct {
	store *store.Store
	now   func() time.Time

	mu      sync.Mutex
	waiting []*booking
	booking bool // somebody books what waits
}

// New opens the books.
func New(s *store.Store) *Ledger { return &Ledger{store: s, now: time.Now} }

// check refuses what no node sends.
func check(node string, r *wire.Report) error {
	refuse := func(why string) error { return fmt.Errorf("ledger: %w: %s", ErrReport, why) }
	switch {
	case node == "" || len(node) > maxName || !isText(node): // others' reports are booked with it: it must not fail
		return refuse("the node has no name, or one that is too long or no text")
	case r.Incarnation == "" || len(r.Incarnation) > maxName || !isText(r.Incarnation):
		return refuse("the incarnation is empty, too long or no text")
	case r.Seq < 1:
		return refuse("reports are numbered from 1")
	case len(r.Usage) > maxRows:
		return refuse(fmt.Sprintf("%d rows are too many", len(r.Usage)))
	}
	for i := range r.Usage {
		if why := flaw(&r.Usage[i]); why != "" {
			return refuse(fmt.Sprintf("row %d %s", i, why))
		}
	}
	return nil
}

// LastSeq is the number of the last report that was counted of the node's newest incarnation; 0 if there was none.
func (l *Ledger) LastSeq(ctx context.Context, node string) (seq int64, err error) {
	err = l.store.View(ctx, func(t *store.Tx) error {
		rows, err := t.Query("select seq from ledger_watermarks where node = ? order by at desc, incarnation desc limit 1", node)
		if err != nil {
			return err
		}
		defer rows.Close()
		if rows.Next() {
			err = rows.Scan(&seq)
		}
		return errors.Join(err, rows.Err())
	})
	if err != nil {
		return 0, fmt.Errorf("ledger: cannot read the last report of node %s: %w", node, err)
	}
	return seq, nil
}

// mostCounted bounds each number of a row: sums of honest ones stay far from the end of 64 bits.
const mostCounted = 1e15

// flaw says what is wrong with a row, "" if nothing is.
func flaw(u *wire.Usage) string {
	for _, text := range [...]string{
		u.Model, u.Version, u.Experiment, u.Arm, u.Key, u.Provider, u.Target, u.Cache, u.Code, u.Team, u.Prices,
	} {
		if len(text) > 2*maxName || !isText(text) {
			return "has a name that is too long or no text"
		}
	}
	if len(u.Tags) > maxTags || !isText(u.Tags) {
		return "has tags that are too long or no text"
	}
	numbers := [...]int64{
		u.Hour, u.Requests, u.Input, u.CachedInput, u.Output, u.CostNano, u.Unpriced, u.Estimated, u.ListNano, u.SavedNano, u.WasteNano,
		u.MicrosSum, u.TTFTSum, u.TTFTCount,
	}
	for _, n := range append(numbers[:], u.Latency...) {
		if n < 0 || n > mostCounted {
			return "has a number that is negative or too large"
		}
	}
	if len(u.Latency) > wire.LatencyBuckets {
		return "has too many latencies"
	}
	return ""
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
