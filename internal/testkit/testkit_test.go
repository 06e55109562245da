package testkit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { Main(m) }

// recorder is a testing.TB that takes a failure down instead of failing.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failureOf runs f as a test of its own and returns how it failed, "" if it passed.
func failureOf(f func(t testing.TB)) string {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.failure
}

func TestEventually(t *testing.T) {
	t.Run("waits until the check passes", func(t *testing.T) {
		calls := 0
		Eventually(t, time.Minute, func() error {
			if calls++; calls < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		assert.Equal(t, 3, calls)
	})
	t.Run("fails with the last error", func(t *testing.T) {
		failure := failureOf(func(t testing.TB) {
			Eventually(t, 5*time.Millisecond, func() error { return errors.New("still closed") })
		})
		assert.Equal(t, "not within 5ms: still closed", failure)
	})
}

func TestGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "answer.txt")
	compare := func(text string) string {
		return failureOf(func(t testing.TB) { Golden(t, path, []byte(text)) })
	}
	assert.Contains(t, compare("one\n"), "cannot read golden file")

	*rewrite = true
	assert.Empty(t, compare("one\ntwo\n"))
	*rewrite = false

	assert.Empty(t, compare("one\ntwo\n"))
	assert.Contains(t, compare("one\n2\n"), `differs first in line 2`)
	assert.Contains(t, compare("one\n2\n"), `got "2"`)
	assert.Contains(t, compare("one\ntwo\nthree\n"), "line 3")
	assert.Contains(t, compare("one\ntwo"), "line 2")

	require.NoError(t, os.Remove(path))
	assert.True(t, strings.HasPrefix(compare("one\n"), "cannot read golden file"))
}

func TestHammer(t *testing.T) {
	var calls, sum atomic.Int64
	Hammer(4, 100, func(g, i int) {
		calls.Add(1)
		sum.Add(int64(g*100 + i))
	})
	assert.EqualValues(t, 400, calls.Load())
	assert.EqualValues(t, 400*399/2, sum.Load(), "every pair of g and i is seen once")
}

func TestFreeAddrCanBeListenedOn(t *testing.T) {
	l, err := net.Listen("tcp", FreeAddr(t))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
