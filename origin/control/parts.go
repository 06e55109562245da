package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// tooLarge says that one revision cannot hold all that the draft changes.
func (d *draft) tooLarge() bool {
	changed, size := d.changed(), 0
	for _, i := range changed {
		size += len(d.after[i])
	}
	return len(changed) > store.MaxOps || size > store.MaxSetBytes
}

// inParts makes a change in as many revisions as it takes. Each leaves a valid catalog behind, and none is made before
// all are known to. What fails later, since somebody else changed the catalog, leaves those before it: the same change
// made again goes on from there.
func (c *Control) inParts(ctx context.Context, k call, plan planner) (made Result, err error) {
	r, err := newRequest(&k)
	if err != nil {
		return Result{}, err
	}
	k.by.Key = "" // it stands for the whole, which is answered at the end
	for left := 1; left > 0; {
		part, err := change(ctx, c, k, func(s *state) (*draft, error) {
			d, err := plan(s)
			if err != nil {
				return nil, err
			}
			parts, err := c.split(d, &k)
			if err != nil {
				return nil, err
			}
			left = len(parts) - 1
			return parts[0], nil
		}, resultOnly)
		if err != nil {
			return Result{}, made.unfinished(err)
		}
		made.add(&part)
	}
	slices.SortFunc(made.Changes, func(a, b Change) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return made, told(c.store.Update(ctx, func(t *store.Tx) error { return r.keep(t, c.now(), made) }))
}

// wholeDry tells what inParts would do.
func (c *Control) wholeDry(ctx context.Context, k call, plan planner) (Result, error) {
	k.whole = true
	parts := 0
	result, err := change(ctx, c, k, func(s *state) (*draft, error) {
		d, err := plan(s)
		if err != nil {
			return nil, err
		}
		all, err := c.split(d, &k)
		parts = len(all)
		return d, err
	}, resultOnly)
	result.Revisions = parts
	return result, err
}

// add adds what the next part came to.
func (r *Result) add(part *Result) {
	n := r.Revisions
	if len(part.Changes) > 0 {
		n++
	}
	changes := append(r.Changes, part.Changes...)
	*r = *part
	r.Changes, r.Revisions = changes, n
}

// unfinished is why the parts that are left were not made.
func (r *Result) unfinished(err error) error {
	if r.Revisions == 0 {
		return err
	}
	text := fmt.Sprintf("%d changes are made, up to revision %d, and the rest is not; look at what there is now, and apply the same again",
		len(r.Changes), r.Rev)
	if e, is := errors.AsType[*Error](err); is {
		told := *e
		told.Message = text + ": " + e.Message
		return &told
	}
	return fmt.Errorf("%s: %w", text, err)
}

// split takes a draft apart into drafts that each go on from the one before and fit into a revision. All are valid.
func (c *Control) split(d *draft, k *call) ([]*draft, error) {
	whole := *k
	whole.whole = true
	if _, err := c.check(d, &whole); err != nil {
		return nil, err
	}
	if err := d.checkLife(d.changed()); err != nil {
		return nil, err
	}
	units := d.units()
	if slices.ContainsFunc(units, func(u *unit) bool { return len(u.ids) > store.MaxOps || u.size > store.MaxSetBytes }) {
		return nil, errTooLarge
	}
	parts := d.cut(units)
	for _, p := range parts[:len(parts)-1] {
		if _, err := c.check(p, &whole); err != nil {
			e := failf(CodeInvalid, "the change is of %d resources, and one revision takes %d; it cannot be made in several, since there would "+
				"be problems in between: apply it in parts that are valid each", len(d.changed()), store.MaxOps)
			if why, is := errors.AsType[*Error](err); is {
				e.Problems = why.Problems
			}
			return nil, e
		}
	}
	return parts, nil
}

// cut is split without a look at what is valid.
func (d *draft) cut(units []*unit) (parts []*draft) {
	at, n, size := d.state.draft(), 0, 0
	for _, u := range units {
		if n > 0 && (n+len(u.ids) > store.MaxOps || size+u.size > store.MaxSetBytes) {
			parts = append(parts, at)
			at, n, size = &draft{state: d.state, after: maps.Clone(at.after)}, 0, 0
		}
		for _, i := range u.ids {
			if body, stays := d.after[i]; stays {
				at.after[i] = body
			} else {
				delete(at.after, i)
			}
		}
		n, size = n+len(u.ids), size+u.size
	}
	return append(parts, at)
}

// unit is what only changes together: a model and its versions, or any other resource.
type unit struct {
	rank int
	ids  []id
	size int // of the bodies, in bytes
}

// ranks bring what is named before what names it.
var ranks = []string{wire.KindProvider, wire.KindPolicy, wire.KindPrompt, wire.KindPrice, wire.KindModel, wire.KindBudget, wire.KindExperiment, wire.KindKey,
	wire.KindRate, wire.KindWebhook}

// units are what the draft changes, in an order in which it can be made: what goes away comes last, and goes the other
// way round.
func (d *draft) units() []*unit {
	byID := map[id]*unit{}
	var all []*unit
	for _, i := range d.changed() {
		of := unitOf(i)
		u := byID[of]
		if u == nil {
			u = &unit{rank: slices.Index(ranks, of.kind)}
			if _, stays := d.after[of]; !stays {
				u.rank = 2*len(ranks) - u.rank
			}
			byID[of] = u
			all = append(all, u)
		}
		u.ids, u.size = append(u.ids, i), u.size+len(d.after[i])
	}
	slices.SortStableFunc(all, func(a, b *unit) int { return a.rank - b.rank })
	return all
}

// unitOf names the unit that a resource belongs to.
func unitOf(i id) id {
	switch i.kind {
	case wire.KindVersion, kindRollout, wire.KindRelease:
		model, _, _ := strings.Cut(i.name, "@")
		return id{wire.KindModel, model}
	}
	return i
}
