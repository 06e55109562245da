package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/policy/cases"
	"github.com/wedge-proxy/wedge/policy/wasmhost"
)

// policyRunCmd shows one case.
type policyRunCmd struct {
	File   string        `arg:"" help:"The module."`
	Case   string        `required:"" placeholder:"FILE" help:"The case, in JSON."`
	Hex    bool          `help:"Show the bytes of views and actions, too."`
	Memory byteSize      `default:"16MiB" help:"Memory that the policy may use (default ${default})."`
	Time   time.Duration `default:"1s" help:"Time that a call may take (default ${default}; a node's is 2ms, for a chunk 200µs)."`
	Output string        `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is the part of the help text below the flags' summary.
func (policyRunCmd) Help() string {
	return `Loads the policy with the case's config, makes the case's calls, and prints the view of each, as far as the policy asked
for it, and the actions that came back. The actions are a JSON object that a case can expect. A call that fails exits 1,
unless the case wants it to fail; other differences are only shown.

Examples:
  wedge policy run policy.wasm --case cases/long.json
  wedge policy run policy.wasm --case cases/long.json --hex`
}

// Run makes the case's calls and prints them.
func (c *policyRunCmd) Run(stdout io.Writer) error {
	m, err := readModule(c.File, c.Memory)
	if err != nil {
		return err
	}
	one, err := cases.Read(c.Case)
	if err != nil {
		return err
	}
	w, err := newWorkbench()
	if err != nil {
		return err
	}
	defer w.close()
	r, err := w.runCase(context.Background(), m, one, c.Time)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		err = printJSON(stdout, r)
	} else {
		_, err = io.WriteString(stdout, r.text(c.Hex))
	}
	if err != nil {
		return err
	}
	return r.failure()
}

// caseReport is what a case did.
type caseReport struct {
	Case    string          `json:"case"`
	About   string          `json:"about,omitempty"`
	Config  json.RawMessage `json:"config"`
	Refused string          `json:"refused,omitempty"` // why the policy did not load, where the case wants that
	Calls   []callReport    `json:"calls"`
	Logs    []logLine       `json:"logs"`
	Fuel    uint64          `json:"fuel"`    // units that a call took, on average
	Ignored uint64          `json:"ignored"` // actions that were left out
	OK      bool            `json:"ok"`      // it did what it should
}

// callReport is one call of a case.
type callReport struct {
	Call    string          `json:"call"`
	View    json.RawMessage `json:"view"`
	ViewHex string          `json:"view_hex"` // the bytes that the policy got
	Actions json.RawMessage `json:"actions,omitempty"`
	ListHex string          `json:"actions_hex,omitempty"` // after the node has checked them
	Verdict string          `json:"verdict,omitempty"`
	Error   string          `json:"error,omitempty"`
	Differs string          `json:"differs,omitempty"` // from what the case expects: one line for each action
	Time    time.Duration   `json:"time_ns"`

	unwanted bool // it failed, and the case does not want that
}

// runCase loads the policy with the case's config and makes its calls.
func (w *workbench) runCase(ctx context.Context, m *guestModule, c *cases.Case, limit time.Duration) (*caseReport, error) {
	r := &caseReport{Case: c.Name, About: c.About, Config: c.Config, Calls: []callReport{}, Logs: []logLine{}}
	s := relaxed(c.Config)
	s.time, s.chunkTime = limit, limit
	p, _, err := w.load(ctx, m, s)
	if err != nil {
		if c.Refused && refusedConfig(err) {
			r.Refused, r.OK = err.Error(), true
			r.Logs = append(r.Logs, w.takeLogs()...)
			return r, nil
		}
		return nil, err
	}
	defer p.Release()
	if c.Refused {
		return r, nil
	}
	rec := &recorder{program: p}
	verdicts := cases.Run(rec, c)
	r.OK = c.Check(verdicts) == nil
	for i := range rec.calls {
		r.Calls = append(r.Calls, rec.calls[i].report(p.Caps(), &c.Steps[i]))
	}
	status := p.Status()
	r.Fuel, r.Ignored = status.Fuel, status.Ignored
	r.Logs = append(r.Logs, w.takeLogs()...)
	return r, nil
}

// refusedConfig tells whether a policy did not load because of its config, and of nothing else.
func refusedConfig(err error) bool {
	refused, is := errors.AsType[*wasmhost.LoadError](err)
	return is && len(refused.Faults) == 1 && refused.Faults[0].Stage == wasmhost.StageInit
}

// failure is the error of a run.
func (r *caseReport) failure() error {
	for i := range r.Calls {
		if r.Calls[i].unwanted {
			return fmt.Errorf("case %s: call %d, a %s, failed: %s", r.Case, i, r.Calls[i].Call, r.Calls[i].Error)
		}
	}
	if !r.OK && len(r.Calls) == 0 {
		return fmt.Errorf("case %s: the policy has to refuse its config, and took it", r.Case)
	}
	return nil
}

// text is what a person reads.
func (r *caseReport) text(bytes bool) string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "case %s\n", r.Case)
	if r.About != "" {
		_, _ = fmt.Fprintf(&b, "  %s\n", r.About)
	}
	if r.Refused != "" {
		_, _ = fmt.Fprintf(&b, "  as it should: %s\n", r.Refused)
	}
	for i := range r.Calls {
		r.Calls[i].write(&b, i, bytes)
	}
	for _, l := range r.Logs {
		_, _ = fmt.Fprintf(&b, "log %s: %s\n", l.Level, l.Text)
	}
	if r.Ignored > 0 {
		_, _ = fmt.Fprintf(&b, "%s left out: unknown, of a hook that it does not serve, or tags beyond the limits\n", plural(int(r.Ignored), "action"))
	}
	if len(r.Calls) > 0 {
		_, _ = fmt.Fprintf(&b, "%d units of fuel per call\n", r.Fuel)
	}
	return b.String()
}

func (c *callReport) write(b *strings.Builder, i int, bytes bool) {
	_, _ = fmt.Fprintf(b, "\n%d %s, %s\n", i, c.Call, span(c.Time))
	_, _ = fmt.Fprintf(b, "  view     %s\n", indent(c.View))
	if bytes {
		b.WriteString(dump(c.ViewHex))
	}
	if c.Error != "" {
		_, _ = fmt.Fprintf(b, "  failed   %s\n", c.Error)
	} else {
		_, _ = fmt.Fprintf(b, "  actions  %s\n", c.Actions)
		if bytes {
			b.WriteString(dump(c.ListHex))
		}
		_, _ = fmt.Fprintf(b, "  verdict  %s\n", c.Verdict)
	}
	if c.Differs != "" {
		_, _ = fmt.Fprintf(b, "  the case expects something else:\n%s", c.Differs)
	}
}

func indent(object []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, object, "  ", "  ") != nil {
		return string(object)
	}
	return b.String()
}

func dump(digits string) string {
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) == 0 {
		return ""
	}
	return "    " + strings.ReplaceAll(strings.TrimSuffix(hex.Dump(raw), "\n"), "\n", "\n    ") + "\n"
}

// recorder notes the calls of a program.
type recorder struct {
	program policy.Program
	calls   []recorded
}

// recorded is a call as it was made, with the state that came back in its view.
type recorded struct {
	step cases.Step
	got  []byte
	err  error
	took time.Duration
}

var _ policy.Program = (*recorder)(nil)

// Caps implements policy.Program.
func (r *recorder) Caps() abi.Caps { return r.program.Caps() }

// Request implements policy.Program.
func (r *recorder) Request(in *abi.Request, dst []byte) ([]byte, error) {
	return r.note(cases.Step{Kind: policy.OnRequest, Request: *in}, dst)
}

// Response implements policy.Program.
func (r *recorder) Response(in *abi.Response, dst []byte) ([]byte, error) {
	return r.note(cases.Step{Kind: policy.OnResponse, Response: *in}, dst)
}

// Chunk implements policy.Program.
func (r *recorder) Chunk(in *abi.Chunk, dst []byte) ([]byte, error) {
	return r.note(cases.Step{Kind: policy.OnChunk, Chunk: *in}, dst)
}

// Done implements policy.Program.
func (r *recorder) Done(in *abi.Done, dst []byte) ([]byte, error) {
	return r.note(cases.Step{Kind: policy.OnDone, Done: *in}, dst)
}

func (r *recorder) note(step cases.Step, dst []byte) ([]byte, error) {
	began := time.Now()
	got, err := call(r.program, &step, dst)
	r.calls = append(r.calls, recorded{step, got, err, time.Since(began)})
	return got, err
}

// call makes the call of a step.
func call(p policy.Program, s *cases.Step, dst []byte) ([]byte, error) {
	switch s.Kind {
	case policy.OnRequest:
		return p.Request(&s.Request, dst)
	case policy.OnResponse:
		return p.Response(&s.Response, dst)
	case policy.OnChunk:
		return p.Chunk(&s.Chunk, dst)
	default:
		return p.Done(&s.Done, dst)
	}
}

// report compares a call with the step of the case.
func (r *recorded) report(caps abi.Caps, want *cases.Step) callReport {
	view := jsonView(&r.step, caps)
	c := callReport{Call: moments[r.step.Kind].name, View: view, ViewHex: hex.EncodeToString(viewBytes(&r.step, caps)), Time: r.took}
	if r.err != nil {
		c.Error = r.err.Error()
		c.unwanted = !want.Fails
		return c
	}
	c.Actions, c.Verdict = json.RawMessage(cases.Format(r.got)), policy.Verdict(r.got)
	c.ListHex = hex.EncodeToString(r.got)
	if want.Fails {
		c.Differs = "    the call should fail\n"
	} else if !cases.Same(want.Want, r.got) {
		c.Differs = compare(want.Want, r.got)
	}
	return c
}

// jsonView is the view of a call as docs/ABI.md has it in JSON.
func jsonView(s *cases.Step, caps abi.Caps) []byte {
	switch s.Kind {
	case policy.OnRequest:
		return s.Request.AppendJSON(nil, caps)
	case policy.OnResponse:
		return s.Response.AppendJSON(nil)
	case policy.OnChunk:
		return s.Chunk.AppendJSON(nil)
	default:
		return s.Done.AppendJSON(nil)
	}
}

// viewBytes is the view of a call as the guest gets it.
func viewBytes(s *cases.Step, caps abi.Caps) []byte {
	if caps&abi.CapJSON != 0 {
		return jsonView(s, caps)
	}
	var view []byte
	switch s.Kind {
	case policy.OnRequest:
		view = make([]byte, s.Request.Size(caps))
		s.Request.Put(view, caps)
	case policy.OnResponse:
		view = make([]byte, s.Response.Size())
		s.Response.Put(view)
	case policy.OnChunk:
		view = make([]byte, s.Chunk.Size())
		s.Chunk.Put(view)
	default:
		view = make([]byte, s.Done.Size())
		s.Done.Put(view)
	}
	return view
}
