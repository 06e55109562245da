package anthropic

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// eventLine is an event on one line.
func eventLine(e *dialect.Event) string {
	kinds := [...]string{"start", "text", "refusal", "thinking", "signature", "hidden", "call", "args", "logprobs", "media", "finish", "usage", "end"}
	line := kinds[e.Kind]
	for _, v := range [][]byte{e.ID, e.Model, e.Name, e.Text, e.Signature, e.Sequence} {
		if v != nil {
			line += fmt.Sprintf(" %s", v)
		}
	}
	switch e.Kind {
	case dialect.EventCall, dialect.EventArgs:
		line += fmt.Sprint(" #", e.Call)
	case dialect.EventSignature, dialect.EventHidden:
		line += " by " + e.Signer.String()
	case dialect.EventFinish:
		line += fmt.Sprint(" ", e.Finish)
	case dialect.EventUsage:
		line += fmt.Sprint(" ", e.Usage.Input, "+", e.Usage.Output)
	}
	return line
}

// readStream is what a stream tells, an event a line.
func readStream(t testing.TB, sse string) (lines []string) {
	t.Helper()
	var st dialect.Reading
	var events []dialect.Event
	tell := func(name, data []byte) {
		var err error
		events, err = Codec{}.ReadEvent(dialect.OpMessages, &st, name, data, events[:0])
		require.NoError(t, err, "%s", data)
		for i := range events {
			lines = append(lines, eventLine(&events[i]))
		}
	}
	eachEvent([]byte(sse), func(name, data []byte) {
		if data != nil {
			tell(name, data)
		}
	})
	tell(nil, nil)
	return lines
}

func TestReadDocumentedStream(t *testing.T) {
	assert.Equal(t, []string{
		"start msg_01 claude-opus-4-6", "thinking Let me", "thinking  see", "signature EqQBCg== by anthropic", "text Okay", `text , let's \"check\"`,
		"call toolu_01 get_weather #0", `args {\"location\": #0`, `args  \"Zürich\"} #0`, fmt.Sprint("finish ", dialect.FinishCalls), "usage 30+89", "end",
	}, readStream(t, documented))
	cut := documented[:strings.Index(documented, "event: message_delta")]
	lines := readStream(t, cut)
	assert.Equal(t, []string{fmt.Sprint("finish ", dialect.FinishUnsaid), "usage 30+1", "end"}, lines[len(lines)-3:], "what is owed at the end is told")
}

func TestReadStreamOfProvidersTools(t *testing.T) {
	sse, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, []byte(richWhole))
	require.NoError(t, err)
	assert.Equal(t, []string{
		"start msg_01 claude-opus-4-6", `thinking Let me \"see\"`, "signature c2ln+/= by anthropic", "hidden Zm9v by anthropic", `text According to the page\n`,
		"call toolu_1 get_weather #0", `args {\"city\":\"Zürich\",\"days\":[1,2.50,1e2]} #0`, "call toolu_2 now #1", "args {} #1",
		fmt.Sprint("finish ", dialect.FinishCalls), "usage 142+50", "end",
	}, readStream(t, string(sse)))
}

func TestReadUnusualStreams(t *testing.T) {
	f := func(want []string, events ...string) {
		t.Helper()
		assert.Equal(t, want, readStream(t, "data: "+strings.Join(events, "\n\ndata: ")+"\n\n"))
	}
	finish := func(reason dialect.Finish) string { return fmt.Sprint("finish ", reason) }
	f([]string{"start", "text x", finish(dialect.FinishUnsaid), "end"}, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}`)
	f([]string{"start", "text a", "thinking b", "hidden c by gemini", "call i n #0", `args {\"a\":1} #0`, "signature s by gemini", "signature d by anthropic", finish(dialect.FinishUnsaid), "end"},
		`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}`,
		`{"type":"content_block_start","index":1,"content_block":{"type":"thinking","thinking":"b","signature":"d"}}`,
		`{"type":"content_block_start","index":2,"content_block":{"type":"redacted_thinking","data":"gemini:c"}}`,
		`{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"i","name":"n","input":{"a":1}}}`,
		`{"type":"content_block_start","index":4,"content_block":{"type":"redacted_thinking","data":"gemini:s"}}`)
	f([]string{"start", "refusal no", finish(dialect.FinishRefusal), "end"},
		`{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"type":"refusal","category":"cyber","explanation":"no"}}}`,
		`{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`, `{"type":"message_stop"}`)
	f([]string{"start", "finish END " + fmt.Sprint(dialect.FinishSequence), "end"}, `{"type":"ping"}`,
		`{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"}}`)
}

