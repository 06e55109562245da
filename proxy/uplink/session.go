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
	pollTime = 30 * time.Second // how long an origin may wait before it answers a poll
	pollFor  = time.Hour        // until a stream is tried again
)

var (
	errAnew     = errors.New("the node begins with a whole state")
	errSilent   = errors.New("the origin's stream is silent")
	errBuffered = errors.New("somebody on the way holds the stream back; asking again and again in its place")
)

// run takes what the origin has, until the link breaks.
func (s *session) run(ctx context.Context) error {
	if err := s.tellOwed(ctx); err != nil {
		return err
	}
	for again := 0; ctx.Err() == nil; {
		polls := s.polls()
		frames, err := s.read(ctx, polls)
		switch {
		case errors.Is(err, errBuffered):
			s.u.o.Log.Warn(err.Error(), "origin", s.c.origin)
			s.u.buffered[s.c.origin] = s.u.o.now()
		case errors.Is(err, errAnew):
			pause(ctx, s.u.o.backoff(again))
			again++
		case err != nil:
			if polls && frames == 0 { // it was not the way that was silent, but the origin
				delete(s.u.buffered, s.c.origin)
			}
			return err
		case !polls:
			return errors.New("the origin ended the stream")
		case frames == 0:
			pause(ctx, s.u.o.backoff(0))
		}
	}
	return ctx.Err()
}

// polls says that the origin's streams do not get here, so that the node asks again and again.
func (s *session) polls() bool {
	since, buffered := s.u.buffered[s.c.origin]
	return buffered && s.u.o.now().Sub(since) < pollFor
}

// path is where the stream that goes on from where the node stands is found.
func (s *session) path(polls bool) string {
	at := s.u.resume()
	q := url.Values{"session": {s.id}, "epoch": {strconv.FormatInt(at.Epoch, 10)}, "rev": {strconv.FormatInt(at.Rev, 10)},
		"chain": {at.Chain.String()}}
	if polls {
		q.Set("wait", s.u.o.poll.String())
	}
	return wire.PathStream + "?" + q.Encode()
}

// read takes frames until the stream ends or is silent for too long, and tells how many there were. A poll is answered
// when there is something to tell; a stream begins at once, or somebody holds it back.
func (s *session) read(ctx context.Context, polls bool) (frames int, err error) {
	patience := s.u.o.patience
	if polls {
		patience += s.u.o.poll
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer watch.Stop()
	resp, err := s.c.do(ctx, "GET", s.path(polls), nil)
	if err == nil {
		defer func() { _ = resp.Body.Close() }() // what came was taken
		frames, err = s.readFrames(ctx, &lively{resp.Body, watch, 3 * s.ping}, watch)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if errors.Is(err, errSilent) && frames == 0 && !polls {
		err = errBuffered
	}
	return frames, err
}

// lively puts off the end of a stream's patience with every byte that comes: a long frame may take its time.
type lively struct {
	r     io.Reader
	watch *time.Timer
	more  time.Duration
}

func (l *lively) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if n > 0 {
		l.watch.Reset(l.more)
	}
	return n, err
}

// readFrames takes frames until there are no more. What the node does with one is not the origin's silence.
func (s *session) readFrames(ctx context.Context, r io.Reader, watch *time.Timer) (frames int, err error) {
	var buf []byte
	for ; ; frames++ {
		t, body, err := wire.ReadFrame(r, buf)
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		watch.Stop()
		if err := s.take(ctx, t, body); err != nil {
			return frames + 1, err
		}
		watch.Reset(3 * s.ping)
		if buf = body; cap(buf) > 1<<20 {
			buf = nil
		}
	}
}

// take does what a frame says.
func (s *session) take(ctx context.Context, t wire.FrameType, body []byte) error {
	s.u.shown.set(func(st *Status) { st.Seen = s.u.o.now().UTC() })
	switch t {
	case wire.FramePing:
		if len(body) != 8 {
			return errors.New("a ping of the origin's is not understood")
		}
		return nil
	case wire.FrameControl:
		return s.control(body)
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

// control does what the origin asks of the node.
func (s *session) control(body []byte) error {
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
	err := s.c.post(ctx, wire.PathAck, &told, nil)
	switch codeOf(err) {
	case "invalid", "not_found", "conflict": // it never will take it
		s.u.o.Log.Error("the origin does not want to know what was refused", "error", err)
		err = nil
	}
	if err != nil {
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
	for attempt := 0; ctx.Err() == nil; {
		r, ok := s.u.o.Reports.Next()
		if !ok {
			select {
			case <-ctx.Done():
			case <-s.u.o.Reports.Changed():
			case <-time.After(time.Second):
			}
			continue
		}
		err := s.tell(ctx, r)
		if err == nil {
			attempt = 0
			continue
		}
		code := codeOf(err)
		if code == "" || code == "fenced" || code == "unauthenticated" || code == "forbidden" {
			return fmt.Errorf("cannot report: %w", err)
		}
		if code == "gap" { // the origin was restored: what it lacks goes on under another incarnation
			err = errors.Join(err, s.u.o.Reports.Gap())
		}
		s.u.shown.set(func(st *Status) { st.Unreported = err.Error() })
		s.u.o.Log.Error("the origin does not take a report", "seq", r.Seq, "error", err)
		pause(ctx, max(s.u.o.backoff(attempt), retryAfter(err)))
		attempt++
	}
	return ctx.Err()
}

// tell brings the origin one report.
func (s *session) tell(ctx context.Context, r *wire.Report) error {
	told := *r
	told.Session = s.id
	var reply wire.ReportReply
	if err := s.c.post(ctx, wire.PathReport, &told, &reply); err != nil {
		return err
	}
	s.u.o.Reports.Sent(reply)
	s.u.shown.set(func(st *Status) { st.Unreported = "" })
	return nil
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
