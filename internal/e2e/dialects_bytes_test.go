package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exact is a request that reaches a provider of its own dialect as it is, but for the model's name.
type exact struct {
	name, path, body string
	headers          []string
}

// MODEL stands for the model's name.
var exacts = []exact{
	{"chat", "/v1/chat/completions", "{ \"messages\" :\t[{\"role\":\"user\",\"content\":[ {\"type\":\"text\",\"text\":\"sp\\u0061ces \\u00e9 \\ud83d\\ude80 \\/\"} ],\"x_own\":1}],\r\n" +
		` "model" : "MODEL", "temperature":1.50e-1,"x_future":{"a":[1,null,{ }],"big":12345678901234567890.000}, "logit_bias":{"50256":-100} } `, nil},
	{"chat stream", "/v1/chat/completions", `{"stream_options":{ "include_usage":true,"include_obfuscation":false },"stream":true , "model":"MODEL","messages":[{"role":"user","content":"odd  one"}],"seed":7e0}`, nil},
	{"responses", "/v1/responses", `{"input":[{"role":"user","content":[{"type":"input_text","text":"odd"}],"x":[ ]}], "store" : false,"model":"MODEL","reasoning":{"effort":"low" ,"summary":null},"include":["reasoning.encrypted_content"]}`, nil},
	{"responses stream", "/v1/responses", `{"stream":true,"input":"odd","model":"MODEL","store":false,"x_future":"\u006b"}`, nil},
	{"completions", "/v1/completions", `{"prompt":[ "odd" ] ,"model":"MODEL","best_of":1,"x_future":0.10}`, nil},
	{"embeddings", "/v1/embeddings", `{"input":["odd" , "one"],"model":"MODEL","encoding_format":"float" ,"x_future":[]}`, nil},
	{"messages", "/v1/messages", `{ "max_tokens":64 ,"system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral","ttl":"1h"}}],` +
		`"messages":[{"role":"user","content":[{"type":"text","text":"odd \u00e9", "cache_control" : {"type":"ephemeral"}}]}],"model":"MODEL","x_future":{"b":1.0},"metadata":{"user_id":"u"}}`, []string{"anthropic-version", version}},
	{"messages stream", "/v1/messages", `{"stream" : true,"max_tokens":64,"messages":[{"role":"user","content":"odd"}],"model":"MODEL","x_future":-0}`, []string{"anthropic-version", version, "anthropic-beta", "context-1m-2025-08-07"}},
	{"count of messages", "/v1/messages/count_tokens", `{ "messages":[{"role":"user","content":"odd"}] ,"model":"MODEL","x_future":1}`, []string{"anthropic-version", version}},
	{"contents", "/v1beta/models/MODEL:generateContent", `{ "contents":[{"parts":[{"text":"odd \u00e9","x_own":[ 1 ]}]}] ,"safety_settings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}],"generation_config":{"max_output_tokens":64,"x_future":1.0}}`, nil},
	{"contents stream", "/v1beta/models/MODEL:streamGenerateContent?alt=sse", `{ "contents":[{"parts":{"text":"odd"}}] , "contents_x":[] }`, nil},
	{"count of contents", "/v1beta/models/MODEL:countTokens", `{ "contents":[{"parts":[{"text":"odd"}]}] ,"x_future":1}`, nil},
	{"contents embedded", "/v1beta/models/MODEL:embedContent", `{ "content":{"parts":[{"text":"odd"}]} ,"taskType":"RETRIEVAL_QUERY","x_future":1}`, nil},
	{"many contents embedded", "/v1beta/models/MODEL:batchEmbedContents", `{ "requests":[{"model":"models/MODEL", "content":{"parts":[{"text":"odd"}]},"x_future":1}] }`, nil},
}

// TestSameDialectIsByteExact compares what the provider received with what the client sent, and what the client got with
// what the provider says to the same request without a node in between.
func TestSameDialectIsByteExact(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	for _, e := range exacts {
		t.Run(e.name, func(t *testing.T) {
			model := "to-openai"
			switch {
			case strings.HasPrefix(e.path, "/v1beta/"):
				model = "to-gemini"
			case strings.HasPrefix(e.path, "/v1/messages"):
				model = "to-anthropic"
			}
			s.exact(t, &e, model)
		})
	}
}

