package gemini

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func written(s string) dialect.Written { return dialect.Written(s) }

func text(s string) dialect.Part { return dialect.Part{Kind: dialect.PartText, Text: written(s)} }

// chatOf is a request of turns, each a role and its parts.
func chatOf(turns ...any) *dialect.Chat {
	c := &dialect.Chat{}
	for _, v := range turns {
		switch v := v.(type) {
		case dialect.Role:
			c.Turns = append(c.Turns, dialect.Turn{Role: v, From: len(c.Parts), To: len(c.Parts)})
		case dialect.Part:
			c.Parts = append(c.Parts, v)
			c.Turns[len(c.Turns)-1].To = len(c.Parts)
		}
	}
	return c
}

// request is what is asked for, and what is left out.
func request(t *testing.T, c *dialect.Chat, model string) (string, []dialect.Field) {
	t.Helper()
	out, left, err := Codec{}.AppendRequest([]byte("|"), c, model, false)
	require.NoError(t, err)
	var fields []dialect.Field
	for f := range dialect.Fields {
		if left.Has(f) {
			fields = append(fields, f)
		}
	}
	return string(out[1:]), fields
}

func TestToolsAndResults(t *testing.T) {
	call := func(id, name, args string) dialect.Part {
		return dialect.Part{Kind: dialect.PartCall, ID: written(id), Name: written(name), Args: dialect.Raw(args)}
	}
	signed := call("b", "g", `{"x":1}`)
	signed.Signature, signed.Signer = written("Zm9v"), dialect.Anthropic
	c := chatOf(dialect.User, text("hi"), dialect.Assistant, call("a", "f", `"{\"q\":\"\\\"\"}"`), signed,
		dialect.Results, dialect.Part{Kind: dialect.PartResult, ID: written("a"), From: 0, To: 2},
		dialect.Results, dialect.Part{Kind: dialect.PartResult, ID: written("b"), From: 2, To: 3, Failed: true},
		dialect.User, text("go on"))
	c.Nested = []dialect.Part{text("22 C"), {Kind: dialect.PartImage, URL: written("https://x/y.png")}, text("boom")}
	c.System = []dialect.Part{text("be brief")}
	c.Tools = []dialect.Tool{
		{Name: written("f"), Description: written("d"), Schema: dialect.Raw(`{"type":"object","$defs":{}}`), Strict: dialect.Raw("true")}, {Name: written("g")},
	}
	c.Choice, c.ChoiceName, c.Parallel, c.User = dialect.ChoiceNamed, written("f"), dialect.Raw("false"), written("u")
	out, left := request(t, c, "gemini-3.8-flash")
	assert.JSONEq(t, `{"contents":[
		{"role":"user","parts":[{"text":"hi"}]},
		{"role":"model","parts":[{"functionCall":{"id":"a","name":"f","args":{"q":"\""}}},{"functionCall":{"id":"b","name":"g","args":{"x":1}}}]},
		{"role":"user","parts":[{"functionResponse":{"id":"a","name":"f","response":{"result":"22 C"}}},{"functionResponse":{"id":"b","name":"g","response":{"error":"boom"}}},
			{"fileData":{"mimeType":"image/png","fileUri":"https://x/y.png"}}]},
		{"role":"user","parts":[{"text":"go on"}]}],
		"systemInstruction":{"parts":[{"text":"be brief"}]},
		"tools":[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":{"type":"object","$defs":{}}},{"name":"g"}]}],
		"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}}}`, out)
	assert.Equal(t, []dialect.Field{dialect.FieldUser, dialect.FieldParallel, dialect.FieldToolStrict, dialect.FieldSignature}, left)

	c.Turns = c.Turns[:4] // the calls are of the turn that goes on
	out, _ = request(t, c, "gemini-3.8-flash")
	assert.Contains(t, out, `{"functionCall":{"id":"a","name":"f","args":{"q":"\""}},"thoughtSignature":"skip_thought_signature_validator"},{"functionCall":{"id":"b","name":"g","args":{"x":1}}}`,
		"the first call of a step needs a signature")
	for _, model := range []string{"gemini-2.5-pro", "llama"} {
		out, _ = request(t, c, model)
		assert.NotContains(t, out, "thoughtSignature", model)
	}
	c.Parts[1].Signature, c.Parts[1].Signer = written("own"), dialect.Gemini
	out, _ = request(t, c, "models/gemini-4-argon")
	assert.Contains(t, out, `"thoughtSignature":"own"`)
	assert.NotContains(t, out, "skip_thought")
}

