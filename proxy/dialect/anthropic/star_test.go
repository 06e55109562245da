package anthropic

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// The generators draw what the dialect has a word for, in the form in which Read finds it.

var (
	written = rapid.Map(rapid.String(), func(s string) []byte {
		v, _ := json.Marshal(s)
		return inside(v)
	})
	seen = rapid.Map(written, func(s []byte) []byte { return append([]byte("x"), s...) }) // not empty, and no white space alone
	word = rapid.Map(rapid.StringMatching(`[a-z0-9_-]{1,9}`), func(s string) []byte { return []byte(s) })
	blob = rapid.Map(rapid.StringMatching(`[A-Za-z0-9+/]{4}`), func(s string) []byte { return []byte(s) })
)

// perhaps draws a value, or nil.
func perhaps(t *rapid.T, name string, g *rapid.Generator[[]byte]) []byte {
	if rapid.Bool().Draw(t, "has "+name) {
		return g.Draw(t, name)
	}
	return nil
}

func oneOf(values ...string) *rapid.Generator[[]byte] {
	return rapid.Map(rapid.SampledFrom(values), func(s string) []byte { return []byte(s) })
}

var cacheMark = oneOf(`{"type":"ephemeral"}`, `{"type":"ephemeral","ttl":"1h"}`)

// userParts draws what a user, or a result, may say.
var userParts = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) dialect.Part {
	p := dialect.Part{Cache: perhaps(t, "cache", cacheMark)}
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		p.Kind, p.URL = dialect.PartImage, seen.Draw(t, "url")
	case 1:
		p.Kind, p.Data, p.Media = dialect.PartImage, blob.Draw(t, "data"), []byte("image/png")
	case 2:
		p.Kind, p.Name, p.Data, p.Media = dialect.PartFile, perhaps(t, "name", written), blob.Draw(t, "data"), []byte("application/pdf")
	case 3:
		p.Kind, p.Text = dialect.PartFile, seen.Draw(t, "text")
	default:
		p.Kind, p.Text = dialect.PartText, seen.Draw(t, "text")
	}
	return p
}), 1, 3)

// answerParts draws what the model may say, but for calls.
var answerPart = rapid.Custom(func(t *rapid.T) dialect.Part {
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		return dialect.Part{Kind: dialect.PartThinking, Text: written.Draw(t, "text"), Signature: blob.Draw(t, "signature"), Signer: dialect.Anthropic}
	case 1:
		return dialect.Part{Kind: dialect.PartHidden, Signature: blob.Draw(t, "signature"), Signer: dialect.Anthropic}
	}
	return dialect.Part{Kind: dialect.PartText, Text: seen.Draw(t, "text")}
})

var callPart = rapid.Custom(func(t *rapid.T) dialect.Part {
	return dialect.Part{
		Kind: dialect.PartCall, ID: word.Draw(t, "id"), Name: word.Draw(t, "name"), Args: oneOf(`{}`, `{"a":[1,"\n{"]}`).Draw(t, "args"),
	}
})

// drawTurns draws a conversation of alternating sides.
func drawTurns(t *rapid.T, c *dialect.Chat) {
	for range rapid.IntRange(1, 3).Draw(t, "rounds") {
		c.Turns = append(c.Turns, dialect.Turn{Role: dialect.User, From: len(c.Parts)})
		c.Parts = append(c.Parts, userParts.Draw(t, "user")...)
		c.Turns[len(c.Turns)-1].To = len(c.Parts)

		from := len(c.Parts)
		c.Parts = append(c.Parts, rapid.SliceOfN(answerPart, 1, 3).Draw(t, "answer")...)
		calls := rapid.SliceOfNDistinct(callPart, 0, 2, func(p dialect.Part) string { return string(p.ID) }).Draw(t, "calls")
		c.Parts = append(c.Parts, calls...)
		c.Turns = append(c.Turns, dialect.Turn{Role: dialect.Assistant, From: from, To: len(c.Parts)})

		from = len(c.Parts)
		for _, call := range calls {
			nested := len(c.Nested)
			c.Nested = append(c.Nested, userParts.Draw(t, "result")...)
			c.Parts = append(c.Parts, dialect.Part{
				Kind: dialect.PartResult, ID: call.ID, Name: call.Name, From: nested, To: len(c.Nested), Failed: rapid.Bool().Draw(t, "failed"),
			})
		}
		if len(calls) > 0 {
			c.Turns = append(c.Turns, dialect.Turn{Role: dialect.Results, From: from, To: len(c.Parts)})
		}
	}
	c.Turns = append(c.Turns, dialect.Turn{Role: dialect.User, From: len(c.Parts), To: len(c.Parts) + 1})
	c.Parts = append(c.Parts, says("so?"))
	// Without results in between, the last two turns would be one message of the user: they are not drawn.
}

