package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wedge-proxy/wedge/bench/internal/proc"
)

// starts is how many cold starts the median is taken of.
const starts = 5

// footprint reads an idle node's memory and the size of its binary.
func (l *lab) footprint(ctx context.Context) ([]row, error) {
	defer l.stopAll()
	if err := l.startProvider(ctx); err != nil {
		return nil, err
	}
	own, err := l.startNode(ctx, file("catalog.yaml"))
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(idle):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	used, err := proc.Of(own.child.PID())
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(l.bin("wedge"))
	if err != nil {
		return nil, fmt.Errorf("cannot tell the size of the binary: %w", err)
	}
	return []row{
		absolute("footprint", "idle node, RssAnon", float64(used.RSSAnon)/1e6, "MB", 20),
		absolute("footprint", "idle node, RSS", float64(used.RSS)/1e6, "MB", 48),
		absolute("footprint", "binary, stripped", float64(info.Size())/1e6, "MB", 40),
	}, nil
}

// coldStart is the median time from the start of a node with an empty data folder to its readiness.
func (l *lab) coldStart(ctx context.Context) ([]row, error) {
	defer l.stopAll()
	if err := l.startProvider(ctx); err != nil {
		return nil, err
	}
	times := make([]float64, starts)
	for i := range times {
		begun := time.Now()
		own, err := l.startNode(ctx, file("catalog.yaml"))
		if err != nil {
			return nil, err
		}
		times[i] = float64(time.Since(begun).Microseconds()) / 1e3
		own.child.Stop()
	}
	return []row{absolute("start", "cold start to /readyz, empty", middle(times), "ms", 150)}, nil
}
