package jsonscan

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPrefixCutsNoCharacter(t *testing.T) {
	for _, whole := range []string{`é`, `\n`, `\u00e9`, `\ud83d\ude00`, "😀", "a"} {
		for n := 1; n <= len(whole); n++ {
			assert.Equal(t, len(whole), Prefix([]byte(whole+"tail"), n), "%s %d", whole, n)
		}
		assert.Zero(t, Prefix([]byte(whole), 0))
	}
	assert.Equal(t, 3, Prefix([]byte("abc"), 9))
	assert.Equal(t, 6, Prefix([]byte(`\ud83dxyz`), 2), "a lone surrogate")
}
