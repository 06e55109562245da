package upstream

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLocal(t *testing.T) {
	ended := make(chan error, 1)
	e := NewLocal(func(c net.Conn) {
		defer c.Close()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		asked, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: "+string(asked)+"\n\n")
		_, err = io.Copy(io.Discard, c)
		ended <- err
	})
	var call Call
	require.NoError(t, e.Do(&call, &Request{Path: []byte("/x"), Body: []byte("hello"), FirstByte: time.Second, ChunkTimeout: time.Second}))
	got := make([]byte, 13)
	_, err := io.ReadFull(&call, got)
	require.NoError(t, err)
	assert.Equal(t, "data: hello\n\n", string(got))
	call.Abort()
	<-ended // whoever serves is told
	call.Close()
	open, _ := e.Conns()
	assert.Zero(t, open)
}
