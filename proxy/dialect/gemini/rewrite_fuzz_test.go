package gemini

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
	for _, name := range []string{
		"contents", "content", "requests", "systemInstruction", "system_instruction", "generationConfig", "generation_config",
		"generateContentRequest", "generate_content_request",
	} {
		delete(o, name)
	}
	return o
}

func FuzzPromptEdits(f *testing.F) {
	for _, body := range []string{
		promptBody, string(asked), inner(promptBody), `{ }`, `{"content":{"parts":{"text":"a"}},"requests":[{"content":{}}],"contents":{"parts":{}}}`,
		`{"c\u006fntents":[{"parts":[{"text":"a","x":1},{"functionCall":{}},{"text":"b"},"c",{"thoughtSignature":"s"}]}],"system_instruction":{"parts":{"text":"b"}},"generation_config":{"max_output_tokens":"1"},"x":[1.0]}`,
		`{"systemInstruction":null,"generationConfig":null,"contents":null}`,
	} {
		f.Add([]byte(body), []byte("a\"\n\xff"), uint8(1))
	}
	f.Fuzz(func(t *testing.T, body, text []byte, pick uint8) {
		var v view.View
		if v.Parse(body) != nil {
			return
		}
		op := dialect.OpGenerate + dialect.Op(pick%4)
		said := string(jsonscan.AppendUTF8(nil, text))
		var before, after dialect.Prompt
		Codec{}.ReadPrompt(op, body, &before)
		edits := []func() ([]byte, error){
			func() ([]byte, error) { return Codec{}.AppendSystem(nil, body, op, true, text) },
			func() ([]byte, error) { return Codec{}.AppendSystem(nil, body, op, false, text) },
			func() ([]byte, error) { return Codec{}.AppendMessage(nil, body, op, int(pick/4), text) },
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
			require.Equal(t, before.Messages, after.Messages)
		}
	})
}

func FuzzRewrite(f *testing.F) {
	exploded, _, _, err := Codec{}.AppendStream(nil, dialect.OpGenerate, []byte(wholeAnswer))
	require.NoError(f, err)
	for _, events := range [][]byte{
		exploded, sse(piece(says(0, "", thought, saying("a")), says(1, "", theCall, saying(`\ud83d`))), piece(says(1, ends, saying("b"), theMark)), piece(says(0, ends))),
		[]byte("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"\r\ndata: }]}}]}\r\n\r\n: c\n\n"), sse(`{"candidates":[{"finishReason":"STOP"}]}`),
	} {
		f.Add(events, uint8(0), uint8(9))
		f.Add(events, uint8(1), uint8(1))
		f.Add(events, uint8(1), uint8(3))
	}
	f.Fuzz(func(t *testing.T, events []byte, pick, stop uint8) {
		edit := upper
		if pick%2 > 0 {
			edit = holding(".")
		}
		left := int(stop)
		e := editor(func(x *dialect.Text) dialect.Edit {
			left--
			d := edit(x)
			d.Stop = left == 0
			return d
		})
		var st dialect.Rewriting
		same, _, err := Rewriter{}.AppendEvents(nil, events, dialect.OpGenerate, &st, keep)
		if err == nil {
			require.Equal(t, string(events), string(same))
		}
		st.Reset()
		got, ended, err := Rewriter{}.AppendEvents(nil, events, dialect.OpGenerate, &st, e)
		require.True(t, err == nil || errors.Is(err, dialect.ErrMalformed))
		for in := events; len(in) > 0; in = in[stream.Next(in):] {
			if stream.Next(in) == 0 {
				return // a stream that breaks off need not end well
			}
		}
		var after dialect.Stream
		for len(got) > 0 {
			n := stream.Next(got)
			require.NotZero(t, n, "%q", got)
			_, data, _ := stream.Fields(got[:n], nil)
			if len(data) > 0 {
				assert.True(t, json.Valid(data), "%q", data)
			}
			_, _ = Codec{}.Event(dialect.OpGenerate, &after, nil, data)
			got = got[n:]
		}
		if ended && after.Choices != 0 {
			require.True(t, after.Finished)
		}
	})
}

func FuzzRewriteWhole(f *testing.F) {
	f.Add([]byte(wholeAnswer), uint8(1))
	f.Add([]byte(piece(says(0, "", thought, saying("a"), saying("b"), theMark, theCall), `{"content":{}}`, `{}`)), uint8(2))
	f.Add([]byte(`{"candidates":[{"content":null},{"content":{"parts":[7,{"te\u0078t":"x"},{"text":"y","x":1}]},"grounding_metadata":{"groundingSupports":1},"finish_message":"x"}]}`), uint8(0))
	f.Fuzz(func(t *testing.T, body []byte, stop uint8) {
		if _, err := (Codec{}).Whole(dialect.OpGenerate, body); err != nil {
			return
		}
		same, err := Rewriter{}.AppendWhole(nil, body, dialect.OpGenerate, keep)
		if err != nil {
			require.ErrorIs(t, err, dialect.ErrMalformed) // a candidate that is no object
			return
		}
		require.Equal(t, string(body), string(same))
		left := int(stop)
		got, err := Rewriter{}.AppendWhole(nil, body, dialect.OpGenerate, editor(func(x *dialect.Text) dialect.Edit {
			left--
			return dialect.Edit{Replace: true, Text: []byte("<\x00>"), Stop: left == 0}
		}))
		require.NoError(t, err)
		require.True(t, json.Valid(got), "%s", got)
	})
}

// burst is a stream of 64 texts.
func burst() []byte {
	var events []string
	for range 64 {
		events = append(events, string(chunk))
	}
	return sse(append(events, piece(says(0, ends, theMark)))...)
}

var otherText = []byte("other")

func BenchmarkAppendEvents(b *testing.B) {
	for name, e := range map[string]editor{
		"unchanged": keep,
		"changed":   func(*dialect.Text) dialect.Edit { return dialect.Edit{Replace: true, Text: otherText} },
	} {
		b.Run(name, func(b *testing.B) {
			var st dialect.Rewriting
			var out []byte
			events := burst()
			b.ReportAllocs()
			for b.Loop() {
				out, _, _ = Rewriter{}.AppendEvents(out[:0], events, dialect.OpGenerate, &st, e)
				st.Reset()
			}
			require.NotEmpty(b, out)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/event")
		})
	}
}
