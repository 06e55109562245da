package anthropic

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	view "github.com/wedge-proxy/wedge/proxy/request"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// withoutTexts takes out of a decoded request what an edit of its prompt may change.
func withoutTexts(t *testing.T, body []byte) map[string]any {
	var o map[string]any
	require.NoError(t, json.Unmarshal(body, &o))
	for _, name := range []string{"messages", "system", "max_tokens"} {
		delete(o, name)
	}
	return o
}

func FuzzPromptEdits(f *testing.F) {
	for _, body := range []string{
		string(ordinary), `{ }`, `{"m\u0065ssages":[{}],"system":null}`, `{"messages":[{"role":"system"},{"role":"system","content":"x"},{"role":"user"}],"max_tokens":1,"x":[1.0]}`,
		`{"system":[{"type":"text","text":"a\u0041"},{"type":"text"}],"messages":[{"role":"user","content":[{"type":"image"},{"text":"b"},"c"]}]}`, `{"system":[],"messages":[{"role":"assistant","content":[]}]}`,
	} {
		f.Add([]byte(body), []byte("a\"\n\xff"), uint8(1))
	}
	f.Fuzz(func(t *testing.T, body, text []byte, pick uint8) {
		var v view.View
		if v.Parse(body) != nil {
			return
		}
		const op = dialect.OpMessages
		said := string(jsonscan.AppendUTF8(nil, text))
		var before, after dialect.Prompt
		Codec{}.ReadPrompt(op, body, &before)
		edits := []func() ([]byte, error){
			func() ([]byte, error) { return Codec{}.AppendSystem(nil, body, op, true, text) },
			func() ([]byte, error) { return Codec{}.AppendSystem(nil, body, op, false, text) },
			func() ([]byte, error) { return Codec{}.AppendMessage(nil, body, op, int(pick), text) },
			func() ([]byte, error) { return Codec{}.AppendMaxTokens(nil, body, op, 77) },
		}
		for kind, edit := range edits {
			got, err := edit()
			if err != nil {
				require.ErrorIs(t, err, dialect.ErrNoPlace)
				continue
			}
			require.NoError(t, v.Parse(got), "%d %s", kind, got)
			require.Equal(t, withoutTexts(t, body), withoutTexts(t, got), "%s", got)
			Codec{}.ReadPrompt(op, got, &after)
			switch kind {
			case 0:
				require.Equal(t, said, string(after.System), "%s", got)
			case 1:
				require.True(t, strings.HasPrefix(string(after.System), said), "%s", got)
				require.True(t, bytes.HasSuffix(after.System, before.System), "%s", got)
			case 3:
				require.Equal(t, int64(77), after.MaxTokens, "%s", got)
			}
			if kind > 0 {
				require.Equal(t, before.Messages, after.Messages)
			}
		}
	})
}

func FuzzRewrite(f *testing.F) {
	rich, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, []byte(richWhole))
	require.NoError(f, err)
	for _, events := range [][]byte{
		rich, []byte(documented), sse(started, begin(0, "x"), begin(0, `\ud83d`), over, stopped), sse(delta(5, "a"), end(5), end(5), stopped),
		[]byte("event: content_block_delta\ndata: {\"delta\":{\"text\":\"a\"\r\ndata: }}\r\n\r\n: c\n\nevent: message_stop\ndata: {}\n\n"),
	} {
		f.Add(events, uint8(0), uint8(9))
		f.Add(events, uint8(1), uint8(1))
		f.Add(events, uint8(1), uint8(3))
	}
	f.Fuzz(func(t *testing.T, events []byte, pick, stop uint8) {
		edit := upper
		if pick%2 > 0 {
			edit = holding()
		}
		left := int(stop)
		e := editor(func(x *dialect.Text) dialect.Edit {
			left--
			d := edit(x)
			d.Stop = left == 0
			return d
		})
		var st dialect.Rewriting
		same, _, err := Rewriter{}.AppendEvents(nil, events, dialect.OpMessages, &st, keep)
		if err == nil {
			require.Equal(t, string(events), string(same))
		}
		st.Reset()
		got, ended, err := Rewriter{}.AppendEvents(nil, events, dialect.OpMessages, &st, e)
		require.True(t, err == nil || errors.Is(err, dialect.ErrMalformed))
		for in := events; len(in) > 0; in = in[stream.Next(in):] {
			if stream.Next(in) == 0 {
				return // a stream that breaks off need not end well
			}
		}
		last := dialect.Delta
		var after dialect.Stream
		eachEvent(got, func(name, data []byte) {
			if len(data) > 0 {
				assert.True(t, json.Valid(data), "%q", data)
			}
			last, _ = Codec{}.Event(dialect.OpMessages, &after, name, data)
		})
		if ended {
			require.Equal(t, dialect.Terminal, last, "%s", got)
		}
	})
}

func FuzzRewriteWhole(f *testing.F) {
	f.Add([]byte(richWhole), uint8(1))
	f.Add([]byte(`{"content":[{"text":"x"},{"type":"t\u0065xt","text":"y","citations":[]},7],"stop_details":{}}`), uint8(2))
	f.Fuzz(func(t *testing.T, body []byte, stop uint8) {
		if _, err := (Codec{}).Whole(dialect.OpMessages, body); err != nil {
			return
		}
		same, err := Rewriter{}.AppendWhole(nil, body, dialect.OpMessages, keep)
		require.NoError(t, err)
		require.Equal(t, string(body), string(same))
		left := int(stop)
		got, err := Rewriter{}.AppendWhole(nil, body, dialect.OpMessages, editor(func(x *dialect.Text) dialect.Edit {
			left--
			return dialect.Edit{Replace: true, Text: []byte("<\x00>"), Stop: left == 0}
		}))
		require.NoError(t, err)
		_, err = Codec{}.Whole(dialect.OpMessages, got)
		require.NoError(t, err, "%s", got)
	})
}

// burst is a stream of 64 texts, of which every other event looks different if mixed.
func burst(mixed bool) []byte {
	events := []string{started, begin(0, "")}
	for i := range 64 {
		text := " word"
		if mixed && i%2 > 0 {
			text = `\n` + text
		}
		events = append(events, delta(0, text))
	}
	return sse(append(events, end(0), over, stopped)...)
}

var otherText = []byte("other")

func BenchmarkAppendEvents(b *testing.B) {
	for name, test := range map[string]struct {
		events []byte
		editor editor
	}{
		"same shape":   {burst(false), keep},
		"other shapes": {burst(true), keep},
		"changed":      {burst(false), func(*dialect.Text) dialect.Edit { return dialect.Edit{Replace: true, Text: otherText} }},
	} {
		b.Run(name, func(b *testing.B) {
			var st dialect.Rewriting
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				out, _, _ = Rewriter{}.AppendEvents(out[:0], test.events, dialect.OpMessages, &st, test.editor)
				st.Reset()
			}
			require.NotEmpty(b, out)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/event")
		})
	}
}
