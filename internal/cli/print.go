package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// Formats of what is printed.
const (
	Table = "table"
	JSON  = "json" // the API's answer
	YAML  = "yaml" // the same
)

// Session is one command on its way: whom it asks, and where it prints to.
type Session struct {
	Client *Client
	Out    io.Writer // what was asked for
	Notes  io.Writer // what is said beside it
	Format string    // Table, JSON or YAML
	Reason string    // why something is changed, for the audit trail

	// Ask puts a question to somebody who watches; nil: nobody does.
	Ask func(question string) (yes bool, err error)
	Now func() time.Time // nil where no table tells how long ago something was
}

// print writes an answer in the session's format; show prints its table.
func (s *Session) print(answer []byte, show func(*table) error) error {
	switch s.Format {
	case JSON:
		var out bytes.Buffer
		if err := json.Indent(&out, answer, "", "  "); err != nil {
			return s.notUnderstood(err)
		}
		out.WriteByte('\n')
		_, err := s.Out.Write(out.Bytes())
		return err
	case YAML:
		text, err := yamlOf(answer)
		if err != nil {
			return s.notUnderstood(err)
		}
		_, err = s.Out.Write(text)
		return err
	}
	t := s.table()
	if err := show(t); err != nil {
		return s.notUnderstood(err)
	}
	_, err := s.Out.Write(t.finish())
	return err
}

func (s *Session) notUnderstood(err error) error {
	return fmt.Errorf("cannot understand the answer of the origin at %s (is it of another version?): %w", s.Client.Origin(), err)
}

// printAs prints an answer whose table needs it decoded.
func printAs[T any](s *Session, answer []byte, show func(t *table, v T) error) error {
	return s.print(answer, func(t *table) error {
		var v T
		if err := json.Unmarshal(answer, &v); err != nil {
			return err
		}
		return show(t, v)
	})
}

// printList prints an answer with items.
func printList[T any](s *Session, answer []byte, show func(t *table, items []T)) error {
	return printAs(s, answer, func(t *table, v struct {
		Items []T `json:"items"`
	}) error {
		show(t, v.Items)
		return nil
	})
}

// note says something beside the answer.
func (s *Session) note(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Notes, format+"\n", args...) // without it the answer is still an answer
}

// get asks for something.
func (s *Session) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	return s.Client.do(ctx, call{method: http.MethodGet, path: path, query: query})
}

// change asks for a change; body is what becomes its JSON, nil for none.
func (s *Session) change(ctx context.Context, method, path string, body any) ([]byte, error) {
	r := call{method: method, path: path, query: s.reason(nil)}
	if body != nil {
		var err error
		if r.body, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("cannot write the request: %w", err)
		}
	}
	return s.Client.do(ctx, r)
}

// reason adds the reason to a query.
func (s *Session) reason(query url.Values) url.Values {
	if s.Reason != "" {
		if query == nil {
			query = url.Values{}
		}
		query.Set("reason", s.Reason)
	}
	return query
}

// list asks for all pages of a list and makes them one.
func (s *Session) list(ctx context.Context, path string) ([]byte, error) {
	whole, query := page{Items: []json.RawMessage{}}, url.Values{}
	for {
		answer, err := s.get(ctx, path, query)
		if err != nil {
			return nil, err
		}
		var p page
		if err := json.Unmarshal(answer, &p); err != nil {
			return nil, s.notUnderstood(err)
		}
		whole.Items = append(whole.Items, p.Items...)
		next := p.next()
		if next == "" || next == query.Get("after") {
			return json.Marshal(whole)
		}
		query.Set("after", next)
	}
}

// next is where the next page begins; "" after the last one.
func (p *page) next() string {
	var text string
	if json.Unmarshal(p.Next, &text) == nil {
		return text
	}
	if text = string(p.Next); text == "0" {
		return ""
	}
	return text
}

// table collects rows of cells, and lines between them.
type table struct {
	text bytes.Buffer
	w    *tabwriter.Writer
	now  time.Time
}

func (s *Session) table() *table {
	t := &table{}
	if s.Now != nil {
		t.now = s.Now()
	}
	t.w = tabwriter.NewWriter(&t.text, 0, 8, 2, ' ', 0)
	return t
}

// row adds a row. An empty cell shows as -.
func (t *table) row(cells ...string) {
	for i, c := range cells {
		c = oneLine(c)
		if c == "" {
			c = "-"
		}
		if i > 0 {
			c = "\t" + c
		}
		_, _ = io.WriteString(t.w, c) // memory takes everything
	}
	_, _ = io.WriteString(t.w, "\n")
}

// line ends the table so far, and adds a line as it is.
func (t *table) line(format string, args ...any) {
	_ = t.w.Flush() // memory takes everything
	t.text.WriteString(oneLine(fmt.Sprintf(format, args...)))
	t.text.WriteByte('\n')
}

func (t *table) finish() []byte {
	_ = t.w.Flush() // memory takes everything
	return t.text.Bytes()
}

// age tells how long ago something was.
func (t *table) age(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return coarse(t.now.Sub(at))
}

// coarse writes a span as people say it: in the largest unit of which there are two or more.
func coarse(d time.Duration) string {
	if d < 0 {
		return "-" + coarse(-d)
	}
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= 2*u.size {
			return strconv.FormatInt(int64(d/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// stamp writes a time to the second.
func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// oneLine makes a text from elsewhere fit for a terminal: no line breaks, no control characters.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			return -1
		}
		return r
	}, text)
	return strings.TrimRight(text, " ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func yes(b bool, word string) string {
	if b {
		return word
	}
	return ""
}
