package openai

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
func withoutTexts(op dialect.Op, doc any) any {
	o := doc.(map[string]any)
	for _, name := range []string{listNames[op], "instructions", "max_tokens", "max_completion_tokens", "max_output_tokens"} {
		delete(o, name)
	}
	return o
}

func FuzzPromptEdits(f *testing.F) {
	for _, body := range []string{
		`{"messages":[{"role":"system","content":"a\u0041"},{"role":"user","content":[{"type":"text","text":"b"},{"type":"image_url","image_url":{}},"c"]}],"max_tokens":1,"x":[1.0]}`,
		`{"input":[{"role":"developer","content":""},{"type":"function_call_output","output":[]},"x"],"instructions":"y"}`,
		`{"prompt":["a",[1,2]],"max_tokens":null}`, `{ }`, `{"m\u0065ssages":[{}]}`, `{"messages":[{"role":"system"},{"role":"system"}],"input":"x","prompt":[1]}`,
	} {
		f.Add([]byte(body), []byte("a\"\n\xff"), uint8(1))
	}
	f.Fuzz(func(t *testing.T, body, text []byte, pick uint8) {
		var v view.View
		if v.Parse(body) != nil {
			return
		}
		op, i := dialect.Op(1+pick%4), int(pick/16)
		said := string(jsonscan.AppendUTF8(nil, text))
		var before, after dialect.Prompt
		Codec{}.ReadPrompt(op, body, &before)
		edits := []func() ([]byte, error){
			func() ([]byte, error) { return Codec{}.AppendSystem(nil, body, op, true, text) },
			func() ([]byte, error) { return Codec{}.AppendSystem(nil, body, op, false, text) },
			func() ([]byte, error) { return Codec{}.AppendMessage(nil, body, op, i, text) },
			func() ([]byte, error) { return Codec{}.AppendMaxTokens(nil, body, op, 77) },
		}
		for kind, edit := range edits {
			got, err := edit()
			if err != nil {
				require.ErrorIs(t, err, dialect.ErrNoPlace)
				continue
			}
			require.NoError(t, v.Parse(got), "%d %s", kind, got)
			require.Equal(t, withoutTexts(op, decode(t, body, false)), withoutTexts(op, decode(t, got, false)), "%s", got)
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
			if kind != 0 && kind != 1 {
				require.Equal(t, before.Messages, after.Messages)
			}
		}
	})
}

func FuzzRewrite(f *testing.F) {
	for _, events := range [][]byte{
		burst(true)[:600], []byte("data: {\"choices\":[{\"text\":\"a\"\r\ndata: }]}\r\n\r\n: c\n\ndata: [DONE]\n\n"),
		typedSSE("created", createdEvent, "output_text.delta", aboutFirst+`"delta":"a"`, "output_text.done", aboutFirst+`"text":"a"`, "completed", `"response":{"output":[`+message("a", "")+`]}`),
		sse(chunkOf(`{"index":0,"delta":{"content":"\ud83d"}}`, `{"index":1,"delta":{"content":"x"},"finish_reason":"stop"}`), `[DONE]`),
	} {
		f.Add(events, uint8(0), uint8(9))
		f.Add(events, uint8(1), uint8(1))
		f.Add(events, uint8(2), uint8(9))
	}
	f.Fuzz(func(t *testing.T, events []byte, pick, stop uint8) {
		op := dialect.Op(1 + pick%3)
		edit := upper
		if pick > 127 {
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
		same, _, err := Rewriter{}.AppendEvents(nil, events, op, &st, keep)
		if err == nil {
			require.Equal(t, string(events), string(same))
		}
		st.Reset()
		got, _, err := Rewriter{}.AppendEvents(nil, events, op, &st, e)
		require.True(t, err == nil || errors.Is(err, dialect.ErrMalformed))
		for in := events; len(in) > 0; in = in[stream.Next(in):] {
			if stream.Next(in) == 0 {
				return // a stream that breaks off need not end well
			}
		}
		for len(got) > 0 {
			n := stream.Next(got)
			require.NotZero(t, n, "%q", got)
			if _, data, _ := stream.Fields(got[:n], nil); len(data) > 0 && !isDone(data) {
				assert.True(t, json.Valid(data), "%q", data)
			}
			got = got[n:]
		}
	})
}

var otherText = []byte("other")

func BenchmarkAppendEvents(b *testing.B) {
	for name, test := range map[string]struct {
		events []byte
		editor editor
	}{
		"same shape":   {burst(false), keep},
		"other shapes": {burst(true), keep},
		"changed":      {burst(true), func(*dialect.Text) dialect.Edit { return dialect.Edit{Replace: true, Text: otherText} }},
	} {
		b.Run(name, func(b *testing.B) {
			var st dialect.Rewriting
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				out, _, _ = Rewriter{}.AppendEvents(out[:0], test.events, dialect.OpChat, &st, test.editor)
				st.Reset()
			}
			require.NotEmpty(b, out)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/event")
		})
	}
}
