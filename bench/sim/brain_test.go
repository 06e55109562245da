package sim

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fastjson"
)

func TestTokens(t *testing.T) {
	f := func(s string, want ...string) {
		t.Helper()
		var got []string
		for rest := s; rest != ""; {
			n := nextToken(rest)
			got = append(got, rest[:n])
			rest = rest[n:]
		}
		assert.Equal(t, want, got)
		assert.Equal(t, len(want), countTokens(s))
		assert.Equal(t, len(want), countTokens([]byte(s)))
	}
	f("")
	f("a", "a")
	f("four", "four")
	f("fives", "five", "s")
	f("a bc  def", "a", " bc", "  def")
	f(" x ", " x", " ")
	f("\n", "\n")
	f("東京都", "東", "京", "都")
	f("éééé!", "éé", "éé", "!")
	f("🚀🚀", "🚀", "🚀")
	f("\xff\xff\xff\xff\xff", "\xff\xff\xff\xff", "\xff")
}

func FuzzTokens(f *testing.F) {
	f.Add("Hello, Zürich 🚀")
	f.Fuzz(func(t *testing.T, s string) {
		n := countTokens(s)
		if words := len(strings.Fields(s)); n < words && utf8.ValidString(s) && !strings.ContainsAny(s, "\v\f\u0085\u00a0") && isASCII(s) {
			t.Fatalf("%d tokens for %d words in %q", n, words, s)
		}
		ends := appendTokenEnds(nil, s)
		if len(ends) != n || lastEnd(ends) != len(s) {
			t.Fatalf("%d ends for %d tokens, the last at %d of %d", len(ends), n, lastEnd(ends), len(s))
		}
		for i := range ends {
			if utf8.ValidString(s) && !utf8.ValidString(span(s, ends, i, i+1)) {
				t.Fatalf("token %d of %q divides a character", i, s)
			}
		}
	})
}

func isASCII(s string) bool { return len(s) == utf8.RuneCountInString(s) }

func FuzzJSONStrings(f *testing.F) {
	f.Add("a\"\\\n\x00é🚀\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		out := appendJSON(nil, s)
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%q is no JSON: %v", out, err)
		}
		if utf8.ValidString(s) && got != s {
			t.Fatalf("%q came back as %q", s, got)
		}
		if string(out) != string(appendJSON(nil, []byte(s))) {
			t.Fatalf("bytes and strings differ for %q", s)
		}
	})
}

func TestLengthOfAnswers(t *testing.T) {
	for key := range uint64(500) {
		rep := think(&ask{model: "m", key: key, topic: "What is the longest word that one can think of in English?"}, 0)
		assert.GreaterOrEqual(t, rep.out, minTokens)
		assert.LessOrEqual(t, rep.out, 200)
		assert.True(t, utf8.ValidString(rep.choices[0].text))
		assert.Equal(t, rep.out, countTokens(rep.choices[0].text), "one rule for all")
	}
}

func TestExactLength(t *testing.T) {
	for want := 1; want < 300; want += 7 {
		rep := think(&ask{model: "m", key: uint64(want), want: want, topic: "Hi"}, 0)
		assert.Equal(t, want, rep.out)
	}
}

func TestCallsAreBounded(t *testing.T) {
	schema := fastjson.MustParse(`{"type":"object","properties":{"a":{"type":"string","minLength":200}}}`)
	a := &ask{model: "m", max: 10, calls: []tool{{name: "first", schema: schema}, {name: "second", schema: schema}}}
	rep := think(a, 0)
	require.Len(t, rep.choices[0].calls, 1)
	assert.Equal(t, finishLength, rep.choices[0].finish)
	assert.Equal(t, 10, rep.out)
}

func TestGroupsCoverAllTokens(t *testing.T) {
	for tokens := range 40 {
		for _, wanted := range []int{0, 1, 3, 7, 100} {
			n, next := pieces(wanted, tokens), 0
			for i := range n {
				from, to := group(i, n, tokens)
				assert.Equal(t, next, from)
				assert.Greater(t, to, from)
				next = to
			}
			assert.Equal(t, tokens, next)
		}
	}
}

func TestExamplesFitTheirSchemas(t *testing.T) {
	f := func(schema string, fits func(v any) bool) {
		t.Helper()
		for seed := range uint64(20) {
			r := rng(seed)
			out := appendExample(nil, &r, fastjson.MustParse(schema), "the tides near Oslo")
			var v any
			require.NoError(t, json.Unmarshal(out, &v), string(out))
			assert.True(t, fits(v), string(out))
		}
	}
	number := func(low, high float64) func(any) bool {
		return func(v any) bool { n, ok := v.(float64); return ok && n >= low && n <= high }
	}
	length := func(low, high int) func(any) bool {
		return func(v any) bool { s, ok := v.(string); return ok && len(s) >= low && len(s) <= high }
	}
	f(`{"type":"integer"}`, number(0, 200))
	f(`{"type":"integer","minimum":-5,"maximum":-3}`, number(-5, -3))
	f(`{"type":"integer","exclusiveMinimum":1,"exclusiveMaximum":3}`, number(2, 2))
	f(`{"type":"number","minimum":2}`, number(2, 3))
	f(`{"type":"string","minLength":50}`, length(50, 100))
	f(`{"type":"string","maxLength":2}`, length(0, 2))
	f(`{"type":"string"}`, func(v any) bool { return v == "Oslo" })
	f(`{"type":"string","format":"date"}`, func(v any) bool { return v == "2026-01-15" })
	f(`{"enum":["x",1,null]}`, func(v any) bool { return v == "x" || v == 1.0 || v == nil })
	f(`{"type":"array","items":{"type":"boolean"},"minItems":3}`, func(v any) bool { return len(v.([]any)) >= 3 })
	f(`{"type":"null"}`, func(v any) bool { return v == nil })
	f(`{}`, func(v any) bool { return len(v.(map[string]any)) == 0 })
	f(`{"$ref":"#/nowhere"}`, func(v any) bool { return len(v.(map[string]any)) == 0 })
	f(`{"$ref":"#"}`, func(v any) bool { return len(v.(map[string]any)) == 0 })
	f(`{"type":"object","properties":{"again":{"$ref":"#"}}}`, func(v any) bool { return v.(map[string]any)["again"] != nil })
}

func TestMemoFindsOnlyTheVeryBytes(t *testing.T) {
	var m memo
	a, here, there := &answer{body: []byte("answer")}, &route{path: "/a"}, &route{path: "/b"}
	m.put(here, "x", []byte("body"), a)
	assert.Same(t, a, m.get(here, "x", []byte("body")))
	assert.Nil(t, m.get(there, "x", []byte("body")))
	assert.Nil(t, m.get(here, "y", []byte("body")))
	assert.Nil(t, m.get(here, "x", []byte("bodz")))
	m.put(here, "x", make([]byte, memoEntrySize), a)
	assert.Nil(t, m.get(here, "x", make([]byte, memoEntrySize)), "too large to remember")
}
