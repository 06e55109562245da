package e2e

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// cacheNode is a node with every kind of cache rule in front of one provider.
func cacheNode(t *testing.T) (*node, *provider) {
	p := startProvider(t)
	exact := "cache: {mode: exact, ttl: 1h, scope: %s}"
	x := target("sim", "x", "")
	c := (&catalog{}).at("sim", p.addr, "").at("other", p.addr, "").
		model("mine", fmt.Sprintf(exact, "key"), x, target("other", "x", "")).
		model("user", fmt.Sprintf(exact, "user"), x).
		model("shared", fmt.Sprintf(exact, "shared"), x).
		model("uncached", "", x).
		model("short", "cache: {mode: exact, ttl: 1s, scope: key}", x).
		model("paced", fmt.Sprintf(exact, "key"), target("sim", "x;tps=40;tokens=60", "")).
		key("ann", "may: [arm], tenant: one").key("bob", "tenant: one").key("eve", "tenant: two")
	c.models = append(c.models, `{name: split, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.0.0, status: production, targets: [`+x+
		`]}, {version: 1.1.0, status: staging, params: {temperature: 0.1}, targets: [`+x+`]}]}`)
	c.experiments = []string{`{name: split, model: split, status: running, arms: [{name: a, version: 1.0.0, weight: 1}, {name: b, version: 1.1.0, weight: 1}]}`}
	c.prices = []string{`{provider: sim, model: x, input: 1, output: 2}`, `{provider: other, model: x, input: 1, output: 2}`}
	return startNode(t, c.String()), p
}

// wantCache asks and checks what the cache did.
func (c *client) wantCache(want, body string, headers ...string) *answer {
	c.t.Helper()
	a := c.chat(body, headers...)
	require.Equal(c.t, 200, a.status, a.brief())
	assert.Equal(c.t, want, a.header.Get("X-Wedge-Cache"), body)
	return a
}

// awaitDisk waits until what was kept has reached the disk.
func (n *node) awaitDisk(t testing.TB) {
	t.Helper()
	testkit.Eventually(t, 5*time.Second, func() error {
		if s := n.status(t); s.Cache.Queued > 0 {
			return fmt.Errorf("%d answers wait for the disk", s.Cache.Queued)
		}
		return nil
	})
}

func TestCacheTiers(t *testing.T) {
	t.Parallel()
	n, p := cacheNode(t)
	ann := n.as(t, "ann")
	body := ask("mine", "tiers")
	first := ann.wantCache("miss", body)
	hit := ann.wantCache("hit-memory", body)
	assert.Equal(t, first.body, hit.body)
	assert.Equal(t, "wedge; fwd=miss", first.header.Get("Cache-Status"))
	assert.Regexp(t, `^wedge; hit; ttl=3[56]\d\d$`, hit.header.Get("Cache-Status"))
	assert.Empty(t, first.header.Get("Age"))
	assert.Equal(t, "0", hit.header.Get("Age"))
	assert.NotEqual(t, "0", first.header.Get("X-Wedge-Cost-Usd"))
	assert.Equal(t, "0", strings.Trim(hit.header.Get("X-Wedge-Cost-Usd"), ".0")+"0", "a hit costs nothing")
	assert.NotEqual(t, first.header.Get("X-Request-Id"), hit.header.Get("X-Request-Id"))

	n.restart(t)
	ann = n.as(t, "ann")
	for _, want := range []string{"hit-disk", "hit-memory"} {
		again := ann.wantCache(want, body)
		assert.Equal(t, first.body, again.body)
		age, err := strconv.Atoi(again.header.Get("Age"))
		assert.NoError(t, err)
		assert.Less(t, age, 60)
	}
	assert.Len(t, p.about(t, "tiers"), 1)
}

