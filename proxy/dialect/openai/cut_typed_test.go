package openai

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// manyItems is a responses stream with an item of every kind, in pieces.
func manyItems() []byte {
	const about1, about2, about3 = `"item_id":"rs_1","output_index":0,`, `"item_id":"msg_1","output_index":1,`, `"item_id":"fc_1","output_index":2,`
	return typedSSE(
		"created", createdEvent, "in_progress", createdEvent,
		"output_item.added", `"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}`,
		"reasoning_summary_part.added", about1+`"summary_index":0,"part":{"type":"summary_text","text":""}`,
		"reasoning_summary_text.delta", about1+`"summary_index":0,"delta":"I \"th"`,
		"reasoning_summary_text.delta", about1+`"summary_index":0,"delta":"ink"`,
		"reasoning_summary_text.done", about1+`"summary_index":0,"text":"I \"think"`,
		"reasoning_summary_part.done", about1+`"summary_index":0,"part":{"type":"summary_text","text":"I \"think"}`,
		"reasoning_text.delta", about1+`"content_index":0,"delta":"hm"`,
		"output_item.done", `"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"I \"think"}],"content":[{"type":"reasoning_text","text":"hm"}],"encrypted_content":"g"}`,
		"output_item.added", `"output_index":1,"item":{"type":"message","id":"msg_1","status":"in_progress","role":"assistant","content":[]}`,
		"content_part.added", about2+`"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}`,
		"output_text.delta", about2+`"content_index":0,"delta":"A ","logprobs":[{"token":"A"}]`,
		"output_text.annotation.added", about2+`"content_index":0,"annotation_index":0,"annotation":{"type":"file_path","file_id":"f","index":0}`,
		"output_text.delta", about2+`"content_index":0,"delta":"word","logprobs":[{"token":"word"}]`,
		"output_text.done", about2+`"content_index":0,"text":"A word","logprobs":[{"token":"A"},{"token":"word"}]`,
		"content_part.done", about2+`"content_index":0,"part":{"type":"output_text","text":"A word","annotations":[{"type":"file_path","file_id":"f","index":0}],"logprobs":[]}`,
		"content_part.added", about2+`"content_index":1,"part":{"type":"refusal","refusal":""}`,
		"refusal.delta", about2+`"content_index":1,"delta":"but no"`,
		"refusal.done", about2+`"content_index":1,"refusal":"but no"`,
		"content_part.done", about2+`"content_index":1,"part":{"type":"refusal","refusal":"but no"}`,
		"output_item.added", `"output_index":2,"item":{"type":"function_call","id":"fc_1","status":"in_progress","call_id":"call_1","name":"f","arguments":""}`,
		"function_call_arguments.delta", about3+`"delta":"{\"a\":"`,
		"output_item.done", `"output_index":1,"item":{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"A word","annotations":[],"logprobs":[]},{"type":"refusal","refusal":"but no"}]}`,
		"function_call_arguments.delta", about3+`"delta":"1}"`,
		"function_call_arguments.done", about3+`"arguments":"{\"a\":1}","name":"f"`,
		"output_item.done", `"output_index":2,"item":{"type":"function_call","id":"fc_1","status":"completed","call_id":"call_1","name":"f","arguments":"{\"a\":1}"}`,
		"output_item.added", `"output_index":3,"item":{"type":"web_search_call","id":"ws_1","status":"in_progress"}`,
		"web_search_call.searching", `"item_id":"ws_1","output_index":3`,
		"completed", `"response":{"id":"resp_1","status":"completed","output":[],"usage":{"input_tokens":1}}`)
}

// typedTold is what an event of a responses stream tells.
type typedTold struct {
	Type         string
	OutputIndex  int  `json:"output_index"`
	ContentIndex *int `json:"content_index"`
	SummaryIndex *int `json:"summary_index"`
	Delta        string
	Item         map[string]any
}

// itemTexts are the texts of an item, those of each kind as one.
func itemTexts(item map[string]any) (all string) {
	for _, name := range []string{"summary", "content"} {
		list, _ := item[name].([]any)
		for _, part := range list {
			for _, key := range []string{"text", "refusal"} {
				text, _ := part.(map[string]any)[key].(string)
				all += text
			}
		}
	}
	for _, key := range []string{"arguments", "input", "code"} {
		text, _ := item[key].(string)
		all += text
	}
	return all
}

