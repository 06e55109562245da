package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/vault"
)

// events reads a feed.
type events struct {
	t     *testing.T
	body  io.ReadCloser
	lines *bufio.Scanner
}

func (s *server) listen(t *testing.T, query string, headers ...string) *events {
	t.Helper()
	response := s.open(vault.Viewer, get, pathChanges+query, "", headers...)
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, mediaFeed, response.Header.Get("Content-Type"))
	e := &events{t, response.Body, bufio.NewScanner(response.Body)}
	t.Cleanup(e.close)
	return e
}

func (e *events) close() { _ = e.body.Close() }

// block is the next event or comment; ok is false at the end of the feed.
func (e *events) block() (text string, ok bool) {
	for e.lines.Scan() {
		if e.lines.Text() == "" {
			return text, true
		}
		text += e.lines.Text() + "\n"
	}
	return text, false
}

// next is the next event.
func (e *events) next() (name, id string, data json.RawMessage) {
	e.t.Helper()
	for {
		text, ok := e.block()
		require.True(e.t, ok, "the feed has ended")
		if strings.HasPrefix(text, ":") {
			continue
		}
		lines := strings.Split(text, "\n")
		require.Len(e.t, lines, 4)
		return strings.TrimPrefix(lines[0], "event: "), strings.TrimPrefix(lines[1], "id: "), json.RawMessage(strings.TrimPrefix(lines[2], "data: "))
	}
}

// change wants the next event to be a change.
func (e *events) change(rev int64) (id string, r Record) {
	e.t.Helper()
	name, id, data := e.next()
	require.Equal(e.t, "change", name)
	require.NoError(e.t, json.Unmarshal(data, &r))
	require.Equal(e.t, rev, r.Rev)
	require.True(e.t, strings.HasSuffix(id, fmt.Sprintf("/%d", rev)))
	return id, r
}

func (s *server) rev() int64 {
	s.t.Helper()
	head, err := s.store.Head(s.t.Context())
	require.NoError(s.t, err)
	return head.Rev
}

func TestFeedTellsChangesAndGoesOnWhereItStopped(t *testing.T) {
	s := newServer(t)
	s.seed()
	rev := s.rev()
	e := s.listen(t, "")
	s.do(put, "/api/v1/providers/a?reason=why", provider).is(http.StatusCreated)
	id, r := e.change(rev + 1)
	assert.Equal(t, Record{Rev: rev + 1, At: r.At, Actor: "the-admin", Reason: "why", Items: []Touched{{"provider", "a", "put"}}}, r)
	e.close()

	s.do(put, "/api/v1/providers/b", provider).is(http.StatusCreated)
	s.do(del, "/api/v1/providers/a", "").is(http.StatusOK)
	e = s.listen(t, "", "Last-Event-ID", id)
	e.change(rev + 2)
	_, r = e.change(rev + 3)
	assert.Equal(t, []Touched{{"provider", "a", "delete"}}, r.Items)
	s.do(put, "/api/v1/providers/c", provider).is(http.StatusCreated)
	e.change(rev + 4)

	e = s.listen(t, "?after=0")
	for n := int64(1); n <= rev+4; n++ {
		e.change(n)
	}
	e = s.listen(t, "?after=0", "Last-Event-ID", fmt.Sprint(rev+3)) // what arrived last counts, with or without the epoch
	e.change(rev + 4)
	for _, wrong := range []string{"x", "1/", "/1", "1/x", "-1", "1/-1"} {
		s.do(get, pathChanges, "", "Last-Event-ID", wrong).failed(http.StatusBadRequest, codeInvalid, "Last-Event-ID")
	}
	s.do(get, pathChanges+"?after=-1", "").failed(http.StatusBadRequest, codeInvalid, "after")
}

// Who listens to a history that is not there any more is told so, and gets what is new.
func TestFeedStartsOver(t *testing.T) {
	s := newServer(t)
	s.seed()
	for _, name := range []string{"a", "b"} {
		s.do(put, "/api/v1/providers/"+name, provider).is(http.StatusCreated)
	}
	head, err := s.store.Head(t.Context())
	require.NoError(t, err)
	_, err = s.store.Compact(t.Context(), store.Cut{Rev: head.Rev - 1})
	require.NoError(t, err)
	for name, known := range map[string]string{
		"compacted": fmt.Sprintf("%d/1", head.Epoch), "ahead": fmt.Sprintf("%d/%d", head.Epoch, head.Rev+5),
		"another epoch": fmt.Sprintf("%d/%d", head.Epoch-1, head.Rev),
	} {
		e := s.listen(t, "", "Last-Event-ID", known)
		event, id, data := e.next()
		assert.Equal(t, "reset", event, name)
		assert.Equal(t, fmt.Sprintf("%d/%d", head.Epoch, head.Rev), id)
		assert.JSONEq(t, fmt.Sprintf(`{"epoch":%d,"rev":%d}`, head.Epoch, head.Rev), string(data))
		e.close()
	}
	e := s.listen(t, "", "Last-Event-ID", "1")
	event, _, _ := e.next()
	require.Equal(t, "reset", event)
	s.do(put, "/api/v1/providers/c", provider).is(http.StatusCreated)
	e.change(head.Rev + 1)
}

func TestFeedIsAliveUntilTheEnd(t *testing.T) {
	s := newServer(t, func(o *Options) { o.Heartbeat = 5 * time.Millisecond })
	e := s.listen(t, "")
	for want := range 4 {
		text, ok := e.block()
		require.True(t, ok)
		assert.Equal(t, want == 0, strings.HasPrefix(text, ": from "), text)
		assert.Equal(t, want > 0, text == ": alive\n", text)
	}
	s.do(get, "/readyz", "").is(http.StatusOK)
	s.api.Close()
	for ok := true; ok; {
		_, ok = e.block()
	}
	require.NoError(t, e.lines.Err(), "the feed ends as an answer does")
	s.do(get, "/readyz", "").failed(http.StatusServiceUnavailable, codeUnavailable, "shutting down")
	s.do(get, "/api/v1/catalog", "").is(http.StatusOK)
}

func TestFeedsAreBounded(t *testing.T) {
	s := newServer(t)
	for range maxFeeds {
		s.api.feeds <- struct{}{}
	}
	a := s.do(get, pathChanges, "")
	a.failed(http.StatusServiceUnavailable, codeBusy, "256")
	assert.Equal(t, "10", a.header.Get("Retry-After"))
	<-s.api.feeds
	s.do(http.MethodHead, pathChanges, "").is(http.StatusOK)
	s.listen(t, "")
}
