package api

import (
	"context"
	"io"

	"github.com/wedge-proxy/wedge/origin/fleet"
	"github.com/wedge-proxy/wedge/origin/vault"
)

// Fleet knows the nodes: *fleet.Fleet.
type Fleet interface {
	State(ctx context.Context) (fleet.State, error)
	// Nodes lists up to limit nodes whose names follow after.
	Nodes(ctx context.Context, after string, limit int) ([]fleet.Node, error)
	Node(ctx context.Context, name string) (fleet.Node, error)
	Pin(ctx context.Context, name string, on bool, reason string) error
	Drain(ctx context.Context, name string, on bool, reason string) error
	// Remove makes the certificate of a node count no more.
	Remove(ctx context.Context, name string) error
	// Bundle writes the signed bundle.
	Bundle(ctx context.Context, w io.Writer) error
}

// anyone is the role of a route that needs no token.
const anyone vault.Role = ""
