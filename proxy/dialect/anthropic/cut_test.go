package anthropic

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

var cutUsage = dialect.Usage{Input: 40, Cached: 5, CacheWrite: 3, CacheWriteHour: 1, Output: 70, Reasoning: 20, Known: true}

// prefixes are the beginnings of a stream before its terminal event, from none of its events on.
func prefixes(t require.TestingT, sse []byte) (all [][]byte) {
	_, kinds := classify(t, sse)
	at := 0
	for range kinds {
		all = append(all, sse[:at:at])
		at += stream.Next(sse[at:])
	}
	require.Equal(t, dialect.Terminal, kinds[len(kinds)-1])
	return all
}

// toldSoFar is what the events of a stream tell of each block, and why the message ended.
func toldSoFar(t require.TestingT, begun []byte) (blocks []string, reason string) {
	reason = "max_tokens"
	eachEvent(begun, func(_, data []byte) {
		var e struct {
			Type  string
			Index int
			Block struct {
				Type, Text, Thinking, Signature, Data, Name string
				Input                                       json.RawMessage
			} `json:"content_block"`
			Delta struct {
				Text, Thinking, Signature string
				Partial                   string `json:"partial_json"`
				Reason                    string `json:"stop_reason"`
			}
		}
		require.NoError(t, json.Unmarshal(data, &e), "%s", data)
		switch e.Type {
		case "content_block_start":
			b := e.Block
			blocks = append(blocks, b.Type+b.Text+b.Thinking+b.Signature+b.Data+b.Name)
			if len(b.Input) > len("{}") {
				blocks[e.Index] += string(b.Input)
			}
		case "content_block_delta":
			blocks[e.Index] += e.Delta.Text + e.Delta.Thinking + e.Delta.Signature + e.Delta.Partial
		case "message_delta":
			reason = e.Delta.Reason
		}
	})
	return blocks, reason
}

// requireBlock checks a block against what was told of it. An input that was cut off is no JSON, and shown as an empty one.
func requireBlock(t require.TestingT, told, said string, input []byte) {
	require.True(t, strings.HasPrefix(told, said), "%s: %s", told, said)
	if rest := told[len(said):]; json.Valid([]byte(rest)) {
		require.JSONEq(t, rest, string(input))
	} else if len(input) > 0 {
		require.Contains(t, []string{"{}", "null"}, string(input))
	}
}

// cut ends a stream and checks what holds for any: its events, its offsets, its usage, and that it tells what it told.
func cut(t require.TestingT, begun []byte, u dialect.Usage) (sse []byte, id string) {
	out, tail, terminal, err := Codec{}.AppendCut([]byte("|"), dialect.OpMessages, begun, &u)
	require.NoError(t, err, "%s", begun)
	require.Equal(t, byte('|'), out[0])
	require.Equal(t, tail, terminal)
	require.Equal(t, messageStop, string(out[1+terminal:]))
	sse = append(begun[:len(begun):len(begun)], out[1:]...)
	st, kinds := classify(t, sse)
	for i, kind := range kinds {
		require.Equal(t, i == len(kinds)-1, kind == dialect.Terminal, "%s", sse)
	}
	if told, _ := classify(t, begun); told.Finished || !u.Known {
		u = told.Usage // by the provider
	}
	require.Equal(t, u, st.Usage)

	open := -1
	eachEvent(sse, func(_, data []byte) {
		var e struct {
			Type  string
			Index int
		}
		require.NoError(t, json.Unmarshal(data, &e))
		switch e.Type {
		case "content_block_start":
			require.Equal(t, -1, open)
			open = e.Index
		case "content_block_stop":
			require.Equal(t, e.Index, open)
			open = -1
		case "message_delta", "message_stop":
			require.Equal(t, -1, open, "every block ends")
		}
	})
	blocks, reason := toldSoFar(t, begun)
	same, _ := toldSoFar(t, sse)
	require.Equal(t, blocks, same)
	whole, err := Codec{}.AppendWhole(nil, dialect.OpMessages, sse)
	require.NoError(t, err)
	var message struct {
		ID      string
		Reason  string `json:"stop_reason"`
		Content []struct {
			Type, Text, Thinking, Signature, Data, Name string
			Input                                       json.RawMessage
		}
	}
	require.NoError(t, json.Unmarshal(whole, &message))
	require.Equal(t, reason, message.Reason, "%s", sse)
	require.Len(t, message.Content, len(blocks))
	for i, b := range message.Content {
		requireBlock(t, blocks[i], b.Type+b.Text+b.Thinking+b.Signature+b.Data+b.Name, b.Input)
	}
	return sse, message.ID
}

