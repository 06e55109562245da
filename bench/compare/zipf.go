package main

import (
	"context"
	"fmt"

	"github.com/wedge-proxy/wedge/bench/internal/drive"
)

// The trace whose hits are counted: what bench/load draws with -zipf 1.1 -keys 10000 -seed 7 -n 200000.
const (
	zipfExponent = 1.1
	zipfKeys     = 10_000
	zipfSeed     = 7
	zipfRequests = 200_000
)

// hitRate counts which requests of a Zipf trace went to the provider, of all and of those that repeat an earlier one.
func (l *lab) hitRate(ctx context.Context) ([]row, error) {
	defer l.stopAll()
	if err := l.startProvider(ctx); err != nil {
		return nil, err
	}
	own, err := l.startNode(ctx, file("catalog.yaml"))
	if err != nil {
		return nil, err
	}
	trace, err := drive.NewTrace(zipfExponent, zipfKeys, zipfSeed)
	if err != nil {
		return nil, err
	}
	rep, err := drive.Run(ctx, drive.Options{
		Addr: own.addr, Body: drive.ChatBody("bench-cache", false), Key: benchKey, IDs: trace.Next, Requests: zipfRequests,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot measure the hit rate: %w", err)
	}
	return hitRows(rep, trace), nil
}

// hitRows counts every request as asked of the provider that the cache did not answer, failed ones too. Requests that
// shared the provider's answer to an equal one under way were not.
func hitRows(rep *drive.Report, trace *drive.Trace) []row {
	answered := rep.Cache["hit-memory"] + rep.Cache["hit-disk"] + rep.Cache["coalesced"]
	asked := float64(trace.Requests - answered)
	first := float64(trace.Requests - trace.Repeats())
	return []row{
		absolute("zipf", "requests of a Zipf trace that went to the provider", 100*asked/float64(trace.Requests), "%", 5),
		absolute("zipf", "repeated requests of it that went to the provider", 100*max(0, asked-first)/float64(trace.Repeats()), "%", 1),
	}
}
