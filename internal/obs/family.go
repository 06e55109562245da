package obs

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	defaultMaxChildren = 2000
	maxLabelBytes      = 128
	overflowValue      = "other"

	// separator ends a label value inside a family's index. It occurs in no valid UTF-8, so two lists of values
	// never share a key.
	separator = 0xff
)

// desc is what exposing a metric takes: its name, and how many counts make one exposed unit.
type desc struct {
	prom *prometheus.Desc
	per  float64
}

// metric is what a family can be made of.
type metric[T any] interface {
	*T
	expose(d desc, labels []string) (prometheus.Metric, error)
}

// Family is a metric with labels: one child for each list of label values. It holds a bounded number of children;
// whatever comes later is counted in the child whose label values all read "other".
type Family[T any] struct {
	name     string
	labels   int
	max      int
	overflow *Counter // requests for a child beyond max

	mu       sync.Mutex
	children []*child[T]
	index    map[string]*child[T]
}

type child[T any] struct {
	metric T
	values []string
}

func newFamily[T any](o Opts, overflow *Counter) *Family[T] {
	f := &Family[T]{
		name:     o.Name,
		labels:   len(o.Labels),
		max:      o.MaxChildren,
		overflow: overflow,
		index:    map[string]*child[T]{},
	}
	if f.max == 0 {
		f.max = defaultMaxChildren
	}
	return f
}

// With returns the child with these label values, in the order of Opts.Labels, and makes it if need be. It takes a
// lock: resolve a handle where the values become known, and keep it. The values are copied; bytes that are not
// UTF-8 are replaced, and a value is cut at 128 bytes. It panics if their number is not that of the labels.
func (f *Family[T]) With(values ...string) *T {
	if len(values) != f.labels {
		panic(fmt.Sprintf("obs: %s has %d labels, got %d values", f.name, f.labels, len(values)))
	}
	var buf [256]byte
	key := appendKey(buf[:0], values)
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.index[string(key)]; ok {
		return &c.metric
	}
	if len(f.children) >= f.max && f.overflow != nil {
		f.overflow.Inc()
		return f.other()
	}
	return f.add(key)
}

// other is the child that counts what found no room.
func (f *Family[T]) other() *T {
	key := appendKey(nil, slices.Repeat([]string{overflowValue}, f.labels))
	if c, ok := f.index[string(key)]; ok {
		return &c.metric
	}
	return f.add(key)
}

func (f *Family[T]) add(key []byte) *T {
	c := &child[T]{values: splitKey(string(key))}
	f.children = append(f.children, c)
	f.index[string(key)] = c
	return &c.metric
}

// appendKey appends the values, made fit for exposition, each ended by a separator.
func appendKey(dst []byte, values []string) []byte {
	for _, v := range values {
		dst = append(dst, cleanLabel(v)...)
		dst = append(dst, separator)
	}
	return dst
}

func splitKey(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key[:len(key)-1], string([]byte{separator}))
}

// cleanLabel makes a label value that Prometheus takes: valid UTF-8 of a bounded length.
func cleanLabel(v string) string {
	return strings.ToValidUTF8(v[:min(len(v), maxLabelBytes)], "�")
}

// snapshot is the present list of children. A child's values never change and its metric is atomic, so both may be
// read without the lock.
func (f *Family[T]) snapshot() []*child[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.children)
}

// familyCollector shows a family to a Prometheus registry.
type familyCollector[T any, M metric[T]] struct {
	desc   desc
	family *Family[T]
}

func (c familyCollector[T, M]) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc.prom }

func (c familyCollector[T, M]) Collect(ch chan<- prometheus.Metric) {
	for _, child := range c.family.snapshot() {
		m, err := M(&child.metric).expose(c.desc, child.values)
		if err != nil {
			m = prometheus.NewInvalidMetric(c.desc.prom, err)
		}
		ch <- m
	}
}
