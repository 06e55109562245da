package uplink

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// asked is where a stream was asked to go on.
type asked struct {
	at   wire.Position
	wait time.Duration
}

// fake is an origin that does what a test wants.
type fake struct {
	t         testing.TB
	authority *authority
	server    *httptest.Server

	mu      sync.Mutex
	signer  ed25519.PrivateKey
	trust   []string // what it names when a node enrols
	life    time.Duration
	at      wire.Position
	state   []wire.Resource
	deltas  map[int64][]byte
	past    map[int64]wire.Position
	blobs   map[string][]byte
	secrets map[string]secretValue
	tokens  map[string]string // join tokens, with the name that they name
	streams map[chan []byte]bool
	opening func(at wire.Position) [][]byte // what streams begin with; nil: what the node lacks
	answer  map[string]http.HandlerFunc     // in place of the usual answer, by the beginning of the path
	mute    bool                            // streams do not say a word
	session int
	clock   time.Duration // how far it is ahead

	acks    []wire.Ack
	asked   []asked
	hellos  []wire.Hello
	reports []wire.Report
	renewed int
}

type secretValue struct {
	salt  [32]byte
	value string
}

func newKey(t testing.TB) ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return key
}

func public(key ed25519.PrivateKey) string {
	return wire.FormatPublicKey(key.Public().(ed25519.PublicKey))
}

func newFake(t testing.TB) *fake { return startFake(t, newAuthority(t), false) }

func startFake(t testing.TB, a *authority, encrypted bool) *fake {
	f := &fake{t: t, authority: a, signer: newKey(t), life: time.Hour, at: wire.Position{Epoch: 100}, deltas: map[int64][]byte{},
		past: map[int64]wire.Position{}, blobs: map[string][]byte{}, secrets: map[string]secretValue{}, tokens: map[string]string{},
		streams: map[chan []byte]bool{}, answer: map[string]http.HandlerFunc{}}
	f.trust = []string{public(f.signer)}
	f.server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	if encrypted {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		der := a.issue(key.Public(), "origin", time.Hour, x509.ExtKeyUsageServerAuth)
		pool := x509.NewCertPool()
		pool.AddCert(a.cert)
		f.server.EnableHTTP2 = true
		f.server.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool,
			Certificates: []tls.Certificate{{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}}}
		f.server.StartTLS()
	} else {
		f.server.Start()
	}
	t.Cleanup(f.stop)
	return f
}

func (f *fake) stop() {
	f.cut()
	f.server.CloseClientConnections()
	f.server.Close()
}

// twin is another origin of the same fleet.
func (f *fake) twin() *fake {
	g := startFake(f.t, f.authority, false)
	g.signer, g.trust, g.at, g.state, g.deltas, g.past, g.tokens = f.signer, f.trust, f.at, f.state, f.deltas, f.past, f.tokens
	return g
}

