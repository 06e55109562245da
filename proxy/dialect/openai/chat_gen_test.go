package openai

import (
	"encoding/json"

	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// The generators draw requests and answers of the model that chat/completions has all words for.

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

var userParts = rapid.Custom(func(t *rapid.T) dialect.Part {
	data := dialect.Written("AAECAw==")
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		return dialect.Part{Kind: dialect.PartImage, Media: dialect.Written("image/png"), Data: data, Detail: perhaps(oneOf("low", "high")).Draw(t, "detail")}
	case 1:
		return dialect.Part{Kind: dialect.PartImage, URL: named("https://example.com/").Draw(t, "url")}
	case 2:
		return dialect.Part{Kind: dialect.PartAudio, Media: oneOf("audio/wav", "audio/mp3").Draw(t, "media"), Data: data}
	case 3:
		return dialect.Part{Kind: dialect.PartFile, Media: dialect.Written("application/pdf"), Data: data, Name: words.Draw(t, "name")}
	case 4:
		return dialect.Part{Kind: dialect.PartFile, FileID: named("file-").Draw(t, "id"), Name: perhaps(words).Draw(t, "name")}
	}
	return textPartOf(t)
})

func textPartOf(t *rapid.T) dialect.Part {
	return dialect.Part{Kind: dialect.PartText, Text: words.Draw(t, "text")}
}

var textParts = rapid.Custom(textPartOf)

// chats draws a request.
var chats = rapid.Custom(func(t *rapid.T) *dialect.Chat {
	c := &dialect.Chat{
		MaxTokens: rapid.Int64Range(0, 1e6).Draw(t, "max"), Count: rapid.SampledFrom([]int64{0, 2, 5}).Draw(t, "n"),
		Temperature: perhaps(oneOf("0", "0.7", "1e-1")).Draw(t, "temperature"), TopP: perhaps(oneOf("0.5")).Draw(t, "top_p"),
		TopK: perhaps(oneOf("40")).Draw(t, "top_k"), FrequencyPenalty: perhaps(oneOf("-1.5")).Draw(t, "fp"),
		PresencePenalty: perhaps(oneOf("2")).Draw(t, "pp"), Seed: perhaps(oneOf("-7")).Draw(t, "seed"), User: perhaps(words).Draw(t, "user"),
		Effort: perhaps(oneOf("minimal", "low", "xhigh")).Draw(t, "effort"),
	}
	if n := rapid.IntRange(0, 2).Draw(t, "systems"); n > 0 {
		c.System = rapid.SliceOfN(textParts, n, n).Draw(t, "system")
	}
	if rapid.Bool().Draw(t, "stops") {
		c.Stop = rapid.SliceOfN(words, 1, 4).Draw(t, "stop")
	}
	if c.LogProbs = rapid.Bool().Draw(t, "logprobs"); c.LogProbs {
		c.TopLogProbs = perhaps(oneOf("3")).Draw(t, "top")
	}
	switch c.Format = rapid.SampledFrom([]dialect.Format{dialect.FormatUnsaid, dialect.FormatJSON, dialect.FormatSchema}).Draw(t, "format"); c.Format {
	case dialect.FormatSchema:
		c.Schema, c.SchemaName = dialect.Raw(`{"type":"object"}`), words.Draw(t, "name")
		c.SchemaDescription, c.SchemaStrict = perhaps(words).Draw(t, "description"), perhaps(oneOf("true")).Draw(t, "strict")
	}
	drawTools(t, c)
	for range rapid.IntRange(1, 4).Draw(t, "turns") {
		drawTurn(t, c)
	}
	return c
})

func drawTools(t *rapid.T, c *dialect.Chat) {
	for range rapid.IntRange(0, 2).Draw(t, "tools") {
		c.Tools = append(c.Tools, dialect.Tool{
			Name: words.Draw(t, "name"), Description: perhaps(words).Draw(t, "description"),
			Schema: perhaps(oneOf(`{}`, `{"a":[1]}`)).Draw(t, "schema"), Strict: perhaps(oneOf("true")).Draw(t, "strict"),
		})
	}
	if len(c.Tools) == 0 {
		return
	}
	c.Parallel = perhaps(oneOf("false")).Draw(t, "parallel")
	c.Choice = rapid.SampledFrom([]dialect.Choice{dialect.ChoiceUnsaid, dialect.ChoiceNone, dialect.ChoiceAny, dialect.ChoiceNamed}).Draw(t, "choice")
	if c.Choice == dialect.ChoiceNamed {
		c.ChoiceName = c.Tools[0].Name
	}
}

