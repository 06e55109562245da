package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// faulty is a way for a provider to fail, and what the client is told.
type faulty struct {
	fault  string
	status int // of a whole answer, and of a stream that fails before its first byte
	code   string
	middle string // the code at the end of a stream that fails later; "" fails before the first byte
}

var faults = []faulty{
	{"refused", 502, "upstream_error", ""},
	{"429", 429, "rate_limited", ""},
	{"quota", 429, "rate_limited", ""},
	{"500", 502, "upstream_error", ""},
	{"502", 502, "upstream_error", ""},
	{"503", 502, "upstream_error", ""},
	{"401", 502, "upstream_error", ""},
	{"slow", 504, "upstream_timeout", ""},
	{"cut", 502, "upstream_error", "upstream_error"},
	{"cut-clean", 502, "upstream_protocol", "upstream_protocol"},
	{"stall", 504, "upstream_timeout", "upstream_timeout"},
	{"malformed", 502, "upstream_protocol", "upstream_protocol"},
	{"error200", 502, "upstream_error", ""},
	{"error-mid", 502, "upstream_error", "upstream_error"},
	{"empty", 502, "upstream_protocol", ""},
	{"garbage", 502, "upstream_protocol", ""},
}

// failureNode has models for every fault: alone-F, whose only target fails, and backed-F, whose likely first target
// does and whose other one is good; both once more as cached-…, and all for each form of answer, so that what the
// node learns of a target in one case does not tell in another. Streams have begun by the time they fail.
func failureNode(t *testing.T) (*node, *provider) {
	p := startProvider(t)
	c := (&catalog{}).at("sim", p.addr, "").key("ann", "")
	for _, prefix := range failurePrefixes {
		mode := "cache: {mode: off}"
		if strings.HasPrefix(prefix, "cached") {
			mode = "cache: {mode: exact, ttl: 1h}"
		}
		for _, f := range faults {
			bad := func(name, more string) string {
				upstream := prefix + name + ";fail=" + f.fault
				if strings.HasSuffix(prefix, "stream-") && f.middle != "" {
					upstream += ";ttft=50ms;tps=400"
				}
				return target("sim", upstream, "name: bad, timeout: 400ms"+more)
			}
			c.model(prefix+"alone-"+f.fault, mode, bad("alone", ""))
			c.model(prefix+"backed-"+f.fault, mode, bad("backed", ", weight: 1000000000"), target("sim", "good", "name: good"))
		}
	}
	c.model("good", "", target("sim", "good", ""))
	return startNode(t, c.String()), p
}

var failurePrefixes = []string{"whole-", "stream-", "cached-whole-", "cached-stream-"}

func TestFailures(t *testing.T) {
	t.Parallel()
	n, p := failureNode(t)
	ann, direct := n.as(t, "ann"), p.client(t)
	for _, prefix := range failurePrefixes {
		for _, f := range faults {
			t.Run(prefix+f.fault, func(t *testing.T) {
				t.Parallel()
				prompt := "How about " + f.fault + "?"
				good := ann.chat(ask("good", prompt)).said(t)
				require.True(t, good.done)
				form := `"stream":false`
				if strings.HasSuffix(prefix, "stream-") {
					form = streamed
				}
				alone := ann.chat(ask(prefix+"alone-"+f.fault, prompt, form))
				backed := ann.chat(ask(prefix+"backed-"+f.fault, prompt, form))
				if form == streamed && f.middle != "" {
					f.wantHonestEnd(t, alone, direct.chat(ask(prefix+"alone", prompt)).said(t))
					f.wantHonestEnd(t, backed, direct.chat(ask(prefix+"backed", prompt)).said(t))
					return
				}
				alone.wantError(t, f.status, f.code)
				wantFallback(t, backed, good)
			})
		}
	}
}

// wantFallback checks that the second target answered.
func wantFallback(t *testing.T, a *answer, good said) {
	t.Helper()
	require.Equal(t, 200, a.status, a.brief())
	assert.Equal(t, "2", a.header.Get("X-Wedge-Attempts"))
	assert.Equal(t, "good", a.header.Get("X-Wedge-Target"))
	got := a.said(t)
	assert.True(t, got.done, a.brief())
	assert.Equal(t, good.text, got.text)
}

