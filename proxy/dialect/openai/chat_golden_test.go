package openai

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func read(t testing.TB, op dialect.Op, body string) *dialect.Chat {
	c := new(dialect.Chat)
	require.NoError(t, Codec{}.Read(op, []byte(body), c), "%s", body)
	return c
}

func asked(t testing.TB, c *dialect.Chat, model string) (string, dialect.FieldSet) {
	out, left, err := Codec{}.AppendRequest(nil, c, model, false)
	require.NoError(t, err)
	return string(out), left
}

// Requests that ask for the same thing in different words have one normal form.
func TestNormalForm(t *testing.T) {
	for want, bodies := range map[string][]string{
		`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"}],"max_tokens":9}`: {
			`{"messages":[{"content":"s","role":"developer"},{"role":"user","content":[{"type":"text","text":"hi"}]}],"max_completion_tokens":9,"max_tokens":5,"model":"x","stream":true,"stream_options":{"include_usage":true}}`,
			`{"max_tokens":9,"\u006dessages":[{"role":"system","content":["s"],"name":null},{"role":"user","content":"hi","tool_calls":[]}],"n":1,"store":false,"service_tier":"auto","modalities":["text"],"logprobs":false,"metadata":{},"user":"","presence_penalty":0,"frequency_penalty":-0.0,"logit_bias":{},"top_k":-1,"verbosity":"medium","tools":[],"parallel_tool_calls":true,"response_format":{"type":"text"}}`,
			`{"model":"a","messages":[{"role":"system","content":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]},{"role":"user","content":"hi","cache_control":{"type":"ephemeral"}}],"max_tokens":9}`,
		},
		`{"model":"m","messages":[{"role":"user","content":"w?"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_0","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","content":"x","tool_call_id":"call_0"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":{"type":"function","function":{"name":"f"}}}`: {
			`{"messages":[{"role":"user","content":"w?"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"x"}],"functions":[{"name":"f","parameters":{"type":"object"}}],"function_call":{"name":"f"}}`,
			`{"messages":[{"role":"user","content":"w?"},{"role":"assistant","content":"","tool_calls":[{"index":0,"id":"call_0","function":{"name":"f","arguments":{ }}}]},{"role":"tool","tool_call_id":"call_0","name":"f","content":[{"type":"text","text":"x"}]}],"tools":[{"type":"function","function":{"name":"f","parameters":{ "type" : "object" },"strict":false}}],"tool_choice":{"function":{"name":"f"},"type":"function"}}`,
		},
	} {
		for _, body := range bodies {
			c := read(t, dialect.OpChat, body)
			got, _ := asked(t, c, "m")
			assert.Equal(t, want, got, "%s", body)
			if strings.Contains(body, `"functions"`) {
				assert.Equal(t, []string{"functions"}, c.Unknown, "the answer is in the newer form")
				continue
			}
			assert.Empty(t, c.Unknown, "%s", body)
		}
	}
}

func TestUnknownMembersAreTold(t *testing.T) {
	c := read(t, dialect.OpChat, `{"messages":[{"role":"system","name":"n","content":"s"},{"role":"user","content":[{"type":"text","text":"a","x":1}],"cache_id":3},
	  {"role":"assistant","content":"b","annotations":[{}],"extra_content":{"acme":{"a":1}}}],
	 "logit_bias":{"5":1},"store":true,"service_tier":"flex","modalities":["text","audio"],"verbosity":"low","metadata":{"user_id":"u","team":"t"},"prediction":{"type":"content"},
	 "tools":[{"type":"custom","custom":{"name":"c"}},{"type":"function","function":{"name":"f","y":1}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto"}},"stop":["a",5],"max_tokens":"many","temperature":"hot","response_format":{"type":"grammar"},"safety_identifier":"v","n":0}`)
	assert.ElementsMatch(t, []string{
		"messages.name", "messages.content.x", "messages.cache_id", "messages.annotations", "messages.extra_content.acme",
		"logit_bias", "store", "service_tier", "modalities", "verbosity", "metadata", "prediction", "tools", "tools.function.y", "tool_choice", "stop",
		"max_tokens", "temperature", "response_format", "safety_identifier", "n",
	}, c.Unknown)
	assert.Equal(t, "u", string(c.User))
	assert.Len(t, c.Tools, 1)
	assert.Len(t, c.Stop, 1)
}

