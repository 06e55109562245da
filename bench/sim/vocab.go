package sim

// The banks from which answers are put together. A sentence costs 8 to 40 tokens.
var (
	openers = [...]string{
		"In short,", "Put simply,", "As a rule,", "In practice,", "Most often,", "At first,", "Seen closely,",
		"On the whole,", "To begin with,", "By design,", "Over time,", "Strictly speaking,",
	}
	subjects = [...]string{
		"the first step", "a small change", "the simplest plan", "each part", "the measured result", "a clear name",
		"the whole path", "one good example", "the slow case", "a careful test", "the first draft", "every limit",
		"the open question", "a steady pace",
	}
	verbs = [...]string{
		"depends on", "follows from", "makes room for", "is bounded by", "works well with", "begins with",
		"goes hand in hand with", "is worth less than", "tells more than", "should match", "leads to", "rests on",
	}
	objects = [...]string{
		"the data at hand", "the cost of waiting", "what the reader expects", "a fair comparison", "the next request",
		"the weakest link", "a second look", "the order of events", "good defaults", "what was promised",
		"the time it takes", "plain words",
	}
	endings = [...]string{
		"", "", "", " in most cases", " when time is short", " for now", " once it is written down", " at every scale",
	}
	// remarks carry characters of two, three and four bytes, so that whoever cuts an answer into pieces meets them.
	remarks = [...]string{
		" Voilà, déjà vu.", " That is 100 % naïve – but it works.", " 東京 says: はい。", " Ship it 🚀.", " Größe ≠ Güte.",
		" Q: \"Why?\" A: \"Because.\"",
	}
	// words fill the strings that a JSON schema asks for.
	words = [...]string{
		"amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "harbor", "indigo", "juniper", "kelp", "lagoon",
		"maple", "nectar", "onyx", "prairie", "quartz", "river", "saffron", "tundra",
	}
)

func pick(r *rng, bank []string) string { return bank[r.below(len(bank))] }

// appendSentence appends one sentence, beginning with a space.
func appendSentence(dst []byte, r *rng) []byte {
	dst = append(dst, ' ')
	dst = append(dst, pick(r, openers[:])...)
	dst = append(dst, ' ')
	dst = append(dst, pick(r, subjects[:])...)
	dst = append(dst, ' ')
	dst = append(dst, pick(r, verbs[:])...)
	dst = append(dst, ' ')
	dst = append(dst, pick(r, objects[:])...)
	dst = append(dst, pick(r, endings[:])...)
	dst = append(dst, '.')
	if r.below(6) == 0 {
		dst = append(dst, pick(r, remarks[:])...)
	}
	return dst
}
