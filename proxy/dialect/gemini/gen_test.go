package gemini

import (
	"encoding/json"
	"strconv"

	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// The generators draw requests and answers of the model that the API has all words for.

// words draws the inside of a JSON string.
var words = rapid.Custom(func(t *rapid.T) dialect.Written {
	b, _ := json.Marshal(rapid.StringN(1, 12, -1).Draw(t, "words"))
	return b[1 : len(b)-1]
})

// named draws a name that no dialect would mind.
func named(prefix string) *rapid.Generator[dialect.Written] {
	return rapid.Map(rapid.StringMatching(`[a-z]{1,8}`), func(s string) dialect.Written { return dialect.Written(prefix + s) })
}

// perhaps draws a value, or none.
func perhaps(gen *rapid.Generator[dialect.Written]) *rapid.Generator[dialect.Written] {
	return rapid.OneOf(rapid.Just[dialect.Written](nil), gen)
}

func oneOf(values ...string) *rapid.Generator[dialect.Written] {
	return rapid.Map(rapid.SampledFrom(values), func(s string) dialect.Written { return dialect.Written(s) })
}

func textPartOf(t *rapid.T) dialect.Part {
	return dialect.Part{Kind: dialect.PartText, Text: words.Draw(t, "text")}
}

var textParts = rapid.Custom(textPartOf)

var fileParts = rapid.Custom(func(t *rapid.T) dialect.Part {
	data := dialect.Written("AAEC/w==")
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		return dialect.Part{Kind: dialect.PartImage, Media: oneOf("image/png", "image/webp").Draw(t, "media"), Data: data}
	case 1:
		return dialect.Part{Kind: dialect.PartImage, Media: dialect.Written("image/jpeg"), URL: named("https://example.com/").Draw(t, "url")}
	case 2:
		return dialect.Part{Kind: dialect.PartAudio, Media: oneOf("audio/wav", "audio/mp3").Draw(t, "media"), Data: data}
	case 3:
		return dialect.Part{Kind: dialect.PartVideo, Media: dialect.Written("video/mp4"), URL: named("gs://films/").Draw(t, "url")}
	}
	return dialect.Part{Kind: dialect.PartFile, Media: oneOf("application/pdf", "text/plain").Draw(t, "media"), Data: data}
})

// chats draws a request.
var chats = rapid.Custom(func(t *rapid.T) *dialect.Chat {
	c := &dialect.Chat{
		MaxTokens: rapid.Int64Range(0, 1e6).Draw(t, "max"), Count: rapid.SampledFrom([]int64{0, 2, 5}).Draw(t, "n"),
		Temperature: perhaps(oneOf("0", "0.7", "1e-1")).Draw(t, "temperature"), TopP: perhaps(oneOf("0.5")).Draw(t, "top_p"),
		TopK: perhaps(oneOf("40")).Draw(t, "top_k"), FrequencyPenalty: perhaps(oneOf("-1.5")).Draw(t, "fp"),
		PresencePenalty: perhaps(oneOf("2")).Draw(t, "pp"), Seed: perhaps(oneOf("-7")).Draw(t, "seed"),
		Format: dialect.Format(rapid.IntRange(0, 3).Draw(t, "format")), ShowThinking: rapid.Bool().Draw(t, "show"),
	}
	if n := rapid.IntRange(0, 2).Draw(t, "systems"); n > 0 {
		c.System = rapid.SliceOfN(textParts, n, n).Draw(t, "system")
	}
	if rapid.Bool().Draw(t, "stops") {
		c.Stop = rapid.SliceOfN(words, 1, stopsMost).Draw(t, "stop")
	}
	if c.LogProbs = rapid.Bool().Draw(t, "logprobs"); c.LogProbs {
		c.TopLogProbs = perhaps(oneOf("3")).Draw(t, "top")
	}
	if c.Format == dialect.FormatSchema {
		c.Schema = dialect.Raw(`{"type":"object"}`)
	}
	switch c.Thinking = dialect.Thinking(rapid.IntRange(0, 3).Draw(t, "thinking")); c.Thinking {
	case dialect.ThinkingUnsaid:
		c.Effort = perhaps(oneOf("minimal", "low", "medium", "high")).Draw(t, "effort")
	case dialect.ThinkingOff:
		c.ShowThinking = false
	case dialect.ThinkingBudget:
		c.Budget = rapid.Int64Range(1, 1e6).Draw(t, "budget")
	}
	drawTools(t, c)
	for range rapid.IntRange(1, 3).Draw(t, "turns") {
		drawTurns(t, c)
	}
	return c
})

