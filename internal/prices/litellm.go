package prices

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/wedge-proxy/wedge/wire"
)

// Places of LiteLLM's decimal numbers, which are USD for one: pico-USD and nano-USD.
const (
	picoUSD = 12
	nanoUSD = 9
)

// litellmClasses are the names of token prices, as wire.Tariff.Classes orders them.
var litellmClasses = [10]string{"input_cost_per_token", "cache_read_input_token_cost", "cache_creation_input_token_cost",
	"cache_creation_input_token_cost_above_1hr", "input_cost_per_audio_token", "input_cost_per_image_token",
	"output_cost_per_token", "output_cost_per_reasoning_token", "output_cost_per_audio_token", "output_cost_per_image_token"}

// litellmNotes are the members of its file that are no models.
var litellmNotes = map[string]bool{"sample_spec": true, "fallback_generalizations": true}

// FromLiteLLM reads LiteLLM's model_prices_and_context_window.json. The provider of a price is its litellm_provider; the model
// is what that calls it, so without LiteLLM's prefix.
func FromLiteLLM(data []byte) ([]wire.Price, []Skip, error) {
	var models map[string]json.RawMessage
	if err := json.Unmarshal(data, &models); err != nil {
		return nil, nil, fmt.Errorf("cannot read LiteLLM's prices, want an object of models: %w", err)
	}
	r := reading{}
	for _, name := range sortedNames(models) {
		if litellmNotes[name] {
			continue
		}
		r.list, r.model = "", name
		var fields map[string]json.RawMessage
		if json.Unmarshal(models[name], &fields) != nil || json.Unmarshal(fields["litellm_provider"], &r.list) != nil || r.list == "" {
			r.skip("", "it has no litellm_provider")
			continue
		}
		r.model = strings.TrimPrefix(name, r.list+"/")
		r.litellm(fields)
	}
	return r.prices, r.skipped, nil
}

func (r *reading) litellm(fields map[string]json.RawMessage) {
	p := r.begin()
	var mode string
	_ = json.Unmarshal(fields["mode"], &mode) // without one it is a chat
	for _, name := range sortedNames(fields) {
		class, tokens := above(name)
		at := slices.Index(litellmClasses[:], class)
		into, places := (*int64)(nil), picoUSD
		switch {
		case at >= 0 && tokens > 0:
			into = tierOf(&p, tokens).Classes()[at].Price
		case at >= 0:
			into = p.Classes()[at].Price
		default:
			into, places = litellmOther(&p, name, mode)
		}
		if into == nil {
			r.litellmLeft(name, fields[name])
			continue
		}
		n, said, ok := number(fields[name], places)
		switch {
		case !ok:
			r.skip("", name+" is no price")
			return
		case said:
			*into = max(*into, n)
		}
	}
	if !r.litellmTiers(&p, fields["tiered_pricing"]) {
		return
	}
	r.litellmBatch(&p, fields)
	r.only(p)
}

// litellmOther is where a price of something else goes, nil for what no price of a catalog can say.
func litellmOther(p *wire.Price, name, mode string) (into *int64, places int) {
	switch name {
	case "input_cost_per_token_cache_hit":
		return &p.CachedInput, picoUSD
	case "input_cost_per_request":
		return &p.Request, nanoUSD
	case "output_cost_per_image":
		return &p.Image, nanoUSD
	case "input_cost_per_character":
		return &p.Letter, picoUSD
	case "input_cost_per_second", "output_cost_per_second":
		if mode == "audio_transcription" {
			return &p.Second, nanoUSD
		}
	}
	return nil, 0
}

// litellmRead are members with the word cost that are read elsewhere.
var litellmRead = map[string]bool{"tiered_pricing": true, "input_cost_per_token_batches": true, "output_cost_per_token_batches": true}

// litellmLeft tells that a price is left out.
func (r *reading) litellmLeft(name string, raw json.RawMessage) {
	if litellmRead[name] || !strings.Contains(name, "cost") && !strings.Contains(name, "pric") {
		return
	}
	if n, _, ok := number(raw, picoUSD); ok && n == 0 {
		return
	}
	if strings.HasSuffix(name, "_priority") || strings.HasSuffix(name, "_flex") {
		r.skip(name, "service tiers have no prices of their own")
		return
	}
	r.skip(name, "no price of a catalog can say it")
}

// litellmTiers reads tiers that are written as ranges of input tokens.
func (r *reading) litellmTiers(p *wire.Price, raw json.RawMessage) bool {
	if raw == nil {
		return true
	}
	var tiers []map[string]json.RawMessage
	if json.Unmarshal(raw, &tiers) != nil {
		r.skip("", "tiered_pricing is no list of tiers")
		return false
	}
	for _, tier := range tiers {
		var reach []*float64
		if json.Unmarshal(tier["range"], &reach) != nil || len(reach) != 2 || reach[0] == nil || *reach[0] < 0 || *reach[0] > 1e9 {
			r.skip("", "a tier has no range")
			return false
		}
		to := &p.Tariff
		if *reach[0] > 0 {
			to = tierOf(p, int64(*reach[0]))
		}
		for at, class := range litellmClasses {
			if tier[class] == nil {
				continue
			}
			n, said, ok := number(tier[class], picoUSD)
			if !ok {
				r.skip("", "a tier's "+class+" is no price")
				return false
			}
			if said {
				*to.Classes()[at].Price = n
			}
		}
	}
	return true
}

// litellmBatch makes the prices of a batch a percentage.
func (r *reading) litellmBatch(p *wire.Price, fields map[string]json.RawMessage) {
	percent := int64(0)
	for name, whole := range map[string]int64{"input_cost_per_token_batches": p.Input, "output_cost_per_token_batches": p.Output} {
		n, said, ok := number(fields[name], picoUSD)
		switch {
		case fields[name] == nil || !said && ok || whole <= 0:
			continue
		case !ok || n*100%whole != 0 || n == 0 || n > whole || percent > 0 && percent != n*100/whole:
			r.skip("input_cost_per_token_batches", "a batch's prices are not one percentage of the others")
			return
		}
		percent = n * 100 / whole
	}
	if percent > 0 {
		p.Batch = int(percent)
	}
}
