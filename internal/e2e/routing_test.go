package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRetries lets a target fail twice. A version that says so asks it again.
func TestRetries(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	c := (&catalog{}).at("sim", p.addr, "").key("ann", "").model("once", "", target("sim", "once", ""))
	c.models = append(c.models, `{name: again, versions: [{version: 1.0.0, status: production, retry: {attempts: 3, backoff: 20ms}, targets: [`+target("sim", "again", "")+`]}]}`)
	ann := startNode(t, c.String()).as(t, "ann")
	for _, form := range []string{`"stream":false`, streamed} {
		p.script(t, `[{"fail":"503","model":"again","count":2},{"fail":"503","model":"once","count":1}]`)
		a := ann.chat(ask("again", "retry", form))
		assert.Equal(t, 200, a.status, a.brief())
		assert.Equal(t, "3", a.header.Get("X-Wedge-Attempts"))
		assert.True(t, a.said(t).done)
		failed := ann.chat(ask("once", "retry", form))
		failed.wantError(t, 502, "upstream_error")
		assert.Equal(t, "1", failed.header.Get("X-Wedge-Attempts"))
	}
	p.script(t, `[{"fail":"503","model":"again","count":3}]`)
	ann.chat(ask("again", "retry")).wantError(t, 502, "upstream_error")
}

// TestFallbackVersion lets every target of a version fail. What another version answers is not kept as its own.
func TestFallbackVersion(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	c := (&catalog{}).at("sim", p.addr, "").key("ann", "")
	c.models = []string{`{name: m, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.0.0, status: production, fallback: [m@0.9.0], targets: [` +
		target("sim", "new", "") + `]}, {version: 0.9.0, status: deprecated, targets: [` + target("sim", "old", "") + `]}]}`}
	ann := startNode(t, c.String()).as(t, "ann")
	for _, form := range []string{`"stream":false`, streamed} {
		body := ask("m", "fallback "+form, form)
		p.script(t, `[{"fail":"500","model":"new"}]`)
		a := ann.wantCache("miss", body)
		assert.Contains(t, a.body, `"model":"old"`)
		assert.Equal(t, "2", a.header.Get("X-Wedge-Attempts"))
		a = ann.wantCache("miss", body)
		assert.Contains(t, a.body, `"model":"new"`)
		ann.wantCache("hit-memory", body)
	}
}

// TestRateLimitedTarget goes elsewhere for as long as a provider asks for.
func TestRateLimitedTarget(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").key("ann", "").
		model("m", "", target("sim", "first", "name: first, weight: 1000000"), target("sim", "second", "name: second")).String())
	ann := n.as(t, "ann")
	p.script(t, `[{"fail":"429","model":"first","set":"retry_after=3s"}]`)
	began := time.Now()
	assert.Equal(t, "2", ann.chat(ask("m", "limited")).header.Get("X-Wedge-Attempts"))
	for i := range 5 {
		a := ann.chat(ask("m", fmt.Sprint("limited ", i)))
		require.Equal(t, 200, a.status)
		if time.Since(began) < 2*time.Second {
			assert.Equal(t, "second 1", a.header.Get("X-Wedge-Target")+" "+a.header.Get("X-Wedge-Attempts"))
		}
	}
	assert.Len(t, p.about(t, "first"), 1)
}

// TestWhatGoesUpstream looks at what the provider was sent.
func TestWhatGoesUpstream(t *testing.T) {
	t.Parallel()
	p := startProvider(t, "--api-key", providerSecret)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(providerSecret+"\n"), 0o600))
	c := (&catalog{}).at("sim", p.addr, `, api_key: "file:`+secret+`"`).key("ann", "")
	c.models = []string{`{name: m, versions: [{version: 1.0.0, status: production, params: {temperature: 0.25, top_p: 0.5}, force: {max_tokens: 7}, targets: [` +
		target("sim", "upstream-x", "") + `]}]}`}
	ann := startNode(t, c.String()).as(t, "ann")
	a := ann.chat(`{"messages":[{"role":"user","content":"upstream"}],"top_p":0.75,"max_completion_tokens":900,"model":"m","unknown":{"a":[1,2.50]}}`,
		"cookie", "session=1", "x-wedge-user", "u", "x-forwarded-for", "10.0.0.1", "x-api-key", keyOf("ann"), "x-custom", "kept", "accept-encoding", "gzip")
	require.Equal(t, 200, a.status, a.brief())

	require.Len(t, p.requests(t), 1)
	r := p.requests(t)[0]
	var sent map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.Body), &sent))
	assert.Equal(t, "upstream-x", sent["model"])
	assert.Equal(t, []any{0.25, 0.75}, []any{sent["temperature"], sent["top_p"]}, "the version fills in where the client is silent")
	assert.NotContains(t, sent, "max_tokens")
	assert.EqualValues(t, 7, sent["max_completion_tokens"], "a forced bound is not stepped around by its other name")
	assert.Contains(t, r.Body, `"unknown":{"a":[1,2.50]}`, "what the node does not know passes as it is")
	assert.Equal(t, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("Bearer "+providerSecret))), r.Headers["authorization"])
	assert.Equal(t, "kept", r.Headers["x-custom"])
	for _, name := range []string{"cookie", "x-wedge-user", "x-forwarded-for", "x-api-key"} {
		assert.NotContains(t, r.Headers, name)
	}
}

