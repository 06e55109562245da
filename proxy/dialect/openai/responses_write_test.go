package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3/responses"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// typedStream is the events of a responses stream as they go out. Every one of them is good, the terminal one is where
// it is said to be, and what is kept of the stream is what its reader would keep.
func typedStream(t require.TestingT, events []dialect.Event) []byte {
	var st dialect.Writing
	var out []byte
	for i := range events {
		from := len(out)
		out = Codec{}.AppendEvent(out, dialect.OpResponses, &st, &events[i])
		if events[i].Kind == dialect.EventUsage {
			require.Len(t, out, from)
		}
	}
	requireNumbered(t, out)
	var relay dialect.Stream
	for at := 0; at < len(out); {
		n := stream.Next(out[at:])
		require.NotZero(t, n)
		name, data, _ := stream.Fields(out[at:at+n], nil)
		require.True(t, json.Valid(data), "%s", data)
		kind, err := Codec{}.Event(dialect.OpResponses, &relay, name, data)
		require.NoError(t, err, "%s", data)
		require.NotEqual(t, dialect.Failed, kind)
		require.Equal(t, at == st.Terminal, kind == dialect.Terminal, "%s", data)
		at += n
	}
	require.Equal(t, relay, st.Stream)
	return out
}

func event(kind dialect.EventKind, text string) dialect.Event {
	return dialect.Event{Kind: kind, Text: []byte(text)}
}

func call(n int, id, name string) dialect.Event {
	return dialect.Event{Kind: dialect.EventCall, Call: n, ID: []byte(id), Name: []byte(name)}
}

func args(n int, text string) dialect.Event {
	return dialect.Event{Kind: dialect.EventArgs, Call: n, Text: []byte(text)}
}

// started begins a stream of which the rest is given.
func started(events ...dialect.Event) []dialect.Event {
	start := dialect.Event{Kind: dialect.EventStart, ID: []byte("resp_1"), Model: []byte("m"), Created: 5}
	return append(append([]dialect.Event{start}, events...), dialect.Event{Kind: dialect.EventEnd})
}

// shorten drops the response objects' members that are always the same, and the events' names.
func shorten(sse []byte) string {
	text := string(sse)
	for _, constant := range []string{
		`"background":false,"error":null,`, `"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"metadata":{},`,
		`"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"store":false,"temperature":null,` +
			`"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":null,"truncation":"disabled",`, `,"user":null`,
		`"id":"resp_1","object":"response","created_at":5,"model":"m",`,
	} {
		text = strings.ReplaceAll(text, constant, "")
	}
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			lines = append(lines, strings.Replace(data, `{"type":"response.`, "{", 1))
		}
	}
	return strings.Join(lines, "\n")
}

