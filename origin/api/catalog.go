package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/wire"
)

// kinds are the words in paths, and the kinds of resources that they stand for.
var kinds = []struct{ plural, kind string }{
	{"providers", wire.KindProvider}, {"models", wire.KindModel}, {"versions", wire.KindVersion},
	{"experiments", wire.KindExperiment}, {"policies", wire.KindPolicy}, {"prompts", wire.KindPrompt},
	{"prices", wire.KindPrice}, {"keys", wire.KindKey}, {"budgets", wire.KindBudget}, {"rates", wire.KindRate},
	{"webhooks", wire.KindWebhook}, {"secrets", wire.KindSecret},
}

// Page is a part of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // the after of the next page; absent on the last one
}

func pageOf[T any](items []T, next string) Page[T] {
	if items == nil {
		items = []T{}
	}
	return Page[T]{items, next}
}

func (c *call) apply() (result control.Result, err error) {
	a := control.Apply{Name: "catalog"}
	if a.DryRun, err = c.flag("dry_run"); err != nil {
		return result, err
	}
	if a.Prune, err = c.flag("prune"); err != nil {
		return result, err
	}
	if a.Catalog, err = c.body(maxCatalog); err != nil {
		return result, err
	}
	return c.options.Control.Apply(c.r.Context(), c.by(), a)
}

// catalog answers with the whole catalog.
func (c *call) catalog() error {
	format := c.r.URL.Query().Get("format")
	if !slices.Contains([]string{"", "json", "yaml"}, format) {
		return invalid("the format is %q; want json or yaml", format)
	}
	text, head, err := c.options.Control.Catalog(c.r.Context())
	if err != nil {
		return err
	}
	media, tag := mediaJSON, fmt.Sprintf("%d/%d", head.Epoch, head.Rev)
	if format == "yaml" {
		media, tag = mediaYAML, tag+"/yaml"
	}
	if c.fresh(`"` + tag + `"`) {
		return nil
	}
	if format == "yaml" {
		if text, err = yamlOf(text); err != nil {
			return err
		}
	}
	return c.sendBytes(media, text)
}

// listOf lists the resources of a kind.
func listOf(kind string) func(c *call) (Page[control.Resource], error) {
	return func(c *call) (page Page[control.Resource], err error) {
		limit, err := c.limit()
		if err != nil {
			return page, err
		}
		items, next, err := c.options.Control.List(c.r.Context(), kind, c.r.URL.Query().Get("after"), limit)
		return pageOf(items, next), err
	}
}

// getOf answers with one resource.
func getOf(kind string) endpoint {
	e := read(func(*call) (r control.Resource, err error) { return r, nil })
	e.serve = func(c *call) error {
		r, err := c.options.Control.Get(c.r.Context(), kind, c.name())
		if err != nil || c.fresh(etag(r.Version)) {
			return err
		}
		return c.send(r)
	}
	return e
}

// putOf makes or replaces one resource.
func putOf(kind string) func(c *call, body json.RawMessage) (control.Result, error) {
	return func(c *call, body json.RawMessage) (control.Result, error) {
		expect, err := c.expected(kind, c.name())
		if err != nil {
			return control.Result{}, err
		}
		result, err := c.options.Control.Put(c.r.Context(), c.by(), kind, c.name(), body, expect)
		if err != nil {
			return result, c.unmet(err, kind, c.name(), expect)
		}
		c.tell(&result, kind)
		return result, nil
	}
}

// tell says in the header what a change made of the resource that it was about.
func (c *call) tell(result *control.Result, kind string) {
	for i := range result.Changes {
		change := &result.Changes[i]
		if change.Kind != kind || change.Name != c.name() {
			continue
		}
		if change.Action == "create" {
			c.status = http.StatusCreated
		}
		c.x.Header().Set("Etag", etag(result.Rev))
	}
}

// deleteOf deletes one resource.
func deleteOf(kind string) func(c *call) (control.Result, error) {
	return func(c *call) (control.Result, error) {
		expect, err := c.expected(kind, c.name())
		if err != nil {
			return control.Result{}, err
		}
		result, err := c.options.Control.Delete(c.r.Context(), c.by(), kind, c.name(), expect)
		return result, c.unmet(err, kind, c.name(), expect)
	}
}
