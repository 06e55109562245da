// Package gemini knows Gemini's API: its requests, answers, streams and errors, and how they stand to the chat model.
// It knows no other dialect, and of models only the names of their generations.
package gemini

// Codec is everything about Gemini's wire form. It holds no state.
type Codec struct{}
