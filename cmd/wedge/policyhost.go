package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/policy/wasmhost"
	"github.com/wedge-proxy/wedge/proxy"
	"github.com/wedge-proxy/wedge/wire"
)

// compilePolicyCmd is the process in which a node compiles the module of a policy: what goes wrong there, the node
// survives.
type compilePolicyCmd struct {
	Args []string `arg:"" help:"The entry of the cache and the limit of the memory."`
}

// Run compiles a rewritten module from standard input.
func (c *compilePolicyCmd) Run(stdout io.Writer) error {
	return wasmhost.CompileChild(c.Args, os.Stdin, stdout)
}

// policyHost runs the policies of a node's catalogs.
type policyHost struct{ *wasmhost.Host }

// newPolicyHost keeps compiled modules in dir.
func newPolicyHost(dir string, log *slog.Logger) (*policyHost, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find the program's own file, which compiles policies: %w", err)
	}
	h, err := wasmhost.New(wasmhost.Options{
		CacheDir: dir, Compile: []string{self, "compile-policy"},
		Log: func(level uint32, name, text string) {
			log.Log(context.Background(), levelOf(level), text, "policy", name)
		},
	})
	if err != nil {
		return nil, err
	}
	return &policyHost{h}, nil
}

func levelOf(level uint32) slog.Level {
	switch level {
	case abi.LogDebug:
		return slog.LevelDebug
	case abi.LogInfo:
		return slog.LevelInfo
	case abi.LogWarn:
		return slog.LevelWarn
	}
	return slog.LevelError
}

var isolations = map[string]wasmhost.Isolation{
	"shared": wasmhost.Shared, "clean": wasmhost.Clean, "fresh": wasmhost.Fresh,
}

// Load is part of proxy.Policies.
func (h *policyHost) Load(ctx context.Context, p *wire.Policy, hooks policy.Hook, isolation string) (proxy.Policy, error) {
	if p.Code() == nil {
		return nil, errors.New("its module has not been read")
	}
	program, err := h.Host.Load(ctx, wasmhost.Spec{
		Name: p.Name, Module: p.Code(), Config: p.Config, Hooks: hooks, Isolation: isolations[isolation], Memory: p.Memory, Time: p.Time,
	})
	if err != nil {
		return nil, err
	}
	return loadedPolicy{program}, nil
}

// loadedPolicy is a program as the node holds it.
type loadedPolicy struct{ *wasmhost.Program }

// Status is part of proxy.Policy.
func (l loadedPolicy) Status() any { return programStatus{Status: l.Program.Status()} }

// programStatus is a program's state without what the node says of the policy anyway.
type programStatus struct {
	Name   *string `json:"name,omitempty"` // stays nil, and hides the embedded one
	Digest *string `json:"digest,omitempty"`
	wasmhost.Status
}

// policyCache is the folder of compiled policies below the data folder, or a temporary one where there is none.
func policyCache(data string) (dir string, temporary bool, err error) {
	dir = filepath.Join(data, "policies")
	if err := os.MkdirAll(dir, 0o700); err == nil {
		return dir, false, nil
	}
	dir, err = os.MkdirTemp("", "wedge-policies-")
	return dir, true, err
}
