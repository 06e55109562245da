package sim_test

import (
	"bufio"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

// arrivals returns when the lines that contain mark came, counted from the request.
func arrivals(t *testing.T, url, body, mark string, headers ...string) (out []time.Duration) {
	t.Helper()
	req, err := http.NewRequest("POST", url, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	begun := time.Now()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), mark) {
			out = append(out, time.Since(begun))
		}
	}
	require.NoError(t, lines.Err())
	return out
}

const slack = 80 * time.Millisecond // for a busy machine

func TestPace(t *testing.T) {
	_, url := start(t, sim.Options{})
	f := func(model string, headers ...string) {
		t.Helper()
		got := arrivals(t, url+chatPath, operations[1].with(model), `"content":`, headers...)
		require.Len(t, got, 6) // the role and five pieces
		for i, at := range got[1:] {
			due := 40*time.Millisecond + time.Duration(i)*20*time.Millisecond
			assert.GreaterOrEqual(t, at, due)
			assert.Less(t, at, due+slack)
		}
	}
	f("m;ttft=40ms;tps=50;tokens=5")
	f("m", "x-sim-ttft", "40ms", "x-sim-tps", "50", "x-sim-tokens", "5")
	f("m;ttft=10s;tps=1", "x-sim-ttft", "40ms", "x-sim-tps", "50", "x-sim-tokens", "5")
}

func TestResponsesBeginBeforeTheFirstToken(t *testing.T) {
	_, url := start(t, sim.Options{TTFT: 60 * time.Millisecond})
	created := arrivals(t, url+"/v1/responses", operations[6].with("m"), "event: response.created")
	delta := arrivals(t, url+"/v1/responses", operations[6].with("m"), "event: response.output_text.delta")
	assert.Less(t, created[0], 50*time.Millisecond)
	assert.GreaterOrEqual(t, delta[0], 60*time.Millisecond)
}

func TestWholeAnswersTakeTheirTime(t *testing.T) {
	_, url := start(t, sim.Options{Latency: 40 * time.Millisecond})
	f := func(model string, want time.Duration) {
		t.Helper()
		begun := time.Now()
		answered(t, url+chatPath, operations[0].with(model))
		assert.GreaterOrEqual(t, time.Since(begun), want)
		assert.Less(t, time.Since(begun), want+slack)
	}
	f("m", 40*time.Millisecond)
	f("m;latency=0s;ttft=20ms", 20*time.Millisecond)
	f("m;latency=0s;ttft=20ms;tps=100;tokens=5", 70*time.Millisecond)
}

// chunksOf counts the chunks of the transfer encoding, each of which is one write of the server, and the events.
func chunksOf(t *testing.T, url, model string) (chunks, events int) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	body := operations[1].with(model)
	_, err = conn.Write([]byte("POST " + chatPath + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + body))
	require.NoError(t, err)
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return chunks, events
		}
		if strings.HasPrefix(line, "data: ") {
			events++
		}
		if isHex(strings.TrimSpace(line)) {
			chunks++
		}
	}
}

func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}

func TestABurstGoesOutInFewWrites(t *testing.T) {
	_, url := start(t, sim.Options{})
	chunks, events := chunksOf(t, url, "m;chunks=64;tokens=64")
	assert.Equal(t, 67, events)
	assert.Equal(t, 2, chunks, "all events, and the end")
	chunks, _ = chunksOf(t, url, "m;chunks=64;tokens=64;flush=event")
	assert.Equal(t, 68, chunks, "every event, and the end")
}
