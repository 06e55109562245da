package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// What is done when, and how much at once.
const (
	foldEvery    = time.Second
	foldReports  = 200
	foldBytes    = 8 << 20
	compactEvery = time.Hour
	// KeepHours is for how long sums are told by the hour; older ones are told by the day.
	KeepHours = 35 * 24 * time.Hour
	// KeepDays is for how long there are sums at all, and the watermarks of incarnations that reported nothing since.
	KeepDays = 400 * 24 * time.Hour
)

// Run folds reports, compacts sums and forgets the oldest ones until ctx ends, as long as it has the store's lead.
func (l *Ledger) Run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(foldEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		lead, ok, err := l.store.TryLead(ctx, "ledger")
		if err != nil && ctx.Err() == nil {
			log.Warn("cannot take the lead of the ledger", "err", err)
		}
		if err != nil || !ok {
			continue
		}
		l.lead(ctx, lead.Context(), tick.C, log)
		lead.Release()
	}
}

// lead works at each tick until ctx or the lead ends.
func (l *Ledger) lead(ctx, held context.Context, tick <-chan time.Time, log *slog.Logger) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(held, cancel)()
	var compacted time.Time
	for ctx.Err() == nil {
		err := l.Fold(ctx)
		if now := l.now(); err == nil && now.Sub(compacted) >= compactEvery {
			compacted = now
			err = errors.Join(l.Compact(ctx, now.Add(-KeepHours)), l.Forget(ctx, now.Add(-KeepDays)))
		}
		if err != nil && ctx.Err() == nil {
			log.Error("the ledger's work failed and is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-tick:
		}
	}
}

// Fold adds the reports that were booked to the sums.
func (l *Ledger) Fold(ctx context.Context) error {
	for {
		var n int
		err := l.store.View(ctx, func(t *store.Tx) error {
			return t.Row("select count(*) from (select 1 from ledger_reports limit 1) as waiting").Scan(&n)
		})
		if err == nil && n > 0 {
			err = l.store.Update(ctx, fold)
		}
		if err != nil {
			return fmt.Errorf("ledger: cannot fold reports into the sums: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

// lock keeps others from changing sums until the transaction ends: rows that two transactions change in different orders
// would end in a deadlock.
func lock(t *store.Tx) error {
	var id int64
	return t.Row("select id from ledger_fold {for update}").Scan(&id)
}

// fold folds some reports.
func fold(t *store.Tx) error {
	if err := lock(t); err != nil {
		return err
	}
	folded, b, err := readReports(t)
	if err != nil || len(folded) == 0 {
		return err
	}
	if err := b.write(t); err != nil {
		return err
	}
	for len(folded) > 0 {
		n := min(len(folded), 300)
		if _, err := t.Exec("delete from ledger_reports where (node, incarnation, seq) in (values "+
			strings.TrimSuffix(strings.Repeat("(?,?,cast(? as bigint)),", n/3), ",")+")", folded[:n]...); err != nil {
			return err
		}
		folded = folded[n:]
	}
	return nil
}

// readReports reads some reports, and returns their keys one after the other.
func readReports(t *store.Tx) (keys []any, b *batch, err error) {
	rows, err := t.Query("select node, incarnation, seq, body from ledger_reports order by node, incarnation, seq limit ?", foldReports)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	b = newBatch()
	for size := 0; size < foldBytes && rows.Next(); {
		var node, incarnation string
		var seq int64
		var body []byte
		if err := rows.Scan(&node, &incarnation, &seq, &body); err != nil {
			return nil, nil, err
		}
		var usage []wire.Usage
		if err := json.Unmarshal(body, &usage); err != nil {
			return nil, nil, fmt.Errorf("report %d of node %s, incarnation %s: %w: %w", seq, node, incarnation, store.ErrCorrupt, err)
		}
		for i := range usage {
			b.add(node, &usage[i])
		}
		keys = append(keys, node, incarnation, seq)
		size += len(body)
	}
	return keys, b, rows.Err()
}

const day = 24 // hours

// Compact puts the sums of whole days that ended before a time together, one row where there was one for each hour.
func (l *Ledger) Compact(ctx context.Context, before time.Time) error {
	end := before.Unix() / 3600 / day * day
	for _, table := range tables {
		for more := true; more; {
			err := l.store.Update(ctx, func(t *store.Tx) (err error) {
				more, err = table.compact(t, end)
				return err
			})
			if err != nil {
				return fmt.Errorf("ledger: cannot compact %s: %w", table.name, err)
			}
		}
	}
	return nil
}

// compact puts the oldest day before the hour end that has several hours together, and tells whether there was one.
func (t *table) compact(tx *store.Tx, end int64) (more bool, err error) {
	if err := lock(tx); err != nil {
		return false, err
	}
	var first *int64
	oldest := tx.Row("select min(hour) from "+t.name+" where hour < ? and hour % 24 <> 0", end)
	if err := oldest.Scan(&first); err != nil || first == nil {
		return false, err
	}
	from := *first / day * day
	totals := make([]string, len(t.measures))
	for i, m := range t.measures {
		totals[i] = "cast(sum(" + m + ") as bigint)"
	}
	names, rest := t.names(), strings.Join(t.dimensions[1:], ", ")
	names[0] = "cast(? as bigint)"
	for i, n := range names {
		if n == "id" { // any of the group's: nobody else has them
			names[i] = "min(id)"
		}
	}
	_, err = tx.Exec("insert into "+t.name+" ("+strings.Join(t.columns(), ", ")+")"+
		" select "+strings.Join(append(names, totals...), ", ")+
		" from "+t.name+" where hour > ? and hour < ? group by "+rest+" "+t.add(), from, from, from+day)
	if err == nil {
		_, err = tx.Exec("delete from "+t.name+" where hour > ? and hour < ?", from, from+day)
	}
	return true, err
}

// Forget deletes the sums of days that ended before a time, and the watermarks of incarnations that reported nothing since.
func (l *Ledger) Forget(ctx context.Context, before time.Time) error {
	err := l.store.Update(ctx, func(t *store.Tx) error {
		if err := lock(t); err != nil {
			return err
		}
		for _, table := range tables {
			if _, err := t.Exec("delete from "+table.name+" where hour < ?", before.Unix()/3600/day*day); err != nil {
				return err
			}
		}
		_, err := t.Exec("delete from ledger_watermarks where at < ?", before.Unix())
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: cannot forget old sums: %w", err)
	}
	return nil
}
