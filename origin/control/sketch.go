package control

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

var errSketch = errors.New("not yet")

func reach(context.Context, *wire.Provider) error { return errSketch }

// Schema is the tables of this part of the origin.
func Schema() store.Schema { return store.Schema{Name: "control"} }

// Run steps scheduled and canary releases until ctx is done, whenever this process has the lead of it.
func (c *Control) Run(ctx context.Context) error { return errSketch }

// Apply makes a catalog true.
func (c *Control) Apply(ctx context.Context, by By, a Apply) (Result, error) {
	return Result{}, errSketch
}

// Put makes or replaces one entry of the catalog: kind is provider, model, version, experiment, policy, prompt, price,
// key or budget. expect is the version that it has, store.Absent or store.Any.
func (c *Control) Put(ctx context.Context, by By, kind, name string, body []byte, expect int64) (Result, error) {
	return Result{}, errSketch
}

// Delete deletes one entry of the catalog.
func (c *Control) Delete(ctx context.Context, by By, kind, name string, expect int64) (Result, error) {
	return Result{}, errSketch
}

// Get returns an entry of the catalog or a secret's record.
func (c *Control) Get(ctx context.Context, kind, name string) (Resource, error) {
	return Resource{}, errSketch
}

// List returns up to limit entries of a kind that follow after, by name, and where the next page begins, "" at the end.
func (c *Control) List(ctx context.Context, kind, after string, limit int) (items []Resource, next string, err error) {
	return nil, "", errSketch
}

// Catalog returns the whole catalog as JSON, and the head that it is of.
func (c *Control) Catalog(ctx context.Context) ([]byte, store.Head, error) {
	return nil, store.Head{}, errSketch
}

// CreateVersion numbers a configuration and adds it to its model.
func (c *Control) CreateVersion(ctx context.Context, by By, v NewVersion) (VersionMade, error) {
	return VersionMade{}, errSketch
}

// Promote moves a version on in its life.
func (c *Control) Promote(ctx context.Context, by By, p Promotion) (Promoted, error) {
	return Promoted{}, errSketch
}

// Rollback ends a model's running release or, without one, brings back the version that was in production before.
func (c *Control) Rollback(ctx context.Context, by By, r Rollback) (Promoted, error) {
	return Promoted{}, errSketch
}

// Diff compares two versions of a model; from "" is the one in production.
func (c *Control) Diff(ctx context.Context, model, from, to string) (VersionDiff, error) {
	return VersionDiff{}, errSketch
}

// Metrics tells what nodes reported of each version of a model.
func (c *Control) Metrics(ctx context.Context, model string, since time.Duration) ([]VersionTotals, error) {
	return nil, errSketch
}

// Releases lists the promotions that are not over, and each model's last one that is.
func (c *Control) Releases(ctx context.Context) ([]Release, error) { return nil, errSketch }

// CancelRelease ends a model's scheduled or running release: production stays what it was.
func (c *Control) CancelRelease(ctx context.Context, by By, model string) error { return errSketch }

// CreateKey makes a virtual key: body is its entry in the catalog without id and hash.
func (c *Control) CreateKey(ctx context.Context, by By, body json.RawMessage) (KeyMade, error) {
	return KeyMade{}, errSketch
}

// RotateKey gives a key's name and settings to a new key; the old one counts no more.
func (c *Control) RotateKey(ctx context.Context, by By, name string) (KeyMade, error) {
	return KeyMade{}, errSketch
}

// RevokeKey deletes a key.
func (c *Control) RevokeKey(ctx context.Context, by By, name string) (Result, error) {
	return Result{}, errSketch
}

// PutSecret makes or replaces a secret.
func (c *Control) PutSecret(ctx context.Context, by By, name, value string) (Result, error) {
	return Result{}, errSketch
}

// DeleteSecret deletes a secret that no provider names.
func (c *Control) DeleteSecret(ctx context.Context, by By, name string) (Result, error) {
	return Result{}, errSketch
}
