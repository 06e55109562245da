package drive

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wedge-proxy/wedge/bench/internal/hist"
	"github.com/wedge-proxy/wedge/bench/internal/proc"
)

// Report is what one run showed. Times ending in US are microseconds.
type Report struct {
	Addr       string            `json:"addr"`
	Loop       string            `json:"loop"` // "closed", or "open at N/s"
	Conns      int               `json:"conns"`
	Requests   uint64            `json:"requests"` // answers that came whole, whatever their status
	Seconds    float64           `json:"seconds"`  // from the start to the last answer
	RPS        float64           `json:"rps"`
	Bytes      uint64            `json:"bytes"` // received
	Latency    Quantiles         `json:"latency_us"`
	TTFB       *Quantiles        `json:"ttfb_us,omitempty"`        // of event streams: to the body's first byte
	ChunkDelay *Quantiles        `json:"chunk_delay_us,omitempty"` // from the time in an event to its arrival
	Streams    uint64            `json:"complete_streams,omitempty"`
	Events     uint64            `json:"events,omitempty"`
	Status     map[int]uint64    `json:"status"`
	Cache      map[string]uint64 `json:"cache,omitempty"` // by the value of x-wedge-cache
	Errors     map[string]uint64 `json:"errors,omitempty"`
	Reconnects uint64            `json:"reconnects,omitempty"`
	Used       *Used             `json:"used,omitempty"` // by the processes given
	OwnPer10k  float64           `json:"generator_cpu_seconds_per_10k"`
}

// Quantiles of a histogram in microseconds.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// Used is what the measured process trees used.
type Used struct {
	CPUSeconds float64 `json:"cpu_seconds"` // user and system time during the run
	Per10k     float64 `json:"cpu_seconds_per_10k"`
	RSS        int64   `json:"rss_bytes"`      // at the end of the run
	Peak       int64   `json:"peak_rss_bytes"` // since the processes started
	RSSAnon    int64   `json:"rss_anon_bytes"` // at the end of the run
}

// Failed is the number of errors of every kind.
func (r *Report) Failed() uint64 {
	var n uint64
	for _, c := range r.Errors {
		n += c
	}
	return n
}

func (e *engine) report(cpu, own time.Duration, after proc.Usage) *Report {
	r := &Report{
		Addr: e.o.Addr, Loop: "closed", Conns: e.o.Conns, Requests: e.requests, Bytes: e.bytes,
		Seconds: time.Duration(e.last).Seconds(), Latency: quantiles(&e.latency), Streams: e.complete,
		Events: e.events, Status: e.status, Cache: e.cache, Errors: e.errs, Reconnects: e.reconnects,
	}
	if e.o.Rate > 0 {
		r.Loop = fmt.Sprintf("open at %g/s", e.o.Rate)
	}
	r.RPS = ratio(float64(r.Requests), r.Seconds)
	r.OwnPer10k = ratio(own.Seconds()*1e4, float64(r.Requests))
	if e.ttfb.N() > 0 {
		q := quantiles(&e.ttfb)
		r.TTFB = &q
	}
	if e.delay.N() > 0 {
		q := quantiles(&e.delay)
		r.ChunkDelay = &q
	}
	if len(e.o.PIDs) > 0 {
		r.Used = &Used{
			CPUSeconds: cpu.Seconds(), Per10k: ratio(cpu.Seconds()*1e4, float64(r.Requests)),
			RSS: after.RSS, Peak: after.Peak, RSSAnon: after.RSSAnon,
		}
	}
	return r
}

func quantiles(h *hist.H) Quantiles {
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	return Quantiles{
		P50: us(h.Quantile(0.5)), P90: us(h.Quantile(0.9)), P99: us(h.Quantile(0.99)), P999: us(h.Quantile(0.999)),
		Max: us(h.Max()), Mean: h.Mean() / 1e3,
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Text writes the report for people.
func (r *Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s loop, %d connections\n", r.Addr, r.Loop, r.Conns)
	fmt.Fprintf(&b, "  %d answers in %.2f s: %.0f/s, %.1f MB\n", r.Requests, r.Seconds, r.RPS, float64(r.Bytes)/1e6)
	line := func(name string, q *Quantiles) {
		if q != nil {
			fmt.Fprintf(&b, "  %-12s p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  max %.0f µs\n", name, q.P50, q.P90, q.P99, q.P999, q.Max)
		}
	}
	line("latency", &r.Latency)
	line("first byte", r.TTFB)
	line("event delay", r.ChunkDelay)
	if r.Events > 0 {
		fmt.Fprintf(&b, "  %d streams came to their proper end, %d events\n", r.Streams, r.Events)
	}
	counts(&b, "status", r.Status)
	counts(&b, "cache", r.Cache)
	counts(&b, "errors", r.Errors)
	if u := r.Used; u != nil {
		fmt.Fprintf(&b, "  processes    %.3f CPU-s per 10,000 (%.2f s), RSS %.1f MB, peak %.1f MB, anonymous %.1f MB\n",
			u.Per10k, u.CPUSeconds, float64(u.RSS)/1e6, float64(u.Peak)/1e6, float64(u.RSSAnon)/1e6)
	}
	fmt.Fprintf(&b, "  generator    %.3f CPU-s per 10,000\n", r.OwnPer10k)
	_, err := io.WriteString(w, b.String())
	return err
}

func counts[K string | int](b *strings.Builder, name string, m map[K]uint64) {
	if len(m) == 0 {
		return
	}
	fmt.Fprintf(b, "  %-12s", name)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(b, " %v: %d", k, m[k])
	}
	b.WriteByte('\n')
}

// ownCPU is the user and system time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
