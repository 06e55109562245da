package anthropic

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// editor is a dialect.Editor.
type editor func(t *dialect.Text) dialect.Edit

func (e editor) EditText(t *dialect.Text) (dialect.Edit, error) { return e(t), nil }

func replace(text string) dialect.Edit { return dialect.Edit{Replace: true, Text: []byte(text)} }

var (
	keep  = editor(func(*dialect.Text) dialect.Edit { return dialect.Edit{} })
	upper = editor(func(t *dialect.Text) dialect.Edit { return replace(strings.ToUpper(string(t.Bytes))) })
)

// holding holds all text of a block back until its end.
func holding() editor {
	held := map[int]string{}
	return func(t *dialect.Text) dialect.Edit {
		if t.First {
			held[t.Choice] = ""
		}
		if held[t.Choice] += string(t.Bytes); t.Last {
			return replace(strings.ToUpper(held[t.Choice]))
		}
		return replace("")
	}
}

// stopping stops at the n-th text, 0 being the first.
func stopping(n int, reason string) editor {
	return func(*dialect.Text) dialect.Edit {
		n--
		return dialect.Edit{Stop: n < 0, Reason: []byte(reason)}
	}
}

// recording writes down what it is shown.
func recording(log *[]string, next editor) editor {
	return func(t *dialect.Text) dialect.Edit {
		*log = append(*log, fmt.Sprintf("%d %q first=%t last=%t %s", t.Choice, t.Bytes, t.First, t.Last, t.Finish))
		return next(t)
	}
}

// rewrite edits a stream, step events at a time.
func rewrite(t require.TestingT, sse []byte, step int, e dialect.Editor) (out []byte, ended bool) {
	var st dialect.Rewriting
	for len(sse) > 0 {
		n := 0
		for range step {
			n += stream.Next(sse[n:])
		}
		require.False(t, ended)
		var err error
		out, ended, err = Rewriter{}.AppendEvents(out, sse[:n], dialect.OpMessages, &st, e)
		require.NoError(t, err)
		if sse = sse[n:]; ended {
			break
		}
	}
	return out, ended
}

// sse makes a stream of events, each with the name of its type.
func sse(events ...string) (out []byte) {
	for _, data := range events {
		kind, _, _ := strings.Cut(strings.TrimPrefix(data, `{"type":"`), `"`)
		out = fmt.Appendf(out, "event: %s\ndata: %s\n\n", kind, data)
	}
	return out
}

const (
	started = `{"type":"message_start","message":{"id":"msg_1","content":[],"usage":{"input_tokens":7,"output_tokens":1}}}`
	over    = `{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"output_tokens":9}}`
	stopped = `{"type":"message_stop"}`
	tool    = `{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}`
)

func begin(i int, text string) string {
	return fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":{"type":"text","text":"%s"}}`, i, text)
}

func delta(i int, text string) string {
	return fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":"%s"}}`, i, text)
}

func thinks(i int, text string) string {
	return fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":{"type":"thinking_delta","thinking":"%s"}}`, i, text)
}

func end(i int) string { return fmt.Sprintf(`{"type":"content_block_stop","index":%d}`, i) }

// usageOf is the usage as far as it is known after the start.
func usageOf(out int) string {
	return string(appendUsage(nil, &dialect.Usage{Input: 7, Output: int64(out)}))
}

func endsFor(reason string) string {
	return `{"type":"message_delta","delta":{"stop_reason":"` + reason + `","stop_sequence":null,"stop_details":null,"container":null},"usage":` + usageOf(1) + `}`
}

func TestRewriteEvents(t *testing.T) {
	in := sse(started, `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}`, thinks(0, "hm"), end(0),
		begin(1, ""), `{"type":"ping"}`, delta(1, `a\u0062`), delta(1, "c"), delta(1, "d"), delta(1, ""), end(1),
		begin(2, "e"), delta(2, "f"), end(2), over, stopped)
	var log []string
	got, ended := rewrite(t, in, 3, recording(&log, keep))
	assert.False(t, ended)
	assert.Equal(t, string(in), string(got))
	assert.Equal(t, []string{`1 "ab" first=true last=false `, `1 "c" first=false last=false `, `1 "d" first=false last=false `, `1 "" first=false last=true `,
		`2 "e" first=true last=false `, `2 "f" first=false last=false `, `2 "" first=false last=true `}, log)

	got, _ = rewrite(t, in, 1, editor(func(x *dialect.Text) dialect.Edit {
		if x.Last {
			return replace("\"end\"")
		}
		return upper(x)
	}))
	assert.Equal(t, string(sse(started, `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}`, thinks(0, "hm"), end(0),
		begin(1, ""), `{"type":"ping"}`, delta(1, `AB`), delta(1, "C"), delta(1, "D"), delta(1, ""), delta(1, `\"end\"`), end(1),
		begin(2, "E"), delta(2, "F"), delta(2, `\"end\"`), end(2), over, stopped)), string(got))
}