// with changes what the fake does.
func (f *fake) with(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// token makes a join token, for a node of a name or of any.
func (f *fake) token(name string) string { return f.invite(name, time.Hour) }

func (f *fake) invite(name string, life time.Duration) string {
	t := wire.JoinToken{ID: "t" + strconv.FormatInt(time.Now().UnixNano(), 36), Secret: "s", Expires: time.Now().Add(life)}
	if f.server.TLS != nil {
		t.CA = f.authority.fingerprint()
	}
	f.with(func() { f.tokens[t.String()] = name })
	return t.String()
}

func refuseWith(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(wire.SyncError{Code: code, Message: message})
	}
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	var instead http.HandlerFunc
	for path, h := range f.answer {
		if strings.HasPrefix(r.URL.Path, path) {
			instead = h
		}
	}
	f.mu.Unlock()
	if instead != nil {
		instead(w, r)
		return
	}
	cert := f.identify(r)
	if r.URL.Path == wire.PathEnrol {
		f.enrol(w, r)
		return
	}
	if cert == nil {
		refuseWith(401, "unauthenticated", "who are you?")(w, r)
		return
	}
	switch {
	case r.URL.Path == wire.PathHello:
		f.hello(w, r)
	case r.URL.Path == wire.PathStream:
		f.stream(w, r)
	case r.URL.Path == wire.PathRenew:
		var ask wire.Renewal
		f.read(r, &ask)
		f.with(func() { f.renewed++ })
		f.sendIdentity(w, ask.CSR, cert.Subject.CommonName)
	case r.URL.Path == wire.PathAck:
		var ack wire.Ack
		f.read(r, &ack)
		f.with(func() { f.acks = append(f.acks, ack) })
		w.WriteHeader(204)
	case r.URL.Path == wire.PathReport:
		f.report(w, r)
	case r.URL.Path == wire.PathSecrets:
		f.seal(w, r, cert)
	case strings.HasPrefix(r.URL.Path, wire.PathBlob):
		f.mu.Lock()
		blob, there := f.blobs[strings.TrimPrefix(r.URL.Path, wire.PathBlob)]
		f.mu.Unlock()
		if !there {
			refuseWith(404, "not_found", "no such blob")(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	default:
		http.NotFound(w, r)
	}
}

func (f *fake) read(r *http.Request, v any) {
	body, _ := io.ReadAll(r.Body)
	if err := wire.DecodeStrict(body, v); err != nil {
		f.t.Errorf("%s: %v: %s", r.URL.Path, err, body)
	}
}

// identify is the certificate that a request comes with.
func (f *fake) identify(r *http.Request) *x509.Certificate {
	if r.TLS != nil {
		if len(r.TLS.PeerCertificates) == 0 {
			return nil
		}
		return r.TLS.PeerCertificates[0]
	}
	f.mu.Lock()
	now := time.Now().Add(f.clock)
	f.mu.Unlock()
	cert, err := wire.CheckRequest(r.Header.Get("Authorization"), r.Method, r.RequestURI, now)
	if err != nil || cert.CheckSignatureFrom(f.authority.cert) != nil {
		return nil
	}
	return cert
}

func (f *fake) enrol(w http.ResponseWriter, r *http.Request) {
	var ask wire.Enrolment
	f.read(r, &ask)
	f.mu.Lock()
	name, good := f.tokens[ask.Token]
	delete(f.tokens, ask.Token)
	f.mu.Unlock()
	if !good {
		refuseWith(403, "forbidden", "the join token was used before")(w, r)
		return
	}
	if name == "" {
		name = ask.Name
	}
	f.sendIdentity(w, ask.CSR, name)
}

func (f *fake) sendIdentity(w http.ResponseWriter, csr []byte, name string) {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		refuseWith(400, "invalid", "no request")(w, nil)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	der := f.authority.issue(request.PublicKey, name, f.clock+f.life, x509.ExtKeyUsageClientAuth)
	_ = json.NewEncoder(w).Encode(wire.Enrolled{Name: name, Certificate: der, CA: f.authority.pem(), Trust: f.trust, Expires: time.Now().Add(f.life)})
}

func (f *fake) hello(w http.ResponseWriter, r *http.Request) {
	var h wire.Hello
	f.read(r, &h)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session++
	f.hellos = append(f.hellos, h)
	_ = json.NewEncoder(w).Encode(wire.Welcome{Session: strconv.Itoa(f.session), Schema: wire.SyncSchema, Time: time.Now().UnixMilli(),
		PingEvery: 100, ReportEvery: 100, Trust: f.trust})
}

// report counts reports of one incarnation in their order.
func (f *fake) report(w http.ResponseWriter, r *http.Request) {
	var report wire.Report
	f.read(r, &report)
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := int64(0)
	for _, before := range f.reports {
		if before.Incarnation == report.Incarnation {
			seen = max(seen, before.Seq)
		}
	}
	if report.Seq > seen+1 {
		refuseWith(409, "gap", "a report is missing")(w, r)
		return
	}
	if report.Seq == seen+1 {
		f.reports = append(f.reports, report)
	}
	_ = json.NewEncoder(w).Encode(wire.ReportReply{Seq: max(seen, report.Seq), Duplicate: report.Seq <= seen})
}

func (f *fake) seal(w http.ResponseWriter, r *http.Request, cert *x509.Certificate) {
	var ask wire.SecretsWanted
	f.read(r, &ask)
	f.mu.Lock()
	defer f.mu.Unlock()
	out := wire.Secrets{Sealed: map[string][]byte{}}
	for _, name := range ask.Names {
		s := f.secrets[name]
		sealed, err := wire.SealSecret(cert.PublicKey.(*ecdsa.PublicKey), name, s.salt, s.value)
		if err != nil {
			f.t.Error(err)
		}
		out.Sealed[name] = sealed
	}
	_ = json.NewEncoder(w).Encode(out)
}

// stream sends what the node lacks, and what comes.
func (f *fake) stream(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	at := wire.Position{}
	at.Epoch, _ = strconv.ParseInt(q.Get("epoch"), 10, 64)
	at.Rev, _ = strconv.ParseInt(q.Get("rev"), 10, 64)
	chain, _ := hex.DecodeString(q.Get("chain"))
	copy(at.Chain[:], chain)
	wait, _ := time.ParseDuration(q.Get("wait"))
	queue := make(chan []byte, 1000)
	f.mu.Lock()
	f.asked = append(f.asked, asked{at, wait})
	open := f.opening
	if open == nil {
		open = f.lacks
	}
	for _, frame := range open(at) {
		queue <- frame
	}
	f.streams[queue] = true
	mute := f.mute && wait == 0
	f.mu.Unlock()
	defer f.with(func() { delete(f.streams, queue) })
	if mute {
		<-r.Context().Done()
		return
	}
	var end <-chan time.Time
	if wait > 0 {
		end = time.After(wait)
	}
	ping := time.NewTicker(40 * time.Millisecond)
	defer ping.Stop()
	if wait == 0 {
		sendPing(w)
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case frame, more := <-queue:
			if !more {
				return
			}
			_, _ = w.Write(frame)
			w.(http.Flusher).Flush()
			if wait > 0 && len(queue) == 0 {
				return
			}
		case <-end:
			sendPing(w)
			return
		case <-ping.C:
			if wait == 0 {
				sendPing(w)
			}
		}
	}
}

func sendPing(w http.ResponseWriter) {
	_, _ = w.Write(wire.AppendFrame(nil, wire.FramePing, make([]byte, 8)))
	w.(http.Flusher).Flush()
}

// cut ends all streams.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for queue := range f.streams {
		close(queue)
		delete(f.streams, queue)
	}
}

