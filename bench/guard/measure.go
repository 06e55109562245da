package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// measure compiles each package's tests once and runs the benchmarks round after round, so that those that are
// compared are measured in the same minutes. A benchmark that does not exist is an error.
func measure(ctx context.Context, names []string, rounds int, benchtime string) (map[string]figures, error) {
	dir, err := os.MkdirTemp("", "wedge-guard-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a scratch folder: %w", err)
	}
	defer os.RemoveAll(dir)
	var suites []suite
	for _, name := range names {
		pkg, benchmark, _ := split(name)
		i := slices.IndexFunc(suites, func(s suite) bool { return s.pkg == pkg })
		if i < 0 {
			i = len(suites)
			suites = append(suites, suite{pkg: pkg, binary: filepath.Join(dir, fmt.Sprintf("%d.test", i))})
		}
		suites[i].add(benchmark)
	}
	for _, s := range suites {
		if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.binary, "./"+s.pkg).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("cannot compile the benchmarks of %s: %w: %s", s.pkg, err, out)
		}
	}
	samples := map[string][]figures{}
	for range rounds {
		for _, s := range suites {
			if err := s.run(ctx, benchtime, samples); err != nil {
				return nil, err
			}
		}
		slices.Reverse(suites)
	}
	return medians(names, samples)
}

// suite is a package's compiled tests and the top-level benchmarks that are needed of it.
type suite struct {
	pkg, binary string
	benchmarks  []string
}

func (s *suite) add(benchmark string) {
	top, _, _ := strings.Cut(benchmark, "/")
	if !slices.Contains(s.benchmarks, top) {
		s.benchmarks = append(s.benchmarks, top)
	}
}

func (s suite) run(ctx context.Context, benchtime string, samples map[string][]figures) error {
	cmd := exec.CommandContext(ctx, s.binary, "-test.run=^$", "-test.bench=^("+strings.Join(s.benchmarks, "|")+")$",
		"-test.benchmem", "-test.benchtime="+benchtime, "-test.cpu=1")
	cmd.Dir = s.pkg
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run the benchmarks of %s: %w: %s", s.pkg, err, out)
	}
	collect(s.pkg, string(out), samples)
	return nil
}

// row of the output of go test -bench -benchmem; other metrics may stand between the two.
var benchRow = regexp.MustCompile(`(?m)^(Benchmark\S+)\s+\d+\s+([0-9.e+]+) ns/op.*?\s(\d+) allocs/op`)

func collect(pkg, out string, samples map[string][]figures) {
	for _, m := range benchRow.FindAllStringSubmatch(out, -1) {
		ns, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			continue
		}
		allocs, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			continue
		}
		name := pkg + "." + m[1]
		samples[name] = append(samples[name], figures{ns: ns, allocs: allocs})
	}
}

func medians(names []string, samples map[string][]figures) (map[string]figures, error) {
	all := make(map[string]figures, len(names))
	var missing []string
	for _, name := range names {
		s := samples[name]
		if len(s) == 0 {
			missing = append(missing, name)
			continue
		}
		ns, allocs := make([]float64, len(s)), make([]float64, len(s))
		for i, f := range s {
			ns[i], allocs[i] = f.ns, f.allocs
		}
		slices.Sort(ns)
		slices.Sort(allocs)
		all[name] = figures{ns: ns[len(ns)/2], allocs: allocs[len(allocs)/2]}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("cannot measure %s: no such benchmark; remove its row or restore it", strings.Join(missing, ", "))
	}
	return all, nil
}
