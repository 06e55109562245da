package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// slack is how far above what was measured -update puts the limit of a ratio, and how far below its limit a
// ratio must lie to be called tightenable: ratios swing by a quarter between quiet and busy machines.
const slack = 1.3

// line is one line of the file: a row, or text that stays as it is.
type line struct {
	text  string
	names []string // benchmarks as package.Benchmark: one for allocations, two for a ratio, none for text
	limit float64  // allocations for each operation, or the largest ratio
}

// parse reads the rows "PACKAGE BENCHMARK allocs=N" and "ratio PACKAGE.BENCHMARK / PACKAGE.BENCHMARK <= R" and
// reports every line that is neither, nor empty, nor a comment.
func parse(text string) ([]line, error) {
	var lines []line
	var problems []error
	for i, s := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		l, err := parseLine(s)
		if err != nil {
			problems = append(problems, fmt.Errorf("line %d: %w", i+1, err))
		}
		lines = append(lines, l)
	}
	return lines, errors.Join(problems...)
}

func parseLine(s string) (line, error) {
	w := strings.Fields(s)
	l := line{text: s}
	var err error
	switch {
	case len(w) == 0 || strings.HasPrefix(w[0], "#"):
		return l, nil
	case len(w) == 3 && strings.HasPrefix(w[1], "Benchmark") && strings.HasPrefix(w[2], "allocs="):
		l.names = []string{w[0] + "." + w[1]}
		l.limit, err = strconv.ParseFloat(strings.TrimPrefix(w[2], "allocs="), 64)
	case len(w) == 6 && w[0] == "ratio" && w[2] == "/" && w[4] == "<=":
		l.names = []string{w[1], w[3]}
		l.limit, err = strconv.ParseFloat(w[5], 64)
	default:
		err = errors.New("no row")
	}
	for _, name := range l.names {
		if _, _, ok := split(name); !ok {
			err = fmt.Errorf("%q is not PACKAGE.BenchmarkName", name)
		}
	}
	if err != nil {
		return line{text: s}, fmt.Errorf("cannot read %q: %w: write 'wire BenchmarkBucket allocs=0' or "+
			"'ratio proxy.BenchmarkHit / proxy.BenchmarkFloorMap <= 1.6'", s, err)
	}
	return l, nil
}

// split takes package.Benchmark apart at the dot before Benchmark.
func split(name string) (pkg, benchmark string, ok bool) {
	i := strings.LastIndex(name, ".Benchmark")
	if i < 1 {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

// names of all benchmarks that the lines need, each once.
func names(lines []line) []string {
	var all []string
	seen := map[string]bool{}
	for _, l := range lines {
		for _, name := range l.names {
			if !seen[name] {
				seen[name] = true
				all = append(all, name)
			}
		}
	}
	return all
}

// figures of one benchmark, medians over its rounds.
type figures struct{ ns, allocs float64 }

// value is what a row's limit is on.
func (l line) value(results map[string]figures) float64 {
	if len(l.names) == 1 {
		return results[l.names[0]].allocs
	}
	return results[l.names[0]].ns / results[l.names[1]].ns
}

type judgement struct {
	text  string
	worse bool
}

func (l line) judge(results map[string]figures) judgement {
	v := l.value(results)
	loose := l.limit > v
	subject, unit, got := l.names[0], "allocations", strconv.FormatFloat(v, 'g', -1, 64)
	if len(l.names) == 2 {
		loose = l.limit > v*slack
		subject, unit, got = l.names[0]+" / "+l.names[1], "times", fmt.Sprintf("%.2f", v)
	}
	j := judgement{worse: v > l.limit || math.IsNaN(v)}
	mark, hint := "ok   ", ""
	switch {
	case j.worse:
		mark = "WORSE"
	case loose:
		hint = "; could be tightened"
	}
	j.text = fmt.Sprintf("%s %s: %s %s, allowed %g%s", mark, subject, got, unit, l.limit, hint)
	return j
}

// updated is the line as -update writes it.
func (l line) updated(results map[string]figures) string {
	switch len(l.names) {
	case 1:
		return fmt.Sprintf("%s allocs=%g", strings.Join(strings.Fields(l.text)[:2], " "), l.value(results))
	case 2:
		return fmt.Sprintf("ratio %s / %s <= %.2f", l.names[0], l.names[1], l.value(results)*slack)
	}
	return l.text
}
