package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/store/pgtest"
)

// link is what a node tells of its origin.
type link struct {
	Link, Origin, Error      string
	Rev                      int64
	Pinned, Drained, Trial   bool
	Refused                  *struct{ Code, Message string }
	Unreported, Reason, Node string
}

func (n *node) link(t testing.TB) link {
	t.Helper()
	var s struct{ Origin link }
	n.operator(t).getJSON("/status", &s)
	return s.Origin
}

// awaitLink waits until what a node tells of its origin is as wanted.
func (n *node) awaitLink(t testing.TB, want string, is func(link) bool) {
	t.Helper()
	testkit.Eventually(t, patience, func() error {
		if l := n.link(t); !is(l) {
			return fmt.Errorf("the node's link is not %s: %+v", want, l)
		}
		return nil
	})
}

// twoOrigins runs two origins on one PostgreSQL.
func twoOrigins(t *testing.T) (*pgtest.Server, *originProcess, *originProcess) {
	t.Helper()
	server := pgtest.Own(t, "fsync=off")
	db, err := server.NewSchema(t.Context())
	require.NoError(t, err)
	kek := filepath.Join(t.TempDir(), "kek")
	a := startOrigin(t, "--db", db, "--kek", kek)
	b := startOrigin(t, "--db", db, "--kek", kek)
	b.token = a.token
	return server, a, b
}

// meter passes connections on to an origin, and counts what comes back from there.
type meter struct {
	url  string
	back atomic.Int64
}

func startMeter(t *testing.T, to string) *meter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &meter{url: "http://" + l.Addr().String()}
	var work sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", strings.TrimPrefix(to, "http://"))
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			work.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			work.Go(func() { _, _ = io.Copy(in, io.TeeReader(out, m)); _ = in.Close() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	return m
}

func (m *meter) Write(b []byte) (int, error) {
	m.back.Add(int64(len(b)))
	return len(b), nil
}

// TestTwoOrigins: a node whose origin dies goes on with the other from where it was, and two origins that make the same
// change make it once.
func TestTwoOrigins(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	_, a, b := twoOrigins(t)
	a.apply(t, originCatalog(p)+manyKeys())
	toA, toB := startMeter(t, a.url), startMeter(t, b.url)
	n := invited(t, "shop", a)
	n.args = append(n.args, "--origin", toA.url+","+toB.url)
	n.start(t)
	n.arrive(t, a.revision(t))
	n.awaitLink(t, "up", func(l link) bool { return l.Link == "up" })
	first, second, way := a, b, toB
	if n.link(t).Origin == toB.url {
		first, second, way = b, a, toA
	}
	busy := startLoad(n.as(t, "ann"), 2, func(i int64) string { return ask("m", fmt.Sprint("load ", i)) })
	before, began := way.back.Load(), time.Now()
	first.kill()
	n.awaitLink(t, "with the second", func(l link) bool { return l.Link == "up" && l.Origin == way.url })
	t.Logf("the node moved within %v", time.Since(began).Round(time.Millisecond))
	second.wedge(t, "key", "create", "after", "--models", "m")
	n.arrive(t, second.revision(t))
	moved := way.back.Load() - before
	t.Logf("moving to the other origin took %d bytes", moved)
	assert.Less(t, moved, int64(randomBytes/2), "bytes that moving to the other origin took")
	assert.Empty(t, busy.end())

	first.start(t)
	rev := first.revision(t)
	statuses := make([]int, 2)
	var racing sync.WaitGroup
	for i, o := range []*originProcess{first, second} {
		racing.Go(func() { statuses[i] = o.post("/api/v1/models/m/promote", `{"version":"1.1.0","to":"production"}`) })
	}
	racing.Wait()
	assert.Contains(t, statuses, 200)
	assert.Subset(t, []int{200, 409}, statuses)
	assert.Equal(t, rev+1, first.revision(t), "the change is made once")
	assert.Equal(t, rev+1, second.revision(t))
	for _, o := range []*originProcess{first, second} {
		assert.Regexp(t, `(?m)^1\.1\.0 +production `, o.wedge(t, "model", "show", "m"))
	}
	n.arrive(t, rev+1)
	assert.Equal(t, "1.1.0", n.as(t, "ann").chat(ask("m", "after the race")).header.Get("X-Wedge-Version"))
}

// randomBytes is how many bytes a snapshot with manyKeys has at least, however it is compressed.
const randomBytes = 900 * sha256.Size

// manyKeys continues a catalog's keys, which end it.
func manyKeys() string {
	var b strings.Builder
	for i := range 900 {
		fmt.Fprintf(&b, "  - {name: k%d, id: wk_%012x, hash: \"sha256:%x\", models: [m]}\n", i, i, sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
	}
	return b.String()
}

// TestPostgresStops: the store is away while requests, changes and reports go on. Nodes serve, and nothing that was
// promised or counted is lost.
func TestPostgresStops(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	server, a, b := twoOrigins(t)
	a.apply(t, originCatalog(p))
	nodes := []*node{joined(t, "shop-1", a, b), joined(t, "shop-2", b, a)}
	var loads []*load
	for _, n := range nodes {
		loads = append(loads, startLoad(n.as(t, "ann"), 1, func(i int64) string { return ask("m", fmt.Sprint("load ", i)) }))
	}
	var made atomic.Int64
	stop := make(chan struct{})
	var changing sync.WaitGroup
	for i, o := range []*originProcess{a, b} {
		changing.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				if o.post("/api/v1/keys", fmt.Sprintf(`{"name":"k%d-%d","models":["m"]}`, i, k)) == 201 {
					made.Add(1)
				}
			}
		})
	}
	for range soaked(10, 2) {
		time.Sleep(500 * time.Millisecond)
		server.Halt()
		time.Sleep(time.Second)
		require.NoError(t, server.Run())
		before := made.Load()
		testkit.Eventually(t, patience, func() error {
			if made.Load() < before+3 {
				return fmt.Errorf("no changes are made after the store is back")
			}
			return nil
		})
	}
	close(stop)
	changing.Wait()
	var asked int64
	for _, l := range loads {
		assert.Empty(t, l.end())
		asked += l.asked.Load()
	}
	rev := a.revision(t)
	assert.Equal(t, rev, b.revision(t))
	assert.GreaterOrEqual(t, rev, made.Load(), "a change that was promised is there")
	for _, n := range nodes {
		n.arrive(t, rev)
	}
	testkit.Eventually(t, patience, func() error {
		if got, _ := b.used(t, "m"); got != asked {
			return fmt.Errorf("%d requests of %d are counted", got, asked)
		}
		return nil
	})
}