// send sends frames on all streams.
func (f *fake) send(frames ...[]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue(frames...)
}

// queue is send of a locked fake.
func (f *fake) queue(frames ...[]byte) {
	for queue := range f.streams {
		for _, frame := range frames {
			queue <- frame
		}
	}
}

// lacks are the frames that a node lacks. The fake is locked.
func (f *fake) lacks(at wire.Position) [][]byte {
	if f.at.Rev == 0 || at == f.at {
		return nil
	}
	if f.past[at.Rev] != at || at.Rev == 0 {
		return f.snapshot()
	}
	var frames [][]byte
	for rev := at.Rev + 1; rev <= f.at.Rev; rev++ {
		frames = append(frames, frame(wire.FrameDelta, f.deltas[rev]))
	}
	return append(frames, f.head())
}

func frame(t wire.FrameType, body []byte) []byte { return wire.AppendFrame(nil, t, body) }

// head concludes deltas.
func (f *fake) head() []byte { return signed(f.signer, f.at, nil) }

// whole is a head that covers the state.
func (f *fake) whole() []byte { return signed(f.signer, f.at, f.state) }

func signed(key ed25519.PrivateKey, at wire.Position, state []wire.Resource) []byte {
	var digest *wire.StateDigest
	if state != nil {
		d := wire.DigestState(state)
		digest = &d
	}
	h := wire.SignHead(key, at, digest, time.Now())
	return frame(wire.FrameHead, h.Append(nil))
}

func (f *fake) snapshot() [][]byte { return stated(f.state, f.at, f.signer) }

// stated is a snapshot of any state, by anybody.
func stated(state []wire.Resource, at wire.Position, key ed25519.PrivateKey) [][]byte {
	start, _ := json.Marshal(wire.SnapshotStart{Epoch: at.Epoch, Rev: at.Rev, Resources: len(state)})
	frames := [][]byte{frame(wire.FrameSnapshot, start)}
	for i := range state {
		frames = append(frames, frame(wire.FrameResource, wire.AppendResource(nil, &state[i])))
	}
	return append(frames, signed(key, at, state))
}

// change makes the next revision of a whole state, and returns the frames of it. Nothing is sent.
func (f *fake) change(state []wire.Resource) [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next(state)
}

// next is change of a locked fake.
func (f *fake) next(state []wire.Resource) [][]byte {
	wire.SortResources(state)
	delta := difference(f.state, state, f.at)
	at, _, err := delta.Follow(f.at)
	require.NoError(f.t, err)
	f.at, f.state = at, state
	f.deltas[at.Rev], f.past[at.Rev] = delta.Append(nil), at
	return [][]byte{frame(wire.FrameDelta, f.deltas[at.Rev]), f.head()}
}

// put makes the next revision and sends it: to each stream once, also to one that is being opened.
func (f *fake) put(state []wire.Resource) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue(f.next(state)...)
	return f.at.Rev
}

// difference is the delta from a state to the next.
func difference(before, after []wire.Resource, at wire.Position) wire.Delta {
	known := map[string][]byte{}
	for _, r := range before {
		known[r.Kind+"\x00"+r.Name] = r.Body
	}
	payload := wire.Payload{At: time.UnixMicro(time.Now().UnixMicro())}
	delta := wire.Delta{Rev: at.Rev + 1}
	for _, r := range after {
		key := r.Kind + "\x00" + r.Name
		if !bytes.Equal(known[key], r.Body) {
			payload.Items = append(payload.Items, wire.Item{Kind: r.Kind, Name: r.Name, Digest: r.Digest()})
			delta.Bodies = append(delta.Bodies, r.Body)
		}
		delete(known, key)
	}
	for key := range known {
		kind, name, _ := strings.Cut(key, "\x00")
		payload.Items = append(payload.Items, wire.Item{Kind: kind, Name: name, Deleted: true})
	}
	delta.Payload = payload.Append(nil)
	return delta
}

// restore begins another epoch with a state.
func (f *fake) restore(epoch int64, state []wire.Resource) {
	f.with(func() {
		wire.SortResources(state)
		f.at, f.state, f.deltas, f.past = wire.Position{Epoch: epoch, Rev: f.at.Rev, Chain: wire.Chain{byte(epoch)}}, state, map[int64][]byte{}, map[int64]wire.Position{}
		f.past[f.at.Rev] = f.at
	})
	f.cut()
}

// told are the answers about a revision.
func (f *fake) told(rev int64) (acks []wire.Ack) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.acks {
		if a.Rev == rev {
			acks = append(acks, a)
		}
	}
	return acks
}

// wants are the positions that streams were asked to go on from.
func (f *fake) wants() []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// sessions are the hellos that nodes began with.
func (f *fake) sessions() []wire.Hello {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.hellos)
}
