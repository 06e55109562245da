package proxy

import (
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/proxy/budget"
)

// Status is what a node tells about itself on GET /status.
type Status struct {
	Node     string          `json:"node"`
	Version  string          `json:"version"`
	Ready    bool            `json:"ready"`
	Reason   string          `json:"reason,omitempty"`
	Bundle   *statusBundle   `json:"bundle"`
	Refused  *Refusal        `json:"refused"`
	InFlight int64           `json:"in_flight"`
	Targets  []statusTarget  `json:"targets"`
	Policies []statusPolicy  `json:"policies,omitempty"`
	Cache    statusCache     `json:"cache"`
	Origin   any             `json:"origin,omitempty"`
	Spool    any             `json:"spool,omitempty"`
	Budgets  []budget.Status `json:"budgets,omitempty"`
	Notes    []string        `json:"notes,omitempty"`
}

type statusBundle struct {
	Digest     string    `json:"digest"`
	Loaded     time.Time `json:"loaded"`
	AgeSeconds float64   `json:"age_seconds"`
	Models     int       `json:"models"`
	Keys       int       `json:"keys"`
}

type statusTarget struct {
	Model        string     `json:"model"`
	Version      string     `json:"version"`
	Target       string     `json:"target"`
	Provider     string     `json:"provider"`
	Healthy      bool       `json:"healthy"`
	SkippedUntil *time.Time `json:"skipped_until,omitempty"`
	InFlight     int        `json:"in_flight"`
	LatencyMS    float64    `json:"latency_ms"`
}

type statusCache struct {
	Memory  statusTier  `json:"memory"`
	Disk    *statusTier `json:"disk"`
	Queued  int64       `json:"queued"`
	Dropped int64       `json:"dropped"`
	Errors  int64       `json:"disk_errors"`
	Flights int         `json:"flights"`
}

type statusTier struct {
	Entries   int64 `json:"entries"`
	Bytes     int64 `json:"bytes"`
	Limit     int64 `json:"limit"`
	Hits      int64 `json:"hits"`
	Evictions int64 `json:"evictions"`
}

// AdminOptions are what the admin port needs besides the server.
type AdminOptions struct {
	Version string
	Token   string // required of callers, unless the port is on a loopback address
	Notes   func() []string
	Origin  func() any // the link to the origin, for /status; nil: the node follows none
	Spool   func() any // the reports that wait for the origin; nil: there are none
}

// Admin is the handler of the node's admin port.
func (s *Server) Admin(o AdminOptions) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.Ready(); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", obs.ContentType)
		_ = s.o.Registry.WriteText(w)
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.status(o)) })
	mux.HandleFunc("GET /explain/{id}", s.serveExplain)
	mux.HandleFunc("POST /cache/purge", s.servePurge)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // not cmdline: the command line may hold the token
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return guard(mux, o.Token)
}

// guard keeps browsers and strangers out: a page cannot reach a loopback port by a name of its own, and a port on
// any other address wants the token.
func guard(next http.Handler, token string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fromPage(r.Header) {
			http.Error(w, "requests of web pages are refused", http.StatusForbidden)
			return
		}
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		switch {
		case isLoopback(local) && !loopbackHost(r.Host):
			http.Error(w, "this port answers to loopback names only", http.StatusForbidden)
		case !isLoopback(local) && !hasToken(r, token):
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a bearer token is required on this address", http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// fromPage reports whether a browser sends the request for a page of another site. Browsers leave Origin out of what a
// page embeds or links to, but then say where it comes from.
func fromPage(h http.Header) bool {
	site := h.Get("Sec-Fetch-Site")
	return h.Get("Origin") != "" || site != "" && site != "none" && site != "same-origin"
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}

func (s *Server) serveExplain(w http.ResponseWriter, r *http.Request) {
	id := []byte(r.PathValue("id"))
	if seq, ok := s.ids.parse(id); ok {
		if rec, ok := s.explain.get(seq, id); ok {
			writeJSON(w, http.StatusOK, rec.explain())
			return
		}
	}
	writeJSON(w, http.StatusNotFound, map[string]string{
		"error": "this node does not remember the request; it keeps the last few thousand, since its start",
	})
}

func (s *Server) servePurge(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		All   bool   `json:"all"`
		Model string `json:"model"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&ask); err != nil || ask.All == (ask.Model != "") {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": `say what to purge: {"all":true} or {"model":"NAME"}`})
		return
	}
	n, err := s.o.Cache.Purge(ask.Model)
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "cannot purge the disk tier: " + err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"purged_memory_entries": n, "model": ask.Model, "all": ask.All})
}

func (s *Server) status(o AdminOptions) *Status {
	st := &Status{
		Node: s.o.Node, Version: o.Version, Ready: true, Refused: s.refusal.Load(), InFlight: s.inFlight.Load(),
		Targets: []statusTarget{}, Cache: s.cacheStatus(),
	}
	if err := s.Ready(); err != nil {
		st.Ready, st.Reason = false, err.Error()
	}
	if o.Notes != nil {
		st.Notes = o.Notes()
	}
	if o.Origin != nil {
		st.Origin = o.Origin()
	}
	if o.Spool != nil {
		st.Spool = o.Spool()
	}
	if s.o.Budgets != nil {
		st.Budgets = s.o.Budgets.Status()
	}
	snap := s.snap.Load()
	if snap.Digest == "" {
		return st
	}
	st.Bundle = &statusBundle{snap.Digest, snap.Loaded.UTC(), time.Since(snap.Loaded).Seconds(), len(snap.catalog.Models), len(snap.catalog.Keys)}
	for _, p := range snap.use.policies {
		st.Policies = append(st.Policies, statusPolicy{p.Name, p.Digest, p.hooks.String(), p.program.Status()})
	}
	for _, v := range snap.versions {
		for i := range v.targets {
			st.Targets = append(st.Targets, describeTarget(v, &v.targets[i]))
		}
	}
	return st
}

// statusPolicy is a policy in use; State is its host's own account of it.
type statusPolicy struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Hooks  string `json:"hooks"`
	State  any    `json:"state"`
}

func describeTarget(v *version, t *target) statusTarget {
	st := statusTarget{
		Model: v.label, Version: v.Version.Version.Version, Target: t.Name, Provider: t.provider.Name, Healthy: t.live.Healthy(time.Now()),
		InFlight: t.live.InFlight(), LatencyMS: millis(t.live.FirstByte()),
	}
	if until := t.live.EjectedUntil(); time.Now().Before(until) {
		st.SkippedUntil = &until
	}
	return st
}

func (s *Server) cacheStatus() statusCache {
	c, m := s.o.Cache, s.o.Cache.MemoryUsage()
	st := statusCache{
		Memory: statusTier{m.Entries, m.Bytes, m.Limit, c.Stats.MemoryHits.Load(), m.Evictions},
		Queued: c.Stats.QueuedEntries.Load(), Dropped: c.Stats.Dropped.Load(), Errors: c.Stats.DiskErrors.Load(),
		Flights: c.Flights.Len(),
	}
	if d, ok := c.DiskUsage(); ok {
		st.Disk = &statusTier{d.Entries, d.Bytes, d.Limit, c.Stats.DiskHits.Load(), d.Evictions}
	}
	return st
}

// hasToken compares the bearer token in constant time.
func hasToken(r *http.Request, token string) bool {
	got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && token != "" && subtle.ConstantTimeCompare([]byte(got), []byte(token)) == 1
}
