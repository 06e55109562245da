package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// TestEnrolsOverTLS: the node finds out with whom it speaks from its token, and is known by its certificate from then on.
func TestEnrolsOverTLS(t *testing.T) {
	f := startFake(t, newAuthority(t), true)
	f.change(full(f, 1))
	n := newNode(t, f).run()
	n.at(f, 1)
	n.whole()
	require.NoError(t, n.stop())
	for _, file := range []string{keyFile, certificateFile, authorityFile, trustFile} {
		info, err := os.Stat(filepath.Join(n.o.Dir, file))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}
	before := n.identity().certificate.Raw
	n.o.Join = "" // it is needed once
	n.run()
	n.at(f, f.put(full(f, 2)))
	assert.Equal(t, before, n.identity().certificate.Raw)
	assert.WithinDuration(t, time.Now().Add(time.Hour), n.Status().Expires, time.Minute)
}

// TestTellsNoStranger: the secret of the token goes to nobody whose certificate is not the authority's.
func TestTellsNoStranger(t *testing.T) {
	right := startFake(t, newAuthority(t), true)
	for name, change := range map[string]func(o *Options){
		"by fingerprint": func(*Options) {},
		"by file": func(o *Options) {
			o.CAFile = filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, os.WriteFile(o.CAFile, right.authority.pem(), 0o600))
		},
		"without a fingerprint": func(o *Options) {
			o.Join = wire.JoinToken{ID: "a", Secret: "b"}.String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := startFake(t, newAuthority(t), true)
			var asked atomic.Int32
			wrong.with(func() {
				wrong.answer[wire.PathEnrol] = func(http.ResponseWriter, *http.Request) { asked.Add(1) }
			})
			n := newNode(t, wrong)
			n.o.Join = right.token("")
			change(&n.o)
			n.open().follow()
			testkit.Eventually(t, patience, func() error {
				if n.Status().Error == "" {
					return errors.New("no try has failed yet")
				}
				return nil
			})
			assert.Contains(t, n.Status().Error, "certificate")
			require.NoError(t, n.stop())
			assert.Zero(t, asked.Load())
			assert.NoDirExists(t, n.o.Dir)
		})
	}
}

// TestAuthorityFromFile: with the authority's certificate at hand the token needs no fingerprint.
func TestAuthorityFromFile(t *testing.T) {
	f := startFake(t, newAuthority(t), true)
	f.change(simple(t, 1))
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, f.authority.pem(), 0o600))
	n := newNode(t, f, func(o *Options) { o.CAFile = file }).run()
	n.at(f, 1)
}

// TestOtherHost: a certificate of the authority's for another machine is no origin's.
func TestOtherHost(t *testing.T) {
	a := newAuthority(t)
	a.host = net.IPv4(127, 0, 0, 9)
	f := startFake(t, a, true)
	n := newNode(t, f).open().follow()
	testkit.Eventually(t, patience, func() error {
		if !strings.Contains(n.Status().Error, "127.0.0.9, not 127.0.0.1") {
			return errors.New("no try has failed yet: " + n.Status().Error)
		}
		return nil
	})
	require.NoError(t, n.stop())
	assert.Len(t, f.tokens, 1, "it was not used")
}

// TestNoRedirect: what a node says goes nowhere else.
func TestNoRedirect(t *testing.T) {
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	f := newFake(t)
	f.with(func() {
		f.answer["/"] = http.RedirectHandler(other.URL, http.StatusTemporaryRedirect).ServeHTTP
	})
	n := newNode(t, f).open().follow()
	testkit.Eventually(t, patience, func() error {
		if !strings.Contains(n.Status().Error, "307") {
			return errors.New(n.Status().Error)
		}
		return nil
	})
	assert.Zero(t, asked.Load())
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ token, own, want string }{{"", "mine", "mine"}, {"given", "", "given"}, {"given", "mine", "given"}} {
		f := newFake(t)
		f.change(simple(t, 1))
		n := newNode(t, f)
		n.o.Name, n.o.Join = c.own, f.token(c.token)
		n.run()
		n.at(f, 1)
		assert.Equal(t, c.want, n.Status().Node)
		require.NoError(t, n.stop())
		n.o.Name = "another" // a certificate is for one name
		n.run()
		assert.Equal(t, c.want, n.Status().Node)
	}
}

