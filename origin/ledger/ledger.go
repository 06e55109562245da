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
	"slices"
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
	maxNode = 253
	maxName = 2 * maxNode // of a row's
	maxTags = 4096        // bytes
	maxRows = 50_000
)

// Ledger keeps the books in a store that has its Schema. It is safe for concurrent use, also by several processes.
type Ledger struct {
	// Flawed hears of reports, some rows of which tell what cannot be: they were booked with what can. It may be set before
	// anything is booked.
	Flawed func(ctx context.Context, node string, r *wire.Report, rows int)

	store *store.Store
	now   func() time.Time

	mu      sync.Mutex
	waiting []*booking
	booking bool // somebody books what waits
}

// New opens the books.
func New(s *store.Store) *Ledger { return &Ledger{store: s, now: time.Now} }

// check refuses what is no report. What is wrong with a row is no reason to: nothing that the node tells later could be
// booked.
func check(node string, r *wire.Report) error {
	refuse := func(why string) error { return fmt.Errorf("ledger: %w: %s", ErrReport, why) }
	switch {
	case node == "" || len(node) > maxNode || !isText(node): // others' reports are booked with it: it must not fail
		return refuse("the node has no name, or one that is too long or no text")
	case r.Incarnation == "" || len(r.Incarnation) > maxNode || !isText(r.Incarnation):
		return refuse("the incarnation is empty, too long or no text")
	case r.Seq < 1:
		return refuse("reports are numbered from 1")
	case len(r.Usage) > maxRows:
		return refuse(fmt.Sprintf("%d rows are too many", len(r.Usage)))
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

// lastHour is in the year 9999: later times cannot be told.
const lastHour = 253402300799 / 3600

// mended are the rows as they can be booked, and how many had to be changed for that: numbers that cannot be come as near to
// the truth as a row may tell, and what is no name is told as far as it is one.
func (l *Ledger) mended(rows []wire.Usage) (good []wire.Usage, flawed int) {
	good = rows
	for i := range rows {
		u := &rows[i]
		if !flaw(u) {
			continue
		}
		if flawed == 0 {
			good = slices.Clone(rows)
		}
		flawed++
		l.mend(&good[i])
	}
	return good, flawed
}

func flaw(u *wire.Usage) bool {
	for _, text := range textsOf(u) {
		if len(*text) > maxName || !isText(*text) {
			return true
		}
	}
	for _, n := range numbersOf(u) {
		if *n < 0 || *n > wire.MostCounted {
			return true
		}
	}
	for _, n := range u.Latency {
		if n < 0 || n > wire.MostCounted {
			return true
		}
	}
	return len(u.Tags) > maxTags || !isText(u.Tags) || u.Hour < 0 || u.Hour > lastHour || len(u.Latency) > wire.LatencyBuckets
}

func (l *Ledger) mend(u *wire.Usage) {
	for _, text := range textsOf(u) {
		*text = asText(*text, maxName)
	}
	u.Tags = asText(u.Tags, maxTags)
	for _, n := range numbersOf(u) {
		*n = min(max(*n, 0), wire.MostCounted)
	}
	u.Latency = slices.Clone(u.Latency[:min(len(u.Latency), wire.LatencyBuckets)])
	for i, n := range u.Latency {
		u.Latency[i] = min(max(n, 0), wire.MostCounted)
	}
	if u.Hour < 0 || u.Hour > lastHour {
		u.Hour = l.now().Unix() / 3600
	}
}

// textsOf are a row's names.
func textsOf(u *wire.Usage) [11]*string {
	return [...]*string{
		&u.Model, &u.Version, &u.Experiment, &u.Arm, &u.Key, &u.Provider, &u.Target, &u.Cache, &u.Code, &u.Team, &u.Prices,
	}
}

// numbersOf are what a row counts, but for the latencies.
func numbersOf(u *wire.Usage) [13]*int64 {
	return [...]*int64{
		&u.Requests, &u.Input, &u.CachedInput, &u.Output, &u.CostNano, &u.Unpriced, &u.Estimated, &u.ListNano, &u.SavedNano, &u.WasteNano,
		&u.MicrosSum, &u.TTFTSum, &u.TTFTCount,
	}
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// asText is the beginning of s, without what is no text.
func asText(s string, most int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
