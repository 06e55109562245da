package openai

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
	f := func(op dialect.Op, replace bool, text, body, want string) {
		t.Helper()
		got, err := Codec{}.AppendSystem([]byte("|"), []byte(body), op, replace, []byte(text))
		assertEdit(t, want, got, err)
	}
	chat, typed := dialect.OpChat, dialect.OpResponses
	f(chat, false, "a\n\"", `{ "messages" : [ {"role":"user"} ] , "x":1 }`, `{ "messages" : [{"role":"system","content":"a\n\""}, {"role":"user"} ] , "x":1 }`)
	f(chat, true, "a", `{"messages":[]}`, `{"messages":[{"role":"system","content":"a"}]}`)
	f(chat, false, "a", `{"messages":[{"role":"user"},{"role":"developer","content":"b\u0041"}]}`, `{"messages":[{"role":"user"},{"role":"developer","content":"a\nb\u0041"}]}`)
	f(chat, false, "a", `{"messages":[{"role":"system","content":""}]}`, `{"messages":[{"role":"system","content":"a"}]}`)
	f(chat, false, "a", `{"messages":[{"role":"system","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]}]}`, `{"messages":[{"role":"system","content":[{"type":"text","text":"a\nb"},{"type":"text","text":"c"}]}]}`)
	f(chat, false, "", `{"messages":[]}`, `{"messages":[]}`)
	f(chat, true, "a", `{"messages":[ {"role":"system","content":"b"} , {"role":"user"}, {"role":"system","content":"c"} ,{"role":"developer"}, {"role":"user"} ]}`,
		`{"messages":[ {"role":"system","content":"a"} , {"role":"user"}, {"role":"user"} ]}`)
	f(chat, true, "", `{"messages":[ {"role":"system","content":"b"} , {"role":"system"}, {"role":"user"} , {"role":"system","content":"c"} ]}`, `{"messages":[ {"role":"user"} ]}`)
	f(chat, true, "", `{"messages":[ {"role":"system","content":"b"} , {"role":"system"} ]}`, `{"messages":[  ]}`)
	f(chat, true, "", `{"messages":[{"role":"user"}]}`, `{"messages":[{"role":"user"}]}`)
	f(chat, true, "a", `{}`, ``)
	f(chat, true, "a", `{"messages":"x"}`, ``)
	f(chat, true, "a", `{"messages":[{"role":"system","content":{"x":1}}]}`, ``)

	f(typed, false, "a", `{"input":"x"}`, `{"input":"x","instructions":"a"}`)
	f(typed, true, "a", `{"instructions":null , "input":"x"}`, `{"instructions":"a" , "input":"x"}`)
	f(typed, false, "a", `{"instructions":"b","input":[{"role":"system","content":"c"}]}`, `{"instructions":"a\nb","input":[{"role":"system","content":"c"}]}`)
	f(typed, true, "a", `{"instructions":"b","input":[{"role":"system","content":"c"},{"role":"user"}]}`, `{"instructions":"a","input":[{"role":"user"}]}`)
	f(typed, true, "a", `{"input":[{"role":"user"},{"role":"system","content":"c"}],"instructions":"b"}`, `{"input":[{"role":"user"}],"instructions":"a"}`)
	f(typed, true, "", `{"input":"x","instructions":"b"}`, `{"input":"x","instructions":null}`)
	f(typed, false, "a", `{"input":[{"role":"developer","content":"c"}]}`, `{"input":[{"role":"developer","content":"a\nc"}]}`)
	f(dialect.OpCompletions, false, "a", `{"prompt":"x"}`, ``)
	f(dialect.OpEmbeddings, true, "a", `{"input":"x"}`, ``)
	f(dialect.OpOther, true, "a", `{"messages":[]}`, ``)
}

