package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/origin/fleet"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Control changes and reads the catalog: *control.Control.
type Control interface {
	Apply(ctx context.Context, by control.By, a control.Apply) (control.Result, error)
	Put(ctx context.Context, by control.By, kind, name string, body []byte, expect int64) (control.Result, error)
	Delete(ctx context.Context, by control.By, kind, name string, expect int64) (control.Result, error)
	Get(ctx context.Context, kind, name string) (control.Resource, error)
	List(ctx context.Context, kind, after string, limit int) (items []control.Resource, next string, err error)
	Catalog(ctx context.Context) ([]byte, store.Head, error)
	CreateVersion(ctx context.Context, by control.By, v control.NewVersion) (control.VersionMade, error)
	Promote(ctx context.Context, by control.By, p control.Promotion) (control.Promoted, error)
	Rollback(ctx context.Context, by control.By, r control.Rollback) (control.Promoted, error)
	Diff(ctx context.Context, model, from, to string) (control.VersionDiff, error)
	Metrics(ctx context.Context, model string, since time.Duration) ([]control.VersionTotals, error)
	Releases(ctx context.Context) ([]control.Release, error)
	CancelRelease(ctx context.Context, by control.By, model string) error
	CreateKey(ctx context.Context, by control.By, body json.RawMessage) (control.KeyMade, error)
	RotateKey(ctx context.Context, by control.By, name string) (control.KeyMade, error)
	RevokeKey(ctx context.Context, by control.By, name string) (control.Result, error)
	PutSecret(ctx context.Context, by control.By, name, value string) (control.Result, error)
	DeleteSecret(ctx context.Context, by control.By, name string) (control.Result, error)
}

// Fleet knows the nodes: *fleet.Fleet.
type Fleet interface {
	State(ctx context.Context) (fleet.State, error)
	Nodes(ctx context.Context, after string, limit int) ([]fleet.Node, error)
	Node(ctx context.Context, name string) (fleet.Node, error)
	Pin(ctx context.Context, name string, on bool, reason string) error
	Drain(ctx context.Context, name string, on bool, reason string) error
	Remove(ctx context.Context, name string) error
	Bundle(ctx context.Context, w io.Writer) error
}

// Role is what a token may do. Each role may do what the one before may.
type Role string

// The roles.
const (
	Anyone   Role = ""         // without a token
	Viewer   Role = "viewer"   // reads
	Operator Role = "operator" // changes
	Admin    Role = "admin"    // gives others tokens, rotates the origin's keys, takes backups, deletes secrets
)

var ranks = map[Role]int{Anyone: 0, Viewer: 1, Operator: 2, Admin: 3}

// May tells whether the role is enough for what another one may do.
func (r Role) May(needed Role) bool {
	rank, known := ranks[r]
	return known && rank >= ranks[needed]
}

// Identity is who asks.
type Identity struct {
	Name string
	Role Role
}

// TokenInfo is what is known of a token.
type TokenInfo struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Created time.Time `json:"created"`
}

// ErrToken says that a token is not one of this origin's.
var ErrToken = errors.New("this token is not known to the origin, or was revoked")

// Invitation is whom a join token lets in.
type Invitation struct {
	Name, Region string // Name may be "": then the node chooses
	Expires      time.Time
	Actor        string
}

// Users knows who may ask, and makes keys.
type Users interface {
	// Authenticate tells whose token it is, or ErrToken.
	Authenticate(ctx context.Context, token string) (Identity, error)
	NewToken(ctx context.Context, name string, role Role) (token string, err error)
	Tokens(ctx context.Context) ([]TokenInfo, error)
	RevokeToken(ctx context.Context, name string) error
	Invite(ctx context.Context, i Invitation) (wire.JoinToken, error)
	// RotateSigner makes a new signing key; Trust lists the public keys that nodes shall believe.
	RotateSigner(ctx context.Context, actor, reason string) error
	Trust(ctx context.Context) ([]string, error)
}