func TestUnknownMembersAreBounded(t *testing.T) {
	body := []byte(`{"messages":[{"role":"user","content":"a"}]`)
	for i := range 1000 {
		body = append(body, `,"x`+string(rune('a'+i%26))+string(rune('a'+i/26))+`":1`...)
	}
	c := read(t, dialect.OpChat, string(append(body, '}')))
	assert.Len(t, c.Unknown, unknownMost)
	assert.Equal(t, "and more", c.Unknown[unknownMost-1])
}

func TestWhatChangesTheQuestionIsRefused(t *testing.T) {
	for _, body := range []string{
		`{}`, `{"messages":null}`, `{"messages":"a"}`, `{"messages":[]}`, `{"messages":[1]}`, `{"messages":[{"role":"narrator","content":"a"}]}`, `{"messages":[{"content":"a"}]}`,
		`{"messages":[{"role":"user","content":5}]}`, `{"messages":[{"role":"user","content":[{"type":"hologram","hologram":{}}]}]}`, `{"messages":[{"role":"user","content":[{"type":"text","text":5}]}]}`,
		`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/svg+xml,%3Csvg"}}]}]}`, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}`,
		`{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"A"}}]}]}`, `{"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a"}}]}]}`,
		`{"messages":[{"role":"system","content":[{"type":"image_url","image_url":"https://example.com"}]}]}`,
		`{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}`, `{"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"custom","custom":{"name":"c","input":""}}]}]}`,
		`{"messages":[{"role":"assistant","tool_calls":{}}]}`, `{"messages":[{"role":"tool","content":"x"}]}`, `{"messages":[{"role":"tool","tool_call_id":"a","content":[{"type":"input_audio","input_audio":{"data":"A","format":"wav"}}]}]}`,
	} {
		assert.ErrorIs(t, Codec{}.Read(dialect.OpChat, []byte(body), new(dialect.Chat)), dialect.ErrInexpressible, body)
	}
	for _, body := range []string{`{"prompt":["a","b"]}`, `{"prompt":[1,2]}`, `{"prompt":[]}`, `{"prompt":5}`, `{"prompt":"a","echo":true}`, `{"prompt":"a","suffix":"b"}`, `{}`} {
		assert.ErrorIs(t, Codec{}.Read(dialect.OpCompletions, []byte(body), new(dialect.Chat)), dialect.ErrInexpressible, body)
	}
	for _, body := range []string{``, `[]`, `{"messages":[{"role":"user","content":"a"}]`, `{"messages":[{"role":"user","content":"a"}]}x`, `{"messages":[{"role":"user","content":["a"}]}`} {
		assert.ErrorIs(t, Codec{}.Read(dialect.OpChat, []byte(body), new(dialect.Chat)), dialect.ErrMalformed, body)
	}
	assert.ErrorIs(t, Codec{}.Read(dialect.OpMessages, []byte(`{}`), new(dialect.Chat)), dialect.ErrInexpressible)
}

