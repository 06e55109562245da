package fleet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

func invite(t *testing.T, o *origin, name string) wire.JoinToken {
	t.Helper()
	token, err := o.vault.Invite(t.Context(), vault.Invitation{Name: name, Region: "west", Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	return token
}

func TestEnrolment(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		o := start(t, openStore(t, url))
		token := invite(t, o, "")
		n := newNode(t, "n1")
		require.NoError(t, n.enrol(o, token))
		got := o.node("n1")
		assert.Equal(t, "west", got.Region)
		assert.Equal(t, "offline", got.State)
		assert.WithinDuration(t, time.Now().Add(90*24*time.Hour), got.Expires, time.Hour)
		// Who did not hear the answer asks again; nobody else can.
		first := n.cert
		require.NoError(t, n.enrol(o, token))
		assert.NotEqual(t, first, n.cert)
		other := newNode(t, "n1")
		assert.Equal(t, codeUnauthenticated, codeOf(other.enrol(o, token)))
		// A name that is taken stays taken, and the token stays good.
		token = invite(t, o, "")
		assert.Equal(t, codeConflict, codeOf(other.enrol(o, token)))
		other.name = "n2"
		require.NoError(t, other.enrol(o, token))
		// A token for one name gives no other.
		token = invite(t, o, "n3")
		third := newNode(t, "n4")
		assert.Equal(t, codeConflict, codeOf(third.enrol(o, token)))
		third.name = ""
		require.NoError(t, third.enrol(o, token))
		assert.Equal(t, "n3", third.name)
	})
}

func TestEnrolmentIsRefused(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	n := newNode(t, "n1")
	n.url = o.server.URL
	token := invite(t, o, "")
	wrong := token
	wrong.Secret = "x"
	for name, c := range map[string]struct {
		body any
		code string
	}{
		"no token":      {wire.Enrolment{Token: "x", Name: "n1", CSR: n.csr()}, codeUnauthenticated},
		"wrong secret":  {wire.Enrolment{Token: wrong.String(), Name: "n1", CSR: n.csr()}, codeUnauthenticated},
		"no request":    {wire.Enrolment{Token: token.String(), Name: "n1", CSR: []byte("x")}, codeInvalid},
		"no name":       {wire.Enrolment{Token: token.String(), Name: "a b", CSR: n.csr()}, codeConflict},
		"no region":     {wire.Enrolment{Token: token.String(), Name: "n1", Region: "a b", CSR: n.csr()}, codeInvalid},
		"unknown field": {map[string]any{"token": token.String(), "nmae": "n1"}, codeInvalid},
		"too much":      {wire.Enrolment{Token: strings.Repeat("x", maxEnrolment)}, codeInvalid},
	} {
		assert.Equal(t, c.code, codeOf(n.post(wire.PathEnrol, c.body, nil)), name)
	}
	require.NoError(t, n.enrol(o, token), "the token is still good")
}

func TestRenewal(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	old := n.key
	n.key = key
	csr := n.csr()
	n.key = old
	var e wire.Enrolled
	require.NoError(t, n.post(wire.PathRenew, wire.Renewal{CSR: csr}, &e))
	assert.Equal(t, "n1", e.Name)
	n.key, n.cert = key, e.Certificate
	n.connect(o)
	n.reaches(o.put("a", "1"))
	assert.Equal(t, codeInvalid, codeOf(n.post(wire.PathRenew, wire.Renewal{CSR: []byte("x")}, nil)))
}

