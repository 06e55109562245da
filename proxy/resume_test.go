package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// resumeServer serves models of all dialects whose streams outlive their readers for a while.
func resumeServer(t *testing.T, provider, keep string) (*Server, string) {
	t.Helper()
	s := newTestServer(t, fmt.Sprintf(`
providers:
  - {name: openai, dialect: openai, base_url: "http://%[1]s/v1"}
  - {name: anthropic, dialect: anthropic, base_url: "http://%[1]s/v1"}
models:
  - {name: m, resume: %[4]s, versions: [{version: 1.0.0, status: production, targets: [{provider: openai, model: m}]}]}
  - {name: c, resume: %[4]s, versions: [{version: 1.0.0, status: production, targets: [{provider: anthropic, model: m}]}]}
  - {name: cached, resume: %[4]s, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.0.0, status: production, targets: [{provider: openai, model: m}]}]}
  - {name: bare, versions: [{version: 1.0.0, status: production, targets: [{provider: openai, model: m}]}]}
keys:
  - {name: k, id: wk_abcdefghijkl, hash: "sha256:%[2]x", models: ["*"], tenant: t}
  - {name: o, id: wk_mnopqrstuvwx, hash: "sha256:%[3]x", models: ["*"], tenant: u}
`, provider, wire.HashKey([]byte(testKey)), wire.HashKey([]byte(otherKey)), keep))
	return s, serveTest(t, s)
}

// streamRequest asks for a stream; headers are names and values by turns.
func streamRequest(t *testing.T, node, path, body string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+node+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+testKey)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// readEvents reads n events with an id, or all if n is negative, and returns the text and the last id.
func readEvents(t *testing.T, body io.Reader, n int) (text, last string) {
	t.Helper()
	r := bufio.NewReader(body)
	id := ""
	for n != 0 {
		line, err := r.ReadString('\n')
		text += line
		if err == io.EOF {
			return text, last
		}
		require.NoError(t, err)
		switch v, is := strings.CutPrefix(line, "id: "); {
		case is:
			id = strings.TrimSpace(v)
		case line == "\n" && id != "":
			last, id = id, ""
			n--
		}
	}
	return text, last
}

// A client that lost its connection anywhere gets the rest, byte for byte, and its provider is asked once.
func TestResumeEverywhere(t *testing.T) {
	for _, c := range []struct{ path, body string }{
		{"/v1/chat/completions", `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"tell me"}]}`},
		{"/v1/chat/completions", `{"model":"c","stream":true,"messages":[{"role":"user","content":"tell me"}]}`},
		{"/v1/responses", `{"model":"m","stream":true,"input":"tell me"}`},
		{"/v1/messages", `{"model":"c","stream":true,"max_tokens":100,"messages":[{"role":"user","content":"tell me"}]}`},
		{"/v1/chat/completions", `{"model":"cached","stream":true,"messages":[{"role":"user","content":"tell me"}]}`},
	} {
		_, addr := newSim(t, sim.Options{})
		_, node := resumeServer(t, addr, "30s")
		for cut := 1; ; cut++ {
			first := streamRequest(t, node, c.path, c.body)
			require.Equal(t, 200, first.StatusCode)
			id := first.Header.Get("X-Request-Id")
			begin, last := readEvents(t, first.Body, cut)
			_ = first.Body.Close()
			require.Equal(t, id+":"+strconv.Itoa(cut), last)
			rest := streamRequest(t, node, c.path, c.body, "Last-Event-ID", last)
			require.Equal(t, 200, rest.StatusCode)
			assert.Equal(t, id, rest.Header.Get("X-Request-Id"))
			end, final := readEvents(t, rest.Body, -1)
			whole, _ := readEvents(t, streamRequest(t, node, c.path, c.body, "X-Wedge-Resume", id+":0").Body, -1)
			require.Equal(t, whole, begin+end, "%s, cut after %d events", c.path, cut)
			if final == "" {
				require.Contains(t, whole, ": wedge {")
				require.Greater(t, cut, 3)
				break
			}
		}
	}
}

// What cannot be gone on from is said to be lost.
func TestResumeLost(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	_, node := resumeServer(t, addr, "200ms")
	body := `{"model":"m","stream":true,"messages":[{"role":"user","content":"tell me"}]}`
	first := streamRequest(t, node, chatPath, body)
	text, last := readEvents(t, first.Body, -1)
	id := first.Header.Get("X-Request-Id")
	for name, c := range map[string]struct {
		body    string
		headers []string
		code    string
	}{
		"unknown":      {body, []string{"Last-Event-ID", "req_0123:1"}, "resume_lost"},
		"other ask":    {strings.Replace(body, "tell me", "tell him", 1), []string{"Last-Event-ID", last}, "resume_lost"},
		"not a stream": {strings.Replace(body, "true", "false", 1), []string{"X-Wedge-Resume", last}, "resume_lost"},
		"tenant":       {body, []string{"Last-Event-ID", last, "Authorization", "Bearer " + otherKey}, "resume_lost"},
		"beyond":       {body, []string{"Last-Event-ID", id + ":100000"}, "resume_lost"},
		"no number":    {body, []string{"X-Wedge-Resume", id + ":x"}, "invalid_request"},
		"no place":     {body, []string{"X-Wedge-Resume", "maybe"}, "invalid_request"},
	} {
		resp := streamRequest(t, node, chatPath, c.body, c.headers...)
		assert.Equal(t, c.code, resp.Header.Get("X-Wedge-Error"), name)
		if c.code == "resume_lost" {
			assert.Equal(t, 409, resp.StatusCode)
		}
	}
	// An id of somebody else's is none of the node's business.
	resp := streamRequest(t, node, chatPath, body, "Last-Event-ID", "7")
	assert.Equal(t, 200, resp.StatusCode)
	again, _ := readEvents(t, streamRequest(t, node, chatPath, body, "Last-Event-ID", id+":0").Body, -1)
	assert.Equal(t, text, again)
	testkit.Eventually(t, 5*time.Second, func() error {
		if code := streamRequest(t, node, chatPath, body, "Last-Event-ID", last).Header.Get("X-Wedge-Error"); code != "resume_lost" {
			return fmt.Errorf("the code is %q", code)
		}
		return nil
	})
}

