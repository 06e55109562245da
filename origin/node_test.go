package origin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/api"
	"github.com/wedge-proxy/wedge/origin/fleet"
	"github.com/wedge-proxy/wedge/origin/ledger"
	"github.com/wedge-proxy/wedge/origin/spend"
	"github.com/wedge-proxy/wedge/wire"
)

// node is as much of a node as it takes to check what an origin sends.
type node struct {
	t       testing.TB
	url     string
	client  *http.Client
	key     *ecdsa.PrivateKey
	trust   wire.Trust
	session string

	at    wire.Position
	state map[string][]byte // bodies by KIND/NAME
}

// signing signs a node's requests, as it does over plain HTTP.
type signing struct {
	*http.Transport
	key         *ecdsa.PrivateKey
	certificate []byte
}

func (s *signing) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", wire.SignRequest(s.key, s.certificate, r.Method, r.URL.RequestURI(), time.Now()))
	return s.Transport.RoundTrip(r)
}

// enrol makes a node out of a join token: over TLS with the CA that the token names, or in the clear.
func enrol(t testing.TB, url, token string) *node {
	t.Helper()
	join, err := wire.ParseJoinToken(token)
	require.NoError(t, err)
	plain := strings.HasPrefix(url, "http://")
	require.Len(t, join.CA, map[bool]int{false: sha256.Size, true: 0}[plain])
	n := &node{t: t, url: url, state: map[string][]byte{}}
	n.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, n.key)
	require.NoError(t, err)
	n.connect(&tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		last := s.PeerCertificates[len(s.PeerCertificates)-1]
		if fingerprint := sha256.Sum256(last.Raw); !bytes.Equal(fingerprint[:], join.CA) {
			return errors.New("not the CA of the token")
		}
		return s.PeerCertificates[0].CheckSignatureFrom(last)
	}})
	var enrolled wire.Enrolled
	require.Equal(t, http.StatusOK, n.post(wire.PathEnrol, wire.Enrolment{Token: token, Name: "edge-1", Region: "eu", CSR: csr}, &enrolled))
	require.Equal(t, "edge-1", enrolled.Name)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(enrolled.CA))
	n.connect(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{{Certificate: [][]byte{enrolled.Certificate}, PrivateKey: n.key}}})
	if plain {
		n.client.Transport = &signing{n.client.Transport.(*http.Transport), n.key, enrolled.Certificate}
	}
	n.trust, err = wire.TrustOf(enrolled.Trust...)
	require.NoError(t, err)
	return n
}

func (n *node) connect(config *tls.Config) {
	if n.client != nil {
		n.client.CloseIdleConnections()
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	n.client = &http.Client{Transport: transport}
	n.t.Cleanup(transport.CloseIdleConnections)
}

func (n *node) post(path string, body, answer any) (status int) {
	n.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(n.t, err)
	response, err := n.client.Post(n.url+path, "application/json", bytes.NewReader(text))
	require.NoError(n.t, err)
	defer func() { require.NoError(n.t, response.Body.Close()) }()
	text, err = io.ReadAll(response.Body)
	require.NoError(n.t, err)
	if answer != nil && response.StatusCode == http.StatusOK {
		require.NoError(n.t, json.Unmarshal(text, answer), "%s", text)
	}
	return response.StatusCode
}

func (n *node) hello() {
	n.t.Helper()
	var welcome wire.Welcome
	hello := wire.Hello{Schema: wire.SyncSchema, Version: "test", Region: "eu", Incarnation: "one", Epoch: n.at.Epoch, Rev: n.at.Rev}
	testkit.Eventually(n.t, 5*time.Second, func() error {
		if status := n.post(wire.PathHello, hello, &welcome); status != http.StatusOK {
			return fmt.Errorf("the status is %d", status) // 503 until the origin has read its database
		}
		return nil
	})
	n.session = welcome.Session
}

// stream opens the stream, on from where the node is.
func (n *node) stream() io.ReadCloser {
	n.t.Helper()
	path := fmt.Sprintf("%s%s?session=%s&epoch=%d&rev=%d&chain=%s", n.url, wire.PathStream, n.session, n.at.Epoch, n.at.Rev, n.at.Chain)
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, path, nil)
	require.NoError(n.t, err)
	response, err := n.client.Do(request)
	require.NoError(n.t, err)
	require.Equal(n.t, http.StatusOK, response.StatusCode)
	n.t.Cleanup(func() { _ = response.Body.Close() })
	return response.Body
}

