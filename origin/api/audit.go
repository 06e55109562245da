package api

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Record tells who made a revision, when, why and what it touched.
type Record struct {
	Rev    int64     `json:"rev"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Reason string    `json:"reason,omitempty"`
	Items  []Touched `json:"items"`
}

// Touched is a resource that a revision put or deleted.
type Touched struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Action string `json:"action"` // put | delete
}

func recordOf(r *store.Record) (Record, error) {
	record := Record{Rev: r.Rev, At: r.At, Actor: r.Actor, Reason: r.Reason, Items: []Touched{}}
	payload, err := wire.ParsePayload(r.Payload)
	if err != nil {
		return record, err
	}
	for _, item := range payload.Items {
		action := "put"
		if item.Deleted {
			action = "delete"
		}
		record.Items = append(record.Items, Touched{item.Kind, item.Name, action})
	}
	return record, nil
}

// Trail is a part of the audit trail, the latest revision first.
type Trail struct {
	Items []Record `json:"items"`
	Next  int64    `json:"next,omitempty"` // the before of the next page; absent on the last one
}

func (c *call) audit() (trail Trail, err error) {
	limit, err := c.limit()
	if err != nil {
		return trail, err
	}
	before, err := c.number("before", 1, 0)
	if err != nil {
		return trail, err
	}
	records, err := c.store.Audit(c.r.Context(), before, limit)
	if err != nil {
		return trail, err
	}
	trail.Items = []Record{}
	for i := range records {
		record, err := recordOf(&records[i])
		if err != nil {
			return trail, err
		}
		trail.Items = append(trail.Items, record)
	}
	if len(records) == limit && records[limit-1].Rev > 1 {
		trail.Next = records[limit-1].Rev
	}
	return trail, nil
}

// Past is what a resource was from a revision on.
type Past struct {
	Rev    int64           `json:"rev"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor"`
	Reason string          `json:"reason,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"` // absent: deleted
}

// history lists what a resource was, the latest first. A page begins after the revision that the one before ended with.
func (c *call) history() (page Page[Past], err error) {
	kind := c.r.PathValue("kind")
	if i := slices.IndexFunc(kinds, func(k struct{ plural, kind string }) bool { return k.plural == kind }); i >= 0 {
		kind = kinds[i].kind
	}
	limit, err := c.limit()
	if err != nil {
		return page, err
	}
	before, err := c.number("after", 1, 0)
	if err != nil {
		return page, err
	}
	past, err := c.store.History(c.r.Context(), kind, c.name(), before, limit)
	if err != nil {
		return page, err
	}
	page.Items = []Past{}
	for i := range past {
		p := &past[i]
		page.Items = append(page.Items, Past{p.Rev, p.At, p.Actor, p.Reason, p.Body})
	}
	if len(past) == limit {
		page.Next = strconv.FormatInt(past[limit-1].Rev, 10)
	}
	return page, nil
}
