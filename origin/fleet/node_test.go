package fleet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// node does what a node does with an origin, and believes nothing that is not verified.
type node struct {
	t      testing.TB
	name   string
	key    *ecdsa.PrivateKey
	cert   []byte
	ca     []byte
	stop   func() // ends the stream and waits for it
	client *http.Client

	mu        sync.Mutex
	url       string
	session   string
	trust     wire.Trust
	at        wire.Position // verified
	used      wire.Position // in use
	state     map[string]wire.Resource
	refuse    func(rev int64) *wire.Nack // nil: takes everything
	mute      bool                       // answers nothing
	snapshots int
	deltas    int
	folds     int
	seen      []int64 // revisions that came as deltas
	control   wire.Control
	controls  int
	bytes     int // of frames
	failure   error
	acked     func(rev int64)
}

func newNode(t testing.TB, name string) *node {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	n := &node{t: t, name: name, key: key, stop: func() {}, state: map[string]wire.Resource{}, client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(func() {
		n.stop()
		n.client.CloseIdleConnections()
	})
	return n
}

// refused is what an origin said in place of an answer.
type refused struct {
	status int
	retry  string
	wire.SyncError
}

func (r *refused) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.Code, r.Message) }

func codeOf(err error) string {
	if r, is := errors.AsType[*refused](err); is {
		return r.Code
	}
	return fmt.Sprint(err)
}

func (n *node) csr() []byte {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, n.key)
	require.NoError(n.t, err)
	return csr
}

func (n *node) enrol(o *origin, token wire.JoinToken) error {
	n.url = o.server.URL
	if o.server.TLS != nil {
		pem, _ := o.vault.CA()
		n.ca = pem
		n.useTLS()
	}
	var e wire.Enrolled
	if err := n.post(wire.PathEnrol, wire.Enrolment{Token: token.String(), Name: n.name, CSR: n.csr()}, &e); err != nil {
		return err
	}
	n.name, n.cert, n.ca = e.Name, e.Certificate, e.CA
	var err error
	n.trust, err = wire.TrustOf(e.Trust...)
	if o.server.TLS != nil {
		n.useTLS()
	}
	return err
}

func (n *node) useTLS() {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(n.ca)
	config := &tls.Config{RootCAs: pool}
	if n.cert != nil {
		config.Certificates = []tls.Certificate{{Certificate: [][]byte{n.cert}, PrivateKey: n.key}}
	}
	n.client.CloseIdleConnections()
	n.client = &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
}

