package openai

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestForeignAnswersAreWritten(t *testing.T) {
	w := func(s string) dialect.Written { return dialect.Written(s) }
	r := dialect.Reply{
		ID: w("msg_1"), Model: w("claude"), Usage: dialect.Usage{Known: true, Input: 10, Output: 5, Cached: 4, CacheWrite: 3},
		Answers: []dialect.Answer{{To: 6, Finish: dialect.FinishCalls}},
		Parts: []dialect.Part{
			{Kind: dialect.PartThinking, Text: w("hm"), Signature: w("s"), Signer: dialect.Anthropic}, {Kind: dialect.PartHidden, Signature: w("d"), Signer: dialect.Anthropic},
			{Kind: dialect.PartText, Text: w("a")}, {Kind: dialect.PartText, Text: w("b")},
			{Kind: dialect.PartCall, ID: w("toolu_1"), Name: w("f"), Args: dialect.Raw(`{ "x": "é\n" }`)},
			{Kind: dialect.PartCall, Name: w("g"), Signature: w("g1"), Signer: dialect.Gemini},
		},
	}
	out, err := Codec{}.AppendReply(nil, dialect.OpChat, &r)
	require.NoError(t, err)
	assert.Equal(t, `{"id":"chatcmpl-msg_1","object":"chat.completion","created":0,"model":"claude","choices":[{"index":0,"message":{"role":"assistant","content":"ab","refusal":null,`+
		`"reasoning_content":"hm","extra_content":{"anthropic":{"thinking":[{"thinking":"hm","signature":"s"},{"data":"d"}]}},"tool_calls":[`+
		`{"id":"toolu_1","type":"function","function":{"name":"f","arguments":"{\"x\":\"é\\n\"}"}},`+
		`{"id":"call_msg_1_1","type":"function","function":{"name":"g","arguments":"{}"},"extra_content":{"google":{"thought_signature":"g1"}}}]},"logprobs":null,"finish_reason":"tool_calls"}],`+
		`"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3},"completion_tokens_details":{"reasoning_tokens":0}}}`, string(out))
	out, err = Codec{}.AppendReply(nil, dialect.OpCompletions, &r)
	require.NoError(t, err)
	assert.Equal(t, `{"id":"cmpl-msg_1","object":"text_completion","created":0,"model":"claude","choices":[{"index":0,"text":"ab","logprobs":null,"finish_reason":"stop"}],`+
		`"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3},"completion_tokens_details":{"reasoning_tokens":0}}}`, string(out))
	_, err = Codec{}.AppendReply(nil, dialect.OpEmbeddings, &r)
	assert.ErrorIs(t, err, dialect.ErrInexpressible)
}

func TestFinishReasons(t *testing.T) {
	for choice, want := range map[string]dialect.Finish{
		`{"message":{"content":"a"},"finish_reason":"stop"}`: dialect.FinishStop, `{"message":{"content":"a"},"finish_reason":"length"}`: dialect.FinishLength,
		`{"message":{"content":"a"},"finish_reason":"content_filter"}`: dialect.FinishFilter, `{"message":{"content":"a"},"finish_reason":null}`: dialect.FinishUnsaid,
		`{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}`: dialect.FinishCalls,
		`{"message":{"function_call":{"name":"f","arguments":"{}"}},"finish_reason":"function_call"}`:             dialect.FinishCalls,
		`{"message":{"refusal":"no"},"finish_reason":"stop"}`:                                                     dialect.FinishRefusal,
		`{"message":{"content":"a"},"finish_reason":"stop","stop_reason":"END"}`:                                  dialect.FinishSequence,
		`{"message":{"content":"a"},"finish_reason":"eos"}`:                                                       dialect.FinishStop,
	} {
		var r dialect.Reply
		require.NoError(t, Codec{}.ReadReply(dialect.OpChat, []byte(`{"id":"i","choices":[`+choice+`]}`), &r))
		assert.Equal(t, want, r.Answers[0].Finish, choice)
		streamed := `{"id":"i","choices":[` + strings.Replace(choice, `"message"`, `"delta"`, 1) + `]}`
		var st dialect.Reading
		events, err := Codec{}.ReadEvent(dialect.OpChat, &st, nil, []byte(streamed), nil)
		require.NoError(t, err)
		events, err = Codec{}.ReadEvent(dialect.OpChat, &st, nil, nil, events)
		require.NoError(t, err)
		assert.Equal(t, want, events[len(events)-2].Finish, streamed)
		assert.Equal(t, r.Answers[0].Sequence, events[len(events)-2].Sequence)
	}
	for finish, want := range map[dialect.Finish]string{
		dialect.FinishUnsaid: "stop", dialect.FinishStop: "stop", dialect.FinishSequence: "stop", dialect.FinishPause: "stop", dialect.FinishLength: "length",
		dialect.FinishCalls: "tool_calls", dialect.FinishFilter: "content_filter", dialect.FinishRefusal: "content_filter",
	} {
		assert.Equal(t, want, reasonOf(finish, false))
	}
}

