package openai

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// ask is a request of the responses API that says nothing but these members.
func ask(members string) string { return `{"model":"m","input":"hi",` + members + `}` }

// Requests of the responses API ask for the same as these of chat/completions.
func TestResponsesRequestsInWordsOfChat(t *testing.T) {
	for name, want := range map[string][2]string{
		"text": {`{"model":"m","input":"a\"b","stream":true,"store":false}`, `"messages":[{"role":"user","content":"a\"b"}]`},
		"instructions": {
			`{"input":[{"role":"developer","content":"b"},{"type":"message","role":"system","content":[{"type":"input_text","text":"c"}]},{"role":"user","content":"d"},{"role":"system","content":"e"}],"instructions":"a"}`,
			`"messages":[{"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"text","text":"c"}]},{"role":"user","content":"d"},{"role":"system","content":"e"}]`,
		},
		"parts": {
			`{"input":[{"role":"user","content":["a",{"type":"input_text","text":"b"},{"type":"input_image","image_url":"data:image\/png;base64,AA\/=","detail":"low"},{"type":"input_image","image_url":"https://x.y/z","detail":"auto"},
			 {"type":"input_file","filename":"f.pdf","file_data":"data:application/pdf;base64,AAAA"},{"type":"input_file","file_id":"file-1"},{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA/=","detail":"low"}},{"type":"image_url","image_url":{"url":"https://x.y/z"}},` +
				`{"type":"file","file":{"filename":"f.pdf","file_data":"data:application/pdf;base64,AAAA"}},{"type":"file","file":{"file_id":"file-1"}},{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}]`,
		},
		"one answer is one turn": {
			`{"input":[{"role":"user","content":"q"},{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"t"}]},
			 {"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"x","annotations":[],"logprobs":[]},{"type":"refusal","refusal":"no"}]},
			 {"type":"function_call","id":"fc_1","status":"completed","call_id":"c1","name":"f","arguments":"{\"a\":1}"},{"type":"function_call","call_id":"c2","name":"g","arguments":""},
			 {"type":"function_call_output","call_id":"c1","output":"r1"},{"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"r2"}],"status":null}]}`,
			`"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"x","refusal":"no","reasoning_content":"t","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},` +
				`{"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},{"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"tool","tool_call_id":"c2","content":"r2"}]`,
		},
		"tools": {
			ask(`"tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true,"defer_loading":false},{"type":"function","name":"g","parameters":null,"strict":false}],"tool_choice":{"type":"function","name":"g"},"parallel_tool_calls":false`),
			`"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},{"type":"function","function":{"name":"g"}}],"tool_choice":{"type":"function","function":{"name":"g"}},"parallel_tool_calls":false`,
		},
		"some tools": {
			ask(`"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]},"tools":[{"type":"function","name":"f"},{"type":"function","name":"g"}]`),
			`"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"g"}}],"tool_choice":"required"`,
		},
		"settings": {
			ask(`"max_output_tokens":9,"temperature":0.5,"top_p":0.25,"top_logprobs":3,"include":["reasoning.encrypted_content","message.output_text.logprobs"],"text":{"format":{"type":"json_schema","name":"n","schema":{"a":1},"strict":true},"verbosity":"medium"},
			 "reasoning":{"effort":"low","summary":null},"safety_identifier":"u","service_tier":"auto","truncation":"disabled","background":false,"previous_response_id":null,"metadata":{},"max_tool_calls":3,"stream_options":{"include_obfuscation":false},"user":null`),
			`"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"a":1}}},"max_tokens":9,"reasoning_effort":"low","temperature":0.5,"top_p":0.25,"logprobs":true,"top_logprobs":3,"user":"u"`,
		},
		"schema": {
			ask(`"text":{"format":{"type":"json_schema","name":"n","description":"d","schema":{"a":1},"strict":false}},"tool_choice":null,"top_logprobs":0,"conversation":null,"reasoning":{}`),
			`"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","schema":{"a":1}}}`,
		},
		"no schema": {ask(`"text":{"format":{"type":"json_schema"}}`), `"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_object"}`},
		"plain":     {ask(`"text":{"format":{"type":"text"}},"previous_response_id":"","background":false`), `"messages":[{"role":"user","content":"hi"}]`},
		"object":    {ask(`"text":{"format":{"type":"json_object"}}`), `"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_object"}`},
	} {
		c := read(t, dialect.OpResponses, want[0])
		assert.Empty(t, c.Unknown, name)
		got, left := asked(t, c, "m")
		assert.Zero(t, left, name)
		assert.JSONEq(t, `{"model":"m",`+want[1]+`}`, got, name)
	}
}