func TestResponsesStreamsGolden(t *testing.T) {
	usage := dialect.Event{Kind: dialect.EventUsage, Usage: dialect.Usage{Known: true, Input: 9, Cached: 4, CacheWrite: 2, Output: 5, Reasoning: 3}}
	got := typedStream(t, started(
		event(dialect.EventThinking, "hm"), dialect.Event{Kind: dialect.EventSignature, Signature: []byte("sig"), Signer: dialect.Anthropic},
		event(dialect.EventText, "a"), event(dialect.EventText, `\n`), dialect.Event{Kind: dialect.EventLogProbs, Raw: []byte("{\"content\":[{\"token\":\"a\"},\n{\"token\":\"b\"}]}")},
		event(dialect.EventRefusal, "no"), call(0, "call_1", "f"), args(0, `{\"a\":`), args(0, `1}`), dialect.Event{Kind: dialect.EventFinish, Finish: dialect.FinishCalls}, usage))
	assert.Equal(t, strings.TrimSpace(`
{created","sequence_number":0,"response":{"status":"in_progress","incomplete_details":null,"output":[],"usage":null}}
{in_progress","sequence_number":1,"response":{"status":"in_progress","incomplete_details":null,"output":[],"usage":null}}
{output_item.added","sequence_number":2,"output_index":0,"item":{"id":"rs_1_0","type":"reasoning","summary":[]}}
{reasoning_summary_part.added","sequence_number":3,"item_id":"rs_1_0","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}
{reasoning_summary_text.delta","sequence_number":4,"item_id":"rs_1_0","output_index":0,"summary_index":0,"delta":"hm"}
{reasoning_summary_text.done","sequence_number":5,"item_id":"rs_1_0","output_index":0,"summary_index":0,"text":"hm"}
{reasoning_summary_part.done","sequence_number":6,"item_id":"rs_1_0","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"hm"}}
{output_item.done","sequence_number":7,"output_index":0,"item":{"id":"rs_1_0","type":"reasoning","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"anthropic:sig"}}
{output_item.added","sequence_number":8,"output_index":1,"item":{"id":"msg_1_1","type":"message","role":"assistant","content":[],"status":"in_progress"}}
{content_part.added","sequence_number":9,"item_id":"msg_1_1","output_index":1,"content_index":0,"part":{"type":"output_text","annotations":[],"text":"","logprobs":[]}}
{output_text.delta","sequence_number":10,"item_id":"msg_1_1","output_index":1,"content_index":0,"delta":"a","logprobs":[]}
{output_text.delta","sequence_number":11,"item_id":"msg_1_1","output_index":1,"content_index":0,"delta":"\n","logprobs":[]}
{output_text.delta","sequence_number":12,"item_id":"msg_1_1","output_index":1,"content_index":0,"delta":"","logprobs":[{"token":"a"},{"token":"b"}]}
{output_text.done","sequence_number":13,"item_id":"msg_1_1","output_index":1,"content_index":0,"text":"a\n","logprobs":[{"token":"a"},{"token":"b"}]}
{content_part.done","sequence_number":14,"item_id":"msg_1_1","output_index":1,"content_index":0,"part":{"type":"output_text","annotations":[],"text":"a\n","logprobs":[{"token":"a"},{"token":"b"}]}}
{content_part.added","sequence_number":15,"item_id":"msg_1_1","output_index":1,"content_index":1,"part":{"type":"refusal","refusal":""}}
{refusal.delta","sequence_number":16,"item_id":"msg_1_1","output_index":1,"content_index":1,"delta":"no"}
{refusal.done","sequence_number":17,"item_id":"msg_1_1","output_index":1,"content_index":1,"refusal":"no"}
{content_part.done","sequence_number":18,"item_id":"msg_1_1","output_index":1,"content_index":1,"part":{"type":"refusal","refusal":"no"}}
{output_item.done","sequence_number":19,"output_index":1,"item":{"id":"msg_1_1","type":"message","role":"assistant","content":[{"type":"output_text","annotations":[],"text":"a\n","logprobs":[{"token":"a"},{"token":"b"}]},{"type":"refusal","refusal":"no"}],"status":"completed"}}
{output_item.added","sequence_number":20,"output_index":2,"item":{"id":"fc_1_2","type":"function_call","call_id":"call_1","name":"f","arguments":"","status":"in_progress"}}
{function_call_arguments.delta","sequence_number":21,"item_id":"fc_1_2","output_index":2,"delta":"{\"a\":"}
{function_call_arguments.delta","sequence_number":22,"item_id":"fc_1_2","output_index":2,"delta":"1}"}
{function_call_arguments.done","sequence_number":23,"item_id":"fc_1_2","output_index":2,"arguments":"{\"a\":1}","name":"f"}
{output_item.done","sequence_number":24,"output_index":2,"item":{"id":"fc_1_2","type":"function_call","call_id":"call_1","name":"f","arguments":"{\"a\":1}","status":"completed"}}`), beforeTerminal(shorten(got)))
	terminal := got[bytes.LastIndex(got, []byte("event: ")):]
	assert.Contains(t, string(terminal), `"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":2},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":14}`)
	assert.Contains(t, string(terminal), `event: response.completed`)
}

// beforeTerminal is all but the last line.
func beforeTerminal(lines string) string { return lines[:strings.LastIndexByte(lines, '\n')] }

