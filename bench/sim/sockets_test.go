package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

// patience is for a message that must come; a loaded machine may take its time.
const patience = 30 * time.Second

// line is a client's end of a WebSocket.
type line struct {
	t    testing.TB
	conn *websocket.Conn
	kind websocket.MessageType // of the last message
}

// message is one frame as JSON has it.
type frame map[string]any

// at returns what stands under the keys, nil if nothing does.
func (m frame) at(keys ...string) any {
	var v any = map[string]any(m)
	for _, key := range keys {
		if list, ok := v.([]any); ok {
			i, _ := strconv.Atoi(key)
			v = list[i]
			continue
		}
		object, _ := v.(map[string]any)
		v = object[key]
	}
	return v
}

func (m frame) kind() string { kind, _ := m["type"].(string); return kind }

func (m frame) number(keys ...string) int { n, _ := m.at(keys...).(float64); return int(n) }

// text is what stands under the keys, as JSON if it is no string.
func (m frame) text(keys ...string) string {
	if s, ok := m.at(keys...).(string); ok {
		return s
	}
	out, _ := json.Marshal(m.at(keys...))
	return string(out)
}

// dial opens a WebSocket, with headers by pairs.
func dial(t testing.TB, url string, headers ...string) *line {
	t.Helper()
	c, _, err := tryDial(t, url, &websocket.DialOptions{}, headers...)
	require.NoError(t, err)
	return &line{t: t, conn: c}
}

