package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ShowModel prints a model and its versions.
func (s *Session) ShowModel(ctx context.Context, model string) error {
	answer, err := s.get(ctx, at("models", model), nil)
	if err != nil {
		return fmt.Errorf("cannot show the model %s: %w", model, err)
	}
	return printAs(s, answer, func(t *table, r Resource) error {
		b := bodyOf(r.Body)
		for _, f := range []struct{ title, value string }{
			{"model", r.Name}, {"unit", b.text("unit")}, {"cache", b.object("cache").text("mode")}, {"policies", b.text("policies")},
			{"changed", fmt.Sprintf("%s ago, in revision %d", t.age(r.Updated), r.Version)},
		} {
			if f.value != "" {
				t.row(f.title, f.value)
			}
		}
		t.line("")
		t.row("VERSION", "STATUS", "STRATEGY", "PROMPT", "TARGETS")
		versions := b.list("versions")
		byStatus(versions)
		for _, v := range versions {
			t.row(v.text("version"), v.text("status"), v.text("strategy"), v.text("prompt"), v.targets())
		}
		return nil
	})
}

// CreateVersion makes a configuration, in YAML or JSON, a new version of a model. file names it in errors.
func (s *Session) CreateVersion(ctx context.Context, v NewVersion, file string, configuration []byte) error {
	var err error
	if v.Body, err = jsonOf(file, configuration); err != nil {
		return err
	}
	answer, err := s.change(ctx, http.MethodPost, at("models", v.Model, "versions"), v)
	if err != nil {
		return fmt.Errorf("cannot make a version of %s: %w", v.Model, err)
	}
	return printAs(s, answer, func(t *table, m VersionMade) error {
		if m.DryRun {
			t.changes(m.Changes)
		}
		t.gates(m.Gates)
		why, end := "", ""
		if m.Why != "" {
			why = ": " + m.Why
		}
		if m.DryRun {
			end = "; nothing was changed"
		}
		t.line("%s@%s (%s%s)%s", m.Model, m.Version, m.Bump, why, end)
		return nil
	})
}

// Promote moves a version on.
func (s *Session) Promote(ctx context.Context, p Promotion) error {
	answer, err := s.change(ctx, http.MethodPost, at("models", p.Model, "promote"), p)
	if err != nil {
		return fmt.Errorf("cannot promote %s@%s: %w", p.Model, p.Version, err)
	}
	return s.printPromoted(answer)
}

// Rollback goes back to the version before.
func (s *Session) Rollback(ctx context.Context, r Rollback) error {
	answer, err := s.change(ctx, http.MethodPost, at("models", r.Model, "rollback"), r)
	if err != nil {
		return fmt.Errorf("cannot roll %s back: %w", r.Model, err)
	}
	return s.printPromoted(answer)
}

func (s *Session) printPromoted(answer []byte) error {
	return printAs(s, answer, func(t *table, p Promoted) error {
		if p.DryRun {
			t.changes(p.Changes)
		}
		t.gates(p.Gates)
		end := fmt.Sprintf(" (revision %d)", p.Rev)
		if p.DryRun {
			end = "; nothing was changed"
		}
		t.line("%s@%s %s%s", p.Model, p.Version, p.outcome(), end)
		return nil
	})
}

// outcome tells where a promotion brings the version.
func (p *Promoted) outcome() string {
	text := "is in " + p.Status
	if p.DryRun {
		text = "would be in " + p.Status
	}
	switch r := p.Release; {
	case r == nil:
	case r.State == "rolled_back": // its candidate was in production on some nodes only
		if p.Former != "" && p.Former != r.Version && p.Former != p.Version {
			text += ", in place of " + p.Former
		}
		return text + "; the release of " + r.Version + " is rolled back"
	case r.State == "scheduled" && r.At != nil:
		text = "is to be promoted at " + stamp(*r.At)
	default:
		text = "has a release " + r.State + " on " + perCent(r.Percent) + " of nodes"
	}
	if p.Former != "" && p.Former != p.Version {
		text += ", in place of " + p.Former
	}
	return text
}

