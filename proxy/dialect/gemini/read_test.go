package gemini

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// read is what a request of contents says.
func read(t *testing.T, body string) *dialect.Chat {
	t.Helper()
	c := new(dialect.Chat)
	require.NoError(t, Codec{}.Read(dialect.OpGenerate, []byte(body), c), body)
	return c
}

// said shows the turns of a request in one line.
func said(c *dialect.Chat) string {
	var b strings.Builder
	for _, turn := range c.Turns {
		b.WriteString([...]string{"user", "model", "results", "system"}[turn.Role] + "(")
		for _, p := range c.Parts[turn.From:turn.To] {
			b.WriteString(shown(c, p) + ";")
		}
		b.WriteString(") ")
	}
	return strings.TrimSpace(b.String())
}

func shown(c *dialect.Chat, p dialect.Part) string {
	kinds := [...]string{"text", "refusal", "image", "audio", "video", "file", "thinking", "hidden", "call", "result"}
	b := kinds[p.Kind]
	for i, v := range []dialect.Written{p.Text, p.Media, p.Data, p.URL, p.FileID} {
		if v != nil {
			b += [...]string{" ", " media ", " data ", " url ", " file "}[i] + string(v)
		}
	}
	if p.Kind == dialect.PartCall || p.Kind == dialect.PartResult {
		b += " " + string(p.ID) + "=" + string(p.Name) + " " + string(p.Args)
	}
	if p.Signature != nil {
		b += " signed " + p.Signer.String() + ":" + string(p.Signature)
	}
	if p.Kind == dialect.PartResult {
		for _, n := range c.Nested[p.From:p.To] {
			b += "<" + shown(c, n) + ">"
		}
		if p.Failed {
			b += " failed"
		}
	}
	return b
}

func TestReadContents(t *testing.T) {
	for body, want := range map[string]string{
		`{"contents":{"parts":{"text":"hi"}}}`: "user(text hi;)",
		`{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f"},"thoughtSignature":"skip_thought_signature_validator"}]}]}`:                                                                               "model(call call_1=f ;)",
		`{"contents":[{"role":"model","parts":[{"text":"a ","thought":true}]},{"role":"model","parts":[{"text":"b","thought":true,"thoughtSignature":"YW50aHJvcGljOng="}]},{"role":"model","parts":[{"text":"c"}]}]}`: "model(thinking a b signed anthropic:x;text c;)",
		`{"contents":[{"role":"model","parts":[{"text":" ","thought":true,"thoughtSignature":"YW50aHJvcGljOmhpZGRlbjp4"},{"text":" ","thought":true,"thoughtSignature":"YW50aHJvcGljOng="}]}]}`:                       "model(hidden signed anthropic:x;thinking signed anthropic:x;)",
		`{"contents":[{"parts":[{"text":"hi"},{"text":""}],"role":"USER"},{"role":"model","parts":[{"text":"yo"}]}]}`:                                                                                                 "user(text hi;) model(text yo;)",
		`{"contents":[{"role":"model","parts":[{"text":"t","thought":true,"thoughtSignature":"s"},{"text":"a","thought_signature":"s2"},{"thoughtSignature":"s3"}]}]}`:                                                "model(thinking t signed gemini:s;text a;hidden signed gemini:s2;hidden signed gemini:s3;)",
		`{"contents":[{"role":"model","parts":[{"thought":true},{"thought":true,"thoughtSignature":"YW50aHJvcGljOmEvYis="},{"text":"","thoughtSignature":"b3BlbmFpOng="}]}]}`:                                         "model(thinking signed anthropic:a/b+;hidden signed openai:x;)",
		`{"contents":[{"role":"model","parts":[{"thoughtSignature":"YW50aHJvcGljOmE_"}]}]}`:                                                                                                                           "model(hidden signed anthropic:a?;)",
		`{"contents":[{"role":"model","parts":[{"thoughtSignature":"YW50aHJvcGljO!"}]}]}`:                                                                                                                             "model(hidden signed gemini:YW50aHJvcGljO!;)",
		`{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":1}},"thoughtSignature":"s"},{"functionCall":{"name":"f"}},{"functionCall":{"name":"g","id":"x"}}]},` +
			`{"role":"user","parts":[{"functionResponse":{"name":"g","response":{"output":"1"}}},{"functionResponse":{"name":"f","response":{"error":"2"}}},{"functionResponse":{"name":"f","response":{"b":[3]}}},{"text":"so?"}]}]}`: `model(call call_1=f {"a":1} signed gemini:s;call call_2=f ;call x=g ;) ` +
			`results(result x=g <text 1>;result call_1=f <text 2> failed;result call_2=f <text {\"b\":[3]}>;) user(text so?;)`,
		`{"contents":[{"role":"model","parts":[{"function_call":{"name":"f","id":"x"}}]},{"role":"function","parts":[{"function_response":{"id":"x","response":{"result":{"a":"\n"}},` +
			`"parts":[{"inlineData":{"mimeType":"image/png","data":"A-_A"}}]}}]}]}`: `model(call x=f ;) results(result x=f <text {\"a\":\"\\n\"}><image media image/png data A+/A>;)`,
		`{"contents":[{"parts":[{"inline_data":{"mime_type":"audio/wav","data":"AA\/A"}},{"fileData":{"fileUri":"https://youtu.be/x"}},{"fileData":{"fileUri":"gs://b/c.pdf"}}]}]}`: "",
		`{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}]}]}`:                                                          "user(file file https://generativelanguage.googleapis.com/v1beta/files/abc;)",
		`{"\u0063ontents":[{"parts":[]}]}`:                                            "user()",
		`{"contents":[{"parts":[{"text":"a"}]}],"contents":[{"parts":{"text":"b"}}]}`: "user(text b;)",
	} {
		c := read(t, body)
		if want != "" {
			assert.Equal(t, want, said(c), body)
		}
		assert.Empty(t, c.Unknown, body)
	}
	c := read(t, `{"contents":[{"parts":[{"inline_data":{"mime_type":"audio/wav","data":"AA\/A"}},{"fileData":{"fileUri":"https://youtu.be/x"}},{"fileData":{"fileUri":"gs://b/c.pdf"}}]}]}`)
	assert.Equal(t, []dialect.Part{
		{Kind: dialect.PartAudio, Media: written("audio/wav"), Data: written("AA/A")}, {Kind: dialect.PartVideo, URL: written("https://youtu.be/x")},
		{Kind: dialect.PartFile, URL: written("gs://b/c.pdf")},
	}, c.Parts)
}