// accumulate reads a stream as OpenAI's SDK does.
func accumulate(t *testing.T, body []byte) (*responses.Response, responses.ResponseAccumulatorSnapshot) {
	s := client(t, 200, "text/event-stream", body)
	events := s.Responses.NewStreaming(t.Context(), responses.ResponseNewParams{Model: "m"})
	var before responses.ResponseAccumulatorSnapshot
	var acc responses.ResponseAccumulator
	for events.Next() {
		e := events.Current()
		before = acc.Snapshot()
		var server responses.ResponsesServerEventUnion
		require.NoError(t, json.Unmarshal([]byte(e.RawJSON()), &server))
		require.NoError(t, acc.AddEvent(server), e.RawJSON())
	}
	require.NoError(t, events.Err())
	final, err := acc.ReconstructedResponse()
	require.NoError(t, err)
	after := acc.Snapshot()
	for i := range after.Output { // an item that only the end tells has nothing to be compared with
		assert.Equal(t, after.Output[i], before.Output[i])
	}
	return final, after
}

// Arguments of several calls may come at the same time, and each finds its own.
func TestResponsesCallsMayInterleave(t *testing.T) {
	body := typedStream(t, started(
		call(0, "call_a", "f"), call(1, "call_b", "g"), args(0, `{\"x\":`), args(1, `{}`), args(0, `1}`),
		dialect.Event{Kind: dialect.EventSignature, Signature: []byte("G"), Signer: dialect.Gemini},
		call(2, "", "h"), args(2, ""), args(7, "lost"), dialect.Event{Kind: dialect.EventFinish, Finish: dialect.FinishCalls}))
	final, seen := accumulate(t, body)
	require.Len(t, final.Output, 3)
	var got [][]string
	for _, item := range seen.Output {
		got = append(got, []string{item.CallID, item.Name, item.Arguments})
	}
	assert.Equal(t, [][]string{{"call_a", "f", `{"x":1}`}, {"call_b", "g", "{}"}, {"call_1_2", "h", "{}"}}, got)
	assert.Contains(t, final.Output[1].RawJSON(), `"extra_content":{"google":{"thought_signature":"G"}}`)

	kinds := shorten(typedStream(t, started(call(0, "a", "f"), args(0, "{}"), call(1, "b", "g"), args(0, "x"), args(1, "{}"))))
	assert.Less(t, strings.Index(kinds, `output_item.done`), strings.Index(kinds, `"call_id":"b"`), "what is complete ends before the next begins")
	assert.NotContains(t, kinds, `"delta":"x"`)
}

func TestResponsesEndings(t *testing.T) {
	refusal := event(dialect.EventRefusal, "no")
	for _, c := range []struct {
		finish dialect.Finish
		said   dialect.Event
		want   string
	}{
		{dialect.FinishUnsaid, event(dialect.EventText, "a"), "completed"}, {dialect.FinishStop, event(dialect.EventText, "a"), "completed"},
		{dialect.FinishSequence, event(dialect.EventText, "a"), "completed"}, {dialect.FinishRefusal, refusal, "completed"},
		{dialect.FinishRefusal, event(dialect.EventText, "a"), "incomplete content_filter"}, {dialect.FinishFilter, event(dialect.EventText, "a"), "incomplete content_filter"},
		{dialect.FinishLength, event(dialect.EventText, "a"), "incomplete max_output_tokens"}, {dialect.FinishPause, event(dialect.EventText, "a"), "incomplete max_output_tokens"},
	} {
		final, _ := accumulate(t, typedStream(t, started(c.said, dialect.Event{Kind: dialect.EventFinish, Finish: c.finish})))
		assert.Equal(t, c.want, strings.TrimSpace(string(final.Status)+" "+final.IncompleteDetails.Reason), c.finish)
		assert.Equal(t, string(final.Status), final.Output[0].Status)
	}
}

