package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// What providers of each dialect answer to anything.
const (
	wholeMessage = `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"fine"}],"stop_reason":"end_turn","stop_sequence":null,` +
		`"usage":{"input_tokens":10,"output_tokens":20}}`
	wholeGenerated = `{"candidates":[{"content":{"parts":[{"text":"fine"}],"role":"model"},"finishReason":"STOP","index":0}],` +
		`"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":20,"totalTokenCount":30},"responseId":"r"}`
)

// asked is a request as a provider got it.
type asked struct {
	method, uri, body string
	header            http.Header
}

// witness is a provider that answers every request alike and remembers the last one.
type witness struct {
	mu     sync.Mutex
	last   asked
	calls  int
	status int
	header http.Header
	answer string
}

func (w *witness) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = asked{r.Method, r.URL.RequestURI(), string(body), r.Header}
	w.calls++
	for name, values := range w.header {
		out.Header()[name] = values
	}
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(w.status)
	_, _ = io.WriteString(out, w.answer)
}

// newWitness starts one; it answers chats unless told otherwise.
func newWitness(t *testing.T) (w *witness, addr string) {
	t.Helper()
	w = &witness{status: http.StatusOK, answer: wholeBody}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	return w, s.Listener.Addr().String()
}

// providerServer serves the model m from providers, each a target, as the catalog writes them.
func providerServer(t *testing.T, version string, providers ...string) string {
	t.Helper()
	list, targets := "", ""
	for i, p := range providers {
		list += fmt.Sprintf("\n  - {name: p%d, %s}", i, p)
		targets += fmt.Sprintf("{provider: p%d, model: up}, ", i)
	}
	s := newTestServer(t, fmt.Sprintf("models: [{name: m, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: up}]}]}]\n"+
		"providers: [{name: p, dialect: openai, base_url: \"http://127.0.0.1:1/v1\"}]\n"))
	s.o.Secret = func(ref string) (string, error) { return "secret-of-" + ref[2:len(ref)-1], nil }
	c, err := wire.ParseCatalog("test", fmt.Appendf(nil, `
providers:%s
models: [{name: m, versions: [{version: 1.0.0, status: production, targets: [%s]%s}]}]
keys: [{name: k, id: wk_abcdefghijkl, hash: "sha256:%x", models: ["*"]}]
`, list, targets, version, wire.HashKey([]byte(testKey))))
	require.NoError(t, err)
	require.NoError(t, s.Publish(c, "test"))
	return serveTest(t, s)
}