func TestResultsShowPictures(t *testing.T) {
	c := chatOf(dialect.User, text("hi"), dialect.Assistant, dialect.Part{Kind: dialect.PartCall, ID: written("a"), Name: written("f")},
		dialect.Results, dialect.Part{Kind: dialect.PartResult, ID: written("a"), Name: written("f"), To: 1})
	c.Nested = []dialect.Part{{Kind: dialect.PartImage, Data: written("iVBORw0KGgoAAA")}}
	const image = `{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgoAAA"}}`
	out, _ := request(t, c, "gemini-3-pro-preview")
	assert.Contains(t, out, `{"functionResponse":{"id":"a","name":"f","response":{},"parts":[`+image+`]}}]}`)
	out, _ = request(t, c, "gemini-2.5-flash")
	assert.Contains(t, out, `{"functionResponse":{"id":"a","name":"f","response":{}}},`+image+`]}`)
}

func TestResultsAreObjects(t *testing.T) {
	for said, want := range map[string]string{
		`{\"a\":[1]}`:        `{"a":[1]}`,
		`{\"error\":\"x\"}`:  `{"result":"{\"error\":\"x\"}"}`,
		`{\"a\":1} and more`: `{"result":"{\"a\":1} and more"}`,
		`[1]`:                `{"result":"[1]"}`,
		`{}`:                 `{"result":"{}"}`,
	} {
		c := chatOf(dialect.Results, dialect.Part{Kind: dialect.PartResult, Name: written("f"), To: 1})
		c.Nested = []dialect.Part{text(said)}
		out, _ := request(t, c, "m")
		assert.Contains(t, out, `"response":`+want+"}", said)
	}
	c := chatOf(dialect.Results, dialect.Part{Kind: dialect.PartResult, Name: written("f"), To: 2})
	c.Nested = []dialect.Part{text("a"), text("b")}
	out, _ := request(t, c, "m")
	assert.Contains(t, out, `{"result":"a\nb"}`)
}