func TestResponsesReasoningComesBack(t *testing.T) {
	c := read(t, dialect.OpResponses, `{"input":[{"type":"reasoning","summary":[],"encrypted_content":"gAAA"},
	 {"type":"reasoning","summary":[{"type":"summary_text","text":"s"}],"content":[{"type":"reasoning_text","text":"a"},{"type":"reasoning_text","text":""},{"type":"reasoning_text","text":"b"}]},
	 {"type":"reasoning","summary":[{"type":"summary_text","text":"seen"}],"encrypted_content":"anthropic:sig"},{"type":"reasoning","summary":[{"type":"summary_text","text":""}],"encrypted_content":"anthropic:sig2"},{"type":"reasoning","summary":[]},
	 {"type":"function_call","call_id":"c","name":"f","arguments":"{}","extra_content":{"google":{"thought_signature":"g"}}},{"type":"image_generation_call","id":"ig_1","result":"AAAA","output_format":"webp"},
	 {"type":"image_generation_call","result":"AAAB","output_format":"jpeg"},{"type":null,"role":"assistant","content":null}],"reasoning":{"summary":"auto","effort":"none"}}`)
	assert.Empty(t, c.Unknown)
	assert.True(t, c.ShowThinking)
	assert.Equal(t, dialect.ThinkingOff, c.Thinking)
	assert.Equal(t, []dialect.Turn{{Role: dialect.Assistant, To: 7}}, c.Turns)
	assert.Equal(t, []dialect.Part{
		{Kind: dialect.PartHidden, Signature: []byte("gAAA"), Signer: dialect.OpenAI},
		{Kind: dialect.PartThinking, Text: []byte(`a\n\nb`)},
		{Kind: dialect.PartThinking, Text: []byte("seen"), Signature: []byte("sig"), Signer: dialect.Anthropic},
		{Kind: dialect.PartThinking, Text: []byte(""), Signature: []byte("sig2"), Signer: dialect.Anthropic},
		{Kind: dialect.PartCall, ID: []byte("c"), Name: []byte("f"), Args: []byte(`"{}"`), Signature: []byte("g"), Signer: dialect.Gemini},
		{Kind: dialect.PartImage, Media: []byte("image/webp"), Data: []byte("AAAA")},
		{Kind: dialect.PartImage, Media: []byte("image/jpeg"), Data: []byte("AAAB")},
	}, c.Parts)
}

func TestResponsesResultsKnowTheirTool(t *testing.T) {
	c := read(t, dialect.OpResponses, `{"input":[{"type":"function_call","call_id":"c","name":"f"},{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","file_id":"file-1"},{"type":"input_file","file_url":"https://x.y/z.pdf"}]}]}`)
	require.Len(t, c.Parts, 2)
	assert.Equal(t, dialect.Part{Kind: dialect.PartResult, ID: []byte("c"), Name: []byte("f"), To: 2}, c.Parts[1])
	assert.Equal(t, []dialect.Part{{Kind: dialect.PartImage, FileID: []byte("file-1")}, {Kind: dialect.PartFile, URL: []byte("https://x.y/z.pdf")}}, c.Nested)
	assert.Equal(t, dialect.Results, c.Turns[1].Role)
}

