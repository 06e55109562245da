// Package testkit is what the repository's tests share: allocation counts, leak checks, golden files, hammers,
// waiting and free ports. It knows no product code and is imported by _test.go files only.
package testkit

import (
	"fmt"
	"math/rand/v2"
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

// FreeAddr returns a loopback address, host and port, at which nobody listens. Where a machine has more than one loopback
// address, as Linux has, its host is one of its own: nobody else takes the port there before the code under test does.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(Loopback(), "0"))
	if err != nil {
		t.Fatalf("cannot find a free port: %v", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Loopback is a loopback IP address that hardly anybody else uses, or 127.0.0.1 on machines that have no other.
func Loopback() string {
	host := fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(128), rand.IntN(256), 1+rand.IntN(254))
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "127.0.0.1"
	}
	_ = l.Close()
	return host
}
