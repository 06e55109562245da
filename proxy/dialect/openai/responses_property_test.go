package openai

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// typedReplies draws answers that the responses API has all words for. No two texts or unsigned thoughts follow one
// another: a stream does not tell where one ends.
var typedReplies = rapid.Custom(func(t *rapid.T) *dialect.Reply {
	r := &dialect.Reply{ID: named(responsePrefix).Draw(t, "id"), Model: words.Draw(t, "model"), Created: rapid.Int64Range(0, 1e10).Draw(t, "created")}
	if rapid.Bool().Draw(t, "counts") {
		r.Usage = dialect.Usage{Known: true, Input: 10, Output: rapid.Int64Range(10, 1e6).Draw(t, "out"), Cached: 3, CacheWrite: 2, Reasoning: rapid.Int64Range(0, 9).Draw(t, "reasoning"), AudioOutput: 1, ImageInput: 2}
	}
	called, refused, spoke := false, false, false
	before := dialect.Part{Kind: dialect.PartResult}
	for i := range rapid.IntRange(0, 6).Draw(t, "parts") {
		p := dialect.Part{Kind: rapid.SampledFrom([]dialect.PartKind{dialect.PartText, dialect.PartRefusal, dialect.PartThinking, dialect.PartHidden, dialect.PartCall, dialect.PartImage}).Draw(t, "kind")}
		if p.Kind == before.Kind && before.Signature == nil && p.Kind != dialect.PartCall {
			continue
		}
		switch p.Kind {
		case dialect.PartText:
			p.Text, spoke = words.Draw(t, "text"), true
		case dialect.PartRefusal:
			p.Text, refused = words.Draw(t, "text"), true
		case dialect.PartImage:
			p.Media, p.Data = oneOf("image/png", "image/jpeg", "image/webp").Draw(t, "media"), dialect.Written("AAAA")
		case dialect.PartCall:
			p.ID, p.Name, p.Args = dialect.Written{'c', byte('a' + i)}, words.Draw(t, "name"), oneOf(`"{\"a\":1}"`, `"{}"`, `"{\"a\":"`).Draw(t, "args")
			if p.Signature, called = perhaps(named("sig")).Draw(t, "signature"), true; p.Signature != nil {
				p.Signer = dialect.Gemini
			}
		default:
			p.Signer = rapid.SampledFrom([]dialect.ID{dialect.OpenAI, dialect.Anthropic}).Draw(t, "signer")
			p.Signature = named("sig").Draw(t, "signature")
			if p.Kind == dialect.PartThinking {
				p.Text = words.Draw(t, "thinking")
				if rapid.Bool().Draw(t, "unsigned") {
					p.Signature, p.Signer = nil, 0
				}
			}
		}
		r.Parts, before = append(r.Parts, p), p
	}
	a := dialect.Answer{To: len(r.Parts)}
	switch a.Finish = rapid.SampledFrom([]dialect.Finish{dialect.FinishStop, dialect.FinishLength, dialect.FinishFilter}).Draw(t, "finish"); {
	case a.Finish == dialect.FinishStop && called:
		a.Finish = dialect.FinishCalls
	case a.Finish == dialect.FinishStop && refused:
		a.Finish = dialect.FinishRefusal
	}
	if spoke {
		a.LogProbs = perhaps(oneOf(`{"content":[{"token":"a","logprob":-1}],"refusal":null}`)).Draw(t, "logprobs")
	}
	r.Answers = []dialect.Answer{a}
	return r
})

func TestResponsesComeBack(t *testing.T) {
	var got dialect.Reply
	rapid.Check(t, func(t *rapid.T) {
		want := typedReplies.Draw(t, "reply")
		body, err := Codec{}.AppendReply([]byte("|"), dialect.OpResponses, want)
		require.NoError(t, err)
		u, err := Codec{}.Whole(dialect.OpResponses, body[1:])
		require.NoError(t, err, "%s", body)
		assert.Equal(t, want.Usage, u)
		require.NoError(t, Codec{}.ReadReply(dialect.OpResponses, body[1:], &got))
		assert.Equal(t, plainReply(*want), plainReply(got), "%s", body)
	})
}

