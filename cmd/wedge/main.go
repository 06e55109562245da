// Command wedge is the whole product in one binary: the node, the simulated provider and the operator's tools; this
// package holds flags and wiring only.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // refused or failed; an error's own ExitCode comes first
	exitUsage  = 2
)

// cli is the command line. Each command stands in its own file, as a struct of its flags with a Run method.
type cli struct {
	Up      upCmd            `cmd:"" help:"Run a whole Wedge on this machine, with a simulated provider."`
	Edge    edgeCmd          `cmd:"" help:"Run one node."`
	Sim     simCmd           `cmd:"" help:"Run a simulated provider."`
	Check   checkCmd         `cmd:"" help:"List every problem of a catalog."`
	Key     keyCmd           `cmd:"" help:"Make virtual keys."`
	Policy  policyCmd        `cmd:"" help:"Write, build, try and measure policies."`
	Compile compilePolicyCmd `cmd:"" name:"compile-policy" hidden:""`
	Version versionCmd       `cmd:"" help:"Print the version, the commit, the Go release and the policy ABI."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run carries out one command line and returns the process's exit code.
func run(args []string, stdout, stderr io.Writer) int {
	helped := false
	parser := kong.Must(&cli{},
		kong.Name("wedge"),
		kong.Description("A programmable AI gateway for every edge node, in one binary."),
		kong.Writers(stdout, stderr),
		kong.BindTo(stdout, (*io.Writer)(nil)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(int) { helped = true }), // called for --help only: everything else returns an error
	)
	command, err := parser.Parse(args)
	if helped {
		return exitDone
	}
	if err != nil {
		report(stderr, fmt.Errorf("%w; see wedge --help", err))
		return exitUsage
	}
	if err := command.Run(); err != nil {
		report(stderr, err)
		return exitCode(err)
	}
	return exitDone
}

// report writes an error as one line; a catalog's problems as one line each.
func report(stderr io.Writer, err error) {
	if refused, is := errors.AsType[unservable](err); is {
		for problem := range strings.SplitSeq(refused.Error(), "\n") {
			_, _ = fmt.Fprintf(stderr, "wedge: cannot serve the catalog: %s\n", problem)
		}
		return
	}
	_, _ = fmt.Fprintf(stderr, "wedge: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
}

func exitCode(err error) int {
	if own, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err); ok {
		return own.ExitCode()
	}
	return exitFailed
}
