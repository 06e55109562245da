package spend

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// States of a delivery.
const (
	StateWaiting   = "waiting"
	StateDelivered = "delivered"
	StateGivenUp   = "given_up"
)

const (
	deliveryTime = 10 * time.Second
	atOnce       = 50 // deliveries of one round
	sideBySide   = 8
)

// pauses are how long a delivery that failed waits; after the last one it is given up, a day later.
var pauses = [...]time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour, 10 * time.Hour,
}

// Delivery is an alert on its way to a webhook.
type Delivery struct {
	Alert   int64      `json:"alert"`
	Webhook string     `json:"webhook"`
	State   string     `json:"state"` // waiting | delivered | given_up
	Tries   int        `json:"tries"`
	Next    *time.Time `json:"next,omitempty"`   // waiting: when it is tried again
	Status  int        `json:"status,omitempty"` // of the last answer
	Error   string     `json:"error,omitempty"`  // of the last try
}

// Deliveries lists up to limit deliveries, the latest alert first, of alerts that are older than before; 0 begins with the
// latest.
func (s *Spend) Deliveries(ctx context.Context, before int64, limit int) ([]Delivery, error) {
	all := []Delivery{}
	err := s.store.View(ctx, func(t *store.Tx) (err error) {
		all, err = deliveries(t, "where ? = 0 or alert < ? order by alert desc, webhook limit ?", before, before, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("spend: cannot read the deliveries: %w", err)
	}
	return all, nil
}

func deliveries(t *store.Tx, which string, args ...any) ([]Delivery, error) {
	rows, err := t.Query("select alert, webhook, state, tries, next, status, error from spend_deliveries "+which, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []Delivery{}
	for rows.Next() {
		var d Delivery
		var next int64
		if err := rows.Scan(&d.Alert, &d.Webhook, &d.State, &d.Tries, &next, &d.Status, &d.Error); err != nil {
			return nil, err
		}
		if at := time.UnixMilli(next).UTC(); d.State == StateWaiting {
			d.Next = &at
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

// deliver tries every delivery that is due.
func (s *Spend) deliver(ctx context.Context) error {
	_, webhooks, err := s.definitions(ctx)
	if err != nil {
		return err
	}
	byName := map[string]*wire.Webhook{}
	for i := range webhooks {
		byName[webhooks[i].Name] = &webhooks[i]
	}
	var due []Delivery
	err = s.store.View(ctx, func(t *store.Tx) (err error) {
		due, err = deliveries(t, "where state = ? and next <= ? order by next, alert, webhook limit ?", StateWaiting, s.o.Now().UnixMilli(), atOnce)
		return err
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for i := range due {
		d := &due[i]
		group.Go(func() error {
			s.try(ctx, d, byName[d.Webhook])
			if ctx.Err() != nil { // it was broken off, and begins anew
				return nil
			}
			return s.note(ctx, d)
		})
	}
	return group.Wait()
}

// try delivers, and puts down how that went.
func (s *Spend) try(ctx context.Context, d *Delivery, w *wire.Webhook) {
	d.Tries++
	d.Status, d.Error = 0, ""
	var err error
	if w == nil {
		d.State, d.Error = StateGivenUp, "the catalog has no such webhook any more"
		return
	}
	if d.Status, err = s.post(ctx, d.Alert, w); err == nil {
		d.State, d.Next = StateDelivered, nil
		return
	}
	d.Error = err.Error()
	if d.Tries > len(pauses) || d.Status == http.StatusGone {
		d.State, d.Next = StateGivenUp, nil
		s.o.Log.Error("an alert was not delivered", "webhook", d.Webhook, "alert", d.Alert, "error", err)
		return
	}
	next := s.o.Now().Add(pauses[d.Tries-1])
	d.Next = &next
}

func (s *Spend) note(ctx context.Context, d *Delivery) error {
	next := int64(0)
	if d.Next != nil {
		next = d.Next.UnixMilli()
	}
	return s.store.Update(ctx, func(t *store.Tx) error {
		_, err := t.Exec("update spend_deliveries set state = ?, tries = ?, next = ?, status = ?, error = ? where alert = ? and webhook = ?",
			d.State, d.Tries, next, d.Status, d.Error, d.Alert, d.Webhook)
		return err
	})
}

// message is what a webhook gets.
type message struct {
	Type      string          `json:"type"` // budget.KIND
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"` // an Alert
}

// post sends an alert as standardwebhooks.com says: whoever gets it twice knows it by its id.
func (s *Spend) post(ctx context.Context, id int64, w *wire.Webhook) (status int, err error) {
	var m message
	err = s.store.View(ctx, func(t *store.Tx) error {
		var at int64
		var body []byte
		err := t.Row("select kind, at, body from spend_alerts where id = ?", id).Scan(&m.Type, &at, &body)
		m.Type, m.Timestamp, m.Data = "budget."+m.Type, time.UnixMilli(at).UTC(), body
		return err
	})
	if err != nil {
		return 0, err
	}
	body, err := json.Marshal(m)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	name := fmt.Sprintf("wedge_%d_%d", m.Timestamp.UnixMilli(), id)
	stamp := strconv.FormatInt(s.o.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "wedge")
	req.Header.Set("Webhook-Id", name)
	req.Header.Set("Webhook-Timestamp", stamp)
	if w.Secret != "" {
		secret, err := s.secret(ctx, w.Secret)
		if err != nil {
			return 0, err
		}
		req.Header.Set("Webhook-Signature", sign(secret, name, stamp, body))
	}
	resp, err := s.o.Client.Do(req)
	if err != nil {
		return 0, errors.New("it cannot be reached: " + unwrapURL(err).Error())
	}
	defer func() { _ = resp.Body.Close() }() // what matters was read
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode/100 != 2 {
		return resp.StatusCode, fmt.Errorf("it answered with status %d", resp.StatusCode)
	}
	return resp.StatusCode, nil
}

// unwrapURL leaves the URL out of an error: some have a token in them.
func unwrapURL(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// secret is the key that a webhook's deliveries are signed with.
func (s *Spend) secret(ctx context.Context, ref string) ([]byte, error) {
	name, is := strings.CutPrefix(ref, "origin:")
	if !is || s.o.Secret == nil {
		return nil, fmt.Errorf("its secret %s is none of the origin's", ref)
	}
	value, err := s.o.Secret(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("its secret %s cannot be read: %w", ref, err)
	}
	if coded, is := strings.CutPrefix(value, "whsec_"); is {
		key, err := base64.StdEncoding.DecodeString(coded)
		if err != nil {
			return nil, fmt.Errorf("its secret %s begins with whsec_ and goes on with what is not base64", ref)
		}
		return key, nil
	}
	return []byte(value), nil
}

// sign is the signature of a message: HMAC-SHA256 of its id, its time and its body.
func sign(secret []byte, id, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
