package api

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
)

// Schema is the API's tables: what people did that no revision tells of. The order of ids is that of time.
func Schema() store.Schema {
	return store.Schema{
		Name:   "api",
		Tables: []string{"api_actions"},
		Steps: []string{`
create table api_actions (
	id {text} primary key,
	at bigint not null,
	actor {text} not null,
	action {text} not null,
	subject {text} not null,
	detail {text} not null,
	reason {text} not null,
	token {text} not null -- the idempotency key; '' where there was none
);
create index api_actions_token on api_actions (token);
`},
	}
}

// Action is something that was done without a revision.
type Action struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"` // token.create, node.pin, backup…
	Subject string    `json:"subject,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}

const (
	keepKeys    = 24 * time.Hour // for which an idempotency key stands for an action
	keepActions = 400 * 24 * time.Hour
	noteTime    = 5 * time.Second // to write an action down, also for a client that is gone
)

// actionID is the id of an action, or what precedes all ids, at a time.
func actionID(at time.Time, suffix string) string {
	return fmt.Sprintf("%016x%s", at.UnixMicro(), suffix)
}

// note writes down, and logs, what has been done and no revision tells of. It is done already: that it could not be
// written down is no reason to tell people otherwise.
func (c *call) note(action, subject, detail string) {
	now := c.options.Now()
	c.log.Info("action", "id", c.x.id, "actor", c.who.Name, "action", action, "subject", subject, "detail", detail, "reason", c.reason())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), noteTime)
	defer cancel()
	err := c.store.Update(ctx, func(t *store.Tx) error {
		if _, err := t.Exec("delete from api_actions where id < ?", actionID(now.Add(-keepActions), "")); err != nil {
			return err
		}
		_, err := t.Exec("insert into api_actions (id, at, actor, action, subject, detail, reason, token) values (?, ?, ?, ?, ?, ?, ?, ?)",
			actionID(now, rand.Text()[:8]), now.UnixMicro(), c.who.Name, action, subject, detail, c.reason(), c.key())
		return err
	})
	if err != nil {
		c.log.Error("cannot write an action down", "id", c.x.id, "error", err)
	}
}

// actions lists what was done without a revision, the latest first.
func (c *call) actions() (page Page[Action], err error) {
	limit, err := c.limit()
	if err != nil {
		return page, err
	}
	after := c.r.URL.Query().Get("after")
	if after == "" {
		after = "g" // follows all hexadecimal digits
	}
	err = c.store.View(c.r.Context(), func(t *store.Tx) error {
		page = pageOf[Action](nil, "")
		rows, err := t.Query("select id, at, actor, action, subject, detail, reason from api_actions where id < ? order by id desc limit ?", after, limit)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Err tells what went wrong
		for rows.Next() {
			var a Action
			var at int64
			if err := rows.Scan(&a.ID, &at, &a.Actor, &a.Action, &a.Subject, &a.Detail, &a.Reason); err != nil {
				return err
			}
			a.At = time.UnixMicro(at).UTC()
			page.Items = append(page.Items, a)
		}
		return rows.Err()
	})
	if len(page.Items) == limit {
		page.Next = page.Items[limit-1].ID
	}
	return page, err
}

// did tells whether the request, by its idempotency key, has been done already.
func (c *call) did(action, subject string) (done bool, err error) {
	if c.key() == "" {
		return false, nil
	}
	if len(c.key()) > store.MaxText || !isText(c.key()) {
		return false, invalid("an Idempotency-Key is UTF-8 of at most %d bytes", store.MaxText)
	}
	var was struct{ actor, action, subject string }
	err = c.store.View(c.r.Context(), func(t *store.Tx) error {
		return t.Row("select actor, action, subject from api_actions where token = ? and id >= ?",
			c.key(), actionID(c.options.Now().Add(-keepKeys), "")).Scan(&was.actor, &was.action, &was.subject)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	case was.actor != c.who.Name || was.action != action || was.subject != subject:
		return false, faultf(http.StatusConflict, codeConflict, "the idempotency key %q came with another request; take a new key for each", c.key())
	}
	return true, nil
}

// once does something to what the path names, unless the same request has done it before.
func (c *call) once(action string, do func() error) (Done, error) {
	done, err := c.did(action, c.name())
	if err != nil || done {
		return Done{Name: c.name()}, err
	}
	if err := do(); err != nil {
		return Done{}, err
	}
	c.note(action, c.name(), "")
	return Done{Name: c.name()}, nil
}

// toldOnce refuses to repeat a request whose answer was a secret.
func (c *call) toldOnce(action, subject string) error {
	done, err := c.did(action, subject)
	if err == nil && done {
		err = faultf(http.StatusConflict, codeConflict, "an earlier request with this idempotency key has made it, and it was told once; "+
			"revoke it, and ask for another with a new key")
	}
	return err
}
