package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wedge-proxy/wedge/internal/prices"
	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/wasmhost"
	"github.com/wedge-proxy/wedge/proxy"
	"github.com/wedge-proxy/wedge/proxy/price"
	"github.com/wedge-proxy/wedge/wire"
)

// checkCmd validates a catalog without a node.
type checkCmd struct {
	File   string `arg:"" help:"The catalog, in YAML or JSON; - reads standard input."`
	Output string `short:"o" enum:"text,json,yaml" default:"text" help:"text, json or yaml."`
}

// verdict is what is printed about a catalog.
type verdict struct {
	OK       bool           `json:"ok" yaml:"ok"`
	Digest   string         `json:"digest,omitempty" yaml:"digest,omitempty"`
	Problems []wire.Problem `json:"problems" yaml:"problems"`
	Warnings []wire.Problem `json:"warnings" yaml:"warnings"` // what a node of this build does not do, and so refuses

	file   string
	counts string
}

// Help is the part of the help text below the flags' summary.
func (checkCmd) Help() string {
	return `Lists every problem of a catalog as FILE:LINE:COLUMN: field: what is wrong, and exits 1 if there is one. Warnings
name valid fields that a node of this build does not act on, and modules of policies that are not here; a node refuses
a catalog that has them. Modules that are here are loaded as a node does.

Examples:
  wedge check catalog.yaml
  wedge check -o json - < catalog.json`
}

// Run prints the verdict. A catalog with problems is an error.
func (c *checkCmd) Run(stdout io.Writer) error {
	data, err := readInput(c.File, os.Stdin)
	if err != nil {
		return err
	}
	v := judge(c.File, data, proxy.Support)
	if err := v.print(stdout, c.Output); err != nil {
		return fmt.Errorf("cannot print the verdict on %s: %w", c.File, err)
	}
	if n := len(v.Problems); n > 0 {
		return fmt.Errorf("%s is not a valid catalog: correct its %s", c.File, plural(n, "problem"))
	}
	return nil
}

func readInput(file string, stdin io.Reader) ([]byte, error) {
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the catalog: %w", err)
	}
	return data, nil
}

func judge(file string, data []byte, support wire.Support) *verdict {
	v := &verdict{file: file, Problems: []wire.Problem{}, Warnings: []wire.Problem{}}
	c, err := wire.ParseCatalog(file, data)
	if refused, is := errors.AsType[*wire.Problems](err); is {
		v.Problems = refused.List
		return v
	}
	if missing, is := errors.AsType[*wire.Problems](c.LoadModules(filepath.Dir(file), moduleFile)); is {
		v.Warnings = missing.List // they may lie where the node runs
	}
	v.Problems = append(append(v.Problems, moduleFaults(c)...), listFaults(c)...)
	if len(v.Problems) > 0 {
		return v
	}
	v.OK, v.Digest = true, c.Digest()
	v.counts = strings.Join([]string{
		plural(len(c.Providers), "provider"), plural(len(c.Models), "model"), plural(versions(c), "version"),
		plural(len(c.Experiments), "experiment"), plural(len(c.Keys), "key"), plural(len(c.Budgets), "budget"),
	}, ", ")
	if lacking, is := errors.AsType[*wire.Problems](c.CheckSupported(support)); is {
		v.Warnings = append(v.Warnings, lacking.List...)
	}
	return v
}

// moduleFaults are the faults of the policies' modules that were read.
func moduleFaults(c *wire.Catalog) (faults []wire.Problem) {
	host, err := wasmhost.New(wasmhost.Options{})
	if err != nil {
		return nil
	}
	defer host.Close()
	for i := range c.Policies {
		p := &c.Policies[i]
		hooks, err := policy.ParseHooks(p.Hooks)
		if p.Code() == nil || err != nil {
			continue
		}
		for _, f := range host.Check(context.Background(), wasmhost.Spec{
			Name: p.Name, Module: p.Code(), Config: p.Config, Hooks: hooks, Isolation: isolations[p.Isolation], Memory: p.Memory, Time: p.Time,
		}) {
			faults = append(faults, c.ProblemAt(fmt.Sprintf("policies[%d].module", i), f.Text))
		}
	}
	return faults
}

// listFaults are the providers' lists of prices that the built-in table does not have: with one, nothing would have a price.
func listFaults(c *wire.Catalog) (faults []wire.Problem) {
	for i := range c.Providers {
		list := price.List(&c.Providers[i])
		if list != "" && !slices.Contains(prices.Lists(), list) {
			text := fmt.Sprintf("the built-in table of prices has no list %q; wedge price list shows what it has, and none is for none of them", list)
			faults = append(faults, c.ProblemAt(fmt.Sprintf("providers[%d].prices", i), text))
		}
	}
	return faults
}

func versions(c *wire.Catalog) int {
	n := 0
	for i := range c.Models {
		n += len(c.Models[i].Versions)
	}
	return n
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (v *verdict) print(w io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(v)
	case "yaml":
		e := yaml.NewEncoder(w)
		e.SetIndent(2)
		return errors.Join(e.Encode(v), e.Close())
	}
	_, err := io.WriteString(w, v.text())
	return err
}

func (v *verdict) text() string {
	var b strings.Builder
	for i := range v.Problems {
		fmt.Fprintf(&b, "%s:%s\n", v.file, v.Problems[i].String())
	}
	for i := range v.Warnings {
		p := v.Warnings[i]
		fmt.Fprintf(&b, "%s:%d:%d: warning: %s: %s\n", v.file, p.Line, p.Column, p.Path, p.Message)
	}
	switch {
	case !v.OK:
	case len(v.Warnings) > 0:
		fmt.Fprintf(&b, "%s: ok, but a node of this build refuses it because of the %s: %s, digest %s\n",
			v.file, plural(len(v.Warnings), "warning"), v.counts, v.Digest)
	default:
		fmt.Fprintf(&b, "%s: ok: %s, digest %s\n", v.file, v.counts, v.Digest)
	}
	return b.String()
}
