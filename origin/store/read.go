package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Resource is what there is under a kind and a name.
type Resource struct {
	Kind, Name       string
	Version          int64 // the revision that changed it last
	Created, Updated time.Time
	Body             []byte
}

// Record tells who made a revision, when, why and what it touched. It outlives the bodies.
type Record struct {
	Rev           int64
	At            time.Time
	Actor, Reason string
	Chain         Chain
	Payload       []byte // see wire.ParsePayload
}

// Change is a whole revision.
type Change struct {
	Record
	Ops []Op // in the order in which they were given; Expect says nothing
}

// Past is what a resource was from a revision on.
type Past struct {
	Rev           int64
	At            time.Time
	Actor, Reason string
	Body          []byte // nil: deleted
}

// Limits of what one call returns.
const (
	maxPage      = 1000
	maxPageBytes = 8 << 20 // of bodies; one change is returned however large it is
)

// Head returns the last revision of the present epoch.
func (s *Store) Head(ctx context.Context) (Head, error) {
	return scanHead(s.read().QueryRowContext(ctx, "select epoch, rev, at, chain from head where id = 1"))
}

const resourceColumns = "kind, name, rev, created, updated, body"

func (r *Resource) scan(scan func(...any) error) error {
	var created, updated int64
	err := scan(&r.Kind, &r.Name, &r.Version, &created, &updated, &r.Body)
	r.Created, r.Updated = timeOf(created), timeOf(updated)
	return err
}

// Get returns a resource, or ErrNotFound.
func (s *Store) Get(ctx context.Context, kind, name string) (Resource, error) {
	return get(ctx, s.read(), s.say, kind, name)
}

// Get returns a resource as the transaction sees it, or ErrNotFound.
func (t *Tx) Get(kind, name string) (Resource, error) {
	return get(t.ctx, t.tx, t.store.say, kind, name)
}

func get(ctx context.Context, q querier, say func(string) string, kind, name string) (r Resource, err error) {
	row := q.QueryRowContext(ctx, say("select "+resourceColumns+" from resources where kind = ? and name = ?"), kind, name)
	err = r.scan(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Resource{}, fmt.Errorf("cannot read %s %q: %w", kind, name, err)
	}
	return r, nil
}

