package sim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

type logPage struct {
	Requests []struct {
		sim.Record
		Body       string `json:"body"`
		BodyBase64 []byte `json:"body_base64"`
	} `json:"requests"`
	Open        int `json:"open"`
	OpenStreams int `json:"open_streams"`
}

func requests(t *testing.T, url string, since int) (page logPage) {
	t.Helper()
	_, got, err := do(get(t, fmt.Sprintf("%s/sim/requests?since=%d", url, since)))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(got), &page))
	return page
}

func TestLogKeepsTheRequestExactly(t *testing.T) {
	_, url := start(t, sim.Options{LogSize: 4})
	body := "{ \"model\":\"m\",\n \"messages\":[{\"role\":\"user\",\"content\":\"Zürich\"}] }"
	answered(t, url+chatPath+"?a=b", body, "Authorization", "Bearer sk-secret", "X-Extra", "1")
	page := requests(t, url, 0)
	require.Len(t, page.Requests, 1)
	rec := page.Requests[0]
	assert.Equal(t, body, rec.Body)
	assert.Equal(t, "POST", rec.Method)
	assert.Equal(t, chatPath, rec.Path)
	assert.Equal(t, "a=b", rec.Query)
	assert.Equal(t, "m", rec.Model)
	assert.Equal(t, 200, rec.Status)
	assert.Equal(t, sim.StateFinished, rec.State)
	assert.Equal(t, "1", rec.Headers["x-extra"])
	assert.Regexp(t, `^sha256:[0-9a-f]{64}$`, rec.Headers["authorization"])
	assert.Positive(t, rec.BytesSent)
	assert.NotNil(t, rec.Ended)
}

func TestLogKeepsBytesThatAreNoText(t *testing.T) {
	_, url := start(t, sim.Options{LogSize: 4})
	resp, _, err := post(t, url+chatPath, "\xff\x00\x01")
	require.NoError(t, err)
	assert.Equal(t, 400, resp.StatusCode)
	rec := requests(t, url, 0).Requests[0]
	assert.Equal(t, []byte("\xff\x00\x01"), rec.BodyBase64)
	assert.Empty(t, rec.Body)
}

func TestLogIsARing(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 3})
	for range 5 {
		answered(t, url+chatPath, operations[0].with("m"))
	}
	seqs := func(since int) (out []uint64) {
		for _, rec := range requests(t, url, since).Requests {
			out = append(out, rec.Seq)
		}
		return out
	}
	assert.Equal(t, []uint64{3, 4, 5}, seqs(0))
	assert.Equal(t, []uint64{5}, seqs(4))
	assert.Empty(t, seqs(5))
	srv.ClearRequests()
	assert.Empty(t, seqs(0))
	answered(t, url+chatPath, operations[0].with("m"))
	assert.Equal(t, []uint64{6}, seqs(0), "the numbers go on")
}

func TestLogMayBeOff(t *testing.T) {
	srv, url := start(t, sim.Options{})
	answered(t, url+chatPath, operations[0].with("m"))
	assert.Empty(t, srv.Requests())
	assert.Empty(t, requests(t, url, 0).Requests)
	assert.EqualValues(t, 1, srv.Stats().Requests)
}

// TestLogNoticesThatTheClientIsGone looks at every kind of silence: before a whole answer, before the first
// token, and between two tokens.
func TestLogNoticesThatTheClientIsGone(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 10})
	f := func(op operation, model string) {
		t.Helper()
		before := len(srv.Requests())
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		require.NoError(t, err)
		body := op.with(model)
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", op.path, len(body), body)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return srv.Stats().OpenRequests == 1 }, time.Second, time.Millisecond)
		time.Sleep(30 * time.Millisecond)
		left := time.Now()
		require.NoError(t, conn.Close())
		rec := eventually(t, srv, before, sim.StateClientGone)
		assert.WithinDuration(t, left, *rec.Ended, 50*time.Millisecond)
	}
	f(operations[0], "m;latency=20s")
	f(operations[1], "m;ttft=20s")
	f(operations[1], "m;tps=0.5")
	f(operations[6], "m;ttft=20s")
	f(operations[7], "m;fail=slow;fail_delay=20s")
	assert.EqualValues(t, 5, srv.Stats().ClientGone)
	assert.Zero(t, srv.Stats().OpenRequests)
}

func TestLogShowsAStreamAsFinishedOnceItsEndIsThere(t *testing.T) {
	_, url := start(t, sim.Options{LogSize: 100})
	for i := range 20 {
		resp, err := http.Post(url+chatPath, "application/json", strings.NewReader(operations[1].with("m")))
		require.NoError(t, err)
		var got strings.Builder
		buf := make([]byte, 4096)
		for !strings.HasSuffix(got.String(), "[DONE]\n\n") {
			n, err := resp.Body.Read(buf)
			got.Write(buf[:n])
			if err != nil {
				require.ErrorIs(t, err, io.EOF)
				break
			}
		}
		rec := requests(t, url, i).Requests[0]
		assert.Equal(t, sim.StateFinished, rec.State)
		assert.Equal(t, got.Len(), rec.BytesSent)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
}

func TestStats(t *testing.T) {
	srv, url := start(t, sim.Options{})
	answered(t, url+chatPath, operations[0].with("m"))
	answered(t, url+chatPath, operations[1].with("m"))
	_, _, err := post(t, url+chatPath, operations[0].with("m;fail=500"))
	require.NoError(t, err)
	st := srv.Stats()
	assert.EqualValues(t, 3, st.Requests)
	assert.EqualValues(t, 1, st.Streams)
	assert.EqualValues(t, 1, st.Connections, "keep-alive")
	assert.EqualValues(t, 1, st.OpenConnections)
	assert.Equal(t, map[string]uint64{"500": 1}, st.Faults)
	assert.Positive(t, st.TokensIn)
	assert.Positive(t, st.TokensOut)
	assert.Positive(t, st.BytesSent)
	_, got, err := do(get(t, url+"/sim/stats"))
	require.NoError(t, err)
	assert.Contains(t, got, `"requests":3`)
}
