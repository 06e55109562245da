package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
)

// Apply says how a catalog is made true.
type Apply struct {
	Prune  bool // delete what the catalog does not name
	DryRun bool // show what would change, and change nothing
}

var errDeclined = errors.New("nothing was changed: you did not agree")

// Apply shows what a catalog changes, asks whoever watches, and makes the change.
func (s *Session) Apply(ctx context.Context, c *Catalog, o Apply) error {
	planned, plan, err := s.plan(ctx, c, o.Prune)
	if err != nil && o.DryRun {
		return fmt.Errorf("cannot tell what %s would change: %w", c.name, err)
	}
	if err != nil {
		return fmt.Errorf("cannot apply %s: %w", c.name, err)
	}
	if o.DryRun || len(plan.Changes) == 0 {
		return s.print(planned, func(t *table) error { t.plan(plan); return nil })
	}
	if s.Format == Table || s.Ask != nil {
		if err := s.showPlan(plan); err != nil {
			return err
		}
	}
	if s.Ask != nil {
		agreed, err := s.Ask(fmt.Sprintf("Make %s at %s?", plural(len(plan.Changes), "change"), s.Client.Origin()))
		if err != nil {
			return fmt.Errorf("cannot ask whether to apply %s: %w; --yes does not ask", c.name, err)
		}
		if !agreed {
			return errDeclined
		}
	}
	made, done, err := s.apply(ctx, c, o.Prune, false)
	if err != nil {
		return fmt.Errorf("cannot apply %s: %w", c.name, err)
	}
	return s.print(made, func(t *table) error {
		if !reflect.DeepEqual(done.Changes, plan.Changes) {
			t.line("something else was changed in the meantime; this is what was made:")
			t.changes(done.Changes)
		}
		t.line("%s", done.made())
		return nil
	})
}

// plan asks what the catalog would change. The origin tries policies for that, so it needs their files.
func (s *Session) plan(ctx context.Context, c *Catalog, prune bool) (answer []byte, r *Result, err error) {
	if err := s.sendBlobs(ctx, c); err != nil {
		return nil, nil, err
	}
	return s.apply(ctx, c, prune, true)
}

// showPlan shows what will change to whoever may still say no: beside the answer, where the answer is for a program.
func (s *Session) showPlan(plan *Result) error {
	t := s.table()
	t.changes(plan.Changes)
	out := s.Out
	if s.Format != Table {
		out = s.Notes
	}
	_, err := out.Write(t.finish())
	return err
}

// sendBlobs sends the files that the catalog names and the origin does not have.
func (s *Session) sendBlobs(ctx context.Context, c *Catalog) error {
	for _, b := range c.blobs {
		if _, err := s.Client.Blob(ctx, b.digest, b.content); err != nil {
			return fmt.Errorf("cannot send %s: %w", b.what, err)
		}
	}
	return nil
}

func (s *Session) apply(ctx context.Context, c *Catalog, prune, dry bool) (answer []byte, r *Result, err error) {
	query := s.reason(url.Values{})
	if prune {
		query.Set("prune", "true")
	}
	if dry {
		query.Set("dry_run", "true")
	}
	answer, err = s.Client.do(ctx, call{
		method: http.MethodPost, path: "apply", query: query, body: c.text, media: "application/yaml",
	})
	if refused, is := errors.AsType[*Error](err); is {
		refused.file = c.name
	}
	if err != nil {
		return nil, nil, err
	}
	r = &Result{}
	if err := json.Unmarshal(answer, r); err != nil {
		return nil, nil, s.notUnderstood(err)
	}
	return answer, r, nil
}
