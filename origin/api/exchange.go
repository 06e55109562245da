package api

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/internal/obs"
)

// writeTime is how long a client may take for what is written to it at once.
const writeTime = time.Minute

// exchange is an answer that is watched: what the access log and the metrics tell of it.
type exchange struct {
	http.ResponseWriter
	control *http.ResponseController
	began   time.Time
	id      string
	pattern string
	actor   string
	quiet   bool // probes ask all the time
	status  int
	bytes   int64
}

func newExchange(w http.ResponseWriter) *exchange {
	x := &exchange{ResponseWriter: w, control: http.NewResponseController(w), began: time.Now(), id: rand.Text()[:16]}
	w.Header().Set("X-Request-Id", x.id)
	return x
}

// Unwrap lets http.ResponseController find the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write writes, and gives the client its time for it: one that stops to read is not waited for.
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	_ = x.control.SetWriteDeadline(time.Now().Add(writeTime)) // where there is no connection, nobody is slow
	n, err := x.ResponseWriter.Write(b)
	x.bytes += int64(n)
	return n, err
}

// finish logs and counts a request, and answers for one whose handler panicked.
func (a *API) finish(x *exchange, r *http.Request) {
	panicked := recover()
	if err, is := panicked.(error); panicked != nil && !(is && errors.Is(err, http.ErrAbortHandler)) {
		a.log.Error("request panicked", "id", x.id, "panic", panicked, "stack", string(debug.Stack()))
		if x.status == 0 {
			a.fail(x, r, faultf(http.StatusInternalServerError, codeInternal, "the origin failed; its log tells why, under this answer's X-Request-Id"))
			panicked = nil
		}
	}
	took := time.Since(x.began)
	a.meters.count(x, r.Method, took)
	level := slog.LevelInfo
	if x.quiet {
		level = slog.LevelDebug
	}
	a.log.Log(r.Context(), level, "request", "id", x.id, "method", r.Method, "path", r.URL.Path, "status", x.status, "bytes", x.bytes,
		"ms", float64(took.Microseconds())/1000, "actor", x.actor, "client", r.RemoteAddr)
	if panicked != nil {
		panic(http.ErrAbortHandler)
	}
}

// meters are the API's own metrics.
type meters struct {
	requests *obs.Family[obs.Counter]
	seconds  *obs.Family[obs.Histogram]
}

func newMeters(o *Options) meters {
	return meters{
		requests: o.Metrics.CounterFamily(obs.Opts{
			Name: "wedge_origin_requests_total", Help: "Requests to the origin's API.", Labels: []string{"method", "route", "code"}}),
		seconds: o.Metrics.HistogramFamily(obs.Opts{
			Name: "wedge_origin_request_seconds", Help: "How long requests to the origin's API took.", Labels: []string{"route"}}),
	}
}

func (m *meters) count(x *exchange, method string, took time.Duration) {
	_, path, ok := strings.Cut(x.pattern, " ")
	if !ok {
		method, path = "other", "none"
	}
	m.requests.With(method, path, strconv.Itoa(x.status)).Inc()
	if path != pathChanges { // which last as long as somebody listens
		m.seconds.With(path).Observe(took.Nanoseconds())
	}
}