// A stream's events, put together as the cache does, are the whole answer, and so is what its parts told.
func TestResponsesStreamsAreWholeAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := typedReplies.Draw(t, "reply")
		probable := r.Answers[0].LogProbs
		r.Answers[0].LogProbs = nil
		var events []dialect.Event
		for _, e := range eventsOf(r) { // which tell logprobs last
			if events = append(events, e); e.Kind == dialect.EventText && probable != nil {
				events = append(events, dialect.Event{Kind: dialect.EventLogProbs, Raw: probable})
				r.Answers[0].LogProbs, probable = probable, nil
			}
		}
		whole, err := Codec{}.AppendReply(nil, dialect.OpResponses, r)
		require.NoError(t, err)
		streamed := typedStream(t, events)
		got, err := Codec{}.AppendWhole(nil, dialect.OpResponses, streamed)
		require.NoError(t, err)
		assert.Equal(t, string(whole), string(got))
		again, _, _, err := Codec{}.AppendStream(nil, dialect.OpResponses, whole)
		require.NoError(t, err)
		assert.Equal(t, itemsDone(t, again), itemsDone(t, streamed), "each item is told as a whole, too")
	})
}

// itemsDone is the items that a stream tells at their ends, by their place.
func itemsDone(t require.TestingT, sse []byte) map[string]any {
	items := map[string]any{}
	for len(sse) > 0 {
		n := stream.Next(sse)
		require.NotZero(t, n)
		_, data, _ := stream.Fields(sse[:n], nil)
		sse = sse[n:]
		var e struct {
			Type   string
			Output json.Number `json:"output_index"`
			Item   any
		}
		require.NoError(t, json.Unmarshal(data, &e))
		if e.Type == "response.output_item.done" {
			items[e.Output.String()] = e.Item
		}
	}
	return items
}

func FuzzResponses(f *testing.F) {
	f.Add([]byte(`{"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:;base64,"},{"type":"input_file","file_data":"\u0041"}]},{"type":"reasoning","summary":[{"text":"a"},{"text":"\n"}],"encrypted_content":"gemini:x"},
	 {"type":"function_call","call_id":"c","name":"f","arguments":{"a":1}},{"type":"function_call_output","call_id":"c","output":null}],"tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"allowed_tools","tools":[7]},"text":{"format":{"type":"json_schema"}},"reasoning":{"effort":""}}`))
	f.Add([]byte(itemsWhole))
	f.Add([]byte(`{"id":"\ud800","output":[{"type":"message","content":[{"type":"output_text","text":"a","logprobs":[ 1 , {"a":"\\\""} ]}]},{"type":"image_generation_call","result":"A"},{"role":"x"}],"usage":{"input_tokens":-1}}`))
	var c dialect.Chat
	var r, again dialect.Reply
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := (Codec{}).Read(dialect.OpResponses, body, &c); err != nil {
			require.True(t, isOwn(err), err)
		} else if out, _, err := (Codec{}).AppendRequest(nil, &c, "m", false); err == nil {
			require.True(t, json.Valid(out), "%s", out)
		}
		if err := (Codec{}).ReadReply(dialect.OpResponses, body, &r); err != nil {
			require.True(t, isOwn(err), err)
			return
		}
		out, err := Codec{}.AppendReply(nil, dialect.OpResponses, &r)
		require.NoError(t, err)
		require.True(t, json.Valid(out), "%s", out)
		require.NoError(t, Codec{}.ReadReply(dialect.OpResponses, out, &again))
		require.Len(t, again.Answers, 1)
		typedStream(t, eventsOf(&r))
	})
}

// Whatever the order of events, a good stream comes of it.
func FuzzResponsesEvents(f *testing.F) {
	f.Add([]byte{0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 4, 6, 7, 22, 6, 7, 7, 1})
	f.Fuzz(func(t *testing.T, kinds []byte) {
		texts := []string{"a", "", `\n`, `{\"a\":`, `1}`, "é"}
		var events []dialect.Event
		for i, k := range kinds {
			kind := dialect.EventKind(k % byte(dialect.EventEnd))
			text := []byte(texts[i%len(texts)])
			events = append(events, dialect.Event{
				Kind: kind, Answer: int(k) / 128, Call: int(k/16) % 3, Text: text, ID: text, Name: text, Media: []byte("image/png"), Signature: text, Signer: dialect.ID(i % 3),
				Raw: []byte("{\"content\":[\n{}\n]}"), Finish: dialect.Finish(i % 8), Usage: dialect.Usage{Known: i%2 == 0},
			})
		}
		typedStream(t, append(events, dialect.Event{Kind: dialect.EventEnd}))
	})
}
