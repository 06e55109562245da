//go:build unix

package wasmhost

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

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
