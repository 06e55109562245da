// Command guard runs the function benchmarks that bench/guard.txt names and fails if one allocates more, or is
// slower beside another, than its row allows; it knows no absolute times.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "guard:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("guard", flag.ContinueOnError)
	file := f.String("file", "bench/guard.txt", "rows to hold")
	rounds := f.Int("rounds", 5, "runs of every benchmark, interleaved; medians count")
	benchtime := f.String("benchtime", "50ms", "length of one run")
	update := f.Bool("update", false, "rewrite the rows with what was measured")
	if err := f.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(*file)
	if err != nil {
		return fmt.Errorf("cannot read the rows: %w: run this from the repository's root", err)
	}
	lines, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", *file, err)
	}
	results, err := measure(ctx, names(lines), *rounds, *benchtime)
	if err != nil {
		return err
	}
	if *update {
		return rewrite(*file, lines, results)
	}
	return check(lines, results, out)
}

// check prints every row's figure and counts the rows that got worse.
func check(lines []line, results map[string]figures, out io.Writer) error {
	worse := 0
	for _, l := range lines {
		if l.names == nil {
			continue
		}
		v := l.judge(results)
		if v.worse {
			worse++
		}
		fmt.Fprintln(out, v.text)
	}
	if worse > 0 {
		return fmt.Errorf("%d rows got worse: make them good again, or change bench/guard.txt and say why", worse)
	}
	return nil
}

func rewrite(file string, lines []line, results map[string]figures) error {
	var b []byte
	for _, l := range lines {
		b = append(append(b, l.updated(results)...), '\n')
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return fmt.Errorf("cannot rewrite the rows: %w", err)
	}
	return nil
}