// TestHopeless: where there is nothing to serve and no identity to be had, the process ends and says why.
func TestHopeless(t *testing.T) {
	f := newFake(t)
	expired := wire.JoinToken{ID: "a", Secret: "b", Expires: time.Now().Add(-time.Hour)}
	for name, c := range map[string]struct{ join, want string }{
		"unknown": {wire.JoinToken{ID: "a", Secret: "b"}.String(), "the join token was used before"},
		"expired": {expired.String(), "it has expired; make a new one with wedge node invite"},
		"none":    {"nonsense", "this is not a join token"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, f)
			n.o.Join = c.join
			assert.ErrorContains(t, n.open().Run(context.Background()), c.want)
		})
	}
	_, err := Open(Options{Origins: []string{f.server.URL}, Dir: t.TempDir(), KV: newMemory(), Activate: func(context.Context, *wire.Catalog) error { return nil }})
	assert.ErrorContains(t, err, "this node has not enrolled: give it a join token once")
}

// TestTokenOfUseOnce: the second node with the same token gets no identity; the first one keeps its own.
func TestTokenOfUseOnce(t *testing.T) {
	f, n := follows(t)
	other := newNode(t, f)
	other.o.Join = n.o.Join
	assert.ErrorContains(t, other.open().Run(context.Background()), "the join token was used before")
	require.NoError(t, n.stop())
	n.run()
	n.at(f, f.put(simple(t, 2)))
}

// TestEnrolsLater: an origin that is not there yet is waited for.
func TestEnrolsLater(t *testing.T) {
	f := newFake(t)
	f.change(simple(t, 1))
	var asked atomic.Int32
	f.with(func() {
		f.answer[wire.PathEnrol] = func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) == 3 {
				f.with(func() { delete(f.answer, wire.PathEnrol) })
			}
			refuseWith(503, "busy", "not yet")(w, r)
		}
	})
	newNode(t, f).run().at(f, 1)
}

// TestBadIdentities: what an origin gives that is of no use is not kept.
func TestBadIdentities(t *testing.T) {
	f := newFake(t)
	good := func(csr []byte) wire.Enrolled {
		w := httptest.NewRecorder()
		f.sendIdentity(w, csr, "n1")
		var e wire.Enrolled
		require.NoError(t, wire.DecodeStrict(w.Body.Bytes(), &e))
		return e
	}
	strange := newAuthority(t)
	key, err := (&Uplink{}).ownKey()
	require.NoError(t, err)
	other, err := request(key, "n1")
	require.NoError(t, err)
	for want, spoil := range map[string]func(e *wire.Enrolled){
		"cannot be read":                          func(e *wire.Enrolled) { e.Certificate = []byte("x") },
		"for another key":                         func(e *wire.Enrolled) { e.Certificate = good(other).Certificate },
		"not signed by the authority":             func(e *wire.Enrolled) { e.CA = strange.pem() },
		"names no keys to trust":                  func(e *wire.Enrolled) { e.Trust = nil },
		"the origin names no keys to trust":       func(e *wire.Enrolled) { e.Trust = []string{"x"} },
		"signed by the authority that it names":   func(e *wire.Enrolled) { e.CA = nil },
		"answer to /v1/node/enrol is not underst": nil,
	} {
		f.with(func() {
			f.answer[wire.PathEnrol] = func(w http.ResponseWriter, r *http.Request) {
				var ask wire.Enrolment
				f.read(r, &ask)
				if spoil == nil {
					_, _ = w.Write([]byte(`{"more":1}`))
					return
				}
				e := good(ask.CSR)
				spoil(&e)
				_ = json.NewEncoder(w).Encode(e)
			}
		})
		n := newNode(t, f).open().follow()
		testkit.Eventually(t, patience, func() error {
			if !strings.Contains(n.Status().Error, want) {
				return errors.New(n.Status().Error)
			}
			return nil
		})
		require.NoError(t, n.stop())
		assert.NoFileExists(t, filepath.Join(n.o.Dir, certificateFile))
	}
}

