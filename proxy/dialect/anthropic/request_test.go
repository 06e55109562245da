package anthropic

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// chatOf is a Chat of turns, each given as a role and its parts.
func chatOf(turns ...any) *dialect.Chat {
	c := new(dialect.Chat)
	for _, t := range turns {
		switch t := t.(type) {
		case dialect.Role:
			c.Turns = append(c.Turns, dialect.Turn{Role: t, From: len(c.Parts), To: len(c.Parts)})
		case dialect.Part:
			c.Parts = append(c.Parts, t)
			c.Turns[len(c.Turns)-1].To++
		}
	}
	return c
}

func says(text string) dialect.Part {
	return dialect.Part{Kind: dialect.PartText, Text: []byte(text)}
}

// asked is the request that asks for c, member by member.
func asked(t *testing.T, c *dialect.Chat, model string) (map[string]json.RawMessage, dialect.FieldSet) {
	t.Helper()
	body, left, err := Codec{}.AppendRequest([]byte("x"), c, model, false)
	require.NoError(t, err)
	var m map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body[1:], &m), "%s", body)
	return m, left
}

// set is a FieldSet.
func set(fields ...dialect.Field) (s dialect.FieldSet) {
	for _, f := range fields {
		s.Add(f)
	}
	return s
}

func TestAppendRequestMessages(t *testing.T) {
	c := chatOf(
		dialect.System, says("One."),
		dialect.Assistant, says("Welcome!"),
		dialect.User, says("a"), says(""), says(" \\n\\t"),
		dialect.User, dialect.Part{Kind: dialect.PartImage, Data: []byte(`\/9j\/4AA`)},
		dialect.Assistant, dialect.Part{Kind: dialect.PartThinking, Text: []byte("hm"), Signature: []byte("s"), Signer: dialect.Anthropic},
		dialect.Part{Kind: dialect.PartThinking, Text: []byte("lost")}, dialect.Part{Kind: dialect.PartHidden, Signature: []byte("e"), Signer: dialect.OpenAI},
		dialect.Part{Kind: dialect.PartHidden, Signature: []byte("r"), Signer: dialect.Anthropic},
		dialect.Part{Kind: dialect.PartCall, ID: []byte("call|1"), Name: []byte("f"), Args: []byte(`"{\"a\": 1}"`)},
		dialect.Part{Kind: dialect.PartCall, Name: []byte("g"), Args: []byte(`{}`)},
		dialect.User, says("wait"),
		dialect.Results, dialect.Part{Kind: dialect.PartResult, ID: []byte("call|1"), From: 0, To: 2, Failed: true},
		dialect.System, says("Two."),
		dialect.Results, dialect.Part{Kind: dialect.PartResult, From: 2, To: 2},
		dialect.Assistant, dialect.Part{Kind: dialect.PartRefusal, Text: []byte("I will not\\n ")},
	)
	c.System = []dialect.Part{says("Zero."), says("")}
	c.Nested = []dialect.Part{says("bad"), {Kind: dialect.PartImage, URL: []byte("https://x")}}
	c.Turns[2].Name = []byte("bob")
	m, left := asked(t, c, "sim")
	assert.JSONEq(t, `[
	 {"role":"assistant","content":[{"type":"text","text":"Welcome!"}]},
	 {"role":"user","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"/9j/4AA"}}]},
	 {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"r"},
	  {"type":"tool_use","id":"call_7c1","name":"f","input":{"a":1}},{"type":"tool_use","id":"call_1","name":"g","input":{}}]},
	 {"role":"user","content":[{"type":"tool_result","tool_use_id":"call_7c1","content":[{"type":"text","text":"bad"},{"type":"image","source":{"type":"url","url":"https://x"}}],"is_error":true},
	  {"type":"tool_result","tool_use_id":"call_1"},{"type":"text","text":"wait"}]},
	 {"role":"assistant","content":[{"type":"text","text":"I will not"}]}]`, string(m["messages"]))
	assert.JSONEq(t, `[{"type":"text","text":"Zero."},{"type":"text","text":"One."},{"type":"text","text":"Two."}]`, string(m["system"]))
	assert.Equal(t, set(dialect.FieldSystemTurn, dialect.FieldSignature, dialect.FieldName), left)
	assert.Equal(t, "32000", string(m["max_tokens"]))
	assert.NotContains(t, m, "stream")
}

