package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/wedge-proxy/wedge/wire"
)

// column is one fact of a kind of resources.
type column struct {
	title string
	cell  func(b body) string
}

// kindTable is how a kind of resources is asked for and shown.
type kindTable struct {
	kind, plural string
	columns      []column
}

// kinds are the kinds that the API lists, in the catalog's order.
var kinds = []kindTable{
	{wire.KindProvider, "providers", []column{text("DIALECT", "dialect"), text("BASE URL", "base_url"), text("REGION", "region")}},
	{wire.KindModel, "models", []column{
		{"PRODUCTION", func(b body) string { return b.versionsIn("production") }},
		{"STAGING", func(b body) string { return b.versionsIn("staging") }},
		{"VERSIONS", func(b body) string { return strconv.Itoa(len(b.list("versions"))) }},
		{"CACHE", func(b body) string { return b.object("cache").text("mode") }},
	}},
	{wire.KindVersion, "versions", []column{text("STATUS", "status"), text("STRATEGY", "strategy"), {"TARGETS", body.targets}}},
	{wire.KindExperiment, "experiments", []column{text("MODEL", "model"), text("STATUS", "status"), {"ARMS", body.arms}, text("PRIMARY", "primary")}},
	{wire.KindPolicy, "policies", []column{text("HOOKS", "hooks"), text("ON ERROR", "on_error"), {"MODULE", func(b body) string { return shortDigest(b.text("module")) }}}},
	{wire.KindPrompt, "prompts", []column{text("ROLE", "role")}},
	{wire.KindPrice, "prices", []column{text("INPUT", "input"), text("OUTPUT", "output"), text("CACHED INPUT", "cached_input")}},
	{wire.KindKey, "keys", []column{text("ID", "id"), text("MODELS", "models"), text("TEAM", "team"), text("TENANT", "tenant")}},
	{wire.KindBudget, "budgets", []column{text("LIMIT USD", "limit_usd"), text("PERIOD", "period"), text("SCOPE", "scope")}},
	{wire.KindRate, "rates", []column{text("SCOPE", "scope"), text("MATCH", "match"), text("REQUESTS", "requests"), text("TOKENS", "tokens"), text("CONCURRENCY", "concurrency")}},
	{wire.KindWebhook, "webhooks", []column{text("URL", "url"), text("EVENTS", "events")}},
	{wire.KindSecret, "secrets", nil},
}

func text(title, field string) column {
	return column{title, func(b body) string { return b.text(field) }}
}

// findKind finds a kind by its name in singular or plural.
func findKind(word string) (*kindTable, error) {
	all := []string{"catalog", "releases", "nodes"}
	for i := range kinds {
		if k := &kinds[i]; strings.EqualFold(word, k.kind) || strings.EqualFold(word, k.plural) {
			return k, nil
		}
		all = append(all, kinds[i].plural)
	}
	return nil, fmt.Errorf("there are no %q; ask for one of %s", word, strings.Join(all, ", "))
}

// Get prints the resources of a kind, or one of them.
func (s *Session) Get(ctx context.Context, word, name string) error {
	switch {
	case word == "catalog" && name == "":
		return s.Catalog(ctx)
	case (word == "release" || word == "releases") && name == "":
		return s.Releases(ctx)
	case (word == "node" || word == "nodes") && name == "":
		return s.ListNodes(ctx)
	case word == "node" || word == "nodes":
		return s.ShowNode(ctx, name)
	}
	k, err := findKind(word)
	if err != nil {
		return err
	}
	if name == "" {
		return s.listKind(ctx, k)
	}
	answer, err := s.get(ctx, at(k.plural, name), nil)
	if err != nil {
		return fmt.Errorf("cannot get the %s %s: %w", k.kind, name, err)
	}
	return printAs(s, answer, func(t *table, r Resource) error {
		k.rows(t, []Resource{r})
		t.line("")
		t.body(r.Body, "")
		return nil
	})
}

func (s *Session) listKind(ctx context.Context, k *kindTable) error {
	answer, err := s.list(ctx, k.plural)
	if err != nil {
		return fmt.Errorf("cannot list the %s: %w", k.plural, err)
	}
	return printList(s, answer, k.rows)
}

