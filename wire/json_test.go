package wire

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// plainJSON says that YAML reads a JSON text as it is: without what only JSON allows.
func plainJSON(data []byte) bool {
	odd := func(r rune) bool {
		return r == '\r' || r == '\t' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff
	}
	if bytes.ContainsFunc(data, odd) || bytes.Contains(data, []byte(`\/`)) || bytes.Contains(data, []byte(`\u`)) {
		return false
	}
	for _, line := range bytes.Split(data, []byte("\n")) {
		if start := bytes.TrimSpace(line); len(line) > 1000 || bytes.HasPrefix(start, []byte(":")) {
			return false // a name and its colon stand on one line
		}
	}
	return true
}

// requireSameNodes compares the nodes of both readers.
func requireSameNodes(t require.TestingT, data []byte) {
	fast := parseJSON(data)
	if fast == nil || !plainJSON(data) {
		return
	}
	var document yaml.Node
	require.NoError(t, yaml.Unmarshal(data, &document), "%q", data)
	requireSame(t, document.Content[0], fast)
}

func requireSame(t require.TestingT, want, got *yaml.Node) {
	require.Equal(t, want.ShortTag(), got.ShortTag(), "%q", want.Value)
	require.Len(t, got.Content, len(want.Content))
	for i := range want.Content {
		requireSame(t, want.Content[i], got.Content[i])
	}
	bare := *want
	bare.Content, bare.Tag = got.Content, got.Tag
	require.Equal(t, bare, *got)
}

func TestJSONIsReadAsYAMLReadsIt(t *testing.T) {
	for _, text := range []string{`{}`, ` { } `, "{\n \"a\" : [1, -2.50, 1e9, 1E+400, 99999999999999999999, true, false, null, \"\", \"true\", \"<<\"],\n\n\"<<\": {\"é😀\": \"x\"}, \"\": [[],{}]\n}\n",
		`{"a":"b\n\"\\","c":[{"d":{}}]}`, `{"a":1,"a":2}`} {
		require.NotNil(t, parseJSON([]byte(text)), text)
		require.True(t, plainJSON([]byte(text)), text)
		requireSameNodes(t, []byte(text))
	}
	rapid.Check(t, func(t *rapid.T) { requireSameNodes(t, drawCatalog(t)) })
}

func TestWhatIsNoObjectOfJSONIsLeftToYAML(t *testing.T) {
	for _, text := range []string{``, `[]`, `"x"`, `{a: b}`, `{"a":1}x`, `{"a":1,}`, `{"a":"` + "\xff" + `"}`, `{"a":"\ud800"}`, `{"a":"\udc00\ud800"}`, `{"\ud800":1}`,
		strings.Repeat(`{"a":`, 600) + "1" + strings.Repeat("}", 600), "{\"a\":}\r"} {
		assert.Nil(t, parseJSON([]byte(text)), text)
	}
	_, err := ParseCatalog("c", []byte(`{"prompts":[{"name":"n","version":"1.0.0","template":"\ud800"}]}`))
	assert.Error(t, err, "half of a pair is no text")
}

// What JSON may hold, a catalog in JSON may: YAML's own rules are not for it.
func TestTextsThatOnlyJSONCanHold(t *testing.T) {
	for written, want := range map[string]string{
		`\ud83d\ude42`: "🙂", `\/`: "/", "\x7f": "\x7f", "\u0085 \u2028": "\u0085 \u2028", "\ufeff": "\ufeff", `\u0000`: "\x00", `\ufffd`: "\ufffd", `\u007f`: "\x7f",
	} {
		c, err := ParseCatalog("c", []byte("{\t\"prompts\"\r\n:\r[{\"name\":\"n\",\"version\":\"1.0.0\",\"template\":\""+written+"\"}]}"))
		require.NoError(t, err, "%q", written)
		assert.Equal(t, want, c.Prompts[0].Template, "%q", written)
	}
	list := problems(t, "{\"prompts\":\r\n[{\"name\":\"🙂\\u00e9\",\r\"version\":\"1.0.0\",\n\n \"template\":\"\"}]}")
	require.Len(t, list, 2)
	assert.Equal(t, "2:10", strings.Join(strings.SplitN(list[0].String(), ":", 3)[:2], ":"))
	assert.Equal(t, "5:13", strings.Join(strings.SplitN(list[1].String(), ":", 3)[:2], ":"))
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte("{\n \"a\" : [1, -2.50, \"x\"],\"<<\": {\"é😀\": \"\\\"\"}}"))
	f.Add([]byte("{\"a\":\r1}\r"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if root := parseJSON(data); root != nil {
			require.True(t, utf8.ValidString(root.Value))
			requireSameNodes(t, data)
		}
	})
}