func TestResponsesCachePlacesAreRead(t *testing.T) {
	c := read(t, dialect.OpResponses, `{"input":[{"role":"user","content":"m","cache_control":{"type":"z"}},{"type":"function_call_output","call_id":"c","name":"f","output":null,"cache_control":{"type":"w"}},{"role":"user","content":[{"type":"input_text","text":"a","prompt_cache_breakpoint":{"mode":"explicit"}},{"type":"input_text","text":"b","cache_control":{"type":"x"}}]}],"tools":[{"type":"function","name":"f","cache_control":{"type":"y"}}]}`)
	got := []string{string(c.Tools[0].Cache)}
	for _, p := range c.Parts {
		got = append(got, string(p.Cache))
	}
	assert.Equal(t, []string{`{"type":"y"}`, `{"type":"z"}`, `{"type":"w"}`, `{"type":"ephemeral"}`, `{"type":"x"}`}, got)
	assert.Equal(t, "f", string(c.Parts[1].Name))
}

func TestResponsesUnknownMembersAreTold(t *testing.T) {
	for members, want := range map[string]string{
		`"store":true`: "store", `"truncation":"auto"`: "truncation", `"service_tier":"flex"`: "service_tier", `"prompt_cache_key":"k"`: "prompt_cache_key",
		`"metadata":{"a":"b"}`: "metadata", `"text":{"verbosity":"low"}`: "text.verbosity", `"text":{"format":{"type":"grammar"}}`: "text.format",
		`"reasoning":{"x":1}`: "reasoning.x", `"include":["file_search_call.results"]`: "include", `"seed":1`: "seed", `"stop":["x"]`: "stop",
		`"include":7`: "include", `"text":7`: "text", `"text":{"format":7}`: "text.format", `"text":{"format":{"type":"json_object","x":1}}`: "text.format",
		`"text":{"x":1}`: "text.x", `"reasoning":{"context":"all_turns"}`: "reasoning.context", `"text":{"verbosity":7}`: "text.verbosity", `"top_logprobs":"all"`: "top_logprobs",
		`"temperature":"hot"`: "temperature", `"max_output_tokens":"many"`: "max_output_tokens", `"context_management":[{"type":"compaction"}]`: "context_management",
		`"tools":[{"type":"function","name":"f","defer_loading":true}]`: "tools.defer_loading", `"tool_choice":"whatever"`: "tool_choice", `"reasoning":7`: "reasoning",
		`"\u0069nput":[{"role":"assistant","content":"x","phase":"commentary"}]`:                                                         "input.phase",
		`"input":[{"role":"assistant","content":[{"type":"output_text","text":"x","annotations":[{"type":"url_citation","url":"u"}]}]}]`: "input.content.annotations",
		`"input":[{"role":"user","content":[{"type":"input_text","text":"x","image_url":"u"}]}]`:                                         "input.content.image_url",
		`"input":[{"type":"function_call","call_id":"c","name":"f","namespace":"n"}]`:                                                    "input.namespace",
		`"input":[{"type":"function_call_output","call_id":"c","output":"x","caller":{"type":"program"}}]`:                               "input.caller",
		`"input":[{"type":"reasoning","summary":[],"x":1}]`:                                                                              "input.x",
	} {
		assert.Equal(t, []string{want}, read(t, dialect.OpResponses, ask(members)).Unknown, members)
	}
}

// What is the default everywhere says nothing.
func TestResponsesDefaultsAreUnderstood(t *testing.T) {
	c := read(t, dialect.OpResponses, ask(`"reasoning":{"mode":"standard","context":"auto"},"tools":[{"type":"function","name":"f","allowed_callers":["direct"]}]`))
	assert.Empty(t, c.Unknown)
	c = read(t, dialect.OpResponses, ask(`"reasoning":{"mode":"pro"},"tools":[{"type":"function","name":"f","allowed_callers":["direct","programmatic"]}]`))
	assert.ElementsMatch(t, []string{"reasoning.mode", "tools.allowed_callers"}, c.Unknown)
}

func TestResponsesUnknownMembersAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `"x%d":1,`, i)
	}
	assert.LessOrEqual(t, len(read(t, dialect.OpResponses, ask(b.String()+`"y":1`)).Unknown), unknownMost)
}

func TestResponsesThatOnlyTheirProviderCanGiveAreRefused(t *testing.T) {
	for members, want := range map[string]string{
		`"previous_response_id":"resp_1"`: "previous_response_id", `"conversation":{"id":"conv_1"}`: "keeps", `"prompt":{"id":"p"}`: "a prompt that the provider keeps",
		`"background":true`: "in the background", `"tools":[{"type":"web_search"}]`: "a tool of the type web_search", `"tools":[{"type":"<b>"}]`: "a tool of an unknown type",
		`"tools":[7]`: "a tool of an unknown type", `"tools":{}`: "no list", `"tools":[{"type":"function"}]`: "without a name", `"tool_choice":{"type":"mcp","server_label":"x"}`: "of the type mcp",
		`"tool_choice":{"type":"allowed_tools"}`: "without a list", `"input":[]`: "without input", `"input":7`: "neither a text nor a list", `"instructions":["x"]`: "instructions that are no text",
		`"input":[{"type":"item_reference","id":"x"}]`: "reference", `"input":[{"type":"web_search_call","id":"x"}]`: "an item of the type web_search_call", `"input":[{}]`: "an item of an unknown type",
		`"input":["x"]`: "an item of an unknown type", `"input":[{"role":"tool","content":"x"}]`: "unknown role", `"input":[{"role":"user","content":7}]`: "neither a text",
		`"input":[{"role":"user","content":[{"type":"input_video"}]}]`: "of the type input_video", `"input":[{"role":"user","content":[{"type":"input_image"}]}]`: "without image_url",
		`"input":[{"role":"user","content":[{"type":"input_file"}]}]`: "without file_data", `"input":[{"role":"user","content":[{"type":"input_text"}]}]`: "no string",
		`"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:,x"}]}]`: "not base64", `"input":[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]`: "sound",
		`"input":[{"role":"system","content":[{"type":"input_image","file_id":"x"}]}]`: "system message", `"input":[{"type":"function_call","name":"f"}]`: "without call_id",
		`"input":[{"type":"function_call_output","output":"x"}]`: "without call_id", `"input":[{"type":"function_call_output","call_id":"c","output":7}]`: "neither a text", `"tools":[{"name":"f"}]`: "a tool of an unknown type", `"input":[{"type":"image_generation_call"}]`: "picture",
		`"input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_audio","input_audio":{"data":"A","format":"wav"}}]}]`: "other than text, images and files",
	} {
		var c dialect.Chat
		err := Codec{}.Read(dialect.OpResponses, []byte(ask(members)), &c)
		require.ErrorIs(t, err, dialect.ErrInexpressible, members)
		assert.ErrorContains(t, err, want, members)
	}
	for _, body := range []string{``, `[]`, `{"input":"x"`, `{"input":"x"} x`, `{"input":x}`} {
		var c dialect.Chat
		assert.ErrorIs(t, Codec{}.Read(dialect.OpResponses, []byte(body), &c), dialect.ErrMalformed, body)
	}
}

func TestResponsesFieldsHaveNames(t *testing.T) {
	for f := range dialect.Fields {
		assert.NotEmpty(t, Codec{}.FieldName(dialect.OpResponses, f))
	}
	assert.Equal(t, "text.format", Codec{}.FieldName(dialect.OpResponses, dialect.FieldFormat))
	assert.Empty(t, Codec{}.FieldName(dialect.OpResponses, dialect.Fields))
}