func (k *kindTable) rows(t *table, items []Resource) {
	titles := []string{"NAME"}
	for _, c := range k.columns {
		titles = append(titles, c.title)
	}
	t.row(append(titles, "REV", "CHANGED")...)
	for i := range items {
		b := bodyOf(items[i].Body)
		cells := []string{items[i].Name}
		for _, c := range k.columns {
			cells = append(cells, c.cell(b))
		}
		t.row(append(cells, strconv.FormatInt(items[i].Version, 10), t.age(items[i].Updated))...)
	}
}

// Catalog prints the whole catalog, in YAML unless JSON is asked for.
func (s *Session) Catalog(ctx context.Context) error {
	format := YAML
	if s.Format == JSON {
		format = JSON
	}
	answer, err := s.get(ctx, "catalog", url.Values{"format": {format}})
	if err != nil {
		return fmt.Errorf("cannot get the catalog: %w", err)
	}
	if format == JSON {
		return s.print(answer, nil)
	}
	_, err = s.Out.Write(answer)
	return err
}

// Delete deletes a resource.
func (s *Session) Delete(ctx context.Context, word, name string) error {
	k, err := findKind(word)
	if err != nil {
		return err
	}
	answer, err := s.change(ctx, http.MethodDelete, at(k.plural, name), nil)
	if err != nil {
		return fmt.Errorf("cannot delete the %s %s: %w", k.kind, name, err)
	}
	return s.printResult(answer)
}

// printResult prints what became of a change.
func (s *Session) printResult(answer []byte) error {
	return printAs(s, answer, func(t *table, r Result) error { t.result(&r); return nil })
}

// body is a resource's body; what is not there, or of another type, is empty.
type body map[string]json.RawMessage

func bodyOf(raw json.RawMessage) (b body) {
	_ = json.Unmarshal(raw, &b) // else empty
	return b
}

func (b body) object(field string) body { return bodyOf(b[field]) }

func (b body) list(field string) (items []body) {
	var raw []json.RawMessage
	_ = json.Unmarshal(b[field], &raw) // else empty
	for _, r := range raw {
		items = append(items, bodyOf(r))
	}
	return items
}

// text is a field as people read it; of a list, its items.
func (b body) text(field string) string { return plain(b[field]) }

func plain(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return string(raw)
	}
	items := make([]string, len(list))
	for i, item := range list {
		items[i] = plain(item)
	}
	return strings.Join(items, ",")
}

// versionsIn are the numbers of a model's versions in a status.
func (b body) versionsIn(status string) string {
	var in []string
	for _, v := range b.list("versions") {
		if v.text("status") == status {
			in = append(in, v.text("version"))
		}
	}
	return strings.Join(in, ",")
}

// targets are a version's, as PROVIDER/MODEL, with their weights where there are any.
func (b body) targets() string {
	var all []string
	for _, t := range b.list("targets") {
		one := t.text("provider") + "/" + t.text("model")
		if w := t.text("weight"); w != "" {
			one += ":" + w
		}
		all = append(all, one)
	}
	return strings.Join(all, " ")
}

// arms are an experiment's, as NAME=VERSION:WEIGHT.
func (b body) arms() string {
	var all []string
	for _, a := range b.list("arms") {
		all = append(all, a.text("name")+"="+a.text("version")+":"+a.text("weight"))
	}
	return strings.Join(all, " ")
}

// shortDigest is enough of a digest to tell it from others.
func shortDigest(digest string) string {
	const shown = len("sha256:") + 12
	if strings.HasPrefix(digest, "sha256:") && len(digest) > shown {
		return digest[:shown]
	}
	return digest
}

// byStatus puts versions' bodies in the order in which people look for them: production first, then by number
// as the origin listed them, archived ones last.
func byStatus(versions []body) {
	order := []string{"production", "staging", "development", "deprecated", "archived"}
	slices.SortStableFunc(versions, func(a, b body) int {
		return cmp.Compare(slices.Index(order, a.text("status")), slices.Index(order, b.text("status")))
	})
}
