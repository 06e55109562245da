package fleet

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

// caller is the node that a request comes from.
type caller struct {
	name  string
	since int64 // when its certificate begins: seconds
	key   *ecdsa.PublicKey
}

// secure refuses requests that somebody on the way could have read.
func (f *Fleet) secure(r *http.Request) error {
	if r.TLS == nil && !f.o.Plain(r) {
		return refuse(codeForbidden, "nodes are served over TLS only, or on the origin's own machine")
	}
	return nil
}

// identify tells which node a request comes from, by its certificate. Whether the node may come, it does not tell.
func (f *Fleet) identify(r *http.Request) (caller, error) {
	if err := f.secure(r); err != nil {
		return caller{}, err
	}
	var certificate *x509.Certificate
	switch header := r.Header.Get("Authorization"); {
	case r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		certificate = r.TLS.PeerCertificates[0]
	case r.TLS == nil && header != "":
		var err error
		if certificate, err = wire.CheckRequest(header, r.Method, r.RequestURI, f.o.Now()); err != nil {
			return caller{}, refuse(codeUnauthenticated, "%s", err)
		}
	default:
		return caller{}, refuse(codeUnauthenticated, "the node shows no certificate")
	}
	name, err := f.o.Vault.NodeOf(certificate)
	if err != nil {
		return caller{}, refuse(codeUnauthenticated, "%s", err)
	}
	key, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return caller{}, refuse(codeUnauthenticated, "the key of the node's certificate is not an ECDSA key")
	}
	return caller{name, certificate.NotBefore.Unix(), key}, nil
}

// admit is identify for those who do not find out by themselves whether the node may come.
func (f *Fleet) admit(r *http.Request) (caller, error) {
	c, err := f.identify(r)
	if err != nil {
		return c, err
	}
	var since int64
	err = f.o.Store.View(r.Context(), func(t *store.Tx) error {
		err := t.Row("select since from fleet_nodes where name = ?", c.name).Scan(&since)
		if errors.Is(err, sql.ErrNoRows) {
			return c.removed()
		}
		return err
	})
	if err == nil && c.since < since {
		err = c.removed()
	}
	return c, err
}

func (c *caller) removed() error {
	return refuse(codeForbidden, "the node %s has been removed; let it enrol again, with a new join token", c.name)
}

// enrol gives a new node its identity.
func (f *Fleet) enrol(w http.ResponseWriter, r *http.Request) error {
	if err := f.secure(r); err != nil {
		return err
	}
	var e wire.Enrolment
	if err := read(w, r, maxEnrolment, &e); err != nil {
		return err
	}
	token, err := wire.ParseJoinToken(e.Token)
	if err != nil {
		return refuse(codeUnauthenticated, "%s", err)
	}
	if e.Region != "" {
		if err := wire.CheckName(e.Region); err != nil {
			return refuse(codeInvalid, "the region: %s", err)
		}
	}
	trust, err := f.o.Vault.Trust(r.Context())
	if err != nil {
		return err
	}
	made := wire.Enrolled{Trust: trust}
	made.CA, _ = f.o.Vault.CA()
	err = f.writes.put(r.Context(), &write{node: e.Name, do: func(t *store.Tx) error { return f.join(t, token, &e, &made) }})
	if err != nil {
		return joinRefusal(err)
	}
	f.log.Info("node enrolled", "node", made.Name, "region", e.Region, "until", made.Expires)
	send(w, http.StatusOK, made)
	return nil
}

// join enters the node. What it would refuse undoes the whole transaction, so that the token stays unused.
func (f *Fleet) join(t *store.Tx, token wire.JoinToken, e *wire.Enrolment, made *wire.Enrolled) error {
	key := keyOf(e.CSR)
	invitation, err := f.o.Vault.Redeem(t, token, e.Name)
	if errors.Is(err, vault.ErrJoinUsed) {
		return f.joinAgain(t, token, e, key, made, err)
	}
	if err != nil {
		return err
	}
	made.Name = invitation.Name
	region := invitation.Region
	if region == "" {
		region = e.Region
	}
	since, err := f.issue(e.CSR, made)
	if err != nil {
		return err
	}
	n, err := t.Exec(`insert into fleet_nodes (name, region, version, address, session, holder, epoch, rev, digest,
		refused_epoch, refused_rev, refused_at, refused_code, refused_resource, refused_message, pinned, drained, reason,
		enrolled, since, expires, seen, report_seq, join_id, join_key)
		values (?, ?, '', '', '', '', 0, 0, '', 0, 0, 0, '', '', '', 0, 0, '', ?, ?, ?, 0, 0, ?, ?) on conflict do nothing`,
		made.Name, region, f.o.Now().UnixMilli(), since, made.Expires.UnixMilli(), token.ID, key)
	if err == nil && n == 0 {
		err = errNameTaken
	}
	return err
}

