package gemini

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

// holding holds all text back until its end, and says word there, too.
func holding(word string) editor {
	held := map[int]string{}
	return func(t *dialect.Text) dialect.Edit {
		if t.First {
			held[t.Choice] = ""
		}
		if held[t.Choice] += string(t.Bytes); t.Last {
			return replace(strings.ToUpper(held[t.Choice]) + word)
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
		out, ended, err = Rewriter{}.AppendEvents(out, sse[:n], dialect.OpGenerate, &st, e)
		require.NoError(t, err)
		if sse = sse[n:]; ended {
			break
		}
	}
	return out, ended
}

const (
	usageNow = `{"promptTokenCount":3,"candidatesTokenCount":1}`
	from     = `,"modelVersion":"m","responseId":"r"`
	theCall  = `{"functionCall":{"name":"f","args":{}}}`
	theMark  = `{"text":"","thoughtSignature":"s"}`
	thought  = `{"text":"hm","thought":true}`
)

// piece is an event with candidates.
func piece(candidates ...string) string {
	return `{"candidates":[` + strings.Join(candidates, ",") + `],"usageMetadata":` + usageNow + from + `}`
}

// says is a candidate with parts and further members.
func says(index int, more string, parts ...string) string {
	return fmt.Sprintf(`{"content":{"parts":[%s],"role":"model"}%s,"index":%d}`, strings.Join(parts, ","), more, index)
}

func saying(text string) string { return `{"text":"` + text + `"}` }

const ends = `,"finishReason":"MAX_TOKENS"`

// added is an event that the rewriter adds with a text.
func added(index int, text string) string {
	return fmt.Sprintf(`{"candidates":[{"content":{"parts":[{"text":"%s"}],"role":"model"},"index":%d}]%s}`, text, index, from)
}

func TestRewriteEvents(t *testing.T) {
	in := sse(piece(says(0, "", thought)), piece(says(0, "", saying(`a\u0062`)), says(1, "", saying("x"))), piece(says(0, "", saying("c"), saying("d"))),
		piece(says(1, `,"finishReason":"STOP"`)), piece(says(0, "", theCall)), piece(says(0, "", saying("e"))), piece(says(0, ends, theMark)))
	var log []string
	got, ended := rewrite(t, in, 3, recording(&log, keep))
	assert.False(t, ended)
	assert.Equal(t, string(in), string(got))
	assert.Equal(t, []string{`0 "ab" first=true last=false `, `1 "x" first=true last=false `, `0 "c" first=false last=false `, `0 "d" first=false last=false `,
		`1 "" first=false last=true stop`, `0 "" first=false last=true `, `0 "e" first=true last=false `, `0 "" first=false last=true length`}, log)

	got, _ = rewrite(t, in, 1, editor(func(x *dialect.Text) dialect.Edit {
		if x.Last {
			return replace("\"end\"")
		}
		return upper(x)
	}))
	assert.Equal(t, string(sse(piece(says(0, "", thought)), piece(says(0, "", saying(`AB`)), says(1, "", saying("X"))), piece(says(0, "", saying("C"), saying("D"))),
		added(1, `\"end\"`), piece(says(1, `,"finishReason":"STOP"`)), added(0, `\"end\"`), piece(says(0, "", theCall)), piece(says(0, "", saying("E"))),
		piece(says(0, ends, `{"text":"\"end\"","thoughtSignature":"s"}`)))), string(got))
}

// The last event may bring a text, alone or before a call, and a candidate may bring nothing.
func TestRewriteLastEvents(t *testing.T) {
	f := func(want string, log []string, in string) {
		t.Helper()
		var saw []string
		got, _ := rewrite(t, sse(piece(says(0, "", saying("a"))), in), 1, recording(&saw, holding(".")))
		assert.Equal(t, string(sse(piece(says(0, "", saying(""))))), string(got[:len(sse(piece(says(0, "", saying("")))))]))
		assert.Equal(t, want, string(got[len(sse(piece(says(0, "", saying(""))))):]))
		assert.Equal(t, log, saw[1:])
	}
	f(string(sse(piece(says(0, ends, saying("AB."))))), []string{`0 "b" first=false last=true length`}, piece(says(0, ends, saying("b"))))
	f(string(sse(piece(says(0, ends, saying("AB."), saying(""))))), []string{`0 "b" first=false last=true length`}, piece(says(0, ends, saying("b"), saying(""))))
	f(string(sse(piece(says(0, ends, saying("AB."), theCall)))), []string{`0 "b" first=false last=true length`}, piece(says(0, ends, saying("b"), theCall)))
	f(string(sse(piece(says(0, ends, saying("A."), theCall)))), []string{`0 "" first=false last=true length`}, piece(says(0, ends, saying(""), theCall)))
	f(string(sse(added(0, "A."), piece(says(0, ends, theCall, saying("B."))))), []string{`0 "" first=false last=true length`, `0 "b" first=true last=true length`}, piece(says(0, ends, theCall, saying("b"))))
	f(string(sse(added(0, "A."), piece(says(0, `,"finishReason":"STOP"`, theCall)))), []string{`0 "" first=false last=true tool_calls`}, piece(says(0, `,"finishReason":"STOP"`, theCall)))
	f(string(sse(added(0, "A."), piece(`{"finishReason":"SAFETY"}`))), []string{`0 "" first=false last=true content_filter`}, piece(`{"finishReason":"SAFETY"}`))
	f(string(sse(piece(says(0, "", saying(""))), piece(says(0, ends, saying("A.")))))[len(sse(piece(says(0, "", saying(""))))):], []string{`0 "" first=false last=true length`}, piece(says(0, ends, saying(""))))

	var log []string
	got, _ := rewrite(t, sse(piece(says(0, ends, theCall))), 1, recording(&log, holding("no")))
	assert.Equal(t, []string{`0 "" first=true last=true length`}, log, "each candidate is asked for once at least")
	assert.Equal(t, string(sse(added(0, "no"), piece(says(0, ends, theCall)))), string(got))
}

func TestRewriteHidesWhatTellsTheText(t *testing.T) {
	const tells = `,"logprobsResult":{"a":1},"avgLogprobs":-1,"citationMetadata":{"citationSources":[]},"groundingMetadata":{"groundingChunks":[1],"groundingSupports":[{"segment":{"text":"a"}}]}`
	const snake = `,"logprobs_result":{},"avg_logprobs":-1,"citation_metadata":{},"grounding_metadata":{"grounding_supports":[{}]}`
	in := sse(piece(says(0, tells, saying("A"))), piece(says(0, tells, saying("b"))), piece(says(0, snake, saying("c"))), piece(says(0, tells+ends, saying("D"))))
	got, _ := rewrite(t, in, 1, upper)
	gone := func(logprobs string) string {
		return `,"logprobsResult":` + logprobs + `,"avgLogprobs":null,"citationMetadata":null,"groundingMetadata":{"groundingChunks":[1],"groundingSupports":[]}`
	}
	assert.Equal(t, string(sse(piece(says(0, tells, saying("A"))), piece(says(0, gone("null"), saying("B"))),
		piece(says(0, `,"logprobs_result":null,"avg_logprobs":null,"citation_metadata":null,"grounding_metadata":{"grounding_supports":[]}`, saying("C"))),
		piece(says(0, gone(`{"a":1}`)+ends, saying("D"))))), string(got))
}

func lastEvent(reason string, indexes ...int) string {
	var all []string
	for _, i := range indexes {
		all = append(all, fmt.Sprintf(`{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"%s","index":%d}`, reason, i))
	}
	return piece(all...)
}

func TestRewriteStops(t *testing.T) {
	in := sse(piece(says(0, "", saying("abc"))), piece(says(0, "", saying("never"))), piece(says(0, ends, theMark)))
	for reason, want := range map[string]string{"": "STOP", "stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY", "tool_calls": "STOP", "SPII": "SPII"} {
		got, ended := rewrite(t, in, 2, editor(func(*dialect.Text) dialect.Edit {
			return dialect.Edit{Replace: true, Text: []byte("A"), Stop: true, Reason: []byte(reason)}
		}))
		assert.True(t, ended)
		assert.Equal(t, string(sse(piece(says(0, "", saying("A"))), lastEvent(want, 0))), string(got))
	}
	f := func(n int, in, want []string) {
		t.Helper()
		got, ended := rewrite(t, sse(in...), 1, stopping(n, ""))
		assert.True(t, ended)
		assert.Equal(t, string(sse(want...)), string(got))
	}
	f(0, []string{piece(says(0, ends+`,"finishMessage":"x"`, saying("a"), theCall))}, []string{piece(says(0, `,"finishReason":"STOP","finishMessage":null`, saying("a")))})
	f(1, []string{piece(says(0, "", saying("a"))), piece(says(0, ends, theCall, saying("b")))}, []string{piece(says(0, "", saying("a"))), piece(says(0, `,"finishReason":"STOP"`))})
	f(1, []string{piece(says(0, "", saying("a"))), piece(says(0, "", thought, theCall))}, []string{piece(says(0, "", saying("a"))), piece(says(0, "")), lastEvent("STOP", 0)})
	f(1, []string{piece(says(0, "", saying("a"))), piece(says(0, ends, theMark))}, []string{piece(says(0, "", saying("a"))), piece(says(0, `,"finishReason":"STOP"`, theMark))})
	f(1, []string{piece(says(0, "", saying("a")), says(1, "", saying("b")), says(2, "", saying("secret"))), ""}, []string{piece(says(0, "", saying("a")), says(1, "", saying("b")), says(2, "")), lastEvent("STOP", 0, 1, 2)})
	f(2, []string{piece(says(1, ends, saying("a"))), piece(says(0, "", saying("b"))), piece(says(0, "", saying("c")))}, []string{piece(says(1, ends, saying("a"))), piece(says(0, "", saying("b"))), piece(says(0, "", saying("c"))), lastEvent("STOP", 0)})
	f(0, []string{`{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`}, []string{`{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`, `{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}]}`})
}

func TestRewriteAfterTheEnd(t *testing.T) {
	var st dialect.Rewriting
	event := sse(piece(says(0, "", saying("a"))))
	_, ended, err := Rewriter{}.AppendEvents(nil, event, dialect.OpGenerate, &st, stopping(0, ""))
	require.NoError(t, err)
	require.True(t, ended)
	got, ended, err := Rewriter{}.AppendEvents(nil, event, dialect.OpGenerate, &st, keep)
	require.NoError(t, err)
	assert.True(t, ended)
	assert.Empty(t, got)
	st.Reset()
	got, ended, err = Rewriter{}.AppendEvents(nil, event, dialect.OpGenerate, &st, keep)
	require.NoError(t, err)
	assert.False(t, ended)
	assert.Equal(t, string(event), string(got))
}

func TestRewriteKeepsFrames(t *testing.T) {
	in := ": hello\n\ndata:" + piece(says(0, "", saying("a"))) + "\n\n" +
		"data: {\"candidates\":\ndata:  [{\"content\":{\"parts\":[{\"te\\u0078t\":\"b\"}]}}]}\n\n\ndata: {\"candidates\":{},\"usage_metadata\":\ndata: {}}\n\n"
	got, _ := rewrite(t, []byte(in), 1, keep)
	assert.Equal(t, in, string(got))
	got, _ = rewrite(t, []byte(in), 1, upper)
	assert.Equal(t, strings.NewReplacer(`"a"`, `"A"`, `"b"`, `"B"`, ":\ndata:  [", ":  [").Replace(in), string(got))
}

type failing struct{}

var errEditor = errors.New("no")

func (failing) EditText(*dialect.Text) (dialect.Edit, error) { return dialect.Edit{}, errEditor }

func TestRewriteFails(t *testing.T) {
	f := func(event string, e dialect.Editor, want error) {
		t.Helper()
		var st dialect.Rewriting
		good := ": good\n\n"
		got, ended, err := Rewriter{}.AppendEvents(nil, append([]byte(good), sse(event)...), dialect.OpGenerate, &st, e)
		require.ErrorIs(t, err, want)
		assert.False(t, ended)
		assert.Equal(t, good, string(got))
	}
	f(`{"candidates":[`, keep, dialect.ErrMalformed)
	f(`{"candidates":[7]}`, keep, dialect.ErrMalformed)
	f(piece(says(0, "", saying("a"))), failing{}, errEditor)
	f(piece(says(0, ends)), failing{}, errEditor)
	var many []string
	for i := range most + 1 {
		many = append(many, says(i, ""))
	}
	f(piece(many...), keep, dialect.ErrMalformed)

	got, err := Rewriter{}.AppendWhole([]byte("|"), []byte(wholeAnswer), dialect.OpGenerate, failing{})
	require.ErrorIs(t, err, errEditor)
	assert.Equal(t, "|", string(got))
	_, err = Rewriter{}.AppendWhole(nil, []byte(wholeAnswer[:len(wholeAnswer)-1]), dialect.OpGenerate, keep)
	require.ErrorIs(t, err, dialect.ErrMalformed)
}

func TestRewriteLeavesOtherOperationsAlone(t *testing.T) {
	for _, op := range []dialect.Op{dialect.OpCount, dialect.OpEmbed, dialect.OpOther} {
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
		got, err := Rewriter{}.AppendWhole([]byte("|"), []byte(body), dialect.OpGenerate, e)
		require.NoError(t, err)
		assert.Equal(t, "|"+want, string(got))
	}
	f(upper, strings.Replace(wholeAnswer, `Hi \"there\"`, `HI \"THERE\"`, 1), wholeAnswer)
	f(upper, piece(says(0, "", thought, saying("ABC"), `{"text":"","x":1}`, theMark, theCall, saying("D")), says(1, "", saying("E"))),
		piece(says(0, "", thought, saying("a"), saying("b"), `{"text":"c","x":1}`, theMark, theCall, saying("d")), says(1, "", saying("e"))))
	f(upper, piece(says(0, `,"logprobsResult":null,"avgLogprobs":null,"citationMetadata":null`, saying("A"))), piece(says(0, `,"logprobsResult":{},"avgLogprobs":-1,"citationMetadata":{}`, saying("a"))))

	word := holding("no")
	for body, want := range map[string]string{
		says(0, ends, theCall, theMark):           says(0, ends, theCall, `{"text":"no","thoughtSignature":"s"}`),
		says(0, ends, theMark, theCall):           says(0, ends, theMark, theCall, saying("no")),
		says(0, ends):                             says(0, ends, saying("no")),
		says(0, ends, `{"thoughtSignature":"s"}`): says(0, ends, `{"thoughtSignature":"s"}`, saying("no")),
		`{"content":{},"index":0}`:                `{"content":{"parts":[{"text":"no"}]},"index":0}`,
		`{"content":{"role":"model"}}`:            `{"content":{"role":"model","parts":[{"text":"no"}]}}`,
		`{"content":null}`:                        `{"content":{"parts":[{"text":"no"}],"role":"model"}}`,
		`{"finishReason":"SAFETY"}`:               `{"finishReason":"SAFETY","content":{"parts":[{"text":"no"}],"role":"model"}}`,
		`{}`:                                      `{"content":{"parts":[{"text":"no"}],"role":"model"}}`,
	} {
		f(word, piece(want), piece(body))
	}

	f(stopping(0, ""), piece(says(0, `,"finishReason":"STOP"`, thought, saying("a")), says(1, `,"finishReason":"STOP"`, saying("b"))), piece(says(0, ends, thought, saying("a"), theCall, saying("b")), says(1, ends, saying("b"))))
	f(stopping(0, "length"), `{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"MAX_TOKENS"}]}`, `{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`)
	f(stopping(0, ""), `{"candidates":[{"finishReason":"STOP","content":{"parts":[{"text":"a"}]}}]}`, `{"candidates":[{"finishReason":null,"content":{"parts":[{"text":"a"}]}}]}`)

	var log []string
	body := piece(says(0, `,"finishReason":"STOP"`, saying("a"), saying(`\u0062`), theCall, saying("c")), says(1, `,"finishReason":"OTHER"`), says(2, ""))
	f(recording(&log, keep), body, body)
	assert.Equal(t, []string{`0 "ab" first=true last=true tool_calls`, `0 "c" first=true last=true tool_calls`, `1 "" first=true last=true OTHER`, `2 "" first=true last=true `}, log)
}

// anyAnswer draws whole answers, with parts of all kinds.
var anyAnswer = rapid.Custom(func(t *rapid.T) []byte {
	part := rapid.Custom(func(t *rapid.T) map[string]any {
		p := map[string]any{}
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0:
			p["text"], p["thought"] = "hm", true
		case 1:
			p["functionCall"] = map[string]any{"name": "f", "args": map[string]any{"text": "x"}}
		case 2:
			p["inlineData"] = map[string]any{"mimeType": "image/png", "data": "AAAA"}
		default:
			p["text"] = rapid.String().Draw(t, "text")
		}
		if rapid.IntRange(0, 4).Draw(t, "signed") == 0 {
			p["thoughtSignature"] = "s"
		}
		return p
	})
	var all []any
	for i := range rapid.IntRange(1, 3).Draw(t, "candidates") {
		all = append(all, map[string]any{
			"content": map[string]any{"parts": rapid.SliceOfN(part, 0, 5).Draw(t, "parts"), "role": "model"}, "finishReason": "STOP", "index": i,
		})
	}
	doc, err := json.Marshal(map[string]any{"candidates": all, "usageMetadata": map[string]any{"promptTokenCount": 1}, "modelVersion": "m", "responseId": "r"})
	require.NoError(t, err)
	return doc
})