func TestAnswersOfServers(t *testing.T) {
	var r dialect.Reply
	require.NoError(t, Codec{}.ReadReply(dialect.OpChat, []byte(`{"id":"i","choices":[{"message":{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"},{"type":"reference"}],
	  "annotations":[{}],"audio":{"id":"x","data":"AA==","transcript":"said"},"tool_calls":[{"type":"custom","custom":{}},{"function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop","x":1}],"system_fingerprint":"fp","prompt_logprobs":null,"y":1}`), &r))
	kinds := []dialect.PartKind{}
	for _, p := range r.Parts {
		kinds = append(kinds, p.Kind)
	}
	assert.Equal(t, []dialect.PartKind{dialect.PartThinking, dialect.PartText, dialect.PartText, dialect.PartAudio, dialect.PartCall}, kinds)
	assert.Equal(t, "call_i_0", string(r.Parts[4].ID))
	assert.ElementsMatch(t, []string{"choices.message.content", "choices.message.annotations", "choices.message.tool_calls", "choices.x", "y"}, r.Lost)
}

// chunk is an event of a server, in the words of the test.
func readAll(t *testing.T, chunks ...string) (events []dialect.Event) {
	var st dialect.Reading
	for _, data := range append(chunks, "") {
		b := []byte(data)
		if data == "" {
			b = nil
		}
		var err error
		events, err = Codec{}.ReadEvent(dialect.OpChat, &st, nil, b, events)
		require.NoError(t, err)
		for i := range events {
			events[i].ID, events[i].Text = dialect.Written(string(events[i].ID)), dialect.Written(string(events[i].Text))
		}
	}
	return events
}

