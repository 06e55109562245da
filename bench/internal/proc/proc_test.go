package proc

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCPUTimeSkipsACommandWithSpaces(t *testing.T) {
	got, err := cpuTime([]byte("12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1 0"))
	require.NoError(t, err)
	assert.Equal(t, 127*10*time.Millisecond, got)
	_, err = cpuTime([]byte("12 (a) S 1"))
	assert.ErrorContains(t, err, "fields")
}

func TestKilobytes(t *testing.T) {
	status := []byte("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t   1 kB\n")
	assert.EqualValues(t, 2<<20, kilobytes(status, "VmHWM:"))
	assert.EqualValues(t, 1024, kilobytes(status, "VmRSS:"))
	assert.Zero(t, kilobytes(status, "RssAnon:"))
}

func TestUsageOfATreeCountsChildrenThatLiveAndThatEnded(t *testing.T) {
	burn := "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"
	c, err := Start("shell", filepath.Join(t.TempDir(), "log"), "sh", "-c", "("+burn+"); ("+burn+"; echo burnt; sleep 30); :")
	require.NoError(t, err)
	defer c.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, c.Await(ctx, func() bool {
		log, err := os.ReadFile(c.Log)
		return err == nil && string(log) == "burnt\n"
	}))
	u, err := Of(c.PID())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, u.CPU, 20*time.Millisecond)
	assert.Greater(t, u.RSS, int64(100<<10))
	assert.GreaterOrEqual(t, u.Peak, u.RSSAnon)
	assert.Greater(t, len(tree([]int{c.PID()})), 1)
}

func TestAwaitSaysWhatAnEndedProcessWrote(t *testing.T) {
	c, err := Start("shell", filepath.Join(t.TempDir(), "log"), "sh", "-c", "echo the port is taken; exit 1")
	require.NoError(t, err)
	err = c.Await(t.Context(), func() bool { return false })
	assert.ErrorContains(t, err, "shell ended before it was ready: the port is taken")
	c.Stop()
}

func TestUsageOfNobodyIsAnError(t *testing.T) {
	_, err := Of(1 << 30)
	assert.ErrorContains(t, err, "no such process")
}

func TestFreeAddrCanBeListenedOn(t *testing.T) {
	addr, err := FreeAddr()
	require.NoError(t, err)
	assert.False(t, Listening(addr))
}
