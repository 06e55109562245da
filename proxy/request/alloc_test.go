//go:build !race

package request

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNothingIsAllocated(t *testing.T) {
	e := testEdits(t)
	a := Attempt{Model: []byte(`"gpt-5-mini"`), IncludeUsage: true}
	for name, body := range map[string][]byte{"chat": chatBody(t), "spaced": spacedBody(t), "long": longBody(t), "keys": manyKeys(1000), "escapes": []byte(`{"\u0061":"\u0041\/","model":"\u006d","x":[{"b":1,"a":"\ud83d\ude00"}]}`)} {
		var v View
		var dst []byte
		var err error
		allocations := testing.AllocsPerRun(100, func() {
			err = v.Parse(body)
			dst = v.AppendCanonical(dst[:0], e)
			dst = v.AppendBody(dst[:0], e, a)
			v.Reset()
		})
		require.NoError(t, err)
		assert.Zero(t, allocations, name)
	}
}