// List returns up to limit resources of a kind whose names follow after, in the order of their names' bytes. Where it
// returns limit of them, or 1000, there may be more: ask again after the last one's name.
func (s *Store) List(ctx context.Context, kind, after string, limit int) ([]Resource, error) {
	var found []Resource
	rows, err := s.read().QueryContext(ctx, s.say("select "+resourceColumns+
		" from resources where kind = ? and name > ? order by name limit ?"), kind, after, page(limit))
	if err == nil {
		err = each(rows, func() error {
			var r Resource
			err := r.scan(rows.Scan)
			found = append(found, r)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the resources of kind %s: %w", kind, err)
	}
	return found, nil
}

func page(limit int) int {
	if limit <= 0 {
		return maxPage
	}
	return min(limit, maxPage)
}

// History returns up to limit of the last bodies and deletions of a resource, the last one first, of revisions below
// before (0: all) that have not been compacted.
func (s *Store) History(ctx context.Context, kind, name string, before int64, limit int) ([]Past, error) {
	if before <= 0 {
		before = 1<<63 - 1
	}
	var found []Past
	rows, err := s.read().QueryContext(ctx, s.say(`select h.rev, h.body, c.at, c.actor, c.reason
		from history h join changes c on c.rev = h.rev
		where h.kind = ? and h.name = ? and h.rev < ? and h.rev > (select kept from head where id = 1)
		order by h.rev desc limit ?`), kind, name, before, page(limit))
	if err == nil {
		err = each(rows, func() error {
			var p Past
			var at int64
			err := rows.Scan(&p.Rev, &p.Body, &at, &p.Actor, &p.Reason)
			p.At = timeOf(at)
			found = append(found, p)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the history of %s %q: %w", kind, name, err)
	}
	return found, nil
}

// Changes returns up to limit changes after a revision, in order, and the head at that moment: a reader whose last
// change is at the head has them all. It stops before limit where the bodies get large. ErrCompacted and ErrAhead tell
// the reader to take a Snapshot.
func (s *Store) Changes(ctx context.Context, after int64, limit int) (changes []Change, head Head, err error) {
	err = s.View(ctx, func(t *Tx) error {
		if head, err = t.head(""); err != nil {
			return err
		}
		var kept int64
		if err := t.Row("select kept from head where id = 1").Scan(&kept); err != nil {
			return err
		}
		switch {
		case after < kept:
			return fmt.Errorf("%w: the changes up to revision %d are gone: take a snapshot", ErrCompacted, kept)
		case after > head.Rev:
			return fmt.Errorf("%w: the head is revision %d of epoch %d: take a snapshot", ErrAhead, head.Rev, head.Epoch)
		}
		changes, err = t.changes(after, page(limit))
		return err
	})
	if err != nil {
		return nil, Head{}, fmt.Errorf("cannot read the changes after revision %d: %w", after, err)
	}
	return changes, head, nil
}

// changes reads whole changes, as many as fit into a page.
func (t *Tx) changes(after int64, limit int) ([]Change, error) {
	rows, err := t.Query("select "+recordColumns+", size from changes where rev > ? order by rev limit ?", after, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var changes []Change
	for total := int64(0); rows.Next(); {
		var c Change
		var size int64
		if err := c.scan(rows.Scan, &size); err != nil {
			return nil, err
		}
		if total += size; total > maxPageBytes && len(changes) > 0 {
			break
		}
		changes = append(changes, c)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(changes) == 0 {
		return nil, err
	}
	return changes, t.fill(changes)
}

// fill reads the operations of changes that follow one another.
func (t *Tx) fill(changes []Change) error {
	first := changes[0].Rev
	rows, err := t.Query("select rev, kind, name, body from history where rev >= ? and rev <= ? order by rev, seq",
		first, changes[len(changes)-1].Rev)
	if err != nil {
		return err
	}
	return each(rows, func() error {
		var rev int64
		var op Op
		if err := rows.Scan(&rev, &op.Kind, &op.Name, &op.Body); err != nil {
			return err
		}
		if n := rev - first; n >= int64(len(changes)) || changes[n].Rev != rev {
			return corrupt("between revisions %d and %d one has no record", first, rev)
		}
		op.Delete = op.Body == nil
		changes[rev-first].Ops = append(changes[rev-first].Ops, op)
		return nil
	})
}

const recordColumns = "rev, at, actor, reason, payload, chain"

func (r *Record) scan(scan func(...any) error, more ...any) error {
	var at int64
	var chain []byte
	err := scan(append([]any{&r.Rev, &at, &r.Actor, &r.Reason, &r.Payload, &chain}, more...)...)
	r.At = timeOf(at)
	copy(r.Chain[:], chain)
	return err
}

// Audit returns up to limit records of revisions below before (0: all), the last one first. Their payloads tell what
// they touched even where the bodies have been compacted.
func (s *Store) Audit(ctx context.Context, before int64, limit int) ([]Record, error) {
	if before <= 0 {
		before = 1<<63 - 1
	}
	var found []Record
	rows, err := s.read().QueryContext(ctx, s.say("select "+recordColumns+
		" from changes where rev < ? order by rev desc limit ?"), before, page(limit))
	if err == nil {
		err = each(rows, func() error {
			var r Record
			err := r.scan(rows.Scan)
			found = append(found, r)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the audit trail: %w", err)
	}
	return found, nil
}

// Snapshot calls f for every resource there is at the head, ordered by kind and name, and returns that head, which f
// is told as well. Where the database asks for another try it starts over, with the first resource.
func (s *Store) Snapshot(ctx context.Context, f func(head Head, r Resource) error) (head Head, err error) {
	err = s.View(ctx, func(t *Tx) error {
		if head, err = t.head(""); err != nil {
			return err
		}
		rows, err := t.Query("select " + resourceColumns + " from resources order by kind, name")
		if err != nil {
			return err
		}
		return each(rows, func() error {
			var r Resource
			if err := r.scan(rows.Scan); err != nil {
				return err
			}
			return f(head, r)
		})
	})
	if err != nil {
		return Head{}, fmt.Errorf("cannot take a snapshot: %w", err)
	}
	return head, nil
}
