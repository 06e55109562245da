package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const rows = `# comment
wire BenchmarkBucket allocs=0

ratio proxy/request.BenchmarkKey/small / wire.BenchmarkBucket <= 1.5`

var measured = map[string]figures{
	"wire.BenchmarkBucket":             {ns: 10},
	"proxy/request.BenchmarkKey/small": {ns: 14, allocs: 1},
}

func TestGoodRowsPass(t *testing.T) {
	lines, err := parse(rows)
	require.NoError(t, err)
	assert.Equal(t, []string{"wire.BenchmarkBucket", "proxy/request.BenchmarkKey/small"}, names(lines))
	var out strings.Builder
	require.NoError(t, check(lines, measured, &out))
	assert.Equal(t, "ok    wire.BenchmarkBucket: 0 allocations, allowed 0\n"+
		"ok    proxy/request.BenchmarkKey/small / wire.BenchmarkBucket: 1.40 times, allowed 1.5\n", out.String())
}

func TestWorseRowsFailAndLooseRowsAreNamed(t *testing.T) {
	for row, want := range map[string]string{
		"proxy/request BenchmarkKey/small allocs=0":                             "WORSE",
		"proxy/request BenchmarkKey/small allocs=2":                             "could be tightened",
		"ratio proxy/request.BenchmarkKey/small / wire.BenchmarkBucket <= 1.39": "WORSE",
		"ratio proxy/request.BenchmarkKey/small / wire.BenchmarkBucket <= 1.9":  "could be tightened",
	} {
		lines, err := parse(row)
		require.NoError(t, err)
		var out strings.Builder
		err = check(lines, measured, &out)
		assert.Contains(t, out.String(), want)
		assert.Equal(t, want == "WORSE", err != nil, row)
	}
}

func TestUpdateKeepsTextAndTightensRows(t *testing.T) {
	lines, err := parse("# why\nproxy/request   BenchmarkKey/small allocs=7\nratio proxy/request.BenchmarkKey/small / wire.BenchmarkBucket <= 9")
	require.NoError(t, err)
	assert.Equal(t, "# why", lines[0].updated(measured))
	assert.Equal(t, "proxy/request BenchmarkKey/small allocs=1", lines[1].updated(measured))
	assert.Equal(t, "ratio proxy/request.BenchmarkKey/small / wire.BenchmarkBucket <= 1.82", lines[2].updated(measured))
}

func TestEveryBadLineIsReported(t *testing.T) {
	_, err := parse("wire Bucket allocs=0\nwire BenchmarkBucket allocs=x\nratio a.B / wire.BenchmarkBucket <= 1\nwire BenchmarkBucket allocs=0")
	require.Error(t, err)
	for _, want := range []string{"line 1", "line 2", "line 3", "PACKAGE.BenchmarkName"} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "line 4")
}

func TestOutputOfGoTestIsRead(t *testing.T) {
	samples := map[string][]figures{}
	collect("wire", "goos: linux\nBenchmarkBucket \t 1000 \t 12.5 ns/op\t 0 B/op\t 0 allocs/op\n"+
		"BenchmarkKey/small 10 1e+03 ns/op 14.2 MB/s 3.0 things 48 B/op 2 allocs/op\nPASS\n", samples)
	assert.Equal(t, map[string][]figures{
		"wire.BenchmarkBucket":    {{ns: 12.5}},
		"wire.BenchmarkKey/small": {{ns: 1000, allocs: 2}},
	}, samples)
}

func TestMedianOfRoundsAndMissingBenchmarks(t *testing.T) {
	samples := map[string][]figures{"a.BenchmarkX": {{ns: 9}, {ns: 1}, {ns: 5, allocs: 1}}}
	got, err := medians([]string{"a.BenchmarkX"}, samples)
	require.NoError(t, err)
	assert.Equal(t, figures{ns: 5}, got["a.BenchmarkX"])
	_, err = medians([]string{"a.BenchmarkX", "a.BenchmarkGone"}, samples)
	assert.ErrorContains(t, err, "a.BenchmarkGone: no such benchmark")
}