func drawSettings(t *rapid.T, c *dialect.Chat) {
	c.MaxTokens = rapid.Int64Range(1, 99999).Draw(t, "max")
	for range rapid.IntRange(0, 2).Draw(t, "tools") {
		c.Tools = append(c.Tools, dialect.Tool{
			Name: word.Draw(t, "name"), Description: perhaps(t, "description", written), Schema: []byte(`{"type":"object"}`),
			Strict: perhaps(t, "strict", oneOf("true", "false")), Cache: perhaps(t, "cache", cacheMark),
		})
	}
	if len(c.Tools) > 0 {
		c.Choice = rapid.SampledFrom([]dialect.Choice{dialect.ChoiceUnsaid, dialect.ChoiceAuto, dialect.ChoiceNone}).Draw(t, "choice")
		if c.Choice == dialect.ChoiceAuto {
			c.Parallel = perhaps(t, "parallel", oneOf("false"))
		}
	}
	c.Stop = rapid.SliceOfN(seen, 0, 2).Draw(t, "stop")
	c.User = perhaps(t, "user", written)
	if rapid.Bool().Draw(t, "format") {
		c.Format, c.Schema = dialect.FormatSchema, []byte(`{"type":"object","properties":{}}`)
	}
	switch rapid.IntRange(0, 3).Draw(t, "thinking") {
	case 0:
		c.Temperature, c.TopP, c.TopK = perhaps(t, "temperature", oneOf("0", "0.5", "1")), perhaps(t, "top_p", oneOf("0.1", "1.0")), perhaps(t, "top_k", oneOf("40"))
	case 1:
		c.Thinking = dialect.ThinkingOff
	case 2:
		c.Thinking, c.ShowThinking, c.Effort = dialect.ThinkingAdaptive, rapid.Bool().Draw(t, "show"), perhaps(t, "effort", oneOf("low", "max"))
	case 3:
		c.Thinking, c.Budget, c.ShowThinking = dialect.ThinkingBudget, rapid.Int64Range(1024, 2048).Draw(t, "budget"), rapid.Bool().Draw(t, "show")
		c.MaxTokens += 2048
	}
}

func TestRequestsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want dialect.Chat
		for range rapid.IntRange(0, 2).Draw(t, "system") {
			want.System = append(want.System, dialect.Part{Kind: dialect.PartText, Text: seen.Draw(t, "system"), Cache: perhaps(t, "cache", cacheMark)})
		}
		drawTurns(t, &want)
		drawSettings(t, &want)
		body, left, err := Codec{}.AppendRequest(nil, &want, "sim", rapid.Bool().Draw(t, "stream"))
		require.NoError(t, err)
		if left.Has(dialect.FieldThinking) { // a call without a thought of its own
			t.Skip()
		}
		require.Zero(t, left)
		var got dialect.Chat
		require.NoError(t, Codec{}.Read(dialect.OpMessages, body, &got), "%s", body)
		require.Empty(t, got.Unknown)
		assert.Equal(t, conversation(&want), conversation(&got))
		for _, c := range []*dialect.Chat{&want, &got} {
			c.System, c.Turns, c.Parts, c.Nested, c.Scratch = nil, nil, nil, nil, nil
			if len(c.Stop) == 0 {
				c.Stop = nil
			}
		}
		assert.Equal(t, want, got)
	})
}

func drawReply(t *rapid.T) *dialect.Reply {
	r := &dialect.Reply{
		ID: append([]byte("msg_"), word.Draw(t, "id")...), Model: written.Draw(t, "model"), Parts: rapid.SliceOfN(answerPart, 0, 3).Draw(t, "parts"),
	}
	for i := range r.Parts {
		if p := &r.Parts[i]; p.Signature != nil {
			p.Signer = rapid.SampledFrom([]dialect.ID{dialect.Anthropic, dialect.OpenAI, dialect.Gemini}).Draw(t, "signer")
		}
	}
	calls := rapid.SliceOfN(callPart, 0, 3).Draw(t, "calls")
	for i := range calls {
		if rapid.Bool().Draw(t, "signed") {
			calls[i].Signature, calls[i].Signer = blob.Draw(t, "signature"), dialect.Gemini
		}
	}
	r.Parts = append(r.Parts, calls...)
	a := dialect.Answer{Finish: rapid.SampledFrom([]dialect.Finish{dialect.FinishSequence, dialect.FinishLength, dialect.FinishPause}).Draw(t, "finish")}
	switch {
	case a.Finish == dialect.FinishSequence:
		a.Sequence = perhaps(t, "sequence", seen)
	case len(calls) > 0:
		a.Finish = dialect.FinishCalls
	case rapid.Bool().Draw(t, "refused"):
		a.Finish = dialect.FinishRefusal
		r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartRefusal, Text: seen.Draw(t, "refusal")})
	}
	a.To = len(r.Parts)
	r.Answers = []dialect.Answer{a}
	n := func(name string) int64 { return rapid.Int64Range(0, 1e6).Draw(t, name) }
	u := dialect.Usage{Cached: n("cached"), CacheWriteHour: n("hour"), Reasoning: n("reasoning"), Known: true}
	u.CacheWrite = u.CacheWriteHour + n("write")
	u.Input, u.Output = u.Cached+u.CacheWrite+n("input"), u.Reasoning+n("output")
	r.Usage = u
	return r
}

