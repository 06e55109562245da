package api

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/internal/obs"
)

const (
	pathOpenAPI = "/api/v1/openapi.json"
	pathChanges = "/api/v1/changes"
)

// Health tells that the process is alive.
type Health struct {
	Status  string `json:"status"` // ok
	Version string `json:"version,omitempty"`
}

func (c *call) health() (Health, error) { return Health{"ok", c.options.Version}, nil }

// Ready tells that the origin can do its work.
type Ready struct {
	Status string `json:"status"` // ready
	Epoch  int64  `json:"epoch"`
	Rev    int64  `json:"rev"` // the head
}

// readyTime is how long the database may take to tell that it is there.
const readyTime = 2 * time.Second

func (c *call) ready() (Ready, error) {
	if c.closing.Err() != nil {
		return Ready{}, faultf(http.StatusServiceUnavailable, codeUnavailable, "the origin is shutting down")
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), readyTime)
	defer cancel()
	head, err := c.store.Head(ctx)
	if err != nil {
		f := faultf(http.StatusServiceUnavailable, codeUnavailable, "the origin cannot read its database")
		f.cause = err
		return Ready{}, f
	}
	return Ready{"ready", head.Epoch, head.Rev}, nil
}

// metrics answers with what Prometheus reads.
func (c *call) metrics() error {
	var text bytes.Buffer
	if err := c.options.Metrics.WriteText(&text); err != nil {
		c.log.Warn("some metrics cannot be read", "id", c.x.id, "error", err)
	}
	return c.sendBytes(obs.ContentType, text.Bytes())
}

func (c *call) describe() error { return c.sendBytes(mediaJSON, c.openapi) }

// UsageQuery asks what requests came to.
type UsageQuery struct {
	Since, Until time.Time // whole hours count
	By           []string  // of usageBy
}

// UsageRow is what requests of one kind came to.
type UsageRow struct {
	Hour     *time.Time `json:"hour,omitempty"` // these are there if asked for
	Model    string     `json:"model,omitempty"`
	Version  string     `json:"version,omitempty"`
	Key      string     `json:"key,omitempty"`
	Provider string     `json:"provider,omitempty"`
	Node     string     `json:"node,omitempty"`

	Requests    int64 `json:"requests"`
	Errors      int64 `json:"errors"`
	CacheHits   int64 `json:"cache_hits"`
	Input       int64 `json:"input_tokens"`
	CachedInput int64 `json:"cached_input_tokens"`
	Output      int64 `json:"output_tokens"`
	CostNano    int64 `json:"cost_nano_usd"`
	Unpriced    int64 `json:"unpriced"` // requests whose cost is not known
}

// Usage tells what requests came to.
type Usage interface {
	Usage(ctx context.Context, q UsageQuery) ([]UsageRow, error)
}

var usageBy = []string{"hour", "model", "version", "key", "provider", "node"}

func (c *call) usage() (page Page[UsageRow], err error) {
	var q UsageQuery
	now := c.options.Now()
	if q.Since, err = c.moment("since", now.Add(-24*time.Hour)); err != nil {
		return page, err
	}
	if q.Until, err = c.moment("until", now); err != nil {
		return page, err
	}
	if !q.Since.Before(q.Until) {
		return page, invalid("since is %s, which is not before until, %s", q.Since.Format(time.RFC3339), q.Until.Format(time.RFC3339))
	}
	if q.By, err = c.columns(); err != nil {
		return page, err
	}
	items, err := c.options.Usage.Usage(c.r.Context(), q)
	return pageOf(items, ""), err
}

// columns reads by what the sums are taken.
func (c *call) columns() ([]string, error) {
	text := c.r.URL.Query().Get("by")
	if text == "" {
		return []string{"model"}, nil
	}
	by := strings.Split(text, ",")
	for i, name := range by {
		if !slices.Contains(usageBy, name) || slices.Contains(by[:i], name) {
			return nil, invalid("the parameter by is %q; want some of %s, each once", text, strings.Join(usageBy, ","))
		}
	}
	return by, nil
}
