package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"github.com/wedge-proxy/wedge/wire"
	"strings"
	"time"
)

// requestsKept is how long an idempotency key stands for its change.
const requestsKept = 24 * time.Hour

// Apply makes the change set one revision and returns the head that it made.
func (s *Store) Apply(ctx context.Context, set ChangeSet) (Head, error) {
	p, err := s.prepare(&set)
	if err != nil {
		return Head{}, err
	}
	var head Head
	err = s.Update(ctx, func(t *Tx) error {
		head, err = t.apply(p)
		return err
	})
	if err != nil {
		return Head{}, fmt.Errorf("cannot store the change of %s: %w", set.Actor, err)
	}
	return head, nil
}

// Apply makes the change set one revision, together with whatever else the transaction does.
func (t *Tx) Apply(set ChangeSet) (Head, error) {
	p, err := t.store.prepare(&set)
	if err != nil {
		return Head{}, err
	}
	return t.apply(p)
}

func (t *Tx) apply(p *prepared) (Head, error) {
	// From here on every other change waits.
	head, err := t.head("{for update}")
	if err != nil {
		return Head{}, err
	}
	now := t.store.now()
	if p.Key != "" {
		first, err := t.repeated(p, now)
		if err != nil || first.Rev > 0 {
			return first, err
		}
	}
	current, err := t.current(p.Ops)
	if err != nil {
		return Head{}, err
	}
	if err := expect(p.Ops, current); err != nil {
		return Head{}, err
	}
	payload := Payload{At: now, Audit: wire.AuditDigest(p.Actor, p.Reason), Items: p.items}
	encoded := payload.Append(nil)
	head.Rev, head.IssuedAt = head.Rev+1, now
	head.Chain = head.Chain.Next(head.Rev, encoded)
	if err := t.record(p, head, encoded); err != nil {
		return Head{}, err
	}
	if err := t.place(p, head.Rev, now, current); err != nil {
		return Head{}, err
	}
	t.rev = head.Rev
	return head, nil
}

// head is the row that counts revisions. {for update} behind it makes the transaction the only one that changes it.
func (t *Tx) head(suffix string) (head Head, err error) {
	return scanHead(t.Row("select epoch, rev, at, chain from head where id = 1 " + suffix))
}

func scanHead(row *sql.Row) (head Head, err error) {
	var at int64
	var chain []byte
	if err := row.Scan(&head.Epoch, &head.Rev, &at, &chain); err != nil {
		return Head{}, fmt.Errorf("cannot read the head: %w", err)
	}
	head.IssuedAt = timeOf(at)
	if copy(head.Chain[:], chain) != len(chain) {
		return Head{}, corrupt("the chain of the head has %d bytes", len(chain))
	}
	return head, nil
}

// repeated returns the head that the change with this key made before, or keeps the key for this one; then the head is
// zero.
func (t *Tx) repeated(p *prepared, now time.Time) (Head, error) {
	if err := t.run("delete from requests where at <= ?", now.Add(-requestsKept).UnixMicro()); err != nil {
		return Head{}, err
	}
	var digest []byte
	err := t.Row("select digest from requests where token = ?", p.Key).Scan(&digest)
	if errors.Is(err, sql.ErrNoRows) {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, err
	}
	if string(digest) != string(p.request[:]) {
		return Head{}, fmt.Errorf("%w: %q: take a new key for each change", ErrKeyUsed, p.Key)
	}
	return scanHead(t.Row("select epoch, rev, at, chain from requests where token = ?", p.Key))
}

type resourceID struct{ kind, name string }

// state is what is known of a resource that a change is about.
type state struct{ rev, created int64 }

// current finds the resources that the operations are about.
func (t *Tx) current(ops []Op) (map[resourceID]state, error) {
	found := make(map[resourceID]state, len(ops))
	for len(ops) > 0 {
		n := min(len(ops), rowsPerInsert)
		args := make([]any, 0, 2*n)
		for i := range ops[:n] {
			args = append(args, ops[i].Kind, ops[i].Name)
		}
		rows, err := t.Query("select kind, name, rev, created from resources where (kind, name) in (values "+
			strings.TrimSuffix(strings.Repeat("(?,?),", n), ",")+")", args...)
		if err != nil {
			return nil, err
		}
		err = each(rows, func() error {
			var id resourceID
			var s state
			err := rows.Scan(&id.kind, &id.name, &s.rev, &s.created)
			found[id] = s
			return err
		})
		if err != nil {
			return nil, err
		}
		ops = ops[n:]
	}
	return found, nil
}

