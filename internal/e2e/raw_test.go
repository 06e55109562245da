package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exchange sends bytes and reads what comes back until the node closes the connection, or says nothing more.
func exchange(t *testing.T, n *node, sent string) string {
	t.Helper()
	conn, err := net.Dial("tcp", n.data)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, sent)
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(700*time.Millisecond)))
	got, _ := io.ReadAll(conn)
	return string(got)
}

// rawChat is a chat request as bytes; framing are the header lines about its body.
func rawChat(framing, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n%s", chatPath, keyOf("ann"), framing, body)
}

// TestSmuggling sends requests whose length may be understood in two ways, with another request inside. The inner
// one must never be answered.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t)
	body := ask("m", "outer")
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	inner := "GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + keyOf("ann") + "\r\n\r\n"
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	for name, sent := range map[string]string{
		"both lengths, the short one first": rawChat(length(5)+"Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+inner),
		"both lengths, the long one":        rawChat("Transfer-Encoding: chunked\r\n"+length(len(chunked)+len(inner)), "0\r\n\r\n"+inner),
		"two lengths":                       rawChat(length(len(body))+length(len(body)+len(inner)), body+inner),
		"a signed length":                   rawChat("Content-Length: +5\r\n", body+inner),
		"a negative length":                 rawChat("Content-Length: -1\r\n", body+inner),
		"a length in words":                 rawChat("Content-Length: 5 5\r\n", body+inner),
		"a spaced name":                     rawChat("Content-Length : 5\r\n", body+inner),
		"another coding":                    rawChat("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"+inner),
		"two codings":                       rawChat("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"+inner),
		"a bad chunk":                       rawChat("Transfer-Encoding: chunked\r\n", "5x\r\n"+body+inner),
		"a huge chunk":                      rawChat("Transfer-Encoding: chunked\r\n", "ffffffffffffffff1\r\n"+body+inner),
		"a line feed alone":                 rawChat("X: y\nTransfer-Encoding: chunked\r\n"+length(5), "0\r\n\r\n"+inner),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := exchange(t, n, sent)
			assert.NotContains(t, got, `"object":"list"`, "the inner request was answered")
			assert.LessOrEqual(t, strings.Count(got, "X-Request-Id: "), 1)
			assert.NotContains(t, got, "HTTP/1.1 200")
			assert.NotContains(t, got, keyOf("ann")[16:])
		})
	}
	assert.Equal(t, 200, n.as(t, "ann").chat(body).status)
}

// TestPipelining sends three requests at once. They are answered in order, and what waits to be read is not taken for
// a client that left.
func TestPipelining(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t)
	conn, err := net.Dial("tcp", n.data)
	require.NoError(t, err)
	defer conn.Close()
	sent := ""
	for i := range 3 {
		body := ask("sim/x;latency=100ms", fmt.Sprint("pipeline ", i), []string{`"n":1`, streamed}[i%2])
		sent += rawChat(fmt.Sprintf("Content-Length: %d\r\n", len(body)), body)
	}
	_, err = io.WriteString(conn, sent)
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	for i := range 3 {
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		a := &answer{resp.StatusCode, resp.Header, string(b)}
		require.Equal(t, 200, a.status, a.brief())
		got := a.said(t)
		assert.True(t, got.done)
		assert.Contains(t, got.text, fmt.Sprint("pipeline ", i))
	}
}

// TestGarbage sends what is no request at all.
func TestGarbage(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t)
	for _, sent := range []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\r\n\r\n\r\n", "GET\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", strings.Repeat("\x00", 5000)} {
		got := exchange(t, n, sent)
		if got != "" {
			assert.Regexp(t, `^HTTP/1\.1 4\d\d `, got)
			assert.Contains(t, got, "X-Wedge-Error: ")
		}
	}
	require.NoError(t, n.alive())
	assert.Equal(t, 200, n.operator(t).get("/readyz").status)
}

// TestDamagedStore starts a node on a store that is none any more. It serves all the same.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	n, _ := operationNode(t)
	ann := n.as(t, "ann")
	first := ann.wantCache("miss", ask("m", "store"))
	n.terminate()
	files, err := filepath.Glob(filepath.Join(n.folder, "store", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			require.NoError(t, os.WriteFile(file, []byte("this is no store"), 0o600))
		}
	}
	n.start(t)
	ann = n.as(t, "ann")
	got := ann.chat(ask("m", "store"))
	require.Equal(t, 200, got.status, got.brief())
	assert.Equal(t, first.said(t).text, got.said(t).text)
	ann.wantCache("hit-memory", ask("m", "store"))
	assert.Equal(t, 200, n.operator(t).get("/readyz").status)
}
