package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

const (
	mediaJSON  = "application/json"
	mediaYAML  = "application/yaml"
	mediaBytes = "application/octet-stream"
	mediaText  = "text/plain"
	mediaFeed  = "text/event-stream"

	maxJSON    = store.MaxBody + 64<<10 // bytes of an ordinary body
	maxCatalog = 2 * store.MaxSetBytes  // as people write it, with its comments
	bodyTime   = time.Minute            // for a body to arrive
	blobTime   = 10 * time.Minute       // for a blob to arrive
	maxPage    = 1000                   // items of a page
	usualPage  = 100
)

// body reads the whole body.
func (c *call) body(limit int64) ([]byte, error) {
	defer c.arriveWithin(bodyTime)()
	b, err := io.ReadAll(http.MaxBytesReader(c.x, c.r.Body, limit))
	if err != nil {
		return nil, unread(err)
	}
	return b, nil
}

// arriveWithin bounds how long the body may take, until the function that it returns is called.
func (c *call) arriveWithin(d time.Duration) (done func()) {
	_ = c.x.control.SetReadDeadline(time.Now().Add(d)) // where there is no connection, nobody is slow
	return func() { _ = c.x.control.SetReadDeadline(time.Time{}) }
}

// unread is why a body was not read.
func unread(err error) error {
	if _, is := errors.AsType[*http.MaxBytesError](err); is {
		return err
	}
	return invalid("the body did not arrive: %v", err)
}

// decode reads a body of JSON, in which nothing stands that is not known, and nothing twice.
func (c *call) decode(v any) error {
	text, err := c.body(maxJSON)
	if err != nil || len(text) == 0 {
		return err
	}
	if !utf8.Valid(text) {
		return invalid("the body is not UTF-8")
	}
	err = uniqueMembers(json.NewDecoder(bytes.NewReader(text)), 0)
	if errors.Is(err, io.EOF) {
		err = errors.New("it breaks off")
	}
	if err != nil {
		return invalid("cannot read the body as JSON: %v", err)
	}
	if err := wire.DecodeStrict(text, v); err != nil {
		return invalid("cannot read the body: %v", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

const maxDepth = 100

// uniqueMembers reads a value and refuses an object with two members of one name: readers differ in which one counts.
func uniqueMembers(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil || depth > maxDepth {
		return errors.Join(err, errorIf(depth > maxDepth, "nested too deep"))
	}
	open, is := token.(json.Delim)
	if !is {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name := key.(string) // nothing else comes here
			if seen[name] {
				return fmt.Errorf("the member %q stands there twice", name)
			}
			seen[name] = true
		}
		if err := uniqueMembers(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func errorIf(is bool, text string) error {
	if is {
		return errors.New(text)
	}
	return nil
}

// checkQuery refuses parameters that the route does not have: a dry run that is misspelt must not come true.
func (c *call) checkQuery() error {
	query, err := parseQuery(c.r)
	if err != nil {
		return err
	}
	for name, values := range query {
		ok := slices.ContainsFunc(c.route.params(), func(p param) bool { return p.name == name })
		if !ok {
			return invalid("this has no parameter %q; it has %s", name, c.route.paramNames())
		}
		if len(values) > 1 {
			return invalid("the parameter %q stands there twice", name)
		}
		if !isText(values[0]) {
			return invalid("the parameter %q is no text in UTF-8", name)
		}
	}
	return nil
}

// checkPath refuses names that the database cannot have.
func (c *call) checkPath() error {
	for _, name := range []string{c.r.PathValue("kind"), c.name(), c.r.Header.Get("X-Reason")} {
		if !isText(name) {
			return invalid("%q is no text in UTF-8", name)
		}
	}
	return nil
}

// isText tells whether every database takes a text.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

var paramReason = param{"reason", "string", "why, for the audit trail; the header X-Reason does the same"}

// params are the parameters that the query may have.
func (r *route) params() []param {
	if r.changes() {
		return append(slices.Clone(r.query), paramReason)
	}
	return r.query
}

func (r *route) paramNames() string {
	var names []string
	for _, p := range r.params() {
		names = append(names, p.name)
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// flag reads a parameter that is true or false; alone it is true.
func (c *call) flag(name string) (bool, error) {
	query := c.r.URL.Query()
	switch query.Get(name) {
	case "":
		return query.Has(name), nil
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, invalid("the parameter %s is %q; want true or false", name, query.Get(name))
}

// number reads a whole number from least on; absent is what an absent parameter means.
func (c *call) number(name string, least, absent int64) (int64, error) {
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least {
		return 0, invalid("the parameter %s is %q; want a whole number from %d on", name, text, least)
	}
	return n, nil
}

// limit is how many items the page has.
func (c *call) limit() (int, error) {
	n, err := c.number("limit", 1, usualPage)
	if n > maxPage {
		return 0, invalid("the limit is %d; a page has at most %d", n, maxPage)
	}
	return int(n), err
}

// moment reads a time, or a span before now.
func (c *call) moment(name string, absent time.Time) (time.Time, error) {
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return absent, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	var span wire.Duration
	if err := span.UnmarshalText([]byte(text)); err != nil {
		return time.Time{}, invalid("the parameter %s is %q; want a time such as 2026-01-31T00:00:00Z, or a span before now such as 24h or 7d", name, text)
	}
	return c.options.Now().Add(-time.Duration(span)), nil
}

// send answers with JSON.
func (c *call) send(answer any) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("cannot write the answer: %w", err)
	}
	return c.sendBytes(mediaJSON, append(text, '\n'))
}

func (c *call) sendBytes(media string, text []byte) error {
	c.x.Header().Set("Content-Type", media)
	c.x.Header().Set("Content-Length", strconv.Itoa(len(text)))
	c.x.WriteHeader(c.status)
	if c.r.Method == http.MethodHead {
		return nil
	}
	if _, err := c.x.Write(text); err != nil {
		c.log.Debug("answer not taken", "id", c.x.id, "error", err)
	}
	return nil
}
