package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/policy/cases"
	"github.com/wedge-proxy/wedge/policy/wasmhost"
)

// policyCheckCmd examines a module.
type policyCheckCmd struct {
	File   string        `arg:"" help:"The module."`
	Config string        `placeholder:"JSON" help:"The policy's config, as an object or the name of a file (default: none)."`
	Memory byteSize      `default:"16MiB" help:"Memory that it may use, as limits.memory in the catalog (default ${default})."`
	Time   time.Duration `default:"2ms" help:"Time that a call may take, as limits.time in the catalog (default ${default})."`
	Output string        `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is the part of the help text below the flags' summary.
func (policyCheckCmd) Help() string {
	return `Loads a module as a node does, calls each of its hooks once, and prints what it is. If a node would not load it, or a
call goes wrong, prints every reason and exits 1. What a policy needs of its config it may ask of --config.

Examples:
  wedge policy check policy.wasm
  wedge policy check policy.wasm --config '{"fr":"eu"}'
  wedge policy check policy.wasm --memory 32MiB -o json`
}

// Run prints what the module is. One that a node would refuse is an error.
func (c *policyCheckCmd) Run(stdout io.Writer) error {
	config, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	m, err := readModule(c.File, c.Memory)
	if err != nil {
		return err
	}
	r, err := examine(context.Background(), m, config, c.Time)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return errors.Join(printJSON(stdout, r), r.refusal(io.Discard))
	}
	if len(r.Faults) > 0 {
		return r.refusal(stdout)
	}
	_, err = io.WriteString(stdout, r.text())
	return err
}

// stageCall is the stage of a fault in a trial call, after those of wasmhost.
const stageCall = "call"

// moduleReport is what is found out about a module.
type moduleReport struct {
	OK        bool             `json:"ok"`
	File      string           `json:"file"`
	Digest    string           `json:"digest"`
	Bytes     int              `json:"bytes"`
	Faults    []wasmhost.Fault `json:"faults"`
	Hooks     []string         `json:"hooks"` // what it may be bound to
	Caps      abi.Caps         `json:"caps"`
	Sees      []string         `json:"sees"` // what it asks for, and how
	Exports   []string         `json:"exports"`
	Imports   []string         `json:"imports"`
	Functions int              `json:"functions"`
	Memory    uint64           `json:"memory_bytes"` // of an instance and its share of the snapshot
	Load      time.Duration    `json:"load_ns"`      // on a node that has not compiled it yet
	Reload    time.Duration    `json:"reload_ns"`    // on one that has
	Clean     string           `json:"isolation_clean"`
}

// examine loads a module and calls each of its hooks. The error is the machine's, faults are the module's.
func examine(ctx context.Context, m *guestModule, config []byte, limit time.Duration) (*moduleReport, error) {
	w, err := newWorkbench()
	if err != nil {
		return nil, err
	}
	defer w.close()
	r := &moduleReport{File: m.file, Digest: m.digest(), Bytes: len(m.code), Functions: m.seen.Functions,
		Faults: []wasmhost.Fault{}, Exports: []string{}, Imports: []string{}, Hooks: []string{}, Sees: []string{}}
	for _, e := range m.seen.Exports {
		r.Exports = append(r.Exports, e.Name)
	}
	for _, i := range m.seen.Imports {
		r.Imports = append(r.Imports, i.Module+"."+i.Name)
	}
	s := setup{config: config, time: limit}
	if r.Load, err = w.timeLoad(ctx, m, s); err == nil {
		r.Reload, err = w.timeLoad(ctx, m, s)
	}
	if err == nil {
		err = r.look(ctx, w, m, s)
	}
	if refused, is := errors.AsType[*wasmhost.LoadError](err); is {
		r.Faults, err = refused.Faults, nil
	}
	r.OK = err == nil && len(r.Faults) == 0
	return r, err
}

func (w *workbench) timeLoad(ctx context.Context, m *guestModule, s setup) (time.Duration, error) {
	began := time.Now()
	p, _, err := w.load(ctx, m, s)
	took := time.Since(began)
	if err == nil {
		p.Release()
	}
	return took, err
}

// look calls a program, and asks it what it is.
func (r *moduleReport) look(ctx context.Context, w *workbench, m *guestModule, s setup) error {
	s.isolation = wasmhost.Clean
	p, hooks, err := w.load(ctx, m, s)
	if err != nil {
		return err
	}
	defer p.Release()
	r.Hooks, r.Caps, r.Sees = strings.Split(hooks.String(), ","), p.Caps(), sees(p.Caps())
	r.Clean = "as asked"
	if len(m.seen.Residue) > 0 {
		r.Clean = "as fresh: " + m.seen.Residue[0]
	}
	for _, step := range samples(hooks) {
		if err := tryCall(p, &step); err != nil {
			r.Faults = append(r.Faults, wasmhost.Fault{Stage: stageCall, Text: fmt.Sprintf("%s: %v", moments[step.Kind].export, err)})
		}
	}
	if status := p.Status(); status.Instances > 0 {
		r.Memory = status.Memory / uint64(status.Instances)
	}
	return nil
}

// tryCall makes a call up to three times, because a busy machine may take the guest's time. What a guest refuses is its
// own decision.
func tryCall(p policy.Program, step *cases.Step) (err error) {
	const attempts = 3
	for range attempts {
		if _, err = call(p, step, nil); err == nil || errors.Is(err, policy.ErrRefused) {
			return nil
		}
		if !errors.Is(err, policy.ErrDeadline) {
			return err
		}
	}
	return err
}

// sees puts the capabilities into words.
func sees(caps abi.Caps) []string {
	words := []string{}
	for _, c := range []struct {
		bit  abi.Caps
		word string
	}{
		{abi.CapHeaders, "headers"}, {abi.CapTargets, "targets"}, {abi.CapSystem, "system text"}, {abi.CapUser, "last user text"},
		{abi.CapBody, "body"}, {abi.CapJSON, "views as JSON"}, {abi.CapState, "its own state"},
	} {
		if caps&c.bit != 0 {
			words = append(words, c.word)
		}
	}
	return words
}

// unconfigured tells whether all that is wrong is that the module wants a config.
func (r *moduleReport) unconfigured() bool {
	return len(r.Faults) == 1 && r.Faults[0].Stage == wasmhost.StageInit
}

// refusal prints the faults, if there are any, and makes an error of them.
func (r *moduleReport) refusal(w io.Writer) error {
	for _, f := range r.Faults {
		if _, err := fmt.Fprintf(w, "%s: %s: %s\n", r.File, f.Stage, f.Text); err != nil {
			return err
		}
	}
	switch {
	case len(r.Faults) == 0:
		return nil
	case r.unconfigured():
		return fmt.Errorf("cannot load %s: it refuses its config; give it another one with --config", r.File)
	}
	return fmt.Errorf("%s is not a policy that works: correct its %s", r.File, plural(len(r.Faults), "fault"))
}

func (r *moduleReport) text() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%s: ok: %d bytes, %s\n", r.File, r.Bytes, r.Digest)
	for _, row := range [][2]string{
		{"hooks", strings.Join(r.Hooks, ", ")},
		{"sees", list(r.Sees, "what every view has")},
		{"exports", list(r.Exports, "nothing")},
		{"imports", list(r.Imports, "nothing")},
		{"functions", fmt.Sprint(r.Functions)},
		{"memory", storage(r.Memory) + " for each instance"},
		{"loads in", span(r.Load) + ", compiled before in " + span(r.Reload)},
		{"clean", "runs " + r.Clean},
	} {
		_, _ = fmt.Fprintf(&b, "  %-9s  %s\n", row[0], row[1])
	}
	return b.String()
}

func list(words []string, none string) string {
	if len(words) == 0 {
		return none
	}
	return strings.Join(words, ", ")
}

// samples are views such as a node sends, one for each call that the hooks bind.
func samples(hooks policy.Hook) (steps []cases.Step) {
	all := [...]cases.Step{
		policy.OnRequest: {Kind: policy.OnRequest, Request: sampleRequest()},
		policy.OnResponse: {Kind: policy.OnResponse, Response: abi.Response{ID: 1, Status: 200, Input: 42, Output: 8,
			Text: []byte(sampleText), Finish: []byte("stop")}},
		policy.OnChunk: {Kind: policy.OnChunk, Chunk: abi.Chunk{Flags: abi.ChunkFirst, ID: 1, Text: []byte(" Wedge")}},
		policy.OnDone: {Kind: policy.OnDone, Done: abi.Done{ID: 1, Status: 200, TTFT: 180_000, Duration: 900_000, Input: 42, Output: 8,
			CostNanoUSD: 26_500, Model: []byte("support-bot"), Version: []byte("1.0.0"), Target: []byte("us")}},
	}
	for kind, at := range moments {
		if hooks&at.hooks != 0 {
			steps = append(steps, all[kind])
		}
	}
	return steps
}

const sampleText = "Wedge puts a gateway on every edge node."

func sampleRequest() abi.Request {
	target := func(name, region string) abi.Target {
		return abi.Target{Name: []byte(name), Region: []byte(region), Flags: abi.TargetHealthy, TTFT: 180_000, PerToken: 9_000,
			PriceIn: 250_000, PriceOut: 2_000_000}
	}
	return abi.Request{
		Flags: abi.FlagStream, ID: 1, UnixMS: 1_767_225_600_000, Random: 0x9e3779b97f4a7c15, PromptTokens: 42, Messages: 2,
		Temperature: float32(math.NaN()),
		Model:       []byte("support-bot"), Version: []byte("1.0.0"), Tenant: []byte("acme"), User: []byte("ann"),
		Endpoint: []byte("/v1/chat/completions"), System: []byte("You help customers."), LastUser: []byte("Why do edges matter?"),
		Headers: []abi.Pair{{Name: []byte("accept-language"), Value: []byte("fr-CH, fr;q=0.9, en;q=0.8")}},
		Targets: []abi.Target{target("us", "us-east"), target("eu", "eu-west"), target("large", "us-east")},
		Body: []byte(`{"model":"support-bot","stream":true,"messages":[{"role":"system","content":"You help customers."},` +
			`{"role":"user","content":"Why do edges matter?"}]}`),
	}
}