func TestAppendMessage(t *testing.T) {
	f := func(op dialect.Op, i int, body, want string) {
		t.Helper()
		got, err := Codec{}.AppendMessage([]byte("|"), []byte(body), op, i, []byte("<\x00\xff"))
		assertEdit(t, want, got, err)
	}
	chat, typed, text := dialect.OpChat, dialect.OpResponses, `"<\u0000`+"\ufffd\""
	f(chat, 1, `{"messages":[{"content":"a"}, {"content" : "b", "role":"user"},{"content":"c"}]}`, `{"messages":[{"content":"a"}, {"content" : `+text+`, "role":"user"},{"content":"c"}]}`)
	f(chat, 0, `{"messages":[{"role":"assistant","content":null}]}`, `{"messages":[{"role":"assistant","content":`+text+`}]}`)
	f(chat, 0, `{"messages":[{"role":"assistant","tool_calls":[]}]}`, `{"messages":[{"role":"assistant","tool_calls":[],"content":`+text+`}]}`)
	f(chat, 0, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}} , {"text":"a","type":"text","x":1} , {"type":"text","text":"b"},{"type":"file"} ,"c"]}]}`,
		`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}} , {"text":`+text+`,"type":"text","x":1},{"type":"file"}]}]}`)
	f(chat, 0, `{"messages":[{"role":"user","content":[ {"type":"image_url","image_url":{}}]}]}`, `{"messages":[{"role":"user","content":[{"type":"text","text":`+text+`}, {"type":"image_url","image_url":{}}]}]}`)
	f(typed, 0, `{"input":[{"role":"user","content":[]}]}`, `{"input":[{"role":"user","content":[{"type":"input_text","text":`+text+`}]}]}`)
	f(typed, 0, `{"input":[{"role":"assistant","content":[]}]}`, `{"input":[{"role":"assistant","content":[{"type":"output_text","text":`+text+`}]}]}`)
	f(typed, 0, `{"input":"a"}`, `{"input":`+text+`}`)
	f(typed, 1, `{"input":[{"role":"user"},{"type":"function_call_output","output":"a"}]}`, `{"input":[{"role":"user"},{"type":"function_call_output","output":`+text+`}]}`)
	f(dialect.OpCompletions, 1, `{"prompt":["a" , "b"]}`, `{"prompt":["a" , `+text+`]}`)
	f(dialect.OpEmbeddings, 0, `{"input":"a"}`, `{"input":`+text+`}`)
	f(dialect.OpCompletions, 0, `{"prompt":[1,2]}`, ``)
	f(dialect.OpCompletions, 0, `{"prompt":[[1,2]]}`, ``)
	f(typed, 0, `{"input":[{"type":"function_call"}]}`, ``)
	f(chat, 1, `{"messages":[{"content":"a"}]}`, ``)
	f(chat, -1, `{"messages":[{"content":"a"}]}`, ``)
	f(chat, 0, `{"x":1}`, ``)
	f(chat, 0, `{"messages":[{"content":5,"role":"user"}]}`, ``)
	f(dialect.OpOther, 0, `{"messages":[{"content":"a"}]}`, ``)
}

func TestAppendMaxTokens(t *testing.T) {
	f := func(op dialect.Op, body, want string) {
		t.Helper()
		got, err := Codec{}.AppendMaxTokens([]byte("|"), []byte(body), op, 5)
		assertEdit(t, want, got, err)
	}
	f(dialect.OpChat, `{ }`, `{"max_completion_tokens":5 }`)
	f(dialect.OpChat, `{"a":1 }`, `{"a":1,"max_completion_tokens":5 }`)
	f(dialect.OpChat, `{"max_tokens": 7 ,"a":1}`, `{"max_tokens": 5 ,"a":1}`)
	f(dialect.OpChat, `{"max_tokens":7,"max_completion_tokens":8}`, `{"max_tokens":5,"max_completion_tokens":5}`)
	f(dialect.OpChat, `{"max_completion_tokens":null,"max_tokens":8}`, `{"max_completion_tokens":null,"max_tokens":5}`)
	f(dialect.OpChat, `{"max_tokens":null,"max_completion_tokens":null}`, `{"max_tokens":null,"max_completion_tokens":5}`)
	f(dialect.OpChat, `{"max_tokens":null}`, `{"max_tokens":null,"max_completion_tokens":5}`)
	f(dialect.OpResponses, `{"max_tokens":7}`, `{"max_tokens":7,"max_output_tokens":5}`)
	f(dialect.OpCompletions, `{"max_tokens":7}`, `{"max_tokens":5}`)
	f(dialect.OpEmbeddings, `{"max_tokens":7}`, ``)
	f(dialect.OpOther, `{"max_tokens":7}`, ``)
}
