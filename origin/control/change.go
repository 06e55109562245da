package control

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
)

// call is a request to change something.
type call struct {
	by      By
	verb    string // with the request, what an idempotency key stands for
	request any
	name    string // what problems call the catalog
	at      placer // where problems are told to be
	dry     bool
	known   map[string]error // what probes found, by their keys
}

const maxTries = 16

var errMoved = errors.New("the catalog changed while the change was being planned")

// change plans and makes a change on the head, again and again until nobody else changed anything in between: so what
// the plan looked at is still so when it comes true. plan may be called several times. tell makes the answer, once the
// result is known; it must not block.
func change[T any](ctx context.Context, c *Control, k call, plan func(s *state) (*draft, error), tell func(Result) T) (answer T, err error) {
	if k.at == nil {
		k.at = byName
	}
	if k.name == "" {
		k.name = "catalog"
	}
	k.known = map[string]error{}
	r, err := newRequest(&k)
	if err != nil {
		return answer, err
	}
	if known, err := c.recall(ctx, r, &answer); known || err != nil {
		return answer, told(err)
	}
	keep := func(t *store.Tx, result Result) error {
		answer = tell(result)
		return r.keep(t, c.now(), answer)
	}
	for try := 1; ; try++ {
		var done Result
		done, err = c.attempt(ctx, &k, plan, keep)
		switch {
		case err == nil:
			return tell(done), nil
		case errors.Is(err, errAnswered):
			_, err = c.recall(ctx, r, &answer)
			return answer, told(err)
		case !errors.Is(err, errMoved):
			return answer, told(err)
		case try == maxTries:
			return answer, failf(CodeConflict, "others keep changing the catalog; try again")
		}
		select {
		case <-ctx.Done():
			return answer, ctx.Err()
		case <-time.After(rand.N(time.Duration(try) * 5 * time.Millisecond)):
		}
	}
}

// attempt plans a change on the present head, lets probes look at what is slow to look at, and commits. Within a process
// changes happen one after the other, so that they do not make each other start over; probes keep nobody waiting.
func (c *Control) attempt(ctx context.Context, k *call, plan func(s *state) (*draft, error), keep func(*store.Tx, Result) error) (Result, error) {
	for {
		result, missing, err := c.tryOnce(ctx, k, plan, keep)
		if err != nil || len(missing) == 0 {
			return result, err
		}
		if err := probeAll(ctx, missing, k.known); err != nil {
			return Result{}, err
		}
	}
}

func (c *Control) tryOnce(ctx context.Context, k *call, plan func(s *state) (*draft, error), keep func(*store.Tx, Result) error) (Result, []probe, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return Result{}, nil, ctx.Err()
	}
	s, err := c.load(ctx)
	if err != nil {
		return Result{}, nil, err
	}
	d, err := plan(s)
	if err != nil {
		return Result{}, nil, err
	}
	gates, missing, err := c.judge(d, k)
	if err != nil || len(missing) > 0 {
		return Result{}, missing, err
	}
	changed := d.changed()
	result := Result{Epoch: s.head.Epoch, Rev: s.head.Rev, DryRun: k.dry, Changes: d.changes(changed), Gates: gates}
	if k.dry || len(result.Changes) == 0 && len(changed) == 0 {
		return result, nil, nil
	}
	result, err = c.commit(ctx, k, d, changed, result, keep)
	return result, nil, err
}

// commit makes the draft the next revision, if nobody else made it.
func (c *Control) commit(ctx context.Context, k *call, d *draft, changed []id, result Result, keep func(*store.Tx, Result) error) (Result, error) {
	err := c.store.Update(ctx, func(t *store.Tx) error {
		ops := d.ops(changed)
		if d.within != nil {
			more, err := d.within(t)
			if err != nil {
				return err
			}
			ops = append(ops, more...)
		}
		head, err := t.Apply(store.ChangeSet{Actor: k.by.Actor, Reason: k.by.Reason, Ops: ops})
		if err != nil {
			return err
		}
		if head.Epoch != d.head.Epoch || head.Rev != d.head.Rev+1 {
			return errMoved
		}
		result.Epoch, result.Rev = head.Epoch, head.Rev
		if err := d.keepProductions(t, head); err != nil {
			return err
		}
		return keep(t, result)
	})
	if errors.Is(err, store.ErrConflict) {
		err = errMoved
	}
	return result, err
}