// Without being asked for, nothing is kept, and nothing is numbered.
func TestResumeIsAskedFor(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	_, node := resumeServer(t, addr, "30s")
	bare := `{"model":"bare","stream":true,"messages":[{"role":"user","content":"tell me"}]}`
	text, last := readEvents(t, streamRequest(t, node, chatPath, bare).Body, -1)
	assert.Empty(t, last)
	asked, last := readEvents(t, streamRequest(t, node, chatPath, bare, "X-Wedge-Resume", "on").Body, -1)
	assert.NotEmpty(t, last)
	assert.NotContains(t, text, "id: ")
	assert.Greater(t, len(asked), len(text))
	_, last = readEvents(t, streamRequest(t, node, chatPath, strings.Replace(bare, "bare", "m", 1), "X-Wedge-Resume", "off").Body, -1)
	assert.Empty(t, last)
	refused := streamRequest(t, node, chatPath, strings.Replace(bare, "bare", "nothing", 1), "X-Wedge-Resume", "on")
	assert.Equal(t, 404, refused.StatusCode)
	whole := streamRequest(t, node, chatPath, strings.Replace(bare, "true", "false", 1), "X-Wedge-Resume", "on")
	assert.Equal(t, "application/json", whole.Header.Get("Content-Type"))
}

// The provider's call lives on without a reader for as long as was said, and no longer.
func TestResumeKeepsTheCallForAWhile(t *testing.T) {
	gone := make(chan time.Time, 1)
	goOn := make(chan struct{})
	provider := scripted(t, func(call int, w net.Conn, _ string) {
		_, _ = io.WriteString(w, streamHead)
		chunk(w, deltaEvent(`"A"`))
		if call == 1 {
			<-goOn
			chunk(w, deltaEvent(`"B"`)+stopEvent+usageEvent+doneEvent)
			_, _ = io.WriteString(w, "0\r\n\r\n")
			return
		}
		_, _ = io.Copy(io.Discard, w)
		gone <- time.Now()
	})
	s, node := resumeServer(t, provider, "300ms")
	body := chatAsk("m", "x", true)
	first := streamRequest(t, node, chatPath, body)
	_, last := readEvents(t, first.Body, 1)
	_ = first.Body.Close()
	time.Sleep(100 * time.Millisecond)
	var readers sync.WaitGroup
	texts := make([]string, 3)
	for i := range texts {
		again := streamRequest(t, node, chatPath, body, "Last-Event-ID", last)
		readers.Go(func() {
			text, _ := readEvents(t, again.Body, -1)
			texts[i] = strings.ReplaceAll(text, ":\n\n", "")
		})
	}
	time.Sleep(500 * time.Millisecond) // somebody reads: it may take as long as it takes
	close(goOn)
	readers.Wait()
	assert.Contains(t, texts[0], `"B"`)
	assert.True(t, strings.HasSuffix(texts[0], doneEvent))
	assert.Equal(t, []string{texts[0], texts[0], texts[0]}, texts)

	second := streamRequest(t, node, chatPath, body)
	_, _ = readEvents(t, second.Body, 1)
	left := time.Now()
	_ = second.Body.Close()
	for len(gone) > 0 {
		<-gone
	}
	took := (<-gone).Sub(left)
	assert.Greater(t, took, 250*time.Millisecond)
	assert.Less(t, took, 2*time.Second)
	nothingUnderWay(t, s)
}

// Streams that are kept have so much memory together, and no more.
func TestResumeIsBounded(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	s, node := resumeServer(t, addr, "1h")
	s.o.MaxResume = 100 << 10
	body := `{"model":"m","stream":true,"messages":[{"role":"user","content":"tell me"}]}`
	var ids []string
	for range 100 {
		resp := streamRequest(t, node, chatPath, body)
		_, last := readEvents(t, resp.Body, -1)
		ids = append(ids, last)
	}
	assert.LessOrEqual(t, s.recordings.bytes, s.o.MaxResume)
	lost := streamRequest(t, node, chatPath, body, "Last-Event-ID", ids[0])
	assert.Equal(t, "resume_lost", lost.Header.Get("X-Wedge-Error"))
	kept := streamRequest(t, node, chatPath, body, "Last-Event-ID", ids[len(ids)-1])
	assert.Equal(t, 200, kept.StatusCode)
	s.o.MaxResume = 1
	text, _ := readEvents(t, streamRequest(t, node, chatPath, body).Body, -1)
	assert.True(t, strings.HasSuffix(text, doneEvent), "one that cannot be kept is a stream all the same")
}