func drawTools(t *rapid.T, c *dialect.Chat) {
	for range rapid.IntRange(0, 2).Draw(t, "tools") {
		c.Tools = append(c.Tools, dialect.Tool{
			Name: words.Draw(t, "name"), Description: perhaps(words).Draw(t, "description"),
			Schema: perhaps(oneOf(`{}`, `{"a":[1]}`)).Draw(t, "schema"),
		})
	}
	if len(c.Tools) == 0 {
		return
	}
	c.Choice = dialect.Choice(rapid.IntRange(0, 4).Draw(t, "choice"))
	if c.Choice == dialect.ChoiceNamed {
		c.ChoiceName = c.Tools[0].Name
	}
}

// drawTurns adds what the user says and what the model answers; calls are followed by their results.
func drawTurns(t *rapid.T, c *dialect.Chat) {
	turn := func(role dialect.Role, parts ...dialect.Part) {
		c.Turns = append(c.Turns, dialect.Turn{Role: role, From: len(c.Parts), To: len(c.Parts) + len(parts)})
		c.Parts = append(c.Parts, parts...)
	}
	turn(dialect.User, rapid.SliceOfN(rapid.OneOf(textParts, fileParts), 1, 3).Draw(t, "user")...)
	var said, results []dialect.Part
	if rapid.Bool().Draw(t, "thinks") {
		said = append(said, sign(t, dialect.Part{Kind: dialect.PartThinking, Text: words.Draw(t, "thinking")}))
	}
	said = append(said, rapid.SliceOfN(textParts, 1, 2).Draw(t, "texts")...)
	if rapid.Bool().Draw(t, "hides") {
		said = append(said, dialect.Part{Kind: dialect.PartHidden, Signature: named("sig").Draw(t, "signature"), Signer: dialect.Gemini})
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "calls") {
		call := dialect.Part{Kind: dialect.PartCall, ID: dialect.Written("id" + strconv.Itoa(len(c.Parts)) + "." + strconv.Itoa(i))}
		call.Name, call.Args = words.Draw(t, "name"), oneOf(`{"a":"\n"}`, `{}`).Draw(t, "args")
		said = append(said, sign(t, call))
		results = append(results, drawResult(t, c, &call))
	}
	turn(dialect.Assistant, said...)
	if results != nil {
		turn(dialect.Results, results...)
	}
}

func sign(t *rapid.T, p dialect.Part) dialect.Part {
	if p.Signature = perhaps(named("sig")).Draw(t, "signature"); p.Signature != nil {
		p.Signer = dialect.Gemini
	}
	return p
}

func drawResult(t *rapid.T, c *dialect.Chat, call *dialect.Part) dialect.Part {
	p := dialect.Part{Kind: dialect.PartResult, ID: call.ID, Name: call.Name, From: len(c.Nested), Failed: rapid.Bool().Draw(t, "failed")}
	if p.Failed || rapid.Bool().Draw(t, "tells") {
		text := textPartOf(t)
		text.Text = rapid.OneOf(rapid.Just(text.Text), oneOf(`{\"a\":1}`, `{\"error\":\"a\"}`, `{}`, `[1]`)).Draw(t, "result")
		c.Nested = append(c.Nested, text)
	}
	if rapid.Bool().Draw(t, "shows") {
		c.Nested = append(c.Nested, dialect.Part{Kind: dialect.PartImage, Media: dialect.Written("image/png"), Data: dialect.Written("AAAA")})
	}
	p.To = len(c.Nested)
	return p
}

// replies draws an answer.
var replies = rapid.Custom(func(t *rapid.T) *dialect.Reply {
	r := &dialect.Reply{ID: named("r").Draw(t, "id"), Model: words.Draw(t, "model"), Created: rapid.Int64Range(0, 1e10).Draw(t, "created")}
	if rapid.Bool().Draw(t, "counts") {
		u := &r.Usage
		u.Known, u.Input, u.Output = true, rapid.Int64Range(10, 1e6).Draw(t, "in"), rapid.Int64Range(20, 1e6).Draw(t, "out")
		u.Cached, u.Reasoning = rapid.Int64Range(0, 5).Draw(t, "cached"), rapid.Int64Range(0, 9).Draw(t, "reasoning")
		u.AudioInput, u.ImageInput, u.AudioOutput, u.ImageOutput = rapid.Int64Range(0, 2).Draw(t, "ai"), 3, 4, rapid.Int64Range(0, 2).Draw(t, "io")
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "answers") {
		r.Answers = append(r.Answers, drawReply(t, r, i))
	}
	return r
})