// wantHonestEnd checks that a stream that broke holds a part of the good answer and then says so, and nothing else.
func (f faulty) wantHonestEnd(t *testing.T, a *answer, good said) {
	t.Helper()
	require.Equal(t, 200, a.status, a.brief())
	assert.Equal(t, "1", a.header.Get("X-Wedge-Attempts"))
	events := a.events()
	var last struct{ Error map[string]any }
	require.NoError(t, json.Unmarshal([]byte(events[len(events)-1]), &last), a.brief())
	for _, member := range []string{"message", "type", "param", "code"} {
		assert.Contains(t, last.Error, member, a.brief())
	}
	assert.Equal(t, f.middle, last.Error["code"])
	assert.NotContains(t, a.body, "[DONE]")
	assert.NotContains(t, a.body, "Sorry about that", "the provider's own words are held back")
	assert.True(t, strings.HasSuffix(a.body, "\n\n"))
	got := a.said(t) // every event before the end is whole
	assert.NotEmpty(t, got.text)
	assert.Empty(t, got.finish)
	assert.Less(t, len(got.text), len(good.text))
	assert.True(t, strings.HasPrefix(good.text, got.text), "%q is no part of %q", got.text, good.text)
}

// TestStreamFailuresOfOtherOperations cuts streams of the other operations.
func TestStreamFailuresOfOtherOperations(t *testing.T) {
	t.Parallel()
	n, _ := failureNode(t)
	ann := n.as(t, "ann")
	for _, fault := range []string{"cut", "cut-clean", "stall", "malformed"} {
		a := ann.do("POST", "/v1/completions", fmt.Sprintf(`{"model":"stream-alone-%s","prompt":"Hello","stream":true}`, fault))
		assert.Equal(t, 200, a.status)
		events := a.events()
		assert.Contains(t, events[len(events)-1], `{"error":{"message":`)
		assert.NotContains(t, a.body, "[DONE]")

		a = ann.do("POST", "/v1/responses", fmt.Sprintf(`{"model":"stream-alone-%s","input":"Hello","stream":true}`, fault))
		assert.Equal(t, 200, a.status)
		assert.Regexp(t, `(?s)event: response\.created\n.*event: response\.failed\ndata: \{"type":"response\.failed".*"status":"failed","error":\{`, a.body)
		assert.NotContains(t, a.body, "response.completed")
	}
}

// TestDeadTargetIsSkipped lets a target fail until nobody asks it any more, and then come back.
func TestDeadTargetIsSkipped(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").key("ann", "").
		model("pair", "", target("sim", "dying", "name: dying, weight: 1000000"), target("sim", "living", "name: living")).String())
	ann := n.as(t, "ann")
	next := 0
	answered := func() (target, attempts string) {
		next++
		a := ann.chat(ask("pair", fmt.Sprint("question ", next)))
		require.Equal(t, 200, a.status, a.brief())
		return a.header.Get("X-Wedge-Target"), a.header.Get("X-Wedge-Attempts")
	}
	name, attempts := answered()
	assert.Equal(t, "dying 1", name+" "+attempts)

	p.script(t, `[{"fail":"500","model":"dying","count":-1}]`)
	for range 3 {
		name, attempts = answered()
		assert.Equal(t, "living 2", name+" "+attempts)
	}
	began := time.Now()
	name, attempts = answered()
	if time.Since(began) < 500*time.Millisecond { // or the time to try it again may have come
		assert.Equal(t, "living 1", name+" "+attempts)
		assert.False(t, n.target(t, "pair", "dying").Healthy)
		assert.Zero(t, n.metric(t, "wedge_target_healthy", `target="dying"`))
	}
	assert.True(t, n.target(t, "pair", "living").Healthy)

	p.script(t, "")
	testkit.Eventually(t, 10*time.Second, func() error {
		if name, _ := answered(); name != "dying" {
			return fmt.Errorf("the target is not asked again")
		}
		return nil
	})
	assert.True(t, n.target(t, "pair", "dying").Healthy)
	assert.EqualValues(t, 1, n.metric(t, "wedge_target_healthy", `target="dying"`))
}