// DiffVersions prints how two versions differ, in what they say and in how they do.
func (s *Session) DiffVersions(ctx context.Context, model, from, to string) error {
	answer, err := s.get(ctx, at("models", model, "diff"), url.Values{"from": {from}, "to": {to}})
	if err != nil {
		return fmt.Errorf("cannot compare %s@%s with %s@%s: %w", model, from, model, to, err)
	}
	return printAs(s, answer, func(t *table, d VersionDiff) error {
		switch {
		case len(d.Fields) == 0:
			t.line("%s@%s and %s are configured alike", d.Model, d.From, d.To)
		default:
			t.line("%s@%s → %s (%s)", d.Model, d.From, d.To, d.Bump)
			t.fields(d.Fields, "  ")
		}
		if len(d.Metrics) > 0 {
			t.line("")
			t.totals(d.Metrics)
		}
		return nil
	})
}

// Metrics prints what nodes reported of a model's versions.
func (s *Session) Metrics(ctx context.Context, model string, since time.Duration) error {
	query := url.Values{}
	if since > 0 {
		query.Set("since", since.String())
	}
	answer, err := s.get(ctx, at("models", model, "metrics"), query)
	if err != nil {
		return fmt.Errorf("cannot get the metrics of %s: %w", model, err)
	}
	return printList(s, answer, func(t *table, items []VersionTotals) { t.totals(items) })
}

func (t *table) totals(versions []VersionTotals) {
	t.row("VERSION", "STATUS", "REQUESTS", "ERRORS", "CACHED", "TOKENS IN", "TOKENS OUT", "COST USD", "P50 MS", "P95 MS", "TTFT MS")
	for i := range versions {
		v := &versions[i]
		t.row(v.Version, v.Status, whole(v.Requests), fmt.Sprintf("%d (%s)", v.Errors, perCent(100*v.ErrorRate)),
			whole(v.CacheHits), whole(v.Input), whole(v.Output), usd(v.CostNano), decimals(v.P50MS, 1), decimals(v.P95MS, 1), decimals(v.MeanTTFT, 1))
	}
}

// Releases prints the promotions that are not over, and how others ended.
func (s *Session) Releases(ctx context.Context) error {
	answer, err := s.list(ctx, "releases")
	if err != nil {
		return fmt.Errorf("cannot list the releases: %w", err)
	}
	return printList(s, answer, func(t *table, items []Release) {
		t.row("MODEL", "FROM", "TO", "STATE", "NODES", "REQUESTS", "ERRORS", "STARTED", "BY", "REASON")
		for i := range items {
			r := &items[i]
			t.row(r.Model, r.From, r.Version, r.State, perCent(r.Percent), whole(r.Requests), whole(r.Errors), t.age(r.Started), r.Actor, r.Reason)
		}
	})
}

// CancelRelease ends a model's release; the version in production stays.
func (s *Session) CancelRelease(ctx context.Context, model string) error {
	answer, err := s.change(ctx, http.MethodDelete, at("releases", model), nil)
	if err != nil {
		return fmt.Errorf("cannot cancel the release of %s: %w", model, err)
	}
	return s.printDone(answer, "the release of "+model+" is canceled")
}

// printDone prints the answer to a change of which people need to hear no more than that it was made.
func (s *Session) printDone(answer []byte, done string) error {
	if len(answer) == 0 {
		answer = []byte("{}") // a program gets JSON
	}
	return s.print(answer, func(t *table) error { t.line("%s", done); return nil })
}

func whole(n int64) string { return strconv.FormatInt(n, 10) }

func perCent(x float64) string { return decimals(x, 2) + " %" }

// decimals writes a number with as many decimals at most.
func decimals(x float64, most int) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(x, 'f', most, 64), "0"), ".")
}

// usd writes nano-USD exactly, with at least two decimals.
func usd(nano int64) string {
	sign := ""
	if nano < 0 {
		sign, nano = "-", -nano
	}
	cents := strings.TrimRight(fmt.Sprintf("%09d", nano%1e9), "0")
	for len(cents) < 2 {
		cents += "0"
	}
	return fmt.Sprintf("%s%d.%s", sign, nano/1e9, cents)
}
