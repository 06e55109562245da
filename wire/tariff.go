package wire

// classes are a tariff's prices, each with what it is where nobody says.
func (t *Tariff) classes() [10]struct{ price, like *int64 } {
	return [...]struct{ price, like *int64 }{
		{&t.Input, nil}, {&t.CachedInput, &t.Input}, {&t.CacheWrite, &t.Input}, {&t.CacheWriteHour, &t.CacheWrite},
		{&t.AudioInput, &t.Input}, {&t.ImageInput, &t.Input},
		{&t.Output, nil}, {&t.Reasoning, &t.Output}, {&t.AudioOutput, &t.Output}, {&t.ImageOutput, &t.Output},
	}
}

// settle fills in what follows from other prices.
func (t *Tariff) settle() {
	for _, c := range t.classes() {
		if *c.price < 0 && c.like != nil {
			*c.price = *c.like
		}
	}
}

// follow fills in what the tariff below a tier says.
func (t *Tariff) follow(below *Tariff) {
	of := below.classes()
	for i, c := range t.classes() {
		if *c.price < 0 {
			*c.price = *of[i].price
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
