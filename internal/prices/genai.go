package prices

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// genaiProvider is a provider of genai-prices' data.
type genaiProvider struct {
	ID       string       `json:"id"`
	URL      string       `json:"api_pattern"`
	Fallback []string     `json:"fallback_model_providers"`
	Models   []genaiModel `json:"models"`
}

type genaiModel struct {
	ID     string          `json:"id"`
	Match  json.RawMessage `json:"match"`
	Prices json.RawMessage `json:"prices"` // an object, or a list of those that hold under conditions
}

type genaiDated struct {
	Constraint *struct {
		StartDate string `json:"start_date"`
		StartTime string `json:"start_time"`
	} `json:"constraint"`
	Prices map[string]json.RawMessage `json:"prices"`
}

// FromGenaiPrices reads the data of genai-prices. The provider of a price is the id of the list that it is of.
func FromGenaiPrices(data []byte) ([]wire.Price, []Skip, error) {
	providers, err := readGenai(data)
	if err != nil {
		return nil, nil, err
	}
	r := reading{}
	for i := range providers {
		p := &providers[i]
		for j := range p.Models {
			if r.list, r.model = p.ID, p.Models[j].ID; r.twice() {
				continue
			}
			r.prices = append(r.prices, r.genai(p.Models[j].Prices)...)
		}
	}
	return r.prices, r.skipped, nil
}

func readGenai(data []byte) (providers []genaiProvider, err error) {
	if err := json.Unmarshal(data, &providers); err != nil {
		return nil, fmt.Errorf("cannot read the data of genai-prices, want a list of providers: %w", err)
	}
	return providers, nil
}

// genai are the prices of one model, rising by date.
func (r *reading) genai(raw json.RawMessage) []wire.Price {
	var all []genaiDated
	if single := (genaiDated{}); json.Unmarshal(raw, &single.Prices) == nil {
		all = []genaiDated{single}
	} else if err := json.Unmarshal(raw, &all); err != nil {
		r.skip("", "its prices are neither an object nor a list")
		return nil
	}
	var dated, hourly []wire.Price
	for i := range all {
		p, ok := r.genaiPrice(all[i].Prices)
		if !ok {
			return nil
		}
		c := all[i].Constraint
		switch {
		case c == nil || i == 0:
		case c.StartDate != "":
			var err error
			if p.From, err = time.Parse(time.DateOnly, c.StartDate); err != nil {
				r.skip("", "its date "+c.StartDate+" is none")
				return nil
			}
		case c.StartTime != "":
			hourly = append(hourly, p)
			continue
		}
		dated = append(dated, p)
	}
	for i := range dated {
		for j := range hourly {
			dearest(&dated[i].Tariff, &hourly[j].Tariff)
		}
	}
	slices.SortStableFunc(dated, func(a, b wire.Price) int { return a.From.Compare(b.From) })
	return slices.CompactFunc(dated, func(a, b wire.Price) bool {
		b.From = a.From // what changes nothing, or holds from the same day, is not told
		return reflect.DeepEqual(a, b)
	})
}

// dearest makes a tariff at no hour less than another one, that holds at some.
func dearest(t, other *wire.Tariff) {
	of := other.Classes()
	for i, c := range t.Classes() {
		*c.Price = max(*c.Price, *of[i].Price)
	}
}

// genaiFees are billed for what tools do, and not counted in an answer's usage.
var genaiFees = map[string]bool{"web_searches_kcount": true, "storage_searches_kcount": true}

// genaiClasses are the names of token prices, as wire.Tariff.Classes orders them.
var genaiClasses = [10]string{"input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "input_audio_mtok", "input_image_mtok",
	"output_mtok", "output_reasoning_mtok", "output_audio_mtok", "output_image_mtok"}

// genaiSame are prices that a catalog has no word for: those of tokens which it bills as the class named here.
var genaiSame = map[string]string{"cache_audio_read_mtok": "cache_read_mtok", "cache_image_read_mtok": "cache_read_mtok"}

