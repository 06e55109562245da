package gemini

import (
	"math"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func readPrompt(op dialect.Op, body string) dialect.Prompt {
	var p dialect.Prompt
	Codec{}.ReadPrompt(op, []byte(body), &p)
	p.Scratch = nil
	return p
}

const promptBody = `{"tools":[{"functionDeclarations":[{"a":1},{"b":[2]}]},{"googleSearch":{}}],"systemInstruction":{"role":"system","parts":[{"text":"Be \"kind\"."},{"text":"And\nbrief."}]},"contents":[
	{"parts":[{"text":"first"}],"role":"user"},
	{"role":"model","parts":[{"text":"hm","thought":true,"thoughtSignature":"s"},{"text":"ok"},{"functionCall":{"name":"f","args":{"text":"no"}}}]},
	{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":"4\u0032"}}},{"text":"what is"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"text":"this?"}]},
	{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"sky":"blue"}}}]}],
	"generationConfig":{"maxOutputTokens":7,"temperature":0.25,"responseMimeType":"application/json"}}`

func TestReadPrompt(t *testing.T) {
	f := func(p dialect.Prompt) {
		t.Helper()
		assert.Equal(t, "Be \"kind\".\nAnd\nbrief.", string(p.System))
		assert.Equal(t, "what is\nthis?", string(p.LastUser), "results of functions are no words of the user")
		assert.Equal(t, []any{4, 2, int64(7), 0.25, true, true}, []any{p.Messages, p.Tools, p.MaxTokens, p.Temperature, p.Images, p.JSONOutput})
		assert.Equal(t, len(`Be "kind".And_brief.firstok42what isthis?{"sky":"blue"}`), p.TextBytes)
		assert.Equal(t, xxhash.Sum64String(`{"role":"system","parts":[{"text":"Be \"kind\"."},{"text":"And\nbrief."}]}`+`[{"functionDeclarations":[{"a":1},{"b":[2]}]},{"googleSearch":{}}]`), p.PrefixHash)
	}
	f(readPrompt(dialect.OpGenerate, promptBody))
	f(readPrompt(dialect.OpCount, promptBody))
	f(readPrompt(dialect.OpCount, `{"contents":[{"parts":[{"text":"ignored"}]}],"generate_content_request":`+promptBody+`,"contents":[]}`))
}

// The API takes both cases, lone objects for lists, and numbers in quotes; and a name's spelling must not hide a prompt.
func TestReadPromptsOfAllForms(t *testing.T) {
	f := func(op dialect.Op, body, system, user string, messages, bytes int) {
		t.Helper()
		p := readPrompt(op, body)
		assert.Equal(t, []any{system, user, messages, bytes}, []any{string(p.System), string(p.LastUser), p.Messages, p.TextBytes}, body)
	}
	generate := dialect.OpGenerate
	f(generate, `{}`, "", "", 0, 0)
	f(generate, `{"contents":[]}`, "", "", 0, 0)
	f(generate, `{"contents":"x","systemInstruction":"x"}`, "", "", 0, 0)
	f(generate, `{"contents":[7,{"parts":[7,{"text":8},{}]}],"systemInstruction":null}`, "", "", 2, 0)
	f(generate, `{"system_instruction":{"parts":{"text":"a"}},"contents":{"parts":{"t\u0065xt":"b"}}}`, "a", "b", 1, 2)
	f(generate, `{"contents":[{"role":"USER","parts":[{"text":"x"}]},{"role":"MODEL","parts":[{"text":"y"}]}]}`, "", "x", 2, 2)
	f(generate, `{"contents":[{"parts":[{"text":"a","functionCall":null},{"text":"b","inline_data":{}}]}]}`, "", "a\nb", 1, 2)
	f(dialect.OpEmbed, `{"content":{"parts":[{"text":"a\n"},{"text":"b"}]},"contents":[],"requests":[]}`, "", "a\n\nb", 1, 3)
	f(dialect.OpBatchEmbed, `{"requests":[{"model":"m","content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"bc"}]}},7]}`, "", "bc", 3, 3)
	f(dialect.OpGenerate, `{"generateContentRequest":`+promptBody+`}`, "", "", 0, 0)
	f(dialect.OpChat, promptBody, "", "", 0, 0)

	p := readPrompt(generate, `{"generation_config":{"max_output_tokens":"9","temperature":"0.5","response_mime_type":"text\/plain"},"tools":{"function_declarations":{}}}`)
	assert.Equal(t, []any{int64(9), 0.5, false, 1}, []any{p.MaxTokens, p.Temperature, p.JSONOutput, p.Tools})
	p = readPrompt(generate, `{"generationConfig":{"maxOutputTokens":null,"temperature":null}}`)
	assert.Equal(t, []any{int64(0), uint64(0)}, []any{p.MaxTokens, p.PrefixHash})
	assert.True(t, math.IsNaN(p.Temperature))
	assert.True(t, math.IsNaN(readPrompt(dialect.OpOther, `{}`).Temperature))
}

func TestReadPromptFindsImages(t *testing.T) {
	for part, want := range map[string]bool{
		`{"inline_data":{"data":"A","mime_type":"IMAGE/png"}}`:                                              true,
		`{"inlineData":{"mimeType":"audio/wav","data":"A"}}`:                                                false,
		`{"fileData":{"fileUri":"https://example.com/a.png"}}`:                                              true,
		`{"fileData":{"fileUri":"https://example.com/a.pdf"}}`:                                              false,
		`{"file_data":{"file_uri":"gs://x","mimeType":"image/webp"}}`:                                       true,
		`{"functionResponse":{"name":"f","response":{},"parts":[{"inlineData":{"mimeType":"image/png"}}]}}`: true,
		`{"functionResponse":{"name":"f","response":{"parts":[{"inlineData":{"mimeType":"image/png"}}]}}}`:  false,
		`{"inlineData":null}`: false, `{"inlineData":7}`: false, `{"text":"image/png"}`: false,
	} {
		assert.Equal(t, want, readPrompt(dialect.OpGenerate, `{"contents":[{"parts":[`+part+`]}]}`).Images, part)
	}
}

func TestPrefixHashTellsPrefixes(t *testing.T) {
	hash := func(body string) uint64 { return readPrompt(dialect.OpGenerate, body).PrefixHash }
	a := hash(`{"systemInstruction":{"parts":[]},"contents":[],"tools":[]}`)
	assert.NotZero(t, a)
	assert.Equal(t, a, hash(`{"tools":[],"contents":[{}],"systemInstruction":{"parts":[]}}`))
	assert.NotEqual(t, a, hash(`{"systemInstruction":{"parts":[]},"tools":[{}]}`))
	assert.NotEqual(t, a, hash(`{"systemInstruction":{"parts":[{}]},"tools":[]}`))
}

func BenchmarkReadPrompt(b *testing.B) {
	var p dialect.Prompt
	b.SetBytes(int64(len(asked)))
	b.ReportAllocs()
	for b.Loop() {
		Codec{}.ReadPrompt(dialect.OpGenerate, asked, &p)
	}
	require.Equal(b, 3, p.Messages)
}