func tryDial(t testing.TB, url string, o *websocket.DialOptions, headers ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	o.HTTPHeader = http.Header{}
	for i := 0; i < len(headers); i += 2 {
		o.HTTPHeader.Set(headers[i], headers[i+1])
	}
	c, resp, err := websocket.Dial(timeout(t, patience), strings.Replace(url, "http", "ws", 1), o)
	if err == nil {
		c.SetReadLimit(-1)
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, resp, err
}

func (l *line) say(words string) {
	l.t.Helper()
	require.NoError(l.t, l.conn.Write(timeout(l.t, patience), websocket.MessageText, []byte(words)))
}

func (l *line) read() (frame, error) {
	l.t.Helper()
	kind, data, err := l.conn.Read(timeout(l.t, patience))
	if err != nil {
		return nil, err
	}
	l.kind = kind
	var m frame
	if err = json.Unmarshal(data, &m); err != nil {
		return frame{"broken": string(data)}, nil
	}
	return m, nil
}

func (l *line) hear() frame {
	l.t.Helper()
	m, err := l.read()
	require.NoError(l.t, err)
	return m
}

// until reads the messages up to the one for which last is true.
func (l *line) until(last func(frame) bool) (all []frame) {
	l.t.Helper()
	for {
		all = append(all, l.hear())
		if last(all[len(all)-1]) {
			return all
		}
	}
}

// end reads what is still said, and how the connection ends.
func (l *line) end() (all []frame, err error) {
	l.t.Helper()
	for {
		m, err := l.read()
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

func kinds(all []frame) (out []string) {
	for _, m := range all {
		out = append(out, m.kind())
	}
	return out
}

// turnsOf are the log's records of turns.
func turnsOf(srv *sim.Server) (out []sim.Record) {
	for _, r := range srv.Requests() {
		if r.Method == sim.MethodTurn {
			out = append(out, r)
		}
	}
	return out
}

// lastTurn waits for the n-th turn to be over, and returns its record.
func lastTurn(t testing.TB, srv *sim.Server, n int) sim.Record {
	t.Helper()
	require.Eventually(t, func() bool {
		all := turnsOf(srv)
		return len(all) >= n && all[n-1].State != sim.StateOpen
	}, 2*time.Second, 2*time.Millisecond)
	return turnsOf(srv)[n-1]
}

// speech is a protocol as the tests for all of them see it.
type speech struct {
	name, url string
	greet     func(l *line, model string) // what comes before a turn
	ask       func(l *line, model string) // begins a turn
	over      func(m frame) bool          // tells the last message of a good turn
	words     func(all []frame) string
	failed    func(t *testing.T, l *line, want string) // hears a turn that is refused
	late      bool                                     // keys are checked after the handshake
}

// socketTest runs f for each protocol. The model is named in the handshake by one and in messages by others.
func socketTest(t *testing.T, o sim.Options, f func(t *testing.T, p speech, srv *sim.Server, url string)) {
	for _, p := range speeches {
		t.Run(p.name, func(t *testing.T) {
			o.LogSize = 1000
			srv, url := start(t, o)
			f(t, p, srv, url)
		})
	}
}

func (p speech) dial(t testing.TB, url, model string, headers ...string) *line {
	t.Helper()
	l := dial(t, url+strings.Replace(p.url, "MODEL", model, 1), headers...)
	l.greet(p, model)
	return l
}

func (l *line) greet(p speech, model string) {
	l.t.Helper()
	if p.greet != nil {
		p.greet(l, model)
	}
}

var speeches = []speech{responsesSpeech, realtimeSpeech, liveSpeech}

func TestSocketTurns(t *testing.T) {
	socketTest(t, sim.Options{}, func(t *testing.T, p speech, srv *sim.Server, url string) {
		l := p.dial(t, url, "m")
		p.ask(l, "m")
		first := p.words(l.until(p.over))
		assert.Contains(t, first, `On "Hello":`)
		rec := lastTurn(t, srv, 1)
		assert.Equal(t, sim.StateFinished, rec.State)
		assert.Equal(t, "m", rec.Model)
		assert.Equal(t, 200, rec.Status)
		assert.True(t, rec.Stream)
		assert.Positive(t, rec.TokensIn)
		assert.Positive(t, rec.TokensOut)
		assert.Positive(t, rec.BytesSent)
		assert.Contains(t, string(rec.Body), "Hello")
		st := srv.Stats()
		assert.EqualValues(t, 1, st.Sockets)
		assert.EqualValues(t, 1, st.OpenSockets)
		require.Eventually(t, func() bool { return srv.Stats().OpenRequests == 0 }, time.Second, time.Millisecond)
		assert.Equal(t, 101, srv.Requests()[0].Status)
		assert.Equal(t, sim.StateOpen, srv.Requests()[0].State)
		require.NoError(t, l.conn.Close(websocket.StatusNormalClosure, ""))
		assert.NotZero(t, eventually(t, srv, 0, sim.StateFinished).BytesSent)
		require.Eventually(t, func() bool {
			st = srv.Stats()
			return st.OpenSockets == 0 && st.OpenConnections == 0
		}, time.Second, time.Millisecond)
	})
}

func TestSocketPacing(t *testing.T) {
	socketTest(t, sim.Options{}, func(t *testing.T, p speech, srv *sim.Server, url string) {
		l := p.dial(t, url, "m", "x-sim-ttft", "50ms", "x-sim-tps", "200", "x-sim-tokens", "20")
		began := time.Now()
		p.ask(l, "m")
		l.until(p.over)
		assert.GreaterOrEqual(t, time.Since(began), 140*time.Millisecond)
		assert.Equal(t, 20, lastTurn(t, srv, 1).TokensOut)
	})
}

func TestSocketHandshakes(t *testing.T) {
	socketTest(t, sim.Options{APIKey: "key"}, func(t *testing.T, p speech, srv *sim.Server, url string) {
		at := url + strings.Replace(p.url, "MODEL", "m", 1)
		header := []string{"Authorization", "Bearer key"}
		_, resp, err := tryDial(t, at, &websocket.DialOptions{}, "Authorization", "Bearer wrong")
		if !p.late {
			require.Error(t, err)
			assert.Equal(t, 401, resp.StatusCode)
			said, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.Contains(t, string(said), `"error"`)
		}

		path := strings.Split(strings.TrimPrefix(at, url), "?")[0]
		require.NoError(t, srv.Script(sim.Step{Fail: "cut", Path: path}, sim.Step{Fail: "503", Path: path}, sim.Step{Fail: "refused", Path: path}))
		_, resp, err = tryDial(t, at, &websocket.DialOptions{}, header...)
		require.Error(t, err)
		assert.Equal(t, 503, resp.StatusCode, "the cut waits for a turn")
		http.DefaultClient.CloseIdleConnections() // a GET on an old connection would be tried again
		_, resp, err = tryDial(t, at, &websocket.DialOptions{}, header...)
		require.Error(t, err)
		assert.Nil(t, resp)
		_, resp, err = tryDial(t, at, &websocket.DialOptions{}, append(header, "x-sim-fail", "429")...)
		require.Error(t, err)
		assert.Equal(t, 429, resp.StatusCode)
		l := p.dial(t, url, "m", header...)
		p.ask(l, "m")
		all, err := l.end()
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, websocket.StatusCode(-1), websocket.CloseStatus(err))
		assert.NotEmpty(t, all)
		assert.Equal(t, sim.StateCut, lastTurn(t, srv, 1).State)
	})
}

func TestSocketFaults(t *testing.T) {
	socketTest(t, sim.Options{}, func(t *testing.T, p speech, srv *sim.Server, url string) {
		n := 0
		f := func(step sim.Step) (*line, func() sim.Record) {
			require.NoError(t, srv.Script(step))
			l := p.dial(t, url, "m", "x-sim-tokens", "20")
			p.ask(l, "m")
			n++
			return l, func() sim.Record { return lastTurn(t, srv, n) }
		}
		for _, step := range []sim.Step{{Fail: "cut", Set: "fail_after=5"}, {Fail: "cut", Method: sim.MethodTurn}} {
			l, rec := f(step)
			_, err := l.end()
			require.ErrorIs(t, err, io.EOF)
			assert.Equal(t, sim.StateCut, rec().State)
			assert.Less(t, rec().TokensOut, 20)
			assert.Positive(t, rec().TokensOut)
		}

		l, rec := f(sim.Step{Fail: "cut-clean", Set: "fail_after=5;close_code=1013"})
		_, err := l.end()
		assert.Equal(t, websocket.StatusTryAgainLater, websocket.CloseStatus(err))
		assert.Equal(t, sim.StateCut, rec().State)
		assert.Equal(t, 5, rec().TokensOut)

		l, rec = f(sim.Step{Fail: "stall", Set: "fail_after=2"})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		for err = nil; err == nil; {
			_, _, err = l.conn.Read(ctx)
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, sim.StateClientGone, rec().State)
		assert.Equal(t, 2, rec().TokensOut)

		l, rec = f(sim.Step{Fail: "malformed"})
		broken := 0
		for _, m := range l.until(p.over) {
			if m["broken"] != nil {
				broken++
			}
		}
		assert.Equal(t, 1, broken)
		assert.Equal(t, sim.StateFinished, rec().State)

		l, rec = f(sim.Step{Fail: "garbage"})
		assert.NotNil(t, l.hear()["broken"])
		assert.Equal(t, sim.StateFinished, rec().State)

		l, rec = f(sim.Step{Fail: "refused"})
		_, err = l.end()
		require.Error(t, err)
		var closed websocket.CloseError
		assert.False(t, errors.As(err, &closed))
		assert.Equal(t, sim.StateCut, rec().State)

		l, _ = f(sim.Step{Fail: "slow", Set: "fail_delay=50ms"})
		began := time.Now()
		l.hear()
		assert.Greater(t, time.Since(began), 40*time.Millisecond)

		for _, fail := range []string{"429", "500", "502", "503", "401", "quota", "error200", "error-mid"} {
			l, rec = f(sim.Step{Fail: fail})
			p.failed(t, l, fail)
			assert.Less(t, rec().TokensOut, 20, fail)
			assert.Equal(t, fail, rec().Fault)
		}
	})
}

func TestSocketClientGone(t *testing.T) {
	socketTest(t, sim.Options{TTFT: 20 * time.Second}, func(t *testing.T, p speech, srv *sim.Server, url string) {
		l := p.dial(t, url, "m")
		p.ask(l, "m")
		require.Eventually(t, func() bool { return srv.Stats().OpenStreams == 1 }, time.Second, time.Millisecond)
		require.NoError(t, l.conn.CloseNow())
		rec := lastTurn(t, srv, 1)
		assert.Equal(t, sim.StateClientGone, rec.State)
		assert.Zero(t, rec.TokensOut)
		assert.EqualValues(t, 1, srv.Stats().ClientGone)
	})
}

func TestSocketLife(t *testing.T) {
	socketTest(t, sim.Options{SocketLife: 100 * time.Millisecond}, func(t *testing.T, p speech, srv *sim.Server, url string) {
		l := p.dial(t, url, "m", "x-sim-ttft", "10s")
		p.ask(l, "m")
		_, err := l.end()
		assert.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err))
		assert.Equal(t, sim.StateStopped, lastTurn(t, srv, 1).State)
	})
}