// head reads frames up to the next head, verifies everything, and says that it is in use.
func (n *node) head(stream io.Reader) {
	n.t.Helper()
	var whole []wire.Resource
	for {
		kind, body, err := wire.ReadFrame(stream, nil)
		require.NoError(n.t, err)
		switch kind {
		case wire.FrameSnapshot:
			clear(n.state)
			whole = []wire.Resource{}
		case wire.FrameResource:
			r, err := wire.ParseResource(body)
			require.NoError(n.t, err)
			whole = append(whole, r)
			n.state[r.Kind+"/"+r.Name] = r.Body
		case wire.FrameDelta:
			d, err := wire.ParseDelta(body)
			require.NoError(n.t, err)
			var edits []wire.Edit
			n.at, edits, err = d.Follow(n.at)
			require.NoError(n.t, err)
			for _, e := range edits {
				n.state[e.Kind+"/"+e.Name] = e.Body
				if e.Deleted {
					delete(n.state, e.Kind+"/"+e.Name)
				}
			}
		case wire.FrameHead:
			h, err := wire.ParseHead(body)
			require.NoError(n.t, err)
			require.NoError(n.t, n.trust.Verify(&h))
			if whole != nil {
				require.Equal(n.t, wire.DigestState(whole), *h.State)
				n.at = h.Position
			}
			require.Equal(n.t, n.at, h.Position)
			ack := wire.Ack{Session: n.session, Epoch: n.at.Epoch, Rev: n.at.Rev}
			require.Equal(n.t, http.StatusNoContent, n.post(wire.PathAck, ack, nil))
			return
		}
	}
}

// A node enrols, gets the catalog and each change of it, a secret that is sealed to it alone, and reports; people see all
// of that.
func TestNodeFromInvitationToReport(t *testing.T) {
	for _, mode := range []string{"on", "off"} {
		t.Run(mode, func(t *testing.T) { fromInvitationToReport(t, start(t, Options{TLS: mode})) })
	}
}