func TestThinkingByGeneration(t *testing.T) {
	type f = dialect.Field
	lost := func(fields ...f) []f { return fields }
	const thinking, effort = dialect.FieldThinking, dialect.FieldEffort
	say := func(set func(c *dialect.Chat)) *dialect.Chat {
		c := chatOf(dialect.User, text("a"))
		set(c)
		return c
	}
	word := func(w string) *dialect.Chat { return say(func(c *dialect.Chat) { c.Effort = written(w) }) }
	budget := func(n int64) *dialect.Chat {
		return say(func(c *dialect.Chat) { c.Thinking, c.Budget = dialect.ThinkingBudget, n })
	}
	off := say(func(c *dialect.Chat) { c.Thinking = dialect.ThinkingOff })
	adaptive := say(func(c *dialect.Chat) { c.Thinking, c.ShowThinking = dialect.ThinkingAdaptive, true })
	for _, c := range []struct {
		model string
		chat  *dialect.Chat
		want  string
		left  []f
	}{
		{"gemini-3-pro-preview", word("minimal"), `{"thinkingLevel":"low"}`, lost(effort)},
		{"gemini-3-pro-preview", word("medium"), `{"thinkingLevel":"high"}`, lost(effort)},
		{"gemini-3.1-pro-preview", word("medium"), `{"thinkingLevel":"medium"}`, nil},
		{"gemini-3-flash-preview", word("minimal"), `{"thinkingLevel":"minimal"}`, nil},
		{"gemini-3.6-flash", word("minimal"), `{"thinkingLevel":"minimal"}`, nil},
		{"gemini-3.8-flash", word("minimal"), `{"thinkingLevel":"low"}`, lost(effort)},
		{"gemini-3.8-flash", word("max"), `{"thinkingLevel":"high"}`, lost(effort)},
		{"gemini-3.8-flash", word("none"), `{"thinkingLevel":"low"}`, lost(effort)},
		{"gemini-3.5-flash-lite", off, `{"thinkingLevel":"minimal"}`, lost(thinking)},
		{"gemini-3.1-flash-image", word("low"), `{"thinkingLevel":"minimal"}`, lost(effort)},
		{"gemini-4-argon", budget(1024), `{"thinkingLevel":"low"}`, lost(thinking)},
		{"gemini-4-argon", budget(8000), `{"thinkingLevel":"medium"}`, lost(thinking)},
		{"gemini-flash-latest", budget(32000), `{"thinkingLevel":"high"}`, lost(thinking)},
		{"gemini-4-argon", adaptive, `{"includeThoughts":true}`, nil},
		{"gemini-2.5-pro", off, `{"thinkingBudget":128}`, lost(thinking)},
		{"gemini-2.5-flash", off, `{"thinkingBudget":0}`, nil},
		{"gemini-2.5-flash", word("none"), `{"thinkingBudget":0}`, nil},
		{"gemini-2.5-flash", word("medium"), `{"thinkingBudget":8192}`, nil},
		{"gemini-2.5-flash", budget(40000), `{"thinkingBudget":24576}`, lost(thinking)},
		{"gemini-2.5-flash-lite", budget(100), `{"thinkingBudget":512}`, lost(thinking)},
		{"gemini-2.5-pro", adaptive, `{"includeThoughts":true,"thinkingBudget":-1}`, nil},
		{"gemini-2.0-flash", off, ``, nil},
		{"gemini-2.0-flash", adaptive, ``, lost(thinking)},
		{"gemini-2.0-flash", word("low"), ``, lost(effort)},
		{"gemini-1.5-pro", budget(100), ``, lost(thinking)},
		{"gemma-3", budget(100), `{"thinkingBudget":100}`, nil},
		{"gemma-3", say(func(c *dialect.Chat) {
			c.Thinking, c.Budget, c.Effort = dialect.ThinkingBudget, 100, written("low")
		}), `{"thinkingBudget":100}`, lost(effort)},
	} {
		out, left := request(t, c.chat, c.model)
		want := `{"contents":[{"role":"user","parts":[{"text":"a"}]}]`
		if c.want != "" {
			want += `,"generationConfig":{"thinkingConfig":` + c.want + `}`
		}
		assert.Equal(t, want+"}", out, c.model)
		assert.Equal(t, c.left, left, c.model)
	}
}

func TestConfigByGeneration(t *testing.T) {
	c := chatOf(dialect.User, text("a"))
	c.MaxTokens, c.Count, c.LogProbs, c.TopLogProbs = 9, 2, true, dialect.Raw("3")
	c.FrequencyPenalty, c.PresencePenalty, c.Seed = dialect.Raw("0.5"), dialect.Raw("0"), dialect.Raw("5000000000")
	c.Stop = []dialect.Written{written("a"), written(""), written("b"), written("c"), written("d"), written("e"), written("f")}
	c.Format, c.Schema, c.SchemaStrict = dialect.FormatSchema, dialect.Raw(`{"type":"object"}`), dialect.Raw("false")
	const common = `"maxOutputTokens":9,"stopSequences":["a","b","c","d","e"],"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}`
	out, left := request(t, c, "gemini-3.8-flash")
	assert.JSONEq(t, `{"contents":[{"role":"user","parts":[{"text":"a"}]}],"generationConfig":{`+common+`}}`, out)
	assert.Equal(t, []dialect.Field{dialect.FieldFrequencyPenalty, dialect.FieldSeed, dialect.FieldCount, dialect.FieldStop,
		dialect.FieldLogProbs, dialect.FieldSchemaStrict}, left)
	out, left = request(t, c, "gemini-2.0-flash")
	assert.JSONEq(t, `{"contents":[{"role":"user","parts":[{"text":"a"}]}],"generationConfig":{`+common+
		`,"candidateCount":2,"frequencyPenalty":0.5,"presencePenalty":0,"responseLogprobs":true,"logprobs":3}}`, out)
	assert.Equal(t, []dialect.Field{dialect.FieldSeed, dialect.FieldStop, dialect.FieldSchemaStrict}, left)
	_, set, err := Codec{}.AppendRequest(nil, c, "m", true)
	require.NoError(t, err)
	assert.True(t, set.Has(dialect.FieldCount), "a stream tells one answer")
}