var signers = rapid.SampledFrom([]dialect.ID{dialect.OpenAI, dialect.Anthropic, dialect.Gemini})

func drawReply(t *rapid.T, r *dialect.Reply, index int) dialect.Answer {
	a := dialect.Answer{Index: index, From: len(r.Parts)}
	a.Finish = rapid.SampledFrom([]dialect.Finish{dialect.FinishStop, dialect.FinishLength, dialect.FinishFilter}).Draw(t, "finish")
	add := func(p dialect.Part) { r.Parts = append(r.Parts, p) }
	if rapid.Bool().Draw(t, "thinks") {
		p := dialect.Part{Kind: dialect.PartThinking, Text: append(written("t"), words.Draw(t, "thinking")...), Signature: perhaps(named("a+/")).Draw(t, "signature")}
		if p.Signature != nil {
			p.Signer = signers.Draw(t, "signer")
		}
		add(p)
	}
	if rapid.Bool().Draw(t, "speaks") {
		add(textPartOf(t))
	}
	if rapid.Bool().Draw(t, "hides") {
		add(dialect.Part{Kind: dialect.PartHidden, Signature: named("g").Draw(t, "signature"), Signer: signers.Draw(t, "signer")})
	}
	if rapid.Bool().Draw(t, "paints") {
		add(dialect.Part{Kind: dialect.PartImage, Media: dialect.Written("image/png"), Data: dialect.Written("AAAA")})
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "calls") {
		p := dialect.Part{Kind: dialect.PartCall, ID: dialect.Written("id" + strconv.Itoa(i)), Name: words.Draw(t, "name"), Args: dialect.Raw(`{"a":1}`)}
		if p.Signature = perhaps(named("sig")).Draw(t, "signature"); p.Signature != nil {
			p.Signer = signers.Draw(t, "signer")
		}
		add(p)
		if a.Finish == dialect.FinishStop {
			a.Finish = dialect.FinishCalls
		}
	}
	a.LogProbs = perhaps(oneOf(`{"content":[{"token":"é","logprob":-1,"bytes":[195,169],"top_logprobs":[]}],"refusal":null}`,
		`{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"b","logprob":-9,"bytes":[98]}]}],"refusal":null}`)).Draw(t, "logprobs")
	a.To = len(r.Parts)
	return a
}

// eventsOf are the events of a stream that says what r does.
func eventsOf(r *dialect.Reply) []dialect.Event {
	events := []dialect.Event{{Kind: dialect.EventStart, ID: r.ID, Model: r.Model, Created: r.Created}}
	for _, a := range r.Answers {
		calls := 0
		for _, p := range r.Parts[a.From:a.To] {
			e := dialect.Event{Answer: a.Index, Text: p.Text}
			signature := dialect.Event{Kind: dialect.EventSignature, Answer: a.Index, Signature: p.Signature, Signer: p.Signer}
			switch p.Kind {
			case dialect.PartText:
				e.Kind = dialect.EventText
			case dialect.PartThinking:
				e.Kind = dialect.EventThinking
			case dialect.PartHidden:
				e, signature.Signature = signature, nil
				e.Kind = dialect.EventHidden
			case dialect.PartImage:
				e.Kind, e.Media, e.Text = dialect.EventMedia, p.Media, p.Data
			case dialect.PartCall:
				events = append(events, dialect.Event{Kind: dialect.EventCall, Answer: a.Index, Call: calls, ID: p.ID, Name: p.Name})
				e.Kind, e.Call, e.Text, signature.Call = dialect.EventArgs, calls, dialect.AppendArgsText(nil, p.Args), calls
				calls++
			}
			if events = append(events, e); signature.Signature != nil {
				events = append(events, signature)
			}
		}
		if a.LogProbs != nil {
			events = append(events, dialect.Event{Kind: dialect.EventLogProbs, Answer: a.Index, Raw: a.LogProbs})
		}
	}
	for _, a := range r.Answers {
		events = append(events, dialect.Event{Kind: dialect.EventFinish, Answer: a.Index, Finish: a.Finish})
	}
	if r.Usage.Known {
		events = append(events, dialect.Event{Kind: dialect.EventUsage, Usage: r.Usage})
	}
	return append(events, dialect.Event{Kind: dialect.EventEnd})
}
