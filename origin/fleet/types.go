// Package fleet is the origin's side of the nodes: who they are, what each of them has, and in which order they get what
// is new; it knows the catalog only as resources that travel.
package fleet

import (
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// Node is what the origin knows of a node.
type Node struct {
	Name      string    `json:"name"`
	Region    string    `json:"region,omitempty"`
	Version   string    `json:"version,omitempty"` // of the program
	Address   string    `json:"address,omitempty"`
	State     string    `json:"state"` // online | offline | held (it refused its last revision)
	Epoch     int64     `json:"epoch"` // in use
	Rev       int64     `json:"rev"`
	Digest    string    `json:"digest,omitempty"` // of the catalog in use
	Lag       int64     `json:"lag"`              // revisions behind the head
	Pinned    bool      `json:"pinned"`
	Drained   bool      `json:"drained"`
	Reason    string    `json:"reason,omitempty"` // why it is pinned or drained
	Enrolled  time.Time `json:"enrolled"`
	Expires   time.Time `json:"expires"` // of its certificate
	Seen      time.Time `json:"seen"`
	Refused   *Refused  `json:"refused,omitempty"`
	ReportSeq int64     `json:"report_seq"` // the last report that was counted
}

// Refused is the revision that a node does not take, and why.
type Refused struct {
	Epoch int64     `json:"epoch"`
	Rev   int64     `json:"rev"`
	At    time.Time `json:"at"`
	wire.Nack
}

// State is the whole fleet's.
type State struct {
	Epoch   int64     `json:"epoch"`
	Rev     int64     `json:"rev"`
	Chain   string    `json:"chain"`
	Issued  time.Time `json:"issued"`
	Rollout Rollout   `json:"rollout"`
	Nodes   int       `json:"nodes"`
	Online  int       `json:"online"`
	Spread  []Spread  `json:"spread"` // how many nodes have which revision, the newest first
}

// Spread is how many nodes are at a revision.
type Spread struct {
	Epoch  int64 `json:"epoch"`
	Rev    int64 `json:"rev"`
	Nodes  int   `json:"nodes"`
	Online int   `json:"online"`
}

// Rollout is how far the head has come: nodes of the first wave get it first, then a tenth of all, then the rest.
type Rollout struct {
	Stage   string    `json:"stage"`  // canary | tenth | all | done | held
	Canary  int64     `json:"canary"` // the revision that each wave may have
	Tenth   int64     `json:"tenth"`
	All     int64     `json:"all"`
	Since   time.Time `json:"since"`
	Waiting int       `json:"waiting"`        // nodes whose answer the stage waits for
	Held    *Held     `json:"held,omitempty"` // why it does not go on
}

// Held is why a revision stopped.
type Held struct {
	Rev     int64  `json:"rev"`
	Node    string `json:"node"`
	Code    string `json:"code"`
	Message string `json:"message"`
}
