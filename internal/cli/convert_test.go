package cli

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

func TestYAMLIsReadAsTheCatalogIs(t *testing.T) {
	for text, want := range map[string]string{
		"version: 1.10":                   `{"version":1.10}`,
		"a: \"1\"\nb: '2'\nc: 3":          `{"a":"1","b":"2","c":3}`,
		"a: true\nb: False\nc: null\nd:":  `{"a":true,"b":false,"c":null,"d":null}`,
		"a: [x, {b: 1e3}]":                `{"a":["x",{"b":1e3}]}`,
		`{"a": {"b": [1, "\u00e9"]}}`:     `{"a":{"b":[1,"é"]}}`,
		"a: &x [1]\nb: *x":                `{"a":[1],"b":[1]}`,
		"a: 2026-11-23\nb: yes\nc: 1_000": `{"a":"2026-11-23","b":"yes","c":"1_000"}`,
		"a: |\n  two\n  lines\n":          `{"a":"two\nlines\n"}`,
	} {
		got, err := jsonOf("f", []byte(text))
		require.NoError(t, err, text)
		assert.Equal(t, want, string(got), text)
	}
	for text, want := range map[string]string{
		"":                     "cannot use f: want fields",
		"- a":                  "cannot use f: want fields",
		"a: [":                 "cannot read f: ",
		"a: 1\na: 2":           "want each field once",
		"a: &x {b: 1}\n<<: *x": "want each field once",
		"[a]: 1":               "want each field once",
		"? [a]\n: 1":           "want each field once",
		strings.Repeat("{a: ", 70) + strings.Repeat("}", 70): "nested too deep",
		laughs(): "too large",
	} {
		_, err := jsonOf("f", []byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

// laughs is a small text that stands for a very large one.
func laughs() string {
	b := strings.Builder{}
	b.WriteString("a0: &a0 " + strings.Repeat("x", 1000) + "\n")
	for i := range 8 {
		name := string(rune('0' + i))
		next := string(rune('1' + i))
		b.WriteString("a" + next + ": &a" + next + " [" + strings.Repeat("*a"+name+",", 9) + "*a" + name + "]\n")
	}
	return b.String()
}

func FuzzYAMLSaysWhatJSONSays(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":[],"b":{},"c":null,"d":"null","e":true,"f":"true","g":1.50,"h":"1.50","i":-0,"j":1E+5}`, `{"<<":"<<","~":"~","":""}`,
		`{"a":"x\ny\n","b":" x","c":"\u0000\u0085\u2028","d":"- a","e":"# a","f":"0x10","g":"2026-11-23","h":"=","i":"\ud83d\ude00"}`,
		`{"a":"\t\n","b":"\r\n","c":"a: b","d":"*a","e":"&a","f":"!a","g":"|","h":"\"","i":"'"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, err := wire.CanonicalJSON([]byte(text))
		if err != nil || !strings.HasPrefix(text, "{") || !json.Valid([]byte(text)) || strings.Count(text, "{")+strings.Count(text, "[") > maxYAMLDepth {
			return
		}
		made, err := yamlOf(want) // without duplicate members
		require.NoError(t, err)
		back, err := jsonOf("f", made)
		require.NoError(t, err, "%s", made)
		got, err := wire.CanonicalJSON([]byte(back))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s", made)
	})
}

func TestNumbersForPeople(t *testing.T) {
	for nano, want := range map[int64]string{0: "0.00", 1: "0.000000001", 1e9: "1.00", 12_340_000_000: "12.34", -1_500_000_000: "-1.50", 5e8: "0.50"} {
		assert.Equal(t, want, usd(nano))
	}
	for x, want := range map[float64]string{0: "0 %", 10: "10 %", 0.5: "0.5 %", 33.333: "33.33 %", 100: "100 %"} {
		assert.Equal(t, want, perCent(x))
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 90 * time.Second: "90s", 2 * time.Minute: "2m", 47 * time.Hour: "47h", 48 * time.Hour: "2d", -time.Hour: "-60m", math.MaxInt64: "106751d",
	} {
		assert.Equal(t, want, coarse(d))
	}
}

func TestTerminalsSeeNoControlCharacters(t *testing.T) {
	assert.Equal(t, "a b[31mc d", oneLine("a\nb\x1b[31m\u202ec\u0085\td \r\n"))
}
