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
	dst = append(dst, '{')
	begin := len(dst)
	name := func(of string) {
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = append(strconv.AppendQuote(dst, of), ':')
	}
	text := func(of, value string) {
		if value != "" {
			name(of)
			quoted, _ := json.Marshal(value) // a string always has a JSON
			dst = append(dst, quoted...)
		}
	}
	amount := func(of string, n int64, places int) {
		if n > 0 {
			name(of)
			dst = AppendDecimal(dst, n, places)
		}
	}
	text("provider", p.Provider)
	text("model", p.Model)
	if !p.From.IsZero() {
		text("from", dateOf(p.From))
	}
	said := wire.SilentTariff()
	tariff := func(t *wire.Tariff, below *wire.Tariff) {
		written := wire.SilentTariff()
		into := written.Classes()
		for i, c := range t.Classes() {
			guess := written
			guess.Settle(below)
			if *c.Price >= 0 && *guess.Classes()[i].Price != *c.Price {
				name(c.Name)
				dst = AppendDecimal(dst, *c.Price, perMillion)
				*into[i].Price = *c.Price
			}
		}
		if below == nil {
			said = written
		}
	}
	tariff(&p.Tariff, nil)
	if len(p.Tiers) > 0 {
		name("tiers")
		for i := range p.Tiers {
			dst = append(dst, "[,"[min(i, 1)], '{')
			begin = len(dst)
			name("above")
			dst = strconv.AppendInt(dst, p.Tiers[i].Above, 10)
			tariff(&p.Tiers[i].Tariff, &said)
			dst = append(dst, '}')
		}
		dst, begin = append(dst, ']'), 0
	}
	amount("request_usd", p.Request, inUSD)
	amount("image_usd", p.Image, inUSD)
	amount("second_usd", p.Second, inUSD)
	amount("letters", p.Letter, perMillion)
	if p.Batch > 0 && p.Batch != 100 {
		name("batch")
		dst = strconv.AppendInt(dst, int64(p.Batch), 10)
	}
	return append(dst, '}')
}

func dateOf(t time.Time) string {
	if t = t.UTC(); t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339)
}
