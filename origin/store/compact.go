package store

import (
	"context"
	"fmt"
	"time"
)

// Cut says what Compact forgets: the bodies that revisions up to Rev put, or those that were made before a time. What
// is at the head stays, of course, and so do the records of who changed what, unless Audit says otherwise.
type Cut struct {
	Rev    int64
	Before time.Time // in place of Rev
	Audit  bool      // forget the records of these revisions, too
}

// revsPerCut bounds the rows that one transaction of Compact deletes, so that changes get their turn in between.
const revsPerCut = 500

// Compact forgets history and returns the revision up to which it has been forgotten. Readers that ask for what
// followed an earlier one get ErrCompacted. The chain can still be verified, from the oldest record on.
func (s *Store) Compact(ctx context.Context, cut Cut) (kept int64, err error) {
	var base int64
	err = s.Update(ctx, func(t *Tx) error {
		kept, base, err = t.cut(cut)
		return err
	})
	if err == nil {
		err = s.forget(ctx, "history", kept)
	}
	if err == nil {
		err = s.forget(ctx, "changes", base)
	}
	if err == nil {
		// A body that is still at the head keeps its blobs.
		err = s.Update(ctx, func(t *Tx) error {
			return t.run(`delete from blob_refs where rev <= ? and not exists (select 1 from resources r
				where r.kind = blob_refs.kind and r.name = blob_refs.name and r.rev = blob_refs.rev)`, kept)
		})
	}
	if err != nil {
		return 0, fmt.Errorf("cannot compact the history: %w", err)
	}
	return kept, nil
}

// cut writes down where the history and the records begin from now on, which readers go by from this moment.
func (t *Tx) cut(cut Cut) (kept, base int64, err error) {
	var rev int64
	if err := t.Row("select rev, kept, base from head where id = 1 {for update}").Scan(&rev, &kept, &base); err != nil {
		return 0, 0, err
	}
	to := cut.Rev
	if !cut.Before.IsZero() {
		// The last revision before the first one that is younger: clocks may have been wrong in between.
		err := t.Row("select coalesce(min(rev) - 1, ?) from changes where at >= ?", rev, cut.Before.UnixMicro()).Scan(&to)
		if err != nil {
			return 0, 0, err
		}
	}
	if to > rev {
		return 0, 0, invalid("revision %d is still to come: the head is at %d", to, rev)
	}
	kept = max(kept, to)
	if cut.Audit && to > base {
		var chain []byte
		if err := t.Row("select chain from changes where rev = ?", to).Scan(&chain); err != nil {
			return 0, 0, fmt.Errorf("the record of revision %d: %w", to, err)
		}
		base = to
		if err := t.run("update head set base = ?, base_chain = ? where id = 1", base, chain); err != nil {
			return 0, 0, err
		}
	}
	return kept, base, t.run("update head set kept = ? where id = 1", kept)
}

// forget deletes a table's rows up to a revision, a few at a time. Where it is interrupted, the next Compact goes on.
func (s *Store) forget(ctx context.Context, table string, upTo int64) error {
	for {
		var first int64
		err := s.Update(ctx, func(t *Tx) error {
			if err := t.Row("select coalesce(min(rev), ?) from "+table, upTo+1).Scan(&first); err != nil || first > upTo {
				return err
			}
			return t.run("delete from "+table+" where rev <= ?", min(first+revsPerCut-1, upTo))
		})
		if err != nil || first > upTo {
			return err
		}
	}
}
