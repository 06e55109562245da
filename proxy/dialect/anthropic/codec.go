// Package anthropic knows the wire form of Anthropic's messages: their requests, answers, streams and errors, and how
// the model of all dialects reads in them. It does not know who asks, nor who is asked.
package anthropic

import "github.com/wedge-proxy/wedge/proxy/dialect"

// Codec reads and writes everything about the dialect. It holds no state: the zero value is ready, and several
// goroutines may share it.
type Codec struct{}

var (
	_ dialect.Answers    = Codec{}
	_ dialect.Errors     = Codec{}
	_ dialect.Translator = Codec{}
	_ dialect.Embedder   = Codec{}
	_ dialect.Paths      = Codec{}
)
