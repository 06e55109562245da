//go:build !race

package meter_test

// sampled is how many modules of the corpus stand for one that is tried.
const sampled = 1
