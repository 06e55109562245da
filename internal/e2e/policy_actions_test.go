package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// obedientNode serves models whose policy does what the header x-do says, and a provider with two doors.
func obedientNode(t *testing.T) (*node, *provider) {
	p := startProvider(t)
	file := moduleFile(t, obedient())
	see := "headers: [x-do], on_error: deny"
	c := (&catalog{}).at("sim", p.addr, "").at("other", p.addr, "").key("ann", "tenant: acme").key("bob", "models: [all], tenant: other").
		policy("do", file, "route, prompt, response, chunk, done", see).
		policy("whole", file, "route, response", see).
		model("all", "policies: [do]", target("sim", "x", "weight: 1000000"), target("other", "y", ""), target("sim", "slow;latency=10s", "name: slow")).
		model("cached", "policies: [do], cache: {mode: exact, ttl: 1h}", target("sim", "x", "")).
		model("whole", "policies: [whole]", target("sim", "x", "")).
		model("next", "", target("sim", "next", ""))
	c.models = append(c.models, `{name: versions, policies: [do], versions: [{version: 1.0.0, status: production, targets: [`+
		target("sim", "v1", "")+`]}, {version: 1.1.0, status: staging, targets: [`+target("sim", "v2", "")+`]}]}`)
	c.experiments = []string{`{name: split, model: versions, status: running, arms: [{name: a, version: 1.0.0, weight: 1}, {name: b, version: 1.1.0, weight: 1}]}`}
	return startNode(t, c.String()), p
}

// told asks with actions for the policy.
func (c *client) told(do, body string, headers ...string) *answer {
	c.t.Helper()
	return c.chat(body, append([]string{"x-do", do}, headers...)...)
}

// TestPolicyActionsRoute takes every action that says where a request goes, through the socket.
func TestPolicyActionsRoute(t *testing.T) {
	t.Parallel()
	n, p := obedientNode(t)
	ann := n.as(t, "ann")
	for _, row := range []struct {
		name, model, do     string
		header, value, word string
	}{
		{"nothing", "all", `{}`, "X-Wedge-Target", "sim", "pass"},
		{"target", "all", `{"target":"other"}`, "X-Wedge-Target", "other", "route"},
		{"model", "all", `{"model":"next"}`, "X-Wedge-Model", "next", "route"},
		{"version", "versions", `{"version":"1.1.0"}`, "X-Wedge-Version", "1.1.0", "route"},
		{"arm", "versions", `{"version":"b"}`, "X-Wedge-Experiment", "split=b", "route"},
		{"response header", "all", `{"response_headers":{"x-lang":"fr"}}`, "X-Lang", "fr", "route"},
		{"cache off", "cached", `{"cache":{"mode":"off"}}`, "X-Wedge-Cache", "bypass", "route"},
		{"tag", "all", `{"tags":{"plan":"free"}}`, "X-Wedge-Target", "sim", "tag"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := ann.told(row.do, ask(row.model, "route "+row.name))
			require.Equal(t, 200, a.status, a.body)
			assert.Equal(t, row.value, a.header.Get(row.header))
			assert.Equal(t, "do="+row.word, a.header.Get("X-Wedge-Policy"))
			e := n.explain(t, a)
			require.Len(t, e.Policies, 1)
			assert.Equal(t, "do "+row.word, e.Policies[0].Name+" "+e.Policies[0].Verdict)
		})
	}
	assert.EqualValues(t, 1, n.metric(t, "wedge_policy_tags_total", `policy="do"`, `key="plan"`, `value="free"`))

	t.Run("fallbacks", func(t *testing.T) {
		p.script(t, `[{"fail":"503","model":"y","count":1}]`)
		a := ann.told(`{"target":"other","fallbacks":["sim"]}`, ask("all", "fallbacks"))
		require.Equal(t, 200, a.status, a.body)
		assert.Equal(t, "sim 2", a.header.Get("X-Wedge-Target")+" "+a.header.Get("X-Wedge-Attempts"))
	})
	t.Run("headers upstream", func(t *testing.T) {
		a := ann.told(`{"set_headers":{"x-lang":"fr","x-mine":"the policy's"},"delete_headers":["x-gone"]}`, ask("all", "headers upstream"), "x-gone", "1", "x-mine", "the client's", "x-kept", "1")
		require.Equal(t, 200, a.status, a.body)
		sent := p.about(t, "headers upstream")
		require.Len(t, sent, 1)
		assert.Equal(t, "fr", sent[0].Headers["x-lang"])
		assert.Equal(t, "the policy's", sent[0].Headers["x-mine"])
		assert.Equal(t, "1", sent[0].Headers["x-kept"])
		assert.NotContains(t, sent[0].Headers, "x-gone")
	})
	t.Run("timeout", func(t *testing.T) {
		began := time.Now()
		a := ann.told(`{"target":"slow","timeout_ms":100}`, ask("all", "timeout"))
		assert.Contains(t, a.wantError(t, 504, "upstream_timeout"), "a policy")
		assert.Less(t, time.Since(began), 5*time.Second)
	})
	t.Run("hedge", func(t *testing.T) {
		a := ann.told(`{"target":"slow","fallbacks":["sim"],"hedge_ms":50}`, ask("all", "hedge"))
		require.Equal(t, 200, a.status, a.body)
		assert.Equal(t, "sim", a.header.Get("X-Wedge-Target"))
		assert.Len(t, n.explain(t, a).Attempts, 2)
	})
	t.Run("shadow", func(t *testing.T) {
		a := ann.told(`{"target":"sim","shadow":"other"}`, ask("all", "shadow"))
		require.Equal(t, 200, a.status, a.body)
		assert.Equal(t, "sim", a.header.Get("X-Wedge-Target"))
		p.awaitState(t, `"model":"y","messages":[{"role":"user","content":"shadow"}]`, "finished", 5*time.Second)
		assert.Len(t, p.about(t, "shadow"), 2)
		testkit.Eventually(t, 5*time.Second, func() error {
			if n.metric(t, "wedge_shadow_requests_total", `target="other"`, `"ok"`) != 1 {
				return fmt.Errorf("the shadow is not counted")
			}
			return nil
		})
	})
}

