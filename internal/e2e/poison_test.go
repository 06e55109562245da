package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
	"github.com/wedge-proxy/wedge/wire"
)

// poisoner is an origin that says whatever a test wants: what a stolen machine, a bad disk or a bug may say.
type poisoner struct {
	t      *testing.T
	url    string
	key    ed25519.PrivateKey
	ca     *x509.Certificate
	caKey  *ecdsa.PrivateKey
	mu     sync.Mutex
	at     wire.Position
	state  []wire.Resource
	blobs  map[string][]byte
	first  [][]byte      // what a node gets that has nothing
	frames [][]byte      // what streams get after that, until the node has answered it
	batch  int           // how often there was something new to send
	more   chan struct{} // closed when there is
	acks   []wire.Ack
}

func newPoisoner(t *testing.T) *poisoner {
	t.Helper()
	p := &poisoner{t: t, at: wire.Position{Epoch: 1000}, blobs: map[string][]byte{}, more: make(chan struct{})}
	var err error
	_, p.key, err = ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	p.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.caKey.Public(), p.caKey)
	require.NoError(t, err)
	p.ca, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathEnrol, p.enrol)
	mux.HandleFunc("POST "+wire.PathHello, p.hello)
	mux.HandleFunc("GET "+wire.PathStream, p.stream)
	mux.HandleFunc("POST "+wire.PathAck, p.ack)
	mux.HandleFunc("POST "+wire.PathReport, func(out http.ResponseWriter, r *http.Request) {
		var report wire.Report
		_ = json.NewDecoder(r.Body).Decode(&report)
		_ = json.NewEncoder(out).Encode(wire.ReportReply{Seq: report.Seq})
	})
	mux.HandleFunc("GET "+wire.PathBlob+"{digest}", func(out http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if blob, ok := p.blobs[r.PathValue("digest")]; ok {
			http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(blob))
			return
		}
		http.Error(out, `{"code":"not_found","message":"no such blob"}`, http.StatusNotFound)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.CloseClientConnections)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *poisoner) trust() string { return wire.FormatPublicKey(p.key.Public().(ed25519.PublicKey)) }

func (p *poisoner) enrol(out http.ResponseWriter, r *http.Request) {
	var e wire.Enrolment
	if json.NewDecoder(r.Body).Decode(&e) != nil {
		return
	}
	request, err := x509.ParseCertificateRequest(e.CSR)
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	expires := time.Now().Add(time.Hour)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: e.Name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: expires, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, p.ca, request.PublicKey, p.caKey)
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(out).Encode(wire.Enrolled{Name: e.Name, Certificate: der, Trust: []string{p.trust()}, Expires: expires,
		CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.ca.Raw})})
}

func (p *poisoner) hello(out http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(out).Encode(wire.Welcome{Session: "s", Schema: wire.SyncSchema, Time: time.Now().UnixMilli(),
		PingEvery: 1000, ReportEvery: 1000, Trust: []string{p.trust()}})
}

func (p *poisoner) ack(out http.ResponseWriter, r *http.Request) {
	var a wire.Ack
	_ = json.NewDecoder(r.Body).Decode(&a)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acks = append(p.acks, a)
	out.WriteHeader(http.StatusNoContent)
}