func TestReadEventRefuses(t *testing.T) {
	for _, data := range []string{
		`[]`, `{"type":"message_start"`, `{"type":"message_start"}`, `{"type":"message_start","message":[]}`, `{"type":"content_block_start","index":0}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use"}}`,
	} {
		_, err := Codec{}.ReadEvent(dialect.OpMessages, new(dialect.Reading), nil, []byte(data), nil)
		assert.ErrorIs(t, err, dialect.ErrMalformed, data)
	}
	_, err := Codec{}.ReadEvent(dialect.OpChat, new(dialect.Reading), nil, []byte(`{}`), nil)
	assert.ErrorIs(t, err, dialect.ErrInexpressible)
}

// writeStream writes events as a stream.
func writeStream(events []dialect.Event) ([]byte, *dialect.Writing) {
	var st dialect.Writing
	var out []byte
	for i := range events {
		out = Codec{}.AppendEvent(out, dialect.OpMessages, &st, &events[i])
	}
	return out, &st
}

func start() dialect.Event {
	return dialect.Event{Kind: dialect.EventStart, ID: []byte("chatcmpl-1"), Model: []byte("m")}
}

func call(ordinal int, name string) dialect.Event {
	return dialect.Event{Kind: dialect.EventCall, Call: ordinal, ID: []byte("call_" + name), Name: []byte(name)}
}

func args(ordinal int, text string) dialect.Event {
	return dialect.Event{Kind: dialect.EventArgs, Call: ordinal, Text: []byte(text)}
}

func text(s string) dialect.Event { return dialect.Event{Kind: dialect.EventText, Text: []byte(s)} }

func ending(f dialect.Finish) []dialect.Event {
	return []dialect.Event{
		{Kind: dialect.EventFinish, Finish: f},
		{Kind: dialect.EventUsage, Usage: dialect.Usage{Input: 10, Cached: 4, Output: 5, Reasoning: 2, Known: true}}, {Kind: dialect.EventEnd},
	}
}

func TestWriteStream(t *testing.T) {
	events := append([]dialect.Event{
		start(), {Kind: dialect.EventThinking, Text: []byte("hm")}, {Kind: dialect.EventSignature, Signature: []byte("s"), Signer: dialect.Gemini},
		text("Hi"), text(""), text(`\"x\"`), {Kind: dialect.EventText, Text: []byte("other"), Answer: 1}, {Kind: dialect.EventLogProbs, Raw: []byte("{}")},
		call(0, "f"), args(0, `{\"a\":1}`),
	}, ending(dialect.FinishStop)...)
	out, st := writeStream(events)
	assert.Equal(t, messageStop, string(out[st.Terminal:]))
	whole, err := Codec{}.AppendWhole(nil, dialect.OpMessages, out)
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"msg_chatcmpl-1","type":"message","role":"assistant","model":"m","content":[
	 {"type":"thinking","thinking":"hm","signature":"gemini:s"},{"type":"text","text":"Hi\"x\"","citations":null},
	 {"type":"tool_use","id":"call_f","name":"f","input":{"a":1}}],"stop_reason":"tool_use","stop_sequence":null,"stop_details":null,"container":null,"diagnostics":null,
	 "usage":{"input_tokens":6,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},
	  "output_tokens":5,"output_tokens_details":{"thinking_tokens":2},"server_tool_use":null,"service_tier":null,"inference_geo":null,"speed":null}}`, string(whole))
	got, _ := classify(t, out)
	assert.Equal(t, dialect.Usage{Input: 10, Cached: 4, Output: 5, Reasoning: 2, Known: true}, got.Usage)
	assert.Equal(t, got.Finished, st.Stream.Finished)
	assert.Equal(t, got.Content, st.Stream.Content)
	assert.Equal(t, got.Usage, st.Stream.Usage)
}

// inputs are the blocks of a stream, by their names and inputs.
func inputs(t *testing.T, out []byte) (blocks []string) {
	t.Helper()
	whole, err := Codec{}.AppendWhole(nil, dialect.OpMessages, out)
	require.NoError(t, err)
	var r dialect.Reply
	require.NoError(t, Codec{}.ReadReply(dialect.OpMessages, whole, &r))
	c := dialect.Chat{}
	for i := range r.Parts {
		blocks = append(blocks, partLine(&c, &r.Parts[i]))
	}
	return blocks
}

func TestInterleavedCallsBecomeBlocksOfTheirOwn(t *testing.T) {
	events := append([]dialect.Event{
		start(), text("x"), call(0, "a"), call(1, "b"), args(1, `{\"b\":`), args(0, `{\"a\":[\"}\\\"\"`), call(2, "c"), args(1, `1}`), args(0, `]}`),
		{Kind: dialect.EventSignature, Signature: []byte("s"), Signer: dialect.Gemini}, args(2, `{}`), call(3, "d"), args(3, `{\"open\":`), text("y"), args(3, `1}`),
	}, ending(dialect.FinishCalls)...)
	out, _ := writeStream(events)
	assert.Equal(t, []string{
		"text text=x", `call name=a id=call_a args={"a":["}\""]}`, `call name=b id=call_b args={"b":1}`, `call name=c id=call_c args={} signature=s by gemini`,
		`call name=d id=call_d args={"open":1}`, "text text=y",
	}, inputs(t, out), "a text between the pieces of a call's arguments waits for their end")
	live := strings.Index(string(out), `"name":"b"`)
	assert.Less(t, live, strings.Index(string(out), `"name":"c"`))
	assert.Less(t, strings.Index(string(out), `"name":"a"`), live)
	out, _ = writeStream(append([]dialect.Event{start(), call(0, "a"), text("b"), args(0, `{\"z\":1}`), text("c")}, ending(dialect.FinishCalls)...))
	assert.Equal(t, []string{`call name=a id=call_a args={"z":1}`, "text text=bc"}, inputs(t, out))
}

