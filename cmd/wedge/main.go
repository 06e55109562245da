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

// commandLine is the command line. Each command stands in its own file, as a struct of its flags with a Run method.
type commandLine struct {
	Up         upCmd            `cmd:"" help:"Run a whole Wedge on this machine, with a simulated provider."`
	Edge       edgeCmd          `cmd:"" help:"Run one node."`
	Origin     originCmd        `cmd:"" help:"Run the control plane that nodes follow."`
	Sim        simCmd           `cmd:"" help:"Run a simulated provider."`
	Check      checkCmd         `cmd:"" help:"List every problem of a catalog."`
	Apply      applyCmd         `cmd:"" help:"Make a catalog true at the origin."`
	Diff       diffCmd          `cmd:"" help:"Tell what apply would change."`
	Get        getCmd           `cmd:"" help:"Print what the origin has."`
	Delete     deleteCmd        `cmd:"" help:"Delete a resource of the origin."`
	Model      modelCmd         `cmd:"" help:"Version, promote and roll back models."`
	Experiment experimentCmd    `cmd:"" help:"Start and end experiments."`
	Key        keyCmd           `cmd:"" help:"Make virtual keys."`
	Cost       costCmd          `cmd:"" help:"Show what requests cost, and compare it with bills."`
	Price      priceCmd         `cmd:"" help:"Look at prices, explain costs, import price tables."`
	Budget     budgetCmd        `cmd:"" help:"Show where budgets stand, and write off what is lost."`
	Alert      alertCmd         `cmd:"" help:"Show what happened to budgets."`
	Secret     secretCmd        `cmd:"" help:"Keep secrets at the origin."`
	Node       nodeCmd          `cmd:"" help:"Invite nodes, look at them, pin and drain them."`
	Fleet      fleetCmd         `cmd:"" help:"Show how far the last revision has come."`
	Audit      auditCmd         `cmd:"" help:"Show who changed what."`
	Token      tokenCmd         `cmd:"" help:"Make tokens for people and programs."`
	Signer     signerCmd        `cmd:"" help:"Look at, rotate and retire the keys that sign what nodes get."`
	Bundle     bundleCmd        `cmd:"" help:"Carry what nodes get as a file."`
	Backup     backupCmd        `cmd:"" help:"Back the origin up."`
	Policy     policyCmd        `cmd:"" help:"Write, build, try and measure policies."`
	Compile    compilePolicyCmd `cmd:"" name:"compile-policy" hidden:""`
	Version    versionCmd       `cmd:"" help:"Print the version, the commit, the Go release and the policy ABI."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run carries out one command line and returns the process's exit code.
func run(args []string, stdout, stderr io.Writer) int {
	helped := false
	parser := kong.Must(&commandLine{},
		kong.Name("wedge"),
		kong.Description("A programmable AI gateway for every edge node, in one binary."),
		kong.Writers(stdout, stderr),
		kong.BindTo(stdout, (*io.Writer)(nil)),
		kong.Bind(console{stdout, stderr}),
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

// report writes an error as one line; a catalog's problems, and an error's details, as one line each.
func report(stderr io.Writer, err error) {
	if refused, is := errors.AsType[unservable](err); is {
		for problem := range strings.SplitSeq(refused.Error(), "\n") {
			_, _ = fmt.Fprintf(stderr, "wedge: cannot serve the catalog: %s\n", problem)
		}
		return
	}
	_, _ = fmt.Fprintf(stderr, "wedge: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	if detailed, is := errors.AsType[interface {
		error
		Details() []string
	}](err); is {
		for _, detail := range detailed.Details() {
			_, _ = fmt.Fprintf(stderr, "  %s\n", detail)
		}
	}
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