func (r *reading) genaiPrice(of map[string]json.RawMessage) (wire.Price, bool) {
	p := r.begin()
	if len(of) == 0 {
		r.skip("", "it has no price")
		return p, false
	}
	for _, name := range sortedNames(of) {
		class := slices.Index(genaiClasses[:], name)
		var text json.Number
		switch {
		case class >= 0:
			if !r.genaiToken(&p, class, of[name]) {
				r.skip("", name+" is no price")
				return p, false
			}
			continue
		case genaiFees[name]:
			r.skip(name, "what tools do is not counted")
			continue
		case genaiSame[name] != "":
			r.skip(name, "billed as "+genaiSame[name])
			continue
		}
		if err := json.Unmarshal(of[name], &text); err != nil || !r.genaiOther(&p, name, string(text)) {
			r.skip("", "no price of a catalog can say "+name)
			return p, false
		}
	}
	settle(&p)
	return p, r.usable(&p)
}

// genaiOther reads a price of something that is no token.
func (r *reading) genaiOther(p *wire.Price, name, text string) (ok bool) {
	switch name {
	case "requests_kcount":
		p.Request, ok = fixed(text, inUSD-3)
	case "audio_hours", "input_audio_hours":
		p.Second, ok = fixed(text, inUSD)
		p.Second = (p.Second + 3599) / 3600
	}
	return ok
}

// genaiToken reads the price of a class of tokens, with its tiers.
func (r *reading) genaiToken(p *wire.Price, class int, raw json.RawMessage) bool {
	var text json.Number
	if json.Unmarshal(raw, &text) == nil {
		n, ok := fixed(string(text), perMillion)
		*p.Classes()[class].Price = n
		return ok
	}
	var tiered struct {
		Base  json.Number
		Tiers []struct {
			Start int64
			Price json.Number
		}
	}
	if json.Unmarshal(raw, &tiered) != nil {
		return false
	}
	n, ok := fixed(string(tiered.Base), perMillion)
	*p.Classes()[class].Price = n
	for _, tier := range tiered.Tiers {
		n, valid := fixed(string(tier.Price), perMillion)
		ok = ok && valid && tier.Start > 0
		*tierOf(p, tier.Start).Classes()[class].Price = n
	}
	return ok
}

// Pack makes the table that this package embeds of genai-prices' data of a version and a date (YYYY-MM-DD).
func Pack(data []byte, version, date string) ([]byte, []Skip, error) {
	if _, err := time.Parse(time.DateOnly, date); err != nil || version == "" {
		return nil, nil, fmt.Errorf("cannot tell the table's source: %q of %q is no version with a date", version, date)
	}
	providers, err := readGenai(data)
	if err != nil {
		return nil, nil, err
	}
	h := header{Source: "genai-prices", Version: version, Date: date}
	r := reading{}
	var body bytes.Buffer
	for i := range providers {
		p := &providers[i]
		if _, err := pattern(p.URL); err != nil {
			return nil, nil, fmt.Errorf("cannot understand the URL of %s: %w", p.ID, err)
		}
		h.Lists = append(h.Lists, listHeader{p.ID, p.URL})
		l := list{Fallback: p.Fallback, Models: make([]model, len(p.Models))}
		for j := range p.Models {
			if err := r.pack(&l.Models[j], p.ID, &p.Models[j]); err != nil {
				return nil, nil, fmt.Errorf("cannot understand whom %s of %s is for: %w", p.Models[j].ID, p.ID, err)
			}
		}
		if err := appendLine(&body, l); err != nil {
			return nil, nil, err
		}
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, nil, err
	}
	var first bytes.Buffer
	if err := appendLine(&first, h); err != nil {
		return nil, nil, err
	}
	for _, b := range [][]byte{first.Bytes(), body.Bytes()} {
		if _, err := w.Write(b); err != nil {
			return nil, nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	return out.Bytes(), r.skipped, nil
}

func (r *reading) pack(m *model, list string, of *genaiModel) error {
	r.list, r.model, m.ID = list, of.ID, of.ID
	for _, p := range r.genai(of.Prices) {
		p.Provider, p.Model = "", ""
		m.Raw = append(m.Raw, AppendJSON(nil, &p))
	}
	return json.Unmarshal(of.Match, &m.Match)
}

func appendLine(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("cannot write the table: %w", err)
	}
	return nil
}