func TestSequentialCallsStreamAtOnce(t *testing.T) {
	var st dialect.Writing
	write := func(e dialect.Event) string { return string(Codec{}.AppendEvent(nil, dialect.OpMessages, &st, &e)) }
	write(start())
	write(call(0, "a"))
	assert.Contains(t, write(args(0, `{\"a\":1}`)), "input_json_delta")
	assert.Contains(t, write(call(1, "b")), `"name":"b"`)
	assert.Contains(t, write(args(1, `{`)), "input_json_delta")
	assert.Empty(t, write(call(2, "c")), "it waits for the end of the open call")
	assert.Empty(t, write(args(2, `{}`)))
	assert.Contains(t, write(args(1, `}`)), `"name":"c"`)
}

func TestWriteStreamWithoutABeginning(t *testing.T) {
	out, _ := writeStream(append([]dialect.Event{{Kind: dialect.EventCall, Name: []byte("f")}}, ending(dialect.FinishCalls)...))
	assert.Equal(t, []string{"call name=f id=toolu_call_1_1 args={}"}, inputs(t, out))
	out, _ = writeStream([]dialect.Event{start(), {Kind: dialect.EventHidden, Signature: []byte("h"), Signer: dialect.OpenAI}, {Kind: dialect.EventRefusal, Text: []byte("n")},
		{Kind: dialect.EventRefusal, Text: []byte("o")}, {Kind: dialect.EventFinish, Finish: dialect.FinishStop}, {Kind: dialect.EventEnd}})
	assert.Equal(t, []string{"hidden signature=h by openai", "refusal text=no"}, inputs(t, out))
	assert.Contains(t, string(out), `"stop_reason":"refusal"`)
	out, _ = writeStream([]dialect.Event{start(), text("x"), {Kind: dialect.EventFinish, Finish: dialect.FinishSequence, Sequence: []byte("END")}, {Kind: dialect.EventEnd}})
	assert.Contains(t, string(out), `"stop_reason":"stop_sequence","stop_sequence":"END"`)
	assert.Empty(t, Codec{}.AppendEvent(nil, dialect.OpChat, new(dialect.Writing), &dialect.Event{}))
}

func TestStatesAreReused(t *testing.T) {
	events := append([]dialect.Event{start(), call(0, "a"), call(1, "b"), args(1, `{}`)}, ending(dialect.FinishCalls)...)
	want, st := writeStream(events)
	for range 2 {
		st.Reset()
		var out []byte
		for i := range events {
			out = Codec{}.AppendEvent(out, dialect.OpMessages, st, &events[i])
		}
		assert.Equal(t, string(want), string(out))
	}
	held := st.Own.(*writing)
	held.queue = append(held.queue[:0], heldCall{args: make([]byte, 0, keptBytes+1)})
	st.Reset()
	assert.Nil(t, held.queue[:1][0].args, "a huge buffer is not kept")

	var reading dialect.Reading
	for range 2 {
		var lines []string
		eachEvent([]byte(documented), func(name, data []byte) {
			events, err := Codec{}.ReadEvent(dialect.OpMessages, &reading, name, data, nil)
			require.NoError(t, err)
			for i := range events {
				lines = append(lines, eventLine(&events[i]))
			}
		})
		assert.Equal(t, readStream(t, documented), lines)
		reading.Reset()
	}
}
