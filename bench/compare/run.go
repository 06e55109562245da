package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/wedge-proxy/wedge/bench/internal/drive"
)

// result is what one set showed: every subject's reports in the order of its rounds.
type result struct {
	Set     string                     `json:"set"`
	Title   string                     `json:"title"`
	Order   []string                   `json:"order"`
	Reports map[string][]*drive.Report `json:"reports"`
	Missing []string                   `json:"missing,omitempty"` // peers that are not installed
	Calls   *calls                     `json:"policy_calls,omitempty"`
}

// median of a metric over a subject's rounds; ok tells whether there was any.
func (r *result) median(subject string, m metric) (v float64, ok bool) {
	reports := r.Reports[subject]
	if len(reports) == 0 {
		return 0, false
	}
	values := make([]float64, len(reports))
	for i, rep := range reports {
		values[i] = m.of(rep)
	}
	return middle(values), true
}

// paired is the median of a metric's ratios of two subjects, each of one round; ok tells whether there was any.
func (r *result) paired(subject, against string, m metric) (ratio float64, ok bool) {
	var ratios []float64
	for i, rep := range r.Reports[subject] {
		if others := r.Reports[against]; i < len(others) && m.of(others[i]) > 0 {
			ratios = append(ratios, m.of(rep)/m.of(others[i]))
		}
	}
	if len(ratios) == 0 {
		return 0, false
	}
	return middle(ratios), true
}

// middle is the median: the mean of the two in the middle of an even number.
func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// run starts a set's subjects, lets them bear its load in turn, forward and backward, and ends them.
func (l *lab) run(ctx context.Context, s set, rounds int, log io.Writer) (*result, error) {
	defer l.stopAll()
	if err := l.startProvider(ctx); err != nil {
		return nil, err
	}
	res := &result{Set: s.name, Title: s.title, Reports: map[string][]*drive.Report{}}
	subjects, err := l.startSubjects(ctx, s, res)
	if err != nil {
		return nil, err
	}
	for _, sub := range subjects {
		res.Order = append(res.Order, sub.name)
		if s.warm == 0 {
			continue
		}
		if _, err := drive.Run(ctx, s.warmUp(sub)); err != nil {
			return nil, fmt.Errorf("cannot warm up %s: %w", sub.name, err)
		}
	}
	for round := range rounds {
		for _, sub := range subjects {
			rep, err := drive.Run(ctx, s.options(sub))
			if err != nil {
				return nil, fmt.Errorf("cannot measure %s in set %s: %w", sub.name, s.name, err)
			}
			res.Reports[sub.name] = append(res.Reports[sub.name], rep)
			fmt.Fprintf(log, "%s, round %d, %s: %.3f CPU-s/10k, p50 %.0f µs, p99 %.0f µs, %.0f/s, errors %v, cache %v\n",
				s.name, round+1, sub.name, rep.Used.Per10k, rep.Latency.P50, rep.Latency.P99, rep.RPS, rep.Errors, rep.Cache)
		}
		slices.Reverse(subjects)
	}
	return res, s.countCalls(ctx, subjects, res)
}

func (l *lab) startSubjects(ctx context.Context, s set, res *result) ([]*subject, error) {
	var all []*subject
	if s.withDirect {
		all = append(all, &subject{name: direct, addr: l.provider, child: l.running[0]})
	}
	if s.floor != "" {
		floor, err := l.startFloor(ctx, s.floor)
		if err != nil {
			return nil, err
		}
		all = append(all, floor)
	}
	for _, name := range s.peers {
		peer, err := l.startPeer(ctx, name, s.use)
		if err != nil {
			return nil, err
		}
		if peer == nil {
			res.Missing = append(res.Missing, name)
			continue
		}
		all = append(all, peer)
	}
	nodes, err := l.startNodes(ctx, s)
	return append(all, nodes...), err
}

// startNodes runs the set's node and those of its variants that want one of their own.
func (l *lab) startNodes(ctx context.Context, s set) ([]*subject, error) {
	catalog := s.catalog
	if catalog == nil {
		catalog = file("catalog.yaml")
	}
	own, err := l.startNode(ctx, catalog, s.flags...)
	if err != nil {
		return nil, err
	}
	own.model, own.key = s.model, cmp.Or(s.key, benchKey)
	all := []*subject{own}
	for _, v := range s.variants {
		sub := *own
		if v.catalog != nil {
			another, err := l.startNode(ctx, v.catalog, s.flags...)
			if err != nil {
				return nil, err
			}
			sub = *another
		}
		sub.name, sub.model, sub.key = v.name, v.model, cmp.Or(v.key, own.key)
		all = append(all, &sub)
	}
	return all, nil
}

// options is the set's load for one subject.
func (s set) options(sub *subject) drive.Options {
	o := s.load
	o.Addr = sub.addr
	o.Body = drive.ChatBody(s.upstream, o.Stream)
	if sub.own {
		o.Body, o.Key = drive.ChatBody(sub.model, o.Stream), sub.key
	}
	o.IDs = drive.Cycle(0, s.distinct)
	o.PIDs = []int{sub.child.PID()}
	if o.Requests == 0 {
		o.Duration = s.runFor
	}
	return o
}

func (s set) warmUp(sub *subject) drive.Options {
	o := s.options(sub)
	o.Rate, o.Duration, o.Requests, o.PIDs = 0, 0, s.warm, nil
	return o
}

// idle is how long a node is left alone before its idle memory is read.
const idle = 3 * time.Second
