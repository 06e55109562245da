package sim_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/bench/sim"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine for the Date header, for as long as the process lives.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Gemini's SDK brings a package that starts one when it is loaded.
		goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// start runs a server until the test ends and returns its address with the scheme.
func start(t testing.TB, o sim.Options) (*sim.Server, string) {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	srv, err := sim.New(o)
	require.NoError(t, err)
	ln, err := srv.Listen()
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.NoError(t, srv.Shutdown(ctx))
		require.NoError(t, <-served)
	})
	return srv, "http://" + ln.Addr().String()
}

// post sends a JSON body, with headers by pairs, and returns the response and what could be read of its body.
func post(t testing.TB, url, body string, headers ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequest("POST", url, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return do(req)
}

func do(req *http.Request) (*http.Response, string, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp, string(got), err
}

// answered is post for requests that must be answered with 200.
func answered(t testing.TB, url, body string, headers ...string) string {
	t.Helper()
	resp, got, err := post(t, url, body, headers...)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode, got)
	return got
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	out, err := base64.StdEncoding.DecodeString(s)
	require.NoError(t, err)
	return out
}

func get(t testing.TB, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	require.NoError(t, err)
	return req
}

func timeout(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until the record at index i of the log is in the given state.
func eventually(t testing.TB, srv *sim.Server, i int, state sim.State) sim.Record {
	t.Helper()
	var rec sim.Record
	require.Eventually(t, func() bool {
		all := srv.Requests()
		if i >= len(all) {
			return false
		}
		rec = all[i]
		return rec.State == state
	}, 2*time.Second, 2*time.Millisecond, "record %d never became %s", i, state)
	return rec
}
