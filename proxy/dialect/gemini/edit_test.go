package gemini

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

// inner is a request whose tokens are to be counted; an edit of it is one of what it holds.
func inner(body string) string {
	if body == "" {
		return ""
	}
	return `{"contents":[{}], "generateContentRequest" : ` + body + ` , "x":1}`
}

func TestAppendSystem(t *testing.T) {
	f := func(replace bool, text, body, want string) {
		t.Helper()
		got, err := Codec{}.AppendSystem([]byte("|"), []byte(body), dialect.OpGenerate, replace, []byte(text))
		assertEdit(t, want, got, err)
		got, err = Codec{}.AppendSystem([]byte("|"), []byte(inner(body)), dialect.OpCount, replace, []byte(text))
		assertEdit(t, inner(want), got, err)
	}
	f(false, "a\n\"", `{ "contents" : [] , "x":1 }`, `{ "contents" : [] , "x":1,"systemInstruction":{"parts":[{"text":"a\n\""}]} }`)
	f(true, "a", `{ }`, `{"systemInstruction":{"parts":[{"text":"a"}]} }`)
	f(false, "a", `{"system_instruction": null }`, `{"system_instruction": {"parts":[{"text":"a"}]} }`)
	f(false, "a", `{"system_instruction":{"parts":[ {"text":"b"}]}}`, `{"system_instruction":{"parts":[{"text":"a"}, {"text":"b"}]}}`)
	f(false, "a", `{"systemInstruction":{"parts":{"text":"b"} }}`, `{"systemInstruction":{"parts":[{"text":"a"},{"text":"b"}] }}`)
	f(false, "a", `{"systemInstruction":{"parts":[ ],"role":"x"}}`, `{"systemInstruction":{"parts":[{"text":"a"} ],"role":"x"}}`)
	f(false, "a", `{"systemInstruction":{"role":"x"}}`, `{"systemInstruction":{"role":"x","parts":[{"text":"a"}]}}`)
	f(false, "a", `{"systemInstruction":{}}`, `{"systemInstruction":{"parts":[{"text":"a"}]}}`)
	f(false, "a", `{"systemInstruction":{"parts":null}}`, `{"systemInstruction":{"parts":[{"text":"a"}]}}`)
	f(false, "", `{"systemInstruction":{"parts":[{"text":"b"}]}}`, `{"systemInstruction":{"parts":[{"text":"b"}]}}`)
	f(true, "a", `{"systemInstruction":{"parts":[{"text":"b"},{"text":"c"}]},"x":1}`, `{"systemInstruction":{"parts":[{"text":"a"}]},"x":1}`)
	f(true, "", `{"systemInstruction":{"parts":[{"text":"b"}]}}`, `{"systemInstruction":null}`)
	f(true, "", `{"systemInstruction":null}`, `{"systemInstruction":null}`)
	f(true, "", `{"x":1}`, `{"x":1}`)
	f(true, "a", `{"systemInstruction":"b"}`, ``)
	f(false, "a", `{"systemInstruction":{"parts":"b"}}`, ``)
	for _, op := range []dialect.Op{dialect.OpCount, dialect.OpEmbed, dialect.OpBatchEmbed, dialect.OpChat} {
		got, err := Codec{}.AppendSystem([]byte("|"), []byte(`{"contents":[],"content":{},"requests":[]}`), op, false, []byte("a"))
		assertEdit(t, "", got, err)
	}
}