// drawTurn adds a turn; one with calls is followed by their results.
func drawTurn(t *rapid.T, c *dialect.Chat) {
	turn := dialect.Turn{From: len(c.Parts), Name: perhaps(words).Draw(t, "name")}
	calls := 0
	switch turn.Role = rapid.SampledFrom([]dialect.Role{dialect.User, dialect.Assistant, dialect.System}).Draw(t, "role"); {
	case turn.Role == dialect.User:
		c.Parts = append(c.Parts, rapid.SliceOfN(userParts, 1, 3).Draw(t, "parts")...)
	case turn.Role == dialect.System && len(c.Turns) > 0:
		c.Parts = append(c.Parts, rapid.SliceOfN(textParts, 1, 2).Draw(t, "parts")...)
	default:
		turn.Role = dialect.Assistant
		calls = drawAnswer(t, c)
	}
	turn.To = len(c.Parts)
	c.Turns = append(c.Turns, turn)
	if calls == 0 {
		return
	}
	results := dialect.Turn{Role: dialect.Results, From: len(c.Parts)}
	for _, call := range c.Parts[turn.To-calls : turn.To] {
		p := dialect.Part{Kind: dialect.PartResult, ID: call.ID, Name: call.Name, From: len(c.Nested)}
		c.Nested = append(c.Nested, rapid.SliceOfN(textParts, 1, 2).Draw(t, "nested")...)
		p.To = len(c.Nested)
		c.Parts = append(c.Parts, p)
	}
	results.To = len(c.Parts)
	c.Turns = append(c.Turns, results)
}

// drawAnswer adds what the model says, and counts its calls. Their signatures are Google's.
func drawAnswer(t *rapid.T, c *dialect.Chat) (calls int) {
	if rapid.Bool().Draw(t, "thinks") {
		c.Parts = append(c.Parts, dialect.Part{Kind: dialect.PartThinking, Text: words.Draw(t, "thinking")})
	}
	calls = rapid.IntRange(0, 2).Draw(t, "calls")
	refuses := rapid.Bool().Draw(t, "refuses")
	if n := rapid.IntRange(0, 2).Draw(t, "texts"); n > 0 || calls == 0 && !refuses {
		c.Parts = append(c.Parts, rapid.SliceOfN(textParts, max(1, n), max(1, n)).Draw(t, "texts")...)
	}
	if refuses {
		c.Parts = append(c.Parts, dialect.Part{Kind: dialect.PartRefusal, Text: words.Draw(t, "refusal")})
	}
	for i := range calls {
		p := dialect.Part{Kind: dialect.PartCall, ID: dialect.Written("call_" + string(rune('a'+len(c.Turns))) + string(rune('a'+i)))}
		p.Name, p.Args = words.Draw(t, "name"), oneOf(`"{\"a\":\"\\n\"}"`, `"{}"`).Draw(t, "args")
		if p.Signature = perhaps(named("sig")).Draw(t, "signature"); p.Signature != nil {
			p.Signer = dialect.Gemini
		}
		c.Parts = append(c.Parts, p)
	}
	return calls
}

// replies draws an answer.
var replies = rapid.Custom(func(t *rapid.T) *dialect.Reply {
	r := &dialect.Reply{ID: named(chatPrefix).Draw(t, "id"), Model: words.Draw(t, "model"), Created: rapid.Int64Range(0, 1e10).Draw(t, "created")}
	if rapid.Bool().Draw(t, "counts") {
		u := &r.Usage
		u.Known, u.Input, u.Output = true, rapid.Int64Range(10, 1e6).Draw(t, "in"), rapid.Int64Range(10, 1e6).Draw(t, "out")
		u.Cached, u.CacheWrite, u.Reasoning = rapid.Int64Range(0, 5).Draw(t, "cached"), rapid.Int64Range(0, 5).Draw(t, "written"), rapid.Int64Range(0, 9).Draw(t, "reasoning")
		u.AudioInput, u.ImageInput, u.AudioOutput, u.ImageOutput = rapid.Int64Range(0, 2).Draw(t, "ai"), 3, 4, rapid.Int64Range(0, 2).Draw(t, "io")
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "answers") {
		r.Answers = append(r.Answers, drawReply(t, r, i))
	}
	return r
})