func TestProvidersCredentials(t *testing.T) {
	const openaiPath = "/v1/chat/completions"
	for name, c := range map[string]struct {
		provider, answer, uri string
		shows                 map[string]string
	}{
		"openai":    {`dialect: openai, base_url: "http://%s/v1", api_key: "${S}"`, wholeBody, openaiPath, map[string]string{"Authorization": "Bearer secret-of-S"}},
		"none":      {`dialect: openai, base_url: "http://%s/v1"`, wholeBody, openaiPath, map[string]string{"Authorization": "", "X-Api-Key": ""}},
		"header":    {`dialect: openai, base_url: "http://%s/v1", api_key: "${S}", auth: x-api-key`, wholeBody, openaiPath, map[string]string{"Authorization": "", "X-Api-Key": "secret-of-S"}},
		"query":     {`dialect: openai, base_url: "http://%s/v1", api_key: "${S}", auth: query`, wholeBody, openaiPath + "?key=secret-of-S", map[string]string{"Authorization": ""}},
		"more":      {`dialect: openai, base_url: "http://%s/v1", headers: {OpenAI-Organization: org-1, x-more: "${T}"}`, wholeBody, openaiPath, map[string]string{"Openai-Organization": "org-1", "X-More": "secret-of-T"}},
		"azure":     {`dialect: openai, base_url: "http://%s/openai", api_key: "${S}", azure_api_version: 2024-10-21`, wholeBody, "/openai/deployments/up/chat/completions?api-version=2024-10-21", map[string]string{"Authorization": "", "Api-Key": "secret-of-S"}},
		"anthropic": {`dialect: anthropic, base_url: "http://%s/v1", api_key: "${S}"`, wholeMessage, "/v1/messages", map[string]string{"Authorization": "", "X-Api-Key": "secret-of-S", "Anthropic-Version": "2023-06-01"}},
		"gemini":    {`dialect: gemini, base_url: "http://%s/v1beta", api_key: "${S}"`, wholeGenerated, "/v1beta/models/up:generateContent", map[string]string{"Authorization": "", "X-Goog-Api-Key": "secret-of-S"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, addr := newWitness(t)
			w.answer = c.answer
			node := providerServer(t, "", fmt.Sprintf(c.provider, addr))
			g := fetch(t, node, chatPath, chatAsk("m", "x", false), "Anthropic-Beta: b", "X-Goog-Api-Client: c", "X-More: client's")
			require.Equal(t, http.StatusOK, g.StatusCode, g.body)
			assert.Contains(t, g.body, `"content":"fine"`)
			assert.Equal(t, c.uri, w.last.uri)
			for header, want := range c.shows {
				assert.Equal(t, want, w.last.header.Get(header), header)
				assert.LessOrEqual(t, len(w.last.header.Values(header)), 1, header)
			}
			if name == "gemini" || name == "anthropic" {
				assert.Empty(t, w.last.header.Get("Anthropic-Beta"), "another dialect's header")
			}
		})
	}
}

// A provider without the Responses API is asked for chat completions, and the client reads a response all the same.
func TestProviderWithoutResponses(t *testing.T) {
	w, addr := newWitness(t)
	node := providerServer(t, "", fmt.Sprintf(`dialect: openai, base_url: "http://%s/v1", responses: false`, addr))
	g := fetch(t, node, "/v1/responses", `{"model":"m","input":"x","store":false}`)
	require.Equal(t, http.StatusOK, g.StatusCode, g.body)
	assert.Equal(t, "/v1/chat/completions", w.last.uri)
	assert.Contains(t, w.last.body, `"messages":[{"role":"user","content":"x"}]`)
	assert.Contains(t, g.body, `"object":"response"`)
	g = fetch(t, node, "/v1/responses", `{"model":"m","input":"x","previous_response_id":"resp_12345678"}`)
	assert.Equal(t, http.StatusBadRequest, g.StatusCode)
	assert.Contains(t, g.body, "send the conversation in input")
}

// A target that does not want to be asked again is not, and clients hear of it.
func TestShouldRetry(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		header     http.Header
		answer     string
		calls      int
		code, wish string
	}{
		"asked again":   {500, nil, `{}`, 3, "upstream_error", ""},
		"forbidden":     {500, http.Header{"X-Should-Retry": {"false"}}, `{}`, 1, "upstream_error", "false"},
		"wanted":        {409, http.Header{"X-Should-Retry": {"true"}}, `{"error":{"message":"locked","type":"x"}}`, 3, "invalid_request", ""},
		"quota":         {429, nil, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, 1, "rate_limited", "false"},
		"payment":       {402, nil, `{"error":{"message":"Insufficient balance"}}`, 1, "upstream_error", "false"},
		"limited":       {429, http.Header{"Retry-After-Ms": {"1500"}}, `{"error":{"message":"slow down","type":"x","code":"rate_limit_exceeded"}}`, 3, "rate_limited", ""},
		"not our fault": {422, nil, `{"error":{"message":"bad"}}`, 1, "invalid_request", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, addr := newWitness(t)
			w.status, w.header, w.answer = c.status, c.header, c.answer
			node := providerServer(t, ", retry: {attempts: 3, backoff: 1ms}", fmt.Sprintf(`dialect: openai, base_url: "http://%s/v1"`, addr))
			g := fetch(t, node, chatPath, chatAsk("m", "x", false))
			assert.Equal(t, c.calls, w.calls)
			assert.Equal(t, c.code, g.Header.Get("X-Wedge-Error"))
			assert.Equal(t, c.wish, g.Header.Get("X-Should-Retry"))
			if name == "limited" {
				assert.Equal(t, "1500", g.Header.Get("Retry-After-Ms"))
			}
		})
	}
}

