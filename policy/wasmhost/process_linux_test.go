package wasmhost

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

func TestKilledChildren(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	h := newHost(t, Options{CacheDir: dir, Compile: child(t)})
	done := make(chan error, 1)
	go func() {
		_, err := h.Load(context.Background(), Spec{Name: "heavy", Module: heavy(), Hooks: policy.Route})
		done <- err
	}()
	var pid int
	require.Eventually(t, func() bool { pid = childOf(t, dir); return pid > 0 }, time.Minute, time.Millisecond)
	require.NoError(t, kill(pid))
	err := <-done
	require.ErrorContains(t, err, "its compiler was stopped (signal: killed)")
	whole, rest := entries(t, dir)
	assert.Empty(t, whole)
	assert.Empty(t, rest)
}

func TestChildWithoutEnoughMemory(t *testing.T) {
	// The shell's limit stands in for the child's own, which takes a module of a gigabyte to reach.
	exe := child(t)[0]
	script := filepath.Join(t.TempDir(), "small.sh")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\nulimit -v 200000\nexec \""+exe+"\" \"$@\"\n"), 0o700))
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	h := newHost(t, Options{CacheDir: dir, Compile: []string{script, childArg}})
	_, err := h.Load(context.Background(), Spec{Name: "heavy", Module: heavy(), Hooks: policy.Route})
	require.ErrorContains(t, err, "its compiler was stopped")
	whole, rest := entries(t, dir)
	assert.Empty(t, append(whole, rest...))
}

// childOf finds the process that compiles into dir, by its command line.
func childOf(t *testing.T, dir string) int {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range found {
		line, err := os.ReadFile(file)
		if err == nil && bytes.Contains(line, []byte("\x00"+childArg+"\x00"+dir)) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			require.NoError(t, err)
			return pid
		}
	}
	return 0
}

func kill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

// TestATimeWithoutAProcessorIsNotTheGuests lets others have most of the machine, for longer at a time than the limit.
func TestATimeWithoutAProcessorIsNotTheGuests(t *testing.T) {
	g := guest{list: target("eu"), locals: i32}
	count := w.Loop(w.LocalGet(1), w.I32Const(1), w.Op(w.OpI32Sub), w.LocalTee(1), w.BrIf(0))
	g.request = w.Code(w.I32Const(3_000_000), w.LocalSet(1), count, g.listed())
	h := newHost(t, Options{})
	calm := load(t, h, Spec{Name: "calm", Module: g.bytes(), Time: time.Hour})
	need := time.Hour
	for range 5 {
		need = min(need, spent(t, func() { _, err := calm.Request(good, nil); require.NoError(t, err) }))
	}
	for range 4 * runtime.NumCPU() {
		other := exec.Command("sh", "-c", "while :; do :; done")
		require.NoError(t, other.Start())
		t.Cleanup(func() {
			assert.NoError(t, other.Process.Kill())
			_ = other.Wait() // it was killed
		})
	}
	p := load(t, h, Spec{Name: "busy", Module: g.bytes(), Time: 3 * need})
	calls, slow, late := 0, 0, 0
	for began := time.Now(); time.Since(began) < 2*time.Second; {
		from := time.Now()
		calls++
		if _, err := p.Request(good, nil); err != nil {
			late++ // what a hypervisor takes looks like the guest's
		}
		if time.Since(from) > 3*need {
			slow++
		}
	}
	assert.LessOrEqual(t, late, calls/10)
	assert.NotZero(t, slow, "nobody kept the guest from running")
}
