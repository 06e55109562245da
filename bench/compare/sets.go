package main

import (
	"time"

	"github.com/wedge-proxy/wedge/bench/internal/drive"
)

// Names of the subjects in results and rows.
const (
	direct = "direct"
	node   = "wedge"
)

// set is one load that several subjects bear in turn.
type set struct {
	name       string
	title      string
	floor      string // mode of bench/floor
	peers      []string
	use        string // what the peers are configured for: pass, cache or stream
	flags      []string
	catalog    source // of the node; bench/catalog.yaml where it is nil
	model      string // asked of the node
	key        string // benchKey where it is empty
	tier       string // what x-wedge-cache must say of nearly all the node's answers; "" does not care
	variants   []variant
	upstream   string // asked of everybody else: what the node's catalog makes of model
	load       drive.Options
	distinct   uint64 // bodies, sent in turn
	warm       uint64 // requests to every subject before its first round
	runFor     time.Duration
	withDirect bool // also measure the provider without a proxy
	rows       []target
}

// variant is the set's node asked for another model, or a node of its own with another catalog. A control is what the
// set's node is: how far its ratio lies from 1 is what the machine alone makes of two equal subjects.
type variant struct {
	name, model string
	key         string // the set's where it is empty
	catalog     source // nil is the set's node
	policies    uint64 // that each of its requests must call
}

// target is one row of the verdict: a metric of the node against another subject's.
type target struct {
	what    string
	of      string // a variant instead of the node
	metric  metric
	against string // "" compares the metric itself with the limit
	added   bool   // the limit is on the difference, not on the ratio
	paired  bool   // the ratio is the median of the rounds' ratios, which keeps slow changes of the machine out of it
	limit   float64
}

// metric is one figure of a run.
type metric struct {
	name, unit string
	of         func(*drive.Report) float64
}

var (
	cpu  = metric{"CPU", "CPU-s/10k", func(r *drive.Report) float64 { return r.Used.Per10k }}
	p50  = metric{"p50", "µs", func(r *drive.Report) float64 { return r.Latency.P50 }}
	p99  = metric{"p99", "µs", func(r *drive.Report) float64 { return r.Latency.P99 }}
	peak = metric{"peak RSS", "MB", func(r *drive.Report) float64 { return float64(r.Used.Peak) / 1e6 }}
	ttfb = func(name string, of func(*drive.Quantiles) float64) metric {
		return metric{"first byte " + name, "µs", func(r *drive.Report) float64 {
			if r.TTFB == nil {
				return 0
			}
			return of(r.TTFB)
		}}
	}
	ttfb50 = ttfb("p50", func(q *drive.Quantiles) float64 { return q.P50 })
	ttfb99 = ttfb("p99", func(q *drive.Quantiles) float64 { return q.P99 })
)

