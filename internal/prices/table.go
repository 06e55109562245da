// Package prices is the built-in table of models' prices, which are facts with a source and a date, and the readers of other
// tables. It knows no usage and computes no cost.
package prices

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// packed is the table as Pack makes it: a line of JSON that is the header, and one for each list, all compressed.
//
//go:embed table.jsonl.gz
var packed []byte

// header is the first line.
type header struct {
	Source  string       `json:"source"`
	Version string       `json:"version"`
	Date    string       `json:"date"`
	Lists   []listHeader `json:"lists"` // in the order of the lines
}

type listHeader struct {
	ID  string `json:"id"`
	URL string `json:"url"` // an expression that base URLs begin with
}

// list is one provider's models.
type list struct {
	Fallback []string `json:"fallback,omitempty"` // lists in which the models are looked for that are not in this one
	Models   []model  `json:"models"`
}

type model struct {
	ID    string            `json:"id"`
	Match rule              `json:"match"`
	Raw   []json.RawMessage `json:"prices,omitempty"` // rising; none: the model is known, its price is not

	prices []wire.Price
}

// table is what has been decoded of the packed one so far: the names of lists only, until somebody asks for more.
var table struct {
	sync.Mutex
	header *header
	urls   []*regexp.Regexp // of header.Lists
	lists  map[string]*list
}

// lines calls with each line until it returns false.
func lines(from []byte, with func(i int, line []byte) bool) error {
	r, err := gzip.NewReader(bytes.NewReader(from))
	if err != nil {
		return err
	}
	b := bufio.NewReaderSize(r, 4<<10)
	for i := 0; ; i++ {
		line, err := b.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case !with(i, line):
			return nil
		}
	}
}

// must ends the program where the embedded table is broken: what the tests of this package have read is not.
func must(err error) {
	if err != nil {
		panic("BUG: the built-in table of prices: " + err.Error())
	}
}

// head is the table's header. The caller holds the lock.
func head() *header {
	if table.header == nil {
		h := new(header)
		must(lines(packed, func(_ int, line []byte) bool {
			must(json.Unmarshal(line, h))
			return false
		}))
		for i := range h.Lists {
			re, err := pattern(h.Lists[i].URL)
			must(err)
			table.urls = append(table.urls, re)
		}
		table.header, table.lists = h, map[string]*list{}
	}
	return table.header
}

// pattern is the expression that base URLs are matched with: to the end of their host, if it names all of it.
func pattern(url string) (*regexp.Regexp, error) {
	if strings.HasSuffix(url, `\.`) || strings.HasSuffix(url, `$)`) {
		return regexp.Compile("^(?:" + url + ")")
	}
	return regexp.Compile("^(?:" + url + ")(?:[:/?]|$)")
}

// named is a list by its name, nil if there is none. The caller holds the lock.
func named(id string) *list {
	h := head()
	if l := table.lists[id]; l != nil {
		return l
	}
	at := slices.IndexFunc(h.Lists, func(l listHeader) bool { return l.ID == id })
	if at < 0 {
		return nil
	}
	var l *list
	must(lines(packed, func(i int, line []byte) bool {
		if i <= at {
			return true
		}
		var err error
		l, err = decode(id, line)
		must(err)
		return false
	}))
	table.lists[id] = l
	return l
}

func decode(id string, line []byte) (*list, error) {
	l := new(list)
	if err := json.Unmarshal(line, l); err != nil {
		return nil, fmt.Errorf("list %s: %w", id, err)
	}
	for i := range l.Models {
		m := &l.Models[i]
		for _, raw := range m.Raw {
			var e entry
			if err := json.Unmarshal(raw, &e); err != nil {
				return nil, fmt.Errorf("list %s: %s: %w", id, m.ID, err)
			}
			m.prices = append(m.prices, e.price(id, m.ID))
		}
		m.Raw = nil
	}
	return l, nil
}

func (l *list) find(name string) *model {
	for i := range l.Models {
		if l.Models[i].Match.matches(name) {
			return &l.Models[i]
		}
	}
	return nil
}

// find looks for a model's name in a list and in those that stand in for it. The caller holds the lock.
func find(id, name string) *model {
	l := named(id)
	if l == nil {
		return nil
	}
	if m := l.find(name); m != nil {
		return m
	}
	for _, other := range l.Fallback {
		if l := named(other); l != nil {
			if m := l.find(name); m != nil {
				return m
			}
		}
	}
	return nil
}

// compact is a date of a model's name that others write with hyphens.
var compact = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`-(20\d\d)(\d\d)(\d\d)(-|:|$)`) })

// Dated are the prices of a model of a list, rising by From, by the rules of the table for models' names; none if it is not
// in the table, or nothing is known of its price. Provider and Model of a price say which entry of the table it is. The
// caller must not change them.
func Dated(list, model string) []wire.Price {
	name := strings.ToLower(strings.TrimSpace(model))
	table.Lock()
	defer table.Unlock()
	m := find(list, name)
	if m == nil && compact().MatchString(name) {
		m = find(list, compact().ReplaceAllString(name, "-$1-$2-$3$4"))
	}
	if m == nil {
		return nil
	}
	return m.prices
}

// Lookup is the price of a model of a list at a time.
func Lookup(list, model string, at time.Time) (wire.Price, bool) {
	dated := Dated(list, model)
	for i := len(dated) - 1; i >= 0; i-- {
		if !at.Before(dated[i].From) {
			return dated[i], true
		}
	}
	return wire.Price{}, false
}

// ListOfHost is the list of whoever serves a base URL, "" if there is none.
func ListOfHost(baseURL string) string {
	u, err := url.Parse(baseURL)
	if err != nil || u.Hostname() == "localhost" {
		return ""
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return ""
	}
	lower := strings.ToLower(baseURL)
	table.Lock()
	defer table.Unlock()
	h := head()
	for i, re := range table.urls {
		if re.MatchString(lower) {
			return h.Lists[i].ID
		}
	}
	return ""
}

// Source says who published the facts of the table, in which version and when (YYYY-MM-DD).
func Source() (name, version, date string) {
	table.Lock()
	defer table.Unlock()
	h := head()
	return h.Source, h.Version, h.Date
}

// Lists are the names of all lists, sorted.
func Lists() []string {
	table.Lock()
	defer table.Unlock()
	h := head()
	ids := make([]string, len(h.Lists))
	for i := range h.Lists {
		ids[i] = h.Lists[i].ID
	}
	slices.Sort(ids)
	return ids
}

// All are the prices of all models of a list in the order of the table; none if there is no such list.
func All(list string) (all []wire.Price) {
	table.Lock()
	defer table.Unlock()
	if l := named(list); l != nil {
		for i := range l.Models {
			all = append(all, l.Models[i].prices...)
		}
	}
	return all
}

// Digest tells the table from any other: 12 hexadecimal digits.
var Digest = sync.OnceValue(func() string {
	sum := sha256.Sum256(packed)
	return hex.EncodeToString(sum[:6])
})
