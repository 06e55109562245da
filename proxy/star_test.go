package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// chatOps are the operations whose requests and answers the star carries.
var chatOps = []dialect.Op{dialect.OpChat, dialect.OpResponses, dialect.OpMessages, dialect.OpGenerate}

func starFile(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/star/" + name)
	require.NoError(tb, err)
	return b
}

// indented is JSON as a golden file keeps it.
func indented(tb testing.TB, doc []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	require.NoError(tb, json.Indent(&out, doc, "", " "), "%s", doc)
	return append(out.Bytes(), '\n')
}

// The same conversation, in the words of every client, as every provider gets it.
func TestStarRequests(t *testing.T) {
	s := testDialects()
	for _, from := range chatOps {
		for to := range dialect.IDs {
			t.Run(fmt.Sprintf("%s to %s", from, to), func(t *testing.T) {
				out, lost, err := s.AppendRequest(nil, from, starFile(t, from.String()+".json"), to, "upstream", true)
				require.NoError(t, err)
				got := append(indented(t, out), "lost: "+strings.Join(lost, ", ")+"\n"...)
				testkit.Golden(t, fmt.Sprintf("testdata/star/%s-to-%s.request", from, to), got)
			})
		}
	}
}

// relayed is a stream carried to another operation, event by event.
func relayed(tb testing.TB, s *dialect.Set, from, to dialect.Op, sse []byte) (out []byte, r *dialect.Relay) {
	tb.Helper()
	r = new(dialect.Relay)
	r.Begin(s, from, to, 1_790_000_000)
	var st dialect.Stream
	for len(sse) > 0 {
		n := stream.Next(sse)
		require.NotZero(tb, n)
		name, data, _ := stream.Fields(sse[:n], nil)
		sse = sse[n:]
		kind, err := s.For(from).Event(from, &st, name, data)
		require.NoError(tb, err, "%s", data)
		if kind == dialect.Ignored {
			continue
		}
		out, err = r.AppendEvent(out, name, data)
		require.NoError(tb, err, "%s", data)
	}
	return out, r
}

// A stream and the whole answer that it stands for say the same in every dialect.
func TestStarAnswers(t *testing.T) {
	s := testDialects()
	for _, from := range streamOps {
		sse := starFile(t, from.String()+".sse")
		whole, err := s.For(from).AppendWhole(nil, from, sse)
		require.NoError(t, err)
		for _, to := range chatOps {
			if to == from { // the bytes pass through
				continue
			}
			t.Run(fmt.Sprintf("%s to %s", from, to), func(t *testing.T) {
				answer, _, err := s.AppendAnswer(nil, from, whole, dialect.Client{Op: to, Model: "m", Created: 1_790_000_000})
				require.NoError(t, err)
				testkit.Golden(t, fmt.Sprintf("testdata/star/%s-to-%s.answer", from, to), indented(t, answer))
				events, r := relayed(t, s, from, to, sse)
				testkit.Golden(t, fmt.Sprintf("testdata/star/%s-to-%s.events", from, to), events)
				assertGoodStream(t, s, to, events, r)
				again, err := s.For(to).AppendWhole(nil, to, events)
				require.NoError(t, err)
				assert.Equal(t, saidBy(t, s, to, answer), saidBy(t, s, to, again), "the stream says what the whole answer does")
				assert.Equal(t, textsBy(t, s, from, whole), textsBy(t, s, to, answer), "and both what the provider said")
			})
		}
	}
}

// assertGoodStream reads a stream as a node would that is this one's client.
func assertGoodStream(t *testing.T, s *dialect.Set, op dialect.Op, sse []byte, r *dialect.Relay) {
	t.Helper()
	var st dialect.Stream
	at, last := 0, dialect.Delta
	for at < len(sse) {
		n := stream.Next(sse[at:])
		require.NotZero(t, n)
		name, data, _ := stream.Fields(sse[at:at+n], nil)
		kind, err := s.For(op).Event(op, &st, name, data)
		require.NoError(t, err, "%s", data)
		assert.NotEqual(t, dialect.Failed, kind)
		if last = kind; kind == dialect.Terminal {
			assert.Equal(t, r.Terminal, at, "the terminal event's place")
		}
		at += n
	}
	assert.Equal(t, dialect.Terminal, last)
	assert.True(t, st.Usage.Known)
	assert.EqualValues(t, 100, st.Usage.Input)
	assert.EqualValues(t, 40, st.Usage.Output)
	assert.EqualValues(t, 64, st.Usage.Cached)
}

// said is what an answer says but for names that differ from one telling to the next.
type said struct {
	Texts, Calls []string
	Finish       dialect.Finish
	Usage        dialect.Usage
}

func saidBy(t *testing.T, s *dialect.Set, op dialect.Op, whole []byte) (out said) {
	t.Helper()
	var r dialect.Reply
	require.NoError(t, s.For(op).ReadReply(op, whole, &r), "%s", whole)
	require.Len(t, r.Answers, 1)
	out.Finish, out.Usage = r.Answers[0].Finish, r.Usage
	for i := range r.Parts {
		switch p := &r.Parts[i]; p.Kind {
		case dialect.PartCall:
			args, ok := dialect.AppendArgs(nil, p.Args)
			require.True(t, ok)
			out.Calls = append(out.Calls, fmt.Sprintf("%s(%s)", p.Name, args))
		default:
			out.Texts = append(out.Texts, fmt.Sprintf("%d:%s:%s", p.Kind, p.Text, p.Signature))
		}
	}
	return out
}

// textsBy are the texts and calls alone, in their order, without signatures, which some dialects cannot show.
func textsBy(t *testing.T, s *dialect.Set, op dialect.Op, whole []byte) (out []string) {
	t.Helper()
	all := saidBy(t, s, op, whole)
	for _, text := range all.Texts {
		kind, rest, _ := strings.Cut(text, ":")
		out = append(out, kind+":"+rest[:strings.LastIndexByte(rest, ':')])
	}
	slices.Sort(out)
	return append(out, all.Calls...)
}
