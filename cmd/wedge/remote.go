package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/wedge-proxy/wedge/internal/cli"
)

// console is where a command prints to.
type console struct {
	out   io.Writer // what was asked for
	notes io.Writer // what is said beside it
}

// originFlags say which origin a command asks, and as whom.
type originFlags struct {
	Origin    string `placeholder:"URL" env:"WEDGE_ORIGIN" help:"The origin (default: that of the data folder, or http://127.0.0.1:8090)."`
	Token     string `placeholder:"TOKEN" env:"WEDGE_TOKEN" help:"Who asks; on a machine of many users rather in the environment."`
	TokenFile string `placeholder:"FILE" help:"File that has the token."`
	CA        string `name:"ca" placeholder:"FILE" env:"WEDGE_CA" help:"Certificate that the origin's is signed with: its ca.pem."`
	Data      string `placeholder:"DIR" help:"Data folder of an origin on this machine, which has its address, token and CA (default: ./wedge-origin or ./wedge-data)."`
}

// verbFlags are those of a command that prints the origin's answer.
type verbFlags struct {
	originFlags `embed:""`
	Output      string `short:"o" enum:"table,json,yaml" default:"table" help:"table, or what the origin answered as json or yaml."`
}

// changeFlags are those of a command that changes something.
type changeFlags struct {
	verbFlags `embed:""`
	Reason    string `placeholder:"TEXT" help:"Why, for the audit trail."`
}

// do carries out a command's work, which Ctrl-C and SIGTERM end.
func (f *originFlags) do(to console, work func(ctx context.Context, s *cli.Session) error) error {
	return f.session(to, cli.Session{Format: cli.Table}, work)
}

func (f *verbFlags) do(to console, work func(ctx context.Context, s *cli.Session) error) error {
	return f.session(to, cli.Session{Format: f.Output}, work)
}

func (f *changeFlags) do(to console, work func(ctx context.Context, s *cli.Session) error) error {
	return f.session(to, cli.Session{Format: f.Output, Reason: f.Reason}, work)
}

func (f *originFlags) session(to console, s cli.Session, work func(ctx context.Context, s *cli.Session) error) error {
	client, err := cli.Open(cli.Options{Origin: f.Origin, Token: f.Token, TokenFile: f.TokenFile, CA: f.CA, Data: f.Data})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s.Client, s.Out, s.Notes, s.Now = client, to.out, to.notes, time.Now
	return work(ctx, &s)
}

// asker asks whoever sits at the terminal; nil if nobody does.
func asker() func(question string) (bool, error) {
	if !terminal(os.Stdin) || !terminal(os.Stderr) {
		return nil
	}
	return func(question string) (bool, error) {
		_, _ = fmt.Fprintf(os.Stderr, "%s [y/N] ", question)
		answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && err != io.EOF {
			return false, err
		}
		answer = strings.ToLower(strings.TrimSpace(answer))
		return answer == "y" || answer == "yes", nil
	}
}

// terminal tells whether a file is one that somebody may sit at.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 || os.Getenv("TERM") == "" {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
