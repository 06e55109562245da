package anthropic

import "strings"

// generation is what a model takes, as far as its name tells: since Opus 4.7 the API refuses sampling parameters and
// budgets of thoughts, before 4.6 it refuses adaptive thinking and efforts.
type generation uint8

const (
	foreign generation = iota // no model of Anthropic's: it gets what the client says
	early                     // before 4.6: thinks by a budget only
	middle                    // 4.6: takes everything
	late                      // 4.7 and 4.8: adaptive thinking only, off unless asked for; no sampling
	current                   // since 5: as late, and thinks unless told not to
	pensive                   // Fable and Mythos: as current, and cannot be told not to
)

// generationOf reads names such as claude-opus-4-6, anthropic.claude-sonnet-4-5-20250929-v1:0 and claude-opus-4.6.
func generationOf(model string) generation {
	_, name, ok := strings.Cut(model, "claude-")
	if !ok {
		return foreign
	}
	at := strings.IndexAny(name, "0123456789")
	switch {
	case strings.HasPrefix(name, "fable"), strings.HasPrefix(name, "mythos"):
		return pensive
	case at == 0: // claude-3-5-sonnet
		return early
	case at < 0:
		return current
	}
	major, rest := digits(name[at:])
	minor := 0
	if len(rest) > 1 && (rest[0] == '-' || rest[0] == '.') {
		minor, _ = digits(rest[1:])
	}
	if minor >= 100 { // a date: claude-opus-4-20250514
		minor = 0
	}
	switch version := 100*major + minor; {
	case version < 406:
		return early
	case version == 406:
		return middle
	case version < 500:
		return late
	}
	return current
}

// digits reads the number that s begins with, up to 8 digits.
func digits(s string) (n int, rest string) {
	i := 0
	for ; i < len(s) && i < 8 && s[i]-'0' <= 9; i++ {
		n = 10*n + int(s[i]-'0')
	}
	return n, s[i:]
}

// samples says that the model takes temperature, top_p and top_k.
func (g generation) samples() bool { return g < late }

// adapts says that the model takes adaptive thinking, and efforts.
func (g generation) adapts() bool { return g != early }

// budgets says that the model takes a budget of thoughts.
func (g generation) budgets() bool { return g < late }
