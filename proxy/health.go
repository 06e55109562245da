package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// probeTick is how often it is looked which providers are due, and probeMost how long a probe may take.
const (
	probeTick = 50 * time.Millisecond
	probeMost = 5 * time.Second
)

// probeProviders probes the providers whose catalog entry asks for it, each at its interval and one probe at a time,
// until ctx ends. Three failed probes in a row take a provider's targets out of the draw; the first good one takes them
// back in. What requests tell about a target counts beside that.
func (s *Server) probeProviders(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(probeTick)
	defer tick.Stop()
	due, busy := map[string]time.Time{}, &sync.Map{}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			snap := s.snap.Load()
			for name, p := range snap.providers {
				if p.Health.Interval <= 0 || now.Before(due[name]) {
					continue
				}
				due[name] = now.Add(p.Health.Interval)
				if _, already := busy.LoadOrStore(name, true); !already {
					running.Go(func() {
						defer busy.Delete(name)
						if good, learnt := p.probe(ctx); learnt {
							snap.learnProbe(p, good)
						}
					})
				}
			}
		}
	}
}

// probe asks a provider for its health path. Whatever it answers but a 5xx is a sign of life. Nothing is learnt when the node
// ends, or has no connection to ask over.
func (p *provider) probe(ctx context.Context) (good, learnt bool) {
	var call upstream.Call
	defer call.Close()
	defer context.AfterFunc(ctx, call.Abort)()
	err := p.endpoint.Do(&call, &upstream.Request{
		Method: []byte("GET"), Path: bytesOf(p.Health.Path), Head: p.head,
		FirstByte: min(max(p.Health.Interval, time.Second), probeMost), ChunkTimeout: time.Second,
	})
	if err != nil {
		return false, ctx.Err() == nil && !errors.Is(err, upstream.ErrBusy)
	}
	_, _ = call.AppendAll(nil, maxErrorBody) // so that the connection can be used again
	return call.Status() < 500, true
}

// forgetProbes lets targets whose provider is not probed any more count as before.
func (snap *Snapshot) forgetProbes() {
	for _, p := range snap.providers {
		if p.Health.Interval <= 0 {
			snap.learnProbe(p, true)
		}
	}
}

// learnProbe tells all targets at a provider what a probe of it said.
func (snap *Snapshot) learnProbe(p *provider, good bool) {
	for _, v := range snap.versions {
		for i := range v.targets {
			if v.targets[i].provider == p {
				v.targets[i].live.Probed(good)
			}
		}
	}
}