func TestWhatIsLeftOut(t *testing.T) {
	c := chatOf(dialect.User, dialect.Part{Kind: dialect.PartText, Text: written("a"), Cache: dialect.Raw("{}")},
		dialect.Part{Kind: dialect.PartImage, URL: written("https://x/y"), Detail: written("low")}, text(""),
		dialect.Assistant, dialect.Part{Kind: dialect.PartThinking, Text: written("t"), Signature: written("s"), Signer: dialect.Anthropic},
		dialect.System, text("later"), dialect.User, text("b"))
	c.Turns[0].Name = written("ann")
	c.Choice = dialect.ChoiceAny
	out, left := request(t, c, "gemini-3.8-flash")
	assert.JSONEq(t, `{"contents":[{"role":"user","parts":[{"text":"a"},{"fileData":{"fileUri":"https://x/y"}}]},{"role":"user","parts":[{"text":"b"}]}],
		"systemInstruction":{"parts":[{"text":"later"}]}}`, out)
	assert.Equal(t, []dialect.Field{dialect.FieldChoice, dialect.FieldCache, dialect.FieldSignature, dialect.FieldDetail, dialect.FieldName,
		dialect.FieldSystemTurn}, left)

	alone := &dialect.Chat{System: []dialect.Part{text("s")}}
	out, _ = request(t, alone, "m")
	assert.Equal(t, `{"contents":[{"role":"user","parts":[{"text":"s"}]}]}`, out)
}

func TestFiles(t *testing.T) {
	c := chatOf(dialect.User, dialect.Part{Kind: dialect.PartFile, Text: written(`a\n`)},
		dialect.Part{Kind: dialect.PartImage, Media: written("image/jpg"), Data: written("AAAA")},
		dialect.Part{Kind: dialect.PartVideo, URL: written("https://youtu.be/x")})
	out, left := request(t, c, "gemini-2.5-flash")
	assert.JSONEq(t, `{"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"text/plain","data":"YQo="}},
		{"inlineData":{"mimeType":"image/jpeg","data":"AAAA"}},{"fileData":{"mimeType":"video/mp4","fileUri":"https://youtu.be/x"}}]}]}`, out)
	assert.Empty(t, left)
}

func TestInexpressibleRequests(t *testing.T) {
	for words, c := range map[string]*dialect.Chat{
		"keeps":        chatOf(dialect.User, dialect.Part{Kind: dialect.PartFile, FileID: written("file-1")}),
		"without byte": chatOf(dialect.User, dialect.Part{Kind: dialect.PartImage}),
		"unknown kind": chatOf(dialect.User, dialect.Part{Kind: dialect.PartImage, Data: written("AAAA")}),
		"do not fetch": chatOf(dialect.User, dialect.Part{Kind: dialect.PartImage, URL: written("https://x/y.png")}),
		"no JSON":      chatOf(dialect.Assistant, dialect.Part{Kind: dialect.PartCall, Name: written("f"), Args: dialect.Raw(`"{"`)}),
		"not among":    chatOf(dialect.Results, dialect.Part{Kind: dialect.PartResult, ID: written("a")}),
		"no text":      {System: []dialect.Part{{Kind: dialect.PartImage}}},
		"without a me": {},
	} {
		out, _, err := Codec{}.AppendRequest([]byte("|"), c, "gemini-2.0-flash", false)
		require.ErrorIs(t, err, dialect.ErrInexpressible)
		assert.Contains(t, err.Error(), words)
		assert.Equal(t, "|", string(out))
	}
}

func TestGenerations(t *testing.T) {
	for model, want := range map[string]generation{
		"gemini-2.5-flash-lite":           {205, lite, false},
		"models/gemini-3.1-pro-preview":   {301, pro, false},
		"google/gemini-3-flash":           {300, flash, false},
		"gemini-4-argon":                  {400, flash, false},
		"gemini-pro-latest":               {400, pro, false},
		"gemini-3.1-flash-image":          {301, flash, true},
		"gemini-2.0-flash-001":            {200, flash, false},
		"gpt-5":                           {},
		"publishers/google/models/gemini": {},
	} {
		assert.Equal(t, want, generationOf(model), model)
	}
}
