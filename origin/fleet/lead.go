package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

const (
	leadName  = "waves"
	leadPause = 2 * time.Second       // between two tries to take the lead
	minPace   = 20 * time.Millisecond // between two looks at the nodes
)

// lead moves the roll-out on while this process has the lead.
func (f *Fleet) lead(ctx context.Context) error {
	for !f.o.NoWaves && ctx.Err() == nil {
		lead, ok, err := f.o.Store.TryLead(ctx, leadName)
		if err != nil {
			f.complain(ctx, "cannot find out who leads the roll-out", err)
		}
		if ok {
			f.conduct(ctx, lead.Context())
			lead.Release()
			continue
		}
		sleep(ctx, leadPause, nil)
	}
	return nil
}

// conduct moves the roll-out on until the lead is lost.
func (f *Fleet) conduct(ctx, lead context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(lead, cancel)()
	w := &wave{wait: f.o.CanaryWait}
	for ctx.Err() == nil {
		r, err := f.move(ctx, w)
		switch {
		case err == nil:
			f.rest(ctx, &r)
		case !errors.Is(err, errMoved):
			f.complain(ctx, "cannot move the roll-out on", err)
			sleep(ctx, pollSlow, nil)
		}
	}
}

// rest waits until the roll-out may go on: with a revision, an answer, a node that comes or leaves, or with time.
func (f *Fleet) rest(ctx context.Context, r *rollout) {
	pace, acked := pollSlow, f.acked
	switch {
	case r.all == r.canary: // answers do not matter
		acked = nil
	case r.held == nil:
		pace = pollFast
	}
	v := f.feed.view()
	if r.all == r.canary && v.head.Rev > r.canary {
		return // a revision has come meanwhile
	}
	timer := time.NewTimer(pace)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-v.changed:
	case <-acked:
		sleep(ctx, minPace, nil) // more answers come
	}
}

// move looks at the nodes and moves the roll-out on.
func (f *Fleet) move(ctx context.Context, w *wave) (r rollout, err error) {
	var was rollout
	err = f.o.Store.View(ctx, func(t *store.Tx) (err error) {
		if was, err = scanRollout(t); err != nil {
			return err
		}
		members, head, err := scanMembers(t)
		if err == nil {
			r = w.next(was, head, members, f.o.Now())
		}
		return err
	})
	if err == nil && !r.same(&was) {
		if err = f.o.Store.Update(ctx, r.save); err == nil {
			r.turn++
		}
	}
	if err != nil {
		return r, err
	}
	if v := f.feed.view(); v == nil || v.head.Epoch != r.epoch || v.head.Rev < r.canary {
		if err := f.refresh(ctx); err != nil {
			return r, err
		}
	}
	f.tellMove(&r)
	f.follows(r)
	return r, nil
}

// tellMove logs what holds the roll-out.
func (f *Fleet) tellMove(r *rollout) {
	v := f.feed.view()
	if v == nil || r.held == nil || v.waves.held != nil && *v.waves.held == *r.held {
		return
	}
	f.log.Warn("revision held: the roll-out does not go on before there is another one", "rev", r.held.Rev,
		"node", r.held.Node, "code", r.held.Code, "message", r.held.Message)
}

// same says that nothing has to be written down.
func (r *rollout) same(was *rollout) bool {
	return was.turn > 0 && r.epoch == was.epoch && r.canary == was.canary && r.tenth == was.tenth && r.all == was.all &&
		joinNames(r.canaries) == joinNames(was.canaries) && (r.held == nil) == (was.held == nil) &&
		(r.held == nil || *r.held == *was.held)
}

func scanMembers(t *store.Tx) (members []member, head wire.Position, err error) {
	h, err := scanHead(t)
	if err != nil {
		return nil, head, err
	}
	rows, err := t.Query("select name, region, epoch, rev, refused_epoch, refused_rev, refused_code, refused_message, pinned, case when " +
		isOnline + " then 1 else 0 end from fleet_nodes order by name")
	if err != nil {
		return nil, head, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var m member
		var refused Refused
		err := rows.Scan(&m.name, &m.region, &m.epoch, &m.rev, &refused.Epoch, &refused.Rev, &refused.Code, &refused.Message, &m.pinned, &m.online)
		if err != nil {
			return nil, head, err
		}
		if refused.Epoch != 0 {
			m.refused = &refused
		}
		m.bucket = bucketOf(m.name)
		members = append(members, m)
	}
	return members, positionOf(h), rows.Err()
}