func TestAppendMessage(t *testing.T) {
	f := func(i int, body, want string) {
		t.Helper()
		got, err := Codec{}.AppendMessage([]byte("|"), []byte(body), dialect.OpGenerate, i, []byte("<\x00\xff"))
		assertEdit(t, want, got, err)
		got, err = Codec{}.AppendMessage([]byte("|"), []byte(inner(body)), dialect.OpCount, i, []byte("<\x00\xff"))
		assertEdit(t, inner(want), got, err)
	}
	const text = `"<\u0000` + "\ufffd\""
	const part = `{"text":` + text + `}`
	f(1, `{"contents":[{"parts":[{"text":"a"}]}, {"parts" : [ {"text" : "b"} ], "role":"user"},{"parts":[{"text":"c"}]}]}`, `{"contents":[{"parts":[{"text":"a"}]}, {"parts" : [ {"text" : `+text+`} ], "role":"user"},{"parts":[{"text":"c"}]}]}`)
	f(0, `{"contents":[{"parts":[{"inlineData":{}} , {"text":"a","x":1} , {"text":"b"},{"thoughtSignature":"s","text":"c"},{"thought":true,"text":"d"} ]}]}`,
		`{"contents":[{"parts":[{"inlineData":{}} , {"text":`+text+`,"x":1},{"thoughtSignature":"s","text":""},{"thought":true,"text":"d"} ]}]}`)
	f(0, `{"contents":[{"parts":[{"functionResponse":{}} ]}]}`, `{"contents":[{"parts":[{"functionResponse":{}},`+part+` ]}]}`)
	f(0, `{"contents":[{"role":"model","parts":[{"thought":true,"text":"x"}, {"functionCall":{}},{"functionCall":{}}]}]}`, `{"contents":[{"role":"model","parts":[{"thought":true,"text":"x"}, `+part+`,{"functionCall":{}},{"functionCall":{}}]}]}`)
	f(0, `{"contents":[{"parts":[]}]}`, `{"contents":[{"parts":[`+part+`]}]}`)
	f(0, `{"contents":[{"parts":null}]}`, `{"contents":[{"parts":[`+part+`]}]}`)
	f(0, `{"contents":[{"role":"user" }]}`, `{"contents":[{"role":"user","parts":[`+part+`] }]}`)
	f(0, `{"contents":{"parts":{"text":"a"}}}`, `{"contents":{"parts":{"text":`+text+`}}}`)
	f(0, `{"contents":[{"parts":{"inlineData":{}} }]}`, `{"contents":[{"parts":[{"inlineData":{}},`+part+`] }]}`)
	f(0, `{"contents":[{"parts":{"functionCall":{}}}]}`, `{"contents":[{"parts":[`+part+`,{"functionCall":{}}]}]}`)
	f(1, `{"contents":[{"parts":[]}]}`, ``)
	f(-1, `{"contents":[{"parts":[]}]}`, ``)
	f(0, `{"contents":[{"parts":5}]}`, ``)
	f(0, `{"contents":["x"]}`, ``)
	f(0, `{"x":1}`, ``)

	got, err := Codec{}.AppendMessage([]byte("|"), []byte(`{"content":{"parts":[{"text":"a"}]}}`), dialect.OpEmbed, 0, []byte("b"))
	assertEdit(t, `{"content":{"parts":[{"text":"b"}]}}`, got, err)
	got, err = Codec{}.AppendMessage([]byte("|"), []byte(`{"requests":[{"content":{}},{"model":"m","content":{"parts":[{"text":"a"}]}}]}`), dialect.OpBatchEmbed, 1, []byte("b"))
	assertEdit(t, `{"requests":[{"content":{}},{"model":"m","content":{"parts":[{"text":"b"}]}}]}`, got, err)
	got, err = Codec{}.AppendMessage([]byte("|"), []byte(`{"requests":[{"model":"m"}]}`), dialect.OpBatchEmbed, 0, []byte("b"))
	assertEdit(t, "", got, err)
	got, err = Codec{}.AppendMessage([]byte("|"), []byte(`{"contents":[{"parts":[{"text":"a"}]}]}`), dialect.OpChat, 0, []byte("b"))
	assertEdit(t, "", got, err)
}

func TestAppendMaxTokens(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		got, err := Codec{}.AppendMaxTokens([]byte("|"), []byte(body), dialect.OpGenerate, 5)
		assertEdit(t, want, got, err)
		got, err = Codec{}.AppendMaxTokens([]byte("|"), []byte(inner(body)), dialect.OpCount, 5)
		assertEdit(t, inner(want), got, err)
	}
	f(`{ }`, `{"generationConfig":{"maxOutputTokens":5} }`)
	f(`{"a":1 }`, `{"a":1,"generationConfig":{"maxOutputTokens":5} }`)
	f(`{"generationConfig": null }`, `{"generationConfig": {"maxOutputTokens":5} }`)
	f(`{"generationConfig":{ }}`, `{"generationConfig":{"maxOutputTokens":5 }}`)
	f(`{"generation_config":{"topK":1 }}`, `{"generation_config":{"topK":1,"maxOutputTokens":5 }}`)
	f(`{"generationConfig":{"max_output_tokens": "7" ,"a":1}}`, `{"generationConfig":{"max_output_tokens": 5 ,"a":1}}`)
	f(`{"generationConfig":{"maxOutputTokens":7,"max_output_tokens":null}}`, `{"generationConfig":{"maxOutputTokens":5,"max_output_tokens":5}}`)
	f(`{"generationConfig":7}`, ``)
	for _, op := range []dialect.Op{dialect.OpCount, dialect.OpEmbed, dialect.OpBatchEmbed, dialect.OpChat} {
		got, err := Codec{}.AppendMaxTokens([]byte("|"), []byte(`{"generationConfig":{}}`), op, 5)
		assertEdit(t, "", got, err)
	}
}
