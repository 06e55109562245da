package drive

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	fixed  = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Wedge-Cache: hit-memory\r\ncontent-length: 5\r\n\r\nhello"
	stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"13\r\ndata: {\"sent_ns\":40\r\nb\r\n}\n\ndata: [D\r\n6\r\nONE]\n\n\r\n0\r\nX-Trailer: 1\r\n\r\n"
)

// feedIn gives the answer in pieces of the given size.
func feedIn(r *response, answer string, size int) error {
	for len(answer) > 0 {
		n := min(size, len(answer))
		if err := r.feed([]byte(answer[:n]), 100); err != nil {
			return err
		}
		answer = answer[n:]
	}
	return nil
}

func TestResponsesInPiecesOfEverySize(t *testing.T) {
	for size := 1; size <= len(stream); size++ {
		var r response
		require.NoError(t, feedIn(&r, fixed, size))
		require.Equal(t, complete, r.phase, "size %d", size)
		require.Equal(t, 200, r.status)
		require.Equal(t, "hit-memory", string(r.cache))
		require.EqualValues(t, 5, r.body)

		var delays []int64
		r.events.delay = func(sent, now int64) { delays = append(delays, now-sent) }
		r.reset()
		require.NoError(t, feedIn(&r, stream, size))
		require.Equal(t, complete, r.phase, "size %d", size)
		require.True(t, r.sse)
		require.Empty(t, r.cache)
		require.Equal(t, 2, r.events.n, "size %d", size)
		require.True(t, r.events.done)
		require.False(t, r.events.failed)
		require.Equal(t, []int64{60}, delays)
	}
}

func TestResponsesThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   error
	}{
		"not HTTP":         {"SSH-2.0-OpenSSH_9\r\nxxxxxxxxxxxx\r\n\r\n", errStatusLine},
		"bytes afterwards": {fixed + "x", errSurplus},
		"chunk size":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", errChunk},
		"chunk end":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", errChunk},
		"chunk too large":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n123456789\r\n", errChunk},
	} {
		t.Run(name, func(t *testing.T) {
			var r response
			assert.ErrorIs(t, feedIn(&r, c.answer, len(c.answer)), c.want)
		})
	}
}

func TestResponseEndedByTheConnection(t *testing.T) {
	var r response
	require.NoError(t, feedIn(&r, "HTTP/1.1 200 OK\r\n\r\nsome", 7))
	assert.True(t, r.close)
	require.NoError(t, r.eof())
	assert.Equal(t, complete, r.phase)

	r.reset()
	require.NoError(t, feedIn(&r, stream[:len(stream)-3], 50))
	assert.ErrorIs(t, r.eof(), errTruncated)
}

func TestInterimAnswersAreSkipped(t *testing.T) {
	var r response
	require.NoError(t, feedIn(&r, "HTTP/1.1 100 Continue\r\n\r\n"+fixed, 1000))
	assert.Equal(t, complete, r.phase)
	assert.Equal(t, 200, r.status)
}

func TestEndsOfTheDialects(t *testing.T) {
	for name, c := range map[string]struct {
		stream       string
		done, failed bool
	}{
		"chat":            {"data: {}\n\ndata: [DONE]\n\n", true, false},
		"chat, cut":       {"data: {}\n\n", false, false},
		"chat, failed":    {"data: {}\n\ndata: {\"error\":{}}\n\n", false, true},
		"messages":        {"event: message_stop\r\ndata: {}\r\n\r\n", true, false},
		"messages failed": {"event: error\ndata: {}\n\n", false, true},
		"responses":       {"event: response.completed\ndata: {}\n\n", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var e events
			e.feed([]byte(c.stream), 0)
			assert.Equal(t, c.done, e.done)
			assert.Equal(t, c.failed, e.failed)
		})
	}
}
