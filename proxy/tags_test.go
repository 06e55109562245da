package proxy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAppendTags(t *testing.T) {
	for list, want := range map[string]string{
		"team=a":               "team=a",
		"b=2, a=1 ,c=3":        "a=1,b=2,c=3",
		"env=prod-1,cost:c=x/": "cost:c=x/,env=prod-1",
	} {
		got, ok := appendTags(nil, []byte(list))
		assert.True(t, ok, list)
		assert.Equal(t, want, string(got))
	}
	for _, list := range []string{
		"", "a", "a=", "=b", "a=b,", "a=1,a=2", "a=b c", "a=\x00", "a=" + strings.Repeat("x", maxTagBytes+1),
		"a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1", "k=wk_abcdefghijkl_secret",
	} {
		_, ok := appendTags(nil, []byte(list))
		assert.False(t, ok, list)
	}
}