func TestRewriteDropsCitationsOfChangedTexts(t *testing.T) {
	cites := func(i int) string {
		return fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":{"type":"citations_delta","citation":{"cited_text":"x"}}}`, i)
	}
	in := sse(started, `{"type":"content_block_start","index":0,"content_block":{"citations":[1],"type":"text","text":"a"}}`, cites(0), end(0),
		begin(1, ""), delta(1, "B"), cites(1), end(1), over, stopped)
	got, _ := rewrite(t, in, 1, upper)
	assert.Equal(t, string(sse(started, `{"type":"content_block_start","index":0,"content_block":{"citations":null,"type":"text","text":"A"}}`, end(0),
		begin(1, ""), delta(1, "B"), cites(1), end(1), over, stopped)), string(got))
}

// A provider that leaves the ends of blocks out must not make an editor lose what it holds back.
func TestRewriteFlushesAtTheEnd(t *testing.T) {
	in := sse(started, begin(0, ""), delta(0, "a"), over, stopped)
	var log []string
	got, _ := rewrite(t, in, 1, recording(&log, holding()))
	assert.Equal(t, string(sse(started, begin(0, ""), delta(0, ""), delta(0, "A"), over, stopped)), string(got))
	assert.Equal(t, `0 "" first=false last=true length`, log[1])
	got, ended := rewrite(t, in, 1, stopping(1, ""))
	assert.True(t, ended)
	assert.Equal(t, string(sse(started, begin(0, ""), delta(0, "a"), end(0), strings.Replace(over, "max_tokens", "end_turn", 1), stopped)), string(got))

	in = sse(delta(0, "a"), stopped)
	got, _ = rewrite(t, in, 1, holding())
	assert.Equal(t, string(sse(delta(0, ""), delta(0, "A"), stopped)), string(got))
	got, ended = rewrite(t, in, 1, stopping(1, ""))
	assert.True(t, ended)
	assert.Equal(t, 1, strings.Count(string(got), "event: message_stop\n"))
	assert.Equal(t, 1, strings.Count(string(got), "event: message_delta\n"))
}

func TestRewriteStops(t *testing.T) {
	in := sse(started, begin(0, ""), delta(0, "abc"), delta(0, "never"), end(0), tool, end(1), over, stopped)
	for reason, want := range map[string]string{"": "end_turn", "stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use", "pause_turn": "pause_turn"} {
		got, ended := rewrite(t, in, 2, editor(func(*dialect.Text) dialect.Edit {
			return dialect.Edit{Replace: true, Text: []byte("A"), Stop: true, Reason: []byte(reason)}
		}))
		assert.True(t, ended)
		assert.Equal(t, string(sse(started, begin(0, ""), delta(0, "A"), end(0), endsFor(want), stopped)), string(got))
		classify(t, got)
	}
	got, _ := rewrite(t, in, 1, stopping(2, "")) // at the block's end
	assert.Equal(t, string(sse(started, begin(0, ""), delta(0, "abc"), delta(0, "never"), end(0), endsFor("end_turn"), stopped)), string(got))

	in = sse(started, begin(0, "x"), over, stopped)
	got, _ = rewrite(t, in, 1, stopping(0, "")) // in the block's start
	assert.Equal(t, string(sse(started, begin(0, "x"), end(0), endsFor("end_turn"), stopped)), string(got))
}

func TestRewriteAfterTheEnd(t *testing.T) {
	var st dialect.Rewriting
	event := sse(delta(0, "a"))
	_, ended, err := Rewriter{}.AppendEvents(nil, event, dialect.OpMessages, &st, stopping(0, ""))
	require.NoError(t, err)
	require.True(t, ended)
	got, ended, err := Rewriter{}.AppendEvents(nil, event, dialect.OpMessages, &st, keep)
	require.NoError(t, err)
	assert.True(t, ended)
	assert.Empty(t, got)
	st.Reset()
	got, ended, err = Rewriter{}.AppendEvents(nil, event, dialect.OpMessages, &st, keep)
	require.NoError(t, err)
	assert.False(t, ended)
	assert.Equal(t, string(event), string(got))
}