// sameReply compares what two replies say, not how their lists are kept.
func sameReply(t require.TestingT, want, got *dialect.Reply) {
	require.Empty(t, got.Lost)
	got.Lost = nil
	if len(want.Parts) == 0 {
		want.Parts, got.Parts = nil, got.Parts[:0:0]
		require.Empty(t, got.Parts)
		got.Parts = nil
	}
	assert.Equal(t, want, got)
}

func TestRepliesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawReply(t)
		body, err := Codec{}.AppendReply(nil, dialect.OpMessages, want)
		require.NoError(t, err)
		u, err := Codec{}.Whole(dialect.OpMessages, body)
		require.NoError(t, err)
		require.Equal(t, want.Usage, u)
		var got dialect.Reply
		require.NoError(t, Codec{}.ReadReply(dialect.OpMessages, body, &got))
		sameReply(t, want, &got)
	})
}

// eventsOf tells a reply as a stream would.
func eventsOf(r *dialect.Reply) []dialect.Event {
	events := []dialect.Event{{Kind: dialect.EventStart, ID: r.ID, Model: r.Model}}
	add := func(e dialect.Event) { events = append(events, e) }
	calls := 0
	for i := range r.Parts {
		switch p := &r.Parts[i]; p.Kind {
		case dialect.PartText:
			add(dialect.Event{Kind: dialect.EventText, Text: p.Text})
		case dialect.PartRefusal:
			add(dialect.Event{Kind: dialect.EventRefusal, Text: p.Text})
		case dialect.PartThinking:
			add(dialect.Event{Kind: dialect.EventThinking, Text: p.Text})
			add(dialect.Event{Kind: dialect.EventSignature, Signature: p.Signature, Signer: p.Signer})
		case dialect.PartHidden:
			add(dialect.Event{Kind: dialect.EventHidden, Signature: p.Signature, Signer: p.Signer})
		case dialect.PartCall:
			add(dialect.Event{Kind: dialect.EventCall, Call: calls, ID: p.ID, Name: p.Name})
			add(dialect.Event{Kind: dialect.EventArgs, Call: calls, Text: dialect.AppendArgsText(nil, p.Args)})
			if p.Signature != nil {
				add(dialect.Event{Kind: dialect.EventSignature, Signature: p.Signature, Signer: p.Signer})
			}
			calls++
		}
	}
	a := r.Answers[0]
	add(dialect.Event{Kind: dialect.EventFinish, Finish: a.Finish, Sequence: a.Sequence})
	add(dialect.Event{Kind: dialect.EventUsage, Usage: r.Usage})
	add(dialect.Event{Kind: dialect.EventEnd})
	return events
}

func TestStreamsTellWhatRepliesSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawReply(t)
		// Texts that follow one another flow together, and no event tells an empty thought.
		kept := want.Parts[:0]
		for _, p := range want.Parts {
			n := len(kept)
			if p.Kind == dialect.PartThinking && len(p.Text) == 0 || n > 0 && p.Kind == dialect.PartText && kept[n-1].Kind == dialect.PartText {
				continue
			}
			kept = append(kept, p)
		}
		want.Parts, want.Answers[0].To = kept, len(kept)
		sse, st := writeStream(eventsOf(want))
		seen, kinds := classify(t, sse)
		require.Equal(t, dialect.Terminal, kinds[len(kinds)-1])
		require.Equal(t, want.Usage, seen.Usage)
		require.Equal(t, messageStop, string(sse[st.Terminal:]))
		whole, err := Codec{}.AppendWhole(nil, dialect.OpMessages, sse)
		require.NoError(t, err)
		var got dialect.Reply
		require.NoError(t, Codec{}.ReadReply(dialect.OpMessages, whole, &got))
		sameReply(t, want, &got)

		again, _ := writeStream(readBack(t, sse))
		once, err := Codec{}.AppendWhole(nil, dialect.OpMessages, again)
		require.NoError(t, err)
		require.JSONEq(t, string(whole), string(once), "what a stream tells makes the same stream")
	})
}

// readBack is what a stream tells, with bytes of its own.
func readBack(t require.TestingT, sse []byte) (all []dialect.Event) {
	var st dialect.Reading
	own := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		return append([]byte{}, b...)
	}
	eachEvent(sse, func(name, data []byte) {
		events, err := Codec{}.ReadEvent(dialect.OpMessages, &st, name, data, nil)
		require.NoError(t, err)
		for _, e := range events {
			e.Text, e.ID, e.Model, e.Name, e.Signature, e.Sequence = own(e.Text), own(e.ID), own(e.Model), own(e.Name), own(e.Signature), own(e.Sequence)
			all = append(all, e)
		}
	})
	return all
}