// runs are the texts and the other parts of each candidate, what follows one another of one kind as one, and why it
// ended.
func runs(t require.TestingT, doc []byte) (all map[int][]string) {
	var answer struct {
		Candidates []struct {
			Content      struct{ Parts []map[string]any }
			FinishReason string
			Index        int
		}
	}
	require.NoError(t, json.Unmarshal(doc, &answer), "%s", doc)
	all = map[int][]string{}
	for _, c := range answer.Candidates {
		list, text := []string{c.FinishReason}, ""
		for _, p := range append(c.Content.Parts, map[string]any{"end": true}) {
			delete(p, "thoughtSignature")
			if s, isText := p["text"].(string); isText && p["thought"] == nil {
				text += s
				continue
			}
			if text != "" {
				list, text = append(list, text), ""
			}
			other := "a thought"
			if p["thought"] == nil {
				other = fmt.Sprint(p)
			}
			if other != "a thought" || list[len(list)-1] != other {
				list = append(list, other)
			}
		}
		all[c.Index] = list[:len(list)-1]
	}
	return all
}

// assertGood checks that the relay and the codec take a stream, and that its end is its end.
func assertGood(t require.TestingT, sse []byte) (whole []byte) {
	var st dialect.Stream
	kind := dialect.Delta
	for left := sse; len(left) > 0; {
		n := stream.Next(left)
		_, data, _ := stream.Fields(left[:n], nil)
		require.NotEqual(t, dialect.Terminal, kind, "%s", sse)
		var err error
		kind, err = Codec{}.Event(dialect.OpGenerate, &st, nil, data)
		require.NoError(t, err, "%s", data)
		left = left[n:]
	}
	require.Equal(t, dialect.Terminal, kind, "%s", sse)
	whole, err := Codec{}.AppendWhole(nil, dialect.OpGenerate, sse)
	require.NoError(t, err)
	return whole
}

