package cases

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

func TestParseFieldsOfARequest(t *testing.T) {
	c, err := Parse("all", []byte(`{
		"about": "everything", "config": {"a": 1}, "kv": {"z": "26", "a": "1"},
		"request": {
			"id": "18446744073709551615", "stream": true, "has_images": true, "retry": true, "unix_ms": -1, "prefix_hash": 2,
			"random": 3, "prompt_tokens": 4, "max_tokens": 5, "messages": 6, "tools": 7, "temperature": 0.5, "attempt": 8,
			"model": "m", "tenant": "t", "user": "u", "endpoint": "/e", "system": "s", "last_user": "l", "version": "1.0.0",
			"headers": {"x-b": "2", "x-a": "1"}, "body": {"b": 1},
			"targets": [{"name": "n", "region": "r", "in_flight": 1, "ttft_us": 2, "us_per_token": 3, "price_in": 4, "price_out": 5},
				{"name": "ill", "healthy": false, "breaker": true}]
		},
		"expect": {"target": "n"}
	}`))
	require.NoError(t, err)
	b := func(s string) []byte { return []byte(s) }
	assert.Equal(t, abi.Request{
		Flags: abi.FlagStream | abi.FlagImages | abi.FlagTools | abi.FlagRetry, ID: math.MaxUint64, UnixMS: -1, PrefixHash: 2,
		Random: 3, PromptTokens: 4, MaxTokens: 5, Messages: 6, Tools: 7, Temperature: 0.5, Attempt: 8, Model: b("m"),
		Tenant: b("t"), User: b("u"), Endpoint: b("/e"), System: b("s"), LastUser: b("l"), Version: b("1.0.0"),
		Headers: []abi.Pair{{Name: b("x-a"), Value: b("1")}, {Name: b("x-b"), Value: b("2")}}, Body: b(`{"b": 1}`),
		KV: []abi.Pair{{Name: b("a"), Value: b("1")}, {Name: b("z"), Value: b("26")}},
		Targets: []abi.Target{
			{Name: b("n"), Region: b("r"), Flags: abi.TargetHealthy, InFlight: 1, TTFT: 2, PerToken: 3, PriceIn: 4, PriceOut: 5},
			{Name: b("ill"), Region: b(""), Flags: abi.TargetBreaker, PriceIn: math.MaxUint32, PriceOut: math.MaxUint32},
		},
	}, c.Steps[0].Request)
	assert.JSONEq(t, `{"a": 1}`, string(c.Config))
	assert.Equal(t, abi.AppendTarget(nil, "n"), c.Steps[0].Want)
}

func TestParseDefaults(t *testing.T) {
	c, err := Parse("x", []byte(`{"steps": [{"request": {"body": "{}"}, "expect": {}}, {"done": {}, "expect": {}}]}`))
	require.NoError(t, err)
	assert.Equal(t, "{}", string(c.Config))
	assert.Equal(t, "{}", string(c.Steps[0].Request.Body))
	assert.NotEqual(t, c.Steps[0].Request.Temperature, c.Steps[0].Request.Temperature, "NaN: the client is silent")
	assert.Equal(t, uint64(math.MaxUint64), c.Steps[1].Done.CostNanoUSD, "unknown")
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: `want calls to make`,
		`{"refused": true, "request": {}, "expect": {}}`: `want calls to make`,
		`{"request": {}}`: `want either "expect"`,
		`{"request": {}, "expect": {}, "fails": true}`:                         `want either "expect"`,
		`{"request": {}, "chunk": {}, "expect": {}}`:                           `exactly one of`,
		`{"request": {}, "expect": {"tarket": "x"}}`:                           `tarket`,
		`{"request": {"modle": "x"}, "expect": {}}`:                            `modle`,
		`{"request": {"id": "x"}, "expect": {}}`:                               `64 bits`,
		`{"request": {}, "expect": {}, "steps": [{"done": {}, "expect": {}}]}`: `beside "steps"`,
		`{"steps": [{"expect": {}}]}`:                                          `step 0: want exactly one`,
		`{"request": {}, "expect": {}} x`:                                      `more follows`,
	} {
		_, err := Parse("x", []byte(text))
		assert.ErrorContains(t, err, want, text)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	_, err := ReadDir(dir)
	require.ErrorContains(t, err, "there is no case")
	for name, text := range map[string]string{"b.json": `{"done": {}, "expect": {}}`, "a.json": `{"refused": true}`} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	all, err := ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, "a", all[0].Name)
	assert.True(t, all[0].Refused)
	assert.Equal(t, "b", all[1].Name)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c.json"), []byte(`{`), 0o600))
	_, err = ReadDir(dir)
	require.ErrorContains(t, err, filepath.Join(dir, "c.json"))
}

// scripted answers every call with the next list, and notes the state and number that the view brought.
type scripted struct {
	answers [][]byte
	states  []string
	seqs    []uint32
}

func (s *scripted) next() ([]byte, error) {
	answer := s.answers[0]
	s.answers = s.answers[1:]
	if answer == nil {
		return nil, errors.New("no answer")
	}
	return answer, nil
}

