// Command compare runs the node, bare floors and installed peers side by side on one machine and prints the
// ratios that the targets are stated in; it keeps no figure from an earlier run.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wedge-proxy/wedge/bench/internal/drive"
)

var perSecond = metric{"rate", "/s", func(r *drive.Report) float64 { return r.RPS }}

// document is the whole outcome.
type document struct {
	Command  string    `json:"command"`
	Versions []string  `json:"versions"`
	Rows     []row     `json:"rows"`
	Results  []*result `json:"results"`
}

type flags struct {
	sets   []string
	rounds int
	runFor time.Duration
	out    string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// names of all sets, in the order they run.
func names() []string {
	all := make([]string, 0, len(loads)+3)
	for _, s := range loads {
		all = append(all, s.name)
	}
	return append(all, "zipf", "footprint", "start")
}

func parse(args []string) (*flags, error) {
	o := &flags{}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	chosen := f.String("set", strings.Join(names(), ","), "sets to run")
	f.IntVar(&o.rounds, "rounds", 3, "rounds of every set, alternately forward and backward")
	f.DurationVar(&o.runFor, "d", 3*time.Second, "time of one run")
	f.StringVar(&o.out, "out", "", "also write `NAME`.md and NAME.json")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	o.sets = strings.Split(*chosen, ",")
	for _, name := range o.sets {
		if !slices.Contains(names(), name) {
			return nil, fmt.Errorf("cannot run set %q: choose from %s", name, strings.Join(names(), ", "))
		}
	}
	if o.rounds < 1 || o.runFor <= 0 {
		return nil, fmt.Errorf("cannot run %d rounds of %v: both must be positive", o.rounds, o.runFor)
	}
	return o, nil
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "wedge-compare-")
	if err != nil {
		return fmt.Errorf("cannot make a scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l := &lab{dir: dir}
	defer l.stopAll()
	if err := l.build(ctx); err != nil {
		return err
	}
	doc := &document{Command: "go run ./bench/compare " + strings.Join(args, " "), Versions: versions(l)}
	if err := measure(ctx, l, o, doc); err != nil {
		return err
	}
	return publish(doc, o.out)
}

func measure(ctx context.Context, l *lab, o *flags, doc *document) error {
	for _, s := range loads {
		if !slices.Contains(o.sets, s.name) {
			continue
		}
		s.runFor = o.runFor
		res, err := l.run(ctx, s, o.rounds, os.Stderr)
		if err != nil {
			return err
		}
		doc.Results = append(doc.Results, res)
		doc.Rows = append(doc.Rows, verdict(s, res)...)
	}
	for _, once := range []struct {
		name    string
		figures func(context.Context) ([]row, error)
	}{{"zipf", l.hitRate}, {"footprint", l.footprint}, {"start", l.coldStart}} {
		if !slices.Contains(o.sets, once.name) {
			continue
		}
		rows, err := once.figures(ctx)
		if err != nil {
			return err
		}
		doc.Rows = append(doc.Rows, rows...)
	}
	return nil
}

func publish(doc *document, out string) error {
	if err := writeText(os.Stdout, doc.Rows); err != nil {
		return fmt.Errorf("cannot write the table: %w", err)
	}
	if out == "" {
		return nil
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	return errors.Join(os.WriteFile(out+".json", text, 0o644), os.WriteFile(out+".md", []byte(markdown(doc)), 0o644))
}

// versions of everything that takes part, as it tells them itself.
func versions(l *lab) []string {
	all := []string{fmt.Sprintf("%s, %s/%s, %d cores", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
	for _, argv := range [][]string{{l.bin("wedge"), "version"}, {"nginx", "-v"}, {"haproxy", "-v"}, {"uname", "-sr"}} {
		out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		if err != nil {
			line = "not installed"
		}
		all = append(all, filepath.Base(argv[0])+": "+line)
	}
	return append(all, fmt.Sprintf("request: chat completion of %d bytes", len(drive.ChatBody("bench-pass", false))))
}
