package wire

// A node's purse is what it may spend of each budget in each period. What is said of one is cumulative: since the purse was
// made, in nano-USD, and never less than before. So it does not matter if a message comes twice, late, or not at all: the
// larger figure counts. A purse outlives processes, and belongs to one data folder: a copy of it has another purse.

// LeaseRequest tells what became of leases, and asks for more.
type LeaseRequest struct {
	Session string       `json:"session"`
	Purse   string       `json:"purse"`
	Pots    []PotReport  `json:"pots,omitempty"`
	Rates   []RateDemand `json:"rates,omitempty"` // those that were used lately
}

// PotReport is where a purse stands in one period of a budget.
type PotReport struct {
	Budget     string `json:"budget"`
	Period     int64  `json:"period"`               // Period.Start
	Granted    int64  `json:"granted,omitempty"`    // all that the node knows it got
	Returned   int64  `json:"returned,omitempty"`   // of it, that it will never spend
	Spent      int64  `json:"spent,omitempty"`      // settled; may be more than Granted
	Unverified int64  `json:"unverified,omitempty"` // besides: what a process that died may have spent
	Grace      int64  `json:"grace,omitempty"`      // of Spent: beyond leases, as Budget.Offline allows
	Held       int64  `json:"held,omitempty"`       // for requests under way, now
	Rate       int64  `json:"rate,omitempty"`       // what is spent in a minute, lately
	Want       int64  `json:"want,omitempty"`       // more
	Min        int64  `json:"min,omitempty"`        // less than this is of no use
}

// LeaseReply answers a LeaseRequest.
type LeaseReply struct {
	Pots  []PotGrant  `json:"pots,omitempty"`
	Rates []RateShare `json:"rates,omitempty"`
}

// PotGrant is what the origin says of one period of a budget.
type PotGrant struct {
	Budget    string `json:"budget"`
	Period    int64  `json:"period"`
	Granted   int64  `json:"granted"`           // cumulative
	Known     int64  `json:"known"`             // spent and unverified, as this purse told before: more than it knows, if its disk was set back
	Keep      int64  `json:"keep"`              // what the node may keep besides what it holds and has spent; -1: all of it
	Limit     int64  `json:"limit"`             // of the budget
	Committed int64  `json:"committed"`         // spent, or granted to nodes
	Spent     int64  `json:"spent"`             // by all nodes, as far as the origin knows
	Refused   string `json:"refused,omitempty"` // exhausted | unknown (no such budget or period) | ended | flawed (the report)
}

// What a PotGrant may refuse for.
const (
	RefusedExhausted = "exhausted"
	RefusedUnknown   = "unknown"
	RefusedEnded     = "ended"
	RefusedFlawed    = "flawed"
)

// RateDemand is what a node wants of a rate limit, in a second.
type RateDemand struct {
	Rate     string  `json:"rate"` // RATE, or key/NAME for a key's own
	Requests float64 `json:"requests"`
	Tokens   float64 `json:"tokens"`
	InFlight float64 `json:"in_flight"`
}

// RateShare is the part of a rate limit that a node may use until it hears of another, for a time.
type RateShare struct {
	Rate  string  `json:"rate"`
	Share float64 `json:"share"`  // 0..1
	TTLMS int64   `json:"ttl_ms"` // after which it is one part of as many as there are nodes
	Nodes int     `json:"nodes"`
}
