package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/cases"
	"github.com/wedge-proxy/wedge/policy/wasmhost"
)

// policyBenchCmd measures a policy.
type policyBenchCmd struct {
	File     string        `arg:"" help:"The module."`
	Case     string        `placeholder:"FILE" help:"Measure the calls of this case (default: views such as a node sends)."`
	Config   string        `placeholder:"JSON" help:"The policy's config without a case, as an object or the name of a file."`
	Calls    int           `short:"n" placeholder:"N" help:"Stop each measurement after so many calls."`
	Duration time.Duration `short:"d" default:"1s" help:"How long to measure (default ${default})."`
	Memory   byteSize      `default:"16MiB" help:"Memory that the policy may use (default ${default})."`
	Output   string        `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is the part of the help text below the flags' summary.
func (policyBenchCmd) Help() string {
	return `Calls the policy as a node does and prints, for each of its hooks, the time of a call (the median and the 99th percentile
of batches of calls), the allocations of the node, and the fuel: what the guest did, roughly in instructions, the same on
every machine. The first hook is measured with every isolation.

Examples:
  wedge policy bench policy.wasm
  wedge policy bench policy.wasm --case cases/long.json -d 5s -o json`
}

// benchReport is what was measured.
type benchReport struct {
	File   string        `json:"file"`
	Digest string        `json:"digest"`
	Bytes  int           `json:"bytes"`
	Rows   []benchRow    `json:"rows"`
	Memory uint64        `json:"memory_bytes"` // of an instance and its share of the snapshot
	Load   time.Duration `json:"load_ns"`      // on a node that has not compiled it yet
	Reload time.Duration `json:"reload_ns"`    // on one that has
}

// benchRow is one hook with one isolation.
type benchRow struct {
	Call      string  `json:"call"`
	Isolation string  `json:"isolation"`
	Median    float64 `json:"median_ns"`
	P99       float64 `json:"p99_ns"`
	Allocs    float64 `json:"allocations"`
	Fuel      uint64  `json:"fuel"`
	Calls     int     `json:"calls"`
	Batch     int     `json:"batch"` // calls of which one time was taken

	limit time.Duration // that a node sets by default
}

// Run measures and prints.
func (c *policyBenchCmd) Run(stdout io.Writer) error {
	m, err := readModule(c.File, c.Memory)
	if err != nil {
		return err
	}
	w, err := newWorkbench()
	if err != nil {
		return err
	}
	defer w.close()
	done := busy("measuring " + c.File)
	r, err := c.measure(context.Background(), w, m)
	done()
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(stdout, r)
	}
	_, err = io.WriteString(stdout, r.text())
	return err
}

func (c *policyBenchCmd) measure(ctx context.Context, w *workbench, m *guestModule) (*benchReport, error) {
	r := &benchReport{File: m.file, Digest: m.digest(), Bytes: len(m.code)}
	steps, config, err := c.steps(ctx, w, m)
	if err != nil {
		return nil, err
	}
	s := relaxed(config)
	if r.Reload, err = w.timeLoad(ctx, m, s); err != nil {
		return nil, err
	}
	fresh, err := newWorkbench()
	if err != nil {
		return nil, err
	}
	defer fresh.close()
	if r.Load, err = fresh.timeLoad(ctx, m, s); err != nil {
		return nil, err
	}
	type job struct {
		isolation wasmhost.Isolation
		steps     []cases.Step
	}
	groups := byKind(steps)
	jobs := []job{{wasmhost.Shared, groups[0]}, {wasmhost.Clean, groups[0]}, {wasmhost.Fresh, groups[0]}}
	for _, g := range groups[1:] {
		jobs = append(jobs, job{wasmhost.Shared, g})
	}
	for _, j := range jobs {
		s.isolation = j.isolation
		row, memory, err := w.bench(ctx, m, s, j.steps, c.Duration/time.Duration(len(jobs)), c.Calls)
		if err != nil {
			return nil, err
		}
		r.Memory = max(r.Memory, memory)
		r.Rows = append(r.Rows, row)
	}
	return r, nil
}

// steps are the calls to measure: those of the case as they are when it runs, or samples.
func (c *policyBenchCmd) steps(ctx context.Context, w *workbench, m *guestModule) (steps []cases.Step, config []byte, err error) {
	if c.Case == "" {
		if config, err = readConfig(c.Config); err != nil {
			return nil, nil, err
		}
		p, hooks, err := w.load(ctx, m, relaxed(config))
		if err != nil {
			return nil, nil, err
		}
		p.Release()
		return samples(hooks), config, nil
	}
	one, err := cases.Read(c.Case)
	if err != nil {
		return nil, nil, err
	}
	p, _, err := w.load(ctx, m, relaxed(one.Config))
	if err != nil {
		return nil, nil, err
	}
	defer p.Release()
	rec := &recorder{program: p}
	cases.Run(rec, one)
	for i := range rec.calls {
		if rec.calls[i].err == nil {
			steps = append(steps, rec.calls[i].step)
		}
	}
	if len(steps) == 0 {
		return nil, nil, fmt.Errorf("cannot measure the case %s: it has no call that works", one.Name)
	}
	return steps, one.Config, nil
}

// byKind groups calls of one kind, in the order in which the kinds come.
func byKind(steps []cases.Step) (groups [][]cases.Step) {
	for _, s := range steps {
		i := slices.IndexFunc(groups, func(g []cases.Step) bool { return g[0].Kind == s.Kind })
		if i < 0 {
			i, groups = len(groups), append(groups, nil)
		}
		groups[i] = append(groups[i], s)
	}
	return groups
}

// bench measures the steps, one after the other, and gives the memory of an instance.
func (w *workbench) bench(ctx context.Context, m *guestModule, s setup, steps []cases.Step, d time.Duration, most int) (benchRow, uint64, error) {
	p, _, err := w.load(ctx, m, s)
	if err != nil {
		return benchRow{}, 0, err
	}
	defer p.Release()
	at := moments[steps[0].Kind]
	row := benchRow{Call: at.name, limit: nodeTime}
	if steps[0].Kind == policy.OnChunk {
		row.limit = nodeChunkTime
	}
	var list []byte
	next := 0
	if err := row.time(func() (err error) {
		list, err = call(p, &steps[next], list[:0])
		next = (next + 1) % len(steps)
		return err
	}, d, most); err != nil {
		return row, 0, fmt.Errorf("cannot measure %s: %w", at.export, err)
	}
	status := p.Status()
	row.Isolation, row.Fuel = status.Isolation, status.Fuel
	return row, status.Memory / uint64(max(1, status.Instances)), nil
}

const (
	maxBatches = 20_000
	batchTime  = 20 * time.Microsecond // of which the clock's own cost is little
	maxBatch   = 1 << 16
)

// time takes the times of batches of calls until d is over, or, if most is positive, after about so many calls.
func (row *benchRow) time(f func() error, d time.Duration, most int) error {
	if err := row.calibrate(f, max(batchTime, d/maxBatches), most); err != nil {
		return err
	}
	times := make([]float64, 0, maxBatches)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for end := time.Now().Add(d); len(times) < maxBatches; {
		took, err := timeBatch(f, row.Batch)
		if err != nil {
			return err
		}
		times = append(times, float64(took)/float64(row.Batch))
		row.Calls += row.Batch
		if (most > 0 && row.Calls >= most) || time.Now().After(end) {
			break
		}
	}
	runtime.ReadMemStats(&after)
	row.Allocs = float64((after.Mallocs-before.Mallocs)*100/uint64(row.Calls)) / 100
	slices.Sort(times)
	row.Median, row.P99 = times[len(times)/2], times[len(times)*99/100]
	return nil
}

// calibrate doubles the batch until it takes long enough, which warms up what it calls, too.
func (row *benchRow) calibrate(f func() error, enough time.Duration, most int) error {
	row.Batch = 1
	for {
		took, err := timeBatch(f, row.Batch)
		if err != nil {
			return err
		}
		if took >= enough || 2*row.Batch > maxBatch || (most > 0 && 2*row.Batch > most) {
			return nil
		}
		row.Batch *= 2
	}
}

func timeBatch(f func() error, n int) (time.Duration, error) {
	began := time.Now()
	for range n {
		if err := f(); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

func (r *benchReport) text() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%s: %d bytes, %s\n", r.File, r.Bytes, r.Digest)
	_, _ = fmt.Fprintf(&b, "  %-9s %-10s %10s %10s %12s %10s\n", "call", "isolation", "median", "p99", "allocations", "fuel")
	for _, row := range r.Rows {
		_, _ = fmt.Fprintf(&b, "  %-9s %-10s %10s %10s %12.4g %10d\n", row.Call, row.Isolation, spanOf(row.Median), spanOf(row.P99), row.Allocs, row.Fuel)
	}
	_, _ = fmt.Fprintf(&b, "  memory    %s for each instance\n", storage(r.Memory))
	_, _ = fmt.Fprintf(&b, "  loads in  %s, compiled before in %s\n", span(r.Load), span(r.Reload))
	for _, row := range r.Rows {
		if row.Median > float64(row.limit) {
			_, _ = fmt.Fprintf(&b, "  too slow: a node stops a %s after %s", row.Call, span(row.limit))
			if row.Call != moments[policy.OnChunk].name {
				b.WriteString(" unless limits.time in the catalog allows more")
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}
