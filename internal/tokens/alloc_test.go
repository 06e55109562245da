//go:build !race

package tokens

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNothingAllocates(t *testing.T) {
	Load()
	var f Factors
	for _, name := range []string{"english", "chinese", "code: go", "json, ten", "random base64", `"a" 4096 times`} {
		text := sample(t, name, 5000)
		f.Learn(name, len(text), len(text))
		assert.Zero(t, testing.AllocsPerRun(50, func() { Count(text) }), name)
		assert.Zero(t, testing.AllocsPerRun(50, func() { f.Estimate("some-"+name[:4], text, text[:100]) }), name)
		assert.Zero(t, testing.AllocsPerRun(50, func() { f.Learn(name, len(text), len(text)) }), name)
	}
}
