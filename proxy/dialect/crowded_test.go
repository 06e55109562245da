package dialect

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCrowded(t *testing.T) {
	parts := func(n int) []byte {
		return []byte(`{"a":[` + strings.Repeat(`{"type":"text","text":"x\"{,,,"},`, n) + `{}]}`)
	}
	assert.False(t, crowded(parts(mostItems/2-1)))
	assert.True(t, crowded(parts(mostItems/2+1)))
	assert.False(t, crowded([]byte(`{"a":"`+strings.Repeat(`,\",`, 200_000)+`"}`)), "what stands in a text is no element")
	assert.False(t, crowded([]byte(strings.Repeat(`"`, plainly+1))))
}