func drawReply(t *rapid.T, r *dialect.Reply, index int) dialect.Answer {
	a := dialect.Answer{Index: index, From: len(r.Parts)}
	a.Finish = rapid.SampledFrom([]dialect.Finish{dialect.FinishStop, dialect.FinishLength, dialect.FinishFilter}).Draw(t, "finish")
	for range rapid.IntRange(0, 2).Draw(t, "thoughts") {
		p := dialect.Part{Kind: dialect.PartThinking, Text: words.Draw(t, "thinking"), Signature: named("sig").Draw(t, "signature"), Signer: dialect.Anthropic}
		if rapid.Bool().Draw(t, "hidden") {
			p.Kind, p.Text = dialect.PartHidden, nil
		}
		r.Parts = append(r.Parts, p)
	}
	if rapid.Bool().Draw(t, "speaks") {
		r.Parts = append(r.Parts, textPartOf(t))
	}
	if rapid.Bool().Draw(t, "refuses") {
		r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartRefusal, Text: words.Draw(t, "refusal")})
		a.Finish = dialect.FinishRefusal
	}
	if rapid.Bool().Draw(t, "paints") {
		r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartImage, Media: dialect.Written("image/png"), Data: dialect.Written("AAAA")})
	}
	if rapid.Bool().Draw(t, "signs") {
		r.Parts = append(r.Parts, dialect.Part{Kind: dialect.PartHidden, Signature: named("g").Draw(t, "signature"), Signer: dialect.Gemini})
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "calls") {
		p := dialect.Part{Kind: dialect.PartCall, ID: dialect.Written("call_" + string(rune('a'+i))), Name: words.Draw(t, "name"), Args: dialect.Raw(`"{\"a\":1}"`)}
		if p.Signature = perhaps(named("sig")).Draw(t, "signature"); p.Signature != nil {
			p.Signer = dialect.Gemini
		}
		r.Parts = append(r.Parts, p)
		a.Finish = dialect.FinishCalls
	}
	a.LogProbs = perhaps(oneOf(`{"content":[{"token":"a","logprob":-1,"bytes":[97],"top_logprobs":[]}],"refusal":null}`)).Draw(t, "logprobs")
	a.To = len(r.Parts)
	return a
}

// eventsOf are the events of a stream that says what r does.
func eventsOf(r *dialect.Reply) []dialect.Event {
	events := []dialect.Event{{Kind: dialect.EventStart, ID: r.ID, Model: r.Model, Created: r.Created}}
	for _, a := range r.Answers {
		calls := 0
		for _, p := range r.Parts[a.From:a.To] {
			e := dialect.Event{Answer: a.Index, Text: p.Text, Call: calls}
			signature := dialect.Event{Kind: dialect.EventSignature, Answer: a.Index, Call: calls, Signature: p.Signature, Signer: p.Signer}
			switch p.Kind {
			case dialect.PartText:
				e.Kind = dialect.EventText
			case dialect.PartRefusal:
				e.Kind = dialect.EventRefusal
			case dialect.PartThinking:
				e.Kind = dialect.EventThinking
			case dialect.PartHidden:
				e, signature.Signature = signature, nil
				e.Kind = dialect.EventHidden
			case dialect.PartImage:
				e.Kind, e.Media, e.Text = dialect.EventMedia, p.Media, p.Data
			case dialect.PartCall:
				events = append(events, dialect.Event{Kind: dialect.EventCall, Answer: a.Index, Call: calls, ID: p.ID, Name: p.Name})
				e.Kind, e.Text = dialect.EventArgs, inside(p.Args)
				calls++
			}
			events = append(events, e)
			if signature.Signature != nil {
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
