package downstream

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// fasthttp's caretakers end seconds after the server that they care for.
func TestMain(m *testing.M) {
	const fh = "github.com/valyala/fasthttp."
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(fh+"updateServerDate.func1"),
		goleak.IgnoreAnyFunction(fh+"(*workerPool).Start.func2"))
}

// counting counts the writes that reach the sockets of a listener.
type counting struct {
	net.Listener
	writes atomic.Int64
}

func (l *counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{c.(*net.TCPConn), l}, nil
}

type countingConn struct {
	*net.TCPConn
	l *counting
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.l.writes.Add(1)
	return c.TCPConn.Write(p)
}

func newListener(t testing.TB) (*Listener, *counting) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cl := &counting{Listener: l}
	t.Cleanup(func() { l.Close() })
	return Listen(cl), cl
}

// pair is a client's socket and the connection that was accepted for it.
func pair(t testing.TB, l *Listener) (*net.TCPConn, *Conn) {
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	c, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { client.Close(); c.Close() })
	return client.(*net.TCPConn), c.(*Conn)
}