func TestRewriteKeepsFrames(t *testing.T) {
	in := ": hello\r\n\r\nid: 7\r\ndata:" + delta(0, "a") + "\r\n\r\n" +
		"event: content_block_delta\ndata: {\"delta\":\ndata:  {\"te\\u0078t\":\"b\"}}\n\n\ndata: {\"type\":\"tomorrow\",\"delta\":{\"type\":\"x\",\"text\":\"y\"}}\n\n"
	got, _ := rewrite(t, []byte(in), 1, keep)
	assert.Equal(t, in, string(got))
	got, _ = rewrite(t, []byte(in), 1, upper)
	assert.Equal(t, ": hello\r\n\r\nid: 7\r\ndata:"+delta(0, "A")+"\r\n\r\n"+
		"event: content_block_delta\ndata: {\"delta\":  {\"te\\u0078t\":\"B\"}}\n\n\ndata: {\"type\":\"tomorrow\",\"delta\":{\"type\":\"x\",\"text\":\"y\"}}\n\n", string(got))
}

type failing struct{}

var errEditor = errors.New("no")

func (failing) EditText(*dialect.Text) (dialect.Edit, error) { return dialect.Edit{}, errEditor }

func TestRewriteFails(t *testing.T) {
	f := func(event string, e dialect.Editor, want error) {
		t.Helper()
		var st dialect.Rewriting
		good := ": good\n\n"
		got, ended, err := Rewriter{}.AppendEvents(nil, append([]byte(good), sse(event)...), dialect.OpMessages, &st, e)
		require.ErrorIs(t, err, want)
		assert.False(t, ended)
		assert.Equal(t, good, string(got))
	}
	f(`{"type":"content_block_delta"`, keep, dialect.ErrMalformed)
	f(delta(0, "a"), failing{}, errEditor)
	var many []byte
	for i := range most + 1 {
		many = append(many, sse(begin(i, ""))...)
	}
	_, _, err := Rewriter{}.AppendEvents(nil, many, dialect.OpMessages, new(dialect.Rewriting), keep)
	require.ErrorIs(t, err, dialect.ErrMalformed, "too many blocks")

	got, err := Rewriter{}.AppendWhole([]byte("|"), []byte(richWhole), dialect.OpMessages, failing{})
	require.ErrorIs(t, err, errEditor)
	assert.Equal(t, "|", string(got))
	_, err = Rewriter{}.AppendWhole(nil, []byte(richWhole[:len(richWhole)-1]), dialect.OpMessages, keep)
	require.ErrorIs(t, err, dialect.ErrMalformed)
}

func TestRewriteLeavesOtherOperationsAlone(t *testing.T) {
	for _, op := range []dialect.Op{dialect.OpCountTokens, dialect.OpOther} {
		got, err := Rewriter{}.AppendWhole([]byte("|"), []byte("{"), op, failing{})
		require.NoError(t, err)
		assert.Equal(t, "|{", string(got))
		got, ended, err := Rewriter{}.AppendEvents([]byte("|"), []byte("data: {"), op, new(dialect.Rewriting), failing{})
		require.NoError(t, err)
		assert.False(t, ended)
		assert.Equal(t, "|data: {", string(got))
	}
}

