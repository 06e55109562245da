// Package gemini knows Gemini's API: its requests, answers, streams and errors, and how they stand to the chat model.
// It knows no other dialect, and of models only the names of their generations.
package gemini

import "github.com/wedge-proxy/wedge/proxy/dialect"

// Codec is everything about Gemini's wire form. It holds no state: the zero value is ready, and several goroutines may
// share it. Names of members are understood as the API's servers do, in camel case and in snake case; they are written
// in camel case.
type Codec struct{}

var (
	_ dialect.Answers    = Codec{}
	_ dialect.Errors     = Codec{}
	_ dialect.Translator = Codec{}
	_ dialect.Embedder   = Codec{}
	_ dialect.Paths      = Codec{}
)
