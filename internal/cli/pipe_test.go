//go:build unix

package cli

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is no file, such as a pipe or a device, is written to and not replaced.
func TestDownloadIntoAPipe(t *testing.T) {
	f := newFake(t).on("GET /api/v1/bundle", reply(200, "bytes"))
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	reader, err := os.OpenFile(path, os.O_RDWR, 0) // so that neither side waits for the other
	require.NoError(t, err)
	defer func() { _ = reader.Close() }()
	require.NoError(t, open(t, f.URL, Table).Bundle(t.Context(), path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.ModeNamedPipe, info.Mode().Type())
	got := make([]byte, len("bytes"))
	_, err = io.ReadFull(reader, got)
	require.NoError(t, err)
	assert.Equal(t, "bytes", string(got))
}
