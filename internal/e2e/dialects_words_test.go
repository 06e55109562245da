package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wording is a question in the words of one operation: where it is asked, its body without the model and without the
// last brace, and headers.
type wording struct {
	op, path, body string
	headers        []string
}

// operations are those that ask for a chat.
var operations = []string{"chat", "responses", "messages", "generate"}

// ownDialect is the dialect of an operation.
var ownDialect = map[string]string{"chat": "openai", "responses": "openai", "messages": "anthropic", "generate": "gemini"}

const version = "2023-06-01"

// word puts a prompt into the words of an operation. more are further members of the body.
func word(op, model, prompt string, streamed bool, more ...string) wording {
	w := wording{op: op}
	members := []string{fmt.Sprintf(`"model":%q`, model)}
	if streamed {
		members = append(members, `"stream":true`)
	}
	switch op {
	case "chat":
		w.path = chatPath
		members = append(members, fmt.Sprintf(`"messages":[{"role":"user","content":%q}]`, prompt))
		if streamed {
			members = append(members, `"stream_options":{"include_usage":true}`)
		}
	case "responses":
		w.path = "/v1/responses"
		members = append(members, fmt.Sprintf(`"input":%q`, prompt), `"store":false`)
	case "messages":
		w.path = "/v1/messages"
		w.headers = []string{"anthropic-version", version}
		members = append(members, fmt.Sprintf(`"messages":[{"role":"user","content":%q}]`, prompt))
	case "generate":
		w.path = "/v1beta/models/" + model + ":generateContent"
		if streamed {
			w.path = "/v1beta/models/" + model + ":streamGenerateContent?alt=sse"
		}
		members = []string{fmt.Sprintf(`"contents":[{"role":"user","parts":[{"text":%q}]}]`, prompt)}
	}
	w.body = "{" + strings.Join(append(members, more...), ",") + "}"
	return w
}

// limit is the member that bounds an answer, which one of the dialects insists on.
func limit(op string, tokens int) string {
	return fmt.Sprintf(map[string]string{
		"chat": `"max_completion_tokens":%d`, "responses": `"max_output_tokens":%d`, "messages": `"max_tokens":%d`,
		"generate": `"generationConfig":{"maxOutputTokens":%d}`,
	}[op], tokens)
}

func (c *client) say(w wording, headers ...string) *answer {
	c.t.Helper()
	return c.do("POST", w.path, w.body, append(w.headers[:len(w.headers):len(w.headers)], headers...)...)
}

// anyAnswer is an answer of any dialect, or an event of one.
type anyAnswer struct {
	Type  string
	Delta json.RawMessage // a text in responses, an object in messages

	Choices []struct {
		Message, Delta struct{ Content string }
	}
	Output []struct {
		Content []struct{ Text string }
	}
	Content    []struct{ Text string }
	Candidates []struct {
		Content struct {
			Parts []struct {
				Text    string
				Thought bool
			}
		}
	}
}

func (a *anyAnswer) text() (out string) {
	for _, c := range a.Choices {
		out += c.Message.Content + c.Delta.Content
	}
	for _, item := range a.Output {
		for _, c := range item.Content {
			out += c.Text
		}
	}
	for _, block := range a.Content {
		out += block.Text
	}
	for _, c := range a.Candidates {
		for _, part := range c.Content.Parts {
			if !part.Thought {
				out += part.Text
			}
		}
	}
	var delta struct{ Text string }
	switch {
	case a.Type == "response.output_text.delta":
		_ = json.Unmarshal(a.Delta, &delta.Text)
	case a.Type == "content_block_delta":
		_ = json.Unmarshal(a.Delta, &delta)
	}
	return out + delta.Text
}

// text is what an answer says, of whatever dialect, whole or streamed.
func (a *answer) text(t testing.TB) (out string) {
	t.Helper()
	require.Equal(t, 200, a.status, a.body)
	documents := []string{a.body}
	if a.streamed() {
		documents = a.events()
	}
	for _, document := range documents {
		var some anyAnswer
		if document == "[DONE]" {
			continue
		}
		require.NoError(t, json.Unmarshal([]byte(document), &some), document)
		out += some.text()
	}
	return out
}

// ends says that a stream has the good end of its operation.
func (a *answer) ends(op string) bool {
	return strings.Contains(a.body, map[string]string{
		"chat": "\ndata: [DONE]\n", "responses": `"type":"response.completed"`, "messages": `"type":"message_stop"`,
		"generate": `"finishReason":"STOP"`,
	}[op])
}

// wantRefusal checks that an answer is the named error in the form of an operation's dialect, and returns its message.
func (a *answer) wantRefusal(t testing.TB, op string, status int, code string) string {
	t.Helper()
	assert.Equal(t, status, a.status, a.body)
	assert.Equal(t, code, a.header.Get("X-Wedge-Error"), a.body)
	assert.Equal(t, "application/json", a.header.Get("Content-Type"))
	var body struct {
		Type  string
		Error struct {
			Message, Type, Status string
			Code                  any
		}
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &body), a.body)
	assert.NotEmpty(t, body.Error.Message)
	switch ownDialect[op] {
	case "openai":
		assert.Equal(t, code, body.Error.Code, a.body)
	case "anthropic":
		kinds := map[int]string{
			400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 502: "api_error",
		}
		assert.Equal(t, []string{"error", kinds[status]}, []string{body.Type, body.Error.Type}, a.body)
	case "gemini":
		kinds := map[int]string{400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 502: "UNAVAILABLE"}
		assert.Equal(t, kinds[status], body.Error.Status, a.body)
		assert.EqualValues(t, status, body.Error.Code, a.body)
	}
	return body.Error.Message
}
