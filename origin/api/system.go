package api

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/origin/ledger"
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

func (c *call) usage() (page Page[ledger.Row], err error) {
	query, now := c.r.URL.Query(), c.options.Now()
	q := ledger.Query{By: []string{"model"}}
	if q.Where, err = parseWhere(query.Get("where")); err != nil {
		return page, err
	}
	for _, name := range []string{"model", "version"} {
		if v := query.Get(name); v != "" {
			q.Where[name] = []string{v}
		}
	}
	if q.Since, err = c.moment("since", now.Add(-24*time.Hour)); err != nil {
		return page, err
	}
	if q.Until, err = c.moment("until", now); err != nil {
		return page, err
	}
	if !q.Since.Before(q.Until) {
		return page, invalid("since is %s, which is not before until, %s", q.Since.Format(time.RFC3339), q.Until.Format(time.RFC3339))
	}
	if by := query.Get("by"); by != "" {
		q.By = strings.Split(by, ",")
	}
	if q.Tenants, err = c.tenants(); err != nil {
		return page, err
	}
	limit, err := c.number("limit", 1, 0)
	if err != nil {
		return page, err
	}
	q.Limit = int(min(limit, maxRows))
	items, err := c.options.Ledger.Usage(c.r.Context(), q)
	return pageOf(items, ""), err
}

// maxRows is how many rows of usage are told at most.
const maxRows = 100_000
