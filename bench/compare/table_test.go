package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/internal/drive"
)

// costs are reports of rounds that cost so many CPU-seconds per 10,000.
func costs(per10k ...float64) []*drive.Report {
	var all []*drive.Report
	for _, c := range per10k {
		all = append(all, &drive.Report{Requests: 100, Used: &drive.Used{Per10k: c}, Latency: drive.Quantiles{P50: 100 * c}})
	}
	return all
}

func TestVerdictsAreRatiosAndDifferencesOfMedians(t *testing.T) {
	s := set{name: "pass", rows: []target{
		{what: "met", metric: cpu, against: "floor", limit: 1.5},
		{what: "missed", metric: cpu, against: "floor", limit: 1.2},
		{what: "added", metric: p50, against: "floor", added: true, limit: 4},
		{what: "absolute", metric: p50, limit: 20},
		{what: "absent", metric: cpu, against: "varnish", limit: 1},
		{what: "free", metric: cpu, against: "floor"},
	}}
	r := &result{Order: []string{"floor", node}, Reports: map[string][]*drive.Report{
		"floor": costs(0.1, 9, 0.08, 0.12), // median 0.11
		node:    costs(0.154, 0.01, 7),     // median 0.154
	}}
	var got [][]string
	for _, row := range verdict(s, r) {
		got = append(got, row.cells())
	}
	assert.Equal(t, [][]string{
		{"met", "0.154 CPU-s/10k", "floor 0.110", "×1.40", "≤ ×1.5", "met"},
		{"missed", "0.154 CPU-s/10k", "floor 0.110", "×1.40", "≤ ×1.2", "missed by 17 %"},
		{"added", "15 µs", "floor 11", "+4.400", "≤ +4", "missed by 10 %"},
		{"absolute", "15 µs", "–", "15", "≤ 20", "met"},
		{"absent", "0.154 CPU-s/10k", "varnish 0", "×0.00", "≤ ×1", "not measured: varnish is not installed"},
		{"free", "0.154 CPU-s/10k", "floor 0.110", "×1.40", "–", "for orientation"},
	}, got)
}

func TestFiguresOfFailedRequestsAndOtherTiersAreSaidToBe(t *testing.T) {
	reports := costs(0.1, 0.1)
	reports[0].Cache = map[string]uint64{"hit-memory": 80, "miss": 20}
	reports[1].Cache = map[string]uint64{"hit-memory": 100}
	reports[1].Errors = map[string]uint64{"status": 3}
	rows := verdict(set{tier: "hit-memory"}, &result{Order: []string{node}, Reports: map[string][]*drive.Report{node: reports}})
	require.Len(t, rows, 2)
	assert.Equal(t, "look: 3 of 203", rows[0].Verdict)
	assert.Equal(t, "wedge answers that were no hit-memory", rows[1].What)
	assert.InDelta(t, 20, rows[1].Value, 0)
}

func TestPairedRatiosAreOfOneRound(t *testing.T) {
	s := set{rows: []target{{what: "paired", metric: cpu, of: "1 policy", against: node, paired: true, limit: 1.03}}}
	r := &result{Order: []string{node, "1 policy"}, Reports: map[string][]*drive.Report{
		node: costs(0.1, 0.4, 0.2), "1 policy": costs(0.102, 0.404, 0.3), // medians 0.2 and 0.3, in rounds ×1.02, ×1.01, ×1.5
	}}
	assert.Equal(t, []string{"paired", "0.300 CPU-s/10k", "wedge 0.200", "×1.02", "≤ ×1.03", "met"}, verdict(s, r)[0].cells())
	_, ok := r.paired("1 policy", "absent", cpu)
	assert.False(t, ok)
}

func TestCallsThatPoliciesDidNotGetAreSaid(t *testing.T) {
	c := &calls{Expected: 2000}
	require.NoError(t, c.add(strings.NewReader("# HELP wedge_policy_calls_total Calls.\n"+
		"wedge_policy_calls_total{hook=\"request\",policy=\"a\"} 1500\nwedge_policy_calls_total{hook=\"request\",policy=\"b\"} 500\n"+
		"wedge_policy_errors_total{hook=\"request\",policy=\"b\",reason=\"busy\"} 2\nwedge_panics_total 7\n")))
	assert.True(t, c.good())
	c.Expected++
	assert.False(t, c.good())
	rows := honesty(set{}, &result{Calls: c})
	require.Len(t, rows, 1)
	assert.Equal(t, "look: 2000 of 2001 made, 2 failed", rows[0].Verdict)
	assert.Error(t, c.add(strings.NewReader("wedge_policy_calls_total{} x")))
}

func TestVariantsFromAnotherTierAreSaidToo(t *testing.T) {
	reports := costs(0.1)
	reports[0].Cache = map[string]uint64{"miss": 100}
	s := set{tier: "hit-memory", variants: []variant{{name: "1 policy"}}}
	rows := verdict(s, &result{Order: []string{"1 policy", "nginx"}, Reports: map[string][]*drive.Report{"1 policy": reports, "nginx": reports}})
	require.Len(t, rows, 1)
	assert.Equal(t, "1 policy answers that were no hit-memory", rows[0].What)
}

func TestHitRatesCountWhatTheProviderWasAsked(t *testing.T) {
	trace, err := drive.NewTrace(1.1, 50, 1)
	require.NoError(t, err)
	for range 1000 {
		trace.Next()
	}
	first := trace.Requests - trace.Repeats()
	rows := hitRows(&drive.Report{Cache: map[string]uint64{"hit-memory": 900, "hit-disk": 5, "coalesced": 25, "miss": 60}}, trace)
	assert.InDelta(t, 7, rows[0].Value, 1e-9)
	assert.InDelta(t, 100*float64(70-first)/float64(trace.Repeats()), rows[1].Value, 1e-9)
	assert.Contains(t, rows[0].Verdict, "missed")
}

func TestWrongFlagsAreRefused(t *testing.T) {
	for want, args := range map[string][]string{
		`cannot run set "nope"`: {"-set", "pass,nope"},
		"both must be positive": {"-rounds", "0"},
	} {
		_, err := parse(args)
		assert.ErrorContains(t, err, want)
	}
	o, err := parse(nil)
	require.NoError(t, err)
	assert.Equal(t, "pass,hit,policy-hit,policy-pass,growth,disk,disk-open,sse,sse-batch,open,ttft,hold,idle,zipf,footprint,start", strings.Join(o.sets, ","))
}

func TestPeersConfigurationsFillIn(t *testing.T) {
	for use, want := range map[string]string{"cache": "proxy_cache_key", "stream": "proxy_buffering off"} {
		to := filepath.Join(t.TempDir(), "conf")
		require.NoError(t, render("../peers/nginx.conf", to, map[string]string{"Dir": "/d", "Listen": "127.0.0.1:1", "Upstream": "127.0.0.1:2", "Use": use}))
		text, err := os.ReadFile(to)
		require.NoError(t, err)
		assert.Contains(t, string(text), want)
		assert.Contains(t, string(text), "listen 127.0.0.1:1 ")
		assert.NotContains(t, string(text), "<no value>")
	}
}