// Where nothing of the model's turn is left, the user's turns around it are one message.
func TestResultsComeFirstAcrossASilentTurn(t *testing.T) {
	m, left := asked(t, chatOf(dialect.User, says("a"), dialect.Assistant, says(" "), dialect.Part{Kind: dialect.PartThinking, Text: []byte("x")},
		dialect.Results, dialect.Part{Kind: dialect.PartResult, ID: []byte("i")}), "sim")
	assert.JSONEq(t, `[{"role":"user","content":[{"type":"tool_result","tool_use_id":"i"},{"type":"text","text":"a"}]}]`, string(m["messages"]))
	assert.Equal(t, set(dialect.FieldSignature), left, "what is left out of such a turn is told, too")
}

func TestInstructionsAloneAreTheUsersWords(t *testing.T) {
	c := chatOf(dialect.User, says(" "))
	c.System = []dialect.Part{says("Tell a joke.")}
	m, left := asked(t, c, "sim")
	assert.JSONEq(t, `[{"role":"user","content":[{"type":"text","text":"Tell a joke."}]}]`, string(m["messages"]))
	assert.NotContains(t, m, "system")
	assert.Zero(t, left)
	_, _, err := Codec{}.AppendRequest(nil, chatOf(), "sim", false)
	assert.ErrorIs(t, err, dialect.ErrInexpressible)
}

func TestAppendRequestSettings(t *testing.T) {
	c := chatOf(dialect.User, says("x"))
	c.MaxTokens, c.Temperature, c.TopP, c.TopK = 5, []byte("1.7"), []byte("0.9"), []byte("40")
	c.Stop = []dialect.Written{[]byte("a"), []byte(`\n`)}
	c.User, c.Seed, c.Count, c.LogProbs = []byte("u"), []byte("7"), 2, true
	c.FrequencyPenalty, c.PresencePenalty = []byte("0.0"), []byte("1")
	c.Tools = []dialect.Tool{{Name: []byte("f")}, {Name: []byte("g"), Description: []byte("d"), Schema: []byte(`{ "properties":{}}`), Strict: []byte("true")}}
	c.Parallel = []byte("false")
	c.Format = dialect.FormatJSON
	m, left := asked(t, c, "sim")
	assert.JSONEq(t, `{"type":"auto","disable_parallel_tool_use":true}`, string(m["tool_choice"]))
	assert.JSONEq(t, `[{"name":"f","input_schema":{"type":"object","properties":{}}},{"name":"g","description":"d","input_schema":{"type":"object","properties":{}},"strict":true}]`, string(m["tools"]))
	assert.Equal(t, []string{"5", "1", "0.9", "40", `["a"]`, `{"user_id":"u"}`}, []string{string(m["max_tokens"]), string(m["temperature"]), string(m["top_p"]),
		string(m["top_k"]), string(m["stop_sequences"]), string(m["metadata"])})
	assert.Equal(t, set(dialect.FieldTemperature, dialect.FieldStop, dialect.FieldSeed, dialect.FieldCount, dialect.FieldLogProbs, dialect.FieldPresencePenalty, dialect.FieldFormat), left)

	c = chatOf(dialect.User, says("x"))
	c.Choice, c.Parallel = dialect.ChoiceAny, []byte("false")
	m, left = asked(t, c, "sim")
	assert.NotContains(t, m, "tool_choice", "the API takes no choice without tools")
	assert.Equal(t, set(dialect.FieldChoice), left)
	c.Choice, c.ChoiceName, c.Tools = dialect.ChoiceNamed, []byte("f"), []dialect.Tool{{Name: []byte("f"), Schema: []byte(`{"type":"object"}`)}}
	c.Format, c.Schema, c.SchemaStrict = dialect.FormatSchema, []byte(`{"type":"object"}`), []byte("false")
	m, left = asked(t, c, "sim")
	assert.JSONEq(t, `{"type":"tool","name":"f","disable_parallel_tool_use":true}`, string(m["tool_choice"]))
	assert.JSONEq(t, `{"format":{"type":"json_schema","schema":{"type":"object"}}}`, string(m["output_config"]))
	assert.Equal(t, set(dialect.FieldSchemaStrict), left)
	c.Choice = dialect.ChoiceNone
	m, _ = asked(t, c, "sim")
	assert.JSONEq(t, `{"type":"none"}`, string(m["tool_choice"]))
	body, _, err := Codec{}.AppendRequest(nil, c, "sim", true)
	require.NoError(t, err)
	assert.Contains(t, string(body), `"stream":true`)
}

