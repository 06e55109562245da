package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/wedge-proxy/wedge/internal/cli"
	"github.com/wedge-proxy/wedge/proxy/uplink"
	"github.com/wedge-proxy/wedge/store/badger"
	"github.com/wedge-proxy/wedge/wire"
)

// bundleCmd carries what nodes get from the origin as a file, for nodes that cannot reach one.
type bundleCmd struct {
	Export bundleExportCmd `cmd:"" help:"Write the signed bundle of all that nodes get."`
	Verify bundleVerifyCmd `cmd:"" help:"Tell whether a bundle is whole and signed by somebody who is trusted."`
	Import bundleImportCmd `cmd:"" help:"Make a bundle the revision that a node starts with."`
}

type bundleExportCmd struct {
	Output string `short:"o" placeholder:"FILE" help:"Where to; - or none is standard output, if that is no terminal."`
	originFlags
}

// Help is the part of the help text below the flags' summary.
func (bundleExportCmd) Help() string {
	return `Writes the catalog and the modules of its policies, signed by the origin. Secrets are not in it.

Examples:
  wedge bundle export -o wedge.bundle
  wedge bundle export | ssh shop-1 wedge bundle import -`
}

// Run exports.
func (c *bundleExportCmd) Run(to console) error {
	file, err := outputFile(c.Output)
	if err != nil {
		return err
	}
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Bundle(ctx, file) })
}

// outputFile is where a file is written to, "" for standard output.
func outputFile(flag string) (string, error) {
	if flag != "" && flag != "-" {
		return flag, nil
	}
	if terminal(os.Stdout) {
		return "", errors.New("cannot print this to a terminal; name a file with -o")
	}
	return "", nil
}

type bundleVerifyCmd struct {
	File   string   `arg:"" help:"The bundle; - reads standard input."`
	Trust  []string `required:"" placeholder:"KEY" help:"Public keys of origins that are trusted: ed25519:…"`
	Output string   `short:"o" enum:"table,json,yaml" default:"table" help:"table, json or yaml."`
}

// Help is the part of the help text below the flags' summary.
func (bundleVerifyCmd) Help() string {
	return `Reads a bundle as a node does, and tells which revision of the origin it is. Exits 1 if it is not whole, or not signed
with one of the keys.

Examples:
  wedge bundle verify wedge.bundle --trust ed25519:AbC…`
}

// Run verifies.
func (c *bundleVerifyCmd) Run(to console) error {
	trust, err := wire.TrustOf(c.Trust...)
	if err != nil {
		return fmt.Errorf("cannot verify the bundle: --trust: %w", err)
	}
	in, err := openBundle(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	b, err := wire.ReadBundle(in, trust)
	if err != nil {
		return fmt.Errorf("%s is not to be used: %w", c.File, err)
	}
	s := cli.Session{Out: to.out, Format: c.Output}
	return s.PrintBundle(b)
}

func openBundle(file string) (io.ReadCloser, error) {
	if file == "-" {
		return os.Stdin, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the bundle: %w", err)
	}
	return f, nil
}

type bundleImportCmd struct {
	File  string   `arg:"" help:"The bundle; - reads standard input."`
	Data  string   `required:"" placeholder:"DIR" help:"The node's data folder, made if it is not there. The node must not be running."`
	Trust []string `required:"" placeholder:"KEY" help:"Public keys of origins that are trusted: ed25519:…"`
}

// Help is the part of the help text below the flags' summary.
func (bundleImportCmd) Help() string {
	return `The node serves the bundle's catalog when it starts (wedge edge --origin), even if it reaches no origin, and takes what is
newer as soon as it does. A node that has something newer refuses the bundle.

Examples:
  wedge bundle import wedge.bundle --data /var/lib/wedge --trust ed25519:AbC…`
}

// Run imports.
func (c *bundleImportCmd) Run(to console) error {
	trust, err := wire.TrustOf(c.Trust...)
	if err != nil {
		return fmt.Errorf("cannot import the bundle: --trust: %w", err)
	}
	in, err := openBundle(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("cannot make the data folder: %w", err)
	}
	db, err := badger.Open(filepath.Join(c.Data, "store"), badger.Options{})
	if err != nil {
		return fmt.Errorf("cannot import the bundle into %s: %w", c.Data, err)
	}
	at, err := uplink.Import(db, identityDir(c.Data), in, trust)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("cannot import %s: %w", c.File, err)
	}
	_, err = fmt.Fprintf(to.out, "a node on %s starts with revision %d of epoch %d\n", c.Data, at.Rev, at.Epoch)
	return err
}

type backupCmd struct {
	Output string `short:"o" placeholder:"FILE" help:"Where to; - or none is standard output, if that is no terminal."`
	originFlags
}

// Help is the part of the help text below the flags' summary.
func (backupCmd) Help() string {
	return `Writes all that the origin keeps. Secrets in it are encrypted with the origin's own key, DATA/kek, which is not in it:
keep it elsewhere. wedge origin restore reads it.

Examples:
  wedge backup -o origin.backup`
}

// Run backs up.
func (c *backupCmd) Run(to console) error {
	file, err := outputFile(c.Output)
	if err != nil {
		return err
	}
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Backup(ctx, file) })
}
