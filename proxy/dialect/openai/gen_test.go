package openai

import (
	"pgregory.net/rapid"
)

// The generators draw whole answers with all the members that OpenAI documents and some that it does not.

var (
	text  = rapid.String()
	token = rapid.Custom(func(t *rapid.T) any {
		return map[string]any{"token": text.Draw(t, "token"), "logprob": rapid.Float64Range(-20, 0).Draw(t, "logprob"), "bytes": []int{1, 2}, "top_logprobs": []any{}}
	})
	anything = rapid.Custom(func(t *rapid.T) any {
		return rapid.OneOf(
			rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.Int64(), func(n int64) any { return n }),
			rapid.Map(rapid.Bool(), func(b bool) any { return b }), rapid.Just[any](nil),
			rapid.Map(rapid.SliceOfN(text, 0, 3), func(s []string) any { return s }),
			rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"index", "type", "é", "a b"}), text, 0, 3), func(m map[string]string) any { return m }),
		).Draw(t, "anything")
	})
	usage = rapid.Custom(func(t *rapid.T) any {
		in, out := rapid.IntRange(0, 1e6).Draw(t, "in"), rapid.IntRange(0, 1e6).Draw(t, "out")
		return map[string]any{"prompt_tokens": in, "completion_tokens": out, "total_tokens": in + out}
	})
	toolCall = rapid.Custom(func(t *rapid.T) any {
		id := rapid.StringMatching(`call_[a-z]{8}`).Draw(t, "id")
		if rapid.Bool().Draw(t, "custom") {
			return map[string]any{"id": id, "type": "custom", "custom": map[string]any{"name": "c", "input": text.Draw(t, "input")}}
		}
		return map[string]any{"id": id, "type": "function", "function": map[string]any{"name": "f", "arguments": text.Draw(t, "arguments")}}
	})
)

// maybe adds a member, or leaves it out.
func maybe[V any](t *rapid.T, m map[string]any, key string, gen *rapid.Generator[V]) {
	if rapid.Bool().Draw(t, "has "+key) {
		m[key] = gen.Draw(t, key)
	}
}

func envelope(t *rapid.T, choice *rapid.Generator[map[string]any]) map[string]any {
	choices := rapid.SliceOfN(choice, 1, 3).Draw(t, "choices")
	for i := range choices {
		choices[i]["index"] = i
	}
	m := map[string]any{"id": "x-1", "created": rapid.Int64().Draw(t, "created"), "model": text.Draw(t, "model"), "choices": choices}
	maybe(t, m, "usage", usage)
	maybe(t, m, "service_tier", rapid.Just("default"))
	maybe(t, m, "x_unknown", anything)
	return m
}

var chatAnswers = rapid.Custom(func(t *rapid.T) map[string]any {
	m := envelope(t, rapid.Custom(func(t *rapid.T) map[string]any {
		message := map[string]any{"role": "assistant", "content": nil}
		maybe(t, message, "content", text)
		maybe(t, message, "refusal", text)
		maybe(t, message, "reasoning_content", text)
		maybe(t, message, "tool_calls", rapid.SliceOfN(toolCall, 0, 3))
		maybe(t, message, "function_call", rapid.Just(map[string]any{"name": "f", "arguments": "{}"}))
		maybe(t, message, "audio", rapid.Just(map[string]any{"id": "a", "data": "AAAA", "transcript": "t", "expires_at": 5}))
		maybe(t, message, "annotations", rapid.SliceOfN(anything, 0, 2))
		maybe(t, message, "x_unknown", anything)
		choice := map[string]any{"message": message, "finish_reason": "stop"}
		maybe(t, choice, "logprobs", rapid.Map(rapid.SliceOfN(token, 1, 3), func(ts []any) any { return map[string]any{"content": ts, "refusal": nil} }))
		maybe(t, choice, "x_unknown", anything)
		return choice
	}))
	m["object"] = "chat.completion"
	return m
})

var textAnswers = rapid.Custom(func(t *rapid.T) map[string]any {
	m := envelope(t, rapid.Custom(func(t *rapid.T) map[string]any {
		choice := map[string]any{"text": text.Draw(t, "text"), "finish_reason": "length"}
		maybe(t, choice, "logprobs", rapid.Just(map[string]any{"tokens": []string{"a"}, "token_logprobs": []float64{-1}, "text_offset": []int{0}}))
		return choice
	}))
	m["object"] = "text_completion"
	return m
})

var typedAnswers = rapid.Custom(func(t *rapid.T) map[string]any {
	part := rapid.Custom(func(t *rapid.T) any {
		if rapid.Bool().Draw(t, "refusal") {
			return map[string]any{"type": "refusal", "refusal": text.Draw(t, "text")}
		}
		p := map[string]any{"type": "output_text", "text": text.Draw(t, "text"), "annotations": []any{map[string]any{"type": "url_citation", "url": "u"}}}
		maybe(t, p, "logprobs", rapid.SliceOfN(token, 0, 2))
		return p
	})
	item := rapid.Custom(func(t *rapid.T) any {
		kind := rapid.SampledFrom([]string{"message", "reasoning", "function_call", "custom_tool_call", "web_search_call", "x_unknown"}).Draw(t, "type")
		m := map[string]any{"type": kind, "id": "i_1", "status": "completed"}
		switch kind {
		case "message":
			m["role"], m["content"] = "assistant", rapid.SliceOfN(part, 0, 3).Draw(t, "content")
		case "reasoning":
			m["summary"] = []any{map[string]any{"type": "summary_text", "text": text.Draw(t, "summary")}}
			m["content"] = []any{map[string]any{"type": "reasoning_text", "text": text.Draw(t, "reasoning")}}
			m["encrypted_content"] = "gAAA"
		case "function_call":
			m["call_id"], m["name"], m["arguments"] = "c", "f", text.Draw(t, "arguments")
		case "custom_tool_call":
			m["call_id"], m["name"], m["input"] = "c", "f", text.Draw(t, "input")
		default:
			m["x"] = anything.Draw(t, "x")
		}
		return m
	})
	m := map[string]any{"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "error": nil, "tools": []any{}}
	m["status"] = rapid.SampledFrom([]string{"completed", "incomplete"}).Draw(t, "status")
	m["output"] = rapid.SliceOfN(item, 0, 3).Draw(t, "output")
	maybe(t, m, "usage", rapid.Just(map[string]any{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}))
	maybe(t, m, "x_unknown", anything)
	return m
})