// ask sends a request with the node's identity.
func (n *node) ask(ctx context.Context, method, path string, body []byte, header ...string) (*http.Response, error) {
	n.mu.Lock()
	url := n.url + path
	n.mu.Unlock()
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if r.URL.Scheme == "http" && n.cert != nil {
		r.Header.Set("Authorization", wire.SignRequest(n.key, n.cert, method, r.URL.RequestURI(), time.Now()))
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := n.client.Do(r)
	if err != nil || answer.StatusCode < 300 {
		return answer, err
	}
	defer func() { _ = answer.Body.Close() }()
	told := &refused{status: answer.StatusCode, retry: answer.Header.Get("Retry-After")}
	if err := json.NewDecoder(answer.Body).Decode(&told.SyncError); err != nil {
		return nil, fmt.Errorf("status %d without a SyncError: %w", answer.StatusCode, err)
	}
	return nil, told
}

func (n *node) post(path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	answer, err := n.ask(context.Background(), http.MethodPost, path, b)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if into == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

func (n *node) hello() error {
	var w wire.Welcome
	n.mu.Lock()
	h := wire.Hello{Schema: wire.SyncSchema, Version: "test", Incarnation: "1", Epoch: n.used.Epoch, Rev: n.used.Rev}
	n.mu.Unlock()
	if err := n.post(wire.PathHello, h, &w); err != nil {
		return err
	}
	n.mu.Lock()
	n.session = w.Session
	n.mu.Unlock()
	return nil
}

// follow says hello and reads the stream until ctx is done or it breaks off.
func (n *node) follow(ctx context.Context, wait string) error {
	n.mu.Lock()
	path := fmt.Sprintf("%s?session=%s&epoch=%d&rev=%d&chain=%s", wire.PathStream, n.session, n.at.Epoch, n.at.Rev, n.at.Chain)
	n.mu.Unlock()
	if wait != "" {
		path += "&wait=" + wait
	}
	answer, err := n.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	return n.read(answer.Body)
}

// staged is what came since the last head.
type staged struct {
	at    wire.Position
	state map[string]wire.Resource
	all   bool // a whole state
}

func (n *node) read(r io.Reader) error {
	var buf []byte
	var s *staged
	for {
		t, body, err := wire.ReadFrame(r, buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		n.mu.Lock()
		n.bytes += len(body) + 5
		s, err = n.take(t, body, s)
		n.mu.Unlock()
		if err != nil {
			return fmt.Errorf("frame %q: %w", t, err)
		}
		if t == wire.FrameHead {
			if err := n.answer(); err != nil {
				return err
			}
		}
		buf = body
	}
}

func (n *node) take(t wire.FrameType, body []byte, s *staged) (*staged, error) {
	if s == nil {
		s = &staged{at: n.at, state: n.state}
	}
	switch t {
	case wire.FramePing:
		return s, nil
	case wire.FrameControl:
		n.controls++
		n.control = wire.Control{}
		return s, wire.DecodeStrict(body, &n.control)
	case wire.FrameSnapshot:
		n.snapshots++
		return &staged{state: map[string]wire.Resource{}, all: true}, nil
	case wire.FrameResource:
		r, err := wire.ParseResource(body)
		r.Body = bytes.Clone(r.Body)
		s.state[r.Kind+" "+r.Name] = r
		return s, err
	case wire.FrameDelta:
		return s, n.takeDelta(body, s)
	case wire.FrameHead:
		return nil, n.takeHead(body, s)
	}
	return s, errors.New("unknown")
}

func (n *node) takeDelta(body []byte, s *staged) error {
	d, err := wire.ParseDelta(body)
	if err != nil {
		return err
	}
	at, edits, err := d.Follow(s.at)
	if err != nil {
		return err
	}
	n.deltas++
	n.seen = append(n.seen, d.Rev)
	s.at = at
	for _, e := range edits {
		if delete(s.state, e.Kind+" "+e.Name); !e.Deleted {
			e.Body = bytes.Clone(e.Body)
			s.state[e.Kind+" "+e.Name] = e.Resource
		}
	}
	return nil
}

func (n *node) takeHead(body []byte, s *staged) error {
	h, err := wire.ParseHead(body)
	if err != nil {
		return err
	}
	if err := n.trust.Verify(&h); err != nil {
		return err
	}
	if s.all && h.State == nil {
		return errors.New("a whole state's head does not tell its digest")
	}
	if !s.all && h.Position != s.at {
		return fmt.Errorf("the head is at %s, the deltas lead to %s", h.Position, s.at)
	}
	if h.State != nil {
		if got := digestOf(s.state); got != *h.State {
			return errors.New("the state is not the one that the head covers")
		}
		if !s.all {
			n.folds++
		}
	}
	n.at, n.state = h.Position, s.state
	return nil
}

// believe takes over the keys that what it uses names.
func (n *node) believe() (err error) {
	if r, there := n.state[wire.KindTrust+" origin"]; there {
		var record wire.TrustRecord
		if err := wire.DecodeStrict(r.Body, &record); err != nil {
			return err
		}
		n.trust, err = wire.TrustOf(record.Keys...)
	}
	return err
}

func digestOf(state map[string]wire.Resource) wire.StateDigest {
	var all []wire.Resource
	for _, r := range state {
		all = append(all, r)
	}
	wire.SortResources(all)
	return wire.DigestState(all)
}

// answer puts the head into use, or refuses it.
func (n *node) answer() error {
	n.mu.Lock()
	a := wire.Ack{Session: n.session, Epoch: n.at.Epoch, Rev: n.at.Rev, Digest: "d"}
	mute, acked := n.mute, n.acked
	if n.refuse != nil {
		a.Nack = n.refuse(a.Rev)
	}
	if a.Nack == nil && !mute {
		n.used = n.at
		if err := n.believe(); err != nil {
			n.mu.Unlock()
			return err
		}
	}
	n.mu.Unlock()
	if mute {
		return nil
	}
	if a.Nack == nil && acked != nil {
		acked(a.Rev)
	}
	return n.post(wire.PathAck, a, nil)
}

// connect says hello to an origin, and follows it until disconnect or the test's end, coming again as a node does.
func (n *node) connect(o *origin) {
	n.t.Helper()
	n.stop()
	n.mu.Lock()
	n.url, n.failure = o.server.URL, nil
	n.mu.Unlock()
	require.NoError(n.t, n.hello())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := n.follow(ctx, "")
		n.mu.Lock()
		if ctx.Err() == nil {
			n.failure = errors.Join(errOver, err)
		}
		n.mu.Unlock()
	}()
	n.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
}

var errOver = errors.New("the stream is over")

func (n *node) over() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failure
}

func (n *node) rev() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.used.Rev
}

// reaches waits until the node uses a head.
func (n *node) reaches(h store.Head) {
	n.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		n.mu.Lock()
		used, failure := n.used, n.failure
		n.mu.Unlock()
		if used == positionOf(h) {
			return
		}
		require.NoError(n.t, failure, n.name)
		require.True(n.t, time.Now().Before(deadline), "%s is at %s, not at %d/%d", n.name, used, h.Epoch, h.Rev)
		time.Sleep(time.Millisecond)
	}
}

func (n *node) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func (n *node) sees(rev int64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.seen, rev) || n.at.Rev >= rev
}

// received is how many bytes of frames have come.
func (n *node) received() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bytes
}

// forget makes it a node with nothing.
func (n *node) forget() {
	n.at, n.used, n.state = wire.Position{}, wire.Position{}, map[string]wire.Resource{}
}