func TestReadSettings(t *testing.T) {
	c := read(t, `{"model":"models/m","contents":[{"parts":{"text":"a"}}],"system_instruction":{"role":"system","parts":[{"text":"s"}]},
		"generation_config":{"max_output_tokens":"9","temperature":0.5,"top_p":1,"topK":40,"seed":7,"candidate_count":1,"stop_sequences":["x","y"],
		"response_mime_type":"application/json","responseSchema":{"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true}}},
		"presencePenalty":1,"frequency_penalty":2,"responseLogprobs":true,"logprobs":3,"thinking_config":{"thinking_level":"HIGH","include_thoughts":true},
		"responseModalities":["TEXT"],"mediaResolution":"MEDIA_RESOLUTION_UNSPECIFIED","enableEnhancedCivicAnswers":false},
		"tools":[{"function_declarations":[{"name":"f","description":"d","parameters":{"type":"OBJECT"},"behavior":"BLOCKING"},{"name":"g","parametersJsonSchema":{"$ref":"#"}}]}],
		"tool_config":{"function_calling_config":{"mode":"ANY","allowed_function_names":["g"]}},"safetySettings":[],"labels":{},"cachedContent":"","service_tier":"standard"}`)
	assert.Empty(t, c.Unknown)
	assert.Equal(t, []dialect.Part{text("s")}, c.System)
	assert.EqualValues(t, 9, c.MaxTokens)
	assert.Equal(t, "0.5 1 40 7 1 2 3", strings.Join([]string{string(c.Temperature), string(c.TopP), string(c.TopK), string(c.Seed),
		string(c.PresencePenalty), string(c.FrequencyPenalty), string(c.TopLogProbs)}, " "))
	assert.Equal(t, []dialect.Written{written("x"), written("y")}, c.Stop)
	assert.Equal(t, dialect.FormatSchema, c.Format)
	assert.JSONEq(t, `{"type":"object","properties":{"type":{"type":["string","null"]}}}`, string(c.Schema))
	assert.True(t, c.LogProbs)
	assert.Equal(t, "high", string(c.Effort))
	assert.True(t, c.ShowThinking)
	require.Len(t, c.Tools, 2)
	assert.Equal(t, `{"type":"object"}`, string(c.Tools[0].Schema))
	assert.Equal(t, `{"$ref":"#"}`, string(c.Tools[1].Schema))
	assert.Equal(t, dialect.ChoiceNamed, c.Choice)
	assert.Equal(t, "g", string(c.ChoiceName))

	for budget, want := range map[string]dialect.Chat{
		"0": {Thinking: dialect.ThinkingOff}, "-1": {Thinking: dialect.ThinkingAdaptive}, "512": {Thinking: dialect.ThinkingBudget, Budget: 512},
	} {
		c := read(t, `{"generationConfig":{"thinkingConfig":{"thinkingBudget":`+budget+`}}}`)
		assert.Equal(t, want.Thinking, c.Thinking)
		assert.Equal(t, want.Budget, c.Budget)
	}
	assert.Equal(t, dialect.FormatJSON, read(t, `{"generationConfig":{"responseMimeType":"application/json"}}`).Format)
	assert.Equal(t, dialect.FormatText, read(t, `{"generationConfig":{"responseMimeType":"text/plain"}}`).Format)
	for mode, want := range map[string]dialect.Choice{"AUTO": dialect.ChoiceAuto, "NONE": dialect.ChoiceNone, "ANY": dialect.ChoiceAny} {
		assert.Equal(t, want, read(t, `{"toolConfig":{"functionCallingConfig":{"mode":"`+mode+`"}}}`).Choice)
	}
}

