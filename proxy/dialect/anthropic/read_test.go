package anthropic

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// readMust reads a request that must be good.
func readMust(t testing.TB, body string) *dialect.Chat {
	t.Helper()
	c := new(dialect.Chat)
	require.NoError(t, Codec{}.Read(dialect.OpMessages, []byte(body), c))
	return c
}

// told is a part on one line.
func partLine(c *dialect.Chat, p *dialect.Part) string {
	names := [...]string{"text", "refusal", "image", "audio", "video", "file", "thinking", "hidden", "call", "result"}
	line := names[p.Kind]
	for _, m := range []struct {
		name string
		v    []byte
	}{
		{"text", p.Text}, {"media", p.Media}, {"data", p.Data}, {"url", p.URL}, {"file", p.FileID}, {"name", p.Name}, {"id", p.ID},
		{"args", p.Args}, {"signature", p.Signature}, {"cache", p.Cache},
	} {
		if m.v != nil {
			line += fmt.Sprintf(" %s=%s", m.name, m.v)
		}
	}
	if p.Signature != nil {
		line += " by " + p.Signer.String()
	}
	if p.Failed {
		line += " failed"
	}
	for i := p.From; i < p.To; i++ {
		line += " <" + partLine(c, &c.Nested[i]) + ">"
	}
	return line
}

// conversation is what a Chat's turns say, one part a line.
func conversation(c *dialect.Chat) (lines []string) {
	for _, p := range c.System {
		lines = append(lines, "before: "+partLine(c, &p))
	}
	roles := [...]string{"user", "assistant", "results", "system"}
	for _, t := range c.Turns {
		lines = append(lines, roles[t.Role]+":")
		for i := t.From; i < t.To; i++ {
			lines[len(lines)-1] += " " + partLine(c, &c.Parts[i])
			if i < t.To-1 {
				lines[len(lines)-1] += ";"
			}
		}
	}
	return lines
}

func TestReadConversation(t *testing.T) {
	c := readMust(t, `{"model":"m","max_tokens":10,"system":[{"type":"text","text":"Be \"brief\".","cache_control":{"type":"ephemeral","ttl":"1h"}}],
	"messages":[
	 {"role":"system","content":"Early."},
	 {"role":"user","content":"Hi\n"},
	 {"role":"assistant","content":[
	  {"type":"thinking","thinking":"hm","signature":"sig="},
	  {"type":"redacted_thinking","data":"gemini:xyz"},
	  {"type":"text","text":"Look","citations":null},
	  {"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Bern"},"caller":{"type":"direct"},"cache_control":{"type":"ephemeral"}},
	  {"type":"tool_use","id":"toolu_2","name":"now","input":{}},
	  {"type":"redacted_thinking","data":"gemini:thought"}]},
	 {"role":"user","content":[
	  {"type":"tool_result","tool_use_id":"toolu_2","content":[{"type":"text","text":"12:00"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]},
	  {"content":"rain","tool_use_id":"toolu_1","type":"tool_result","is_error":true},
	  {"type":"tool_result","tool_use_id":"toolu_9"},
	  {"type":"text","text":"And?"},
	  {"type":"image","source":{"type":"url","url":"https://x/y.png"}},
	  {"type":"document","title":"T","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"},"citations":{"enabled":false}},
	  {"type":"document","source":{"type":"text","media_type":"text/plain","data":"plain"}},
	  {"type":"document","source":{"type":"content","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}},
	  {"type":"document","source":{"type":"content","content":"c"}},
	  {"type":"image","source":{"type":"file","file_id":"file_1"}}]},
	 {"role":"system","content":[{"type":"text","text":"Later."}]},
	 {"role":"assistant","content":[]}
	]}`)
	assert.Equal(t, []string{
		`before: text text=Be \"brief\". cache={"type":"ephemeral","ttl":"1h"}`,
		`before: text text=Early.`,
		`user: text text=Hi\n`,
		`assistant: thinking text=hm signature=sig= by anthropic; hidden signature=xyz by gemini; text text=Look; ` +
			`call name=weather id=toolu_1 args={"city":"Bern"} cache={"type":"ephemeral"}; call name=now id=toolu_2 args={} signature=thought by gemini`,
		`results: result name=now id=toolu_2 <text text=12:00> <image media=image/png data=aGk=>; result name=weather id=toolu_1 failed <text text=rain>; result id=toolu_9`,
		`user: text text=And?; image url=https://x/y.png; file media=application/pdf data=JVBE name=T; file text=plain; file text=a\nb; file text=c; image file=file_1`,
		`system: text text=Later.`,
		`assistant:`,
	}, conversation(c))
	assert.Empty(t, c.Unknown)
}

