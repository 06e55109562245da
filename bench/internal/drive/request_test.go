package drive

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChatBodyIsAbout1400BytesOfJSON(t *testing.T) {
	for _, stream := range []bool{false, true} {
		body := ChatBody("bench-pass", stream)
		var doc struct {
			Model  string
			Stream bool
		}
		require.NoError(t, json.Unmarshal([]byte(body), &doc))
		assert.Equal(t, "bench-pass", doc.Model)
		assert.Equal(t, stream, doc.Stream)
		assert.InDelta(t, 1400, len(body), 50)
		assert.Equal(t, 2, strings.Count(body, Slot))
	}
}

func TestRequestFillsEverySlot(t *testing.T) {
	r, err := NewRequest("127.0.0.1:1", "/x", `{"a":"`+Slot+`","b":"`+Slot+`"}`, "wk_k", []string{"X-One:  1"})
	require.NoError(t, err)
	head, body, ok := bytes.Cut(r.with(0xabc), []byte("\r\n\r\n"))
	require.True(t, ok)
	assert.Equal(t, `{"a":"0000000000000abc","b":"0000000000000abc"}`, string(body))
	assert.Contains(t, string(head), "POST /x HTTP/1.1\r\n")
	assert.Contains(t, string(head), "\r\nContent-Length: 47\r\n")
	assert.Contains(t, string(head), "\r\nAuthorization: Bearer wk_k\r\n")
	assert.Contains(t, string(head), "\r\nX-One: 1")
	assert.Contains(t, string(r.with(1<<63)), `{"a":"8000000000000000","b":"8000000000000000"}`)
}

func TestRequestFillsSlotsOfKeysAndHeaders(t *testing.T) {
	r, err := NewRequest("127.0.0.1:1", "/x", Slot+ShortSlot, "wk_"+ShortSlot+"_s", []string{"X-One: " + Slot})
	require.NoError(t, err)
	got := string(r.with(0xabc<<48 | 0x123))
	assert.Contains(t, got, "\r\nAuthorization: Bearer wk_000000000123_s\r\nX-One: 0abc000000000123\r\n")
	assert.Contains(t, got, "\r\n\r\n0abc000000000123000000000123")
	assert.NotContains(t, got, "%")
}

func TestRequestRefusesAHeaderThatIsNone(t *testing.T) {
	for _, h := range []string{"no colon", "a: b\r\nc: d"} {
		_, err := NewRequest("127.0.0.1:1", "/x", "", "", []string{h})
		assert.ErrorContains(t, err, "cannot send header")
	}
}

func TestCycleRepeatsItsBodiesInTurn(t *testing.T) {
	next, endless := Cycle(7, 3), Cycle(7, 0)
	for _, want := range []uint64{7, 8, 9, 7, 8} {
		assert.Equal(t, want, next())
	}
	for want := range uint64(5) {
		assert.Equal(t, 7+want, endless())
	}
}

func TestTraceIsSeededAndCountsRepeats(t *testing.T) {
	a, err := NewTrace(1.1, 100, 42)
	require.NoError(t, err)
	b, err := NewTrace(1.1, 100, 42)
	require.NoError(t, err)
	distinct := map[uint64]bool{}
	for range 1000 {
		id := a.Next()
		require.Equal(t, id, b.Next())
		require.Less(t, id, uint64(100))
		distinct[id] = true
	}
	assert.Equal(t, uint64(1000-len(distinct)), a.Repeats())
	_, err = NewTrace(1, 100, 42)
	assert.ErrorContains(t, err, "exponent")
}
