package openai

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// bare is c without its scratch and with empty lists as nil, as equal requests have it.
func bare(c dialect.Chat) dialect.Chat {
	c.Scratch = nil
	for _, parts := range []*[]dialect.Part{&c.System, &c.Parts, &c.Nested} {
		if len(*parts) == 0 {
			*parts = nil
		}
	}
	if len(c.Stop) == 0 {
		c.Stop = nil
	}
	if len(c.Tools) == 0 {
		c.Tools = nil
	}
	if len(c.Unknown) == 0 {
		c.Unknown = nil
	}
	return c
}

func TestRequestsComeBack(t *testing.T) {
	var got dialect.Chat
	rapid.Check(t, func(t *rapid.T) {
		want := chats.Draw(t, "chat")
		stream := rapid.Bool().Draw(t, "stream")
		body, left, err := Codec{}.AppendRequest([]byte("|"), want, "google/gemini-3", stream)
		require.NoError(t, err)
		assert.Zero(t, left)
		require.NoError(t, Codec{}.Read(dialect.OpChat, body[1:], &got), "%s", body)
		assert.Equal(t, bare(*want), bare(got), "%s", body)
		again, _, err := Codec{}.AppendRequest([]byte("|"), &got, "google/gemini-3", stream)
		require.NoError(t, err)
		assert.Equal(t, string(body), string(again))
	})
}

// plainReply is r without what only reading leaves.
func plainReply(r dialect.Reply) dialect.Reply {
	r.Scratch = nil
	if len(r.Lost) == 0 {
		r.Lost = nil
	}
	if len(r.Parts) == 0 {
		r.Parts = nil
	}
	return r
}

func TestRepliesComeBack(t *testing.T) {
	var got dialect.Reply
	rapid.Check(t, func(t *rapid.T) {
		want := replies.Draw(t, "reply")
		body, err := Codec{}.AppendReply(nil, dialect.OpChat, want)
		require.NoError(t, err)
		u, err := Codec{}.Whole(dialect.OpChat, body)
		require.NoError(t, err, "%s", body)
		assert.Equal(t, want.Usage, u)
		require.NoError(t, Codec{}.ReadReply(dialect.OpChat, body, &got))
		assert.Equal(t, plainReply(*want), plainReply(got), "%s", body)
	})
}

// streamOf is the events of a stream as they go out.
func streamOf(t require.TestingT, op dialect.Op, events []dialect.Event) []byte {
	var st dialect.Writing
	var out []byte
	for i := range events {
		out = Codec{}.AppendEvent(out, op, &st, &events[i])
	}
	require.True(t, bytes.HasPrefix(out[st.Terminal:], []byte("data: [DONE]")), "the terminal event is where it is said to be")
	return out
}

// readBack reads what streamOf wrote.
func readBack(t require.TestingT, op dialect.Op, sse []byte) (events []dialect.Event) {
	var st dialect.Reading
	var relay dialect.Stream
	for len(sse) > 0 {
		n := stream.Next(sse)
		require.NotZero(t, n)
		name, data, _ := stream.Fields(sse[:n], nil)
		kind, err := Codec{}.Event(op, &relay, name, data)
		require.NoError(t, err, "%s", data)
		require.NotEqual(t, dialect.Failed, kind)
		from := len(events)
		events, err = Codec{}.ReadEvent(op, &st, name, data, events)
		require.NoError(t, err)
		for i := from; i < len(events); i++ { // they are good until the next one is read
			for _, b := range []*[]byte{&events[i].ID, &events[i].Text, &events[i].Name, &events[i].Signature} {
				*b = bytes.Clone(*b)
			}
		}
		sse = sse[n:]
	}
	return events
}

func TestStreamsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := replies.Draw(t, "reply")
		want := eventsOf(r)
		sse := streamOf(t, dialect.OpChat, want)
		assert.Equal(t, want, readBack(t, dialect.OpChat, sse), "%s", sse)
	})
}