// TestRenews: a certificate is exchanged when a third of its life is over, on the way and at the start.
func TestRenews(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		f := startFake(t, newAuthority(t), encrypted)
		f.with(func() { f.life = 126 * time.Second }) // it began a minute ago: in two seconds it is time
		f.change(simple(t, 1))
		n := newNode(t, f).run()
		n.at(f, 1)
		testkit.Eventually(t, patience, func() error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.life = time.Hour; f.renewed == 0 {
				return errors.New("not renewed")
			}
			return nil
		})
		n.at(f, f.put(simple(t, 2)))
		testkit.Eventually(t, patience, func() error {
			if time.Until(n.Status().Expires) < 10*time.Minute {
				return errors.New("the certificate is the old one")
			}
			return nil
		})
		key := n.identity().key
		require.NoError(t, n.stop())
		n.open()
		assert.True(t, key.Equal(n.identity().key))
		assert.Greater(t, time.Until(n.identity().certificate.NotAfter), 10*time.Minute)
	}
}

// TestRenewalRefused: the certificate stays, and the link too.
func TestRenewalRefused(t *testing.T) {
	f := newFake(t)
	f.with(func() {
		f.life = 10 * time.Second
		f.answer[wire.PathRenew] = refuseWith(500, "internal", "not today")
	})
	f.change(simple(t, 1))
	n := newNode(t, f).run()
	n.at(f, 1)
	n.at(f, f.put(simple(t, 2)))
	assert.Len(t, f.sessions(), 1, "it is not tried again at once")
}

// TestEnrolsAgain: an identity that is over is exchanged for another with a new token; the node goes on with what it has.
func TestEnrolsAgain(t *testing.T) {
	f := newFake(t)
	f.change(full(f, 1))
	n := newNode(t, f, short).run()
	n.at(f, 1)
	n.proved()
	require.NoError(t, n.stop())
	f.with(func() { // the keys are others by now
		f.signer = newKey(t)
		f.trust = []string{public(f.signer)}
	})
	state := content{url: at127(2), module: f.module("module 2"), secret: f.secret("secret 2"), trust: f.trust}.state(t)
	f.change(state)
	n.o.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	n.o.Join = f.invite("", 3*time.Hour)
	key := n.identity().key
	f.with(func() { f.clock = 2 * time.Hour })
	n.open()
	require.True(t, n.boot())
	n.whole()
	n.follow()
	n.at(f, 2)
	n.whole()
	assert.True(t, key.Equal(n.identity().key), "what is sealed to it stays readable")
	testkit.Eventually(t, patience, func() error { // once what is in the store is signed with the new key
		if got := n.anchors(); len(got) != 1 || got[0] != f.trust[0] {
			return fmt.Errorf("the old keys are still trusted: %v", got)
		}
		return nil
	})
}

func TestOpenRefuses(t *testing.T) {
	for _, origin := range []string{"", "origin", "ftp://127.0.0.1", "http://example.com", "https://u:p@example.com", "https://example.com/path", "http://10.0.0.1"} {
		n := newNode(t, newFake(t))
		n.o.Origins, n.o.KV, n.o.Activate = []string{origin}, n.kv, n.activate
		_, err := Open(n.o)
		assert.Error(t, err, origin)
	}
	n := newNode(t, newFake(t))
	_, err := Open(n.o)
	assert.ErrorContains(t, err, "need Origins, Dir, KV and Activate")
	n.o.KV, n.o.Activate, n.o.CAFile = n.kv, n.activate, "/nowhere"
	_, err = Open(n.o)
	assert.ErrorContains(t, err, "cannot read the authority's certificate")
}

func TestBrokenIdentity(t *testing.T) {
	_, n := follows(t)
	require.NoError(t, n.stop())
	for _, file := range []string{keyFile, certificateFile, trustFile, authorityFile} {
		o := n.o
		o.Dir = copyDir(t, n.o.Dir)
		path := filepath.Join(o.Dir, file)
		if file == authorityFile {
			require.NoError(t, os.Remove(path))
		} else {
			require.NoError(t, os.WriteFile(path, []byte("broken"), 0o600))
		}
		_, err := Open(o)
		assert.Error(t, err, file)
	}
}