var errNameTaken = errors.New("there is a node of this name: remove it first, or choose another name")

// joinAgain gives a node that did not hear the answer another one: it shows the same token and the same key.
func (f *Fleet) joinAgain(t *store.Tx, token wire.JoinToken, e *wire.Enrolment, key []byte, made *wire.Enrolled, used error) error {
	var joined []byte
	err := t.Row("select name, join_key from fleet_nodes where join_id = ?", token.ID).Scan(&made.Name, &joined)
	if errors.Is(err, sql.ErrNoRows) {
		return used
	}
	if err != nil {
		return err
	}
	if len(key) == 0 || subtle.ConstantTimeCompare(key, joined) != 1 || e.Name != "" && e.Name != made.Name {
		return used
	}
	if _, err := f.issue(e.CSR, made); err != nil {
		return err
	}
	_, err = t.Exec("update fleet_nodes set expires = ? where name = ?", made.Expires.UnixMilli(), made.Name)
	return err
}

// issue signs the certificate, and tells when it begins.
func (f *Fleet) issue(csr []byte, made *wire.Enrolled) (since int64, err error) {
	made.Certificate, made.Expires, err = f.o.Vault.IssueNode(csr, made.Name)
	if err != nil {
		return 0, err
	}
	certificate, err := x509.ParseCertificate(made.Certificate)
	if err != nil {
		return 0, err
	}
	return certificate.NotBefore.Unix(), nil
}

// keyOf stands for the key of a certificate request; IssueNode tells whether it is any good.
func keyOf(csr []byte) []byte {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return []byte{}
	}
	sum := sha256.Sum256(request.RawSubjectPublicKeyInfo)
	return sum[:]
}

// joinRefusal is what a node is told of an error of the vault's.
func joinRefusal(err error) error {
	switch {
	case errors.Is(err, vault.ErrJoinUnknown), errors.Is(err, vault.ErrJoinUsed), errors.Is(err, vault.ErrJoinExpired):
		return refuse(codeUnauthenticated, "%s", err)
	case errors.Is(err, vault.ErrJoinName), errors.Is(err, errNameTaken):
		return refuse(codeConflict, "%s", err)
	case errors.Is(err, vault.ErrCSR):
		return refuse(codeInvalid, "%s", err)
	}
	return err
}

// renew gives a node a new certificate.
func (f *Fleet) renew(w http.ResponseWriter, r *http.Request) error {
	c, err := f.admit(r)
	if err != nil {
		return err
	}
	var renewal wire.Renewal
	if err := read(w, r, maxEnrolment, &renewal); err != nil {
		return err
	}
	trust, err := f.o.Vault.Trust(r.Context())
	if err != nil {
		return err
	}
	made := wire.Enrolled{Name: c.name, Trust: trust}
	made.CA, _ = f.o.Vault.CA()
	if _, err = f.issue(renewal.CSR, &made); err != nil {
		return joinRefusal(err)
	}
	err = f.writes.put(r.Context(), &write{node: c.name, do: func(t *store.Tx) error {
		n, err := t.Exec("update fleet_nodes set expires = ? where name = ? and since <= ?", made.Expires.UnixMilli(), c.name, c.since)
		if err == nil && n == 0 {
			err = c.removed()
		}
		return err
	}})
	if err != nil {
		return err
	}
	f.log.Info("node's certificate renewed", "node", c.name, "until", made.Expires)
	send(w, http.StatusOK, made)
	return nil
}

// now is the time as the tables keep it.
func (f *Fleet) now() int64 { return f.o.Now().Round(time.Millisecond).UnixMilli() }