// TestPolicyActionsCache lets a policy have its say in what is looked up and kept.
func TestPolicyActionsCache(t *testing.T) {
	t.Parallel()
	n, _ := obedientNode(t)
	ann := n.as(t, "ann")
	cached := func(model, do string) string {
		a := ann.told(do, ask(model, "cache"))
		require.Equal(t, 200, a.status, a.body)
		return a.header.Get("X-Wedge-Cache")
	}
	for _, row := range [][3]string{ // the header itself counts in the key: a provider gets it
		{"cached", `{}`, "miss"}, {"cached", `{}`, "hit-memory"},
		{"cached", `{"cache_salt":"a"}`, "miss"}, {"cached", `{"cache_salt":"a"}`, "hit-memory"},
		{"cached", `{"cache_salt":"b"}`, "miss"},
		{"all", `{"cache":{"mode":"exact","ttl":60}}`, "miss"}, {"all", `{"cache":{"mode":"exact","ttl":60}}`, "hit-memory"},
		{"cached", `{"cache":{"mode":"keep","ttl":1}}`, "miss"}, {"cached", `{"cache":{"mode":"keep","ttl":1}}`, "hit-memory"},
	} {
		assert.Equal(t, row[2], cached(row[0], row[1]), "%v", row)
	}
	testkit.Eventually(t, 5*time.Second, func() error {
		if got := cached("cached", `{"cache":{"mode":"keep","ttl":1}}`); got != "miss" {
			return fmt.Errorf("%s after the policy's time to live", got)
		}
		return nil
	})
}