// loads are the sets that consist of load alone, in the order of the table.
var loads = []set{
	{
		name: "pass", title: "pass-through, whole answers, closed loop, 64 connections",
		floor: "proxy", peers: []string{"nginx", "haproxy"}, use: "pass", withDirect: true,
		model: "bench-pass", upstream: "sim;tokens=90", distinct: 256, warm: 2000, load: drive.Options{Conns: 64},
		rows: []target{
			{what: "pass-through, CPU, against bare fasthttp", metric: cpu, against: "floor-proxy", limit: 1.25},
			{what: "pass-through, CPU, against nginx (no target)", metric: cpu, against: "nginx"},
			{what: "pass-through, CPU, against HAProxy (no target)", metric: cpu, against: "haproxy"},
		},
	},
	{
		name: "hit", title: "exact hits from memory, 256 bodies, closed loop, 64 connections",
		floor: "map", peers: []string{"nginx"}, use: "cache",
		model: "bench-cache", upstream: "sim;tokens=90", distinct: 256, warm: 2000, load: drive.Options{Conns: 64}, tier: "hit-memory",
		rows: []target{
			{what: "memory hit, CPU, against bare fasthttp + map", metric: cpu, against: "floor-map", limit: 1.20},
			{what: "memory hit, CPU, against nginx proxy_cache", metric: cpu, against: "nginx", limit: 0.75},
		},
	},
	{
		name: "policy-hit", title: "exact hits from memory with policies on, one node, 256 bodies, closed loop, 64 connections",
		catalog: file("policies.yaml"), model: "hit", tier: "hit-memory",
		variants: []variant{
			{name: "1 policy", model: "hit-1", policies: 1}, {name: "control", model: "hit"}, {name: "5 policies", model: "hit-5", policies: 5},
		},
		distinct: 256, warm: 2000, load: drive.Options{Conns: 64},
		rows: []target{
			{what: "memory hit without policies, CPU, measured twice (no target)", metric: cpu, of: "control", against: node, paired: true},
			{what: "memory hit with one policy, CPU, against none", metric: cpu, of: "1 policy", against: node, paired: true, limit: 1.03},
			{what: "memory hit with five policies, CPU, against none", metric: cpu, of: "5 policies", against: node, paired: true, limit: 1.10},
		},
	},
	{
		name: "policy-pass", title: "pass-through with policies on, one node, 256 bodies, closed loop, 64 connections",
		catalog: file("policies.yaml"), model: "pass", tier: "bypass",
		variants: []variant{
			{name: "1 policy", model: "pass-1", policies: 1}, {name: "control", model: "pass"}, {name: "5 policies", model: "pass-5", policies: 5},
		},
		distinct: 256, warm: 2000, load: drive.Options{Conns: 64},
		rows: []target{
			{what: "pass-through without policies, CPU, measured twice (no target)", metric: cpu, of: "control", against: node, paired: true},
			{what: "pass-through with one policy, CPU, against none", metric: cpu, of: "1 policy", against: node, paired: true, limit: 1.03},
			{what: "pass-through with five policies, CPU, against none", metric: cpu, of: "5 policies", against: node, paired: true, limit: 1.10},
		},
	},
	{
		name: "growth", title: "exact hits from memory, 1 and 10,000 models and keys, 10,000 bodies, closed loop, 64 connections",
		catalog: grown(1), model: grownModel("0000000000000000"), key: grownKey("000000000000"), tier: "hit-memory",
		variants: []variant{
			{name: "control", model: grownModel("0000000000000000"), catalog: grown(1)},
			{name: "10,000 models", model: grownModel(drive.Slot), key: grownKey(drive.ShortSlot), catalog: grown(10_000)},
		},
		distinct: 10_000, warm: 20_000, load: drive.Options{Conns: 64},
		rows: []target{
			{what: "memory hit with one model and key, CPU, on two nodes (no target)", metric: cpu, of: "control", against: node, paired: true},
			{what: "memory hit with 10,000 models and keys, CPU, against one of each", metric: cpu, of: "10,000 models", against: node, paired: true, limit: 1.10},
		},
	},
	{
		name: "disk", title: "exact hits from Badger, 20,000 bodies over 1 MiB of memory, closed loop, 64 connections",
		floor: "map", flags: []string{"--cache-memory", "1MiB"},
		model: "bench-cache", upstream: "sim;tokens=90", distinct: 20_000, warm: 40_000, load: drive.Options{Conns: 64}, tier: "hit-disk",
		rows: []target{{what: "disk hit, CPU, against bare fasthttp + map", metric: cpu, against: "floor-map", limit: 1.5}},
	},
	{
		name: "disk-open", title: "exact hits from Badger, 20,000 bodies over 1 MiB of memory, 2,000 requests a second",
		flags: []string{"--cache-memory", "1MiB"},
		model: "bench-cache", upstream: "sim;tokens=90", distinct: 20_000, warm: 40_000,
		load: drive.Options{Conns: 64, Rate: 2000}, tier: "hit-disk",
		rows: []target{{what: "disk hit, p99 at 2,000/s", metric: p99, limit: 1000}},
	},
	{
		name: "sse", title: "bursts of 64 events, each of which the provider sends by itself, closed loop, 32 connections",
		floor: "stream", peers: []string{"nginx", "haproxy"}, use: "stream", withDirect: true,
		model: "bench-sse", upstream: "sim;tokens=64;chunks=64;flush=event", distinct: 256, warm: 200,
		load: drive.Options{Conns: 32, Stream: true},
		rows: []target{
			{what: "burst of 64 events, CPU, against nginx unbuffered", metric: cpu, against: "nginx", limit: 1.1},
			{what: "burst of 64 events, CPU, against HAProxy (no target)", metric: cpu, against: "haproxy"},
			{what: "burst of 64 events, CPU, against a coalescing fasthttp (no target)", metric: cpu, against: "floor-stream"},
		},
	},
	{
		name: "sse-batch", title: "bursts of 64 events that the provider sends at once, closed loop, 32 connections",
		floor: "stream", peers: []string{"nginx", "haproxy"}, use: "stream",
		model: "bench-sse-batch", upstream: "sim;tokens=64;chunks=64", distinct: 256, warm: 200,
		load: drive.Options{Conns: 32, Stream: true},
		rows: []target{
			{what: "64 events in one piece, CPU, against nginx unbuffered (no target)", metric: cpu, against: "nginx"},
			{what: "64 events in one piece, CPU, against a coalescing fasthttp (no target)", metric: cpu, against: "floor-stream"},
		},
	},
	{
		name: "open", title: "pass-through, whole answers, 2,000 requests a second",
		floor: "proxy", peers: []string{"nginx", "haproxy"}, use: "pass", withDirect: true,
		model: "bench-pass", upstream: "sim;tokens=90", distinct: 256, warm: 2000,
		load: drive.Options{Conns: 64, Rate: 2000},
		rows: []target{
			{what: "added latency at 2,000/s, p50", metric: p50, against: direct, added: true, limit: 250},
			{what: "added latency at 2,000/s, p99", metric: p99, against: direct, added: true, limit: 2000},
		},
	},
	{
		name: "ttft", title: "streams from a provider that takes 50 ms, 500 requests a second",
		floor: "stream", peers: []string{"nginx", "haproxy"}, use: "stream", withDirect: true,
		model: "bench-ttft", upstream: "sim;ttft=50ms;tokens=16;chunks=16", distinct: 256, warm: 200,
		load: drive.Options{Conns: 256, Rate: 500, Stream: true},
		rows: []target{
			{what: "added time to the first byte at 500/s, p50", metric: ttfb50, against: direct, added: true, limit: 300},
			{what: "added time to the first byte at 500/s, p99", metric: ttfb99, against: direct, added: true, limit: 2000},
		},
	},
	{
		name: "hold", title: "1,000 streams held for 5 s, an event each 200 ms",
		floor: "stream", peers: []string{"nginx", "haproxy"}, use: "stream",
		model: "bench-hold", upstream: "sim;ttft=200ms;tokens=25;chunks=25;tps=5", distinct: 1000,
		load: drive.Options{Conns: 1000, Requests: 1000, Stream: true},
		rows: []target{{what: "1,000 open streams, peak RSS", metric: peak, limit: 64}},
	},
	{
		name: "idle", title: "9,000 streams that say nothing for 20 s", // a machine may let a process have no more than 20,000 descriptors
		floor: "stream", peers: []string{"nginx", "haproxy"}, use: "stream",
		model: "bench-idle", upstream: "sim;tokens=2;chunks=2;tps=0.05", distinct: 9000,
		load: drive.Options{Conns: 9000, Requests: 9000, Stream: true, Timeout: time.Minute},
		rows: []target{
			// The target is of what they hold once they are open: TestIdleStreams.
			{what: "9,000 idle streams that come at once, peak RSS, against nginx (no target)", metric: peak, against: "nginx"},
			{what: "9,000 idle streams that come at once, peak RSS, against HAProxy (no target)", metric: peak, against: "haproxy"},
		},
	},
}
