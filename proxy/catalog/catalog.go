// Package catalog answers which version of which model a reference means, and which arm of an experiment a
// unit belongs to. It knows names and statuses, not targets, caches or requests.
package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/wedge-proxy/wedge/wire"
)

// ErrUnknown is wrapped by the error for a reference that names nothing the caller may use.
var ErrUnknown = errors.New("unknown model")

// ErrForbidden is wrapped by the error for a reference that exists but needs a right the caller lacks.
var ErrForbidden = errors.New("forbidden")

// Table finds models and versions by reference. It is immutable.
type Table struct {
	models map[string]*Model
	sorted []*Model
}

// Model is one public name with everything that may answer for it.
type Model struct {
	*wire.Model
	Versions []*Version

	production *Version
	refs       map[string]*Version // what may follow the @
	running    []*Experiment
}

// Version is one version of a model.
type Version struct {
	*wire.Version
	Model *Model
	Hash  [32]byte
	Index int // among all versions of the table, for tables kept beside this one

	nonproduction bool
}

// Experiment is a running experiment.
type Experiment struct {
	*wire.Experiment
	Arms   []*Version // by arm
	Labels []string   // name=arm, by arm

	assign wire.Assignment
}

// Units is what a model's experiments may keep together; an empty one falls back to Key.
type Units struct{ User, Session, Key, Request []byte }

// Of returns the unit of a kind: the value that a model's experiments and user-scoped caches go by.
func (u *Units) Of(kind string) []byte {
	v := u.Key
	switch kind {
	case "user":
		v = u.User
	case "session":
		v = u.Session
	case "request":
		v = u.Request
	}
	if len(v) == 0 {
		return u.Key
	}
	return v
}

// Compile builds the table of a valid catalog.
func Compile(c *wire.Catalog) *Table {
	t := &Table{models: make(map[string]*Model, len(c.Models))}
	index := 0
	for i := range c.Models {
		m := compileModel(&c.Models[i], &index)
		t.models[m.Name] = m
		t.sorted = append(t.sorted, m)
	}
	slices.SortFunc(t.sorted, func(a, b *Model) int { return strings.Compare(a.Name, b.Name) })
	for i := range c.Experiments {
		if e := &c.Experiments[i]; e.Status == "running" {
			t.models[e.Model].addExperiment(c, e)
		}
	}
	return t
}

func compileModel(w *wire.Model, index *int) *Model {
	m := &Model{Model: w, refs: map[string]*Version{}}
	type numbered struct {
		v *Version
		n *semver.Version
	}
	var all []numbered
	for i := range w.Versions {
		v := &Version{Version: &w.Versions[i], Model: m, Index: *index}
		v.Hash = w.VersionHash(v.Version)
		v.nonproduction = v.Status == "development" || v.Status == "staging"
		*index++
		m.Versions = append(m.Versions, v)
		all = append(all, numbered{v, semver.MustParse(v.Version.Version)})
	}
	// In ascending order, so that the highest match is the one that stays.
	slices.SortFunc(all, func(a, b numbered) int { return a.n.Compare(b.n) })
	for _, e := range all {
		if e.v.Status == "archived" {
			continue
		}
		m.refs[e.v.Version.Version] = e.v
		m.refs[e.v.Status] = e.v
		if e.v.Status == "production" {
			m.production = e.v
		}
		if !e.v.nonproduction && e.n.Prerelease() == "" {
			m.refs[fmt.Sprintf("%d.x", e.n.Major())] = e.v
			m.refs[fmt.Sprintf("%d.%d.x", e.n.Major(), e.n.Minor())] = e.v
		}
	}
	return m
}

func (m *Model) addExperiment(c *wire.Catalog, w *wire.Experiment) {
	e := &Experiment{Experiment: w, assign: wire.CompileExperiment(c, w)}
	for _, arm := range w.Arms {
		e.Labels = append(e.Labels, w.Name+"="+arm.Name)
		for _, v := range m.Versions {
			if v.Version.Version == arm.Version {
				e.Arms = append(e.Arms, v)
			}
		}
	}
	m.running = append(m.running, e)
}

// Models lists the models by name.
func (t *Table) Models() []*Model { return t.sorted }

// Model finds a model by its exact name; nil if there is none.
func (t *Table) Model(name []byte) *Model { return t.models[string(name)] }

// Split takes a reference apart: the model's name and what follows the @ (nil if there is none).
func Split(ref []byte) (name, version []byte) {
	if i := bytes.LastIndexByte(ref, '@'); i >= 0 {
		return ref[:i], ref[i+1:]
	}
	return ref, nil
}

// Version finds the version that stands for what follows the @ of a reference; nonproduction says whether the
// caller may use development and staging versions.
func (m *Model) Version(ref []byte, nonproduction bool) (*Version, error) {
	v := m.refs[string(ref)]
	if v == nil {
		return nil, fmt.Errorf("%w: model %q has no version %q in use; GET /v1/models lists the models", ErrUnknown, m.Name, ref)
	}
	if v.nonproduction && !nonproduction {
		return nil, fmt.Errorf("%w: version %s of model %q is in %s; the key needs may: [nonproduction]", ErrForbidden, v.Version.Version, m.Name, v.Status)
	}
	return v, nil
}

// Production is the version that a bare name stands for outside experiments; nil if there is none.
func (m *Model) Production() *Version { return m.production }

// Assign returns the arm of the running experiment that the units take part in, or a nil experiment.
func (m *Model) Assign(u *Units) (e *Experiment, arm int) {
	if len(m.running) == 0 {
		return nil, 0
	}
	unit := u.Of(m.Unit)
	for _, e := range m.running {
		if arm, in := e.assign.Arm(unit); in {
			return e, arm
		}
	}
	return nil, 0
}

// DrawsAnew says that equal requests may get different arms.
func (m *Model) DrawsAnew() bool { return len(m.running) > 0 && m.Unit == "request" }

// Arm finds a running experiment's arm by the arm's name.
func (m *Model) Arm(name []byte) (e *Experiment, arm int, ok bool) {
	for _, e := range m.running {
		for i := range e.Experiment.Arms {
			if e.Experiment.Arms[i].Name == string(name) {
				return e, i, true
			}
		}
	}
	return nil, 0, false
}