func TestSamplingOfEachGeneration(t *testing.T) {
	f := func(model, temperature, topP, topK, want string, left ...dialect.Field) {
		t.Helper()
		c := chatOf(dialect.User, says("x"))
		for v, s := range map[*dialect.Raw]string{&c.Temperature: temperature, &c.TopP: topP, &c.TopK: topK} {
			if s != "" {
				*v = []byte(s)
			}
		}
		m, got := asked(t, c, model)
		assert.Equal(t, want, string(m["temperature"])+"|"+string(m["top_p"])+"|"+string(m["top_k"]))
		assert.Equal(t, set(left...), got)
	}
	f("claude-opus-4-5", "0.2", "0.9", "3", "0.2||3", dialect.FieldTopP)
	f("claude-opus-4-5", "0.2", "1", "", "0.2||")
	f("claude-opus-4-6", "", "0.9", "", "|0.9|")
	f("claude-opus-4-7", "0.2", "0.9", "3", "||", dialect.FieldTemperature, dialect.FieldTopP, dialect.FieldTopK)
	f("claude-opus-5-5", "1", "1.0", "", "||")
	f("sim", "0.2", "0.9", "3", "0.2|0.9|3")
}

func TestThinkingOfEachGeneration(t *testing.T) {
	f := func(model string, edit func(c *dialect.Chat), want, effort, most string, left ...dialect.Field) {
		t.Helper()
		c := chatOf(dialect.User, says("x"))
		edit(c)
		m, got := asked(t, c, model)
		assert.Equal(t, []string{want, effort, most}, []string{string(m["thinking"]), string(m["output_config"]), string(m["max_tokens"])})
		assert.Equal(t, set(left...), got)
	}
	effort := func(e string) func(c *dialect.Chat) { return func(c *dialect.Chat) { c.Effort = []byte(e) } }
	budget := func(n int64) func(c *dialect.Chat) {
		return func(c *dialect.Chat) { c.Thinking, c.Budget, c.ShowThinking = dialect.ThinkingBudget, n, true }
	}
	off := func(c *dialect.Chat) { c.Thinking = dialect.ThinkingOff }
	adaptive := func(c *dialect.Chat) { c.Thinking = dialect.ThinkingAdaptive }
	const adapts, disabled = `{"type":"adaptive"}`, `{"type":"disabled"}`

	f("claude-opus-5", effort("high"), adapts, `{"effort":"high"}`, "32000")
	f("claude-opus-4-6", effort("xhigh"), adapts, `{"effort":"high"}`, "32000", dialect.FieldEffort)
	f("claude-opus-4-7", effort("minimal"), adapts, `{"effort":"low"}`, "32000", dialect.FieldEffort)
	f("claude-opus-4-5", effort("medium"), `{"type":"enabled","budget_tokens":8192}`, "", "32000")
	f("claude-opus-4-5", effort("max"), `{"type":"enabled","budget_tokens":32000}`, "", "36096")
	f("sim", effort("max"), adapts, `{"effort":"max"}`, "32000")

	f("sim", effort("none"), disabled, "", "32000")
	f("claude-opus-5", effort("none"), disabled, "", "32000")
	f("claude-opus-4-7", effort("none"), "", "", "32000")
	f("claude-fable-5", effort("none"), "", "", "32000", dialect.FieldEffort)
	f("claude-fable-5", off, "", "", "32000", dialect.FieldThinking)
	f("claude-haiku-4-5", off, "", "", "32000")
	f("sim", func(c *dialect.Chat) { adaptive(c); c.Effort = []byte("none") }, `{"type":"adaptive","display":"omitted"}`, "", "32000", dialect.FieldEffort)

	f("sim", budget(2000), `{"type":"enabled","budget_tokens":2000,"display":"summarized"}`, "", "32000")
	f("sim", budget(40000), `{"type":"enabled","budget_tokens":40000,"display":"summarized"}`, "", "44096")
	f("sim", budget(100), `{"type":"enabled","budget_tokens":1024,"display":"summarized"}`, "", "32000", dialect.FieldThinking)
	f("sim", func(c *dialect.Chat) { budget(5000)(c); c.MaxTokens = 3000 }, `{"type":"enabled","budget_tokens":2999,"display":"summarized"}`, "", "3000", dialect.FieldThinking)
	f("sim", func(c *dialect.Chat) { budget(5000)(c); c.MaxTokens = 900 }, "", "", "900", dialect.FieldThinking)
	f("claude-sonnet-5-5", budget(5000), `{"type":"adaptive","display":"summarized"}`, `{"effort":"medium"}`, "32000", dialect.FieldThinking)
	f("claude-haiku-4-5", func(c *dialect.Chat) { effort("high")(c); c.MaxTokens = 5000 }, `{"type":"enabled","budget_tokens":4999}`, "", "5000")
	f("claude-haiku-4-5", func(c *dialect.Chat) { effort("high")(c); c.MaxTokens = 500 }, "", "", "500", dialect.FieldEffort)

	forced := func(c *dialect.Chat) { c.Choice, c.Tools = dialect.ChoiceAny, []dialect.Tool{{Name: []byte("f")}} }
	f("sim", func(c *dialect.Chat) { budget(5000)(c); forced(c) }, "", "", "32000", dialect.FieldThinking)
	f("claude-opus-5", func(c *dialect.Chat) { effort("low")(c); forced(c) }, "", `{"effort":"low"}`, "32000")
	f("claude-haiku-4-5", func(c *dialect.Chat) { effort("low")(c); forced(c) }, "", "", "32000", dialect.FieldEffort)
	f("sim", func(c *dialect.Chat) {
		adaptive(c)
		c.Temperature, c.TopP, c.TopK = []byte("0.3"), []byte("0.97"), []byte("4")
	}, `{"type":"adaptive","display":"omitted"}`, "", "32000", dialect.FieldTemperature, dialect.FieldTopK)
}