// A stream that says nothing in words, or not in the order it should, is still one.
func TestResponsesStreamsOfAllKinds(t *testing.T) {
	final, _ := accumulate(t, typedStream(t, started()))
	assert.Empty(t, final.Output)
	final, _ = accumulate(t, typedStream(t, []dialect.Event{event(dialect.EventText, "a"), {Kind: dialect.EventText, Answer: 1, Text: []byte("b")}, {Kind: dialect.EventEnd}}))
	assert.Equal(t, "a", final.OutputText())
	body := typedStream(t, started(
		dialect.Event{Kind: dialect.EventMedia, Media: []byte("image/webp"), Text: []byte("AAAA")}, dialect.Event{Kind: dialect.EventMedia, Media: []byte("audio/wav"), Text: []byte("AAAA")},
		dialect.Event{Kind: dialect.EventSignature, Signature: []byte("s"), Signer: dialect.Anthropic}, dialect.Event{Kind: dialect.EventSignature, Signature: []byte("g"), Signer: dialect.Gemini},
		dialect.Event{Kind: dialect.EventHidden, Signature: []byte("o")}, dialect.Event{Kind: dialect.EventLogProbs, Raw: []byte(`{"content":[{}]}`)},
	))
	final, _ = accumulate(t, body)
	require.Len(t, final.Output, 4)
	assert.Equal(t, []string{"image_generation_call", "AAAA"}, []string{final.Output[0].Type, final.Output[0].Result})
	assert.Equal(t, []string{"anthropic:s", "gemini:g", "o"}, []string{final.Output[1].EncryptedContent, final.Output[2].EncryptedContent, final.Output[3].EncryptedContent})
	assert.Equal(t, []int{1, 0, 0}, []int{len(final.Output[1].Summary), len(final.Output[2].Summary), len(final.Output[3].Summary)})
}

// A stream that breaks ends under its own name and number.
func TestBrokenResponsesStreamsGoOnInTheirNumbers(t *testing.T) {
	var st dialect.Writing
	var out []byte
	for _, e := range []dialect.Event{{Kind: dialect.EventStart, ID: []byte("x"), Model: []byte("m"), Created: 7}, event(dialect.EventText, "a")} {
		out = Codec{}.AppendEvent(out, dialect.OpResponses, &st, &e)
	}
	out = Codec{}.AppendStreamError(out, dialect.OpResponses, &dialect.Error{Status: 502, Code: "upstream_error", Message: "x", Stream: &st.Stream}, "r")
	requireNumbered(t, out)
	assert.Contains(t, string(out[bytes.LastIndex(out, []byte("event: ")):]), `"response":{"id":"resp_x","created_at":7,"model":"m",`)
}

func TestResponseItemsHaveShortIDs(t *testing.T) {
	for id, want := range map[string]string{"resp_ab": `"msg_ab_0"`, "chatcmpl-ab": `"msg_chatcmpl-ab_0"`, strings.Repeat("x", 60): `"msg_`, `a\"b`: `"msg_`} {
		out, err := Codec{}.AppendReply(nil, dialect.OpResponses, &dialect.Reply{ID: []byte(id), Answers: []dialect.Answer{{To: 1}}, Parts: []dialect.Part{{Text: []byte("a")}}})
		require.NoError(t, err)
		var got responses.Response
		require.NoError(t, json.Unmarshal(out, &got))
		assert.Contains(t, string(out), want)
		assert.LessOrEqual(t, len(got.Output[0].ID), 64)
	}
}

func TestSDKReadsForeignResponses(t *testing.T) {
	body, err := Codec{}.AppendReply(nil, dialect.OpResponses, foreignReply())
	require.NoError(t, err)
	s := client(t, 200, "application/json", body)
	got, err := s.Responses.New(t.Context(), responses.ResponseNewParams{Model: "m"})
	require.NoError(t, err)
	for name, required := range map[string]bool{
		"id": got.JSON.ID.Valid(), "object": got.JSON.Object.Valid(), "created_at": got.JSON.CreatedAt.Valid(), "status": got.JSON.Status.Valid(), "model": got.JSON.Model.Valid(),
		"metadata": got.JSON.Metadata.Valid(), "output": got.JSON.Output.Valid(), "parallel_tool_calls": got.JSON.ParallelToolCalls.Valid(), "tool_choice": got.JSON.ToolChoice.Valid(),
		"tools": got.JSON.Tools.Valid(), "text": got.JSON.Text.Valid(), "usage": got.JSON.Usage.Valid(), "cached": got.Usage.InputTokensDetails.JSON.CachedTokens.Valid(),
		"written": got.Usage.InputTokensDetails.JSON.CacheWriteTokens.Valid(), "reasoning": got.Usage.OutputTokensDetails.JSON.ReasoningTokens.Valid(),
	} {
		assert.True(t, required, name)
	}
	assert.Len(t, got.JSON.ExtraFields, 1, "store, which the SDK has no field for")
	assert.NotEmpty(t, got.OutputText())
}

