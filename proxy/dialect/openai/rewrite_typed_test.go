package openai

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// typedSSE makes a responses stream of the given events' types and further members, and numbers it.
func typedSSE(events ...string) []byte {
	w := typedEvents{}
	for i := 0; i < len(events); i += 2 {
		o, _ := members([]byte("{" + events[i+1] + "}"))
		w.event("response."+events[i], o)
	}
	return w.dst
}

const (
	createdEvent = `"response":{"id":"resp_1","object":"response","created_at":5,"status":"in_progress","model":"m","output":[],"usage":null}`
	aboutFirst   = `"item_id":"msg_1","output_index":1,"content_index":0,`
	reasoning    = `{"type":"reasoning","id":"rs_1","summary":[]}`
)

// message is an output item with one part, as it is told at its end.
func message(text, logprobs string) string {
	return `{"type":"message","id":"msg_1","status":"completed","content":[` + outputText(text, logprobs) + `],"role":"assistant"}`
}

func outputText(text, logprobs string) string {
	return `{"type":"output_text","text":"` + text + `","annotations":[],"logprobs":[` + logprobs + `]}`
}

func TestRewriteResponses(t *testing.T) {
	stream := func(logprobs, whole string, texts ...string) []byte {
		events := []string{"created", createdEvent, "output_item.done", `"output_index":0,"item":` + reasoning}
		for _, text := range texts {
			events = append(events, "output_text.delta", aboutFirst+`"delta":"`+text+`","logprobs":[`+logprobs+`]`)
		}
		return typedSSE(append(events,
			"output_text.done", aboutFirst+`"text":"`+whole+`","logprobs":[`+logprobs+`]`,
			"content_part.done", aboutFirst+`"part":`+outputText(whole, logprobs),
			"output_item.done", `"output_index":1,"item":`+message(whole, logprobs),
			"completed", `"response":{"id":"resp_1","status":"completed","output_text":"`+whole+`","output":[`+reasoning+`,`+message(whole, logprobs)+`],"usage":{"input_tokens":1}}`)...)
	}
	var log []string
	in := stream("{}", `a\nbc`, `a\n`, `bc`)
	got, ended := rewrite(t, dialect.OpResponses, in, 3, recording(&log, keep))
	assert.False(t, ended)
	assert.Equal(t, string(in), string(got))
	assert.Equal(t, []string{`1 "a\n" first=true last=false `, `1 "bc" first=false last=false `, `1 "" first=false last=true `}, log)

	got, _ = rewrite(t, dialect.OpResponses, in, 1, upper)
	assert.Equal(t, string(stream("", `A\nBC`, `A\n`, `BC`)), string(got))

	got, _ = rewrite(t, dialect.OpResponses, in, 1, holding()) // one event more: the later ones have other numbers
	assert.Equal(t, string(stream("", `A\nBC`, ``, ``, `A\nBC`)), string(got))
	requireNumbered(t, got)
}

// Where a provider sends no deltas the text is edited at the first place that tells it.
func TestRewriteResponsesWithoutDeltas(t *testing.T) {
	for _, events := range [][]string{
		{"output_text.done", aboutFirst + `"text":"abc"`, "output_item.done", `"output_index":1,"item":` + message("abc", "")},
		{"content_part.done", aboutFirst + `"part":` + outputText("abc", "{}")},
		{"output_item.done", `"output_index":1,"item":` + message("abc", "")},
		{"completed", `"response":{"output":[` + reasoning + `,` + message("abc", "") + `]}`},
		{"failed", `"response":{"status":"failed","output":[` + reasoning + `,` + message("abc", "") + `]}`},
	} {
		var log []string
		got, _ := rewrite(t, dialect.OpResponses, typedSSE(events...), 1, recording(&log, upper))
		assert.Equal(t, []string{`1 "abc" first=true last=true `}, log)
		assert.NotContains(t, string(got), "abc")
		assert.Equal(t, strings.ReplaceAll(string(typedSSE(events...)), `"abc"`, `"ABC"`), strings.Replace(string(got), `"logprobs":[]`, `"logprobs":[`+logprobsOf(events[1])+`]`, 1))
	}
}

func logprobsOf(event string) string {
	if strings.Contains(event, `[{}]`) {
		return "{}"
	}
	return ""
}

func TestRewriteStopsResponses(t *testing.T) {
	in := typedSSE("created", createdEvent, "output_item.done", `"output_index":0,"item":`+reasoning,
		"output_text.delta", aboutFirst+`"delta":"abc","logprobs":[]`, "output_text.delta", aboutFirst+`"delta":"never"`)
	f := func(reason, status, details string) {
		t.Helper()
		sent := `{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"A"}]}`
		got, ended := rewrite(t, dialect.OpResponses, in, 1, editor(func(*dialect.Text) dialect.Edit {
			return dialect.Edit{Replace: true, Text: []byte("A"), Stop: true, Reason: []byte(reason)}
		}))
		assert.True(t, ended)
		assert.Equal(t, string(typedSSE("created", createdEvent, "output_item.done", `"output_index":0,"item":`+reasoning,
			"output_text.delta", aboutFirst+`"delta":"A","logprobs":[]`,
			"output_text.done", aboutFirst+`"text":"A","logprobs":[]`,
			"content_part.done", aboutFirst+`"part":{"type":"output_text","annotations":[],"logprobs":[],"text":"A"}`,
			"output_item.done", `"output_index":1,"item":`+sent,
			status, `"response":{"id":"resp_1","object":"response","created_at":5,"model":"m","status":"`+status+`","incomplete_details":`+details+`,"output":[`+reasoning+`,`+sent+`],"usage":null}`)), string(got))
	}
	f("", "completed", "null")
	f("length", "incomplete", `{"reason":"max_output_tokens"}`)
	f("content_filter", "incomplete", `{"reason":"content_filter"}`)
}

