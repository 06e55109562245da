package e2e

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// TestTooManyOpenFiles: a node that may open no more files goes on when some have been closed.
func TestTooManyOpenFiles(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "x;tokens=5", "")).
		at("other", p.addr, "").model("n", "", target("other", "x;tokens=5", "")).key("ann", "").String())
	ann := n.as(t, "ann")
	require.Equal(t, 200, ann.chat(ask("m", "before")).status)
	pid := n.cmd.Process.Pid
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	require.NoError(t, err)
	var before unix.Rlimit
	few := unix.Rlimit{Cur: uint64(len(open)) + 20}
	require.NoError(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before))
	few.Max = before.Max
	require.NoError(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, &few, nil))
	conns := make([]net.Conn, 60)
	for i := range conns {
		conns[i], err = net.Dial("tcp", n.data)
		require.NoError(t, err)
	}
	time.Sleep(500 * time.Millisecond) // it fails to accept them more than once
	a := ann.chat(ask("n", "over the connection that is open, to a provider that is not yet connected"))
	require.Equal(t, []any{503, "overloaded"}, []any{a.status, a.header.Get("X-Wedge-Error")})
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	testkit.Eventually(t, 10*time.Second, func() error {
		for _, model := range []string{"m", "n"} {
			if a := ann.chat(ask(model, "after")); a.status != 200 {
				return fmt.Errorf("the node answers with status %d", a.status)
			}
		}
		return nil
	})
}
