package uplink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

const patience = 10 * time.Second

// node is an uplink with what belongs to it: a store, a folder, and somebody who uses catalogs.
type node struct {
	*Uplink
	t    testing.TB
	o    Options
	kv   *memory
	stop func() error

	mu      sync.Mutex
	used    []*wire.Catalog
	refuses func(c *wire.Catalog) error
	wishes  []wire.Control
}

// newNode is a node that has not been opened.
func newNode(t testing.TB, f *fake, change ...func(*Options)) *node {
	n := &node{t: t, kv: newMemory(), stop: func() error { return nil }}
	n.o = Options{Origins: []string{f.server.URL}, Join: f.token(""), Name: "n1", Version: "1", Incarnation: "i", Dir: filepath.Join(t.TempDir(), "id"),
		backoff: func(int) time.Duration { return 2 * time.Millisecond }, probation: time.Hour, patience: 2 * time.Second,
		Check: func(ref string) error {
			if ref == "${ALLOWED}" {
				return nil
			}
			return errors.New("secrets_allow does not list " + ref)
		}}
	for _, c := range change {
		c(&n.o)
	}
	return n
}

// open makes the process: what is in the store and in the folder is what the last one left.
func (n *node) open() *node {
	n.t.Helper()
	n.used = nil
	n.o.KV = n.kv
	n.o.Activate = n.activate
	n.o.Control = func(c wire.Control) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.wishes = append(n.wishes, c)
	}
	var err error
	n.Uplink, err = Open(n.o)
	require.NoError(n.t, err)
	return n
}

func (n *node) activate(_ context.Context, c *wire.Catalog) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuses != nil {
		if err := n.refuses(c); err != nil {
			return err
		}
	}
	n.used = append(n.used, c)
	return nil
}

func (n *node) boot() bool {
	n.t.Helper()
	ok, err := n.Boot(n.t.Context())
	require.NoError(n.t, err)
	return ok
}

// run opens, boots and runs the node until the test's end, or stop.
func (n *node) run() *node {
	n.t.Helper()
	n.open()
	_, _ = n.Boot(n.t.Context())
	return n.follow()
}

func (n *node) follow() *node {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.stop = sync.OnceValue(func() error { cancel(); return <-done })
	stop := n.stop
	n.t.Cleanup(func() { _ = stop() })
	return n
}

// alone opens the node again where no origin can be reached, on a copy of its store.
func (n *node) alone() *node {
	n.t.Helper()
	other := &node{t: n.t, o: n.o, kv: n.kv.again(0), stop: func() error { return nil }}
	other.o.Dir = copyDir(n.t, n.o.Dir)
	other.o.Origins = []string{"http://127.0.0.1:1"}
	return other.open()
}

func copyDir(t testing.TB, from string) string {
	to := filepath.Join(t.TempDir(), "id")
	if _, err := os.Stat(from); err == nil {
		require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	}
	return to
}

// all are the catalogs that came into use, since the node was opened.
func (n *node) all() []*wire.Catalog {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.used)
}

// catalog is the one in use.
func (n *node) catalog() *wire.Catalog {
	all := n.all()
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// serves tells which of the test's catalogs is in use: see content.
func (n *node) serves() string {
	c := n.catalog()
	if c == nil {
		return ""
	}
	return c.Providers[0].BaseURL
}

// at waits until a revision is in use and acknowledged.
func (n *node) at(f *fake, rev int64) {
	n.t.Helper()
	testkit.Eventually(n.t, patience, func() error {
		acks := f.told(rev)
		if len(acks) == 0 || acks[len(acks)-1].Nack != nil || n.Status().Rev != rev {
			return fmt.Errorf("revision %d is not in use: %+v, acks %+v", rev, n.Status(), acks)
		}
		return nil
	})
}

// refused waits until a revision is refused, and returns the last refusal of it.
func (n *node) refused(f *fake, rev int64) wire.Nack {
	n.t.Helper()
	var nack *wire.Nack
	testkit.Eventually(n.t, patience, func() error {
		for _, a := range f.told(rev) {
			if a.Nack != nil {
				nack = a.Nack
			}
		}
		if nack == nil {
			return fmt.Errorf("revision %d is not refused: %+v", rev, n.Status())
		}
		return nil
	})
	assert.NotEmpty(n.t, nack.Message)
	return *nack
}

// up waits until the node follows a stream.
func (n *node) up(f *fake) {
	n.t.Helper()
	testkit.Eventually(n.t, patience, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.streams) == 0 {
			return fmt.Errorf("no stream: %+v", n.Status())
		}
		return nil
	})
}

// proved waits until what is in use is off probation.
func (n *node) proved() {
	n.t.Helper()
	testkit.Eventually(n.t, patience, func() error {
		if n.Status().Trial {
			return errors.New("it is still on probation")
		}
		return nil
	})
}

// content is the state of a catalog which is told from others by its provider's URL.
type content struct {
	url    string
	module string // of a policy
	secret *wire.SecretRecord
	header string // a reference to a secret
	trust  []string
	more   string
}

func at127(n int) string { return fmt.Sprintf("http://127.0.0.1:%d", n) }

func digest(text string) string { return digestOf([]byte(text)) }

func (c content) state(t testing.TB) []wire.Resource {
	var b strings.Builder
	fmt.Fprintf(&b, "providers: [{name: p, dialect: openai, base_url: %q", c.url)
	if c.secret != nil {
		b.WriteString(`, api_key: "origin:k"`)
	}
	if c.header != "" {
		fmt.Fprintf(&b, `, headers: {x-own: %q}`, c.header)
	}
	b.WriteString("}]\nmodels: [{name: m, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: x}]}]}]\n")
	if c.module != "" {
		fmt.Fprintf(&b, "policies: [{name: pol, module: %q, hooks: [route]}]\n", digest(c.module))
	}
	state, err := wire.SplitCatalog("test", []byte(b.String()+c.more))
	require.NoError(t, err)
	if c.secret != nil {
		state = append(state, resource(t, wire.KindSecret, "k", c.secret))
	}
	if c.trust != nil {
		state = append(state, resource(t, wire.KindTrust, "origin", wire.TrustRecord{Keys: c.trust}))
	}
	wire.SortResources(state)
	return state
}

func resource(t testing.TB, kind, name string, v any) wire.Resource {
	body, err := wire.CanonicalJSON(v)
	require.NoError(t, err)
	return wire.Resource{Kind: kind, Name: name, Body: body}
}

// simple is the smallest state.
func simple(t testing.TB, n int) []wire.Resource { return content{url: at127(n)}.state(t) }

// secret puts a secret's value at the origin and returns what is committed to.
func (f *fake) secret(value string) *wire.SecretRecord {
	s := secretValue{wire.NewSalt(), value}
	f.with(func() { f.secrets["k"] = s })
	return &wire.SecretRecord{Commit: wire.CommitSecret(s.salt, value)}
}

// module puts a blob at the origin.
func (f *fake) module(text string) string {
	f.with(func() { f.blobs[digest(text)] = []byte(text) })
	return text
}
