package invariants

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

type inner struct {
	status int
	buf    []byte `wedge:"kept"`
}

type pooled struct {
	ID    string
	reply inner
	back  *pooled `wedge:"kept"`
}

func TestDirtyNamesTheFieldAtFault(t *testing.T) {
	for name, c := range map[string]struct {
		p    pooled
		want string
	}{
		"zero":                 {pooled{}, ""},
		"kept fields":          {pooled{back: &pooled{}, reply: inner{buf: []byte("x")}}, ""},
		"exported":             {pooled{ID: "a"}, "ID"},
		"nested":               {pooled{reply: inner{status: 200}}, "reply.status"},
		"nested behind kept":   {pooled{reply: inner{status: 1, buf: []byte("x")}}, "reply.status"},
		"the first of several": {pooled{ID: "a", reply: inner{status: 200}}, "ID"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, Dirty(&c.p)) })
	}
}

func TestDirtyRefusesWhatIsNoStruct(t *testing.T) {
	n := 1
	assert.Panics(t, func() { Dirty(&n) })
	assert.Panics(t, func() { Dirty(pooled{}) })
}

func TestZeroPanicsOnlyInCheckedBuilds(t *testing.T) {
	assert.NotPanics(t, func() { Zero(&pooled{}) })
	dirty := func() { Zero(&pooled{reply: inner{status: 200}}) }
	if !Enabled {
		assert.NotPanics(t, dirty)
		return
	}
	assert.PanicsWithValue(t,
		"BUG: pooled *invariants.pooled came back with reply.status set: reset it, or tag it `wedge:\"kept\"`", dirty)
}
