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
	whole   bool             // it may be more than one revision takes: nobody makes it in one
	known   map[string]error // what probes found, by their keys
}

const maxTries = 16

var errMoved = errors.New("the catalog changed while the change was being planned")

// planner drafts a change of a state. It may be called several times.
type planner = func(s *state) (*draft, error)

// keeper writes down what a change answers, in its transaction.
type keeper = func(t *store.Tx, result Result) error

// change plans and makes a change on the head, again and again until nobody else changed anything in between: so what
// the plan looked at is still so when it comes true. tell makes the answer from the result.
func change[T any](ctx context.Context, c *Control, k call, plan planner, tell func(Result) T) (T, error) {
	var none T
	r, err := newRequest(&k)
	if err != nil {
		return none, err
	}
	if first, known, err := recall[T](ctx, c, r); known || err != nil {
		return first, told(err)
	}
	committed := false
	result, err := c.repeat(ctx, &k, plan, func(t *store.Tx, result Result) error {
		committed = true
		return r.keep(t, c.now(), tell(result))
	})
	if err == nil && committed {
		return tell(result), nil
	}
	// The same request may have been answered while this one was on its way.
	if first, known, recallErr := recall[T](ctx, c, r); known && recallErr == nil {
		return first, nil
	}
	if err != nil {
		return none, told(err)
	}
	return tell(result), nil
}

// repeat tries a change until nobody else is faster.
func (c *Control) repeat(ctx context.Context, k *call, plan planner, keep keeper) (Result, error) {
	k.known = map[string]error{}
	if k.at == nil {
		k.at = byName
	}
	if k.name == "" {
		k.name = "catalog"
	}
	for try := 1; ; try++ {
		result, err := c.attempt(ctx, k, plan, keep)
		if !errors.Is(err, errMoved) {
			return result, err
		}
		if try == maxTries {
			return Result{}, failf(CodeConflict, "others keep changing the catalog; try again")
		}
		select {
		case <-ctx.Done():
			return Result{}, ctx.Err()
		case <-time.After(rand.N(time.Duration(try) * 5 * time.Millisecond)):
		}
	}
}

// attempt plans a change on the present head, lets probes look at what is slow to look at, and commits. Within a process
// changes happen one after the other, so that they do not make each other start over; probes keep nobody waiting.
func (c *Control) attempt(ctx context.Context, k *call, plan planner, keep keeper) (Result, error) {
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

func (c *Control) tryOnce(ctx context.Context, k *call, plan planner, keep keeper) (Result, []probe, error) {
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
func (c *Control) commit(ctx context.Context, k *call, d *draft, changed []id, result Result, keep keeper) (Result, error) {
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