func TestThinkingComesBackFromClients(t *testing.T) {
	c := read(t, dialect.OpChat, `{"messages":[{"role":"assistant","content":"so","reasoning":"seen","extra_content":{"anthropic":{"thinking":[{"thinking":"a\n","signature":"s1"},{"data":"d"},{"index":2,"signature":"s3"},{}]},"google":{"thought_signature":"g0"}},
	 "tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":""},"extra_content":{"vertex":{"thought_signature":"g1"}}}]}]}`)
	w := func(s string) dialect.Written { return dialect.Written(s) }
	assert.Equal(t, []dialect.Part{
		{Kind: dialect.PartThinking, Text: w(`a\n`), Signature: w("s1"), Signer: dialect.Anthropic},
		{Kind: dialect.PartHidden, Signature: w("d"), Signer: dialect.Anthropic},
		{Kind: dialect.PartThinking, Text: w("seen"), Signature: w("s3"), Signer: dialect.Anthropic},
		{Kind: dialect.PartText, Text: w("so")},
		{Kind: dialect.PartHidden, Signature: w("g0"), Signer: dialect.Gemini},
		{Kind: dialect.PartCall, ID: w("c"), Name: w("f"), Args: dialect.Raw(`""`), Signature: w("g1"), Signer: dialect.Gemini},
	}, c.Parts)
	out, left := asked(t, c, "deepseek-chat")
	assert.Equal(t, `{"model":"deepseek-chat","messages":[{"role":"assistant","content":"so","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":""}}]}]}`, out)
	assert.True(t, left.Has(dialect.FieldSignature))
	out, _ = asked(t, c, "google/gemini-3-pro")
	assert.Contains(t, out, `"extra_content":{"google":{"thought_signature":"g0"}}`)
	assert.Contains(t, out, `"extra_content":{"google":{"thought_signature":"g1"}}`)
}

func TestThinkingIsAskedForAsTheModelTakesIt(t *testing.T) {
	for _, test := range []struct {
		thinking dialect.Thinking
		budget   int64
		effort   string
		model    string
		want     string
		lost     bool
	}{
		{dialect.ThinkingOff, 0, "", "gpt-4o", "", false},
		{dialect.ThinkingOff, 0, "", "openai/gpt-5.1-mini", "none", false},
		{dialect.ThinkingOff, 0, "", "gpt-6-astra", "none", false},
		{dialect.ThinkingOff, 0, "", "gpt-5-mini", "", true},
		{dialect.ThinkingOff, 0, "", "o4-mini", "", true},
		{dialect.ThinkingOff, 0, "", "qwen3", "", true},
		{dialect.ThinkingOff, 0, "none", "qwen3", "none", false},
		{dialect.ThinkingAdaptive, 0, "", "o3", "", false},
		{dialect.ThinkingBudget, 1024, "", "o3", "low", false},
		{dialect.ThinkingBudget, 8192, "", "o3", "medium", false},
		{dialect.ThinkingBudget, 8193, "", "grok-4", "high", false},
		{dialect.ThinkingBudget, 8193, "low", "o3", "low", false},
		{dialect.ThinkingBudget, 5000, "", "gpt-4.1", "", true},
	} {
		c := dialect.Chat{Thinking: test.thinking, Budget: test.budget}
		if test.effort != "" {
			c.Effort = dialect.Written(test.effort)
		}
		out, left := asked(t, &c, test.model)
		want := `{"model":"` + test.model + `","messages":[]}`
		if test.want != "" {
			want = `{"model":"` + test.model + `","messages":[],"reasoning_effort":"` + test.want + `"}`
		}
		assert.Equal(t, want, out)
		assert.Equal(t, test.lost, left.Has(dialect.FieldThinking), "%+v", test)
	}
	c := read(t, dialect.OpChat, `{"messages":[{"role":"user","content":"a"}],"thinking":{"type":"enabled","budget_tokens":2000},"reasoning_effort":"none"}`)
	assert.Equal(t, []any{dialect.ThinkingOff, int64(2000), "none"}, []any{c.Thinking, c.Budget, string(c.Effort)})
}

