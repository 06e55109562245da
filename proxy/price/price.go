// Package price says what usage costs, and what a request may cost at most. It knows prices and tokens, not providers'
// answers or budgets.
package price

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/wire"
)

// Unknown is the cost of a request whose price nobody knows. It is not zero.
const Unknown int64 = -1

// Table is the prices of a catalog. It is immutable.
type Table struct {
	prices map[[2]string]*Price
	digest string
}

// New is the table of a catalog.
func New(c *wire.Catalog) *Table {
	t := &Table{prices: map[[2]string]*Price{}}
	for i := range c.Prices {
		p := &c.Prices[i]
		at := [2]string{p.Provider, p.Model}
		if t.prices[at] == nil {
			t.prices[at] = &Price{}
		}
		t.prices[at].dated = append(t.prices[at].dated, *p)
	}
	for _, p := range t.prices {
		slices.SortFunc(p.dated, func(a, b wire.Price) int { return a.From.Compare(b.From) })
	}
	b, err := json.Marshal(c.Prices)
	if err != nil {
		panic("BUG: prices have no JSON: " + err.Error())
	}
	sum := sha256.Sum256(b)
	t.digest = hex.EncodeToString(sum[:6])
	return t
}

// Digest tells the prices from any others: 12 hexadecimal digits. That of no table is "".
func (t *Table) Digest() string {
	if t == nil {
		return ""
	}
	return t.digest
}

// Of is the price of a provider's model; never nil.
func (t *Table) Of(p *wire.Provider, model string) *Price {
	if found := t.prices[[2]string{p.Name, model}]; found != nil {
		return found
	}
	return &Price{}
}

// Price is what one upstream model costs, now and at other times. The zero value is unknown.
type Price struct{ dated []wire.Price }

// Flat is a price of so many pico-USD for each token, whatever it is.
func Flat(pico int64) *Price {
	t := wire.Tariff{Input: pico, CachedInput: pico, CacheWrite: pico, CacheWriteHour: pico, AudioInput: pico, ImageInput: pico,
		Output: pico, Reasoning: pico, AudioOutput: pico, ImageOutput: pico}
	return &Price{[]wire.Price{{Tariff: t}}}
}

func (p *Price) at(t time.Time) *wire.Price {
	for i := len(p.dated) - 1; i >= 0; i-- {
		if !t.Before(p.dated[i].From) {
			return &p.dated[i]
		}
	}
	return nil
}

// Known says whether there is a price at a time.
func (p *Price) Known(at time.Time) bool {
	w := p.at(at)
	return w != nil && w.Input >= 0
}

// Tokens are the present prices of an input and an output token, in pico-USD; negative if unknown.
func (p *Price) Tokens() (input, output int64) {
	if w := p.at(time.Now()); w != nil {
		return w.Input, w.Output
	}
	return -1, -1
}

// Bill is what a usage costs in nano-USD, or Unknown.
type Bill struct {
	Nano int64
	List int64 // if the provider had no prompt cache
}

// Line is a part of a bill.
type Line struct {
	What  string
	Count int64 // tokens, or what else is counted
	Pico  int64 // pico-USD for each
	Nano  int64 // rounded up; the bill is rounded once, for the sum
}

// part is how many of something there were, at which price in pico-USD.
type part struct {
	what        string
	count, pico int64
}

const parts = 14

func tariff(w *wire.Price, input int64) *wire.Tariff {
	t := &w.Tariff
	for i := range w.Tiers {
		if input > w.Tiers[i].Above {
			t = &w.Tiers[i].Tariff
		}
	}
	return t
}