func TestReadSettings(t *testing.T) {
	c := readMust(t, `{"model":"m","max_tokens":99,"stream":true,"temperature":0.5,"top_p":null,"top_k":7,"stop_sequences":["a","\n"],
	"tools":[{"name":"f","description":"does","input_schema":{"type":"object"},"strict":true,"cache_control":{"type":"ephemeral"},"type":"custom","defer_loading":false,"allowed_callers":["direct"]},{"type":null,"name":"g"}],
	"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},
	"thinking":{"type":"enabled","budget_tokens":2048,"display":"omitted"},
	"output_config":{"effort":"max","format":{"type":"json_schema","schema":{"type":"object"}}},
	"metadata":{"user_id":"u-1"},"service_tier":"auto","speed":"standard","container":null,"mcp_servers":[],"inference_geo":null,"messages":[]}`)
	assert.Equal(t, int64(99), c.MaxTokens)
	assert.Equal(t, []string{"0.5", "", "7"}, []string{string(c.Temperature), string(c.TopP), string(c.TopK)})
	assert.Equal(t, []dialect.Written{[]byte("a"), []byte(`\n`)}, c.Stop)
	require.Len(t, c.Tools, 2)
	assert.Equal(t, dialect.Tool{Name: []byte("f"), Description: []byte("does"), Schema: []byte(`{"type":"object"}`), Strict: []byte("true"),
		Cache: []byte(`{"type":"ephemeral"}`)}, c.Tools[0])
	assert.Equal(t, "g", string(c.Tools[1].Name))
	assert.Equal(t, dialect.ChoiceNamed, c.Choice)
	assert.Equal(t, []string{"f", "false"}, []string{string(c.ChoiceName), string(c.Parallel)})
	assert.Equal(t, dialect.ThinkingBudget, c.Thinking)
	assert.Equal(t, int64(2048), c.Budget)
	assert.False(t, c.ShowThinking)
	assert.Equal(t, []string{"max", "u-1", `{"type":"object"}`}, []string{string(c.Effort), string(c.User), string(c.Schema)})
	assert.Equal(t, dialect.FormatSchema, c.Format)
	assert.Empty(t, c.Unknown)

	c = readMust(t, `{"messages":[],"thinking":{"type":"between_tools"},"output_format":{"type":"json_schema","schema":{}},"tool_choice":{"type":"any"}}`)
	assert.Equal(t, dialect.ThinkingOff, c.Thinking)
	assert.Equal(t, []string{"thinking.type"}, c.Unknown)
	assert.Equal(t, dialect.FormatSchema, c.Format)
	assert.Equal(t, dialect.ChoiceAny, c.Choice)

	c = readMust(t, `{"thinking":{"type":"adaptive"},"messages":[],"tool_choice":{"type":"none"}}`)
	assert.True(t, c.ShowThinking && c.Thinking == dialect.ThinkingAdaptive && c.Choice == dialect.ChoiceNone)
}

func TestReadTellsWhatItDoesNotKnow(t *testing.T) {
	c := readMust(t, `{"speed":"fast","service_tier":"standard_only","container":"c_1","context_management":{"edits":[1]},"future":1,"inference_geo":"us","empty":{ },
	"metadata":{"user_id":null,"more":1},"output_config":{"task_budget":{"total":5},"format":{"type":"grammar"}},"diagnostics":{"previous_message_id":"msg_1"},
	"tools":[{"name":"f","eager_input_streaming":true,"input_examples":[{"a":1}],"allowed_callers":["code_execution_20260120"]},{"name":"g","input_examples":[{"a":1}]}],
	"messages":[{"role":"user","content":[{"type":"document","context":"c","citations":{"enabled":true},"source":{"type":"url","url":"u","ttl":3}},
	 {"type":"image","transformations":{"oversized_image":"error"},"source":{"type":"url","url":"u"}}]},
	 {"role":"assistant","id":"x","content":[{"type":"text","text":"t","citations":[{"type":"char_location"}]},{"type":"tool_use","id":"a","name":"b","input":{},"caller":{"type":"code_execution_20260120","tool_id":"x"}}]}]}`)
	assert.ElementsMatch(t, []string{
		"speed", "service_tier", "container", "context_management", "future", "inference_geo", "metadata.more", "output_config.task_budget", "output_config.format", "diagnostics",
		"tools.eager_input_streaming", "tools.input_examples", "tools.allowed_callers", "messages.content.context", "messages.content.citations",
		"messages.content.source.ttl", "messages.content.transformations", "messages.id", "messages.content.caller",
	}, c.Unknown, "each once")
	c = readMust(t, `{"messages":[],`+strings.Repeat(`"a":1,`, 3)+func() (more string) {
		for i := range 3 * unknownMost {
			more += fmt.Sprintf(`"u%d":1,`, i)
		}
		return more
	}()+`"z":1}`)
	assert.Len(t, c.Unknown, unknownMost)
}

