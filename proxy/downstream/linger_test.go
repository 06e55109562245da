package downstream

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLingerSavesTheAnswer closes a connection whose client has sent what nobody read, and goes on sending.
func TestLingerSavesTheAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	client, c := pair(t, Listen(l))
	unread := make([]byte, 64<<10)
	_, err = client.Write(unread)
	require.NoError(t, err)
	_, err = c.Write([]byte("too much"))
	require.NoError(t, err)

	c.Linger()
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	for range 10 {
		_, err = client.Write(unread)
		require.NoError(t, err, "a reset would show here")
		time.Sleep(time.Millisecond)
	}
	got, err := io.ReadAll(client)
	require.NoError(t, err)
	assert.Equal(t, "too much", string(got))
	require.NoError(t, client.Close())
	select {
	case err := <-closed:
		assert.NoError(t, err)
	case <-time.After(lingerTimeout / 2):
		assert.Fail(t, "Close waits although the client has left")
	}
}

// TestLingerIsBounded closes the connection of a client that neither sends nor leaves.
func TestLingerIsBounded(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	_, c := pair(t, Listen(l))
	c.Linger()
	began := time.Now()
	require.NoError(t, c.Close())
	assert.Less(t, time.Since(began), 2*lingerTimeout)
}
