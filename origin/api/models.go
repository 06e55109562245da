package api

import (
	"encoding/json"
	"time"

	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/wire"
)

// sameModel makes sure that a body means the model of the path; it may leave it out.
func (c *call) sameModel(model *string) error {
	if *model != "" && *model != c.name() {
		return invalid("the path means the model %q, and the body %q", c.name(), *model)
	}
	*model = c.name()
	return nil
}

func (c *call) createVersion(v control.NewVersion) (control.VersionMade, error) {
	if err := c.sameModel(&v.Model); err != nil {
		return control.VersionMade{}, err
	}
	if v.DryRun {
		c.status = 200
	}
	return c.options.Control.CreateVersion(c.r.Context(), c.by(), v)
}

func (c *call) promote(p control.Promotion) (control.Promoted, error) {
	if err := c.sameModel(&p.Model); err != nil {
		return control.Promoted{}, err
	}
	return c.options.Control.Promote(c.r.Context(), c.by(), p)
}

func (c *call) rollback(r control.Rollback) (control.Promoted, error) {
	if err := c.sameModel(&r.Model); err != nil {
		return control.Promoted{}, err
	}
	return c.options.Control.Rollback(c.r.Context(), c.by(), r)
}

func (c *call) diff() (control.VersionDiff, error) {
	query := c.r.URL.Query()
	if query.Get("from") == "" || query.Get("to") == "" {
		return control.VersionDiff{}, invalid("the parameters from and to are versions, and both are needed")
	}
	return c.options.Control.Diff(c.r.Context(), c.name(), query.Get("from"), query.Get("to"))
}

const usualSpan = time.Hour

func (c *call) modelMetrics() (page Page[control.VersionTotals], err error) {
	span := wire.Duration(usualSpan)
	if text := c.r.URL.Query().Get("since"); text != "" {
		if err := span.UnmarshalText([]byte(text)); err != nil || span <= 0 {
			return page, invalid("the parameter since is %q; want a time span such as 1h or 7d", text)
		}
	}
	items, err := c.options.Control.Metrics(c.r.Context(), c.name(), time.Duration(span))
	return pageOf(items, ""), err
}

func (c *call) releases() (page Page[control.Release], err error) {
	items, err := c.options.Control.Releases(c.r.Context())
	return pageOf(items, ""), err
}

func (c *call) cancelRelease() (Done, error) {
	return Done{Name: c.name()}, c.options.Control.CancelRelease(c.r.Context(), c.by(), c.name())
}

func (c *call) createKey(body json.RawMessage) (control.KeyMade, error) {
	return c.options.Control.CreateKey(c.r.Context(), c.by(), body)
}

func (c *call) rotateKey() (control.KeyMade, error) {
	return c.options.Control.RotateKey(c.r.Context(), c.by(), c.name())
}

// SecretValue is a secret on its way in. It never comes out again.
type SecretValue struct {
	Value string `json:"value"`
}

func (c *call) putSecret(s SecretValue) (control.Result, error) {
	if s.Value == "" {
		return control.Result{}, invalid(`a secret needs a value: {"value":"…"}`)
	}
	result, err := c.options.Control.PutSecret(c.r.Context(), c.by(), c.name(), s.Value)
	if err == nil {
		c.tell(&result, wire.KindSecret)
	}
	return result, err
}

func (c *call) deleteSecret() (control.Result, error) {
	return c.options.Control.DeleteSecret(c.r.Context(), c.by(), c.name())
}
