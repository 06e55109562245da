//go:build race

package meter_test

// sampled is how many modules of the corpus stand for one that is tried. The race detector slows each down tenfold, and
// the rewriter shares nothing.
const sampled = 10