func TestReadRefuses(t *testing.T) {
	f := func(want error, body string) {
		t.Helper()
		assert.ErrorIs(t, Codec{}.Read(dialect.OpMessages, []byte(body), new(dialect.Chat)), want, body)
	}
	content := func(role, blocks string) string {
		return `{"messages":[{"role":"` + role + `","content":[` + blocks + `]}]}`
	}
	for _, kind := range []string{"server_tool_use", "web_search_tool_result", "mcp_tool_use", "container_upload", "search_result", "tomorrow"} {
		f(dialect.ErrInexpressible, content("assistant", `{"type":"`+kind+`"}`))
	}
	f(dialect.ErrInexpressible, `{"tools":[{"type":"web_search_20260209","name":"web_search"}]}`)
	f(dialect.ErrInexpressible, `{"tools":[{"type":"bash_20250124","name":"bash"}]}`)
	f(dialect.ErrInexpressible, `{"mcp_servers":[{"url":"x"}]}`)
	f(dialect.ErrInexpressible, `{"container":{"skills":[{"skill_id":"pptx"}]}}`)
	f(dialect.ErrInexpressible, `{"max_tokens":0}`)
	f(dialect.ErrInexpressible, content("user", `{"type":"tool_use","id":"a","name":"b","input":{}}`))
	f(dialect.ErrInexpressible, content("assistant", `{"type":"tool_result","tool_use_id":"a"}`))
	f(dialect.ErrInexpressible, content("user", `{"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"url","url":"u"}}]}}`))
	f(dialect.ErrInexpressible, content("user", `{"type":"tool_result","tool_use_id":"a","content":[{"type":"tool_reference","tool_name":"x"}]}`))
	f(dialect.ErrInexpressible, content("user", `{"type":"image","source":{"type":"tomorrow"}}`))
	f(dialect.ErrInexpressible, `{"system":[{"type":"image"}]}`)
	for _, body := range []string{
		``, `[]`, `{`, `{} x`, `{"messages":{}}`, `{"messages":[1]}`, `{"messages":[{}]}`, `{"messages":[{"role":"tool","content":"x"}]}`, `{"messages":[{"role":"user"}]}`,
		`{"messages":[{"role":"user","content":5}]}`, content("user", `5`), content("user", `{"type":"text"}`), content("user", `{"type":"text","text":5}`),
		content("user", `{"type":"image"}`), content("user", `{"type":"image","source":{"type":"base64"}}`), content("user", `{"type":"tool_result"}`),
		content("assistant", `{"type":"tool_use","id":"a","name":"b","input":"x"}`), content("assistant", `{"type":"redacted_thinking"}`),
		`{"tools":{}}`, `{"tools":[{}]}`, `{"tools":[{"name":"x","input_schema":[]}]}`, `{"tool_choice":{"type":"some"}}`, `{"tool_choice":{"type":"tool"}}`, `{"tool_choice":[]}`,
		`{"thinking":{"type":"deep"}}`, `{"thinking":{"type":"enabled"}}`, `{"temperature":"hot"}`, `{"stop_sequences":"x"}`, `{"stop_sequences":[5]}`, `{"metadata":5}`,
		`{"output_config":{"format":{"type":"json_schema"}}}`, `{"output_config":{"effort":5}}`, `{"system":5}`,
	} {
		f(dialect.ErrMalformed, body)
	}
	assert.ErrorIs(t, Codec{}.Read(dialect.OpChat, []byte(`{}`), new(dialect.Chat)), dialect.ErrInexpressible)
	assert.NoError(t, Codec{}.Read(dialect.OpCountTokens, []byte(`{"messages":[]}`), new(dialect.Chat)))
}

func TestReadUnderstandsEscapedNames(t *testing.T) {
	c := readMust(t, `{"mess\u0061ges":[{"r\u006fle":"us\u0065r","content":[{"type":"t\u0065xt","te\u0078t":"x"},{"type":"image","source":{"type":"\u0075rl","url":"u"}}]}],
	"tools":[{"name":"f","type":"c\u0075stom"}],"tool_choice":{"type":"\u0061ny"}}`)
	assert.Equal(t, []string{"user: text text=x; image url=u"}, conversation(c))
	assert.Equal(t, dialect.ChoiceAny, c.Choice)
}

func TestTheLastOfRepeatedMembersCounts(t *testing.T) {
	c := readMust(t, `{"system":"a","messages":[{"role":"user","content":"a"}],"tools":[{"name":"a"}],"stop_sequences":["a"],"system":"b","messages":[{"role":"user","content":"b"}],"tools":[{"name":"b"}],"stop_sequences":["b"]}`)
	assert.Equal(t, []string{"before: text text=b", "user: text text=b"}, conversation(c))
	assert.Len(t, c.Tools, 1)
	assert.Len(t, c.Stop, 1)
}

func TestTheRequestsOwnCacheMarkIsThePromptsEnd(t *testing.T) {
	c := readMust(t, `{"cache_control":{"type":"ephemeral"},"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"},{"type":"thinking","thinking":"c","signature":"s"}]}]}`)
	assert.Equal(t, []string{"user: text text=a", `assistant: text text=b cache={"type":"ephemeral"}; thinking text=c signature=s by anthropic`}, conversation(c))
	c = readMust(t, `{"cache_control":{"type":"ephemeral"},"system":"s","messages":[]}`)
	assert.Equal(t, []string{`before: text text=s cache={"type":"ephemeral"}`}, conversation(c))
}
