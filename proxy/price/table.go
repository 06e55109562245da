package price

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/wedge-proxy/wedge/internal/prices"
	"github.com/wedge-proxy/wedge/wire"
)

// Table is the prices of a catalog: its own, and behind them those of the built-in table. It is immutable.
type Table struct {
	own    map[target][]wire.Price
	lists  map[string]string // by the provider's name
	digest string
}

type target struct{ provider, model string }

// New is the table of a catalog.
func New(c *wire.Catalog) *Table {
	t := &Table{own: make(map[target][]wire.Price, len(c.Prices)), lists: map[string]string{}}
	sorted := make([]int32, len(c.Prices))
	for i := range sorted {
		sorted[i] = int32(i)
	}
	slices.SortStableFunc(sorted, func(i, j int32) int {
		a, b := &c.Prices[i], &c.Prices[j]
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model), a.From.Compare(b.From))
	})
	var said []byte // all that the prices say
	for _, i := range sorted {
		p := &c.Prices[i]
		of := target{p.Provider, p.Model}
		if before := t.own[of]; before != nil {
			t.own[of] = append(before, *p)
		} else {
			t.own[of] = c.Prices[i : i+1 : i+1]
		}
		said = appendPrice(said, p)
	}
	for i := range c.Providers {
		if list := List(&c.Providers[i]); list != "" {
			t.lists[c.Providers[i].Name] = list
		}
	}
	t.digest = t.sum(said)
	return t
}

// none is what a provider's prices say to have no list of the built-in table.
const none = "none"

// List is the list of the built-in table that holds for a provider, "" for none.
func List(p *wire.Provider) string {
	switch p.Prices {
	case "":
		return prices.ListOfHost(p.BaseURL)
	case none:
		return ""
	}
	return p.Prices
}

// Digest tells the prices from any others: 12 hexadecimal digits. That of no table is "".
func (t *Table) Digest() string {
	if t == nil {
		return ""
	}
	return t.digest
}

// sum digests what the catalog's prices say, and the built-in table as far as a provider has a list in it.
func (t *Table) sum(b []byte) string {
	if len(t.lists) > 0 {
		b = append(b, prices.Digest()...)
		names := make([]string, 0, len(t.lists))
		for name := range t.lists {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			b = strconv.AppendQuote(b, name)
			b = strconv.AppendQuote(b, t.lists[name])
		}
	}
	digest := sha256.Sum256(b)
	return hex.EncodeToString(digest[:6])
}

// appendPrice appends all that a price says.
func appendPrice(b []byte, p *wire.Price) []byte {
	b = strconv.AppendQuote(b, p.Provider)
	b = strconv.AppendQuote(b, p.Model)
	b = appendInts(b, p.From.Unix(), int64(p.From.Nanosecond()), p.Request, p.Image, p.Second, p.Letter, int64(p.Batch))
	b = appendTariff(b, &p.Tariff)
	for i := range p.Tiers {
		b = append(b, '>')
		b = appendInts(b, p.Tiers[i].Above)
		b = appendTariff(b, &p.Tiers[i].Tariff)
	}
	return append(b, '\n')
}

func appendTariff(b []byte, t *wire.Tariff) []byte {
	return appendInts(b, t.Input, t.CachedInput, t.CacheWrite, t.CacheWriteHour, t.AudioInput, t.ImageInput,
		t.Output, t.Reasoning, t.AudioOutput, t.ImageOutput)
}

func appendInts(b []byte, list ...int64) []byte {
	for _, n := range list {
		b = append(strconv.AppendInt(b, n, 10), ' ')
	}
	return b
}

// Of is the price of a provider's model; never nil. What the catalog says wins over the built-in table, from the time on
// from which it says something.
func (t *Table) Of(p *wire.Provider, model string) *Price {
	own, list := t.own[target{p.Name, model}], t.lists[p.Name]
	if list == "" || len(own) > 0 && own[0].From.IsZero() {
		return &Price{dated: own}
	}
	dated := prices.Dated(list, model)
	if len(own) == 0 {
		return &Price{dated: dated, builtIn: len(dated)}
	}
	before := 0
	for before < len(dated) && dated[before].From.Before(own[0].From) {
		before++
	}
	return &Price{dated: slices.Concat(dated[:before], own), builtIn: before}
}