func TestReadSchemas(t *testing.T) {
	c := read(t, `{"tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","property_ordering":["a"],"required":["a"],
		"properties":{"a":{"type":"ARRAY","min_items":"1","maxItems":3,"items":{"any_of":[{"type":"INTEGER","format":"int32"},{"type":"NUMBER"}]}},
		"nullable":{"type":"BOOLEAN","description":"TYPE"},"b":{"type":"TYPE_UNSPECIFIED","enum":["X"],"example":{"type":"STRING"}}}}}]}]}`)
	assert.JSONEq(t, `{"type":"object","required":["a"],"properties":{
		"a":{"type":"array","minItems":1,"maxItems":3,"items":{"anyOf":[{"type":"integer","format":"int32"},{"type":"number"}]}},
		"nullable":{"type":"boolean","description":"TYPE"},"b":{"enum":["X"],"example":{"type":"STRING"}}}}`, string(c.Tools[0].Schema))
}

func TestReadTellsWhatIsUnknown(t *testing.T) {
	for body, want := range map[string]string{
		`{"safetySettings":[{"category":"x"}]}`:                                                                                    "safetySettings",
		`{"labels":{"a":"b"}}`:                                                                                                     "labels",
		`{"serviceTier":"flex"}`:                                                                                                   "serviceTier",
		`{"generationConfig":{"responseModalities":["IMAGE","TEXT"]}}`:                                                             "generationConfig.responseModalities",
		`{"generationConfig":{"speechConfig":{"a":1}}}`:                                                                            "generationConfig.speechConfig",
		`{"generationConfig":{"responseMimeType":"text/x.enum","responseSchema":{"enum":["a"]}}}`:                                  "generationConfig.responseMimeType generationConfig.responseSchema",
		`{"generationConfig":{"thinkingConfig":{"thinkingLevel":"ULTRA"}}}`:                                                        "generationConfig.thinkingConfig.thinkingLevel",
		`{"toolConfig":{"functionCallingConfig":{"mode":"VALIDATED"}}}`:                                                            "toolConfig.functionCallingConfig.mode",
		`{"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["a","b"]}}}`:                                 "toolConfig.functionCallingConfig.allowedFunctionNames",
		`{"toolConfig":{"retrievalConfig":{"languageCode":"de"}}}`:                                                                 "toolConfig.retrievalConfig",
		`{"contents":[{"parts":[{"text":"a","videoMetadata":{"fps":1}}]}]}`:                                                        "contents.parts.videoMetadata",
		`{"contents":[{"role":"model","parts":[{"thought":true,"inlineData":{"mimeType":"image/png","data":"A"}}]}]}`:              "contents.parts.thought",
		`{"generationConfig":{"responseMimeType":"application/json","responseSchema":{"type":"OBJECT","propertyOrdering":["a"]}}}`: "generationConfig.responseSchema.propertyOrdering",
		`{"x":1,"x":2,"generateContentRequest":{"a":1}}`:                                                                           "x generateContentRequest",
	} {
		assert.Equal(t, want, strings.Join(read(t, body).Unknown, " "), body)
	}
	var b strings.Builder
	for i := range 2000 {
		b.WriteString(`,"x` + strings.Repeat("x", i%300) + `":1`)
	}
	assert.Len(t, read(t, "{"+b.String()[1:]+"}").Unknown, pathsMost)
}

