package anthropic

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

const toolRequest = `{"model":"m","max_tokens":10,"system":"s","messages":[{"role":"user","content":"a"},
 {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"gemini:s"},{"type":"tool_use","id":"a","name":"b","input":{"x":"\u00e9"}},{"type":"redacted_thinking","data":"gemini:s"}]},
 {"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"x"}]},{"type":"document","source":{"type":"content","content":[{"type":"text","text":"x"}]}}]}],
 "tools":[{"name":"b","input_schema":{}}],"tool_choice":{"type":"auto"},"thinking":{"type":"enabled","budget_tokens":2000},"output_config":{"format":{"type":"json_schema","schema":{}}},"stop_sequences":["x"]}`

// Whatever is read can be asked for again, and reads the same then.
func FuzzRead(f *testing.F) {
	for _, body := range []string{toolRequest, `{}`, `{"messages":[{"role":"system","content":"x"}]}`, `{"\u006dessages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"\/9j\/"}}]}]}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var c, again dialect.Chat
		if err := (Codec{}).Read(dialect.OpMessages, body, &c); err != nil {
			return
		}
		require.True(t, json.Valid(body))
		for _, model := range []string{"sim", "claude-haiku-4-5", "claude-opus-5-5", "claude-fable-5"} {
			out, _, err := Codec{}.AppendRequest(nil, &c, model, true)
			if err != nil {
				assert.ErrorIs(t, err, dialect.ErrInexpressible)
				continue
			}
			require.True(t, json.Valid(out), "%s", out)
			require.NoError(t, Codec{}.Read(dialect.OpMessages, out, &again), "%s", out)
			once, _, err := Codec{}.AppendRequest(nil, &again, model, true)
			require.NoError(t, err)
			require.Equal(t, string(out), string(once))
		}
	})
}

func FuzzReadReply(f *testing.F) {
	for _, body := range []string{richWhole, `{"content":[]}`, `{"content":[{"type":"text","text":"x"}],"stop_details":{"explanation":"n"}}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, err := Codec{}.Whole(dialect.OpMessages, body)
		var r dialect.Reply
		if err != nil || (Codec{}).ReadReply(dialect.OpMessages, body, &r) != nil {
			return
		}
		out, err := Codec{}.AppendReply(nil, dialect.OpMessages, &r)
		require.NoError(t, err)
		require.True(t, json.Valid(out), "%s", out)
		if sse, _, terminal, err := (Codec{}).AppendStream(nil, dialect.OpMessages, body); err == nil {
			require.Equal(t, messageStop, string(sse[terminal:]))
		}
	})
}

// Whatever a stream tells makes a stream of the dialect that is whole.
func FuzzReadEvent(f *testing.F) {
	f.Add([]byte(documented))
	f.Add([]byte("data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"\",\"name\":\"\\u00e9\",\"input\":{\"a\":1}}}\n\n"))
	f.Add([]byte("event: content_block_delta\ndata: {\"index\":0,\"delta\":{\"partial_json\":\"{\\\\\"}}\n\n"))
	f.Fuzz(func(t *testing.T, sse []byte) {
		var st dialect.Stream
		var in dialect.Reading
		var out dialect.Writing
		var written []byte
		relay := func(name, data []byte) bool {
			events, err := Codec{}.ReadEvent(dialect.OpMessages, &in, name, data, nil)
			for i := range events {
				written = Codec{}.AppendEvent(written, dialect.OpMessages, &out, &events[i])
			}
			return err == nil
		}
		good := true
		eachEvent(sse, func(name, data []byte) {
			if kind, err := (Codec{}).Event(dialect.OpMessages, &st, name, data); err != nil || kind == dialect.Failed || data == nil {
				return
			}
			good = good && relay(name, data)
		})
		_, _ = Codec{}.AppendWhole(nil, dialect.OpMessages, sse)
		if !good {
			return
		}
		relay(nil, nil)
		classify(t, written)
		_, err := Codec{}.AppendWhole(nil, dialect.OpMessages, written)
		require.NoError(t, err, "%s", written)
	})
}
