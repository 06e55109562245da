package jsonscan

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// valid reports whether the Cursor accepts doc as one JSON document.
func valid(doc []byte) bool {
	c := Cursor{B: doc}
	c.Skip()
	return c.End()
}

func FuzzValid(f *testing.F) {
	for _, doc := range []string{
		`{}`, `[]`, ` { "a" : [ 1 , -0.5e+3 , true , false , null , "\u00e9\n\\\"" ] } `, `{"a":1,}`, `[1,]`, `{,}`, `[,]`,
		`{"a"}`, `{"a":}`, `{a:1}`, `01`, `-`, `1.`, `1e`, `.5`, `+1`, `tru`, `nullx`, `"\x"`, `"\u12g4"`, "\"\x01\"", "\"\x7f\"",
		`"abc`, `{"a":1}{"b":2}`, `{"a":1} x`, "\x00", "[1\x00]", "", " ", `"` + strings.Repeat("x", 30) + `\`, "\"\xff\"", `{"a":{}`, `[[]`, `[}`, `{]`,
		`{"a":"b""c":1}`, `[1 2]`, `{"a" "b"}`, "[\f1]", `"12345678\"`, `"1234567"8`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if strings.Count(string(doc), "[")+strings.Count(string(doc), "{") > Deepest {
			return // beyond the bound that encoding/json does not have
		}
		assert.Equal(t, json.Valid(doc), valid(doc), "%q", doc)
	})
}

func TestDepth(t *testing.T) {
	nest := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	assert.True(t, valid(nest(Deepest)))
	assert.False(t, valid(nest(Deepest+1)))
	assert.True(t, valid([]byte(`[`+strings.Repeat(`[],`, 2*Deepest)+`[]]`)), "depth counts nesting, not values")
}

func TestSpan(t *testing.T) {
	for n := range 20 {
		text := strings.Repeat("\x7f~é", 8)[:n]
		assert.Equal(t, n, Span([]byte(text), 0))
		for _, stop := range []string{"\"", "\\", "\x00", "\x1f"} {
			assert.Equal(t, n, Span([]byte(text+stop+"and more"), n/2), "%d %q", n, stop)
			assert.Equal(t, n, Span([]byte(text+stop), n/3), "%d %q", n, stop)
		}
	}
}
