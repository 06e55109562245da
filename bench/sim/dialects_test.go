package sim_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

// anthropicVersion is what requests say of Anthropic's API; other dialects ignore it.
const anthropicVersion = "2023-06-01"

// message is what tests read of Anthropic's messages.
type message struct {
	ID      string
	Content []struct {
		Type, Text, Thinking, Signature, Name, ID string
		Input                                     json.RawMessage
	}
	StopReason   string  `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
	Usage        struct {
		Input    int `json:"input_tokens"`
		Created  int `json:"cache_creation_input_tokens"`
		Read     int `json:"cache_read_input_tokens"`
		Output   int `json:"output_tokens"`
		Creation struct {
			Short int `json:"ephemeral_5m_input_tokens"`
			Long  int `json:"ephemeral_1h_input_tokens"`
		} `json:"cache_creation"`
		Details struct {
			Thinking int `json:"thinking_tokens"`
		} `json:"output_tokens_details"`
	}
}

func (m message) text() string {
	for _, block := range m.Content {
		if block.Type == "text" {
			return block.Text
		}
	}
	return ""
}

// content is what tests read of Gemini's responses.
type content struct {
	Candidates []struct {
		Content struct {
			Role  string
			Parts []struct {
				Text             string
				Thought          bool
				ThoughtSignature string
				FunctionCall     *struct {
					Name string
					Args json.RawMessage
				}
			}
		}
		FinishReason string
		Index        int
	}
	UsageMetadata struct {
		PromptTokenCount, CandidatesTokenCount, ThoughtsTokenCount, TotalTokenCount int
		PromptTokensDetails                                                         []struct {
			Modality   string
			TokenCount int
		}
	}
	ModelVersion, ResponseID string
}

func decode[T any](t testing.TB, body string) (out T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(body), &out), body)
	return out
}

func messages(t testing.TB, url, body string) message {
	t.Helper()
	return decode[message](t, answered(t, url+"/v1/messages", body, "anthropic-version", anthropicVersion))
}

func contents(t testing.TB, url, model, body string) content {
	t.Helper()
	return decode[content](t, answered(t, url+"/v1beta/models/"+model+":generateContent", body))
}

// TestTheSameWordsInEveryDialect asks one conversation, with an image, a tool and its result, in all four forms.
func TestTheSameWordsInEveryDialect(t *testing.T) {
	_, url := start(t, sim.Options{})
	const schema = `{"type":"object","properties":{"city":{"type":"string"}}}`
	inChat := decode[chatAnswer](t, answered(t, url+chatPath, `{"model":"m","messages":[
		{"role":"developer","content":"Be brief."},
		{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}]},
		{"role":"assistant","content":"Let me see.","tool_calls":[{"id":"1","type":"function","function":{"name":"look","arguments":"{\"city\":\"Oslo\"}"}}]},
		{"role":"tool","tool_call_id":"1","content":"It rains."},
		{"role":"user","content":"And then?"}],
		"tools":[{"type":"function","function":{"name":"look","description":"looks","parameters":`+schema+`}}]}`))
	inMessages := messages(t, url, `{"model":"m","max_tokens":1000,"system":[{"type":"text","text":"Be brief."}],"messages":[
		{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]},
		{"role":"assistant","content":[{"type":"text","text":"Let me see."},{"type":"tool_use","id":"2","name":"look","input":{"city":"Oslo"}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"2","content":"It rains."},{"type":"text","text":"And then?"}]}],
		"tools":[{"name":"look","description":"looks","input_schema":`+schema+`}]}`)
	inContents := contents(t, url, "m", `{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[
		{"role":"user","parts":[{"text":"What is this?"},{"inlineData":{"mimeType":"image/png","data":"aGk="}}]},
		{"role":"model","parts":[{"text":"Let me see."},{"functionCall":{"name":"look","args":{"city":"Oslo"}}}]},
		{"role":"user","parts":[{"functionResponse":{"name":"look","response":{"output":"It rains."}}}]},
		{"role":"user","parts":[{"text":"And then?"}]}],
		"tools":[{"function_declarations":[{"name":"look","description":"looks","parametersJsonSchema":`+schema+`}]}]}`)
	inResponses := answered(t, url+"/v1/responses", `{"model":"m","instructions":"Be brief.","input":[
		{"role":"user","content":[{"type":"input_text","text":"What is this?"},{"type":"input_image","image_url":"data:image/png;base64,aGk="}]},
		{"role":"assistant","content":"Let me see."},{"type":"function_call","call_id":"1","name":"look","arguments":"{\"city\":\"Oslo\"}"},
		{"type":"function_call_output","call_id":"1","output":"It rains."},{"role":"user","content":"And then?"}],
		"tools":[{"type":"function","name":"look","description":"looks","parameters":`+schema+`}]}`)
	words := inChat.Choices[0].Message.Content
	assert.Contains(t, words, `On "And then?"`)
	assert.Equal(t, words, inMessages.text())
	assert.Equal(t, words, inContents.Candidates[0].Content.Parts[0].Text)
	assert.Contains(t, inResponses, strings.Trim(string(mustJSON(t, words)), `"`))

	assert.Equal(t, inChat.Usage.Prompt, inMessages.Usage.Input)
	assert.Equal(t, inChat.Usage.Prompt, inContents.UsageMetadata.PromptTokenCount)
	assert.Equal(t, inChat.Usage.Completion, inMessages.Usage.Output)
	assert.Equal(t, inChat.Usage.Completion, inContents.UsageMetadata.CandidatesTokenCount)
	assert.Equal(t, "IMAGE", inContents.UsageMetadata.PromptTokensDetails[1].Modality)
}