func TestCacheSpelling(t *testing.T) {
	t.Parallel()
	n, p := cacheNode(t)
	ann := n.as(t, "ann")
	first := ann.wantCache("miss", `{"model":"mine","messages":[{"role":"user","content":"spelling é"}],"temperature":0.5,"n":1}`)
	for _, same := range []string{
		"{ \"model\" : \"mine\",\n\t\"messages\":[ {\"role\":\"user\",\"content\":\"spelling é\"} ],\r\n \"temperature\":0.5,\"n\":1 } ",
		`{"n":1,"temperature":0.5,"messages":[{"content":"spelling é","role":"user"}],"model":"mine"}`,
		`{"model":"m\u0069ne","messages":[{"r\u006fle":"user","content":"spel\u006cing \u00e9"}],"temperature":0.5,"n":1}`,
		`{"model":"mine","messages":[{"role":"user","content":"spelling é"}],"temperature":0.5,"n":1,"user":"u","metadata":{"a":"b"},"store":false}`,
		`{"model":"mine","messages":[{"role":"user","content":"spelling é"}],"temperature":0.5,"n":1,"stream":false}`,
	} {
		assert.Equal(t, first.body, ann.wantCache("hit-memory", same).body)
	}
	ann.wantCache("hit-memory", `{"model":"mine","messages":[{"role":"user","content":"spelling é"}],"temperature":0.5,"n":1}`,
		"user-agent", "another", "x-stainless-lang", "go", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-wedge-tags", "a=b")
	assert.Len(t, p.about(t, "spel"), 1)
}

// TestCacheKeepsApart asks what differs in one thing that counts from a request whose answer is kept.
func TestCacheKeepsApart(t *testing.T) {
	t.Parallel()
	n, _ := cacheNode(t)
	ann := n.as(t, "ann")
	body := ask("mine", "apart")
	ann.wantCache("miss", body)
	ann.wantCache("miss", ask("mine", "apart", `"temperature":0.5`))
	ann.wantCache("miss", ask("mine", "apart", `"temperature":0.50001`))
	ann.wantCache("miss", ask("mine", "Apart"))
	ann.wantCache("miss", ask("mine", "apart", `"seed":null`))
	ann.wantCache("miss", ask("user", "apart"), "x-wedge-user", "u1")
	ann.wantCache("miss", body, "x-custom", "1")
	ann.wantCache("miss", body, "openai-beta", "assistants=v2")
	ann.wantCache("miss", body, "x-wedge-provider", "other")
	ann.wantCache("miss", body, "x-wedge-provider", "sim")
	n.as(t, "bob").wantCache("miss", body)
	n.as(t, "eve").wantCache("miss", body)

	a := ann.do("POST", chatPath+"?beta=true", body)
	assert.Equal(t, "miss", a.header.Get("X-Wedge-Cache"))
	a = ann.do("POST", "/v1/responses", `{"model":"mine","input":"apart"}`)
	assert.Equal(t, "miss", a.header.Get("X-Wedge-Cache"), a.body)
	a = ann.do("POST", "/v1/embeddings", `{"model":"mine","input":"apart"}`)
	assert.Equal(t, "miss", a.header.Get("X-Wedge-Cache"), a.body)
	a = ann.do("POST", "/v1/embeddings", `{"model":"mine","input":"apart"}`)
	assert.Equal(t, "hit-memory", a.header.Get("X-Wedge-Cache"), a.body)

	ann.wantCache("miss", ask("split", "apart"), "x-wedge-arm", "a")
	ann.wantCache("miss", ask("split", "apart"), "x-wedge-arm", "b")
	ann.wantCache("hit-memory", ask("split@1.0.0", "apart"), "x-wedge-user", "u")
	ann.wantCache("hit-memory", body)
}

func TestCacheScopes(t *testing.T) {
	t.Parallel()
	n, _ := cacheNode(t)
	ann, bob, eve := n.as(t, "ann"), n.as(t, "bob"), n.as(t, "eve")
	ann.wantCache("miss", ask("shared", "scopes"))
	bob.wantCache("hit-memory", ask("shared", "scopes"))
	eve.wantCache("miss", ask("shared", "scopes")) // another tenant's cache is never shared

	ann.wantCache("miss", ask("user", "scopes"), "x-wedge-user", "u1")
	bob.wantCache("hit-memory", ask("user", "scopes"), "x-wedge-user", "u1")
	bob.wantCache("hit-memory", ask("user", "scopes", `"user":"u1"`))
	bob.wantCache("miss", ask("user", "scopes"), "x-wedge-user", "u2")
	eve.wantCache("miss", ask("user", "scopes"), "x-wedge-user", "u1")
	ann.wantCache("miss", ask("user", "scopes")) // of nobody in particular: the key's own
	bob.wantCache("miss", ask("user", "scopes"))
}

const weatherTool = `"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}],"tool_choice":"required"`

// TestCacheForms fills the cache with a stream and asks for a whole answer, and the other way round.
func TestCacheForms(t *testing.T) {
	t.Parallel()
	n, _ := cacheNode(t)
	ann := n.as(t, "ann")
	for _, more := range []string{`"temperature":1`, weatherTool} {
		for _, streamFirst := range []bool{true, false} {
			prompt := fmt.Sprintf("forms %v", streamFirst)
			whole := ask("mine", prompt, more)
			stream := ask("mine", prompt, more, streamed)
			counted := ask("mine", prompt, more, streamed, `"stream_options":{"include_usage":true}`)
			order := []string{whole, stream, counted}
			if streamFirst {
				order = []string{stream, counted, whole}
			}
			var first said
			for i, body := range order {
				want := "hit-memory"
				if i == 0 {
					want = "miss"
				}
				a := ann.wantCache(want, body)
				assert.Equal(t, body != whole, a.streamed())
				got := a.said(t)
				assert.True(t, got.done, a.brief())
				if assert.Equal(t, body != stream, got.usage != nil, "usage comes where it was asked for: %s", a.brief()) && got.usage != nil {
					assert.Positive(t, got.usage.Completion)
					assert.Equal(t, got.usage.Total, got.usage.Prompt+got.usage.Completion)
				}
				if i == 0 {
					first = got
				}
				assert.Equal(t, first.text, got.text)
				assert.Equal(t, first.tools, got.tools)
				assert.Equal(t, first.finish, got.finish)
				assert.Equal(t, more == weatherTool, got.tools != "")
				if a.streamed() {
					assert.Regexp(t, `(?s)\n\n: wedge \{"cost_usd":[\d.]+,"usage":\{.*\}\}\n\ndata: \[DONE\]\n\n$`, a.body)
				}
			}
		}
	}
}

func TestCacheRules(t *testing.T) {
	t.Parallel()
	n, p := cacheNode(t)
	ann := n.as(t, "ann")
	rule := func(r string) []string { return []string{"x-wedge-cache", r} }

	body := ask("mine", "rule no-store")
	ann.wantCache("bypass", body, rule("no-store")...)
	ann.wantCache("miss", body)
	ann.wantCache("miss", body, rule("no-cache")...)
	ann.wantCache("hit-memory", body, rule("only-if-cached")...)
	ann.wantCache("miss", body, rule("max-age=0")...)
	ann.wantCache("hit-memory", body, rule("max-age=100")...)
	assert.Len(t, p.about(t, "rule no-store"), 4)

	ann.wantCache("bypass", ask("uncached", "rule off"))
	ann.wantCache("bypass", ask("mine", "rule store", `"store":true`))

	short := ask("short", "rule stale")
	ann.wantCache("miss", short)
	time.Sleep(1100 * time.Millisecond)
	ann.chat(short, rule("only-if-cached")...).wantError(t, 504, "not_cached")
	stale := ann.wantCache("stale", short, rule("max-stale=100")...)
	assert.NotEmpty(t, stale.header.Get("Age"))
	ann.wantCache("stale", short, rule("only-if-cached, max-stale=100")...)
	ann.chat(ask("mine", "rule no-store"), rule("only-if-cached, max-age=1")...).wantError(t, 504, "not_cached")
	ann.wantCache("miss", short)
	ann.wantCache("hit-memory", short)
}

// TestCacheKeepsGoodAnswersOnly lets answers fail in every way and then asks for what was kept.
func TestCacheKeepsGoodAnswersOnly(t *testing.T) {
	t.Parallel()
	n, p := cacheNode(t)
	ann := n.as(t, "ann")
	for _, fault := range []string{"500", "401", "429", "refused", "cut", "cut-clean", "malformed", "error200", "error-mid", "empty", "garbage"} {
		for i, more := range []string{`"n":1`, streamed} {
			body := ask("mine", fmt.Sprintf("good only %s %d", fault, i), more)
			p.script(t, fmt.Sprintf(`[{"fail":%q,"count":-1}]`, fault))
			a, err := ann.try(context.Background(), "POST", chatPath, body)
			if err == nil && a.status == 200 {
				assert.False(t, a.said(t).done, "%s: %s", fault, a.brief())
			}
			p.script(t, "")
			ann.wantCache("miss", body)
			ann.wantCache("hit-memory", body)
		}
	}
}

// TestCacheKeepsWholeStreamsOnly leaves a stream in the middle.
func TestCacheKeepsWholeStreamsOnly(t *testing.T) {
	t.Parallel()
	n, p := cacheNode(t)
	ctx, leave := context.WithCancel(context.Background())
	body := ask("paced", "left in the middle", streamed)
	resp := n.as(t, "ann").open(ctx, body)
	_, err := io.ReadFull(resp.Body, make([]byte, 400))
	require.NoError(t, err)
	leave()
	p.awaitState(t, "left in the middle", "client_gone", 2*time.Second)
	n.as(t, "ann").wantCache("miss", body)
}

func TestCachePurge(t *testing.T) {
	t.Parallel()
	n, _ := cacheNode(t)
	ann, admin := n.as(t, "ann"), n.operator(t)
	mine, shared := ask("mine", "purge"), ask("shared", "purge")
	fill := func() {
		ann.wantCache("miss", mine)
		ann.chat(shared)
		n.awaitDisk(t)
	}
	fill()
	for _, bad := range []string{``, `{}`, `{"all":true,"model":"mine"}`, `{"everything":true}`} {
		assert.Equal(t, 400, admin.do("POST", "/cache/purge", bad).status, bad)
	}
	a := admin.do("POST", "/cache/purge", `{"model":"mine"}`)
	require.Equal(t, 200, a.status, a.body)
	ann.chat(mine, "x-wedge-cache", "only-if-cached").wantError(t, 504, "not_cached")
	ann.wantCache("hit-memory", shared)

	fill()
	n.restart(t) // now only the disk has them
	admin, ann = n.operator(t), n.as(t, "ann")
	require.Equal(t, 200, admin.do("POST", "/cache/purge", `{"all":true}`).status)
	for _, body := range []string{mine, shared} {
		ann.chat(body, "x-wedge-cache", "only-if-cached").wantError(t, 504, "not_cached")
	}
	n.restart(t)
	n.as(t, "ann").chat(mine, "x-wedge-cache", "only-if-cached").wantError(t, 504, "not_cached")
}
