// Package examples holds policies in several languages, and the tests that they all decide alike; README.md lists them.
// It has no code of its own.
package examples