// To edit a stream and put it together is to put it together and edit that.
func TestStreamsAndWholesAreEditedAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := anyAnswer.Draw(t, "answer")
		events, _, _, err := Codec{}.AppendStream(nil, dialect.OpGenerate, body)
		require.NoError(t, err)
		step := rapid.IntRange(1, 5).Draw(t, "step")

		same, ended := rewrite(t, events, step, keep)
		require.False(t, ended)
		require.Equal(t, string(events), string(same))
		sameBody, err := Rewriter{}.AppendWhole(nil, body, dialect.OpGenerate, keep)
		require.NoError(t, err)
		require.Equal(t, string(body), string(sameBody))

		for _, make := range []func() editor{func() editor { return upper }, func() editor { return holding("") }, func() editor { return holding(".") }} {
			edited, _ := rewrite(t, events, step, make())
			got := assertGood(t, edited)
			want, err := Rewriter{}.AppendWhole(nil, body, dialect.OpGenerate, make())
			require.NoError(t, err)
			require.Equal(t, runs(t, want), runs(t, got), "%s", edited)
		}
	})
}

// Whatever a stream is stopped at, it is a good stream with a beginning of the answer.
func TestStoppedStreamsAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := anyAnswer.Draw(t, "answer")
		events, _, _, err := Codec{}.AppendStream(nil, dialect.OpGenerate, body)
		require.NoError(t, err)
		got, ended := rewrite(t, events, 1, stopping(rapid.IntRange(0, 3).Draw(t, "stop"), "length"))
		if !ended {
			require.Equal(t, string(events), string(got))
			return
		}
		all := runs(t, body)
		for i, list := range runs(t, assertGood(t, got)) {
			require.Contains(t, []string{"MAX_TOKENS", "STOP"}, list[0])
			require.LessOrEqual(t, len(list), len(all[i]))
			for k := 1; k < len(list); k++ {
				if k == len(list)-1 {
					require.True(t, strings.HasPrefix(all[i][k], list[k]))
				} else {
					require.Equal(t, all[i][k], list[k])
				}
			}
		}
	})
}
