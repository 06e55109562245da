package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version and commit are set by the linker: -X main.version=… -X main.commit=….
var version, commit string

// policyABI names the contract between the node and policy modules.
const policyABI = "wedge1"

// versionCmd tells which build this is.
type versionCmd struct {
	Output string `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

// build is what is known of this binary.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	ABI     string `json:"abi"`
}

// Run prints the build.
func (c versionCmd) Run(stdout io.Writer) error {
	info, _ := debug.ReadBuildInfo()
	b := thisBuild(version, commit, info)
	if c.Output == "json" {
		return json.NewEncoder(stdout).Encode(b)
	}
	_, err := fmt.Fprintf(stdout, "version  %s\ncommit   %s\ngo       %s\nabi      %s\n", b.Version, b.Commit, b.Go, b.ABI)
	return err
}

// thisBuild prefers what the linker was told, then what the go command noted in the binary. info may be nil.
func thisBuild(version, commit string, info *debug.BuildInfo) build {
	b := build{Version: version, Commit: commit, Go: runtime.Version(), ABI: policyABI}
	if info != nil && b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	if info != nil && b.Commit == "" {
		b.Commit = commitOf(info)
	}
	b.Version = cmp.Or(b.Version, "dev")
	b.Commit = cmp.Or(b.Commit, "unknown")
	return b
}

// commitOf is the commit that the go command noted, "" if none; "+changes" says that the work tree was not clean.
func commitOf(info *debug.BuildInfo) string {
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	return commit + dirty
}