func (s *scripted) Caps() abi.Caps                               { return 0 }
func (s *scripted) Request(*abi.Request, []byte) ([]byte, error) { return s.next() }

func (s *scripted) Response(in *abi.Response, _ []byte) ([]byte, error) {
	s.states = append(s.states, string(in.State))
	return s.next()
}

func (s *scripted) Chunk(in *abi.Chunk, _ []byte) ([]byte, error) {
	s.states, s.seqs = append(s.states, string(in.State)), append(s.seqs, in.Seq)
	return s.next()
}

func (s *scripted) Done(in *abi.Done, _ []byte) ([]byte, error) {
	s.states = append(s.states, string(in.State))
	return s.next()
}

func TestRunCarriesStatePerChoice(t *testing.T) {
	c, err := Parse("x", []byte(`{"steps": [
		{"request": {}, "expect": {}}, {"chunk": {}, "expect": {}}, {"chunk": {"choice": 1}, "expect": {}},
		{"chunk": {}, "expect": {}}, {"chunk": {"choice": 1, "state": "own"}, "expect": {}}, {"done": {}, "expect": {}},
		{"request": {}, "expect": {}}, {"response": {}, "expect": {}}
	]}`))
	require.NoError(t, err)
	none := []byte{}
	s := &scripted{answers: [][]byte{abi.AppendState(nil, "r"), abi.AppendState(nil, "0"), none, none, none, none, none, none}}
	got := Run(s, c)
	assert.Equal(t, []string{"r", "r", "0", "own", "r", ""}, s.states)
	assert.Equal(t, []uint32{0, 1, 2, 3}, s.seqs)
	assert.Equal(t, abi.AppendState(nil, "0"), got[1].Got)
	assert.Equal(t, "r", string(must(stateOf(got[0].Got))))
}

func must(state []byte, ok bool) []byte {
	if !ok {
		return nil
	}
	return state
}

func TestCheck(t *testing.T) {
	c, err := Parse("x", []byte(`{"steps": [{"request": {}, "expect": {"target": "eu", "model": "m"}}, {"request": {}, "fails": true}]}`))
	require.NoError(t, err)
	swapped := abi.AppendTarget(abi.AppendModel(nil, "m"), "eu")
	require.NoError(t, c.Check([]Verdict{{Got: swapped}, {Err: errors.New("x")}}))
	assert.ErrorContains(t, c.Check([]Verdict{{Got: abi.AppendTarget(nil, "us")}, {}}), "step 0: the actions differ:\n want {\"target\": \"eu\"")
	assert.ErrorContains(t, c.Check([]Verdict{{Err: errors.New("trapped")}, {}}), "the call failed: trapped")
	assert.ErrorContains(t, c.Check([]Verdict{{Got: swapped}, {Got: nil}}), "has to fail, and gave {}")
}

func TestSameLooksAtPayloadsAndRepetitions(t *testing.T) {
	list := abi.AppendMetric(abi.AppendMetric(nil, "a", "1"), "b", "2")
	assert.True(t, Same(list, list))
	assert.False(t, Same(list, abi.AppendMetric(nil, "a", "1")))
	assert.False(t, Same(list, abi.AppendMetric(abi.AppendMetric(nil, "b", "2"), "a", "1")))
	assert.False(t, Same(list, list[:len(list)-1]))
}

// TestFormatIsReadBack holds Format against the reader of JSON actions, on every kind of action.
func TestFormatIsReadBack(t *testing.T) {
	const object = `{"target": "é\"", "fallbacks": ["a", "b"], "model": "m", "version": "1.0.0", "set_headers": {"x-b": "1", "x-a": "2"},
		"delete_headers": ["x-c", "x-d"], "response_headers": {"x-e": ""}, "deny": {"status": 429, "retry_after": 3, "message": "no"},
		"cache_salt": "s", "cache": {"mode": "exact", "ttl": 9}, "tags": {"k": "v"},
		"patches": [{"offset": 1, "delete": 2, "insert": "x"}, {"offset": 5}], "system": {"replace": "t"},
		"messages": [{"index": 1, "text": "t"}], "max_tokens": 7, "timeout_ms": 8, "log": [{"level": "warn", "text": "<w>"}],
		"kv_put": [{"key": "k", "value": "v", "ttl": 3}], "kv_add": [{"key": "k", "delta": -5, "ttl": 3}], "hedge_ms": 9,
		"shadow": "s", "answer": "a", "state": "\u0000s", "text": "t", "drop": true, "stop": "r"}`
	list, err := abi.AppendFromJSON(nil, []byte(object))
	require.NoError(t, err)
	again, err := abi.AppendFromJSON(nil, []byte(Format(list)))
	require.NoError(t, err, Format(list))
	assert.True(t, Same(list, again), Format(list))
	assert.Equal(t, "{}", Format(nil))
	assert.Equal(t, policy.OnRequest, Step{}.Kind)
}