// A stop at a place that tells a whole text closes only what is still open.
func TestRewriteStopsResponsesAtTheirEnds(t *testing.T) {
	delta := []string{"output_text.delta", aboutFirst + `"delta":"abc"`}
	for n, events := range [][]string{
		{"output_text.done", aboutFirst + `"text":"abc"`},
		{"content_part.done", aboutFirst + `"part":` + outputText("abc", "")},
		{"output_item.done", `"output_index":1,"item":` + message("abc", "")},
		{"completed", `"response":{"status":"completed","output":[` + reasoning + `,` + message("abc", "") + `,{"type":"function_call"}]}`},
	} {
		in := typedSSE(append(append([]string{}, delta...), events...)...)
		got, ended := rewrite(t, dialect.OpResponses, in, 1, stopping(1, ""))
		require.True(t, ended)
		requireNumbered(t, got)
		for k, kind := range []string{"output_text.done", "content_part.done", "output_item.done", "completed"} {
			want := 0
			if k >= n {
				want = 1
			}
			assert.Equal(t, want, strings.Count(string(got), "event: response."+kind+"\n"), "%s %s", events[0], kind)
		}
		assert.NotContains(t, string(got), "function_call")
		whole, err := Codec{}.AppendWhole(nil, dialect.OpResponses, got)
		require.NoError(t, err)
		assert.Contains(t, string(whole), `"text":"abc"`)
	}
}

func TestRewriteWholeResponses(t *testing.T) {
	f := func(e editor, want, body string) {
		t.Helper()
		got, err := Rewriter{}.AppendWhole(nil, []byte(body), dialect.OpResponses, e)
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	two := `{"type":"message","content":[` + outputText("a", "") + ` , ` + outputText("b", "") + `]}`
	f(upper, ` {"output":[{"type":"message","content":[`+outputText("A", "")+` , `+outputText("B", "")+`]}],"output_text":"AB"}`, ` {"output":[`+two+`],"output_text":"ab"}`)
	cut := `[` + reasoning + `,{"type":"message","content":[` + outputText("a", "") + `]}]`
	f(stopping(0, ""), `{"status":"completed","output":`+cut+`}`, `{"status":"incomplete","output":[`+reasoning+`,`+two+`, {"type":"function_call"}]}`)
	f(stopping(0, "length"), `{"incomplete_details":{"reason":"max_output_tokens"},"status":"incomplete","output":`+cut+`}`, `{"incomplete_details":null,"status":"completed","output":[`+reasoning+`,`+two+`]}`)
	f(stopping(0, "x"), `{"status":"incomplete","incomplete_details":{"reason":"x"},"output":`+cut+`}`, `{"status":"completed","output":[`+reasoning+`,`+two+`]}`)

	var log []string
	f(recording(&log, keep), `{"status":"completed","output":[`+two+`]}`, `{"status":"completed","output":[`+two+`]}`)
	assert.Equal(t, []string{`0 "a" first=true last=true stop`, `0 "b" first=true last=true stop`}, log)
	log = nil
	f(recording(&log, keep), `{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[`+message("a", "")+`]}`, `{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[`+message("a", "")+`]}`)
	assert.Equal(t, []string{`0 "a" first=true last=true length`}, log)
}

func TestRewriteWholeChoices(t *testing.T) {
	f := func(op dialect.Op, e editor, want, body string) {
		t.Helper()
		got, err := Rewriter{}.AppendWhole([]byte("|"), []byte(body), op, e)
		require.NoError(t, err)
		assert.Equal(t, "|"+want, string(got))
	}
	chat := dialect.OpChat
	f(chat, upper, `{ "choices":[{"message":{"content":"A"},"logprobs":null,"finish_reason":"stop"} ,{"index":1,"message":{"content":"B"}}]}`,
		`{ "choices":[{"message":{"content":"a"},"logprobs":{},"finish_reason":"stop"} ,{"index":1,"message":{"content":"b"}}]}`)
	say := editor(func(*dialect.Text) dialect.Edit { return replace("x") })
	f(chat, say, `{"choices":[{"message":{"content":"x"}},{"index":1,"message":{"role":"assistant","content":"x"}},{"index":2,"message":{"content":"x"}},{"index":3}]}`,
		`{"choices":[{"message":{"content":null}},{"index":1,"message":{"role":"assistant"}},{"index":2,"message":{}},{"index":3}]}`)
	f(chat, stopping(0, ""), `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"},{"index":1,"message":{"content":"b"},"finish_reason":"stop"}]}`,
		`{"choices":[{"message":{"content":"a"},"finish_reason":"length"},{"index":1,"message":{"content":"b"},"finish_reason":"length"}]}`)
	f(dialect.OpCompletions, upper, `{"choices":[{"text":"A","finish_reason":"stop"}]}`, `{"choices":[{"text":"a","finish_reason":"stop"}]}`)
}
