// Package testkit is what the repository's tests share: allocation counts, leak checks, golden files, hammers,
// waiting and free ports. It knows no product code and is imported by _test.go files only.
package testkit

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	allocRuns   = 100 // calls of f in one measurement
	allocRounds = 5   // measurements; the least counts, so that background work cannot fail a test
)

// Allocs fails the test if a call of f makes more than want allocations. Tests that use it stand in files with
// `//go:build !race`: under the race detector sync.Pool drops items at random.
func Allocs(t testing.TB, want float64, f func()) {
	t.Helper()
	least := testing.AllocsPerRun(allocRuns, f)
	for range allocRounds - 1 {
		if least <= want {
			return
		}
		least = min(least, testing.AllocsPerRun(allocRuns, f))
	}
	if least > want {
		t.Fatalf("%v allocations per call, want at most %v", least, want)
	}
}

// Main runs a package's tests and fails if goroutines outlive them. It is the body of TestMain in every package
// that starts goroutines.
func Main(m *testing.M, options ...goleak.Option) {
	goleak.VerifyTestMain(m, options...)
}

// Hammer calls f(g, i) for every i in [0, rounds) from each of the given number of goroutines at once, and
// returns when all are done. f must not call t.FailNow.
func Hammer(goroutines, rounds int, f func(g, i int)) {
	var (
		start = make(chan struct{})
		wg    sync.WaitGroup
	)
	for g := range goroutines {
		wg.Go(func() {
			<-start
			for i := range rounds {
				f(g, i)
			}
		})
	}
	close(start)
	wg.Wait()
}

// Eventually calls check on the test's goroutine until it returns nil, and fails the test with its last error if
// that does not happen in time.
func Eventually(t testing.TB, within time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", within, err)
		}
		time.Sleep(pause)
	}
}

// FreeAddr returns a loopback address, host and port, at which nobody listens at the moment. Where the code under
// test can listen on port 0, that is better: another process may take the port first.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot find a free port: %v", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// FreePort is the port of FreeAddr.
func FreePort(t testing.TB) int {
	t.Helper()
	addr := FreeAddr(t)
	var port int
	if _, err := fmt.Sscanf(addr, "127.0.0.1:%d", &port); err != nil {
		t.Fatalf("cannot read the port of %s: %v", addr, err)
	}
	return port
}