func partsOf(w *wire.Price, u *dialect.Usage, list bool) (out [parts]part) {
	t := tariff(w, u.Input)
	input := max(0, u.Input)
	take := func(n int64, from *int64) int64 {
		n = min(max(0, n), *from)
		*from -= n
		return n
	}
	output := max(0, u.Output)
	cached := take(u.Cached, &input)
	write := take(u.CacheWrite, &input)
	hour := take(u.CacheWriteHour, &write)
	audioIn, imageIn := take(u.AudioInput, &input), take(u.ImageInput, &input)
	reasoning := take(u.Reasoning, &output)
	audioOut, imageOut := take(u.AudioOutput, &output), take(u.ImageOutput, &output)
	if list {
		input += cached + write + hour
		cached, write, hour = 0, 0, 0
	}
	return [parts]part{
		{"input", input, t.Input}, {"cached input", cached, t.CachedInput}, {"cache write", write, t.CacheWrite}, {"cache write, an hour", hour, t.CacheWriteHour},
		{"audio input", audioIn, t.AudioInput}, {"image input", imageIn, t.ImageInput},
		{"output", output, t.Output}, {"reasoning", reasoning, t.Reasoning}, {"audio output", audioOut, t.AudioOutput}, {"image output", imageOut, t.ImageOutput},
		{"request", 1, w.Request * 1000}, {"images", max(0, u.Images), w.Image * 1000}, {"audio milliseconds", max(0, u.AudioMillis), w.Second}, {"letters", max(0, u.Letters), w.Letter},
	}
}

// Bill prices a usage at a time.
func (p *Price) Bill(u *dialect.Usage, at time.Time) Bill {
	w := p.at(at)
	if w == nil || !u.Known {
		return Bill{Unknown, Unknown}
	}
	all := partsOf(w, u, false)
	nano := sum(all[:])
	if u.Cached|u.CacheWrite == 0 {
		return Bill{nano, nano}
	}
	all = partsOf(w, u, true)
	return Bill{nano, sum(all[:])}
}

// sum is what parts cost in nano-USD, rounded up once, or Unknown.
func sum(all []part) int64 {
	const safe = 1 << 29
	total := int64(0)
	for i := range all {
		n, pico := all[i].count, all[i].pico
		switch {
		case n == 0:
			continue
		case pico < 0:
			return Unknown
		case n >= safe || pico >= safe:
			return bigSum(all)
		}
		total += n * pico
	}
	return (total + 999) / 1000
}

func bigSum(all []part) int64 {
	total := new(big.Int)
	for _, p := range all {
		if p.count > 0 && p.pico < 0 {
			return Unknown
		}
		total.Add(total, new(big.Int).Mul(big.NewInt(p.count), big.NewInt(p.pico)))
	}
	total.Add(total, big.NewInt(999)).Quo(total, big.NewInt(1000))
	if !total.IsInt64() {
		return Unknown
	}
	return total.Int64()
}

// Lines are the parts of a bill.
func (p *Price) Lines(u *dialect.Usage, at time.Time) (out []Line) {
	w := p.at(at)
	if w == nil || !u.Known {
		return nil
	}
	for _, each := range partsOf(w, u, false) {
		if each.count > 0 && each.pico != 0 {
			out = append(out, Line{each.what, each.count, each.pico, sum([]part{each})})
		}
	}
	return out
}

// AtMost is what a request of so many tokens and an answer of so many can cost, in nano-USD.
func (p *Price) AtMost(input, output int64, at time.Time) int64 {
	w := p.at(at)
	if w == nil {
		return 0
	}
	t := tariff(w, input)
	in, out := max(t.Input, t.CacheWrite, t.CacheWriteHour, 0), max(t.Output, t.Reasoning, 0)
	n := sum([]part{{"", max(0, input), in}, {"", max(0, output), out}, {"", 1, max(0, w.Request) * 1000}})
	if n == Unknown {
		return math.MaxInt64 / 4
	}
	return n
}

// AppendUSD appends nano-USD as a decimal number of USD, without trailing zeros.
func AppendUSD(dst []byte, nano int64) []byte {
	dst = strconv.AppendInt(dst, nano/1e9, 10)
	frac := nano % 1e9
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.')
	for scale := int64(1e8); frac > 0; scale /= 10 {
		dst = append(dst, byte('0'+frac/scale))
		frac %= scale
	}
	return dst
}