// told are the kinds of events and what they say, one a line.
func told(events []dialect.Event) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString([...]string{"start", "text", "refusal", "thinking", "signature", "hidden", "call", "args", "logprobs", "media", "finish", "usage", "end"}[e.Kind])
		for _, s := range [][]byte{e.ID, e.Name, e.Text, e.Signature, e.Media} {
			if len(s) > 0 {
				b.WriteString(" " + string(s))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestStreamsOfServers(t *testing.T) {
	for name, test := range map[string]struct {
		chunks []string
		want   string
	}{
		"Azure begins with nothing": {[]string{
			`{"choices":[],"id":"","model":"","prompt_filter_results":[{}]}`, `{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"id":"i"}`,
			`{"choices":[{"index":0,"delta":{"content":"a"}}],"id":"i"}`, `{"choices":[{"index":0,"delta":{"content":"b"}}],"id":"i"}`, `{"choices":[{"index":0,"delta":{"content":"\n"}}],"id":"i"}`,
			`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"id":"i"}`, `{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}`, `[DONE]`,
		}, "start i\ntext a\ntext b\ntext \\n\nfinish\nusage\nend\n"},
		"Google's calls come whole and without index": {[]string{
			`{"id":"i","choices":[{"index":0,"delta":{"role":"assistant","content":"hi","extra_content":{"google":{"thought_signature":"g0"}}}}]}`,
			`{"id":"i","choices":[{"index":0,"delta":{"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"g"}}},{"id":"b","type":"function","function":{"name":"h","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`,
		}, "start i\ntext hi\nhidden g0\ncall a f\nargs {}\nsignature g\ncall b h\nargs {}\nfinish\nend\n"},
		"reasoning under two names, calls by pieces": {[]string{
			`{"id":"i","choices":[{"index":0,"delta":{"reasoning":"r","reasoning_content":"r"}}]}`, `{"id":"i","choices":[{"index":0,"delta":{"reasoning":"s"}}]}`,
			`{"id":"i","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}}]}`,
			`{"id":"i","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\""}}]}}]}`, `{"id":"i","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"x"}}]}}]}`,
			`{"id":"i","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"type":"custom","custom":{"name":"c"}},{"index":2,"function":{"name":"g","arguments":{"a":"b"}}}]}}]}`,
		}, "start i\nthinking r\nthinking s\ncall a f\nargs {\\\"\nargs x\ncall call_i_1 g\nargs {\\\"a\\\":\\\"b\\\"}\nfinish\nend\n"},
		"the old form of calls": {[]string{
			`{"id":"i","choices":[{"index":0,"delta":{"function_call":{"name":"f","arguments":""}}}]}`, `{"id":"i","choices":[{"index":0,"delta":{"function_call":{"arguments":"{}"}}}]}`,
		}, "start i\ncall call_i_0 f\nargs {}\nfinish\nend\n"},
		"Mistral's lists": {[]string{
			`{"id":"i","choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]}`, `{"id":"i","choices":[{"index":0,"delta":{"content":"a"}}]}`,
		}, "start i\nthinking hm\ntext a\nfinish\nend\n"},
		"nothing": {nil, "start\nend\n"},
	} {
		assert.Equal(t, test.want, told(readAll(t, test.chunks...)), name)
	}
}

func TestHostileStreamsAreBounded(t *testing.T) {
	var many, calls []byte
	for i := range most + 1 {
		many = append(many, `,{"index":`...)
		many = append(append(many, strings.Repeat("1", 1+i%4)...), []byte{byte('0' + i/100), byte('0' + i/10%10), byte('0' + i%10), '}'}...)
		calls = append(calls, `,{"id":"a`...)
		calls = append(append(calls, strings.Repeat("b", i)...), `","function":{"name":"f"}}`...)
	}
	var st dialect.Reading
	_, err := Codec{}.ReadEvent(dialect.OpChat, &st, nil, []byte(`{"choices":[`+string(many[1:])+`]}`), nil)
	assert.ErrorIs(t, err, dialect.ErrMalformed)
	st.Reset()
	_, err = Codec{}.ReadEvent(dialect.OpChat, &st, nil, []byte(`{"choices":[{"delta":{"tool_calls":[`+string(calls[1:])+`]}}]}`), nil)
	assert.ErrorIs(t, err, dialect.ErrMalformed)
}

func TestCompletionsStreamsAreWritten(t *testing.T) {
	w := func(s string) dialect.Written { return dialect.Written(s) }
	out := streamOf(t, dialect.OpCompletions, []dialect.Event{
		{Kind: dialect.EventStart, ID: w("x"), Model: w("m"), Created: 5}, {Kind: dialect.EventThinking, Text: w("hm")}, {Kind: dialect.EventText, Text: w("a")},
		{Kind: dialect.EventFinish, Finish: dialect.FinishLength}, {Kind: dialect.EventUsage, Usage: dialect.Usage{Known: true, Input: 1, Output: 2}}, {Kind: dialect.EventEnd},
	})
	const head = `data: {"id":"cmpl-x","object":"text_completion","created":5,"model":"m","choices":[`
	assert.Equal(t, head+`{"index":0,"text":"a","logprobs":null,"finish_reason":null}]}`+"\n\n"+head+`{"index":0,"text":"","logprobs":null,"finish_reason":"length"}]}`+"\n\n"+
		head+`],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}`+"\n\ndata: [DONE]\n\n", string(out))
	assert.Equal(t, "start cmpl-x\ntext a\nfinish\nusage\nend\n", told(readBack(t, dialect.OpCompletions, out)))
}

func TestEmbeddings(t *testing.T) {
	var e dialect.Embedding
	require.NoError(t, Codec{}.ReadEmbedding(dialect.OpEmbeddings, []byte(`{"model":"m","input":["a","b\n"],"dimensions":8,"encoding_format":"base64","user":"u","input_type":"query","x":null}`), &e))
	assert.Equal(t, []string{"input_type"}, e.Unknown)
	e.TaskType = dialect.Written("x")
	out, left, err := Codec{}.AppendEmbedding(nil, &e, "m2")
	require.NoError(t, err)
	assert.Equal(t, `{"model":"m2","input":["a","b\n"],"dimensions":8,"encoding_format":"base64","user":"u"}`, string(out))
	assert.True(t, left.Has(dialect.FieldTaskType) && !left.Has(dialect.FieldTitle))
	for _, body := range []string{`{"input":[1,2]}`, `{"input":[[1]]}`, `{"input":[]}`, `{}`, `{"input":5}`} {
		assert.ErrorIs(t, Codec{}.ReadEmbedding(dialect.OpEmbeddings, []byte(body), &e), dialect.ErrInexpressible, body)
	}
	assert.ErrorIs(t, Codec{}.ReadEmbedding(dialect.OpEmbeddings, []byte(`{`), &e), dialect.ErrMalformed)
	assert.ErrorIs(t, Codec{}.ReadEmbedding(dialect.OpChat, []byte(`{"input":"a"}`), &e), dialect.ErrInexpressible)
}

func TestVectorsTakeBothForms(t *testing.T) {
	var v dialect.Vectors
	const numbers, text = `[0.25,-1.5]`, `"AACAPgAAwL8="`
	body := `{"object":"list","data":[{"index":1,"embedding":` + strings.ReplaceAll(text, "/", `\/`) + `},{"index":0,"embedding":[0.25, -1.5]}],"model":"m","usage":{"prompt_tokens":7,"total_tokens":7}}`
	require.NoError(t, Codec{}.ReadVectors(dialect.OpEmbeddings, []byte(body), &v))
	for base64, want := range map[bool]string{false: numbers, true: text} {
		out, err := Codec{}.AppendVectors(nil, dialect.OpEmbeddings, &v, &dialect.Embedding{Base64: base64}, "m")
		require.NoError(t, err)
		assert.Equal(t, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":`+want+`},{"object":"embedding","index":1,"embedding":`+want+`}],"model":"m","usage":{"prompt_tokens":7,"total_tokens":7}}`, string(out))
	}
	for _, body := range []string{`{"data":[{"index":1,"embedding":[1]}]}`, `{"data":[{"embedding":5}]}`, `{"data":5}`, `{`} {
		assert.ErrorIs(t, Codec{}.ReadVectors(dialect.OpEmbeddings, []byte(body), &v), dialect.ErrMalformed, body)
	}
	for _, item := range []string{`"A"`, `"AACAfw=="`, `["a"]`, `[1e99]`} {
		asked := &dialect.Embedding{Base64: item[0] == '['}
		_, err := Codec{}.AppendVectors(nil, dialect.OpEmbeddings, &dialect.Vectors{Items: []dialect.Raw{dialect.Raw(item)}}, asked, "m")
		assert.ErrorIs(t, err, dialect.ErrMalformed, item)
	}
}

func TestPaths(t *testing.T) {
	c := Codec{}
	for op, want := range map[dialect.Op]string{dialect.OpChat: "/v1/chat/completions", dialect.OpResponses: "/v1/responses", dialect.OpCompletions: "/v1/completions", dialect.OpEmbeddings: "/v1/embeddings"} {
		assert.Equal(t, want, string(c.AppendPath([]byte("/v1"), op, "m", true)))
	}
	for _, test := range []struct {
		op        dialect.Op
		key, want string
	}{
		{dialect.OpChat, "max_output_tokens", "max_tokens"}, {dialect.OpChat, "max_completion_tokens", "max_completion_tokens"}, {dialect.OpResponses, "max_tokens", "max_output_tokens"},
		{dialect.OpCompletions, "max_completion_tokens", "max_tokens"}, {dialect.OpEmbeddings, "max_tokens", ""}, {dialect.OpEmbeddings, "temperature", "temperature"},
	} {
		name, value := c.Param(test.op, test.key, dialect.Raw("5"))
		assert.Equal(t, []string{test.want, "5"}, []string{name, string(value)}, "%+v", test)
	}
	assert.Equal(t, `{"object":"list","data":[{"id":"a\"b","object":"model","created":5,"owned_by":"wedge"},{"id":"c","object":"model","created":5,"owned_by":"wedge"}]}`,
		string(c.AppendModels(nil, []string{`a"b`, "c"}, 5)))
	assert.Equal(t, `{"object":"list","data":[]}`, string(c.AppendModels(nil, nil, 5)))
	assert.Equal(t, `{"object":"response.input_tokens","input_tokens":7}`, string(c.AppendCount(nil, dialect.OpResponses, 7)))
}

func TestErrorsAreRead(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		want   dialect.Refusal
	}{
		{429, `{"error":{"message":"You ran \"out\"","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, dialect.Refusal{Message: `You ran "out"`, Broke: true}},
		{429, `{"error":{"message":"Rate limit reached. Please try again in 1m2.5s. Visit …","type":"tokens","code":"rate_limit_exceeded"}}`, dialect.Refusal{Message: "Rate limit reached. Please try again in 1m2.5s. Visit …", RetryAfter: 62500 * time.Millisecond}},
		{429, `{"error":{"message":"m","type":"insufficient_quota","code":"project_spend_limit_exceeded"}}`, dialect.Refusal{Message: "m", Broke: true}},
		{429, `{"error":{"message":"m","code":"credit_balance_exhausted"}}`, dialect.Refusal{Message: "m", Broke: true}},
		{400, `{"error":{"code":"billing_hard_limit_reached","message":"m"}}`, dialect.Refusal{Message: "m", Broke: true}},
		{401, `{"error":{"code":"account_deactivated","message":"m"}}`, dialect.Refusal{Message: "m", Broke: true}},
		{402, `{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}`, dialect.Refusal{Message: "Insufficient Balance", Broke: true}},
		{402, `{"error":{"code":402,"message":"m","type":"in_flight_budget_exhausted"}}`, dialect.Refusal{Message: "m"}},
		{402, `<html>`, dialect.Refusal{Broke: true}},
		{400, `{"object":"error","message":"too long","type":"BadRequestError","code":400}`, dialect.Refusal{Message: "too long"}},
		{404, `{"error":"model 'x' not found"}`, dialect.Refusal{Message: "model 'x' not found"}},
		{422, `{"detail":[{"loc":["body","n"],"msg":"field required"},{"msg":"b"}]}`, dialect.Refusal{Message: "field required"}},
		{429, `[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}]}}]`, dialect.Refusal{Message: "Quota exceeded", RetryAfter: 34 * time.Second}},
		{500, ``, dialect.Refusal{}}, {500, `null`, dialect.Refusal{}}, {500, `{"error":`, dialect.Refusal{}}, {502, `Bad Gateway`, dialect.Refusal{}}, {429, `{"error":{"message":"try again in soon"}}`, dialect.Refusal{Message: "try again in soon"}},
		{500, `{"error":{"message":"` + strings.Repeat("é", 600) + `"}}`, dialect.Refusal{Message: strings.Repeat("é", 500)}},
	} {
		assert.Equal(t, test.want, Codec{}.ReadError(test.status, []byte(test.body)), "%.200s", test.body)
	}
}

func TestUsageInDetail(t *testing.T) {
	var r dialect.Reply
	body := `{"choices":[{}],"usage":{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":5,"cache_write_tokens":4,"audio_tokens":3,"image_tokens":2,"text_tokens":15},"completion_tokens_details":{"reasoning_tokens":6,"audio_tokens":1,"image_tokens":2}}}`
	require.NoError(t, Codec{}.ReadReply(dialect.OpChat, []byte(body), &r))
	assert.Equal(t, dialect.Usage{Known: true, Input: 20, Output: 9, Cached: 5, CacheWrite: 4, AudioInput: 3, ImageInput: 2, Reasoning: 6, AudioOutput: 1, ImageOutput: 2}, r.Usage)
	require.NoError(t, Codec{}.ReadReply(dialect.OpChat, []byte(`{"choices":[{}],"usage":{"prompt_tokens":3,"cached_tokens":9,"prompt_tokens_details":{"cache_write_tokens":7}}}`), &r))
	assert.Equal(t, dialect.Usage{Known: true, Input: 3, Cached: 3}, r.Usage)
}

// Some servers give every call of a turn the index 0, and an id of its own.
func TestCallsOfOneIndex(t *testing.T) {
	events := readAll(t,
		`{"id":"i","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"z\":"}}]}}]}`,
		`{"id":"i","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}`,
		`{"id":"i","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}]}}]}`,
		`{"id":"i","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":""}}]}}]}`)
	var calls, args []string
	for _, e := range events {
		switch e.Kind {
		case dialect.EventCall:
			calls, args = append(calls, string(e.ID)), append(args, "")
		case dialect.EventArgs:
			args[e.Call] += string(e.Text)
		}
	}
	assert.Equal(t, []string{"a", "b"}, calls)
	assert.Equal(t, []string{`{\"z\":1}`, `{}`}, args)
}

func TestMembersThatAreNotUnderstoodAreNamed(t *testing.T) {
	for _, c := range []struct {
		op   dialect.Op
		body string
		want []string
	}{
		{dialect.OpChat, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/a.png","detail":"low","crop":[1],"none":null}}]}]}`,
			[]string{"messages.content.image_url.crop"}},
		{dialect.OpChat, `{"messages":[{"role":"user","content":[{"type":"video_url","video_url":{"url":"https://x/a.mp4","fps":2}}]}]}`,
			[]string{"messages.content.video_url.fps"}},
		{dialect.OpChat, `{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav","rate":1}}]}]}`,
			[]string{"messages.content.input_audio.rate"}},
		{dialect.OpChat, `{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}","lang":"go"}}]},{"role":"tool","tool_call_id":"a","content":"1"}]}`,
			[]string{"messages.tool_calls.function.lang"}},
		{dialect.OpChat, `{"messages":[{"role":"user","content":"x"},{"role":"assistant","function_call":{"name":"f","arguments":"{}","lang":"go"}},{"role":"function","name":"f","content":"1"}]}`,
			[]string{"messages.function_call.lang"}},
		{dialect.OpChat, `{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f","hard":true}}}`,
			[]string{"tool_choice.function.hard"}},
		{dialect.OpResponses, `{"input":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav","rate":1}}]}],"store":false}`,
			[]string{"input.content.input_audio.rate"}},
	} {
		var chat dialect.Chat
		require.NoError(t, Codec{}.Read(c.op, []byte(c.body), &chat), c.body)
		assert.Equal(t, c.want, chat.Unknown, c.body)
	}
}