// each calls f for every row, and closes them.
func each(rows *sql.Rows, f func() error) error {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// expect compares what the operations expect with what there is.
func expect(ops []Op, current map[resourceID]state) error {
	for i := range ops {
		op := &ops[i]
		is := current[resourceID{op.Kind, op.Name}].rev
		if op.Expect != Any && op.Expect != is {
			return &ConflictError{Kind: op.Kind, Name: op.Name, Expected: op.Expect, Current: is}
		}
		if op.Delete && is == Absent {
			return fmt.Errorf("cannot delete %s %q: %w", op.Kind, op.Name, ErrNotFound)
		}
	}
	return nil
}

// record writes the revision down: who, when, why, what, and the new head.
func (t *Tx) record(p *prepared, head Head, payload []byte) error {
	at := head.IssuedAt.UnixMicro()
	err := t.run("insert into changes (rev, at, actor, reason, size, payload, chain) values (?, ?, ?, ?, ?, ?, ?)",
		head.Rev, at, p.Actor, p.Reason, p.size, payload, head.Chain[:])
	if err != nil {
		return err
	}
	history := make([][]any, len(p.Ops))
	for i := range p.Ops {
		op := &p.Ops[i]
		history[i] = []any{head.Rev, i, op.Kind, op.Name, bodyOf(op)}
	}
	if err := t.Insert("history", []string{"rev", "seq", "kind", "name", "body"}, history, ""); err != nil {
		return err
	}
	if p.Key != "" {
		err := t.run("insert into requests (token, digest, epoch, rev, at, chain) values (?, ?, ?, ?, ?, ?)",
			p.Key, p.request[:], head.Epoch, head.Rev, at, head.Chain[:])
		if err != nil {
			return err
		}
	}
	return t.run("update head set rev = ?, at = ?, chain = ? where id = 1", head.Rev, at, head.Chain[:])
}

// bodyOf is the body as a column takes it: null where there is none.
func bodyOf(op *Op) any {
	if op.Delete {
		return nil
	}
	return op.Body
}

// place makes the resources what the change says.
func (t *Tx) place(p *prepared, rev int64, now time.Time, current map[resourceID]state) error {
	var put, refs [][]any
	for i := range p.Ops {
		op := &p.Ops[i]
		if op.Delete {
			if err := t.run("delete from resources where kind = ? and name = ?", op.Kind, op.Name); err != nil {
				return err
			}
			continue
		}
		created := now.UnixMicro()
		if was, there := current[resourceID{op.Kind, op.Name}]; there {
			created = was.created
		}
		put = append(put, []any{op.Kind, op.Name, rev, created, now.UnixMicro(), op.Body})
		for _, digest := range p.blobs[i] {
			if err := t.needBlob(op, digest); err != nil {
				return err
			}
			refs = append(refs, []any{digest, rev, op.Kind, op.Name})
		}
	}
	err := t.Insert("resources", []string{"kind", "name", "rev", "created", "updated", "body"}, put,
		"on conflict (kind, name) do update set rev = excluded.rev, updated = excluded.updated, body = excluded.body")
	if err != nil {
		return err
	}
	return t.Insert("blob_refs", []string{"digest", "rev", "kind", "name"}, refs, "on conflict do nothing")
}

// needBlob makes sure that a blob is there, and stays: CollectBlobs waits for this transaction at the head.
func (t *Tx) needBlob(op *Op, digest string) error {
	var n int
	if err := t.Row("select count(*) from blobs where digest = ?", digest).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return invalid("cannot store %s %q: it names the blob %s, which is not here: put the blob first", op.Kind, op.Name, digest)
	}
	return nil
}

// digestOf is SHA-256 in the form that names blobs.
func digestOf(sum [sha256.Size]byte) string { return fmt.Sprintf("sha256:%x", sum) }