// A model that goes on after its tools answered cannot think by a budget unless it began with a thought.
func TestBudgetAfterACallWithoutThought(t *testing.T) {
	call := dialect.Part{Kind: dialect.PartCall, ID: []byte("a"), Name: []byte("f")}
	result := dialect.Part{Kind: dialect.PartResult, ID: []byte("a")}
	f := func(want bool, turns ...any) {
		t.Helper()
		c := chatOf(turns...)
		c.Thinking, c.Budget = dialect.ThinkingBudget, 2000
		m, left := asked(t, c, "sim")
		assert.Equal(t, want, m["thinking"] != nil)
		assert.Equal(t, !want, left.Has(dialect.FieldThinking))
	}
	signed := dialect.Part{Kind: dialect.PartThinking, Text: []byte("x"), Signature: []byte("s"), Signer: dialect.Anthropic}
	f(false, dialect.User, says("x"), dialect.Assistant, call, dialect.Results, result)
	f(true, dialect.User, says("x"), dialect.Assistant, signed, call, dialect.Results, result)
	f(true, dialect.User, says("x"), dialect.Assistant, says("y"), dialect.User, says("z"))
}

func TestDocuments(t *testing.T) {
	text := base64.StdEncoding.EncodeToString([]byte("a\n\"b\""))
	c := chatOf(dialect.User,
		dialect.Part{Kind: dialect.PartFile, Data: []byte("JVBERi0x"), Name: []byte("n")},
		dialect.Part{Kind: dialect.PartFile, Data: []byte(text), Media: []byte("text/markdown"), Cache: []byte(`{"type":"ephemeral"}`)},
		dialect.Part{Kind: dialect.PartFile, Text: []byte("t")},
		dialect.Part{Kind: dialect.PartFile, URL: []byte("u")},
		dialect.Part{Kind: dialect.PartFile, Data: []byte("iVBORw0KGgo="), Media: []byte("image/png")},
		dialect.Part{Kind: dialect.PartImage, Data: []byte("x"), Media: []byte("image/jpg"), Detail: []byte("low"), Name: []byte("n.jpg")},
	)
	m, left := asked(t, c, "sim")
	assert.JSONEq(t, `[{"role":"user","content":[
	 {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0x"},"title":"n"},
	 {"type":"document","source":{"type":"text","media_type":"text/plain","data":"a\n\"b\""},"cache_control":{"type":"ephemeral"}},
	 {"type":"document","source":{"type":"text","media_type":"text/plain","data":"t"}},
	 {"type":"document","source":{"type":"url","url":"u"}},
	 {"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}},
	 {"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"x"}}]}]`, string(m["messages"]))
	assert.Equal(t, set(dialect.FieldDetail, dialect.FieldFileName), left)
}

