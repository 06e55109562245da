//go:build !race

package obs

import (
	"io"
	"testing"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

func TestHotPathDoesNotAllocate(t *testing.T) {
	r := NewRegistry()
	c := r.Counter(Opts{Name: "c", Help: "x"})
	g := r.Gauge(Opts{Name: "g", Help: "x"})
	h := r.Histogram(Opts{Name: "h", Help: "x"})
	f := r.CounterFamily(Opts{Name: "f", Help: "x", Labels: []string{"a", "b"}})
	f.With("demo", "hit")
	testkit.Allocs(t, 0, func() {
		c.Inc()
		g.Add(1)
		h.Observe(12345)
		f.With("demo", "hit").Inc()
	})
}

func TestAccessLineDoesNotAllocate(t *testing.T) {
	l := NewAccessLog(io.Discard)
	record := sampleRecord()
	line := func() {
		l.Write(&record)
		l.flush(false)
	}
	line()
	line()
	testkit.Allocs(t, 0, line)
}