func TestWhoMayCome(t *testing.T) {
	var ahead atomic.Int64
	o := start(t, openStore(t, sqlite(t)), func(o *Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	n := o.enrol("n1", "")
	stranger := newNode(t, "n1")
	stranger.url = o.server.URL
	posts := map[string]any{
		wire.PathRenew: wire.Renewal{CSR: n.csr()}, wire.PathHello: wire.Hello{Schema: 1}, wire.PathReport: wire.Report{},
		wire.PathAck: wire.Ack{Epoch: 1, Rev: 1}, wire.PathSecrets: wire.SecretsWanted{},
	}
	gets := []string{wire.PathStream, wire.PathBlob + "sha256:" + strings.Repeat("0", 64)}
	want := func(n *node, code string) {
		t.Helper()
		for path, body := range posts {
			assert.Equal(t, code, codeOf(n.post(path, body, nil)), path)
		}
		for _, path := range gets {
			_, err := n.ask(t.Context(), http.MethodGet, path, nil)
			assert.Equal(t, code, codeOf(err), path)
		}
	}
	want(stranger, codeUnauthenticated)
	stranger.cert = n.cert // with another key
	want(stranger, codeUnauthenticated)
	require.NoError(t, o.Remove(t.Context(), "n1"))
	delete(posts, wire.PathAck) // it names no session
	gets = gets[1:]
	want(n, codeForbidden)
	// The name comes back to life, its old certificate does not.
	ahead.Store(int64(4 * time.Minute))
	again := o.enrol("n1", "")
	again.connect(o)
	header := wire.SignRequest(n.key, n.cert, http.MethodPost, wire.PathHello, time.Now())
	assert.Equal(t, codeForbidden, codeOf(askHello(n, header)))
}

func askHello(n *node, header string) error {
	b, _ := json.Marshal(wire.Hello{Schema: 1, Incarnation: "1"})
	_, err := n.ask(context.Background(), http.MethodPost, wire.PathHello, b, "Authorization", header)
	return err
}

func TestPlainHTTPIsRefused(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)), func(o *Options) { o.Plain = nil })
	n := newNode(t, "n1")
	assert.Equal(t, codeForbidden, codeOf(n.enrol(o, invite(t, o, ""))))
	assert.Equal(t, codeForbidden, codeOf(n.hello()))
}

func TestRequestsAreReadStrictly(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	n.url = o.server.URL
	for _, c := range []struct {
		path, body, code string
	}{
		{wire.PathHello, `{"schema":1,"version":"1","incarnation":"1","epoch":0,"rev":0,"extra":1}`, codeInvalid},
		{wire.PathHello, `{"schema":1} {}`, codeInvalid},
		{wire.PathHello, `{"schema":1,"region":"a b"}`, codeInvalid},
		{wire.PathHello, `{"schema":1,"rev":-1}`, codeInvalid},
		{wire.PathHello, `{"schema":1,"version":"` + strings.Repeat("x", 300) + `"}`, codeInvalid},
		{wire.PathHello, `{"schema":1,"address":"\u0000"}`, codeInvalid},
		{wire.PathHello, `{"schema":0}`, codeUpgrade},
		{wire.PathHello, strings.Repeat(" ", maxHello) + `{}`, codeInvalid},
		{wire.PathAck, `{"session":"x","epoch":1,"rev":1,"active_ms":0}`, codeFenced},
		{wire.PathAck, `{"session":"x","epoch":0,"rev":1,"active_ms":0}`, codeInvalid},
		{wire.PathAck, `{"session":"x","epoch":1,"rev":1,"nack":{"code":"mood","message":""}}`, codeInvalid},
		{wire.PathReport, `{}`, codeNotFound},
		{wire.PathSecrets, `{"names":"a"}`, codeInvalid},
		{"/v1/node/other", `{}`, codeNotFound},
		{wire.PathStream, `{}`, codeNotFound},
	} {
		_, err := n.ask(t.Context(), http.MethodPost, c.path, []byte(c.body))
		assert.Equal(t, c.code, codeOf(err), "%s %.80s", c.path, c.body)
	}
	for query, code := range map[string]string{
		"?session=x&epoch=1&rev=1&chain=00":          codeInvalid,
		"?session=x&epoch=-1":                        codeInvalid,
		"?session=x&rev=9223372036854775808":         codeInvalid,
		"?session=x&wait=soon":                       codeInvalid,
		"?session=x&wait=-1s":                        codeInvalid,
		"?session=":                                  codeInvalid,
		"?session=" + strings.Repeat("x", 100):       codeInvalid,
		"?session=0123456789abcdef0123456789abcdef&": codeFenced,
	} {
		_, err := n.ask(t.Context(), http.MethodGet, wire.PathStream+query, nil)
		assert.Equal(t, code, codeOf(err), query)
	}
}
