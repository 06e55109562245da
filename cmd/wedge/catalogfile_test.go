package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLastRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.yaml")
	old := time.Now().Add(-time.Hour)
	write := func(path, text string, at time.Time) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		require.NoError(t, os.Chtimes(path, at, at))
	}
	var s lastRead
	read := func() string {
		text, err := s.read(path)
		require.NoError(t, err)
		return string(text)
	}
	assert.False(t, s.asRead(path), "it never was")
	_, err := s.read(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.False(t, s.asRead(path))

	write(path, "one", old)
	assert.Equal(t, "one", read())
	assert.True(t, s.asRead(path))
	write(path, "two", old.Add(time.Millisecond))
	assert.False(t, s.asRead(path))
	assert.Equal(t, "two", read())
	write(path, "three", old.Add(time.Millisecond))
	assert.False(t, s.asRead(path))

	write(path, "four", time.Now())
	assert.Equal(t, "four", read())
	assert.False(t, s.asRead(path), "another change may have the same time")

	write(path, "five", old)
	assert.Equal(t, "five", read())
	assert.True(t, s.asRead(path))
	other := path + ".new"
	write(other, "5555", old)
	require.NoError(t, os.Rename(other, path))
	assert.False(t, s.asRead(path), "another file in its place")

	assert.Equal(t, "5555", read())
	assert.True(t, s.asRead(path))
	s.at = s.at.Add(-readAnyway - time.Second)
	assert.False(t, s.asRead(path))
}
