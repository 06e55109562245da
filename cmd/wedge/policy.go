package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/policy/wasmhost"
	"github.com/wedge-proxy/wedge/policy/wasmhost/meter"
)

// policyCmd is the loop of somebody who writes a policy.
type policyCmd struct {
	New   policyNewCmd   `cmd:"" help:"Write the project of a new policy."`
	Build policyBuildCmd `cmd:"" help:"Build a policy with its language's compiler, and check it."`
	Check policyCheckCmd `cmd:"" help:"Say what a module is, or every reason why it is no policy."`
	Run   policyRunCmd   `cmd:"" help:"Show what a policy sees and does in one case."`
	Test  policyTestCmd  `cmd:"" help:"Run a policy's cases, and compare what it does."`
	Bench policyBenchCmd `cmd:"" help:"Measure a policy."`
	Push  policyPushCmd  `cmd:"" help:"Give a policy of the origin another module."`
}

// Limits of a call that a node sets where the catalog is silent.
const (
	nodeTime      = 2 * time.Millisecond
	nodeChunkTime = 200 * time.Microsecond
)

// authorTime is the limit of a call where its duration is not the question: the author's machine may be busy.
const authorTime = time.Second

// guestModule is a module as it lies on disk, and what can be seen of it without running it.
type guestModule struct {
	file   string
	code   []byte
	memory int64
	seen   meter.Rewritten // zero if the module is refused
}

func readModule(file string, memory byteSize) (*guestModule, error) {
	code, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	return newModule(file, code, int64(memory)), nil
}

func newModule(file string, code []byte, memory int64) *guestModule {
	m := &guestModule{file: file, code: code, memory: memory}
	if seen, err := meter.Rewrite(code, meter.Limits{MemoryBytes: uint64(memory)}); err == nil { // else loading says why
		m.seen = seen
	}
	return m
}

// name is what the log and faults call the policy.
func (m *guestModule) name() string { return strings.TrimSuffix(filepath.Base(m.file), ".wasm") }

func (m *guestModule) digest() string { return fmt.Sprintf("sha256:%x", sha256.Sum256(m.code)) }

func (m *guestModule) exports(name string) bool {
	for _, e := range m.seen.Exports {
		if e.Name == name {
			return true
		}
	}
	return false
}

// moments are the calls of a policy: what they are called, what exports them, and which hooks and capability bind them.
var moments = [...]struct {
	name, export string
	hooks        policy.Hook
	bit          abi.Caps
}{
	policy.OnRequest:  {"request", abi.ExportRequest, policy.Route | policy.Prompt, 0},
	policy.OnResponse: {"response", abi.ExportResponse, policy.Response, abi.CapResponse},
	policy.OnChunk:    {"chunk", abi.ExportChunk, policy.Chunk, abi.CapChunk},
	policy.OnDone:     {"done", abi.ExportDone, policy.Done, abi.CapDone},
}

// workbench loads modules as a node does, but in this process: they are the author's own.
type workbench struct {
	host  *wasmhost.Host
	cache string

	mu   sync.Mutex
	logs []logLine
}

// logLine is what a policy, or the host about it, wrote to the node's log.
type logLine struct {
	Level string `json:"level"`
	Text  string `json:"text"`
}

func newWorkbench() (*workbench, error) { return newWorkbenchWith(nil) }

// newWorkbenchWith compiles modules with a command, in a process of its own; nil: in this one.
func newWorkbenchWith(compile []string) (w *workbench, err error) {
	w = &workbench{}
	if w.cache, err = os.MkdirTemp("", "wedge-policy-"); err != nil {
		return nil, fmt.Errorf("cannot make a folder for compiled policies: %w", err)
	}
	w.host, err = wasmhost.New(wasmhost.Options{CacheDir: w.cache, Compile: compile, Log: w.log})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.cache))
	}
	return w, nil
}

func (w *workbench) close() {
	w.host.Close()
	_ = os.RemoveAll(w.cache) // the system cleans its folder of temporary files, too
}

func (w *workbench) log(level uint32, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs = append(w.logs, logLine{strings.ToLower(levelOf(level).String()), text})
}

// takeLogs gives what was logged since the last call.
func (w *workbench) takeLogs() []logLine {
	w.mu.Lock()
	defer w.mu.Unlock()
	logs := w.logs
	w.logs = nil
	return logs
}

// setup says how a module is loaded.
type setup struct {
	config    []byte // JSON; nil: {}
	isolation wasmhost.Isolation
	time      time.Duration // limit of a call
	chunkTime time.Duration
}

// relaxed is the setup of cases: what limits them is not their time.
func relaxed(config []byte) setup {
	return setup{config: config, time: authorTime, chunkTime: authorTime}
}

// load binds the module to every hook that it serves. What keeps a node from loading it is a *wasmhost.LoadError.
func (w *workbench) load(ctx context.Context, m *guestModule, s setup) (*wasmhost.Program, policy.Hook, error) {
	first := moments[policy.OnRequest].hooks
	if !m.exports(abi.ExportRequest) {
		first = cmp.Or(m.exported(), first)
	}
	p, err := w.bind(ctx, m, s, first)
	if err != nil {
		return nil, 0, err
	}
	all := first | capable(p.Caps())
	if all == first {
		return p, all, nil
	}
	p.Release()
	p, err = w.bind(ctx, m, s, all)
	return p, all, err
}

func (w *workbench) bind(ctx context.Context, m *guestModule, s setup, hooks policy.Hook) (*wasmhost.Program, error) {
	return w.host.Load(ctx, wasmhost.Spec{Name: m.name(), Module: m.code, Config: s.config, Hooks: hooks,
		Isolation: s.isolation, Memory: m.memory, Time: s.time, ChunkTime: s.chunkTime})
}

// exported are the hooks whose calls the module exports. An SDK may export calls that its policy does not use.
func (m *guestModule) exported() (hooks policy.Hook) {
	for _, at := range moments {
		if m.exports(at.export) {
			hooks |= at.hooks
		}
	}
	return hooks
}

// capable are the hooks that the guest itself says it serves.
func capable(caps abi.Caps) (hooks policy.Hook) {
	for _, at := range moments {
		if caps&at.bit != 0 {
			hooks |= at.hooks
		}
	}
	return hooks
}

// readConfig takes a JSON object, or the name of a file that holds one. An empty text is no config.
func readConfig(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	config := []byte(text)
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		var err error
		if config, err = os.ReadFile(text); err != nil {
			return nil, fmt.Errorf("cannot read the config: %w", err)
		}
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(config, &object); err != nil {
		return nil, fmt.Errorf("cannot use the config: want a JSON object: %w", err)
	}
	var compact bytes.Buffer
	err := json.Compact(&compact, config)
	return compact.Bytes(), err
}

// printJSON writes a value for scripts.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// busy tells somebody who watches a terminal what takes so long, until the returned function is called.
func busy(what string) (done func()) {
	info, err := os.Stderr.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 || os.Getenv("TERM") == "" {
		return func() {}
	}
	_, _ = fmt.Fprintf(os.Stderr, "%s …", what)
	return func() { _, _ = fmt.Fprint(os.Stderr, "\r\x1b[K") }
}

// span writes a duration with three digits.
func span(d time.Duration) string { return spanOf(float64(d)) }

func spanOf(ns float64) string {
	units := []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}}
	for _, u := range units {
		if ns >= u.size {
			return fmt.Sprintf("%.3g %s", ns/u.size, u.name)
		}
	}
	return fmt.Sprintf("%.3g ns", ns)
}

// storage writes a number of bytes.
func storage(n uint64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return plural(int(n), "byte")
}