// TestTimeouts gives requests less time than their answers take.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	exact := "cache: {mode: exact, ttl: 1h}"
	ann := startNode(t, (&catalog{}).at("sim", p.addr, "").key("ann", "").
		model("plain", "", target("sim", "x;tps=40;tokens=60", "")).model("shared", exact, target("sim", "x;tps=40;tokens=60", "")).
		String()).as(t, "ann")
	for _, model := range []string{"plain", "shared"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			a := ann.chat(ask(model, "late stream "+model, streamed), "x-wedge-timeout", "300ms")
			assert.Less(t, time.Since(began), time.Second)
			faulty{middle: "upstream_timeout"}.wantHonestEnd(t, a, p.client(t).chat(ask("x;tokens=60", "late stream "+model)).said(t))

			began = time.Now()
			ann.chat(ask(model, "late whole "+model), "x-wedge-timeout", "300ms").wantError(t, 504, "upstream_timeout")
			assert.Less(t, time.Since(began), time.Second)
			p.awaitState(t, "late whole "+model, "client_gone", time.Second)
		})
	}
	t.Run("of one among many", func(t *testing.T) {
		t.Parallel()
		body := ask("shared", "one is in a hurry", streamed)
		patient := make(chan []asked, 1)
		go func() { patient <- askAtOnce(t, ann, 3, 0, body) }()
		p.awaitState(t, "one is in a hurry", "open", 5*time.Second)
		a := ann.chat(body, "x-wedge-timeout", "300ms")
		assert.Contains(t, a.body, `"code":"upstream_timeout"`)
		wantAllDone(t, <-patient)
		assert.Len(t, p.about(t, "one is in a hurry"), 1)
	})
}

// TestFormsOfOtherOperations asks for the same answer whole and streamed.
func TestFormsOfOtherOperations(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	ann := startNode(t, (&catalog{}).at("sim", p.addr, "").key("ann", "").
		model("m", "cache: {mode: exact, ttl: 1h}", target("sim", "x", "")).String()).as(t, "ann")
	for _, first := range []bool{true, false} {
		responses := func(stream bool) (text, cache string) {
			a := ann.do("POST", "/v1/responses", fmt.Sprintf(`{"model":"m","input":"forms %v","stream":%v}`, first, stream))
			require.Equal(t, 200, a.status, a.brief())
			return responseText(t, a), a.header.Get("X-Wedge-Cache")
		}
		text, cache := responses(first)
		assert.Equal(t, "miss", cache)
		again, cache := responses(!first)
		assert.Equal(t, "hit-memory", cache)
		assert.Equal(t, text, again)
		assert.NotEmpty(t, text)

		completions := func(stream bool) (text, cache string) {
			a := ann.do("POST", "/v1/completions", fmt.Sprintf(`{"model":"m","prompt":"forms %v","stream":%v}`, first, stream))
			require.Equal(t, 200, a.status, a.brief())
			return completionText(t, a), a.header.Get("X-Wedge-Cache")
		}
		text, cache = completions(first)
		assert.Equal(t, "miss", cache)
		again, cache = completions(!first)
		assert.Equal(t, "hit-memory", cache)
		assert.Equal(t, text, again)
		assert.NotEmpty(t, text)
	}
}

// responseText is the text of a Responses answer; of a streamed one both its deltas and its last event have it.
func responseText(t *testing.T, a *answer) string {
	t.Helper()
	type response struct {
		Status string
		Output []struct{ Content []struct{ Text string } }
	}
	of := func(r response) (text string) {
		assert.Equal(t, "completed", r.Status)
		for _, item := range r.Output {
			for _, part := range item.Content {
				text += part.Text
			}
		}
		return text
	}
	if !a.streamed() {
		var r response
		require.NoError(t, json.Unmarshal([]byte(a.body), &r))
		return of(r)
	}
	deltas, last := "", ""
	for _, data := range a.events() {
		var e struct {
			Type, Delta string
			Response    response
		}
		require.NoError(t, json.Unmarshal([]byte(data), &e))
		last = e.Type
		switch e.Type {
		case "response.output_text.delta":
			deltas += e.Delta
		case "response.completed":
			assert.Equal(t, deltas, of(e.Response))
		}
	}
	assert.Equal(t, "response.completed", last)
	return deltas
}

func completionText(t *testing.T, a *answer) (text string) {
	t.Helper()
	type completion struct{ Choices []struct{ Text string } }
	parts := []string{a.body}
	if a.streamed() {
		parts = a.events()
		require.Equal(t, "[DONE]", parts[len(parts)-1])
		parts = parts[:len(parts)-1]
	}
	for _, part := range parts {
		var c completion
		require.NoError(t, json.Unmarshal([]byte(part), &c), part)
		for _, choice := range c.Choices {
			text += choice.Text
		}
	}
	return text
}