func TestAppendRequestRefuses(t *testing.T) {
	for name, p := range map[string]dialect.Part{
		"sound":            {Kind: dialect.PartAudio, Data: []byte("x")},
		"video":            {Kind: dialect.PartVideo, URL: []byte("x")},
		"file of another":  {Kind: dialect.PartFile, FileID: []byte("x")},
		"image of another": {Kind: dialect.PartImage, FileID: []byte("x")},
		"unknown image":    {Kind: dialect.PartImage, Data: []byte("x")},
		"unknown document": {Kind: dialect.PartFile, Data: []byte("x"), Media: []byte("application/msword")},
		"no text":          {Kind: dialect.PartFile, Data: []byte("/w=="), Media: []byte("text/plain")},
		"no base64":        {Kind: dialect.PartFile, Data: []byte("!"), Media: []byte("text/plain")},
		"nothing":          {Kind: dialect.PartImage},
		"arguments":        {Kind: dialect.PartCall, Name: []byte("f"), Args: []byte(`"no"`)},
	} {
		body, left, err := Codec{}.AppendRequest([]byte("x"), chatOf(dialect.User, p), "sim", false)
		assert.ErrorIs(t, err, dialect.ErrInexpressible, name)
		assert.Equal(t, "x", string(body), name)
		assert.Zero(t, left, name)
	}
	image := dialect.Part{Kind: dialect.PartImage, URL: []byte("u")}
	_, _, err := Codec{}.AppendRequest(nil, chatOf(dialect.Assistant, image), "sim", false)
	assert.ErrorIs(t, err, dialect.ErrInexpressible, "the model makes no pictures")
	c := chatOf(dialect.User, says("x"))
	c.System = []dialect.Part{image}
	_, _, err = Codec{}.AppendRequest(nil, c, "sim", false)
	assert.ErrorIs(t, err, dialect.ErrInexpressible)
}

func TestTrimEnd(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " ": "", `a \n\t `: "a", `a\\n`: `a\\n`, `a\\\n`: `a\\`, "run": "run", `\n`: "", "n": "n", `\\ `: `\\`,
	} {
		assert.Equal(t, want, string(trimEnd([]byte(text))), "%q", text)
	}
}

func TestFieldName(t *testing.T) {
	assert.Equal(t, "top_p", Codec{}.FieldName(dialect.OpMessages, dialect.FieldTopP))
	assert.Equal(t, "thinking", Codec{}.FieldName(dialect.OpMessages, dialect.FieldThinking))
}
