package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/policy/cases"
)

// policyTestCmd runs a folder of cases.
type policyTestCmd struct {
	File   string        `arg:"" help:"The module."`
	Cases  string        `required:"" placeholder:"DIR" help:"The folder of the cases, each a *.json."`
	Memory byteSize      `default:"16MiB" help:"Memory that the policy may use (default ${default})."`
	Time   time.Duration `default:"1s" help:"Time that a call may take (default ${default}; a node's is 2ms, for a chunk 200µs)."`
	Output string        `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is the part of the help text below the flags' summary.
func (policyTestCmd) Help() string {
	return `Loads the policy anew for every case in the folder, with the case's config, and compares the actions of each call with
those that the case expects: a line with - is expected and did not come, one with + came and is not expected. Exits 1 if
a case fails.

Examples:
  wedge policy test policy.wasm --cases cases
  wedge policy test policy.wasm --cases cases -o json`
}

// testReport is what became of the cases.
type testReport struct {
	OK     bool         `json:"ok"`
	Passed int          `json:"passed"`
	Cases  []caseResult `json:"cases"`
}

type caseResult struct {
	Case    string `json:"case"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

// Run runs every case. One that fails is an error.
func (c *policyTestCmd) Run(stdout io.Writer) error {
	m, err := readModule(c.File, c.Memory)
	if err != nil {
		return err
	}
	all, err := cases.ReadDir(c.Cases)
	if err != nil {
		return err
	}
	w, err := newWorkbench()
	if err != nil {
		return err
	}
	defer w.close()
	var r testReport
	for _, one := range all {
		result := w.testCase(context.Background(), m, one, c.Time)
		if result.OK {
			r.Passed++
		}
		r.Cases = append(r.Cases, result)
	}
	r.OK = r.Passed == len(all)
	if err := r.print(stdout, c.Output); err != nil {
		return err
	}
	if !r.OK {
		return fmt.Errorf("%s fails %d of %s", c.File, len(all)-r.Passed, plural(len(all), "case"))
	}
	return nil
}

// testCase puts what is wrong with a case into words.
func (w *workbench) testCase(ctx context.Context, m *guestModule, c *cases.Case, limit time.Duration) caseResult {
	r, err := w.runCase(ctx, m, c, limit)
	if err == nil && r.OK {
		return caseResult{Case: c.Name, OK: true}
	}
	w.takeLogs() // they belong to this case
	if err == nil {
		err = r.failure()
	}
	if err != nil {
		return caseResult{Case: c.Name, Problem: "    " + err.Error() + "\n"}
	}
	var b strings.Builder
	for i := range r.Calls {
		if d := r.Calls[i].Differs; d != "" {
			_, _ = fmt.Fprintf(&b, "  call %d, a %s\n%s", i, r.Calls[i].Call, d)
		}
	}
	return caseResult{Case: c.Name, Problem: b.String()}
}

func (r *testReport) print(w io.Writer, format string) error {
	if format == "json" {
		return printJSON(w, r)
	}
	var b strings.Builder
	for _, c := range r.Cases {
		word := "ok  "
		if !c.OK {
			word = "FAIL"
		}
		_, _ = fmt.Fprintf(&b, "%s  %s\n%s", word, c.Case, c.Problem)
	}
	_, _ = fmt.Fprintf(&b, "%d of %s passed\n", r.Passed, plural(len(r.Cases), "case"))
	_, err := io.WriteString(w, b.String())
	return err
}

// compare shows the actions in which two lists differ, a line for each.
func compare(want, got []byte) string {
	wanted, came := members(want), members(got)
	names := slices.Sorted(maps.Keys(wanted))
	for name := range came {
		if _, both := wanted[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		w, g := wanted[name], came[name]
		if bytes.Equal(w, g) {
			continue
		}
		if w != nil {
			_, _ = fmt.Fprintf(&b, "    - %q: %s\n", name, w)
		}
		if g != nil {
			_, _ = fmt.Fprintf(&b, "    + %q: %s\n", name, g)
		}
	}
	if b.Len() == 0 { // a difference that JSON does not show
		_, _ = fmt.Fprintf(&b, "    - %x\n    + %x\n", want, got)
	}
	return b.String()
}

// members are the actions of a list by their names in JSON.
func members(list []byte) (m map[string]json.RawMessage) {
	if json.Unmarshal([]byte(cases.Format(list)), &m) != nil {
		m = map[string]json.RawMessage{}
	}
	return m
}
