// Package tokens knows how many tokens a text is: exactly in OpenAI's o200k_base encoding, and about for other models;
// it does not know what a provider adds around the text (roles, tools, images).
package tokens

import (
	"math"
	"sync"
)

//go:generate sh -c "go run ../tools/o200k -in $(go mod download -json github.com/pkoukk/tiktoken-go-loader@v0.0.2 | sed -n 's/.*\"Dir\": \"\\(.*\\)\".*/\\1/p')/assets/o200k_base.tiktoken"

// shared is what every count reads. It takes 5 MB, which a node that never counts does not pay.
var shared = sync.OnceValue(load)

// Load prepares the tables that the first count would otherwise prepare: about 30 ms, 5 MB that stay.
func Load() { shared() }

// Count returns the number of tokens of text in o200k_base: what tiktoken's encode_ordinary returns, so that the names
// of special tokens are text like any other. It allocates nothing, and may be called from many goroutines. Three things
// differ, because tiktoken has no answer, a slow one, or a later one: a byte that is not UTF-8 counts as a symbol of
// that one byte; a piece without any boundary (only letters, only spaces, only symbols) is cut every 4096 bytes, which
// can add a token or two per cut; and characters newer than package unicode are symbols.
func Count(text []byte) int { return CountUpTo(text, math.MaxInt) }

// CountUpTo returns Count(text), or most if there are as many or more, and then reads no further than it must.
func CountUpTo(text []byte, most int) int {
	v := shared()
	n := 0
	for i := 0; i < len(text) && n < most; {
		end := v.classes.next(text, i)
		n += v.count(text[i:end])
		i = end
	}
	return min(n, most)
}
