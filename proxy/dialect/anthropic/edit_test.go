package anthropic

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// assertEdit checks what an edit makes of a body: want is empty where there is no place for it.
func assertEdit(t *testing.T, want string, got []byte, err error) {
	t.Helper()
	if want == "" {
		require.ErrorIs(t, err, dialect.ErrNoPlace)
		assert.Equal(t, "|", string(got), "nothing is appended with an error")
		return
	}
	require.NoError(t, err)
	assert.Equal(t, "|"+want, string(got))
}

func TestAppendSystem(t *testing.T) {
	f := func(replace bool, text, body, want string) {
		t.Helper()
		for _, op := range []dialect.Op{dialect.OpMessages, dialect.OpCountTokens} {
			got, err := Codec{}.AppendSystem([]byte("|"), []byte(body), op, replace, []byte(text))
			assertEdit(t, want, got, err)
		}
	}
	f(false, "a\n\"", ` { "messages" : [] , "x":1 }`, ` { "messages" : [] , "x":1,"system":"a\n\"" }`)
	f(false, "a", `{ }`, `{"system":"a" }`)
	f(false, "a", `{"system":"b\u0041" }`, `{"system":"a\nb\u0041" }`)
	f(false, "a", `{"system":""}`, `{"system":"a"}`)
	f(false, "a", `{"system": null }`, `{"system": "a" }`)
	f(false, "a", `{"system":[ {"type":"text","text":"b"}]}`, `{"system":[{"type":"text","text":"a"}, {"type":"text","text":"b"}]}`)
	f(false, "a", `{"system":[ ]}`, `{"system":[{"type":"text","text":"a"} ]}`)
	f(false, "", `{"system":"b"}`, `{"system":"b"}`)
	f(true, "a", `{"system":"b"}`, `{"system":"a"}`)
	f(true, "", `{"system":"b"}`, `{"system":""}`)
	f(true, "a", `{"system":[{"type":"text","text":"b","cache_control":{}} , {"type":"text","text":"c"}]}`, `{"system":[{"type":"text","text":"a","cache_control":{}}]}`)
	f(true, "a", `{"system":[]}`, `{"system":[{"type":"text","text":"a"}]}`)
	f(true, "", `{"system":[{"type":"text","text":"b"}]}`, `{"system":[]}`)
	f(true, "", `{"system":null}`, `{"system":null}`)
	f(true, "", `{"messages":[]}`, `{"messages":[]}`)
	f(true, "a", `{"system":{"x":1}}`, ``)

	const u, s = `{"role":"user","content":"x"}`, `{"role":"system","content":"y"}`
	f(false, "a", `{"messages":[`+u+`,`+s+`]}`, `{"messages":[`+u+`,`+s+`],"system":"a"}`)
	f(true, "a", `{"messages":[ `+s+` , `+s+`, `+u+` ,`+s+`, `+u+` ]}`, `{"messages":[ `+u+`, `+u+` ],"system":"a"}`)
	f(true, "a", `{"system":"b","messages":[`+u+`, `+s+`]}`, `{"system":"a","messages":[`+u+`]}`)
	f(true, "", `{"messages":[`+u+`, `+s+`],"system":"b"}`, `{"messages":[`+u+`],"system":""}`)
	f(true, "a", `{"messages":[`+s+`,`+s+`]}`, `{"messages":[],"system":"a"}`)

	got, err := Codec{}.AppendSystem([]byte("|"), []byte(`{"messages":[]}`), dialect.OpChat, false, []byte("a"))
	assertEdit(t, "", got, err)
}

func TestAppendMessage(t *testing.T) {
	f := func(i int, body, want string) {
		t.Helper()
		got, err := Codec{}.AppendMessage([]byte("|"), []byte(body), dialect.OpMessages, i, []byte("<\x00\xff"))
		assertEdit(t, want, got, err)
	}
	const text = `"<\u0000` + "\ufffd\""
	f(1, `{"messages":[{"content":"a","role":"user"}, {"content" : "b", "role":"user"},{"content":"c"}]}`, `{"messages":[{"content":"a","role":"user"}, {"content" : `+text+`, "role":"user"},{"content":"c"}]}`)
	f(0, `{"messages":[{"role":"assistant","content":null}]}`, `{"messages":[{"role":"assistant","content":`+text+`}]}`)
	f(0, `{"messages":[{"role":"assistant" }]}`, `{"messages":[{"role":"assistant" ,"content":`+text+`}]}`)
	f(0, `{"messages":[{"role":"user","content":[{"type":"image","source":{}} , {"text":"a","type":"text","x":1} , {"type":"text","text":"b"},{"type":"document"}]}]}`,
		`{"messages":[{"role":"user","content":[{"type":"image","source":{}} , {"text":`+text+`,"type":"text","x":1},{"type":"document"}]}]}`)
	const block = `{"type":"text","text":` + text + `}`
	f(0, `{"messages":[{"role":"user","content":[{"type":"tool_result","content":"a"} ]}]}`, `{"messages":[{"role":"user","content":[{"type":"tool_result","content":"a"},`+block+` ]}]}`)
	f(0, `{"messages":[{"role":"assistant","content":[{"type":"thinking"}, {"type":"tool_use"},{"type":"tool_use"}]}]}`,
		`{"messages":[{"role":"assistant","content":[{"type":"thinking"}, `+block+`,{"type":"tool_use"},{"type":"tool_use"}]}]}`)
	f(0, `{"messages":[{"role":"user","content":[]}]}`, `{"messages":[{"role":"user","content":[`+block+`]}]}`)
	f(1, `{"messages":[{"role":"user","content":"a"}]}`, ``)
	f(-1, `{"messages":[{"role":"user","content":"a"}]}`, ``)
	f(0, `{"messages":[{"role":"user","content":5}]}`, ``)
	f(0, `{"messages":[{}]}`, ``)
	f(0, `{"messages":["x"]}`, ``)
	f(0, `{"messages":{"role":"user"}}`, ``)
	f(0, `{"x":1}`, ``)
	got, err := Codec{}.AppendMessage([]byte("|"), []byte(`{"messages":[{"role":"user","content":"a"}]}`), dialect.OpChat, 0, nil)
	assertEdit(t, "", got, err)
}

func TestAppendMaxTokens(t *testing.T) {
	f := func(op dialect.Op, body, want string) {
		t.Helper()
		got, err := Codec{}.AppendMaxTokens([]byte("|"), []byte(body), op, 5)
		assertEdit(t, want, got, err)
	}
	f(dialect.OpMessages, `{ }`, `{"max_tokens":5 }`)
	f(dialect.OpMessages, `{"a":1 }`, `{"a":1,"max_tokens":5 }`)
	f(dialect.OpMessages, `{"max_tokens": 7 ,"a":1}`, `{"max_tokens": 5 ,"a":1}`)
	f(dialect.OpMessages, `{"max\u005ftokens":null}`, `{"max\u005ftokens":5}`)
	f(dialect.OpCountTokens, `{"a":1}`, ``)
	f(dialect.OpChat, `{"max_tokens":7}`, ``)
}
