package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Lead is the right to do what only one process may do at a time. It is kept as a row with an end, which its holder
// renews: unlike a lock of PostgreSQL's it ends soon after its holder's machine does, passes through any pooler, and
// is known to every database that speaks the protocol.
type Lead struct {
	store  *Store
	name   string
	holder string
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
}

// TryLead takes the lead of what name stands for, or tells that somebody else has it. It is kept until Release, until
// the store is closed, or until it cannot be renewed any more; others can take it 15 seconds after a process died, and
// at once where it was the only one, on SQLite.
func (s *Store) TryLead(ctx context.Context, name string) (lead *Lead, ok bool, err error) {
	l := &Lead{store: s, name: name, holder: rand.Text(), done: make(chan struct{})}
	until := time.Now().Add(s.options.leadFor)
	ok, err = l.renew(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("cannot take the lead of %s: %w", name, err)
	}
	if !ok {
		return nil, false, nil
	}
	l.ctx, l.cancel = context.WithCancel(s.ctx)
	if !s.start(func() { l.keep(until) }) {
		l.cancel()
		return nil, false, fmt.Errorf("cannot take the lead of %s: %w", name, sql.ErrConnDone)
	}
	return l, true, nil
}

// Context is done when the lead has been lost or released. It ends some time before others can take the lead: what
// runs under it must stop then.
func (l *Lead) Context() context.Context { return l.ctx }

// Release gives the lead up. It must not be called by a function that Context's end waits for.
func (l *Lead) Release() {
	l.cancel()
	<-l.done
}

// renew takes the lead, or keeps it, for leadFor by the database's clock.
func (l *Lead) renew(ctx context.Context) (ok bool, err error) {
	s := l.store
	err = s.Update(ctx, func(t *Tx) error {
		var holder string
		err := t.Row(`insert into leads (name, holder, until) values (?, ?, {now} + ?)
			on conflict (name) do update set holder = excluded.holder, until = excluded.until
			where leads.holder = excluded.holder or leads.until < {now} returning holder`,
			l.name, l.holder, s.options.leadFor.Microseconds()).Scan(&holder)
		ok = err == nil
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return ok && err == nil, err
}

// keep renews the lead until it is given up or lost, which it is when nobody has confirmed it up to a while before its
// end. The end is counted from the moment at which we asked, by this machine's clock, which does not jump.
func (l *Lead) keep(until time.Time) {
	defer close(l.done)
	defer l.leave()
	margin := l.store.options.leadFor / 5
	for l.ctx.Err() == nil {
		ctx, cancel := context.WithDeadline(l.ctx, until.Add(-margin))
		sleep(ctx, margin)
		asked := time.Now()
		ok, err := l.renew(ctx)
		expired := ctx.Err() != nil
		cancel()
		switch {
		case ok:
			until = asked.Add(l.store.options.leadFor)
		case err == nil, expired: // somebody else has it, or soon may
			return
		}
	}
}

// leave tells those who wait that the lead is free. Where that fails it ends by itself.
func (l *Lead) leave() {
	l.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = l.store.Update(ctx, func(t *Tx) error {
		return t.run("delete from leads where name = ? and holder = ?", l.name, l.holder)
	})
}
