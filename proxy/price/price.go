// Package price says what usage costs, and what a request may cost at most. It knows prices and tokens, not providers'
// answers or budgets.
package price

import (
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// Price is what one upstream model costs, now and at other times. The zero value is unknown. It is immutable.
type Price struct {
	dated   []wire.Price // rising by From; each holds until the next one begins
	builtIn int          // how many of the first are of the built-in table, not of the catalog
	batch   bool
}

// Flat is a price of so many pico-USD for each token, whatever it is.
func Flat(pico int64) *Price {
	t := wire.Tariff{Input: pico, CachedInput: pico, CacheWrite: pico, CacheWriteHour: pico, AudioInput: pico, ImageInput: pico,
		Output: pico, Reasoning: pico, AudioOutput: pico, ImageOutput: pico}
	return &Price{dated: []wire.Price{{Tariff: t}}}
}

// Batch is the price of the same model for requests that came in a batch.
func (p *Price) Batch() *Price { return &Price{p.dated, p.builtIn, true} }

func (p *Price) at(t time.Time) *wire.Price {
	if i := p.index(t); i >= 0 {
		return &p.dated[i]
	}
	return nil
}

func (p *Price) index(t time.Time) int {
	i := len(p.dated) - 1
	for i >= 0 && t.Before(p.dated[i].From) {
		i--
	}
	return i
}

// At is the price that holds at a time, and whether it is of the built-in table; false where there is none.
func (p *Price) At(t time.Time) (w wire.Price, builtIn, ok bool) {
	i := p.index(t)
	if i < 0 {
		return wire.Price{}, false, false
	}
	return p.dated[i], i < p.builtIn, true
}

// Known says whether there is a price at a time.
func (p *Price) Known(at time.Time) bool {
	w := p.at(at)
	return w != nil && (w.Input >= 0 || w.Output >= 0 || w.Request > 0 || w.Image > 0 || w.Second > 0 || w.Letter > 0)
}

// Tokens are the present prices of an input and an output token, in pico-USD; negative if unknown.
func (p *Price) Tokens() (input, output int64) {
	if w := p.at(time.Now()); w != nil {
		return w.Input, w.Output
	}
	return -1, -1
}