func (s *star) exact(t *testing.T, e *exact, model string) {
	t.Helper()
	named := func(text, model string) string { return strings.ReplaceAll(text, "MODEL", model) }
	got := s.as(t, "ann").do("POST", named(e.path, model), named(e.body, model), e.headers...)
	require.Equal(t, 200, got.status, got.body)
	assert.Empty(t, got.header.Get("X-Wedge-Dropped"))
	records := s.sim.requests(t)
	received := records[len(records)-1]
	path, _, _ := strings.Cut(named(e.path, "x"), "?")
	assert.Equal(t, path, received.Path)
	assert.Equal(t, named(e.body, "x"), received.Body)
	for i := 0; i < len(e.headers); i += 2 {
		assert.Equal(t, e.headers[i+1], received.Headers[e.headers[i]])
	}
	direct := newClient(t, s.sim.addr, providerSecret).do("POST", named(e.path, "x"), named(e.body, "x"), e.headers...)
	require.Equal(t, 200, direct.status, direct.body)
	assert.Equal(t, timeless(direct.body), timeless(withoutComments(got.body)))
}

// withoutComments is a stream without what the node tells at its end.
func withoutComments(body string) string {
	before, comment, found := strings.Cut(body, ": wedge ")
	if !found {
		return body
	}
	_, after, _ := strings.Cut(comment, "\n\n")
	return before + after
}

// timeless is an answer without the seconds at which it was made.
func timeless(body string) string {
	for _, member := range []string{`"created":`, `"created_at":`, `"completed_at":`} {
		parts := strings.Split(body, member)
		for i := range parts[1:] {
			parts[i+1] = strings.TrimLeft(parts[i+1], "0123456789")
		}
		body = strings.Join(parts, member)
	}
	return body
}

// TestSignedThinkingIsByteExact sends back the blocks of an answer, whose signature the provider checks.
func TestSignedThinkingIsByteExact(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	const question = `{"role":"user","content":"Call get_weather for the city of Paris"}`
	const rest = `,"model":"MODEL","max_tokens":4000,"thinking":{"type":"enabled","budget_tokens":2048},"tools":[{"name":"get_weather","input_schema":` + toolSchema + `}]}`
	headers := []string{"anthropic-version", version}
	first := s.as(t, "ann").do("POST", "/v1/messages", strings.ReplaceAll(`{"messages":[`+question+`]`+rest, "MODEL", "to-anthropic"), headers...)
	require.Equal(t, 200, first.status, first.body)
	var message struct{ Content []json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(first.body), &message))
	require.Len(t, message.Content, 2)
	var thought, call struct{ Type, Signature, ID string }
	require.NoError(t, json.Unmarshal(message.Content[0], &thought))
	require.NoError(t, json.Unmarshal(message.Content[1], &call))
	require.Equal(t, []string{"thinking", "tool_use"}, []string{thought.Type, call.Type})
	require.NotEmpty(t, thought.Signature)
	second := fmt.Sprintf(`{"messages" : [%s, {"role":"assistant","content":[ %s ,%s]},{"role":"user","content":[{"type":"tool_result","tool_use_id":%q,"content":"rain"}]}]%s`,
		question, message.Content[0], message.Content[1], call.ID, rest)
	s.exact(t, &exact{"", "/v1/messages", second, headers}, "to-anthropic")
	forged := strings.Replace(second, thought.Signature, "Zm9yZ2Vk", 1)
	refused := s.as(t, "ann").do("POST", "/v1/messages", strings.ReplaceAll(forged, "MODEL", "to-anthropic"), headers...)
	assert.Contains(t, refused.wantRefusal(t, "messages", 400, "invalid_request"), "signature")
}

// TestProvidersGetTheirOwnKey shows the client's key in every way that clients have.
func TestProvidersGetTheirOwnKey(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	key := keyOf("ann")
	places := map[string]string{"openai": "authorization", "anthropic": "x-api-key", "gemini": "x-goog-api-key"}
	shown := map[string]string{"openai": "Bearer " + providerSecret, "anthropic": providerSecret, "gemini": providerSecret}
	for _, d := range dialects {
		for i, headers := range [][]string{
			{"Authorization", "Bearer " + key}, {"x-api-key", key}, {"x-goog-api-key", key}, {"api-key", key},
		} {
			for _, op := range operations {
				prompt := fmt.Sprintf("key %d of %s for %s", i, op, d)
				require.Equal(t, 200, newClient(t, s.data, "").say(word(op, "to-"+d, prompt, false, limit(op, 9)), headers...).status)
				got := s.sim.about(t, prompt)[0].Headers
				for _, place := range places {
					want := ""
					if place == places[d] {
						want = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(shown[d])))
					}
					assert.Equal(t, want, got[place], "%s: %s", prompt, place)
				}
				assert.Empty(t, got["api-key"], prompt)
				assert.Equal(t, d == "anthropic", got["anthropic-version"] != "", prompt)
			}
		}
	}
	asked := word("generate", "to-openai", "in the query", false)
	a := newClient(t, s.data, "").do("POST", asked.path+"?key="+key, asked.body)
	assert.Equal(t, 200, a.status, a.body)
}
