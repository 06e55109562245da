package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Reports that come while others are being booked wait, and are booked together in one transaction.
const (
	bookAtOnce = 128
	bookBytes  = 16 << 20
	bookTime   = 30 * time.Second
)

// booking is one report on its way into the books.
type booking struct {
	incarnation
	seq   int64
	body  []byte // nil: nothing was used
	reply wire.ReportReply
	err   error
	done  chan struct{}
}

// incarnation is whose reports are numbered from 1.
type incarnation struct{ node, life string }

func (a incarnation) compare(b incarnation) int {
	return cmp.Or(strings.Compare(a.node, b.node), strings.Compare(a.life, b.life))
}

// Book counts a report of a node, unless it was counted before. The reply tells the last report of the incarnation that is
// counted, also with ErrGap. After any other error it is open whether the report was: send it again.
func (l *Ledger) Book(ctx context.Context, node string, r *wire.Report) (reply wire.ReportReply, err error) {
	if err := check(node, r); err != nil {
		return reply, err
	}
	b := &booking{incarnation: incarnation{node, r.Incarnation}, seq: r.Seq, done: make(chan struct{})}
	rows, flawed := l.mended(r.Usage)
	if len(rows) > 0 {
		if b.body, err = json.Marshal(rows); err != nil {
			return reply, fmt.Errorf("ledger: cannot write down report %d of node %s: %w", r.Seq, node, err)
		}
	}
	l.mu.Lock()
	l.waiting = append(l.waiting, b)
	if !l.booking {
		l.booking = true
		go l.bookAll()
	}
	l.mu.Unlock()
	select {
	case <-b.done:
		reply, err = b.reply, b.err
	case <-ctx.Done():
		err = ctx.Err() // it may be booked nevertheless
	}
	if err != nil {
		return reply, fmt.Errorf("ledger: cannot book report %d of node %s, incarnation %s: %w", r.Seq, node, r.Incarnation, err)
	}
	if flawed > 0 && !reply.Duplicate && l.Flawed != nil {
		l.Flawed(ctx, node, r, flawed)
	}
	return reply, nil
}

// bookAll books until nobody waits.
func (l *Ledger) bookAll() {
	for {
		l.mu.Lock()
		n, size := 0, 0
		for n < len(l.waiting) && n < bookAtOnce && size < bookBytes {
			size += len(l.waiting[n].body)
			n++
		}
		some := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		l.booking = n > 0
		l.mu.Unlock()
		if n == 0 {
			return
		}
		l.bookSome(some)
	}
}

// bookSome books some reports, all or none of them.
func (l *Ledger) bookSome(some []*booking) {
	// No caller's context: the others want their reports booked, too.
	ctx, cancel := context.WithTimeout(context.Background(), bookTime)
	defer cancel()
	at := l.now().Unix()
	// Whoever locks rows in an order of its own waits for others in a circle.
	slices.SortStableFunc(some, func(a, b *booking) int { return cmp.Or(a.compare(b.incarnation), cmp.Compare(a.seq, b.seq)) })
	err := l.store.Update(ctx, func(t *store.Tx) error { return enter(t, some, at) })
	for _, b := range some {
		if err != nil {
			b.reply, b.err = wire.ReportReply{}, err
		}
		close(b.done)
	}
}

// enter moves the watermarks of the reports that follow them, and writes these down.
func enter(t *store.Tx, some []*booking, at int64) error {
	var begun [][]any
	for _, b := range some {
		if b.seq == 1 {
			begun = append(begun, []any{b.node, b.life, 0, at})
		}
	}
	columns := []string{"node", "incarnation", "seq", "at"}
	if err := t.Insert("ledger_watermarks", columns, begun, "on conflict do nothing"); err != nil {
		return err
	}
	last, err := watermarks(t, some)
	if err != nil {
		return err
	}
	var reports [][]any
	moved := map[incarnation]bool{}
	for _, b := range some {
		b.reply, b.err = wire.ReportReply{Seq: last[b.incarnation]}, nil
		switch {
		case b.seq <= b.reply.Seq:
			b.reply.Duplicate = true
			continue
		case b.seq > b.reply.Seq+1:
			b.err = fmt.Errorf("%w: the last one counted is %d", ErrGap, b.reply.Seq)
			continue
		}
		b.reply.Seq = b.seq
		last[b.incarnation], moved[b.incarnation] = b.seq, true
		if b.body != nil {
			reports = append(reports, []any{b.node, b.life, b.seq, b.body})
		}
	}
	var marks [][]any
	for i, b := range some {
		if moved[b.incarnation] && (i == 0 || some[i-1].incarnation != b.incarnation) {
			marks = append(marks, []any{b.node, b.life, last[b.incarnation], at})
		}
	}
	err = t.Insert("ledger_watermarks", columns, marks, "on conflict (node, incarnation) do update set seq = excluded.seq, at = excluded.at")
	if err != nil {
		return err
	}
	return t.Insert("ledger_reports", []string{"node", "incarnation", "seq", "body"}, reports, "")
}

// watermarks are the last reports counted of incarnations, which no other transaction can move from then on.
func watermarks(t *store.Tx, some []*booking) (map[incarnation]int64, error) {
	args := make([]any, 0, 2*len(some))
	for i, b := range some {
		if i == 0 || some[i-1].incarnation != b.incarnation {
			args = append(args, b.node, b.life)
		}
	}
	rows, err := t.Query("select node, incarnation, seq from ledger_watermarks where (node, incarnation) in (values "+
		strings.TrimSuffix(strings.Repeat("(?, ?), ", len(args)/2), ", ")+") order by node, incarnation {for update}", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	last := map[incarnation]int64{}
	for rows.Next() {
		var of incarnation
		var seq int64
		if err := rows.Scan(&of.node, &of.life, &seq); err != nil {
			return nil, err
		}
		last[of] = seq
	}
	return last, rows.Err()
}
