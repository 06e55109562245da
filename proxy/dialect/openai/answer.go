package openai

import (
	"fmt"
	"strconv"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// AppendAnswer implements dialect.Prompts. The answer used no tokens.
func (Codec) AppendAnswer(dst []byte, op dialect.Op, id, model string, created int64, text []byte) ([]byte, error) {
	switch op {
	case dialect.OpChat:
		dst = appendAnswerHead(dst, id, "chat.completion", `","created":`, created, model)
		dst = jsonscan.AppendString(append(dst, `,"choices":[{"index":0,"message":{"role":"assistant","content":`...), text)
		dst = append(dst, `,"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":`...)
		return append(dst, `{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`...), nil
	case dialect.OpCompletions:
		dst = appendAnswerHead(dst, id, "text_completion", `","created":`, created, model)
		dst = jsonscan.AppendString(append(dst, `,"choices":[{"index":0,"text":`...), text)
		dst = append(dst, `,"logprobs":null,"finish_reason":"stop"}],"usage":`...)
		return append(dst, `{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`...), nil
	case dialect.OpResponses:
		dst = appendAnswerHead(dst, id, "response", `","created_at":`, created, model)
		dst = append(dst, `,"status":"completed","error":null,"incomplete_details":null,"instructions":null,"metadata":{},"output":[`...)
		dst = appendQuoted(append(dst, `{"id":`...), "msg_"+id)
		dst = append(dst, `,"type":"message","status":"completed","role":"assistant","content":[`...)
		dst = append(jsonscan.AppendString(append(dst, partHead...), text), "}]}]"...)
		dst = append(dst, `,"parallel_tool_calls":true,"temperature":null,"tool_choice":"auto","tools":[],"top_p":null,"usage":`...)
		return append(dst, `{"input_tokens":0,"input_tokens_details":{"cached_tokens":0},"output_tokens":0,`+
			`"output_tokens_details":{"reasoning_tokens":0},"total_tokens":0}}`...), nil
	}
	return dst, fmt.Errorf("cannot answer a request of the operation %s with a text: %w", op, dialect.ErrNoPlace)
}

// partHead is a part of a response's message, up to its text.
const partHead = `{"type":"output_text","annotations":[],"logprobs":[],"text":`

func appendAnswerHead(dst []byte, id, object, createdName string, created int64, model string) []byte {
	dst = appendQuoted(append(dst, `{"id":`...), id)
	dst = append(append(append(dst, `,"object":"`...), object...), createdName...)
	dst = strconv.AppendInt(dst, created, 10)
	return appendQuoted(append(dst, `,"model":`...), model)
}
