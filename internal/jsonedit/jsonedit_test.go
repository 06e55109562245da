package jsonedit

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
)

func TestExtent(t *testing.T) {
	doc := []byte(` ["a", null,7,""]`)
	c := jsonscan.Cursor{B: doc}
	c.Enter('[')
	f := func(of, inside string, set bool) {
		t.Helper()
		c.More(']', c.I == 2)
		e := Value(&c)
		assert.Equal(t, []any{of, inside, set}, []any{string(e.Of(doc)), string(e.Inside(doc)), e.IsSet(doc)})
	}
	f(`"a"`, "a", true)
	f("null", "", false)
	f("7", "", true)
	f(`""`, "", true)
	assert.Nil(t, Extent{}.Inside(doc))
	assert.False(t, Extent{}.IsSet(doc))
}

func TestCopy(t *testing.T) {
	doc := []byte(`{"a": "x","b":"","c":{ }}`)
	c := Copy{Dst: []byte("|"), Doc: doc}
	c.SetString(Extent{6, 9}, true, []byte("q\n"))
	c.SetString(Extent{14, 16}, true, []byte("r"))
	c.AddMember(21, 0, "d")
	c.Dst = append(c.Dst, '1')
	c.AddMember(0, 24, "e")
	c.Dst = append(c.Dst, '2')
	assert.Equal(t, `|{"a": "q\n\nx","b":"r","c":{"d":1 },"e":2}`, string(c.Rest()))

	c = Copy{Doc: doc}
	c.SetString(Extent{6, 9}, false, []byte(`"`))
	c.Leave(Extent{9, 16})
	assert.Equal(t, `{"a": "\"","c":{ }}`, string(c.Rest()))
}

func TestPatches(t *testing.T) {
	var p Patches
	doc := []byte(`{"a":1,"b":[2,3],"c":4}`)
	p.PutString(Extent{21, 22}, "[", []byte("x\x00"), "]")
	p.Put(Extent{11, 16}, "null")
	p.Put(Extent{12, 13}, "lost")
	p.Put(Extent{5, 5}, "1")
	p.Put(Extent{5, 6}, "2")
	assert.Equal(t, `|{"a":12,"b":null,"c":["x\u0000"]}`, string(p.AppendTo([]byte("|"), doc)))
	p.Reset()
	assert.Equal(t, string(doc), string(p.AppendTo(nil, doc)))

	p.Put(Extent{}, string(make([]byte, 2*keptBytes)))
	for range 2 * keptPatches {
		p.Put(Extent{}, "")
	}
	p.Reset()
	assert.Zero(t, cap(p.list)+cap(p.texts), "what is far too large is let go")
}

func TestAppendEvent(t *testing.T) {
	f := func(event, name, data, want string) {
		t.Helper()
		var p Patches
		assert.Equal(t, "|"+event, string(p.AppendEvent([]byte("|"), []byte(event), []byte(name), []byte(data))))
		p.Put(Extent{1, 2}, "8")
		assert.Equal(t, "|"+want, string(p.AppendEvent([]byte("|"), []byte(event), []byte(name), []byte(data))))
	}
	f("data: [1]\n\n", "", "[1]", "data: [8]\n\n")
	f("id: 7\r\nevent: x\r\ndata:[1]\r\n\r\n", "x", "[1]", "id: 7\r\nevent: x\r\ndata:[8]\r\n\r\n")
	f("data: [1,\ndata: 2]\nevent: x\n\n", "x", "[1,\n2]", "event: x\ndata: [8, 2]\n\n")
	f("data: [1]\n: last\n\n", "", "[1]", "data: [8]\n\n")
	f("data: [1]\ndata\n\n", "", "[1]\n", "data: [8] \n\n")
}
