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
	for {
		under, err := f.move(ctx, w)
		if err != nil && !errors.Is(err, errMoved) {
			f.complain(ctx, "cannot move the roll-out on", err)
		}
		if !f.rest(ctx, under) {
			return
		}
	}
}

// rest waits until there may be something to do.
func (f *Fleet) rest(ctx context.Context, under bool) bool {
	pace := pollSlow
	if under {
		pace = pollFast
	}
	timer := time.NewTimer(pace)
	defer timer.Stop()
	var changed <-chan struct{}
	if v := f.feed.view(); v != nil {
		if v.head.Rev > v.waves.canary && v.waves.turn > 0 && !under {
			return ctx.Err() == nil // a revision has come meanwhile
		}
		changed = v.changed
	}
	acked := f.acked
	if !under { // answers do not matter
		acked = nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-changed:
	case <-acked:
		sleep(ctx, minPace, nil) // more answers come
	}
	return true
}

// move looks at the nodes and moves the roll-out on. It tells whether the roll-out is under way.
func (f *Fleet) move(ctx context.Context, w *wave) (under bool, err error) {
	var r rollout
	err = f.o.Store.Update(ctx, func(t *store.Tx) error {
		was, err := scanRollout(t)
		if err != nil {
			return err
		}
		members, head, err := scanMembers(t)
		if err != nil {
			return err
		}
		r = w.next(was, head, members, f.o.Now())
		if r.same(&was) {
			return nil
		}
		if err := r.save(t); err != nil {
			return err
		}
		r.turn++
		return nil
	})
	if err != nil {
		return true, err
	}
	if v := f.feed.view(); v == nil || v.head.Epoch != r.epoch || v.head.Rev < r.canary {
		if err := f.refresh(ctx); err != nil {
			return true, err
		}
	}
	f.tellMove(&r)
	f.follows(r)
	return r.all < r.canary, nil
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
