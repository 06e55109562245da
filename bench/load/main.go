// Command load drives one subject with chat requests and prints what came back and what it cost; it compares
// nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wedge-proxy/wedge/bench/internal/drive"
)

// settings are the flags that do not go into drive.Options as they are.
type settings struct {
	opts    drive.Options
	model   string
	body    string
	pids    string
	bodies  uint64
	first   uint64
	unique  bool
	zipf    float64
	keys    uint64
	seed    uint64
	hold    int
	warm    uint64
	asJSON  bool
	outFile string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	trace, err := s.prepare()
	if err != nil {
		return err
	}
	if s.warm > 0 {
		warm := s.opts
		warm.Rate, warm.Duration, warm.Requests = 0, 0, s.warm
		if _, err := drive.Run(ctx, warm); err != nil {
			return err
		}
	}
	report, err := drive.Run(ctx, s.opts)
	if err != nil {
		return err
	}
	return s.print(report, trace)
}

func parse(args []string) (*settings, error) {
	s := &settings{}
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: go run ./bench/load [flags] URL\n\n  go run ./bench/load -c 64 -d 3s -model demo -key wk_… http://127.0.0.1:8080\n\n")
		f.PrintDefaults()
	}
	f.IntVar(&s.opts.Conns, "c", 64, "connections")
	f.Uint64Var(&s.opts.Requests, "n", 0, "stop after so many requests")
	f.DurationVar(&s.opts.Duration, "d", 0, "stop after this time")
	f.Float64Var(&s.opts.Rate, "rate", 0, "open loop: requests a second, latency from the intended send time")
	f.BoolVar(&s.opts.Stream, "stream", false, "ask for event streams and check that each ends properly")
	f.IntVar(&s.hold, "hold", 0, "open so many streams at once, each once, and hold them to their end")
	f.DurationVar(&s.opts.Timeout, "timeout", 0, "longest silence, and longest wait after the end (default 10s)")
	f.StringVar(&s.model, "model", "demo", "model of the chat request")
	f.StringVar(&s.body, "body", "", "file with another body; "+drive.Slot+" in it is replaced by the request's number")
	f.Uint64Var(&s.bodies, "bodies", 1, "distinct bodies, sent in turn")
	f.Uint64Var(&s.first, "first", 0, "number of the first body")
	f.BoolVar(&s.unique, "unique", false, "no body is ever repeated, in this run or another")
	f.Float64Var(&s.zipf, "zipf", 0, "draw bodies by Zipf's law with this exponent, above 1")
	f.Uint64Var(&s.keys, "keys", 10_000, "distinct bodies of -zipf")
	f.Uint64Var(&s.seed, "seed", 1, "seed of -zipf")
	f.Uint64Var(&s.warm, "warm", 0, "requests sent before the measured run")
	f.StringVar(&s.opts.Key, "key", "", "bearer key")
	f.Func("H", "header `'Name: value'`, any number of times", func(h string) error {
		s.opts.Headers = append(s.opts.Headers, h)
		return nil
	})
	f.StringVar(&s.pids, "pid", "", "processes to measure with their children: `ID[,ID…]`")
	f.BoolVar(&s.asJSON, "json", false, "print JSON instead of text")
	f.StringVar(&s.outFile, "o", "", "also write the JSON to this file")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() != 1 {
		return nil, fmt.Errorf("cannot send to %d addresses: give one URL after the flags", f.NArg())
	}
	return s, s.target(f.Arg(0))
}

// target turns a URL into an address and a path; without a path the chat endpoint is meant.
func (s *settings) target(raw string) error {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" {
		return fmt.Errorf("cannot send to %q: give an http URL", raw)
	}
	addr, err := net.ResolveTCPAddr("tcp", u.Host)
	if err != nil {
		return fmt.Errorf("cannot send to %q: %w: give a host and a port", raw, err)
	}
	ap := addr.AddrPort()
	s.opts.Addr = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).String()
	if u.Path != "" && u.Path != "/" {
		s.opts.Path = u.RequestURI()
	}
	return nil
}

// prepare fills in body, numbers and processes; the trace is nil without -zipf.
func (s *settings) prepare() (*drive.Trace, error) {
	if s.hold > 0 {
		s.opts.Stream, s.opts.Conns, s.opts.Requests, s.opts.Duration = true, s.hold, uint64(s.hold), 0
	}
	s.opts.Body = drive.ChatBody(s.model, s.opts.Stream)
	if s.body != "" {
		b, err := os.ReadFile(s.body)
		if err != nil {
			return nil, fmt.Errorf("cannot send the body of -body: %w", err)
		}
		s.opts.Body = string(b)
	}
	for id := range strings.SplitSeq(s.pids, ",") {
		if id == "" {
			continue
		}
		pid, err := strconv.Atoi(id)
		if err != nil {
			return nil, fmt.Errorf("cannot measure process %q: give its number", id)
		}
		s.opts.PIDs = append(s.opts.PIDs, pid)
	}
	return s.number()
}

func (s *settings) number() (*drive.Trace, error) {
	switch {
	case s.unique:
		s.opts.IDs = drive.Cycle(uint64(time.Now().UnixNano()), 0)
	case s.zipf > 0:
		trace, err := drive.NewTrace(s.zipf, s.keys, s.seed)
		if err != nil {
			return nil, err
		}
		s.opts.IDs = trace.Next
		return trace, nil
	default:
		s.opts.IDs = drive.Cycle(s.first, s.bodies)
	}
	return nil, nil
}

func (s *settings) print(r *drive.Report, trace *drive.Trace) error {
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	out = append(out, '\n')
	if s.outFile != "" {
		if err := os.WriteFile(s.outFile, out, 0o644); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
	}
	if s.asJSON {
		_, err = os.Stdout.Write(out)
		return err
	}
	if err := r.Text(os.Stdout); err != nil {
		return err
	}
	if trace != nil {
		fmt.Printf("  trace        %d of %d requests repeat an earlier one (%.2f %%)\n",
			trace.Repeats(), trace.Requests, 100*float64(trace.Repeats())/float64(trace.Requests))
	}
	return nil
}