func TestReadRefuses(t *testing.T) {
	for body, want := range map[string]error{
		`{"cachedContent":"cachedContents/x"}`:                                                dialect.ErrInexpressible,
		`{"continuationToken":"x"}`:                                                           dialect.ErrInexpressible,
		`{"tools":[{"googleSearch":{}}]}`:                                                     dialect.ErrInexpressible,
		`{"tools":[{"codeExecution":{}}]}`:                                                    dialect.ErrInexpressible,
		`{"contents":[{"role":"model","parts":[{"executableCode":{}}]}]}`:                     dialect.ErrInexpressible,
		`{"contents":[{"parts":[{"fileData":{"fileUri":"https://x/y.mp3"}}]}]}`:               dialect.ErrInexpressible,
		`{"systemInstruction":{"parts":[{"inlineData":{"data":"A"}}]}}`:                       dialect.ErrInexpressible,
		`{"contents":[{"parts":[{}]}]}`:                                                       dialect.ErrMalformed,
		`{"contents":[{"parts":[{"text":1}]}]}`:                                               dialect.ErrMalformed,
		`{"contents":[{"parts":["a"]}]}`:                                                      dialect.ErrMalformed,
		`{"contents":"a"}`:                                                                    dialect.ErrMalformed,
		`{"contents":[{"role":"robot"}]}`:                                                     dialect.ErrMalformed,
		`{"contents":[{"role":"system","parts":[{"text":"a"}]}]}`:                             dialect.ErrMalformed,
		`{"contents":[{"role":"user","parts":[{"functionCall":{"name":"f"}}]}]}`:              dialect.ErrMalformed,
		`{"contents":[{"role":"model","parts":[{"functionCall":{"args":{}}}]}]}`:              dialect.ErrMalformed,
		`{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":"{}"}}]}]}`: dialect.ErrMalformed,
		`{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png"}}]}]}`:                  dialect.ErrMalformed,
		`{"contents":[{"parts":[{"fileData":{}}]}]}`:                                          dialect.ErrMalformed,
		`{"tools":[{"functionDeclarations":[{"description":"x"}]}]}`:                          dialect.ErrMalformed,
		`{"tools":[{"functionDeclarations":[{"name":"f","parameters":[]}]}]}`:                 dialect.ErrMalformed,
		`{"tools":["a"]}`: dialect.ErrMalformed,
		`{"generationConfig":{"temperature":"hot"}}`:               dialect.ErrMalformed,
		`{"generationConfig":[]}`:                                  dialect.ErrMalformed,
		`{"generationConfig":{"stopSequences":"a"}}`:               dialect.ErrMalformed,
		`{"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}}`: dialect.ErrMalformed,
		`{"contents":[]`: dialect.ErrMalformed,
		`[]`:             dialect.ErrMalformed,
		`{"contents":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`: dialect.ErrMalformed,
	} {
		assert.ErrorIs(t, Codec{}.Read(dialect.OpGenerate, []byte(body), new(dialect.Chat)), want, "%.100s", body)
	}
	assert.ErrorIs(t, Codec{}.Read(dialect.OpEmbed, []byte(`{}`), new(dialect.Chat)), dialect.ErrInexpressible)
	assert.ErrorIs(t, Codec{}.Read(dialect.OpCount, []byte(`{"generateContentRequest":[]}`), new(dialect.Chat)), dialect.ErrMalformed)
}