func TestSocketShutdown(t *testing.T) {
	socketTest(t, sim.Options{}, func(t *testing.T, p speech, srv *sim.Server, url string) {
		idle, busy, stalled := p.dial(t, url, "m"), p.dial(t, url, "m", "x-sim-ttft", "100ms"), p.dial(t, url, "m", "x-sim-fail", "stall")
		endless := p.dial(t, url, "m", "x-sim-ttft", "1h")
		for _, l := range []*line{busy, stalled, endless} {
			p.ask(l, "m")
		}
		require.Eventually(t, func() bool { return srv.Stats().OpenStreams == 3 }, time.Second, time.Millisecond)
		ended := make(chan error, 1)
		go func() { ended <- srv.Shutdown(timeout(t, 300*time.Millisecond)) }()
		for _, l := range []*line{idle, stalled, busy, endless} {
			all, err := l.end()
			assert.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err))
			assert.Equal(t, l == busy, len(all) > 0 && p.over(all[len(all)-1]))
		}
		require.NoError(t, <-ended)
		states := map[sim.State]int{}
		for _, rec := range turnsOf(srv) {
			states[rec.State]++
		}
		assert.Equal(t, map[sim.State]int{sim.StateFinished: 1, sim.StateStopped: 2}, states)
	})
}

func TestSocketCompression(t *testing.T) {
	socketTest(t, sim.Options{}, func(t *testing.T, p speech, _ *sim.Server, url string) {
		c, resp, err := tryDial(t, url+strings.Replace(p.url, "MODEL", "m", 1),
			&websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover})
		require.NoError(t, err)
		assert.Contains(t, resp.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
		l := &line{t: t, conn: c}
		l.greet(p, "m")
		p.ask(l, "m")
		assert.Contains(t, p.words(l.until(p.over)), `On "Hello":`)
	})
}
