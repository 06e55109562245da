package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

const (
	chatPath = "/v1/chat/completions"
	patience = 30 * time.Second // with any one answer
)

// client asks one address with one key.
type client struct {
	t    testing.TB
	base string
	key  string
	http *http.Client
}

func newClient(t testing.TB, addr, key string) *client {
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, base: "http://" + addr, key: key, http: &http.Client{Transport: transport}}
}

// as is a client of the node that has the key of a name.
func (n *node) as(t testing.TB, name string) *client { return newClient(t, n.data, keyOf(name)) }

// operator is a client of the node's admin port. It leaves no connections there for others to count.
func (n *node) operator(t testing.TB) *client {
	c := newClient(t, n.admin, "")
	c.http.Transport.(*http.Transport).DisableKeepAlives = true
	return c
}

func (p *provider) client(t testing.TB) *client { return newClient(t, p.addr, "") }

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// request makes a request; headers are names and values by turns, and an empty value takes a header away.
func (c *client) request(ctx context.Context, method, path, body string, headers ...string) *http.Request {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		panic(err) // the test's own words
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		switch {
		case headers[i+1] == "":
			req.Header.Del(headers[i])
		case headers[i] == "Host":
			req.Host = headers[i+1]
		default:
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	return req
}

// try asks and reads the whole answer. An error comes with what was read until then, if there was an answer.
func (c *client) try(ctx context.Context, method, path, body string, headers ...string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := c.http.Do(c.request(ctx, method, path, body, headers...))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return &answer{resp.StatusCode, resp.Header, string(b)}, err
}

func (c *client) do(method, path, body string, headers ...string) *answer {
	c.t.Helper()
	a, err := c.try(context.Background(), method, path, body, headers...)
	require.NoError(c.t, err)
	return a
}

func (c *client) get(path string, headers ...string) *answer {
	c.t.Helper()
	return c.do("GET", path, "", headers...)
}

func (c *client) chat(body string, headers ...string) *answer {
	c.t.Helper()
	return c.do("POST", chatPath, body, headers...)
}

// open asks for a stream and returns when its head is there.
func (c *client) open(ctx context.Context, body string, headers ...string) *http.Response {
	c.t.Helper()
	resp, err := c.http.Do(c.request(ctx, "POST", chatPath, body, headers...))
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// getJSON reads a JSON answer into v.
func (c *client) getJSON(path string, v any) {
	c.t.Helper()
	a := c.get(path)
	require.Equal(c.t, 200, a.status, a.body)
	require.NoError(c.t, json.Unmarshal([]byte(a.body), v), a.body)
}

// ask is the body of a chat request; more are further members.
func ask(model, prompt string, more ...string) string {
	members := append([]string{
		fmt.Sprintf(`"model":%q`, model), fmt.Sprintf(`"messages":[{"role":"user","content":%q}]`, prompt),
	}, more...)
	return "{" + strings.Join(members, ",") + "}"
}

const streamed = `"stream":true`

// message is a chat answer, or a part of one.
type message struct {
	Choices []struct {
		Message, Delta struct {
			Content   string `json:"content"`
			ToolCalls []struct {
				Function struct{ Name, Arguments string } `json:"function"`
			} `json:"tool_calls"`
		}
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *usage       `json:"usage"`
	Error *errorObject `json:"error"`
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

type errorObject struct {
	Message, Type, Code string
	Param               *string
}

// said is what a chat answer says, whole or streamed.
type said struct {
	text, tools, finish string
	usage               *usage
	failure             *errorObject
	done                bool // the good end is there
}

// brief is the answer's end, for messages of tests.
func (a *answer) brief() string {
	const most = 400
	return "…" + a.body[max(0, len(a.body)-most):]
}

func (a *answer) streamed() bool {
	return strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream")
}

// events returns the data of a stream's events.
func (a *answer) events() (out []string) {
	for line := range strings.Lines(a.body) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			out = append(out, strings.TrimSuffix(data, "\n"))
		}
	}
	return out
}

// said reads the answer. Nothing of it may be broken.
func (a *answer) said(t testing.TB) (s said) {
	t.Helper()
	if !a.streamed() {
		var m message
		require.NoError(t, json.Unmarshal([]byte(a.body), &m), a.body)
		s.add(t, &m)
		s.done = m.Error == nil && len(m.Choices) > 0
		return s
	}
	for _, data := range a.events() {
		require.False(t, s.done, "something comes after the end: %s", a.brief())
		if data == "[DONE]" {
			s.done = true
			continue
		}
		var m message
		require.NoError(t, json.Unmarshal([]byte(data), &m), data)
		s.add(t, &m)
	}
	return s
}

func (s *said) add(t testing.TB, m *message) {
	t.Helper()
	for i := range m.Choices {
		c := &m.Choices[i]
		s.text += c.Message.Content + c.Delta.Content
		for _, call := range append(c.Message.ToolCalls, c.Delta.ToolCalls...) {
			s.tools += call.Function.Name + call.Function.Arguments
		}
		s.finish += c.FinishReason
	}
	if m.Usage != nil {
		s.usage = m.Usage
	}
	if m.Error != nil {
		s.failure = m.Error
	}
}

// record is what the simulated provider tells of a request.
type record struct {
	Seq       int
	Path      string
	Headers   map[string]string
	Body      string
	Model     string
	Stream    bool
	State     string
	Status    int
	TokensIn  int `json:"tokens_in"`
	TokensOut int `json:"tokens_out"`
	Ended     *time.Time
}

func (p *provider) requests(t testing.TB) []record {
	t.Helper()
	var page struct{ Requests []record }
	p.client(t).getJSON("/sim/requests", &page)
	return page.Requests
}

// about counts the requests that reached the provider with a text in the body.
func (p *provider) about(t testing.TB, text string) (out []record) {
	t.Helper()
	for _, r := range p.requests(t) {
		if strings.Contains(r.Body, text) {
			out = append(out, r)
		}
	}
	return out
}

// awaitState waits until the provider's only request about text has a state, and returns it.
func (p *provider) awaitState(t testing.TB, text, state string, within time.Duration) record {
	t.Helper()
	var last record
	testkit.Eventually(t, within, func() error {
		found := p.about(t, text)
		if len(found) == 0 {
			return fmt.Errorf("no request about %q has come", text)
		}
		if last = found[len(found)-1]; last.State != state {
			return fmt.Errorf("the request about %q is %s, not %s", text, last.State, state)
		}
		return nil
	})
	return last
}

// script makes the following requests fail; an empty script ends that.
func (p *provider) script(t testing.TB, steps string) {
	t.Helper()
	if steps == "" {
		require.Equal(t, 204, p.client(t).do("DELETE", "/sim/script", "").status)
		return
	}
	a := p.client(t).do("POST", "/sim/script", steps)
	require.Equal(t, 204, a.status, a.body)
}

// wantError checks that an answer is the named error in OpenAI's form, and returns its message.
func (a *answer) wantError(t testing.TB, status int, code string) string {
	t.Helper()
	assert.Equal(t, status, a.status, a.body)
	assert.Equal(t, code, a.header.Get("X-Wedge-Error"), a.body)
	assert.Equal(t, "application/json", a.header.Get("Content-Type"))
	assert.NotEmpty(t, a.header.Get("X-Request-Id"))
	var body struct {
		Error map[string]any `json:"error"`
	}
	d := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	require.NoError(t, d.Decode(&body), a.body)
	message, _ := body.Error["message"].(string)
	assert.NotEmpty(t, message)
	assert.NotEmpty(t, body.Error["type"])
	assert.Contains(t, body.Error, "param")
	assert.Equal(t, code, body.Error["code"])
	assert.NotContains(t, a.body, providerSecret)
	return message
}

// providerSecret is what providers that ask for one are shown.
const providerSecret = "sk-e2e-provider-secret"
