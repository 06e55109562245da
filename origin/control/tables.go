package control

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Schema is the tables of the catalog's control: answers by idempotency key, and which versions were in production, the
// last one with the highest n.
func Schema() store.Schema {
	return store.Schema{
		Name:   "control",
		Tables: []string{"control_answers", "control_productions"},
		Steps: []string{`
create table control_answers (
	token {text} primary key,
	digest {bytes} not null,
	at bigint not null,
	answer {bytes} not null
);
create index control_answers_at on control_answers (at);
create table control_productions (
	model {text} not null,
	n bigint not null,
	version {text} not null,
	rev bigint not null,
	primary key (model, n)
);
`},
	}
}

// answersKept is how long an idempotency key stands for its request.
const answersKept = 24 * time.Hour

// errAnswered says that the same request has been answered in the meantime.
var errAnswered = failf(CodeConflict, "the same request was answered in the meantime; repeat it for its answer")

// request is what an idempotency key stands for.
type request struct {
	token  string // "": there is no key
	digest [sha256.Size]byte
}

func newRequest(k *call) (request, error) {
	if k.by.Actor == "" {
		return request{}, failf(CodeInvalid, "cannot change the catalog for nobody; say who the actor is")
	}
	if len(k.by.Key) > store.MaxText || !utf8.ValidString(k.by.Key) || strings.ContainsRune(k.by.Key, 0) {
		return request{}, failf(CodeInvalid, "an idempotency key is UTF-8 without NUL of at most %d bytes", store.MaxText)
	}
	if k.by.Key == "" || k.dry {
		return request{}, nil
	}
	raw, err := json.Marshal([]any{k.by.Actor, k.verb, k.request})
	return request{k.by.Key, sha256.Sum256(raw)}, err
}

// recall reads the answer that the request had before, if it had one.
func recall[T any](ctx context.Context, c *Control, r request) (answer T, known bool, err error) {
	if r.token == "" {
		return answer, false, nil
	}
	var digest, raw []byte
	err = c.store.View(ctx, func(t *store.Tx) error {
		return t.Row("select digest, answer from control_answers where token = ? and at > ?",
			r.token, c.now().Add(-answersKept).UnixMicro()).Scan(&digest, &raw)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return answer, false, nil
	case err != nil:
		return answer, false, err
	case string(digest) != string(r.digest[:]):
		return answer, false, failf(CodeConflict, "the idempotency key %q came with another request; take a new key for each", r.token)
	}
	return answer, true, json.Unmarshal(raw, &answer)
}

// keep writes the answer down in the transaction that makes it true. A key that is told once is not written.
func (r request) keep(t *store.Tx, now time.Time, answer any) error {
	if r.token == "" {
		return nil
	}
	if made, is := answer.(KeyMade); is {
		made.Key = ""
		answer = made
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	if _, err := t.Exec("delete from control_answers where at <= ?", now.Add(-answersKept).UnixMicro()); err != nil {
		return err
	}
	n, err := t.Exec("insert into control_answers (token, digest, at, answer) values (?, ?, ?, ?) on conflict do nothing",
		r.token, r.digest[:], now.UnixMicro(), raw)
	if err == nil && n == 0 {
		err = errAnswered
	}
	return err
}

// keepProductions writes down which versions the draft brings into production.
func (d *draft) keepProductions(t *store.Tx, head store.Head) error {
	was := d.state.draft()
	seen := map[string]bool{}
	for _, i := range d.changed() {
		model, _, _ := strings.Cut(i.name, "@")
		if i.kind != wire.KindVersion && i.kind != wire.KindModel || seen[model] {
			continue
		}
		seen[model] = true
		if _, stays := d.after[id{wire.KindModel, model}]; !stays {
			if _, err := t.Exec("delete from control_productions where model = ?", model); err != nil {
				return err
			}
			continue
		}
		if now := d.production(model); now != "" && now != was.production(model) {
			if err := keepProduction(t, model, now, head.Rev, d.moved == model); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepProduction appends a version to those that were in production or, where the model goes back to it, forgets those
// after it.
func keepProduction(t *store.Tx, model, version string, rev int64, back bool) error {
	if back {
		var n sql.NullInt64
		err := t.Row("select max(n) from control_productions where model = ? and version = ?", model, version).Scan(&n)
		if err != nil {
			return err
		}
		if n.Valid {
			_, err := t.Exec("delete from control_productions where model = ? and n > ?", model, n.Int64)
			return err
		}
	}
	var last int64
	err := t.Row("select coalesce(max(n), 0) from control_productions where model = ?", model).Scan(&last)
	if err != nil {
		return err
	}
	_, err = t.Exec("insert into control_productions (model, n, version, rev) values (?, ?, ?, ?)", model, last+1, version, rev)
	return err
}

// productions lists the versions that were in production, the last one first.
func (c *Control) productions(ctx context.Context, model string) (all []string, err error) {
	err = c.store.View(ctx, func(t *store.Tx) error {
		all = nil
		rows, err := t.Query("select version from control_productions where model = ? order by n desc limit 100", model)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var version string
			if err := rows.Scan(&version); err != nil {
				return err
			}
			all = append(all, version)
		}
		return rows.Err()
	})
	return all, err
}
