package obs

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

func TestWithReturnsOneChildPerListOfValues(t *testing.T) {
	f := newFamily[Counter](Opts{Name: "f", Labels: []string{"a", "b"}}, new(Counter))
	assert.Same(t, f.With("x", "y"), f.With("x", "y"))
	assert.NotSame(t, f.With("x", "y"), f.With("xy", ""))
	assert.NotSame(t, f.With("x", "y"), f.With("", "xy"))
	assert.PanicsWithValue(t, "obs: f has 2 labels, got 1 values", func() { f.With("x") })
}

func TestWithCopiesItsValues(t *testing.T) {
	f := newFamily[Counter](Opts{Labels: []string{"a"}}, new(Counter))
	f.With("demo")
	assert.Equal(t, []string{"demo"}, f.snapshot()[0].values)
}

func TestHostileLabelValuesBecomeFit(t *testing.T) {
	f := newFamily[Counter](Opts{Labels: []string{"a"}}, new(Counter))
	assert.Same(t, f.With("a\xff\xfe"), f.With("a\xfe\xff"), "both read a�")
	long := strings.Repeat("x", 10_000)
	assert.Same(t, f.With(long), f.With(long+"y"))
	for _, c := range f.snapshot() {
		assert.LessOrEqual(t, len(c.values[0]), maxLabelBytes+len("�"))
	}
	assert.Equal(t, strings.Repeat("x", maxLabelBytes-1)+"�", cleanLabel(strings.Repeat("x", maxLabelBytes-1)+"é"))
}

func TestFullFamilyCountsTheRestAsOther(t *testing.T) {
	r := NewRegistry()
	f := r.CounterFamily(Opts{Name: "wedge_f_total", Help: "x", Labels: []string{"a", "b"}, MaxChildren: 3})
	for i := range 10 {
		f.With(strconv.Itoa(i), "z").Inc()
	}
	f.With("1", "z").Inc()
	assert.Equal(t, map[string]int64{"0,z": 1, "1,z": 2, "2,z": 1, "other,other": 7}, counts(f))
	assert.EqualValues(t, 7, r.overflow.With("wedge_f_total").Value())
	assert.Contains(t, exposed(t, r), `wedge_metric_overflow_total{metric="wedge_f_total"} 7`)
}

func TestDefaultBound(t *testing.T) {
	f := NewRegistry().CounterFamily(Opts{Name: "wedge_f_total", Help: "x", Labels: []string{"a"}})
	for i := range 3000 {
		f.With(strconv.Itoa(i)).Inc()
	}
	assert.Len(t, f.snapshot(), defaultMaxChildren+1)
	assert.EqualValues(t, 1000, f.With("other").Value())
}

func TestFamilyUnderLoad(t *testing.T) {
	r := NewRegistry()
	f := r.CounterFamily(Opts{Name: "wedge_f_total", Help: "x", Labels: []string{"a"}, MaxChildren: 20})
	h := r.HistogramFamily(Opts{Name: "wedge_h_seconds", Help: "x", Labels: []string{"a"}})
	testkit.Hammer(4, 500, func(g, i int) {
		f.With(fmt.Sprint(i % 30)).Inc()
		h.With(strconv.Itoa(g)).Observe(int64(i))
		if i%100 == 0 {
			exposed(t, r)
		}
	})
	var total int64
	for _, n := range counts(f) {
		total += n
	}
	assert.EqualValues(t, 2000, total, "no count is lost")
	assert.Len(t, counts(f), 21)
	assert.Contains(t, exposed(t, r), `wedge_h_seconds_count{a="3"} 500`)
}

func counts(f *Family[Counter]) map[string]int64 {
	m := map[string]int64{}
	for _, c := range f.snapshot() {
		m[strings.Join(c.values, ",")] = c.metric.Value()
	}
	return m
}
