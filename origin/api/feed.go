package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
)

const (
	maxFeeds  = 256 // open at once
	feedBatch = 100 // changes that are read at once
)

// place is up to where a client has the changes.
type place struct{ epoch, rev int64 }

func (p place) String() string { return fmt.Sprintf("%d/%d", p.epoch, p.rev) }

// Reset tells a client of the feed that the revisions between what it has and this one cannot be told: it shall read what
// it needs anew.
type Reset struct {
	Epoch int64 `json:"epoch"`
	Rev   int64 `json:"rev"`
}

// feed answers with server-sent events: a "change" for each revision, with a Record, and a "reset" where history has
// been forgotten or restored. The id of an event is EPOCH/REV.
func (c *call) feed() error {
	select {
	case c.feeds <- struct{}{}:
		defer func() { <-c.feeds }()
	default:
		f := faultf(http.StatusServiceUnavailable, codeBusy, "%d feeds are open already; ask again later", maxFeeds)
		f.header = http.Header{"Retry-After": {"10"}}
		return f
	}
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()
	head, err := c.store.Head(ctx)
	if err != nil {
		return err
	}
	at, err := c.place(head)
	if err != nil {
		return err
	}
	c.x.Header().Set("Content-Type", mediaFeed)
	c.x.Header().Set("X-Accel-Buffering", "no")
	c.x.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return nil
	}
	err = c.follow(ctx, at)
	if ctx.Err() != nil {
		return nil // the client or the origin has ended it
	}
	return err
}

// place reads where the client wants to go on: after the last event that it got, after a revision, or with what is new.
func (c *call) place(head store.Head) (place, error) {
	at := place{head.Epoch, head.Rev}
	id := c.r.Header.Get("Last-Event-ID")
	if id == "" {
		rev, err := c.number("after", 0, head.Rev)
		at.rev = rev
		return at, err
	}
	epoch, rev, both := strings.Cut(id, "/")
	var err error
	if !both {
		rev = epoch
	} else if at.epoch, err = strconv.ParseInt(epoch, 10, 64); err != nil {
		return at, invalid("Last-Event-ID is %q; want EPOCH/REV, as events have it", id)
	}
	if at.rev, err = strconv.ParseInt(rev, 10, 64); err != nil || at.rev < 0 {
		return at, invalid("Last-Event-ID is %q; want EPOCH/REV, as events have it", id)
	}
	return at, nil
}

// follow sends what follows a place until ctx is done.
func (c *call) follow(ctx context.Context, at place) error {
	if err := c.emit(": from %s\n\n", at); err != nil {
		return err
	}
	news := c.store.Watch(ctx)
	tick := time.NewTicker(c.options.Heartbeat)
	defer tick.Stop()
	for {
		var err error
		select {
		case _, open := <-news:
			if !open {
				return nil
			}
			at, err = c.catchUp(ctx, at)
		case <-tick.C:
			err = c.emit(": alive\n\n")
		}
		if err != nil {
			return err
		}
	}
}

// catchUp sends the changes after a place, and tells up to where that was.
func (c *call) catchUp(ctx context.Context, at place) (place, error) {
	for {
		changes, head, err := c.store.Changes(ctx, at.rev, feedBatch)
		lost := errors.Is(err, store.ErrCompacted) || errors.Is(err, store.ErrAhead)
		if err != nil && !lost {
			return at, err
		}
		if lost || head.Epoch != at.epoch {
			return c.reset(ctx)
		}
		for i := range changes {
			record, err := recordOf(&changes[i].Record)
			if err != nil {
				return at, err
			}
			at.rev = record.Rev
			if err := c.event("change", at, record); err != nil {
				return at, err
			}
		}
		if at.rev >= head.Rev {
			return at, nil
		}
	}
}

// reset tells that there is no way from where the client is, and goes on at the head.
func (c *call) reset(ctx context.Context) (place, error) {
	head, err := c.store.Head(ctx)
	if err != nil {
		return place{}, err
	}
	at := place{head.Epoch, head.Rev}
	return at, c.event("reset", at, Reset{head.Epoch, head.Rev})
}

func (c *call) event(name string, at place, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return c.emit("event: %s\nid: %s\ndata: %s\n\n", name, at, text)
}

func (c *call) emit(format string, args ...any) error {
	if _, err := fmt.Fprintf(c.x, format, args...); err != nil {
		return err
	}
	return c.x.control.Flush()
}
