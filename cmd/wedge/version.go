package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -X main.version=….
var version string

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
	b := thisBuild(version, info)
	if c.Output == "json" {
		return json.NewEncoder(stdout).Encode(b)
	}
	_, err := fmt.Fprintf(stdout, "version  %s\ncommit   %s\ngo       %s\nabi      %s\n", b.Version, b.Commit, b.Go, b.ABI)
	return err
}

// thisBuild takes the version from the linker, else from the module that was installed, else it is "dev". info may
// be nil.
func thisBuild(linked string, info *debug.BuildInfo) build {
	b := build{Version: linked, Commit: "unknown", Go: runtime.Version(), ABI: policyABI}
	if info != nil {
		b.Commit = commitOf(info)
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
	}
	if b.Version == "" {
		b.Version = "dev"
	}
	return b
}

func commitOf(info *debug.BuildInfo) string {
	commit, dirty := "unknown", ""
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