func TestLimitsAreNamedAsTheModelTakesThem(t *testing.T) {
	c := dialect.Chat{MaxTokens: 5, TopK: dialect.Raw("3")}
	for model, want := range map[string]string{
		"gpt-4o": `"max_tokens":5}`, "o3": `"max_completion_tokens":5}`, "gpt-5": `"max_completion_tokens":5}`, "gpt-5.2": `"max_completion_tokens":5}`,
		"azure/o1-mini": `"max_completion_tokens":5}`, "llama-3": `"max_tokens":5,"top_k":3}`, "gpt-oss-120b": `"max_tokens":5,"top_k":3}`, "o": `"max_tokens":5,"top_k":3}`, "olmo-2": `"max_tokens":5,"top_k":3}`,
	} {
		out, left := asked(t, &c, model)
		assert.Equal(t, `{"model":"`+model+`","messages":[],`+want, out)
		assert.Equal(t, familyOf(model) != foreign, left.Has(dialect.FieldTopK), model)
	}
}

func TestResultsWithPictures(t *testing.T) {
	text := dialect.Part{Kind: dialect.PartText, Text: dialect.Written("t")}
	image := dialect.Part{Kind: dialect.PartImage, Media: dialect.Written("image/png"), Data: dialect.Written("AA==")}
	c := dialect.Chat{
		Nested: []dialect.Part{text, image, text, text},
		Parts:  []dialect.Part{{Kind: dialect.PartResult, ID: dialect.Written("a"), To: 2}, {Kind: dialect.PartResult, ID: dialect.Written("b"), From: 2, To: 4, Failed: true}},
		Turns:  []dialect.Turn{{Role: dialect.Results, To: 2}},
	}
	out, left := asked(t, &c, "m")
	assert.Equal(t, `{"model":"m","messages":[{"role":"tool","content":"t","tool_call_id":"a"},{"role":"tool","content":[{"type":"text","text":"t"},{"type":"text","text":"t"}],"tool_call_id":"b"},`+
		`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}`, out)
	var want dialect.FieldSet
	want.Add(dialect.FieldFailed)
	assert.Equal(t, want, left)
}

func TestPartsOfOtherDialects(t *testing.T) {
	w := func(s string) dialect.Written { return dialect.Written(s) }
	for want, p := range map[string]dialect.Part{
		`{"type":"text","text":"a.txt\nhello"}`: {Kind: dialect.PartFile, Name: w("a.txt"), Text: w("hello"), Media: w("text/plain")},
		`{"type":"file","file":{"filename":"document.pdf","file_data":"data:application/pdf;base64,AA=="}}`: {Kind: dialect.PartFile, Media: w("application/pdf"), Data: w("AA==")},
		`{"type":"video_url","video_url":{"url":"https://example.com/v"}}`:                                  {Kind: dialect.PartVideo, URL: w("https://example.com/v")},
		`{"type":"input_audio","input_audio":{"data":"AA==","format":"mp3"}}`:                               {Kind: dialect.PartAudio, Media: w("audio/mpeg"), Data: w("AA==")},
	} {
		out, left := asked(t, &dialect.Chat{Parts: []dialect.Part{p}, Turns: []dialect.Turn{{To: 1}}}, "m")
		assert.Equal(t, `{"model":"m","messages":[{"role":"user","content":[`+want+`]}]}`, out)
		assert.Zero(t, left)
	}
	for _, p := range []dialect.Part{
		{Kind: dialect.PartFile, FileID: w("file_011CNha8iCJcU1wXNRQJ")}, {Kind: dialect.PartFile, URL: w("https://example.com/a.pdf")},
		{Kind: dialect.PartImage, FileID: w("file-1")}, {Kind: dialect.PartVideo, FileID: w("files/x")}, {Kind: dialect.PartAudio, Media: w("audio/flac"), Data: w("AA==")}, {Kind: dialect.PartCall},
	} {
		out, _, err := Codec{}.AppendRequest([]byte("|"), &dialect.Chat{Parts: []dialect.Part{p}, Turns: []dialect.Turn{{To: 1}}}, "m", false)
		assert.ErrorIs(t, err, dialect.ErrInexpressible)
		assert.Equal(t, "|", string(out))
	}
}

