package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// session is one hello and what follows from it.
type session struct {
	u    *Uplink
	c    *caller
	id   string
	ping time.Duration // a stream that is silent for three times as long is dead
}

const (
	pollTime = 30 * time.Second
)

var (
	errAnew     = errors.New("the node begins with a whole state")
	errBuffered = errors.New("somebody on the way holds the stream back; asking again and again in its place")
)

// run takes what the origin has, until the link breaks.
func (s *session) run(ctx context.Context) error {
	if err := s.tellOwed(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		var err error
		if s.u.buffers[s.c.origin] {
			err = s.read(ctx, s.path("&wait="+pollTime.String()), pollTime+s.u.o.patience)
		} else {
			err = s.read(ctx, s.path(""), 0)
		}
		switch {
		case errors.Is(err, errBuffered):
			s.u.o.Log.Warn(err.Error(), "origin", s.c.origin)
			s.u.buffers[s.c.origin] = true
		case errors.Is(err, errAnew):
			pause(ctx, s.u.o.backoff(0))
		case err == nil && s.u.buffers[s.c.origin]:
		case err == nil:
			return errors.New("the origin ended the stream")
		default:
			return err
		}
	}
	return ctx.Err()
}

// path is where the stream that goes on from where the node stands is found.
func (s *session) path(more string) string {
	at := s.u.resume()
	q := url.Values{"session": {s.id}, "epoch": {strconv.FormatInt(at.Epoch, 10)}, "rev": {strconv.FormatInt(at.Rev, 10)},
		"chain": {at.Chain.String()}}
	return wire.PathStream + "?" + q.Encode() + more
}

// read takes frames until the stream ends or is silent for too long. A poll's whole answer may take as long as first.
func (s *session) read(ctx context.Context, path string, first time.Duration) error {
	silent := errors.New("the origin's stream is silent")
	buffered := errBuffered
	if first > 0 {
		buffered = silent
	} else {
		first = s.u.o.patience
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(first, func() { cancel(buffered) })
	defer watch.Stop()
	resp, err := s.c.do(ctx, "GET", path, nil)
	if err != nil {
		return causeOf(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // what came was taken
	var buf []byte
	for {
		t, body, err := wire.ReadFrame(resp.Body, buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return causeOf(ctx, err)
		}
		s.u.heard.Store(true)
		if watch.Stop(); !s.u.buffers[s.c.origin] {
			watch = time.AfterFunc(3*s.ping, func() { cancel(silent) })
		}
		if err := s.take(ctx, t, body); err != nil {
			return err
		}
		watch.Reset(3 * s.ping) // what the node did with the frame is not the origin's silence
		if buf = body; cap(buf) > 1<<20 {
			buf = nil
		}
	}
}

func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// take does what a frame says.
func (s *session) take(ctx context.Context, t wire.FrameType, body []byte) error {
	switch t {
	case wire.FramePing:
		if len(body) != 8 {
			return errors.New("a ping of the origin's is not understood")
		}
		s.u.shown.set(func(st *Status) { st.Seen = s.u.o.now().UTC() })
		return nil
	case wire.FrameControl:
		var c wire.Control
		if err := wire.DecodeStrict(body, &c); err != nil {
			return fmt.Errorf("a wish of the origin's is not understood: %w", err)
		}
		s.u.shown.set(func(st *Status) { st.Drained, st.Pinned, st.Reason = c.Drain, c.Pinned, c.Reason })
		if s.u.o.Control != nil {
			s.u.o.Control(c)
		}
		return nil
	}
	ack, err := s.u.takeRevision(ctx, s.c, t, body)
	if ack != nil {
		ack.Session = s.id
		if told := s.c.post(ctx, wire.PathAck, ack, nil); told != nil {
			return fmt.Errorf("cannot tell the origin what became of revision %d: %w", ack.Rev, told)
		}
	}
	return err
}

// tellOwed tells of a refusal that no origin has heard of.
func (s *session) tellOwed(ctx context.Context) error {
	s.u.work.Lock()
	owed := s.u.owed
	s.u.work.Unlock()
	if owed == nil {
		return nil
	}
	told := *owed
	told.Session = s.id
	if err := s.c.post(ctx, wire.PathAck, &told, nil); err != nil {
		return fmt.Errorf("cannot tell the origin what was refused: %w", err)
	}
	s.u.work.Lock()
	s.u.owed = nil
	s.u.work.Unlock()
	return nil
}

// report brings the origin what the node has to tell. What it refuses is tried again: nothing may be left out.
func (s *session) report(ctx context.Context) error {
	if s.u.o.Reports == nil {
		return nil
	}
	for attempt := 0; ; {
		r, ok := s.u.o.Reports.Next()
		if !ok {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-s.u.o.Reports.Changed():
			case <-time.After(time.Second):
			}
			continue
		}
		told := *r
		told.Session = s.id
		var reply wire.ReportReply
		err := s.c.post(ctx, wire.PathReport, &told, &reply)
		if err == nil {
			s.u.o.Reports.Sent(reply)
			s.u.shown.set(func(st *Status) { st.Unreported = "" })
			attempt = 0
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		code := codeOf(err)
		if code == "gap" { // the origin was restored: what it lacks goes on under another incarnation
			if err = s.u.o.Reports.Gap(); err == nil {
				continue
			}
		}
		if code == "" || code == "fenced" || code == "unauthenticated" || code == "forbidden" {
			return fmt.Errorf("cannot report: %w", err)
		}
		s.u.shown.set(func(st *Status) { st.Unreported = err.Error() })
		s.u.o.Log.Error("the origin does not take a report", "seq", r.Seq, "error", err)
		pause(ctx, s.u.o.backoff(attempt))
		attempt++
	}
}

// renewInTime ends the session when the certificate is to be exchanged: the next one begins with that.
func (s *session) renewInTime(ctx context.Context) error {
	wait := s.c.id.renewAt().Sub(s.u.o.now())
	if wait <= 0 { // it was just refused: not again at once
		wait = time.Hour
	}
	pause(ctx, wait)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New("the node's certificate is about to be renewed")
}