func TestRewriteWholes(t *testing.T) {
	f := func(e editor, want, body string) {
		t.Helper()
		got, err := Rewriter{}.AppendWhole([]byte("|"), []byte(body), dialect.OpMessages, e)
		require.NoError(t, err)
		assert.Equal(t, "|"+want, string(got))
	}
	f(upper, strings.NewReplacer(`According to the page\n`, `ACCORDING TO THE PAGE\n`, `[{"type":"page_location","cited_text":"x","document_index":0,"document_title":null,"start_page_number":1,"end_page_number":2}]`, "null").Replace(richWhole), richWhole)
	const a, b, use = `{"type":"text","text":"a","citations":null}`, `{"text":"\u0062","type":"text"}`, `{"type":"tool_use"}`
	f(stopping(0, ""), `{"content":[`+use+`, `+a+` ],"stop_reason":"end_turn","stop_sequence":null}`, `{"content":[`+use+`, `+a+` , `+b+`,`+use+` ],"stop_reason":"stop_sequence","stop_sequence":"x"}`)
	f(stopping(1, "length"), `{"stop_reason":"max_tokens","content":[`+a+`,`+b+`]}`, `{"stop_reason":"end_turn","content":[`+a+`,`+b+`]}`)
	f(stopping(0, ""), `{"content":[`+a+`],"stop_reason":"end_turn"}`, `{"content":[`+a+`]}`)
	f(upper, `{"content":"x"}`, `{"content":"x"}`)

	var log []string
	f(recording(&log, keep), `{"content":[`+use+`,`+a+`,`+b+`,{"type":"text","text":""}],"stop_reason":"tool_use"}`, `{"content":[`+use+`,`+a+`,`+b+`,{"type":"text","text":""}],"stop_reason":"tool_use"}`)
	assert.Equal(t, []string{`1 "a" first=true last=true tool_calls`, `2 "b" first=true last=true tool_calls`, `3 "" first=true last=true tool_calls`}, log)
	for reason, want := range map[string]string{"end_turn": "stop", "stop_sequence": "stop", "refusal": "content_filter", "model_context_window_exceeded": "length", "pause_turn": "pause_turn"} {
		log = nil
		body := `{"stop_reason":"` + reason + `","content":[` + a + `]}`
		f(recording(&log, keep), body, body)
		assert.Equal(t, []string{`0 "a" first=true last=true ` + want}, log)
	}
}

var anyMessage = rapid.Custom(func(t *rapid.T) []byte {
	doc, err := json.Marshal(map[string]any{
		"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": anyBlocks.Draw(t, "content"),
		"stop_reason": "end_turn", "stop_sequence": nil, "usage": map[string]any{"input_tokens": 1, "output_tokens": 2},
	})
	require.NoError(t, err)
	return doc
})

// bare is a message without what is dropped along with a changed text.
func bare(t require.TestingT, doc []byte) map[string]any {
	var m map[string]any
	require.NoError(t, json.Unmarshal(doc, &m))
	for _, b := range m["content"].([]any) {
		delete(b.(map[string]any), "citations")
	}
	return m
}

// To edit a stream and put it together is to put it together and edit that.
func TestStreamsAndWholesAreEditedAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := anyMessage.Draw(t, "message")
		events, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, body)
		require.NoError(t, err)
		step := rapid.IntRange(1, 5).Draw(t, "step")

		same, ended := rewrite(t, events, step, keep)
		require.False(t, ended)
		require.Equal(t, string(events), string(same))
		sameBody, err := Rewriter{}.AppendWhole(nil, body, dialect.OpMessages, keep)
		require.NoError(t, err)
		require.Equal(t, string(body), string(sameBody))

		for _, make := range []func() editor{func() editor { return upper }, holding} {
			edited, _ := rewrite(t, events, step, make())
			classify(t, edited)
			got, err := Codec{}.AppendWhole(nil, dialect.OpMessages, edited)
			require.NoError(t, err, "%s", edited)
			want, err := Rewriter{}.AppendWhole(nil, body, dialect.OpMessages, make())
			require.NoError(t, err)
			require.Equal(t, bare(t, want), bare(t, got), "%s", edited)
		}
	})
}

// Whatever a stream is stopped at, it is a good stream with the blocks up to there.
func TestStoppedStreamsAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := anyMessage.Draw(t, "message")
		events, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, body)
		require.NoError(t, err)
		n := rapid.IntRange(0, 3).Draw(t, "stop")
		got, ended := rewrite(t, events, 1, stopping(n, "length"))
		st, kinds := classify(t, got)
		require.True(t, st.Finished)
		require.Equal(t, dialect.Terminal, kinds[len(kinds)-1])
		whole, err := Codec{}.AppendWhole(nil, dialect.OpMessages, got)
		require.NoError(t, err, "%s", got)
		if !ended {
			require.Equal(t, string(events), string(got))
			return
		}
		m, all := bare(t, whole), bare(t, body)
		require.Equal(t, "max_tokens", m["stop_reason"])
		blocks, before := m["content"].([]any), all["content"].([]any)
		require.LessOrEqual(t, len(blocks), len(before))
		for i, b := range blocks {
			require.Equal(t, before[i], b, "texts come in one piece")
		}
	})
}
