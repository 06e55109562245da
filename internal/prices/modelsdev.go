package prices

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/wedge-proxy/wedge/wire"
)

// modelsDevProvider is a provider of models.dev's data.
type modelsDevProvider struct {
	Models map[string]struct {
		Cost map[string]json.RawMessage `json:"cost"`
	} `json:"models"`
}

// modelsDevClasses are the names of token prices, as wire.Tariff.Classes orders them; "" where it has none.
var modelsDevClasses = [10]string{"input", "cache_read", "cache_write", "", "input_audio", "", "output", "reasoning", "output_audio", ""}

// FromModelsDev reads models.dev's api.json or catalog.json. The provider of a price is the provider's id.
func FromModelsDev(data []byte) ([]wire.Price, []Skip, error) {
	var providers map[string]json.RawMessage
	if err := json.Unmarshal(data, &providers); err != nil {
		return nil, nil, fmt.Errorf("cannot read models.dev's prices, want an object of providers: %w", err)
	}
	if all := providers["providers"]; all != nil {
		clear(providers)
		if err := json.Unmarshal(all, &providers); err != nil {
			return nil, nil, fmt.Errorf("cannot read models.dev's providers, want an object: %w", err)
		}
	}
	r := reading{}
	for _, id := range sortedNames(providers) {
		var p modelsDevProvider
		if r.list, r.model = id, ""; json.Unmarshal(providers[id], &p) != nil {
			r.skip("", "its models are no object")
			continue
		}
		for _, name := range sortedNames(p.Models) {
			r.model = name
			r.modelsDev(p.Models[name].Cost)
		}
	}
	return r.prices, r.skipped, nil
}

func (r *reading) modelsDev(cost map[string]json.RawMessage) {
	p := r.begin()
	if !r.modelsDevTariff(&p.Tariff, cost, "tiers", "context_over_200k") {
		return
	}
	var tiers []map[string]json.RawMessage
	if raw := cost["tiers"]; raw != nil && json.Unmarshal(raw, &tiers) != nil {
		r.skip("", "tiers is no list")
		return
	}
	for _, tier := range tiers {
		var of struct {
			Type string `json:"type"`
			Size int64  `json:"size"`
		}
		if json.Unmarshal(tier["tier"], &of) != nil || of.Type != "context" || of.Size <= 0 || of.Size > 1e9 {
			r.skip("", "a tier is not of the context's length")
			return
		}
		if !r.modelsDevTariff(tierOf(&p, of.Size), tier, "tier") {
			return
		}
	}
	if raw := cost["context_over_200k"]; raw != nil && len(tiers) == 0 {
		var tier map[string]json.RawMessage
		if json.Unmarshal(raw, &tier) != nil {
			r.skip("", "context_over_200k is no object")
			return
		}
		if tier != nil && !r.modelsDevTariff(tierOf(&p, 200_000), tier) {
			return
		}
	}
	r.only(p)
}

// modelsDevTariff reads token prices. Members that are read elsewhere are passed over.
func (r *reading) modelsDevTariff(t *wire.Tariff, of map[string]json.RawMessage, elsewhere ...string) bool {
	for _, name := range sortedNames(of) {
		at := slices.Index(modelsDevClasses[:], name)
		switch {
		case slices.Contains(elsewhere, name):
			continue
		case at < 0 || name == "":
			r.skip(name, "no price of a catalog can say it")
			continue
		}
		n, said, ok := number(of[name], perMillion)
		switch {
		case !ok:
			r.skip("", name+" is no price")
			return false
		case said:
			*t.Classes()[at].Price = n
		}
	}
	return true
}