// The catalog's version of Azure's API comes before the client's.
func TestAzureVersion(t *testing.T) {
	w, addr := newWitness(t)
	node := providerServer(t, "", fmt.Sprintf(`dialect: openai, base_url: "http://%s/openai", azure_api_version: 2024-10-21`, addr))
	g := fetch(t, node, chatPath+"?api-version=9999&x=1", chatAsk("m", "x", false))
	require.Equal(t, http.StatusOK, g.StatusCode, g.body)
	assert.Equal(t, "/openai/deployments/up/chat/completions?x=1&api-version=2024-10-21", w.last.uri)
}

// Where the operator's money ran out, another provider is asked; what a provider says of a secret is not passed on.
func TestBrokeProviderFallsBack(t *testing.T) {
	broke, first := newWitness(t)
	broke.status, broke.answer = 429, `{"error":{"message":"quota","code":"insufficient_quota"}}`
	good, second := newWitness(t)
	node := providerServer(t, ", balance: weighted", fmt.Sprintf(`dialect: openai, base_url: "http://%s/v1"`, first), fmt.Sprintf(`dialect: openai, base_url: "http://%s/v1", headers: {x-h: "${T}"}`, second))
	for range 8 {
		g := fetch(t, node, chatPath, chatAsk("m", "x", false))
		assert.Equal(t, http.StatusOK, g.StatusCode, g.body)
	}
	good.mu.Lock()
	good.status, good.answer = 400, `{"error":{"message":"secret-of-T is no good"}}`
	good.mu.Unlock()
	g := fetch(t, node, chatPath, chatAsk("m", "x", false))
	assert.Equal(t, http.StatusBadRequest, g.StatusCode)
	assert.NotContains(t, g.body, "secret")
}

// What the operator sets and a target's dialect has no word for is no loss of the client's, and refuses nobody.
func TestVersionsParametersAreNoLoss(t *testing.T) {
	w, addr := newWitness(t)
	w.answer = wholeMessage
	s := newTestServer(t, fmt.Sprintf(`
providers: [{name: a, dialect: anthropic, base_url: "http://%s/v1"}]
models: [{name: m, strict: true, versions: [{version: 1.0.0, status: production, params: {seed: 5, top_k: 7, max_tokens: 9}, force: {logit_bias: {"1": 2}}, targets: [{provider: a, model: up}]}]}]
keys: [{name: k, id: wk_abcdefghijkl, hash: "sha256:%x", models: ["*"]}]
`, addr, wire.HashKey([]byte(testKey))))
	node := serveTest(t, s)
	for path, body := range map[string]string{
		chatPath: chatAsk("m", "x", false), "/v1/responses": `{"model":"m","input":"x","store":false}`,
		"/v1beta/models/m:generateContent": `{"contents":[{"parts":[{"text":"x"}]}]}`,
	} {
		g := fetch(t, node, path, body)
		assert.Equal(t, http.StatusOK, g.StatusCode, "%s: %s", path, g.body)
		assert.Empty(t, g.Header.Get("X-Wedge-Dropped"), path)
		assert.Contains(t, w.last.body, `"max_tokens":9`, path)
		assert.Contains(t, w.last.body, `"top_k":7`, path)
	}
	g := fetch(t, node, chatPath, `{"model":"m","seed":1,"messages":[{"role":"user","content":"x"}]}`)
	assert.Equal(t, http.StatusBadRequest, g.StatusCode, "the client's own")
	assert.Contains(t, g.body, "no word for seed,")
}