func mustJSON(t testing.TB, s string) []byte {
	t.Helper()
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	require.NoError(t, e.Encode(s))
	return []byte(strings.TrimSpace(out.String()))
}

// TestPromptCacheUsage checks the three counts that add up to the prompt, and that equal requests tell the same.
func TestPromptCacheUsage(t *testing.T) {
	_, url := start(t, sim.Options{})
	const mark = `,"cache_control":{"type":"ephemeral"}`
	f := func(system, messagesJSON, more string) message {
		t.Helper()
		body := `{"model":"m","max_tokens":50,"system":[{"type":"text","text":"one two three"` + system + `}],"messages":[` + messagesJSON + `]` + more + `}`
		first := messages(t, url, body)
		assert.Equal(t, first.Usage, messages(t, url, body).Usage)
		return first
	}
	const first, turn = `{"role":"user","content":"four five"}`, `,{"role":"assistant","content":"six"}`
	next := `,{"role":"user","content":[{"type":"text","text":"seven"` + mark + `}]}`

	plain := f("", first, "").Usage
	assert.Zero(t, plain.Created+plain.Read)
	inSystem := f(mark, first, "").Usage
	assert.Equal(t, plain.Input-inSystem.Input, inSystem.Created)
	assert.Zero(t, inSystem.Read)
	assert.Equal(t, inSystem.Created, inSystem.Creation.Short)
	again := f("", first+turn+next, "").Usage
	assert.Equal(t, plain.Input, again.Read, "what stood before the assistant's turn was asked before")
	assert.Zero(t, again.Input)
	assert.Positive(t, again.Created)
	everything := f("", first, `,"cache_control":{"type":"ephemeral","ttl":"1h"}`).Usage
	assert.Zero(t, everything.Input)
	assert.Equal(t, plain.Input, everything.Created)
	assert.Equal(t, plain.Input, everything.Creation.Long)
}

