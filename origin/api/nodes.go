package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/fleet"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

// Done answers a request that leaves nothing else to tell.
type Done struct {
	Name string `json:"name"` // what it was about
}

func (c *call) nodes() (page Page[fleet.Node], err error) {
	limit, err := c.limit()
	if err != nil {
		return page, err
	}
	items, err := c.options.Fleet.Nodes(c.r.Context(), c.r.URL.Query().Get("after"), limit+1)
	if err != nil || len(items) <= limit {
		return pageOf(items, ""), err
	}
	return pageOf(items[:limit], items[limit-1].Name), nil
}

func (c *call) node() (fleet.Node, error) { return c.options.Fleet.Node(c.r.Context(), c.name()) }

// Invite asks for a join token.
type Invite struct {
	Name   string        `json:"name,omitempty"`   // what the node is called; absent: it says so itself
	Region string        `json:"region,omitempty"` // where it is
	TTL    wire.Duration `json:"ttl,omitempty"`    // how long the token is good for; default 1h
}

// Invited is a join token, which lets one node enrol.
type Invited struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

const (
	usualInvitation = wire.Duration(time.Hour)
	maxInvitation   = wire.Duration(30 * 24 * time.Hour)
)

func (c *call) invite(i Invite) (Invited, error) {
	switch {
	case i.TTL == 0:
		i.TTL = usualInvitation
	case i.TTL < wire.Duration(time.Second) || i.TTL > maxInvitation:
		return Invited{}, invalid("ttl is %s; want between 1s and 30d", time.Duration(i.TTL))
	}
	if err := c.toldOnce("node.invite", i.Name); err != nil {
		return Invited{}, err
	}
	expires := c.options.Now().UTC().Add(time.Duration(i.TTL)).Truncate(time.Second)
	token, err := c.options.Vault.Invite(c.r.Context(), vault.Invitation{Name: i.Name, Region: i.Region, Expires: expires, Actor: c.who.Name})
	if err != nil {
		return Invited{}, err
	}
	if c.options.Plain {
		token.CA = nil
	}
	c.note("node.invite", i.Name, "region "+strconv.Quote(i.Region)+", until "+expires.Format(time.RFC3339))
	return Invited{Token: token.String(), Expires: token.Expires}, nil
}

// Why is the reason for what is done to a node.
type Why struct {
	Reason string `json:"reason,omitempty"`
}

// step pins, unpins, drains or undrains a node.
func step(verb string) func(c *call, why Why) (fleet.Node, error) {
	return func(c *call, why Why) (fleet.Node, error) {
		if why.Reason == "" {
			why.Reason = c.reason()
		}
		f, change := c.options.Fleet, c.options.Fleet.Pin
		base, off := strings.CutPrefix(verb, "un")
		if base == "drain" {
			change = f.Drain
		}
		if err := change(c.r.Context(), c.name(), !off, why.Reason); err != nil {
			return fleet.Node{}, err
		}
		c.why = why.Reason
		c.note("node."+verb, c.name(), "")
		return f.Node(c.r.Context(), c.name())
	}
}

func (c *call) removeNode() (Done, error) {
	return c.once("node.remove", func() error { return c.options.Fleet.Remove(c.r.Context(), c.name()) })
}

func (c *call) fleet() (fleet.State, error) {
	state, err := c.options.Fleet.State(c.r.Context())
	if state.Spread == nil {
		state.Spread = []fleet.Spread{}
	}
	return state, err
}

// download answers with what f writes. Where f fails before it writes, the answer is a failure like any other; later it
// breaks off.
func (c *call) download(file string, f func(w http.ResponseWriter) error) error {
	h := c.x.Header()
	h.Set("Content-Type", mediaBytes)
	h.Set("Content-Disposition", `attachment; filename="`+file+`"`)
	if c.r.Method == http.MethodHead {
		c.x.WriteHeader(http.StatusOK)
		return nil
	}
	return f(c.x)
}

func (c *call) bundle() error {
	return c.download("wedge.bundle", func(w http.ResponseWriter) error { return c.options.Fleet.Bundle(c.r.Context(), w) })
}
