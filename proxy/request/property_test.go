package request

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// genText draws strings with what JSON treats specially in them.
var genText = rapid.StringOfN(rapid.OneOf(rapid.RuneFrom([]rune("ab\"\\/\n\t\x00\x1f\x7f é€😀\u2028")), rapid.RuneFrom([]rune("abcdefghijklmnop"))), 0, 40, -1)

// genValue draws a JSON value of at most that depth.
func genValue(depth int) *rapid.Generator[any] {
	scalars := []*rapid.Generator[any]{
		genText.AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil),
		rapid.Map(rapid.SampledFrom([]string{"0", "-0", "1", "1.0", "1e3", "-2.5E-7", "12345678901234567890"}), func(s string) any { return json.Number(s) }),
	}
	if depth > 0 {
		scalars = append(scalars, rapid.SliceOfN(genValue(depth-1), 0, 4).AsAny(), rapid.MapOfN(genText, genValue(depth-1), 0, 20).AsAny())
	}
	return rapid.OneOf(scalars...)
}

// genDocument draws a body as a tree, with some of the members that do not count.
var genDocument = rapid.Custom(func(t *rapid.T) map[string]any {
	document := rapid.MapOfN(genText, genValue(3), 0, 20).Draw(t, "members")
	transport := map[string]any{"model": "m", "stream": true, "user": "u", "store": false, "metadata": map[string]any{"user_id": "x"}}
	for _, key := range slices.Sorted(maps.Keys(transport)) {
		if rapid.Bool().Draw(t, key) {
			document[key] = transport[key]
		}
	}
	return document
})

// speller writes a document in a way of its own: order, white space and escapes are drawn.
type speller struct {
	t *rapid.T
	strings.Builder
}

func (s *speller) space() {
	s.WriteString(rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r\n  "}).Draw(s.t, "space"))
}

func (s *speller) token(text string) { s.space(); s.WriteString(text); s.space() }

func (s *speller) value(value any) {
	switch value := value.(type) {
	case string:
		s.space()
		s.text(value)
		s.space()
	case []any:
		s.token("[")
		for k, element := range value {
			if k > 0 {
				s.token(",")
			}
			s.value(element)
		}
		s.token("]")
	case map[string]any:
		s.token("{")
		for k, key := range rapid.Permutation(slices.Sorted(maps.Keys(value))).Draw(s.t, "order") {
			if k > 0 {
				s.token(",")
			}
			s.value(key)
			s.token(":")
			s.value(value[key])
		}
		s.token("}")
	default:
		plain, err := json.Marshal(value)
		require.NoError(s.t, err)
		s.token(string(plain))
	}
}

func (s *speller) text(text string) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '/': `\/`, '\n': `\n`, '\t': `\t`, '\r': `\r`, '\b': `\b`, '\f': `\f`}
	must := func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }
	s.WriteByte('"')
	for _, r := range text {
		escape, can := short[r]
		switch way := rapid.IntRange(0, 5).Draw(s.t, "way"); {
		case can && (way == 0 || must(r)):
			s.WriteString(escape)
		case way > 1 && !must(r):
			s.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(s, `\u%04x\u%04X`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			fmt.Fprintf(s, `\u%04X`, r)
		}
	}
	s.WriteByte('"')
}

func spell(t *rapid.T, document map[string]any) []byte {
	s := speller{t: t}
	s.value(document)
	return []byte(s.String())
}

func digestOf(t *rapid.T, v *View, body []byte) [32]byte {
	require.NoError(t, v.Parse(body), "%s", body)
	return sha256.Sum256(v.AppendCanonical(nil, nil))
}

func TestEverySpellingHasOneDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		document := genDocument.Draw(t, "document")
		var v View
		require.Equal(t, digestOf(t, &v, spell(t, document)), digestOf(t, &v, spell(t, document)))
	})
}

func TestEveryOtherDocumentHasAnotherDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		document := genDocument.Draw(t, "document")
		var v View
		before := digestOf(t, &v, spell(t, document))
		changeSomething(t, document)
		require.NotEqual(t, before, digestOf(t, &v, spell(t, document)))
	})
}

// changeSomething changes a member of the document that counts: its value, its key, or that it is there.
func changeSomething(t *rapid.T, document map[string]any) {
	keys := slices.Sorted(maps.Keys(counted(maps.Clone(document))))
	if len(keys) == 0 || rapid.Bool().Draw(t, "add") {
		document[strings.Join(keys, "")+"new"] = nil
		return
	}
	key := rapid.SampledFrom(keys).Draw(t, "key")
	switch value := document[key]; rapid.IntRange(0, 2).Draw(t, "change") {
	case 0:
		delete(document, key)
	case 1:
		delete(document, key)
		document[strings.Join(keys, "")+"renamed"] = value
	default:
		document[key] = changed(t, value)
	}
}

// changed is another value than that, as near to it as possible.
func changed(t *rapid.T, value any) any {
	switch value := value.(type) {
	case string:
		_, size := utf8.DecodeRuneInString(value)
		return rapid.SampledFrom([]any{value + "x", value + "\x00", value + "\"", "x" + value, value[size:] + "x"}).Draw(t, "text")
	case json.Number:
		return rapid.SampledFrom([]any{string(value), json.Number("777"), json.Number("1.00")}).Draw(t, "number")
	case bool:
		return !value
	case []any:
		if len(value) > 0 && rapid.Bool().Draw(t, "deeper") {
			list := slices.Clone(value)
			list[0] = changed(t, list[0])
			return list
		}
		return append(slices.Clone(value), nil)
	case map[string]any:
		object := maps.Clone(value)
		changeSomethingIn(t, object)
		return object
	}
	return "null"
}

func changeSomethingIn(t *rapid.T, object map[string]any) {
	keys := slices.Sorted(maps.Keys(object))
	if len(keys) == 0 || rapid.Bool().Draw(t, "add") {
		object[strings.Join(keys, "")+"new"] = nil
		return
	}
	key := rapid.SampledFrom(keys).Draw(t, "key")
	object[key] = changed(t, object[key])
}