// assertCutResponse checks a stream that was cut, and what it was put together to, against what it told before.
func assertCutResponse(t require.TestingT, begun, sse, whole []byte) {
	requireNumbered(t, sse)
	told := map[int]string{}
	finished := map[int]map[string]any{}
	for n := stream.Next(begun); n > 0; n = stream.Next(begun) {
		var e typedTold
		_, data, _ := stream.Fields(begun[:n], nil)
		require.NoError(t, json.Unmarshal(data, &e))
		begun = begun[n:]
		switch {
		case e.Type == "response.output_item.done":
			finished[e.OutputIndex], told[e.OutputIndex] = e.Item, itemTexts(e.Item)
		case e.Item != nil, strings.HasSuffix(e.Type, ".delta"):
			told[e.OutputIndex] += e.Delta
		}
	}
	var answer struct {
		ID, Object string
		Status     string
		Incomplete struct{ Reason string } `json:"incomplete_details"`
		Output     []map[string]any
	}
	require.NoError(t, json.Unmarshal(whole, &answer))
	require.Equal(t, []string{"incomplete", "max_output_tokens", "response"}, []string{answer.Status, answer.Incomplete.Reason, answer.Object})
	require.Len(t, answer.Output, len(told))
	for i, index := range slices.Sorted(maps.Keys(told)) {
		item := answer.Output[i]
		require.Equal(t, told[index], itemTexts(item), "%s", whole)
		if finished[index] != nil {
			require.Equal(t, finished[index], item)
		}
	}
}

func TestAppendCutResponses(t *testing.T) {
	for i, begun := range prefixes(t, dialect.OpResponses, manyItems()) {
		got, whole := cut(t, dialect.OpResponses, begun, cutUsage)
		assertCutResponse(t, begun, got, whole)
		final, seen := accumulate(t, got)
		assert.EqualValues(t, "incomplete", final.Status)
		assert.EqualValues(t, "max_output_tokens", final.IncompleteDetails.Reason)
		assert.EqualValues(t, 31, final.Usage.TotalTokens)
		assert.Equal(t, final.OutputText(), seen.OutputText(), "%d", i)
		for _, item := range final.Output {
			assert.NotEqualValues(t, "in_progress", item.Status)
		}
	}
}

// Some servers leave out what announces items and parts, or the numbers; what they told is told all the same.
func TestAppendCutUnannounced(t *testing.T) {
	for events, want := range map[string]string{
		`{"type":"response.output_text.delta","item_id":"m","delta":"a"}`:                                               `{"id":"m","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"a"}],"type":"message","role":"assistant","status":"incomplete"}`,
		`{"type":"response.refusal.delta","item_id":"m","delta":"no"}`:                                                  `{"id":"m","content":[{"type":"refusal","refusal":"no"}],"type":"message","role":"assistant","status":"incomplete"}`,
		`{"type":"response.reasoning_text.delta","delta":"hm"}`:                                                         `{"content":[{"type":"reasoning_text","text":"hm"}],"type":"reasoning","status":"incomplete"}`,
		`{"type":"response.reasoning_summary_part.added","summary_index":0,"part":{"type":"summary_text","text":"hm"}}`: `{"summary":[{"type":"summary_text","text":"hm"}],"type":"reasoning","status":"incomplete"}`,
		`{"type":"response.custom_tool_call_input.delta","item_id":"c","delta":"x"}`:                                    `{"id":"c","type":"custom_tool_call","input":"x","status":"incomplete"}`,
		`{"type":"response.output_item.added","item":{"type":"code_interpreter_call","id":"c","code":null}}`:            `{"type":"code_interpreter_call","id":"c","code":null,"status":"incomplete"}`,
		`{"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":"{"}}`:              `{"type":"function_call","name":"f","arguments":"{","status":"incomplete"}`,
		`{"type":"response.function_call_arguments.done","arguments":"{}"}`:                                             `{"type":"function_call","arguments":"{}","status":"completed"}`,
		`{"type":"response.content_part.added","part":{"type":"later","x":1}}`:                                          `{"content":[{"type":"later","x":1}],"type":"message","role":"assistant","status":"incomplete"}`,
		`{"type":"response.output_item.added","item":null}`:                                                             ``,
		`{"type":"response.content_part.added","part":null}`:                                                            ``,
		`{"type":"response.output_item.added","item":{"type":"message","role":"assistant"}}`:                            `{"type":"message","role":"assistant","status":"incomplete"}`,
	} {
		_, whole := cut(t, dialect.OpResponses, sse(events), cutUsage)
		var answer struct{ Output json.RawMessage }
		require.NoError(t, json.Unmarshal(whole, &answer))
		assert.Equal(t, "["+want+"]", string(answer.Output), events)
	}
	begun := []byte("event: response.created\ndata: {\"response\":{\"id\":\ndata: \"r\"}}\n\n")
	got, _ := cut(t, dialect.OpResponses, begun, dialect.Usage{})
	assert.Equal(t, string(typedSSE("incomplete", `"response":{"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[],"usage":null}`)),
		strings.Replace(string(got[len(begun):]), `:1,`, `:0,`, 1))

	var many []string
	for i := range most + 1 {
		many = append(many, "output_item.added", fmt.Sprintf(`"output_index":%d,"item":{}`, i))
	}
	for _, bad := range [][]byte{typedSSE(many...), typedSSE("output_text.delta", `"delta":`)} {
		out, _, _, err := Codec{}.AppendCut([]byte("|"), dialect.OpResponses, bad, &cutUsage)
		require.ErrorIs(t, err, dialect.ErrMalformed)
		assert.Equal(t, "|", string(out))
	}
}
