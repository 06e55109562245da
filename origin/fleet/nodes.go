package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// maxPage is how many nodes are listed at once.
const maxPage = 1001 // one more than the API's, by which it knows that there are more

// scanHead reads the head within a transaction.
func scanHead(t *store.Tx) (h store.Head, err error) {
	var chain []byte
	if err := t.Row("select epoch, rev, chain from head where id = 1").Scan(&h.Epoch, &h.Rev, &chain); err != nil {
		return store.Head{}, fmt.Errorf("cannot read the head: %w", err)
	}
	copy(h.Chain[:], chain)
	return h, nil
}

// Nodes lists up to limit nodes whose names follow after, in the order of their names' bytes.
func (f *Fleet) Nodes(ctx context.Context, after string, limit int) (nodes []Node, err error) {
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	err = f.o.Store.View(ctx, func(t *store.Tx) (err error) {
		nodes, err = scanNodes(t, "where name > ? order by name limit ?", after, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the nodes: %w", err)
	}
	return nodes, nil
}

func scanNodes(t *store.Tx, where string, args ...any) ([]Node, error) {
	head, err := scanHead(t)
	if err != nil {
		return nil, err
	}
	rows, err := t.Query("select "+nodeColumns+" from fleet_nodes "+where, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var nodes []Node
	for rows.Next() {
		n, err := scanNode(rows.Scan, head)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, rows.Err()
}

// Node tells of one node, or store.ErrNotFound.
func (f *Fleet) Node(ctx context.Context, name string) (n Node, err error) {
	err = f.o.Store.View(ctx, func(t *store.Tx) error {
		nodes, err := scanNodes(t, "where name = ?", name)
		if err == nil && len(nodes) == 0 {
			err = store.ErrNotFound
		}
		if err == nil {
			n = nodes[0]
		}
		return err
	})
	if err != nil {
		return Node{}, fmt.Errorf("cannot tell of the node %q: %w", name, err)
	}
	return n, nil
}

// Pin keeps a node at the revision that it has, or lets it go on.
func (f *Fleet) Pin(ctx context.Context, name string, on bool, reason string) error {
	return f.want(ctx, "pin", name, "pinned", on, reason)
}

// Drain has a node take no new requests, or take them again.
func (f *Fleet) Drain(ctx context.Context, name string, on bool, reason string) error {
	return f.want(ctx, "drain", name, "drained", on, reason)
}

// want writes down what the operator wants of a node, and tells the node if it is connected here; other origins tell
// theirs within a second.
func (f *Fleet) want(ctx context.Context, verb, name, column string, on bool, reason string) error {
	if checkText("the reason", reason, store.MaxText) != nil {
		return fmt.Errorf("cannot %s the node %q: %w: the reason is too long, or no text", verb, name, store.ErrInvalid)
	}
	var wish wire.Control
	var session string
	value := 0
	if on {
		value = 1
	}
	err := f.changeNode(ctx, name, func(t *store.Tx) error {
		return t.Row("update fleet_nodes set "+column+" = ?, reason = ? where name = ? returning session, pinned, drained, reason",
			value, reason, name).Scan(&session, &wish.Pinned, &wish.Drain, &wish.Reason)
	})
	if err != nil {
		return fmt.Errorf("cannot %s the node %q: %w", verb, name, err)
	}
	if s := f.local.get(name); s != nil && s.id == session {
		s.set(wish)
	}
	f.notice()
	return nil
}

// Remove forgets a node. Its certificate counts no more, and it is told so; what it reported stays.
func (f *Fleet) Remove(ctx context.Context, name string) error {
	err := f.changeNode(ctx, name, func(t *store.Tx) error {
		var found string
		return t.Row("delete from fleet_nodes where name = ? returning name", name).Scan(&found)
	})
	if err != nil {
		return fmt.Errorf("cannot remove the node %q: %w", name, err)
	}
	if s := f.local.get(name); s != nil {
		f.local.remove(s, errRemoved)
	}
	f.notice()
	return nil
}

// State is the whole fleet's.
func (f *Fleet) State(ctx context.Context) (s State, err error) {
	var r rollout
	err = f.o.Store.View(ctx, func(t *store.Tx) (err error) {
		if r, err = scanRollout(t); err != nil {
			return err
		}
		members, head, err := scanMembers(t)
		if err != nil {
			return err
		}
		s = f.summary(&r, members, head)
		s.Spread, err = scanSpread(t)
		return err
	})
	if err != nil {
		return State{}, fmt.Errorf("cannot tell how the fleet is: %w", err)
	}
	head, err := f.o.Store.Head(ctx)
	if err != nil {
		return State{}, fmt.Errorf("cannot tell how the fleet is: %w", err)
	}
	if head.Rev == s.Rev {
		s.Issued = head.IssuedAt
	}
	return s, nil
}

// summary counts nodes, and tells how far the roll-out is.
func (f *Fleet) summary(r *rollout, members []member, head wire.Position) State {
	if f.o.NoWaves {
		*r = rollout{epoch: head.Epoch, canary: head.Rev, tenth: head.Rev, all: head.Rev, since: r.since}
	}
	s := State{Epoch: head.Epoch, Rev: head.Rev, Chain: head.Chain.String(), Nodes: len(members)}
	waiting := 0
	for i := range members {
		m := &members[i]
		if !m.online {
			continue
		}
		s.Online++
		if r.in(m) && !r.has(m) && !r.refuses(m) {
			waiting++
		}
	}
	s.Rollout = Rollout{Stage: r.stage(), Canary: r.canary, Tenth: r.tenth, All: r.all, Since: r.since, Waiting: waiting, Held: r.held}
	if s.Rollout.Stage == stageAll && waiting == 0 {
		s.Rollout.Stage = stageDone
	}
	return s
}

func scanSpread(t *store.Tx) ([]Spread, error) {
	rows, err := t.Query("select epoch, rev, count(*), sum(case when " + isOnline +
		" then 1 else 0 end) from fleet_nodes group by epoch, rev order by epoch desc, rev desc")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	spread := []Spread{}
	for rows.Next() {
		var s Spread
		if err := rows.Scan(&s.Epoch, &s.Rev, &s.Nodes, &s.Online); err != nil {
			return nil, err
		}
		spread = append(spread, s)
	}
	return spread, rows.Err()
}

// changeNode changes a node's row, and has other origins look at it.
func (f *Fleet) changeNode(ctx context.Context, name string, change func(t *store.Tx) error) error {
	return f.o.Store.Update(ctx, func(t *store.Tx) error {
		err := change(t)
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrNotFound
		}
		if err != nil {
			return err
		}
		return quicken(t)
	})
}
