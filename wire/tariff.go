package wire

// Class is one kind of token that has a price of its own.
type Class struct {
	Name  string // as the catalog calls it
	Price *int64 // pico-USD for each token; negative is unknown
	Like  *int64 // the price that holds where nobody says; nil for none
}

// Classes are a tariff's prices, each after the one that it is like.
func (t *Tariff) Classes() [10]Class {
	return [...]Class{
		{"input", &t.Input, nil}, {"cached_input", &t.CachedInput, &t.Input}, {"cache_write", &t.CacheWrite, &t.Input},
		{"cache_write_hour", &t.CacheWriteHour, &t.CacheWrite}, {"audio_input", &t.AudioInput, &t.Input}, {"image_input", &t.ImageInput, &t.Input},
		{"output", &t.Output, nil}, {"reasoning", &t.Reasoning, &t.Output},
		{"audio_output", &t.AudioOutput, &t.Output}, {"image_output", &t.ImageOutput, &t.Output},
	}
}

// SilentTariff is a tariff that says nothing.
func SilentTariff() Tariff { return silent }

// Settle fills in what follows from other prices of the tariff, and before that what the tariff below a tier says; below is
// as its author wrote it, and nil for a tariff that is no tier.
func (t *Tariff) Settle(below *Tariff) {
	if below != nil {
		t.follow(below)
	}
	for _, c := range t.Classes() {
		if *c.Price < 0 && c.Like != nil {
			*c.Price = *c.Like
		}
	}
}

func (t *Tariff) follow(below *Tariff) {
	of := below.Classes()
	for i, c := range t.Classes() {
		if *c.Price < 0 {
			*c.Price = *of[i].Price
		}
	}
}

// since is what tells a price from others of the same model.
func (p *Price) since() string {
	if p.From.IsZero() {
		return ""
	}
	return "@" + p.From.Format("2006-01-02T15:04:05Z")
}
