package uplink

import (
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// Status is what a node tells about its link.
type Status struct {
	Link       string    `json:"link"` // up | down
	Since      time.Time `json:"since"`
	Node       string    `json:"node"`
	Origin     string    `json:"origin,omitempty"` // the URL of the one that is followed, or was last
	Error      string    `json:"error,omitempty"`  // why the link is down
	Seen       time.Time `json:"seen,omitzero"`    // when the origin was last heard
	Epoch      int64     `json:"epoch"`            // in use
	Rev        int64     `json:"rev"`
	Issued     time.Time `json:"issued,omitzero"` // when its head was signed
	Active     time.Time `json:"active,omitzero"` // since when it is in use
	Age        float64   `json:"age_seconds"`     // of the head
	Lag        int64     `json:"lag"`             // revisions between the one in use and the last one that was refused
	Trial      bool      `json:"trial,omitempty"` // it is on probation
	Refused    *Refused  `json:"refused,omitempty"`
	Pinned     bool      `json:"pinned,omitempty"`
	Drained    bool      `json:"drained,omitempty"`
	Reason     string    `json:"reason,omitempty"`     // why it is pinned or drained
	Expires    time.Time `json:"expires,omitzero"`     // the node's certificate
	Unreported string    `json:"unreported,omitempty"` // why the origin does not take a report
}

// Refused is the revision that was refused last.
type Refused struct {
	Epoch int64     `json:"epoch"`
	Rev   int64     `json:"rev"`
	At    time.Time `json:"at"`
	wire.Nack
}

const (
	linkUp   = "up"
	linkDown = "down"
)

// shown is the status under its own lock: asking must not wait for a revision that is being taken.
type shown struct {
	mu     sync.Mutex
	status Status
}

func (s *shown) set(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
}

func (s *shown) up(now time.Time, origin, node string, expires time.Time) {
	s.set(func(st *Status) {
		st.Link, st.Since, st.Seen, st.Origin, st.Node, st.Error, st.Expires = linkUp, now.UTC(), now.UTC(), origin, node, "", expires.UTC()
	})
}

func (s *shown) down(now time.Time, err error) {
	s.set(func(st *Status) {
		if st.Link == linkUp || st.Error == "" {
			st.Link, st.Since = linkDown, now.UTC()
		}
		if st.Error = ""; err != nil {
			st.Error = err.Error()
		}
	})
}

// Status tells how the link is.
func (u *Uplink) Status() Status {
	u.shown.mu.Lock()
	defer u.shown.mu.Unlock()
	st := u.shown.status
	if !st.Issued.IsZero() {
		st.Age = u.o.now().Sub(st.Issued).Seconds()
	}
	if r := st.Refused; r != nil && r.Epoch == st.Epoch {
		st.Lag = max(0, r.Rev-st.Rev)
	}
	return st
}
