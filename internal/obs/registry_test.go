package obs

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// exposed is the registry's text without the lines of the Go runtime and the process.
func exposed(t *testing.T, r *Registry) string {
	t.Helper()
	var all, own strings.Builder
	require.NoError(t, r.WriteText(&all))
	for line := range strings.Lines(all.String()) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "wedge_") {
			own.WriteString(line)
		}
	}
	return own.String()
}

func TestExposition(t *testing.T) {
	r := NewRegistry()
	r.Counter(Opts{Name: "wedge_a_total", Help: "Plain."}).Add(3)
	r.Counter(Opts{Name: "wedge_cost_usd_total", Help: "Nano-dollars.", Per: Nano}).Add(1_250_000_001)
	g := r.Gauge(Opts{Name: "wedge_open", Help: "Up and down."})
	g.Set(7)
	g.Add(-9)
	f := r.CounterFamily(Opts{Name: "wedge_requests_total", Help: "By model.", Labels: []string{"model", "code"}})
	f.With("demo", "200").Inc()
	f.With("de\"mo\n", "").Add(2)
	h := r.HistogramFamily(Opts{Name: "wedge_request_seconds", Help: "Durations.", Labels: []string{"model"}}).With("demo")
	for _, ns := range []int64{-5, 0, 1024, 1025, 1 << 20, 1 << 36, 1<<36 + 1, math.MaxInt64 / 4} {
		h.Observe(ns)
	}
	r.GaugeFunc(Opts{Name: "wedge_target_healthy", Help: "Read late.", Labels: []string{"target"}}, func(emit Emit) {
		emit(1, "eu")
		emit(0, "us\xff")
	})
	r.CounterFunc(Opts{Name: "wedge_evictions_total", Help: "Read late."}, func(emit Emit) { emit(5) })
	testkit.Golden(t, "testdata/exposition.txt", []byte(exposed(t, r)))
}

func TestExpositionIsWhatPrometheusReads(t *testing.T) {
	r := NewRegistry()
	r.Counter(Opts{Name: "wedge_a_total", Help: "x"}).Inc()
	var text strings.Builder
	require.NoError(t, r.WriteText(&text))
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "wedge_a_total"} {
		assert.Contains(t, text.String(), "\n"+name+" ")
	}
	assert.True(t, strings.HasPrefix(string(expfmt.NewFormat(expfmt.TypeTextPlain)), ContentType))
}

func TestOneUnreadableMetricDoesNotHideTheOthers(t *testing.T) {
	r := NewRegistry()
	r.Counter(Opts{Name: "wedge_good_total", Help: "x"}).Inc()
	r.GaugeFunc(Opts{Name: "wedge_twice", Help: "x", Labels: []string{"l"}}, func(emit Emit) {
		emit(1, "a")
		emit(2, "a")
	})
	r.GaugeFunc(Opts{Name: "wedge_labels", Help: "x", Labels: []string{"l"}}, func(emit Emit) { emit(1, "a", "b") })
	var text strings.Builder
	err := r.WriteText(&text)
	require.ErrorContains(t, err, "cannot read some metrics")
	assert.Contains(t, err.Error(), "wedge_labels")
	assert.Contains(t, text.String(), "wedge_good_total 1\n")
	assert.Contains(t, text.String(), "wedge_twice{l=\"a\"} 1\n")
}

func TestWriteTextTellsWhatItCouldNotWrite(t *testing.T) {
	full := errors.New("connection is gone")
	err := NewRegistry().WriteText(failingWriter{full})
	require.ErrorIs(t, err, full)
	assert.ErrorContains(t, err, "cannot write metric ")
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestNamesAreUnique(t *testing.T) {
	r := NewRegistry()
	r.Counter(Opts{Name: "wedge_a_total", Help: "x"})
	assert.Panics(t, func() { r.Gauge(Opts{Name: "wedge_a_total", Help: "y"}) })
}
