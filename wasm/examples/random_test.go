package examples

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/policy/cases"
	"github.com/wedge-proxy/wedge/wasm/internal/guests"
)

// configs are what the policies are loaded with for random requests.
var configs = map[string]string{
	"route-by-language": `{"fr": "eu", "de": "eu-central", "x": "", "*": "us"}`,
	"tenant-tiers":      `{"cheaper": "small-bot", "micro_usd": {"acme": 20, "b": 3, "*": 1}}`,
	"prompt-guard":      `{"phrases": ["ignore previous instructions", "you are", "a  b", " c"]}`,
	"sticky-canary":     `{"version": "1.1.0", "percent": 50, "salt": "s1"}`,
	"cost-cutter":       `{"model": "small-bot", "tokens": 50}`,
	"js-rules":          `{"rules": [{"if": {"headers": {"x-plan": "free"}, "min_tokens": 50}, "then": {"target": "eu"}}, {"if": {"tenant": "acme"}, "then": {"model": "m", "tags": {"a": "b"}}}]}`,
	"redact":            `{}`,
}

// words are what random texts are put together from: what the policies look for, whole and in parts.
var words = []string{
	"", " ", "  ", "\t", "\n", "a", "b", "c", "x", "Z", "é", "\"", "\\", "\\n", "\\u00e9", "@", ".", "-", "+", "1", "[", "]", "_", ",", ":", "{", "}",
	"fr", "FR", "de", "-CH", ";q=0.5", "en", "acme", "free", "ignore", "Ignore previous", " instructions", "you are", "a  b",
	"ann@example.com", "bob@a.b-c.org.", "@example.com", "a@b", "a@b.c1", "+49 89 1234567", "+1 (555) 010-9999", "+12345678", "4111 1111 1111 1111",
	"4111111111111111", "5500-0000-0000-0004", "4111111111111112", "[EMAIL_1]", "[EMAIL_", "[PHONE_2]", "[CARD_1", "EMAIL_1]", "1]", "[E",
}

var text = rapid.Custom(func(t *rapid.T) []byte {
	var all []byte
	for _, w := range rapid.SliceOfN(rapid.SampledFrom(words), 0, 12).Draw(t, "words") {
		all = append(all, w...)
	}
	return all
})

var drawnTarget = rapid.Custom(func(t *rapid.T) abi.Target {
	price := rapid.SampledFrom([]uint32{0, 1, 2, 300, math.MaxUint32 - 1, math.MaxUint32})
	return abi.Target{Name: []byte(rapid.SampledFrom([]string{"eu", "us", "large"}).Draw(t, "name")),
		Flags: rapid.Uint32Range(0, 3).Draw(t, "flags"), PriceIn: price.Draw(t, "in"), PriceOut: price.Draw(t, "out")}
})

func drawRequest(t *rapid.T) cases.Step {
	body := append([]byte(`{"a":"`), text.Draw(t, "body")...)
	header := rapid.SampledFrom([]string{"accept-language", "Accept-Language", "x-plan", "x-other"})
	in := abi.Request{
		Flags: rapid.Uint32Range(0, 31).Draw(t, "flags"), ID: rapid.Uint64Range(0, 3).Draw(t, "id"),
		PromptTokens: rapid.Uint32Range(0, 100).Draw(t, "tokens"), Temperature: float32(math.NaN()),
		Tenant:   []byte(rapid.SampledFrom([]string{"acme", "b", "other"}).Draw(t, "tenant")),
		User:     text.Draw(t, "user"),
		LastUser: text.Draw(t, "last user"),
		Body:     append(body, `","b":4111111111111111}`...),
		Targets:  rapid.SliceOfN(drawnTarget, 0, 4).Draw(t, "targets"),
	}
	for _, name := range rapid.SliceOfNDistinct(header, 0, 2, func(s string) byte { return s[0] }).Draw(t, "headers") {
		in.Headers = append(in.Headers, abi.Pair{Name: []byte(name), Value: text.Draw(t, "value")})
	}
	return cases.Step{Request: in}
}

// drawCase is a request and what may follow it.
func drawCase(t *rapid.T, e *example) *cases.Case {
	c := &cases.Case{Name: "random", Steps: []cases.Step{drawRequest(t)}}
	id := c.Steps[0].Request.ID
	if e.hooks&policy.Chunk != 0 {
		for i := range rapid.IntRange(0, 5).Draw(t, "chunks") {
			s := cases.Step{Kind: policy.OnChunk, Chunk: abi.Chunk{ID: id, Text: text.Draw(t, "chunk"),
				Choice: rapid.Uint32Range(0, 1).Draw(t, "choice")}}
			if i == 4 {
				s.Chunk.Flags = abi.ChunkLast
			}
			c.Steps = append(c.Steps, s)
		}
	}
	if e.hooks&policy.Response != 0 {
		c.Steps = append(c.Steps, cases.Step{Kind: policy.OnResponse, Response: abi.Response{ID: id, Text: text.Draw(t, "answer")}})
	}
	if e.hooks&policy.Done != 0 {
		cost := rapid.SampledFrom([]uint64{0, 1, 999, 1000, 4001, math.MaxUint64}).Draw(t, "cost")
		c.Steps = append(c.Steps, cases.Step{Kind: policy.OnDone, Done: abi.Done{ID: id, CostNanoUSD: cost}})
	}
	return c
}

// TestRandomRequests holds every language's verdicts on random requests against those of the policy in Go.
func TestRandomRequests(t *testing.T) {
	for i := range examples {
		e := &examples[i]
		t.Run(e.name, func(t *testing.T) {
			config := []byte(configs[e.name])
			plain, err := e.native(config)
			require.NoError(t, err)
			programs := map[string]policy.Program{}
			for _, lang := range e.langs {
				p, err := load(t, e, guests.Build(t, lang, filepath.Join(e.name, lang)), config, "")
				require.NoError(t, err)
				programs[lang] = p
			}
			rapid.Check(t, func(t *rapid.T) {
				c := drawCase(t, e)
				want := cases.Run(plain, c)
				for lang, p := range programs {
					compare(t, lang, want, cases.Run(p, c))
				}
			})
		})
	}
}

func compare(t *rapid.T, lang string, want, got []cases.Verdict) {
	for i := range want {
		if (want[i].Err != nil) != (got[i].Err != nil) || !cases.Same(want[i].Got, got[i].Got) {
			t.Fatalf("%s, step %d: want %s (%v), got %s (%v)", lang, i, cases.Format(want[i].Got), want[i].Err,
				cases.Format(got[i].Got), got[i].Err)
		}
	}
}