// TestPolicyActionsPrompt edits prompts and looks at what the provider was sent.
func TestPolicyActionsPrompt(t *testing.T) {
	t.Parallel()
	n, p := obedientNode(t)
	ann := n.as(t, "ann")
	body := func(subject string) string {
		return `{"model":"all",  "messages":[{"role":"user","content":"about ` + subject + `"}], "odd":1.50}`
	}
	for _, row := range []struct{ name, do, want string }{
		{"system", `{"system":{"prepend":"Be \"brief\"."}}`, `{"role":"system","content":"Be \"brief\"."}`},
		{"message", `{"messages":[{"index":0,"text":"about message: a\n\"b\""}]}`, `"content":"about message: a\n\"b\""`},
		{"max_tokens", `{"max_tokens":7}`, `7`},
		{"patches", `{"patches":[{"offset":1,"insert":"\"top_p\":0.5,"}]}`, `{"top_p":0.5,"model":"x",  "messages"`},
		{"body", `{"body":{"model":"all","messages":[{"role":"user","content":"about body of the policy's"}]}}`, `about body of the policy's`},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := ann.told(row.do, body(row.name))
			require.Equal(t, 200, a.status, a.body)
			assert.Equal(t, "do=edit", a.header.Get("X-Wedge-Policy"))
			sent := p.about(t, "about "+row.name)
			require.Len(t, sent, 1)
			assert.Contains(t, sent[0].Body, row.want)
			if row.name != "body" {
				assert.Contains(t, sent[0].Body, `"odd":1.50`, "what is not edited stays as it was written")
			}
		})
	}
	for name, do := range map[string]string{
		"a body that is no JSON":               `{"patches":[{"offset":0,"delete":1}]}`,
		"a stream that the client cannot read": `{"patches":[{"offset":1,"insert":"\"stream\":true,"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			a := ann.told(do, body("broken"))
			a.wantError(t, 503, "policy_failed")
			assert.Equal(t, "do=failed", a.header.Get("X-Wedge-Policy"))
			assert.Empty(t, p.about(t, "about broken"))
		})
	}
	t.Run("a body without the client's stream", func(t *testing.T) {
		a := ann.told(`{"body":{"model":"all","messages":[{"role":"user","content":"quietly"}]}}`, ask("all", "aloud", streamed))
		require.Equal(t, 200, a.status, a.body)
		assert.True(t, a.streamed())
		assert.Contains(t, a.said(t).text, "quietly")
		assert.True(t, a.said(t).done)
	})
}

// TestPolicyActionsAnswer denies, answers in the provider's place, and edits what the provider says.
func TestPolicyActionsAnswer(t *testing.T) {
	t.Parallel()
	n, p := obedientNode(t)
	ann := n.as(t, "ann")
	for _, form := range []string{`"stream":false`, streamed} {
		a := ann.told(`{"deny":{"status":451,"retry_after":7,"message":"Not in this country."}}`, ask("all", "denied", form))
		assert.Equal(t, "Not in this country.", a.wantError(t, 451, "policy_denied"))
		assert.Equal(t, "7 do=deny", a.header.Get("Retry-After")+" "+a.header.Get("X-Wedge-Policy"))

		a = ann.told(`{"answer":"Ask \"me\" later."}`, ask("all", "answered", form))
		require.Equal(t, 200, a.status, a.body)
		assert.Equal(t, "do=answer", a.header.Get("X-Wedge-Policy"))
		got := a.said(t)
		assert.Equal(t, `Ask "me" later.`, got.text)
		assert.True(t, got.done)
		assert.Equal(t, form == streamed, a.streamed())
	}
	assert.Empty(t, p.about(t, "denied"))
	assert.Empty(t, p.about(t, "answered"))

	whole := ann.told(`{"state":"{\"text\":\"all \\\"new\\\"\"}"}`, ask("whole", "response hook"))
	assert.Equal(t, `all "new"`, whole.said(t).text)
	assert.Equal(t, "whole=edit", whole.header.Get("X-Wedge-Policy"))
	assert.Equal(t, `all "new"`, ann.told(`{"state":"{\"text\":\"all \\\"new\\\"\"}"}`, ask("all", "response hook 2")).said(t).text)
	assert.Empty(t, ann.told(`{"state":"{\"drop\":true}"}`, ask("all", "dropped whole")).said(t).text)
}

// TestPolicyActionsChunk edits streams.
func TestPolicyActionsChunk(t *testing.T) {
	t.Parallel()
	n, p := obedientNode(t)
	ann := n.as(t, "ann")
	pieces := len(p.client(t).chat(ask("x", "Replace it", streamed)).events())
	stream := func(do, prompt string) said {
		t.Helper()
		ann.told(do, ask("cached", prompt, streamed))
		again := ann.told(do, ask("cached", prompt, streamed))
		assert.Contains(t, []string{"hit-memory", "miss"}, again.header.Get("X-Wedge-Cache"))
		wantReceipt(t, again)
		a := ann.told(do, ask("all", prompt, streamed))
		wantReceipt(t, a)
		assert.Equal(t, a.said(t).text, again.said(t).text, "an answer from the cache is edited alike")
		require.Equal(t, 200, a.status, a.brief())
		got := a.said(t)
		assert.True(t, got.done, a.brief())
		return got
	}
	got := stream(`{"state":"{\"text\":\"é\"}"}`, "Replace it")
	assert.Greater(t, strings.Count(got.text, "é"), pieces/2)
	assert.Empty(t, strings.Trim(got.text, "é"))

	assert.Empty(t, stream(`{"state":"{\"drop\":true}"}`, "Drop it").text)

	got = stream(`{"state":"{\"text\":\"enough\",\"stop\":\"content_filter\"}"}`, "Stop it")
	assert.Equal(t, "enough content_filter", got.text+" "+got.finish)

	// The first piece's call leaves another state, with which the second one stops.
	got = stream(`{"state":"{\"text\":\"one,\",\"state\":\"{\\\"text\\\":\\\"two\\\",\\\"stop\\\":\\\"stop\\\"}\"}"}`, "Carry on")
	assert.Equal(t, "one,two stop", got.text+" "+got.finish)

	got = stream(`{"state":"{\"tags\":{\"heard\":\"yes\"}}"}`, "Tag it")
	assert.NotEmpty(t, got.text)
	assert.Greater(t, n.metric(t, "wedge_policy_tags_total", `key="heard"`), float64(pieces/2))
	assert.Positive(t, n.metric(t, "wedge_policy_calls_total", `hook="chunk"`))
}

// wantReceipt looks for what a stream cost, which is told right before its end.
func wantReceipt(t *testing.T, a *answer) {
	t.Helper()
	at := strings.Index(a.body, ": wedge {")
	require.Positive(t, at, a.brief())
	_, rest, _ := strings.Cut(a.body[at:], "\n\n")
	assert.Equal(t, "data: [DONE]\n\n", rest)
}

// TestPolicyActionsAside logs, and keeps key-values: neither changes the answer.
func TestPolicyActionsAside(t *testing.T) {
	t.Parallel()
	n, _ := obedientNode(t)
	ann := n.as(t, "ann")
	a := ann.told(`{"log":[{"level":"warn","text":"a word from the guest"}],"kv_put":[{"key":"k","value":"0123456789","ttl":60}],"kv_add":[{"key":"n","delta":2}]}`, ask("all", "aside"))
	require.Equal(t, 200, a.status, a.body)
	assert.Equal(t, "do=pass", a.header.Get("X-Wedge-Policy"))
	testkit.Eventually(t, 5*time.Second, func() error {
		for line := range strings.Lines(n.output("stderr")) {
			if strings.Contains(line, "a word from the guest") && strings.Contains(line, "policy=do") && strings.Contains(line, "WARN") {
				return nil
			}
		}
		return fmt.Errorf("the node has not logged the guest's line")
	})
	assert.Positive(t, n.policies(t)["do"].State.KeyValues)

	ann.told(`{"state":"{\"tags\":{\"ended\":\"well\"}}"}`, ask("next", "no policy here"))
	ann.told(`{"state":"{\"tags\":{\"ended\":\"well\"}}"}`, ask("all", "done hook"))
	testkit.Eventually(t, 5*time.Second, func() error {
		if n.metric(t, "wedge_policy_calls_total", `policy="do"`, `hook="done"`) < 2 {
			return fmt.Errorf("the done hook has not been called")
		}
		return nil
	})
}

// TestPolicyActionsWithinBounds names what does not exist, is not the caller's, or must not be touched.
func TestPolicyActionsWithinBounds(t *testing.T) {
	t.Parallel()
	n, p := obedientNode(t)
	bob := n.as(t, "bob")
	for name, do := range map[string]string{
		"a target that is not there":  `{"target":"nowhere"}`,
		"a shadow that is not there":  `{"shadow":"nowhere"}`,
		"a model that is not there":   `{"model":"nothing"}`,
		"a model of other keys":       `{"model":"next"}`,
		"a version that is not there": `{"version":"9.9.9"}`,
		"the provider's credentials":  `{"set_headers":{"authorization":"Bearer mine"}}`,
		"the node's own headers":      `{"response_headers":{"x-wedge-cache":"hit-memory"}}`,
		"a line break in a header":    `{"set_headers":{"x-a":"1\r\nx-b: 2"}}`,
		"two bodies":                  `{"body":{},"patches":[{"offset":0}]}`,
		"an unknown action":           `{"format_disk":true}`,
		"a patch outside":             `{"patches":[{"offset":1000000}]}`,
		"a message that is not there": `{"messages":[{"index":3,"text":"x"}]}`,
		"text in place of a list":     `hello`,
	} {
		t.Run(name, func(t *testing.T) {
			a := bob.told(do, ask("all", "out of bounds"))
			a.wantError(t, 503, "policy_failed")
			assert.Equal(t, "do=failed", a.header.Get("X-Wedge-Policy"))
			e := n.explain(t, a)
			require.Len(t, e.Policies, 1)
			assert.NotEmpty(t, e.Policies[0].Error)
		})
	}
	assert.Empty(t, p.about(t, "out of bounds"))
}
