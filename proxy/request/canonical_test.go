package request

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func canonicalOf(tb testing.TB, body string, e *Edits) string {
	tb.Helper()
	var v View
	require.NoError(tb, v.Parse([]byte(body)), "%s", body)
	return string(v.AppendCanonical(nil, e))
}

func TestCanonical(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		got := canonicalOf(t, body, nil)
		assert.Equal(t, want, got)
		assert.Equal(t, want, canonicalOf(t, got, nil), "canonical text must stay as it is")
	}
	f(`{}`, `{}`)
	f(` { "b" : 1 , "a" : [ 1 , { } , [ ] ] } `, `{"b":1,"a":[1,{},[]]}`)
	f(`{"bb":1,"a":2,"c":3}`, `{"c":3,"a":2,"bb":1}`)
	f(`{"x":{"role":"user","content":"hi"}}`, `{"x":{"role":"user","content":"hi"}}`)
	f(`{"x":{"content":"hi","role":"user"}}`, `{"x":{"role":"user","content":"hi"}}`)
	f(`{"x":{"text":"hi","type":"text"}}`, `{"x":{"type":"text","text":"hi"}}`)
	f(`{"x":[{"a":{"c":1,"d":[{"e":0,"f":0}]},"b":0},{"z":1},{"g":1,"h":2}]}`,
		`{"x":[{"b":0,"a":{"d":[{"f":0,"e":0}],"c":1}},{"z":1},{"h":2,"g":1}]}`)
	f(`{"s":"\u0041\/\u00e9\ud83d\ude00\u0022\u005c\u000a\u0001\u001F\u007f"}`, `{"s":"A/é😀\"\\\n\u0001\u001f`+"\x7f"+`"}`)
	f(`{"s":"\b\f\n\r\t\"\\"}`, `{"s":"\b\f\n\r\t\"\\"}`)
	f(`{"\u0061\n":1,"\"":{"a":2,"\u0062":1}}`, `{"\"":{"b":1,"a":2},"a\n":1}`)
	f(`{"n":[1,1.0,1e0,-0,0]}`, `{"n":[1,1.0,1e0,-0,0]}`)
}

func TestCanonicalOfLargeObjects(t *testing.T) {
	body := string(manyKeys(100))
	once := canonicalOf(t, `{"x":`+body+`}`, nil)
	assert.Equal(t, once, canonicalOf(t, once, nil), "sorted members must stand in the order in which small objects do")
	assert.Equal(t, once, `{"x":`+canonicalOf(t, body, nil)+`}`)

	var v View
	require.NoError(t, v.Parse([]byte(body)))
	for k := range 100 {
		_, ok := v.Field(strconv.Itoa(k%2) + strconv.Itoa(k*7919%100))
		assert.True(t, ok, k)
	}
}

func TestCanonicalLeavesOutTransport(t *testing.T) {
	const bare = `{"messages":[]}`
	f := func(body, want string) { t.Helper(); assert.Equal(t, want, canonicalOf(t, body, nil)) }
	f(`{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true},"user":"u","metadata":{"a":1},"store":false}`, bare)
	f(`{"mod\u0065l":"m","messages":[],"st\u006fre":false}`, bare)
	f(`{"messages":[],"store":true}`, `{"store":true,"messages":[]}`)
	f(`{"messages":[],"store":null}`, `{"store":null,"messages":[]}`)
	f(`{"x":{"model":"m","user":"u","store":false}}`, `{"x":{"user":"u","store":false,"model":"m"}}`)
	f(`{"model":"m"}`, `{}`)
}

func TestCanonicalAfterEdits(t *testing.T) {
	e, err := CompileEdits(
		[]Set{{Key: "top_p", Value: []byte(` 0.5 `)}, {Key: "tools", Value: []byte(`[{"a":"\u0041","b":1}]`)}},
		[]Set{{Key: "max_tokens", Aliases: []string{"max_completion_tokens"}, Value: []byte(`9`)}, {Key: "user", Value: []byte(`"x"`)}, {Key: "store", Value: []byte(`false`)}},
	)
	require.NoError(t, err)
	f := func(body, want string) { t.Helper(); assert.Equal(t, want, canonicalOf(t, body, e)) }
	f(`{}`, `{"top_p":0.5,"tools":[{"b":1,"a":"A"}],"max_tokens":9}`)
	f(`{"zzzzzz":1,"store":true}`, `{"top_p":0.5,"tools":[{"b":1,"a":"A"}],"zzzzzz":1,"max_tokens":9}`)
	f(`{"max_completion_tokens":5,"top_p":1,"tools":null}`, `{"top_p":1,"tools":[{"b":1,"a":"A"}],"max_completion_tokens":9}`)
}

func ExampleView_AppendCanonical() {
	var one, other View
	_ = one.Parse([]byte(`{"model":"a","messages":[{"role":"user","content":"Grüezi"}],"seed":7}`))
	_ = other.Parse([]byte(`{"seed": 7, "messages": [{"content": "Gr\u00fcezi", "role": "user"}], "stream": true}`))

	prefix := []byte("chat\x00support-bot@1.0.0\x00")
	digest := func(v *View) [32]byte { return sha256.Sum256(v.AppendCanonical(prefix, nil)) }
	fmt.Println(string(other.AppendCanonical(nil, nil)))
	fmt.Println(digest(&one) == digest(&other))
	// Output:
	// {"seed":7,"messages":[{"role":"user","content":"Grüezi"}]}
	// true
}