func eventNames(stream string) (names []string) {
	for line := range strings.Lines(stream) {
		if name, ok := strings.CutPrefix(line, "event: "); ok && (len(names) == 0 || names[len(names)-1] != strings.TrimSpace(name)) {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

func TestEventsOfAMessage(t *testing.T) {
	_, url := start(t, sim.Options{})
	const body = `{"model":"m;chunks=4","max_tokens":2000,"thinking":{"type":"adaptive"},"messages":[{"role":"user","content":"Hello"}]`
	stream := answered(t, url+"/v1/messages", body+`,"stream":true}`, "anthropic-version", anthropicVersion)
	assert.Equal(t, []string{
		"message_start", "content_block_start", "ping", "content_block_delta", "content_block_stop",
		"content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
	}, eventNames(stream))
	assert.True(t, eventsParse(stream))

	whole := messages(t, url, body+"}")
	require.Len(t, whole.Content, 2)
	assert.Equal(t, "end_turn", whole.StopReason)
	assert.Positive(t, whole.Usage.Details.Thinking)
	assert.Greater(t, whole.Usage.Output, whole.Usage.Details.Thinking)
	var thought, text, signed string
	for _, ev := range strings.Split(strings.TrimSpace(stream), "\n\n") {
		_, data, _ := strings.Cut(ev, "data: ")
		one := decode[struct {
			Delta struct{ Text, Thinking, Signature string }
			Usage *struct {
				Output int `json:"output_tokens"`
			}
		}](t, data)
		text, thought, signed = text+one.Delta.Text, thought+one.Delta.Thinking, signed+one.Delta.Signature
		if one.Usage != nil {
			assert.Equal(t, whole.Usage.Output, one.Usage.Output)
		}
	}
	assert.Equal(t, whole.Content[0].Thinking, thought)
	assert.Equal(t, whole.Content[0].Signature, signed)
	assert.Equal(t, whole.text(), text)

	plain := messages(t, url, strings.Replace(body, `"thinking":{"type":"adaptive"},`, "", 1)+"}")
	assert.Equal(t, plain.text(), text, "thinking does not change the words")
}

func TestThoughtsComeBackSigned(t *testing.T) {
	_, url := start(t, sim.Options{})
	f := func(signature string) int {
		t.Helper()
		resp, _, err := post(t, url+"/v1/messages", `{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[`+
			`{"type":"thinking","thinking":"","signature":"`+signature+`"},{"type":"text","text":"b"}]},{"role":"user","content":"c"}]}`,
			"anthropic-version", anthropicVersion)
		require.NoError(t, err)
		return resp.StatusCode
	}
	hidden := messages(t, url, `{"model":"m","max_tokens":900,"thinking":{"type":"adaptive","display":"omitted"},"messages":[{"role":"user","content":"a"}]}`)
	require.Equal(t, "thinking", hidden.Content[0].Type)
	assert.Empty(t, hidden.Content[0].Thinking)
	assert.Equal(t, 200, f(hidden.Content[0].Signature))
	assert.Equal(t, 400, f("forged"))
}

func TestWhyAMessageEnds(t *testing.T) {
	_, url := start(t, sim.Options{})
	f := func(members, want string) message {
		t.Helper()
		got := messages(t, url, `{"model":"m","messages":[{"role":"user","content":"go f"}],`+members+`}`)
		assert.Equal(t, want, got.StopReason)
		return got
	}
	text := f(`"max_tokens":900`, "end_turn").text()
	assert.Equal(t, 5, f(`"max_tokens":5`, "max_tokens").Usage.Output)
	stopped := f(`"max_tokens":900,"stop_sequences":["nowhere","`+text[13:17]+`"]`, "stop_sequence")
	assert.Equal(t, text[13:17], *stopped.StopSequence)
	called := f(`"max_tokens":900,"tools":[{"name":"f","input_schema":{"type":"object"}}]`, "tool_use")
	assert.JSONEq(t, "{}", string(called.Content[0].Input))
	cut := f(`"max_tokens":1,"tools":[{"name":"f","input_schema":{"type":"object","properties":{"a":{"type":"string"}}}}]`, "max_tokens")
	assert.JSONEq(t, "{}", string(cut.Content[0].Input))
}

func TestMessagesRefuseWhatTheRealOneRefuses(t *testing.T) {
	_, url := start(t, sim.Options{APIKey: "secret"})
	f := func(version, key, members, want string) {
		t.Helper()
		headers := []string{"authorization", "Bearer " + key}
		if version != "" {
			headers = append(headers, "anthropic-version", version)
		}
		_, got, err := post(t, url+"/v1/messages", `{"model":"m","messages":[{"role":"user","content":"a"}]`+members+`}`, headers...)
		require.NoError(t, err)
		assert.Contains(t, got, want)
	}
	f(anthropicVersion, "secret", `,"max_tokens":9,"temperature":0.5`, `"type":"message"`)
	f("2026-10-21", "secret", `,"max_tokens":9,"temperature":0.5`, "temperature: Extra inputs are not permitted")
	f("", "secret", `,"max_tokens":9`, "anthropic-version: header is required")
	f(anthropicVersion, "secret", "", "max_tokens: Field required")
	f(anthropicVersion, "wrong", `,"max_tokens":9`, "authentication_error")
	f(anthropicVersion, "secret", `,"max_tokens":9,"thinking":{"type":"enabled","budget_tokens":5}`, "budget_tokens")
	_, got, err := post(t, url+"/v1/messages", `{"model":"missing-model","max_tokens":9,"messages":[{"role":"user","content":"a"}]}`,
		"x-api-key", "secret", "anthropic-version", anthropicVersion)
	require.NoError(t, err)
	assert.Contains(t, got, `{"type":"not_found_error","message":"model: missing-model"}`)
}

func TestContentsInBothStreamForms(t *testing.T) {
	_, url := start(t, sim.Options{})
	const body = `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}],"generationConfig":{"candidateCount":2,"thinkingConfig":{"includeThoughts":true}}}`
	whole := contents(t, url, "m;chunks=3", body)
	require.Len(t, whole.Candidates, 2)
	usage := whole.UsageMetadata
	assert.Positive(t, usage.ThoughtsTokenCount)
	assert.Equal(t, usage.TotalTokenCount, usage.PromptTokenCount+usage.CandidatesTokenCount+usage.ThoughtsTokenCount)

	array := decode[[]content](t, answered(t, url+"/v1beta/models/m;chunks=3:streamGenerateContent", body))
	var events []content
	for _, ev := range strings.Split(strings.TrimSpace(answered(t, url+"/v1beta/models/m;chunks=3:streamGenerateContent?alt=sse", body)), "\r\n\r\n") {
		events = append(events, decode[content](t, strings.TrimPrefix(ev, "data: ")))
	}
	assert.Equal(t, array, events)
	texts := make([]string, 2)
	for _, chunk := range array {
		part := chunk.Candidates[0].Content.Parts[0]
		if !part.Thought {
			texts[chunk.Candidates[0].Index] += part.Text
		}
	}
	for i, c := range whole.Candidates {
		assert.True(t, c.Content.Parts[0].Thought)
		assert.Equal(t, c.Content.Parts[1].Text, texts[i])
		assert.NotEmpty(t, c.Content.Parts[1].ThoughtSignature)
		assert.Equal(t, "STOP", c.FinishReason)
	}
	assert.Equal(t, usage, array[len(array)-1].UsageMetadata)
	assert.Equal(t, whole.ResponseID, array[0].ResponseID)
}

func TestContentsObeyTheirConfig(t *testing.T) {
	_, url := start(t, sim.Options{})
	f := func(config string) content {
		t.Helper()
		return contents(t, url, "m", `{"contents":[{"parts":[{"text":"Hello"}]}],"safetySettings":[{"category":"HARM_CATEGORY_HATE_SPEECH",`+
			`"threshold":"BLOCK_NONE"}],"generation_config":{`+config+`}}`)
	}
	short := f(`"maxOutputTokens":5`)
	assert.Equal(t, "MAX_TOKENS", short.Candidates[0].FinishReason)
	assert.Equal(t, 5, short.UsageMetadata.CandidatesTokenCount)
	text := f("").Candidates[0].Content.Parts[0].Text
	assert.Equal(t, text[:13], f(`"stop_sequences":["` + text[13:17] + `"]`).Candidates[0].Content.Parts[0].Text)
	shaped := f(`"responseMimeType":"application/json","responseSchema":{"type":"OBJECT","properties":{"days":{"type":"INTEGER"}}}`)
	days := decode[struct{ Days *int }](t, shaped.Candidates[0].Content.Parts[0].Text)
	assert.NotNil(t, days.Days)
}

func TestGeminiKeyIsTakenWhereverItStandsAndNotLogged(t *testing.T) {
	srv, url := start(t, sim.Options{APIKey: "secret", LogSize: 5})
	const path, body = "/v1beta/models/m:countTokens", `{"contents":[{"parts":[{"text":"one two"}]}]}`
	assert.Contains(t, answered(t, url+path+"?key=secret", body), `{"totalTokens":2,`)
	assert.Regexp(t, `^key=sha256(:|%3A)[0-9a-f]{64}$`, srv.Requests()[0].Query)
	answered(t, url+path, body, "x-goog-api-key", "secret")
	_, got, err := post(t, url+path, body, "x-goog-api-key", "wrong")
	require.NoError(t, err)
	assert.Contains(t, got, "API_KEY_INVALID")
	resp, _, err := post(t, url+path, body)
	require.NoError(t, err)
	assert.Equal(t, 403, resp.StatusCode)
}

func TestModelListsInThreeShapes(t *testing.T) {
	_, url := start(t, sim.Options{})
	f := func(path, want string, headers ...string) {
		t.Helper()
		req := get(t, url+path)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		_, got, err := do(req)
		require.NoError(t, err)
		assert.True(t, json.Valid([]byte(got)), got)
		assert.Contains(t, got, want)
	}
	f("/v1/models", `{"object":"list","data":[`)
	f("/v1/models", `"has_more":false`, "anthropic-version", anthropicVersion)
	f("/v1/models/sim-small", `{"type":"model","id":"sim-small"`, "anthropic-version", anthropicVersion)
	f("/v1beta/models", `{"models":[{"name":"models/`)
	f("/v1/models", `{"models":[{"name":"models/`, "x-goog-api-key", "any")
	f("/v1/models/ft:gpt-4o:org", `"id":"ft:gpt-4o:org"`)
	f("/v1beta/models/sim-small", `{"name":"models/sim-small"`)
	f("/v1beta/models/missing-model", `"status": "NOT_FOUND"`)
	f("/v1beta/nothing", `"status": "NOT_FOUND"`)
}