func TestAppendCut(t *testing.T) {
	rich, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, []byte(richWhole))
	require.NoError(t, err)
	for _, events := range [][]byte{[]byte(documented), rich} {
		for _, begun := range prefixes(t, events) {
			got, id := cut(t, begun, cutUsage)
			blocks, reason := toldSoFar(t, begun)
			m, err := accumulated(t, got)
			require.NoError(t, err)
			require.Len(t, m.Content, len(blocks))
			for i, b := range m.Content {
				requireBlock(t, blocks[i], b.Type+b.Text+b.Thinking+b.Signature+b.Data+b.Name, b.Input)
			}
			assert.EqualValues(t, reason, m.StopReason)
			if reason == "max_tokens" {
				assert.Equal(t, cutUsage.Output, m.Usage.OutputTokens)
			}
			assert.Equal(t, id, m.ID)
		}
	}
}

func TestAppendCutAsTheProviderWrites(t *testing.T) {
	const over = `{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null,"stop_details":null,"container":null},"usage":`
	usage := string(appendUsage(nil, &cutUsage)) + "}"
	for _, test := range []struct{ begun, want []byte }{
		{sse(started), sse(over+usage, stopped)},
		{sse(started, begin(0, ""), delta(0, "a")), sse(end(0), over+usage, stopped)},
		{sse(started, begin(0, ""), end(0)), sse(over+usage, stopped)},
		{sse(started, begin(0, ""), end(0), endsFor("end_turn")), sse(stopped)},
		{sse(`{"type":"ping"}`), sse(`{"type":"message_start","message":{"id":"msg_","type":"message","role":"assistant","model":"","content":[],"stop_reason":null,"stop_sequence":null,"stop_details":null,"container":null,"diagnostics":null,"usage":`+
			string(appendUsage(nil, &dialect.Usage{Input: 40, Cached: 5, CacheWrite: 3, CacheWriteHour: 1}))+"}}", over+usage, stopped)},
	} {
		out, _, _, err := Codec{}.AppendCut(nil, dialect.OpMessages, test.begun, &cutUsage)
		require.NoError(t, err)
		assert.Equal(t, string(test.want), string(out))
	}
	cut(t, sse(started, begin(0, "a")), dialect.Usage{}) // with the usage that the provider told

	out, _, _, err := Codec{}.AppendCut([]byte("|"), dialect.OpMessages, sse(`{"type":"message_start"`), &cutUsage)
	require.ErrorIs(t, err, dialect.ErrMalformed)
	assert.Equal(t, "|", string(out))
	many := []string{started}
	for i := range most + 1 {
		many = append(many, begin(i, ""))
	}
	_, _, _, err = Codec{}.AppendCut(nil, dialect.OpMessages, sse(many...), &cutUsage)
	require.ErrorIs(t, err, dialect.ErrMalformed)
	_, _, _, err = Codec{}.AppendCut(nil, dialect.OpCountTokens, nil, &cutUsage)
	assert.Error(t, err)
}

func TestAppendCutSimulated(t *testing.T) {
	post := simulate(t)
	events := post("/v1/messages", `{"model":"claude-sonnet-4-5","max_tokens":1100,"stream":true,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[{"role":"user","content":"tell me of \"é\" 😀"}]}`)
	all := prefixes(t, events)
	for i := 0; i < len(all); i += 1 + len(all)/50 {
		cut(t, all[i], cutUsage)
	}
}

// Whatever a stream is cut at, it is a good stream with a beginning of the message.
func TestCutStreamsAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, anyMessage.Draw(t, "message"))
		require.NoError(t, err)
		if rapid.Bool().Draw(t, "foreign") { // another dialect's provider
			events, _ = writeStream(eventsOf(drawReply(t)))
		}
		all := prefixes(t, events)
		cut(t, all[rapid.IntRange(0, len(all)-1).Draw(t, "cut")], cutUsage)
	})
}

func FuzzAppendCut(f *testing.F) {
	for _, events := range [][]byte{
		nil, []byte(documented), burst(true), sse(started, tool, `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{"}}`),
		[]byte("event: content_block_start\r\ndata: {\"index\":3,\r\ndata: \"content_block\":{}}\r\n\r\n: c\n\n"),
	} {
		f.Add(events)
	}
	f.Fuzz(func(t *testing.T, events []byte) {
		out, tail, terminal, err := Codec{}.AppendCut(nil, dialect.OpMessages, events, &cutUsage)
		if err != nil {
			require.ErrorIs(t, err, dialect.ErrMalformed)
			require.Empty(t, out)
			return
		}
		require.Equal(t, tail, terminal)
		require.Equal(t, messageStop, string(out[terminal:]))
		_, kinds := classify(t, out)
		for i, kind := range kinds {
			require.Equal(t, i == len(kinds)-1, kind == dialect.Terminal, "%s", out)
		}
		eachEvent(out, func(_, data []byte) { require.True(t, json.Valid(data), "%s", data) })
	})
}
