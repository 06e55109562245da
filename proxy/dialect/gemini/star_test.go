package gemini

import (
	"bytes"
	"errors"
	"slices"
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
		body, left, err := Codec{}.AppendRequest([]byte("|"), want, "some-model", false)
		require.NoError(t, err)
		assert.Zero(t, left)
		require.NoError(t, Codec{}.Read(dialect.OpGenerate, body[1:], &got), "%s", body)
		assert.Equal(t, bare(*want), bare(got), "%s", body)
		counted := append(append([]byte(`{"generateContentRequest":`), body[1:]...), '}')
		require.NoError(t, Codec{}.Read(dialect.OpCount, counted, &got))
		assert.Equal(t, bare(*want), bare(got), "%s", counted)
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
		body, err := Codec{}.AppendReply([]byte("|"), dialect.OpGenerate, want)
		require.NoError(t, err)
		body = body[1:]
		u, err := Codec{}.Whole(dialect.OpGenerate, body)
		require.NoError(t, err, "%s", body)
		assert.Equal(t, want.Usage, u)
		require.NoError(t, Codec{}.ReadReply(dialect.OpGenerate, body, &got))
		assert.Equal(t, plainReply(*want), plainReply(got), "%s", body)

		sse, tail, terminal, err := Codec{}.AppendStream([]byte("|"), dialect.OpGenerate, body)
		require.NoError(t, err)
		assert.Equal(t, tail, terminal)
		assert.True(t, bytes.HasPrefix(sse[1+terminal:], []byte("data: ")))
		assert.Equal(t, len(sse), 1+terminal+stream.Next(sse[1+terminal:]), "the terminal event is the last")
		whole, err := Codec{}.AppendWhole([]byte("|"), dialect.OpGenerate, sse[1:])
		require.NoError(t, err)
		assert.JSONEq(t, string(body), string(whole[1:]))
	})
}

// streamOf is the events of a stream as they go out.
func streamOf(t require.TestingT, events []dialect.Event) []byte {
	var st dialect.Writing
	var out []byte
	for i := range events {
		out = Codec{}.AppendEvent(out, dialect.OpGenerate, &st, &events[i])
	}
	require.Equal(t, len(out), st.Terminal+stream.Next(out[st.Terminal:]), "the terminal event is where it is said to be")
	assert.True(t, st.Stream.Finished)
	assert.Equal(t, st.Stream.Choices, st.Stream.Ended)
	return out
}

// readBack reads what streamOf wrote.
func readBack(t require.TestingT, sse []byte) (events []dialect.Event) {
	var st dialect.Reading
	var relay dialect.Stream
	for len(sse) > 0 {
		n := stream.Next(sse)
		require.NotZero(t, n)
		name, data, _ := stream.Fields(sse[:n], nil)
		kind, err := Codec{}.Event(dialect.OpGenerate, &relay, name, data)
		require.NoError(t, err, "%s", data)
		require.NotEqual(t, dialect.Failed, kind)
		from := len(events)
		events, err = Codec{}.ReadEvent(dialect.OpGenerate, &st, name, data, events)
		require.NoError(t, err)
		for i := from; i < len(events); i++ { // they are good until the next one is read
			for _, b := range []*[]byte{&events[i].ID, &events[i].Text, &events[i].Name, &events[i].Signature, &events[i].Raw} {
				*b = bytes.Clone(*b)
			}
		}
		sse = sse[n:]
		require.Equal(t, len(sse) == 0, kind == dialect.Terminal, "the last event is the terminal one")
	}
	return events
}

// byAnswer orders what is told of answers, their ends behind it.
func byAnswer(a, b dialect.Event) int {
	rank := func(e dialect.Event) int { return 100*int(max(e.Kind, dialect.EventMedia)) + e.Answer }
	return rank(a) - rank(b)
}

func TestStreamsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := replies.Draw(t, "reply")
		want := eventsOf(r)
		sse := streamOf(t, want)
		got := readBack(t, sse)
		got[0].Usage = dialect.Usage{}       // each event of the API tells what it knows of it
		slices.SortStableFunc(got, byAnswer) // a call waits until it is whole, while other answers go on
		slices.SortStableFunc(want, byAnswer)
		assert.Equal(t, want, got, "%s", sse)
	})
}

// A stream's events, put together as the cache does, are the whole answer.
func TestStreamsAreWholeAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := replies.Draw(t, "reply")
		whole, err := Codec{}.AppendWhole(nil, dialect.OpGenerate, streamOf(t, eventsOf(want)))
		require.NoError(t, err)
		var got dialect.Reply
		require.NoError(t, Codec{}.ReadReply(dialect.OpGenerate, whole, &got))
		assert.ElementsMatch(t, want.Parts, got.Parts, "%s", whole)
		assert.Equal(t, want.Usage, got.Usage)
		assert.Equal(t, string(want.ID)+string(want.Model), string(got.ID)+string(got.Model))
		if len(want.Answers) == 1 {
			assert.Equal(t, plainReply(*want), plainReply(got), "%s", whole)
		}
	})
}

// isOwn says that an error is one of those that callers know.
func isOwn(err error) bool {
	return errors.Is(err, dialect.ErrMalformed) || errors.Is(err, dialect.ErrInexpressible)
}
