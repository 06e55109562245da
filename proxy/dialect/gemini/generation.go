package gemini

import "strings"

// generation is what a model takes, as far as its name tells.
type generation struct {
	version int // 100 times the major version, and the minor: 205 is Gemini 2.5; 0: no model of Google's
	line    line
	paints  bool // its answers are pictures
}

// line is a size of models.
type line uint8

const (
	flash line = iota
	lite
	pro
)

const (
	gemini25 = 205
	gemini3  = 300
	gemini31 = 301
	gemini37 = 307
	gemini4  = 400 // and what a name stands for that tells no version, such as gemini-flash-latest
)

// generationOf reads names such as gemini-2.5-flash-lite, models/gemini-3.1-pro-preview and google/gemini-4-argon.
func generationOf(model string) (g generation) {
	_, name, ok := strings.Cut(model, "gemini-")
	if !ok {
		return g
	}
	g.version = versionOf(name)
	switch {
	case strings.Contains(name, "lite"):
		g.line = lite
	case strings.Contains(name, "pro"):
		g.line = pro
	}
	g.paints = strings.Contains(name, "image")
	return g
}

func versionOf(name string) int {
	digit := func(i int) int {
		if i < len(name) && name[i]-'0' <= 9 {
			return int(name[i] - '0')
		}
		return -1
	}
	major := digit(0)
	switch {
	case major <= 0:
		return gemini4
	case len(name) > 1 && name[1] == '.' && digit(2) > 0:
		return 100*major + digit(2)
	}
	return 100 * major
}

func (g generation) foreign() bool { return g.version == 0 }

// current says that the model is of Gemini 3 or later: it thinks by levels, its calls must be signed, it gives one
// answer and tells no probabilities. Models of nobody knows whom get what the client says.
func (g generation) current() bool { return g.version >= gemini3 }

// penalizes says that the model takes penalties, which ended with 2.5.
func (g generation) penalizes() bool { return g.version < gemini25 }

// fetches says that the model reads what lies behind a URL.
func (g generation) fetches() bool { return g.foreign() || g.version >= gemini25 }

// The levels that a model of Gemini 3 or later takes are a set of bits, from minimal to high
// (ai.google.dev/gemini-api/docs/generate-content/thinking#thinking-levels):
//
//	3 Pro                     low, high
//	3 to 3.6 Flash            minimal, low, medium, high
//	all Flash-Lite            minimal, low, medium, high
//	3.1 Pro, 3.7 Flash, 4...  low, medium, high
//	those that paint          minimal, high
func (g generation) levels() uint8 {
	const minimal, low, medium, high = 1, 2, 4, 8
	switch {
	case g.foreign():
		return minimal | low | medium | high
	case g.paints:
		return minimal | high
	case g.line == pro && g.version < gemini31:
		return low | high
	case g.line == lite, g.line == flash && g.version < gemini37:
		return minimal | low | medium | high
	}
	return low | medium | high
}

// budgets are the least and the most tokens that a model of Gemini 2.5 may think, where it does
// (ai.google.dev/gemini-api/docs/generate-content/thinking#set-budget). Only Pro cannot be told not to.
func (g generation) budgets() (least, most int64) {
	switch g.line {
	case pro:
		return 128, 32768
	case lite:
		return 512, 24576
	}
	return 1, 24576
}
