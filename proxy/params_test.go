package proxy

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/wire"
)

func TestSetNested(t *testing.T) {
	fill := nestedSet{"generationConfig", "topP", []byte(`0.5`), false}
	force := nestedSet{"generationConfig", "maxOutputTokens", []byte(`9`), true}
	for _, c := range []struct {
		set        nestedSet
		body, want string
	}{
		{fill, `{}`, `{"generationConfig":{"topP":0.5}}`},
		{fill, `{"a":1}`, `{"a":1,"generationConfig":{"topP":0.5}}`},
		{fill, ` { "generationConfig" : { } } `, ` { "generationConfig" : { "topP":0.5} } `},
		{fill, `{"generationConfig":{"topK":1}}`, `{"generationConfig":{"topK":1,"topP":0.5}}`},
		{fill, `{"generationConfig":{"topP":1}}`, `{"generationConfig":{"topP":1}}`},
		{fill, `{"generationConfig":{"topP":null}}`, `{"generationConfig":{"topP":0.5}}`},
		{fill, `{"generation_config":{"top_p":1}}`, `{"generation_config":{"top_p":1}}`},
		{fill, `{"generationConfig":null,"b":1}`, `{"generationConfig":{"topP":0.5},"b":1}`},
		{force, `{"generation_config":{"max_output_tokens":100,"x":[{}]}}`, `{"generation_config":{"max_output_tokens":9,"x":[{}]}}`},
		{force, `{"\u0067enerationConfig":{"m\u0061xOutputTokens":100}}`, `{"\u0067enerationConfig":{"m\u0061xOutputTokens":9}}`},
	} {
		assert.Equal(t, c.want, string(setNested([]byte(c.body), []nestedSet{c.set})), c.body)
	}
	both := setNested([]byte(`{"contents":[]}`), []nestedSet{force, fill})
	assert.JSONEq(t, `{"contents":[],"generationConfig":{"maxOutputTokens":9,"topP":0.5}}`, string(both))
}

func TestGeminiModelInBodies(t *testing.T) {
	for _, c := range []struct {
		op         dialect.Op
		body, want string
	}{
		{dialect.OpGenerate, `{"contents":[]}`, `{"contents":[]}`},
		{dialect.OpGenerate, `{"model":"models/a","contents":[]}`, `{"model":"models/up","contents":[]}`},
		{dialect.OpEmbed, `{"content":{"model":1},"model": "a" }`, `{"content":{"model":1},"model": "models/up" }`},
		{dialect.OpBatchEmbed, `{"requests":[{"model":"models/a","content":{}}, {"content":{}} ,{"a":{"model":0},"model":"b"}],"model":"c"}`,
			`{"requests":[{"model":"models/up","content":{}}, {"content":{}} ,{"a":{"model":0},"model":"models/up"}],"model":"c"}`},
		{dialect.OpBatchEmbed, `{"requests":7}`, `{"requests":7}`},
		{dialect.OpCount, `{"generateContentRequest":{"model":"models/a"}}`, `{"generateContentRequest":{"model":"models/up"}}`},
		{dialect.OpCount, `{"contents":[]}`, `{"contents":[]}`},
	} {
		assert.Equal(t, c.want, string(appendGeminiModel(nil, []byte(c.body), c.op, "up")), c.body)
	}
	assert.Equal(t, `{"model":"models/up"}`, string(appendGeminiModel(nil, []byte(`{"model":"x"}`), dialect.OpEmbed, "models/up")))
}

func TestAppendArray(t *testing.T) {
	out, _, begun := appendArray(nil, []byte(": hb\n\n"), nil, false)
	assert.False(t, begun)
	assert.Empty(t, out, "comments have no place")
	out, _, begun = appendArray(out, []byte("data: {\"a\":1}\r\n\r\ndata: {\"b\":\ndata: 2}\n\n"), nil, begun)
	assert.True(t, begun)
	out, _, _ = appendArray(out, []byte(": wedge {}\n\ndata: {}\n\n"), nil, begun)
	assert.Equal(t, "[{\"a\":1},\r\n{\"b\":\n2},\r\n{}", string(out))
}

func TestTwiceSpelt(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	s := newTestServer(t, fmt.Sprintf(`
providers: [{name: g, dialect: gemini, base_url: "http://%s/v1beta"}]
models: [{name: m, versions: [{version: 1.0.0, status: production, force: {max_tokens: 3}, targets: [{provider: g, model: sim-small}]}]}]
keys: [{name: k, id: wk_abcdefghijkl, hash: "sha256:%x", models: ["*"]}]
`, addr, wire.HashKey([]byte(testKey))))
	node := serveTest(t, s)
	for body, want := range map[string]int{
		`{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"seed":1},"generation_config":{"maxOutputTokens":5000}}`: 400,
		`{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":5000,"max_output_tokens":7000}}`:       400,
		`{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":5000,"m\u0061x_output_tokens":7000}}`:  400,
		`{"contents":[{"parts":[{"text":"x"}]}],"generation_config":{"max_output_tokens":5000}}`:                             200,
	} {
		g := fetch(t, node, "/v1beta/models/m:generateContent", body)
		assert.Equal(t, want, g.StatusCode, "%s: %s", body, g.body)
		if want == 200 {
			assert.Contains(t, g.body, "MAX_TOKENS")
		}
	}
}
