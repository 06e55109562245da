// Package obs counts and writes down what a node does: metrics that cost a few nanoseconds, their text exposition
// for Prometheus, and the access log. It knows nobody: whoever has something to tell is handed a metric or the log.
package obs

import (
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// ContentType is the media type of what WriteText writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Nano is the Opts.Per of a metric that counts nanoseconds or nano-dollars and is exposed in seconds or dollars.
const Nano = 1e9

// Opts describe a metric.
type Opts struct {
	Name   string
	Help   string
	Labels []string
	// Per is how many counts make one exposed unit: 0 means 1, and for histograms Nano, so that nanoseconds are
	// exposed as seconds.
	Per float64
	// MaxChildren bounds the lists of label values; 0 means 2,000. One more is made for what finds no room.
	MaxChildren int
}

// Registry holds a process's metrics, among them those of the Go runtime and of the process. Its methods panic on a
// name that is taken or not a Prometheus name: both are mistakes in the program.
type Registry struct {
	prom     *prometheus.Registry
	overflow *Family[Counter]
}

// NewRegistry returns a registry with the metrics of the Go runtime and of the process.
func NewRegistry() *Registry {
	r := &Registry{prom: prometheus.NewRegistry()}
	r.prom.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	r.overflow = r.CounterFamily(Opts{
		Name:   "wedge_metric_overflow_total",
		Help:   "Lookups of label values that found a metric full and were counted as \"other\".",
		Labels: []string{"metric"},
	})
	return r
}

// Counter registers a counter without labels.
func (r *Registry) Counter(o Opts) *Counter { return r.CounterFamily(o).With() }

// Gauge registers a gauge without labels.
func (r *Registry) Gauge(o Opts) *Gauge { return r.GaugeFamily(o).With() }

// Histogram registers a histogram without labels.
func (r *Registry) Histogram(o Opts) *Histogram { return r.HistogramFamily(o).With() }

// CounterFamily registers a counter with labels.
func (r *Registry) CounterFamily(o Opts) *Family[Counter] { return register[Counter](r, o, 1) }

// GaugeFamily registers a gauge with labels.
func (r *Registry) GaugeFamily(o Opts) *Family[Gauge] { return register[Gauge](r, o, 1) }

// HistogramFamily registers a histogram of durations with labels.
func (r *Registry) HistogramFamily(o Opts) *Family[Histogram] { return register[Histogram](r, o, Nano) }

func register[T any, M metric[T]](r *Registry, o Opts, per float64) *Family[T] {
	var overflow *Counter
	if r.overflow != nil && len(o.Labels) > 0 {
		overflow = r.overflow.With(o.Name)
	}
	f := newFamily[T](o, overflow)
	r.prom.MustRegister(familyCollector[T, M]{desc: newDesc(o, per), family: f})
	return f
}

func newDesc(o Opts, per float64) desc {
	if o.Per != 0 {
		per = o.Per
	}
	return desc{prom: prometheus.NewDesc(o.Name, o.Help, o.Labels, nil), per: per}
}

// Emit tells one value, in counts, of a metric that is read at exposition; the labels are in the order of
// Opts.Labels.
type Emit func(value float64, labels ...string)

// GaugeFunc registers a gauge whose values are read at every exposition: read calls emit once for each list of
// label values. It may run on several goroutines at once.
func (r *Registry) GaugeFunc(o Opts, read func(emit Emit)) {
	r.prom.MustRegister(funcCollector{desc: newDesc(o, 1), kind: prometheus.GaugeValue, read: read})
}

// CounterFunc is GaugeFunc for values that only grow.
func (r *Registry) CounterFunc(o Opts, read func(emit Emit)) {
	r.prom.MustRegister(funcCollector{desc: newDesc(o, 1), kind: prometheus.CounterValue, read: read})
}

type funcCollector struct {
	desc desc
	kind prometheus.ValueType
	read func(emit Emit)
}

func (c funcCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc.prom }

func (c funcCollector) Collect(ch chan<- prometheus.Metric) {
	c.read(func(value float64, labels ...string) {
		values := make([]string, len(labels))
		for i, v := range labels {
			values[i] = cleanLabel(v)
		}
		m, err := prometheus.NewConstMetric(c.desc.prom, c.kind, value/c.desc.per, values...)
		if err != nil {
			m = prometheus.NewInvalidMetric(c.desc.prom, err)
		}
		ch <- m
	})
}

// WriteText writes all metrics in the Prometheus text format. A metric that cannot be read does not hide the
// others: they are written, and the error tells of it afterwards.
func (r *Registry) WriteText(w io.Writer) error {
	families, gatherErr := r.prom.Gather()
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return fmt.Errorf("cannot write metric %s: %w", f.GetName(), err)
		}
	}
	if gatherErr != nil {
		return fmt.Errorf("cannot read some metrics: %w", gatherErr)
	}
	return nil
}