// stream sends what there is, from where the node stands, and then what comes. A stream that begins gets once more
// what is not answered: the one before may have ended while it was on its way.
func (p *poisoner) stream(out http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	if rev, _ := strconv.ParseInt(r.URL.Query().Get("rev"), 10, 64); rev == 0 {
		for _, frame := range p.first {
			_, _ = out.Write(frame)
		}
	}
	p.mu.Unlock()
	for sent := 0; ; {
		p.mu.Lock()
		var next [][]byte
		if sent != p.batch {
			next, sent = p.frames, p.batch
		}
		more := p.more
		p.mu.Unlock()
		for _, frame := range next {
			_, _ = out.Write(frame)
		}
		_, _ = out.Write(wire.AppendFrame(nil, wire.FramePing, make([]byte, 8)))
		out.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-more:
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (p *poisoner) send(frames ...[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames, p.batch = frames, p.batch+1
	close(p.more)
	p.more = make(chan struct{})
}

func frame(t wire.FrameType, body []byte) []byte { return wire.AppendFrame(nil, t, body) }

// snapshot says that the state is a catalog's, at a position, signed with a key.
func (p *poisoner) snapshot(catalog string, at wire.Position, key ed25519.PrivateKey) [][]byte {
	p.t.Helper()
	state, err := wire.SplitCatalog("poison", []byte(catalog))
	require.NoError(p.t, err)
	body, err := wire.CanonicalJSON(wire.TrustRecord{Keys: []string{p.trust()}})
	require.NoError(p.t, err)
	state = append(state, wire.Resource{Kind: wire.KindTrust, Name: "origin", Body: body})
	return p.stated(state, at, key)
}

// stated is a snapshot of resources, whatever they say.
func (p *poisoner) stated(state []wire.Resource, at wire.Position, key ed25519.PrivateKey) [][]byte {
	p.t.Helper()
	wire.SortResources(state)
	start, err := json.Marshal(wire.SnapshotStart{Epoch: at.Epoch, Rev: at.Rev, Resources: len(state)})
	require.NoError(p.t, err)
	frames := [][]byte{frame(wire.FrameSnapshot, start)}
	for i := range state {
		frames = append(frames, frame(wire.FrameResource, wire.AppendResource(nil, &state[i])))
	}
	digest := wire.DigestState(state)
	head := wire.SignHead(key, at, &digest, time.Now())
	return append(frames, frame(wire.FrameHead, head.Append(nil)))
}

// nacked waits until the node refuses a revision.
func (p *poisoner) nacked(rev int64) (nack wire.Nack) {
	p.t.Helper()
	testkit.Eventually(p.t, patience, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, a := range p.acks {
			if a.Rev == rev && a.Nack != nil {
				nack, p.frames = *a.Nack, nil
				return nil
			}
		}
		return fmt.Errorf("revision %d is not refused: %+v", rev, p.acks)
	})
	return nack
}

// acked waits until the node has a revision in use.
func (p *poisoner) acked(rev int64) {
	p.t.Helper()
	testkit.Eventually(p.t, patience, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, a := range p.acks {
			if a.Rev == rev && a.Nack == nil {
				p.frames = nil
				return nil
			}
		}
		return fmt.Errorf("revision %d is not in use: %+v", rev, p.acks)
	})
}

// TestPoisonedRevisions: whatever an origin says, the node serves the last good revision, tells why it refuses, and takes
// the next good one.
func TestPoisonedRevisions(t *testing.T) {
	t.Parallel()
	provider, p := startProvider(t), newPoisoner(t)
	dir := t.TempDir()
	n := &node{folder: filepath.Join(dir, "data"), accessLog: filepath.Join(dir, "access.log")}
	token := wire.JoinToken{ID: "t", Secret: "s", Expires: time.Now().Add(time.Hour)}
	n.args = []string{"edge", "--origin", p.url, "--join", token.String(), "--name", "victim", "--data", n.folder,
		"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--access-log", n.accessLog, "--drain", "5s"}
	good := (&catalog{}).at("sim", provider.addr, "").key("ann", "").model("m", "", target("sim", "x", ""))
	at := wire.Position{Epoch: 1000, Rev: 10}
	p.mu.Lock() // which the race detector knows; the process between it does not
	p.first = p.snapshot(good.String(), at, p.key)
	p.mu.Unlock()
	n.start(t)
	p.acked(10)
	serves := func() {
		t.Helper()
		require.Equal(t, 200, n.as(t, "ann").chat(ask("m", "still there?")).status)
	}
	serves()
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	policy := func(module []byte) string {
		digest := "sha256:" + sha256Hex(module)
		p.mu.Lock()
		p.blobs[digest] = module
		p.mu.Unlock()
		c := *good
		c.models = []string{`{name: m, policies: [bad], versions: [{version: 1.0.0, status: production, targets: [{provider: sim, model: x}]}]}`}
		c.policies = []string{`{name: bad, module: "` + digest + `", hooks: [route]}`}
		return c.String()
	}
	unknown, err := wire.SplitCatalog("poison", []byte(good.String()))
	require.NoError(t, err)
	for i := range unknown {
		if unknown[i].Kind == wire.KindModel {
			unknown[i].Body = append(unknown[i].Body[:len(unknown[i].Body)-1:len(unknown[i].Body)-1], `,"warp":9}`...)
		}
	}
	missing := good.String() + "policies: [{name: gone, module: \"sha256:" + sha256Hex([]byte("gone")) + "\", hooks: [route]}]\n"
	for i, c := range []struct {
		name   string
		frames func(at wire.Position) [][]byte
		codes  []string
	}{
		{"a stranger's signature", func(at wire.Position) [][]byte { return p.snapshot(good.String(), at, stranger) }, []string{"sig"}},
		{"an older head", func(at wire.Position) [][]byte {
			return p.snapshot(good.String(), wire.Position{Epoch: 1000, Rev: 5}, p.key)
		}, []string{"sig"}},
		{"a head of an epoch before", func(at wire.Position) [][]byte {
			return p.snapshot(good.String(), wire.Position{Epoch: 999, Rev: 500}, p.key)
		}, []string{"sig"}},
		{"a resource that is not covered", func(at wire.Position) [][]byte {
			frames := p.snapshot(good.String(), at, p.key)
			frames[1] = frame(wire.FrameResource, wire.AppendResource(nil, &wire.Resource{Kind: "model", Name: "z", Body: []byte("{}")}))
			return frames
		}, []string{"chain", "schema"}},
		{"an unknown field", func(at wire.Position) [][]byte { return p.stated(unknown, at, p.key) }, []string{"schema"}},
		{"a start function without end", func(at wire.Position) [][]byte { return p.snapshot(policy(endlessStart()), at, p.key) }, []string{"compile"}},
		{"a gigabyte of memory", func(at wire.Position) [][]byte { return p.snapshot(policy(hugeMemory()), at, p.key) }, []string{"compile"}},
		{"no module at all", func(at wire.Position) [][]byte { return p.snapshot(policy([]byte("not wasm")), at, p.key) }, []string{"compile"}},
		{"a module that nobody has", func(at wire.Position) [][]byte { return p.snapshot(missing, at, p.key) }, []string{"resource"}},
	} {
		next := wire.Position{Epoch: 1000, Rev: int64(20 + i)}
		p.send(c.frames(next)...)
		rev := next.Rev
		switch c.name {
		case "an older head":
			rev = 5
		case "a head of an epoch before":
			rev = 500
		}
		nack := p.nacked(rev)
		assert.Contains(t, c.codes, nack.Code, "%s: %s", c.name, nack.Message)
		assert.NotEmpty(t, nack.Message)
		serves()
	}
	p.send(p.snapshot(good.String(), wire.Position{Epoch: 1000, Rev: 100}, p.key)...)
	p.acked(100)
	serves()
}

// endlessStart never gets out of its start function.
func endlessStart() []byte {
	return guest{funcs: func(m *w.Module) { m.Start(m.Func(none, none, w.Forever())) }}.module()
}

// hugeMemory asks for a gigabyte.
func hugeMemory() []byte { return guest{pages: 16384}.module() }

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