func fromInvitationToReport(t *testing.T, r *running) {
	ask := func(method, path, body string, want int, answer any) {
		t.Helper()
		status, text := r.do(method, path, body)
		require.Equal(t, want, status, text)
		if answer != nil {
			require.NoError(t, json.Unmarshal([]byte(text), answer), text)
		}
	}
	ask("PUT", "/api/v1/providers/p", provider, http.StatusCreated, nil)
	var invited api.Invited
	ask("POST", "/api/v1/nodes/invite", `{"name":"edge-1","region":"eu"}`, http.StatusCreated, &invited)
	n := enrol(t, r.URL(), invited.Token)
	n.hello()
	stream := n.stream()
	n.head(stream)
	assert.Contains(t, string(n.state["provider/p"]), "x.test")

	ask("PUT", "/api/v1/secrets/s", `{"value":"very secret"}`, http.StatusCreated, nil)
	assert.Equal(t, http.StatusForbidden, n.post(wire.PathSecrets, wire.SecretsWanted{Names: []string{"s"}}, nil), "nothing needs it")
	ask("PUT", "/api/v1/providers/q", `{"dialect":"openai","base_url":"https://q.test/v1","api_key":"origin:s"}`, http.StatusCreated, nil)
	var record wire.SecretRecord
	for n.state["provider/q"] == nil {
		n.head(stream)
	}
	require.NoError(t, json.Unmarshal(n.state["secret/s"], &record))
	var secrets wire.Secrets
	require.Equal(t, http.StatusOK, n.post(wire.PathSecrets, wire.SecretsWanted{Names: []string{"s"}}, &secrets))
	value, err := wire.OpenSecret(n.key, "s", record.Commit, secrets.Sealed["s"])
	require.NoError(t, err)
	assert.Equal(t, "very secret", value)

	report := wire.Report{Session: n.session, Incarnation: "one", Seq: 1, Usage: []wire.Usage{
		{Hour: time.Now().Unix() / 3600, Model: "m", Version: "1.0.0", Requests: 7, CostNano: 70},
	}}
	var reply wire.ReportReply
	for _, again := range []bool{false, true} {
		require.Equal(t, http.StatusOK, n.post(wire.PathReport, report, &reply))
		assert.Equal(t, wire.ReportReply{Seq: 1, Duplicate: again}, reply)
	}
	report.Seq = 3
	assert.Equal(t, http.StatusConflict, n.post(wire.PathReport, report, nil), "reports are missing")
	flawed := wire.Report{Session: n.session, Incarnation: "flawed", Seq: 1, Usage: []wire.Usage{{Hour: -1, Model: "m", Version: "1.0.0", CostNano: -1}}}
	require.Equal(t, http.StatusOK, n.post(wire.PathReport, flawed, &reply))
	assert.Equal(t, int64(1), reply.Seq)
	var alerts api.Alerts
	ask("GET", "/api/v1/alerts", "", http.StatusOK, &alerts)
	assert.True(t, slices.ContainsFunc(alerts.Items, func(a spend.Alert) bool { return a.Kind == wire.AlertFlawed && a.Node == "edge-1" }))

	var page api.Page[fleet.Node]
	testkit.Eventually(t, 5*time.Second, func() error {
		ask("GET", "/api/v1/nodes", "", http.StatusOK, &page)
		if len(page.Items) != 1 || page.Items[0].State != "online" || page.Items[0].Rev != n.at.Rev {
			return fmt.Errorf("the node is %+v, want it at %s", page.Items, n.at)
		}
		return nil
	})
	var usage api.Page[ledger.Row]
	testkit.Eventually(t, 5*time.Second, func() error {
		ask("GET", "/api/v1/usage?by=model,version", "", http.StatusOK, &usage)
		if len(usage.Items) != 1 || usage.Items[0].Requests != 7 || usage.Items[0].CostNano != 70 {
			return fmt.Errorf("the usage is %+v", usage.Items)
		}
		return nil
	})
	takers, err := r.takers(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"edge-1"}, takers)
	ask("POST", "/api/v1/nodes/edge-1/drain", `{"reason":"repair"}`, http.StatusOK, nil)
	takers, err = r.takers(t.Context())
	require.NoError(t, err)
	assert.Empty(t, takers, "a drained node would tell nothing of a candidate")
	kind, body, err := wire.ReadFrame(stream, nil)
	for err == nil && kind != wire.FrameControl {
		kind, body, err = wire.ReadFrame(stream, nil)
	}
	require.NoError(t, err)
	assert.JSONEq(t, `{"drain":true,"pinned":false,"reason":"repair"}`, string(body))

	bundle, err := r.readBundle(n.trust)
	require.NoError(t, err)
	assert.Equal(t, n.at, bundle.Head.Position)
	ask("DELETE", "/api/v1/nodes/edge-1", "", http.StatusOK, nil)
	_, err = io.Copy(io.Discard, stream)
	_ = err // whether the stream ends or breaks off, it is over
	assert.NotEqual(t, http.StatusOK, n.post(wire.PathHello, wire.Hello{Schema: wire.SyncSchema}, nil), "its certificate counts no more")
}

func (r *running) readBundle(trust wire.Trust) (*wire.Bundle, error) {
	response := r.open("GET", "/api/v1/bundle", "")
	defer func() { _ = response.Body.Close() }()
	return wire.ReadBundle(response.Body, trust)
}

// The stream of a node ends with the origin, and goes on at the next one.
func TestStreamsEndWithTheOrigin(t *testing.T) {
	data := t.TempDir()
	r := start(t, Options{Data: data, TLS: "on"})
	var invited api.Invited
	_, text := r.do("POST", "/api/v1/nodes/invite", "")
	require.NoError(t, json.Unmarshal([]byte(text), &invited))
	n := enrol(t, r.URL(), invited.Token)
	n.hello()
	stream := n.stream()
	n.head(stream)
	began := time.Now()
	require.NoError(t, r.stop())
	assert.Less(t, time.Since(began), 5*time.Second)
	for {
		if _, _, err := wire.ReadFrame(stream, nil); err != nil {
			break
		}
	}
	again := start(t, Options{Data: data, TLS: "on"})
	n.url = again.URL()
	n.hello()
	stream = n.stream()
	status, _ := again.do("PUT", "/api/v1/providers/p", provider)
	require.Equal(t, http.StatusCreated, status)
	for n.state["provider/p"] == nil {
		n.head(stream)
	}
}