// A stream's events, put together as the cache does, are the whole answer.
func TestStreamsAreWholeAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := replies.Draw(t, "reply")
		for i := range want.Answers {
			want.Answers[i].LogProbs = nil // a stream tells them with the text
		}
		whole, err := Codec{}.AppendWhole(nil, dialect.OpChat, streamOf(t, dialect.OpChat, eventsOf(want)))
		require.NoError(t, err)
		var got dialect.Reply
		require.NoError(t, Codec{}.ReadReply(dialect.OpChat, whole, &got))
		assert.Equal(t, plainReply(*want), plainReply(got), "%s", whole)
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:;base64,"}}]}],"tools":[{}],"stop":[1],"thinking":{"type":"enabled","budget_tokens":9}}`))
	f.Add([]byte(`{"prompt":["a"],"echo":false,"n":3,"\u006dessages":[{"role":"function","name":"f","content":null},{"role":"assistant","function_call":{"name":"f"},"extra_content":{"anthropic":{"thinking":[{},{"data":"a"}]}}}]}`))
	f.Add([]byte(`{"messages":[{"role":"tool","tool_call_id":"a","content":[{"type":"file","file":{"file_data":"A"}}]},{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}],"tool_choice":{"type":"function","function":{"name":"x"}}}`))
	var c, again dialect.Chat
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, op := range []dialect.Op{dialect.OpChat, dialect.OpCompletions} {
			if err := (Codec{}).Read(op, body, &c); err != nil {
				require.True(t, isOwn(err), err)
				continue
			}
			out, _, err := Codec{}.AppendRequest(nil, &c, "m", false)
			if err != nil {
				require.ErrorIs(t, err, dialect.ErrInexpressible)
				continue
			}
			require.NoError(t, Codec{}.Read(dialect.OpChat, out, &again), "%s", out)
		}
		var e dialect.Embedding
		if err := (Codec{}).ReadEmbedding(dialect.OpEmbeddings, body, &e); err == nil {
			out, _, err := Codec{}.AppendEmbedding(nil, &e, "m")
			require.NoError(t, err)
			require.NoError(t, Codec{}.ReadEmbedding(dialect.OpEmbeddings, out, &e), "%s", out)
		}
	})
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte(chatWhole))
	f.Add([]byte(toolsWhole))
	f.Add([]byte(completionsWhole))
	f.Add([]byte(`{"choices":[{"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]}],"audio":{"data":"A"},"images":[{"image_url":{"url":"data:a;base64,A"}}]}}]}`))
	var r dialect.Reply
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, op := range []dialect.Op{dialect.OpChat, dialect.OpCompletions} {
			if err := (Codec{}).ReadReply(op, body, &r); err != nil {
				require.ErrorIs(t, err, dialect.ErrMalformed)
				continue
			}
			out, err := Codec{}.AppendReply(nil, op, &r)
			require.NoError(t, err)
			require.NoError(t, Codec{}.ReadReply(op, out, &r), "%s", out)
		}
		var v dialect.Vectors
		_ = Codec{}.ReadVectors(dialect.OpEmbeddings, body, &v)
		_ = Codec{}.ReadError(429, body)
	})
}

func FuzzReadEvent(f *testing.F) {
	for _, data := range []string{
		`{"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}`, `{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}}]}`,
		`{"choices":[{"index":9,"delta":{"reasoning":"a","extra_content":{"anthropic":{"thinking":[{"signature":"s"}]}}},"finish_reason":"stop","stop_reason":"x"}]}`,
		`{"choices":[],"usage":{"prompt_tokens":1}}`, `[DONE]`, ``,
	} {
		f.Add([]byte(`{"id":"c","choices":[{"index":0,"delta":{"content":"b"}}]}`), []byte(data))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, op := range []dialect.Op{dialect.OpChat, dialect.OpCompletions} {
			var relay dialect.Stream
			var st dialect.Reading
			var out dialect.Writing
			var sse []byte
			for _, data := range [][]byte{first, second, nil} {
				if _, err := (Codec{}).Event(op, &relay, nil, data); err != nil {
					return
				}
				events, err := Codec{}.ReadEvent(op, &st, nil, data, nil)
				if err != nil {
					require.ErrorIs(t, err, dialect.ErrMalformed)
					return
				}
				for i := range events {
					sse = Codec{}.AppendEvent(sse, op, &out, &events[i])
				}
			}
			readBack(t, op, sse)
		}
	})
}

// isOwn says that an error is one of those that callers know.
func isOwn(err error) bool {
	return errors.Is(err, dialect.ErrMalformed) || errors.Is(err, dialect.ErrInexpressible)
}
