package fleet

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// How often the store is asked for what nobody tells.
const (
	pollSlow = time.Second
	pollFast = 100 * time.Millisecond // while a roll-out is under way
	beatTime = 3 * time.Second
)

// follow keeps the feed at the head.
func (f *Fleet) follow(ctx context.Context) error {
	told := f.o.Store.Watch(ctx)
	for tick := time.Tick(pollSlow); ; {
		if err := f.refresh(ctx); err != nil {
			f.complain(ctx, "cannot read what is new", err)
		} else if err := f.refold(ctx); err != nil {
			f.complain(ctx, "cannot tell the state's digest", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-told:
			if !open {
				told = nil
			}
		case <-tick:
		}
	}
}

// complain logs what will be tried again.
func (f *Fleet) complain(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		f.log.Warn(what+"; trying again", "error", err)
	}
}

// announce tells other origins that this one is there.
func (f *Fleet) announce(ctx context.Context) error {
	return f.o.Store.Update(ctx, func(t *store.Tx) error {
		if _, err := t.Exec("delete from fleet_holders where seen < {now} - 86400000000"); err != nil { // they died a day ago
			return err
		}
		_, err := t.Exec("insert into fleet_holders (id, seen) values (?, {now}) on conflict (id) do update set seen = excluded.seen", f.id)
		return err
	})
}

// depart tells other origins that this one and its nodes' sessions are gone.
func (f *Fleet) depart() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := f.o.Store.Update(ctx, func(t *store.Tx) error {
		if _, err := t.Exec("update fleet_nodes set holder = '', seen = ? where holder = ?", f.now(), f.id); err != nil {
			return err
		}
		_, err := t.Exec("delete from fleet_holders where id = ?", f.id)
		return err
	})
	if err != nil { // the others find out by themselves
		f.log.Warn("cannot tell that this origin's nodes are offline", "error", err)
	}
}

// tend learns what other origins have written: how far the roll-out is, sessions that have moved, what the operator wants.
func (f *Fleet) tend(ctx context.Context) error {
	var pulse int64
	beat := time.Now()
	for ctx.Err() == nil {
		if err := f.look(ctx, &pulse); err != nil {
			f.complain(ctx, "cannot read what other origins do", err)
		}
		f.sweep()
		if time.Since(beat) >= beatTime {
			beat = time.Now()
			if err := f.announce(ctx); err != nil {
				f.complain(ctx, "cannot tell that this origin is there", err)
			}
		}
		f.doze(ctx)
	}
	return nil
}

// doze waits until other origins may have moved the roll-out.
func (f *Fleet) doze(ctx context.Context) {
	var changed <-chan struct{}
	if v := f.feed.view(); v != nil {
		changed = v.changed
	}
	if pause := f.pace(); pause == pollFast || !sleep(ctx, pause, changed) {
		sleep(ctx, pollFast, nil)
	}
}

// sleep waits until the time is up, and tells whether it did not end before.
func sleep(ctx context.Context, d time.Duration, end <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-end:
	}
	return false
}

// pace is how soon the roll-out may have moved.
func (f *Fleet) pace() time.Duration {
	v := f.feed.view()
	if v != nil && (f.o.NoWaves || v.waves.turn > 0 && (v.waves.held != nil || v.waves.all >= v.head.Rev)) {
		return pollSlow
	}
	return pollFast
}

// look reads the roll-out, and the nodes' sessions if there is news of them.
func (f *Fleet) look(ctx context.Context, pulse *int64) error {
	local := f.local.known()
	var waves rollout
	beat := *pulse
	rows := map[string]row{}
	err := f.o.Store.View(ctx, func(t *store.Tx) (err error) {
		clear(rows)
		if waves, err = scanRollout(t); err != nil {
			return err
		}
		err = t.Row("select n from fleet_pulse where id = 1").Scan(&beat)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		if err != nil || beat == *pulse || len(local) == 0 {
			return err
		}
		return scanRows(t, rows)
	})
	if err != nil {
		return err
	}
	f.follows(waves)
	if beat == *pulse {
		return nil
	}
	for s, version := range local {
		if !f.compare(s, version, rows) {
			return nil // the next look tells more
		}
	}
	*pulse = beat
	return nil
}

// follows takes over a roll-out, unless a later one is known.
func (f *Fleet) follows(r rollout) {
	f.feed.change(func(v *view) bool {
		if v.head.Epoch == 0 || r.turn <= v.waves.turn {
			return false
		}
		v.waves = r
		return true
	})
}

// row is what an origin must know of the nodes that it serves.
type row struct {
	session string
	wish    wire.Control
}

func scanRows(t *store.Tx, into map[string]row) error {
	rows, err := t.Query("select name, session, pinned, drained, reason from fleet_nodes")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var r row
		if err := rows.Scan(&name, &r.session, &r.wish.Pinned, &r.wish.Drain, &r.wish.Reason); err != nil {
			return err
		}
		into[name] = r
	}
	return rows.Err()
}

// compare makes a session what the table says of it. It tells whether it could: what the operator has wanted since the
// table was read is newer.
func (f *Fleet) compare(s *session, version int, rows map[string]row) bool {
	switch r, there := rows[s.node]; {
	case !there:
		f.local.remove(s, errRemoved)
	case r.session != s.id:
		f.local.remove(s, errFenced)
	default:
		return s.setAt(version, r.wish)
	}
	return true
}

// patience is how long a node may be without a stream before it counts as offline.
func (f *Fleet) patience() time.Duration { return 3 * f.o.PingEvery }

// sweep tells of nodes that have not come back.
func (f *Fleet) sweep() {
	for s := range f.local.known() {
		if s.ctx.Err() == nil && s.silent(f.o.Now(), f.patience()) {
			f.leave(s)
		}
	}
}

// leave writes down that a node is offline, unless another session of it has begun.
func (f *Fleet) leave(s *session) {
	if !f.local.remove(s, errFenced) {
		return
	}
	f.writes.later(&write{node: s.node, do: func(t *store.Tx) error {
		_, err := t.Exec("update fleet_nodes set holder = '', seen = ? where name = ? and session = ? and holder = ?",
			f.now(), s.node, s.id, f.id)
		return err
	}})
}
