package prices

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// Places of the decimal numbers in which prices are written.
const (
	perMillion = 6 // USD per million tokens or letters, from pico-USD for each
	inUSD      = 9 // USD, from nano-USD
)

// entry is a price as a catalog writes it.
type entry struct {
	From string `json:"from"`
	tariffEntry
	Tiers   []tierEntry `json:"tiers"`
	Request json.Number `json:"request_usd"`
	Image   json.Number `json:"image_usd"`
	Second  json.Number `json:"second_usd"`
	Letters json.Number `json:"letters"`
	Batch   int         `json:"batch"`
}

type tierEntry struct {
	Above int64 `json:"above"`
	tariffEntry
}

type tariffEntry struct {
	Input          json.Number `json:"input"`
	CachedInput    json.Number `json:"cached_input"`
	CacheWrite     json.Number `json:"cache_write"`
	CacheWriteHour json.Number `json:"cache_write_hour"`
	AudioInput     json.Number `json:"audio_input"`
	ImageInput     json.Number `json:"image_input"`
	Output         json.Number `json:"output"`
	Reasoning      json.Number `json:"reasoning"`
	AudioOutput    json.Number `json:"audio_output"`
	ImageOutput    json.Number `json:"image_output"`
}

// tariff is what the entry says, as far as it says it.
func (e *tariffEntry) tariff() wire.Tariff {
	t := wire.SilentTariff()
	said := [...]json.Number{e.Input, e.CachedInput, e.CacheWrite, e.CacheWriteHour, e.AudioInput, e.ImageInput,
		e.Output, e.Reasoning, e.AudioOutput, e.ImageOutput}
	for i, c := range t.Classes() {
		if n, ok := fixed(string(said[i]), perMillion); ok {
			*c.Price = n
		}
	}
	return t
}

// price is the entry of a model of a list as a catalog's price.
func (e *entry) price(list, model string) wire.Price {
	p := wire.Price{Provider: list, Model: model, Tariff: e.tariff(), Batch: 100}
	if e.From != "" {
		p.From, _ = time.Parse(time.DateOnly, e.From)
	}
	if e.Batch > 0 {
		p.Batch = e.Batch
	}
	p.Request, _ = fixed(string(e.Request), inUSD)
	p.Image, _ = fixed(string(e.Image), inUSD)
	p.Second, _ = fixed(string(e.Second), inUSD)
	p.Letter, _ = fixed(string(e.Letters), perMillion)
	for i := range e.Tiers {
		p.Tiers = append(p.Tiers, wire.PriceTier{Above: e.Tiers[i].Above, Tariff: e.Tiers[i].tariff()})
	}
	settle(&p)
	return p
}

// settle fills in what a price that says only some of it means.
func settle(p *wire.Price) {
	below := p.Tariff
	p.Settle(nil)
	for i := range p.Tiers {
		p.Tiers[i].Settle(&below)
	}
}

// AppendJSON appends a price as a catalog writes it: an object of the members that a reader could not fill in. A price
// without a provider or a model is written without them.
func AppendJSON(dst []byte, p *wire.Price) []byte {
	o := object{append(dst, '{'), true}
	o.text("provider", p.Provider)
	o.text("model", p.Model)
	if !p.From.IsZero() {
		o.text("from", dateOf(p.From))
	}
	said := o.tariff(&p.Tariff, nil)
	if len(p.Tiers) > 0 {
		o.name("tiers")
		for i := range p.Tiers {
			o.b = append(o.b, "[,"[min(i, 1)], '{')
			o.first = true
			o.whole("above", p.Tiers[i].Above)
			o.tariff(&p.Tiers[i].Tariff, &said)
			o.b = append(o.b, '}')
		}
		o.b = append(o.b, ']')
	}
	o.amount("request_usd", p.Request, inUSD)
	o.amount("image_usd", p.Image, inUSD)
	o.amount("second_usd", p.Second, inUSD)
	o.amount("letters", p.Letter, perMillion)
	if p.Batch > 0 && p.Batch != 100 {
		o.whole("batch", int64(p.Batch))
	}
	return append(o.b, '}')
}

func dateOf(t time.Time) string {
	if t = t.UTC(); t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339)
}

// object is one that is being written.
type object struct {
	b     []byte
	first bool // no member has been written
}

func (o *object) name(of string) {
	if !o.first {
		o.b = append(o.b, ',')
	}
	o.first = false
	o.b = append(strconv.AppendQuote(o.b, of), ':')
}

// text writes a member, unless it is empty.
func (o *object) text(of, value string) {
	if value != "" {
		o.name(of)
		quoted, _ := json.Marshal(value) // a string always has a JSON
		o.b = append(o.b, quoted...)
	}
}

func (o *object) whole(of string, n int64) {
	o.name(of)
	o.b = strconv.AppendInt(o.b, n, 10)
}

// amount writes a decimal number, unless it is 0.
func (o *object) amount(of string, n int64, places int) {
	if n > 0 {
		o.name(of)
		o.b = AppendDecimal(o.b, n, places)
	}
}

// tariff writes what would not be filled in, and returns that.
func (o *object) tariff(t, below *wire.Tariff) wire.Tariff {
	said := wire.SilentTariff()
	into := said.Classes()
	for i, c := range t.Classes() {
		guess := said
		guess.Settle(below)
		if *c.Price >= 0 && *guess.Classes()[i].Price != *c.Price {
			*into[i].Price = *c.Price
			o.name(c.Name)
			o.b = AppendDecimal(o.b, *c.Price, perMillion)
		}
	}
	return said
}
