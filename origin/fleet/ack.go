package fleet

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// nackCodes are those that a node may refuse a revision with.
var nackCodes = []string{wire.NackSignature, wire.NackChain, wire.NackSchema, wire.NackCompile, wire.NackLimit,
	wire.NackResource, wire.NackCrashLoop, wire.NackTimeout}

// ack writes down what became of a revision on a node.
func (f *Fleet) ack(w http.ResponseWriter, r *http.Request) error {
	c, err := f.identify(r)
	if err != nil {
		return err
	}
	var a wire.Ack
	if err := read(w, r, maxAck, &a); err != nil {
		return err
	}
	if err := checkAck(&a); err != nil {
		return err
	}
	err = f.writes.put(r.Context(), &write{node: c.name, do: func(t *store.Tx) error { return f.answered(t, &c, &a) }})
	if err != nil {
		return err
	}
	if s := f.local.get(c.name); s != nil && s.id == a.Session && a.Nack == nil {
		s.uses(wire.Position{Epoch: a.Epoch, Rev: a.Rev})
	}
	f.notice()
	if f.count.acks.Inc(); a.Nack != nil {
		f.count.nacks.With(a.Nack.Code).Inc()
		f.log.Warn("node refuses a revision", "node", c.name, "epoch", a.Epoch, "rev", a.Rev, "code", a.Nack.Code,
			"resource", a.Nack.Resource, "message", a.Nack.Message)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func checkAck(a *wire.Ack) error {
	if a.Epoch <= 0 || a.Rev < 0 {
		return refuse(codeInvalid, "there is no revision %d of epoch %d", a.Rev, a.Epoch)
	}
	if err := errors.Join(checkText("the session", a.Session, 64), checkText("the digest", a.Digest, 200)); err != nil {
		return err
	}
	if a.Nack == nil {
		return nil
	}
	if !slices.Contains(nackCodes, a.Nack.Code) {
		return refuse(codeInvalid, "%q is no code of a refusal", a.Nack.Code)
	}
	a.Nack.Resource, a.Nack.Message = cut(a.Nack.Resource, 512), cut(a.Nack.Message, 2048)
	return nil
}

// answered enters an answer. An older one than the node has given changes nothing.
func (f *Fleet) answered(t *store.Tx, c *caller, a *wire.Ack) (err error) {
	var n int64
	if a.Nack != nil {
		n, err = t.Exec(`update fleet_nodes set seen = ?, refused_epoch = ?, refused_rev = ?, refused_at = ?, refused_code = ?,
			refused_resource = ?, refused_message = ? where name = ? and session = ? and since <= ?`,
			f.now(), a.Epoch, a.Rev, f.now(), a.Nack.Code, a.Nack.Resource, a.Nack.Message, c.name, a.Session, c.since)
	} else {
		n, err = t.Exec(`update fleet_nodes set seen = ?, epoch = ?, rev = ?, digest = ?,
			refused_epoch = case when refused_epoch < ? or refused_epoch = ? and refused_rev <= ? then 0 else refused_epoch end
			where name = ? and session = ? and since <= ?`,
			f.now(), a.Epoch, a.Rev, a.Digest, a.Epoch, a.Epoch, a.Rev, c.name, a.Session, c.since)
	}
	if err == nil && n == 0 {
		err = f.whyNot(t, c)
	}
	return err
}

// report counts what a node's traffic came to. It does not matter which session it comes from: reports are numbered.
func (f *Fleet) report(w http.ResponseWriter, r *http.Request) error {
	c, err := f.admit(r)
	if err != nil {
		return err
	}
	var report wire.Report
	if err := read(w, r, maxReport, &report); err != nil {
		return err
	}
	if f.o.Book == nil {
		return refuse(codeNotFound, "this origin counts no reports")
	}
	reply, err := f.o.Book(r.Context(), c.name, &report)
	switch {
	case errors.Is(err, ErrGap):
		return refuse(codeGap, "%s", err)
	case errors.Is(err, ErrReport), errors.Is(err, store.ErrInvalid):
		return refuse(codeInvalid, "%s", err)
	case err != nil:
		return err
	}
	if !reply.Duplicate {
		f.writes.later(&write{node: c.name, do: func(t *store.Tx) error {
			_, err := t.Exec("update fleet_nodes set report_seq = ?, seen = ? where name = ?", reply.Seq, f.now(), c.name)
			return err
		}})
	}
	send(w, http.StatusOK, reply)
	return nil
}

// lease gives a node what it may spend. Only its present session gets any: whoever has another is a copy of the node, or a
// process that has been replaced.
func (f *Fleet) lease(w http.ResponseWriter, r *http.Request) error {
	c, err := f.admit(r)
	if err != nil {
		return err
	}
	var ask wire.LeaseRequest
	if err := read(w, r, maxLease, &ask); err != nil {
		return err
	}
	if f.o.Lease == nil {
		return refuse(codeNotFound, "this origin lends nothing")
	}
	if err := f.present(r.Context(), &c, ask.Session); err != nil {
		return err
	}
	reply, err := f.o.Lease(r.Context(), c.name, &ask)
	switch {
	case errors.Is(err, ErrReport), errors.Is(err, store.ErrInvalid):
		return refuse(codeInvalid, "%s", err)
	case err != nil:
		return err
	}
	send(w, http.StatusOK, reply)
	return nil
}

// present refuses a session that is not the node's last one.
func (f *Fleet) present(ctx context.Context, c *caller, id string) error {
	return f.o.Store.View(ctx, func(t *store.Tx) error {
		var n int
		err := t.Row("select count(*) from fleet_nodes where name = ? and session = ? and since <= ?", c.name, id, c.since).Scan(&n)
		if err == nil && n == 0 {
			err = f.whyNot(t, c)
		}
		return err
	})
}