// What a client of the SDK sends back is what the model said.
func TestResponsesOutputComesBackAsInput(t *testing.T) {
	whole, err := Codec{}.AppendReply(nil, dialect.OpResponses, foreignReply())
	require.NoError(t, err)
	var want dialect.Reply
	require.NoError(t, Codec{}.ReadReply(dialect.OpResponses, whole, &want))
	c := read(t, dialect.OpResponses, `{"input":`+string(memberOf(whole, "output"))+`}`)
	assert.Empty(t, c.Unknown)
	assert.Equal(t, want.Parts, c.Parts)
	assert.Len(t, c.Turns, 1)
}

func TestResponsesOfOpenAIAreRead(t *testing.T) {
	var r dialect.Reply
	require.NoError(t, Codec{}.ReadReply(dialect.OpResponses, []byte(itemsWhole), &r))
	assert.Equal(t, []dialect.Part{
		{Kind: dialect.PartThinking, Text: []byte("thinking"), Signature: []byte("gAAA"), Signer: dialect.OpenAI},
		{Kind: dialect.PartText, Text: []byte(`Hello \"you\"`)}, {Kind: dialect.PartRefusal, Text: []byte("but no")},
		{Kind: dialect.PartCall, ID: []byte("call_1"), Name: []byte("weather"), Args: []byte(`"{\"city\":\"Bern\"}"`)},
	}, r.Parts)
	assert.Equal(t, []string{"output.content.annotations"}, r.Lost)
	assert.Equal(t, []dialect.Answer{{To: 4, Finish: dialect.FinishCalls}}, r.Answers)
	assert.Equal(t, dialect.Usage{Known: true, Input: 3, Cached: 1, Output: 4, Reasoning: 2}, r.Usage)

	for body, want := range map[string]dialect.Finish{
		`{"output":[]}`: dialect.FinishStop, `{"output":[],"status":"incomplete","incomplete_details":{"reason":"content_filter"}}`: dialect.FinishFilter,
		`{"output":[],"status":"incomplete","incomplete_details":null}`:               dialect.FinishLength,
		`{"output":[{"type":"message","content":[{"type":"refusal","refusal":""}]}]}`: dialect.FinishRefusal,
	} {
		require.NoError(t, Codec{}.ReadReply(dialect.OpResponses, []byte(body), &r))
		assert.Equal(t, want, r.Answers[0].Finish, body)
	}
	require.NoError(t, Codec{}.ReadReply(dialect.OpResponses, []byte(`{"id":"resp_1","output":[{"type":"web_search_call"},{"type":"message","phase":"x","content":[{"type":"output_audio"},{"type":"output_text","text":"a","logprobs":[{"token":"a"}]},
	 {"type":"output_text","text":"b","logprobs":[{"token":"b"}]}]},{"type":"function_call","name":"f"}]}`), &r))
	assert.Equal(t, []string{"output", "output.phase", "output.content"}, r.Lost)
	assert.JSONEq(t, `{"content":[{"token":"a"},{"token":"b"}],"refusal":null}`, string(r.Answers[0].LogProbs))
	assert.Equal(t, "call_resp_1_2", string(r.Parts[2].ID))
	for _, body := range []string{``, `{}`, `{"output":{}}`, `{"output":[}`} {
		assert.ErrorIs(t, Codec{}.ReadReply(dialect.OpResponses, []byte(body), &r), dialect.ErrMalformed, body)
	}
}

// What policies do to a provider's own stream they do to this one.
func TestResponsesStreamsMayBeRewritten(t *testing.T) {
	body := typedStream(t, started(event(dialect.EventThinking, "hm"), event(dialect.EventText, "a"), event(dialect.EventText, "b"),
		dialect.Event{Kind: dialect.EventLogProbs, Raw: []byte(`{"content":[{"token":"a"}]}`)}, call(0, "c", "f"), args(0, "{}")))
	edited, _ := rewrite(t, dialect.OpResponses, body, 1, upper)
	requireNumbered(t, edited)
	final, _ := accumulate(t, edited)
	assert.Equal(t, "AB", final.OutputText())
	assert.Len(t, final.Output, 3)
}
