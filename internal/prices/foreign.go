package prices

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/wedge-proxy/wedge/wire"
)

// Skip is something of another table that no price of a catalog can say.
type Skip struct {
	List  string // whose model it is, as the table calls it
	Model string // the model
	Field string // what is left out; "": the whole model
	Why   string
}

// reading is how far another table has been read.
type reading struct {
	list, model string // that are being read
	prices      []wire.Price
	skipped     []Skip
	seen        map[[2]string]bool
}

func (r *reading) skip(field, why string) {
	r.skipped = append(r.skipped, Skip{r.list, r.model, field, why})
}

func (r *reading) begin() wire.Price {
	return wire.Price{Provider: r.list, Model: r.model, Tariff: wire.SilentTariff(), Batch: 100}
}

// only takes the only price of a model, if it is one.
func (r *reading) only(p wire.Price) {
	if r.usable(&p) && !r.twice() {
		settle(&p)
		r.prices = append(r.prices, p)
	}
}

// twice says that the model has been read before: which one holds, the table does not tell, so the first does.
func (r *reading) twice() bool {
	of := [2]string{r.list, r.model}
	if r.seen[of] {
		r.skip("", "the table has it twice")
		return true
	}
	if r.seen == nil {
		r.seen = map[[2]string]bool{}
	}
	r.seen[of] = true
	return false
}

// usable says whether a price says something. Where all of it is 0, other tables may mean that nobody knows.
func (r *reading) usable(p *wire.Price) bool {
	if p.Request+p.Image+p.Second+p.Letter > 0 {
		return true
	}
	said := int64(0)
	for _, c := range p.Classes() {
		said = max(said, *c.Price)
	}
	switch {
	case p.Input < 0:
		r.skip("", "it has no price")
	case said == 0:
		r.skip("", "its price is 0, which may mean that nobody knows it; if it is free, write so yourself")
	default:
		return true
	}
	return false
}

// number reads a price; false for what is none, and no price where the table says null.
func number(raw json.RawMessage, places int) (n int64, said, ok bool) {
	var text *json.Number
	if json.Unmarshal(raw, &text) != nil {
		return 0, false, false
	}
	if text == nil {
		return 0, false, true
	}
	n, ok = fixed(text.String(), places)
	return n, true, ok
}

func sortedNames[V any](of map[string]V) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// tierOf is the tier above so many tokens, made if need be.
func tierOf(p *wire.Price, above int64) *wire.Tariff {
	at, found := slices.BinarySearchFunc(p.Tiers, above, func(t wire.PriceTier, n int64) int { return int(t.Above - n) })
	if !found {
		p.Tiers = slices.Insert(p.Tiers, at, wire.PriceTier{Above: above, Tariff: wire.SilentTariff()})
	}
	return &p.Tiers[at].Tariff
}

// above reads names such as input_cost_per_token_above_200k_tokens.
func above(name string) (class string, tokens int64) {
	at := strings.LastIndex(name, "_above_")
	if at < 0 {
		return name, 0
	}
	thousands, is := strings.CutSuffix(name[at+len("_above_"):], "k_tokens")
	n, err := strconv.ParseInt(thousands, 10, 32)
	if !is || err != nil || n <= 0 || n > 1_000_000 {
		return name, 0
	}
	return name[:at], n * 1000
}