func TestWhatIsLeftOutIsTold(t *testing.T) {
	five := []dialect.Written{{'a'}, {'b'}, {'c'}, {'d'}, {'e'}}
	out, left := asked(t, &dialect.Chat{Stop: five, Choice: dialect.ChoiceAny}, "m")
	assert.Equal(t, `{"model":"m","messages":[],"stop":["a","b","c","d"]}`, out)
	assert.True(t, left.Has(dialect.FieldStop) && left.Has(dialect.FieldChoice))
	_, left = asked(t, &dialect.Chat{System: []dialect.Part{{Cache: shortMark}}}, "m")
	assert.True(t, left.Has(dialect.FieldCache))
	for f := range dialect.Fields {
		assert.NotEmpty(t, Codec{}.FieldName(dialect.OpChat, f), f)
	}
}

func TestCompletionsAreRead(t *testing.T) {
	c := read(t, dialect.OpCompletions, `{"model":"m","prompt":["once"],"echo":false,"suffix":"","best_of":1,"logprobs":null,"temperature":0}`)
	out, _ := asked(t, c, "m")
	assert.Equal(t, `{"model":"m","messages":[{"role":"user","content":"once"}],"max_tokens":16,"temperature":0}`, out)
	assert.Empty(t, c.Unknown)
	c = read(t, dialect.OpCompletions, `{"prompt":"a","max_tokens":3,"best_of":4,"logprobs":2,"tools":[{}]}`)
	assert.Equal(t, []string{"best_of", "logprobs", "tools"}, c.Unknown)
	assert.Equal(t, int64(3), c.MaxTokens)
}

func TestCachePlacesAreRead(t *testing.T) {
	c := read(t, dialect.OpChat, `{"messages":[{"role":"user","content":[{"type":"text","text":"a","prompt_cache_breakpoint":{"mode":"explicit"}},{"type":"text","text":"b","prompt_cache_breakpoint":{"mode":"explicit","ttl":"12h"}}]}]}`)
	assert.Equal(t, []string{string(shortMark), string(longMark)}, []string{string(c.Parts[0].Cache), string(c.Parts[1].Cache)})
}

// A choice among some of the tools is the choice of those alone, wherever it stands.
func TestAllowedTools(t *testing.T) {
	const tools = `"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]`
	for mode, want := range map[string]string{"auto": "", "required": `,"tool_choice":"required"`} {
		choice := `"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"` + mode + `","tools":[{"type":"function","function":{"name":"g"}}]}}`
		for _, members := range []string{tools + "," + choice, choice + "," + tools} {
			c := read(t, dialect.OpChat, `{"messages":[{"role":"user","content":"hi"}],`+members+`}`)
			assert.Empty(t, c.Unknown)
			got, _ := asked(t, c, "m")
			assert.Equal(t, `{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"g"}}]`+want+`}`, got)
		}
	}
}

// Documents have names that say what they are; no other file has a name.
func TestFileNames(t *testing.T) {
	for media, want := range map[string]string{
		"application/pdf": "document.pdf", "": "document.pdf", "text/plain": "document.txt", "text/markdown": "document.md", "application/json": "document.json",
	} {
		assert.Equal(t, want, string(fileName(dialect.Written(media))), media)
	}
	for _, kind := range []dialect.PartKind{dialect.PartImage, dialect.PartVideo, dialect.PartAudio, dialect.PartFile} {
		c := dialect.Chat{
			Turns: []dialect.Turn{{To: 1}},
			Parts: []dialect.Part{{Kind: kind, Name: dialect.Written("a.x"), Media: dialect.Written("audio/wav"), Data: dialect.Written("AAAA")}},
		}
		got, left := asked(t, &c, "m")
		assert.Equal(t, strings.Contains(got, `"filename":"a.x"`), !left.Has(dialect.FieldFileName), "%s", got)
		assert.Equal(t, kind != dialect.PartFile, left.Has(dialect.FieldFileName))
	}
}
