package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build events
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// test names a test; an empty name means the package itself.
type test struct{ pkg, name string }

func (t test) String() string { return strings.TrimSuffix(t.pkg+" "+t.name, " ") }

// outcome orders what can become of a test, so that of several runs the greatest counts: what one run skips and
// another passes has passed, and what fails once has failed.
type outcome int

const (
	skipped outcome = iota + 1
	passed
	failed
)

// summary is what has been read so far.
type summary struct {
	out      io.Writer
	outcomes map[test]outcome
	output   map[test][]string // of tests that are not over
	begun    map[string]int    // tests of a package in the run that is under way
	failures []string          // the beginning of what each failed test wrote
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, outcomes: map[test]outcome{}, output: map[test][]string{}, begun: map[string]int{}}
}

// readAll takes in every line; what is no event, such as a message of the go command, is passed on.
func (s *summary) readAll(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &e) != nil || e.Action == "":
			s.print(strings.TrimSuffix(string(line), "\n"), "\n")
		default:
			s.take(e)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) take(e event) {
	t := test{pkg: e.Package, name: e.Test}
	switch e.Action {
	case "output":
		s.output[t] = append(s.output[t], e.Output)
	case "build-output":
		s.print(e.Output)
	case "pass":
		s.end(t, passed, e.Elapsed)
	case "fail":
		s.end(t, failed, e.Elapsed)
	case "skip":
		s.end(t, skipped, e.Elapsed)
	}
}

// end notes what became of a test or a package, and prints what it wrote if it failed.
func (s *summary) end(t test, o outcome, seconds float64) {
	if t.name == "" {
		s.endPackage(t, o, seconds)
	} else {
		s.begun[t.pkg]++
		s.outcomes[t] = max(s.outcomes[t], o)
		if o == failed {
			s.print(s.output[t]...)
			s.keepFailure(t)
		}
	}
	// What a test wrote is kept to tell why it was skipped, and forgotten otherwise.
	if o != skipped {
		delete(s.output, t)
	}
}

// failureLines is how much of a failure is told again at the end: a test says first what it misses, and a log follows.
const failureLines = 30

func (s *summary) keepFailure(t test) {
	lines := slices.DeleteFunc(slices.Clone(s.output[t]), func(line string) bool { return strings.HasPrefix(line, "=== ") })
	s.failures = append(s.failures, fmt.Sprintf("FAIL  %v\n%s", t, strings.Join(lines[:min(len(lines), failureLines)], "")))
}

// printFailures tells all failures once more, side by side.
func (s *summary) printFailures() {
	if len(s.failures) > 0 {
		s.print("\nWhat failed:\n")
		s.print(s.failures...)
		s.print("\n")
	}
}

func (s *summary) endPackage(t test, o outcome, seconds float64) {
	tests := s.begun[t.pkg]
	delete(s.begun, t.pkg)
	switch {
	case o == failed:
		s.print(s.output[t]...)
		s.print(fmt.Sprintf("FAIL  %s\n", t.pkg))
		if !s.hasFailure(t.pkg) { // it did not build, or died outside a test
			s.outcomes[t] = failed
		}
	case tests > 0:
		s.print(fmt.Sprintf("ok    %s  %d tests, %.1fs\n", t.pkg, tests, seconds))
	}
}

func (s *summary) hasFailure(pkg string) bool {
	for t, o := range s.outcomes {
		if t.pkg == pkg && o == failed {
			return true
		}
	}
	return false
}

func (s *summary) counts() (p, f, sk int) {
	for _, o := range s.outcomes {
		switch o {
		case passed:
			p++
		case failed:
			f++
		case skipped:
			sk++
		}
	}
	return p, f, sk
}

// printSkips names the tests that no run carried out, and why.
func (s *summary) printSkips(strict bool) {
	verdict := "skip "
	if strict {
		verdict = "FAIL, for nothing may be skipped here: "
	}
	byName := func(a, b test) int { return strings.Compare(a.String(), b.String()) }
	for _, t := range slices.SortedFunc(maps.Keys(s.outcomes), byName) {
		if s.outcomes[t] == skipped {
			s.print(verdict, t.String(), "\n")
			s.print(s.output[t]...)
		}
	}
}

func (s *summary) print(texts ...string) {
	for _, text := range texts {
		_, _ = io.WriteString(s.out, text)
	}
}
