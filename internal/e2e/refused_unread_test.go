package e2e

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRefusalsOfWhatIsNotRead sends more than the node reads. The refusal must reach the client all the same: a
// connection that is closed while bytes wait to be read is reset, and takes the answer with it.
func TestRefusalsOfWhatIsNotRead(t *testing.T) {
	t.Parallel()
	n, _ := errorsNode(t)
	for range 20 {
		(&refusal{body: ask("good", "Hello"), headers: []string{"x-long", strings.Repeat("a", 40<<10)}, status: 431, code: "headers_too_large"}).check(t, n)
		(&refusal{body: ask("good", strings.Repeat("a", 8<<20)), status: 413, code: "body_too_large"}).check(t, n)
	}
}

// TestRequestTimeout trickles a request in: the node waits for read_timeout and then says so.
func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "x", "")).key("ann", "").String(), "--read-timeout", "500ms")
	for _, sent := range []string{
		"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-",
		"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
	} {
		nc, err := net.Dial("tcp", n.data)
		require.NoError(t, err)
		_, err = nc.Write([]byte(sent))
		require.NoError(t, err)
		require.NoError(t, nc.SetReadDeadline(time.Now().Add(10*time.Second)))
		answer, err := io.ReadAll(nc)
		require.NoError(t, err)
		assert.Contains(t, string(answer), " 408 ")
		assert.Contains(t, string(answer), "X-Wedge-Error: request_timeout")
		require.NoError(t, nc.Close())
	}
}
