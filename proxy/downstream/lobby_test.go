package downstream

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newLobby(t *testing.T, from net.Listener) *Lobby {
	l := NewLobby(Listen(from))
	l.Patience, l.MaxConns = 10*time.Second, 100
	return l
}

func loopback(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// accepted collects what a lobby hands on, until it is closed.
func accepted(l *Lobby) <-chan *Conn {
	all := make(chan *Conn, 100)
	go func() {
		defer close(all)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all <- c.(*Conn)
		}
	}()
	return all
}

func dial(t *testing.T, l *Lobby) net.Conn {
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestLobbyHandsOnWhoSpeaks(t *testing.T) {
	l := newLobby(t, loopback(t))
	all := accepted(l)
	silent, loud := dial(t, l), dial(t, l)
	text := strings.Repeat("0123456789", 5000) // more than is read ahead
	go func() { _, _ = io.WriteString(loud, text) }()
	c := <-all
	assert.Equal(t, loud.LocalAddr().String(), c.RemoteAddr().String())
	got := make([]byte, len(text))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	assert.True(t, bytes.Equal([]byte(text), got), "what was read ahead comes first")
	assert.Empty(t, all)
	_, err = silent.Write([]byte("x"))
	require.NoError(t, err)
	d := <-all
	require.NoError(t, c.Close())
	require.NoError(t, d.Close())
	waits := dial(t, l)
	require.Eventually(t, func() bool { return l.from.Conns() == 1 }, 5*time.Second, time.Millisecond)
	late := dial(t, l)
	require.Eventually(t, func() bool { return l.from.Conns() == 2 }, 5*time.Second, time.Millisecond)
	require.NoError(t, l.Close())
	_, err = net.Dial("tcp", l.Addr().String())
	require.Error(t, err)
	_, err = late.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, (<-all).Close(), "it had been taken before")
	l.End()
	_, err = waits.Read(make([]byte, 1))
	assert.Equal(t, io.EOF, err)
	_, open := <-all
	assert.False(t, open)
	require.NoError(t, l.Close())
	l.End()
	assert.Zero(t, l.from.Conns())
}

func TestLobbyLosesPatience(t *testing.T) {
	l := newLobby(t, loopback(t))
	l.Patience = 50 * time.Millisecond
	all := accepted(l)
	_, err := dial(t, l).Read(make([]byte, 1))
	assert.Equal(t, io.EOF, err)
	l.End()
	assert.Empty(t, all)
}

// failing is a listener that has no more files for a while.
type failing struct {
	net.Listener
	left atomic.Int32
}

func (l *failing) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestLobbyOutlivesFailures(t *testing.T) {
	from := &failing{Listener: loopback(t)}
	from.left.Store(3)
	l := newLobby(t, from)
	var reports atomic.Int32
	l.Report = func(err error) { assert.ErrorIs(t, err, syscall.EMFILE); reports.Add(1) }
	all := accepted(l)
	_, err := dial(t, l).Write([]byte("x"))
	require.NoError(t, err)
	c := <-all
	assert.EqualValues(t, 1, reports.Load(), "once, when it begins")
	require.NoError(t, c.Close())
	l.End()
}

func TestLobbyIsFull(t *testing.T) {
	l := newLobby(t, loopback(t))
	l.MaxConns = 2
	reported := make(chan error, 100)
	l.Report = func(err error) { reported <- err }
	all := accepted(l)
	for range 3 {
		_, err := dial(t, l).Write([]byte("x"))
		require.NoError(t, err)
	}
	first, second := <-all, <-all
	assert.ErrorIs(t, <-reported, ErrFull)
	assert.Empty(t, all)
	require.NoError(t, first.Close())
	third := <-all
	require.NoError(t, second.Close())
	require.NoError(t, third.Close())
	l.End()
}

// A listener that will never accept again ends the lobby, too.
func TestLobbyOfADeadListener(t *testing.T) {
	from := loopback(t)
	l := newLobby(t, from)
	require.NoError(t, from.Close())
	_, err := l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	l.End()
}
