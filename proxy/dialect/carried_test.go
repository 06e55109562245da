package dialect

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAppendOwn(t *testing.T) {
	for _, c := range []struct {
		op         Op
		google     bool
		body, want string // "": nothing to take out
	}{
		{OpMessages, false, `{"a": 1,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"gemini:abc"},{"type":"text","text":"y"}]}]}`,
			`{"a":1,"messages":[{"role":"assistant","content":[{"type":"text","text":"y"}]}]}`},
		{OpMessages, false, `{"messages":[{"content":[{"type":"text","text":"y"} , {"type":"redacted_thinking", "data" : "openai:abc"}], "role":"assistant"} ], "z":[ 1, 2 ]}`,
			`{"messages":[{"content":[{"type":"text","text":"y"}],"role":"assistant"}],"z":[ 1, 2 ]}`},
		{OpMessages, false, `{"messages":[{"content":[{"type":"thinking","signature":"EqoBabc"}]}]}`, ""},
		{OpMessages, false, `{"messages":[{"content":[{"type":"thinking","signature":""},{"type":"tool_use","input":{"signature":""}}]}]}`, `{"messages":[{"content":[{"type":"tool_use","input":{"signature":""}}]}]}`},
		{OpMessages, false, `{"messages":[{"role":"user","content":"gemini: are you there?"}]}`, ""},
		{OpMessages, false, `{"messages":[{"content":[{"type":"tool_use","input":{"data":"openai:q","signature":"gemini:x"}}]}]}`, ""},
		{OpChat, false, `{"messages":[{"role":"assistant","content":"x","extra_content":{"google":{}},"tool_calls":[{"id":"1","extra_content":{"google":{"thought_signature":"s"}}}]}],"logit_bias":{}}`,
			`{"messages":[{"role":"assistant","content":"x","tool_calls":[{"id":"1"}]}],"logit_bias":{}}`},
		{OpChat, true, `{"messages":[{"extra_content":{"google":{}},"tool_calls":[{"extra_content":{"google":{"thought_signature":"s"}}}]}]}`, ""},
		{OpChat, true, `{"messages":[{"extra_\u0063ontent":{"anthropic":{}},"content":"x"}]}`, `{"messages":[{"content":"x"}]}`},
		{OpChat, false, `{"tools":[{"function":{"parameters":{"properties":{"extra_content":{}}}}}],"messages":[{"content":"\"extra_content\""}]}`, ""},
		{OpResponses, false, `{"input":[{"type":"reasoning","encrypted_content":"anthropic:x"},{"type":"function_call","extra_content":{"google":{}}},{"type":"reasoning","encrypted_content":"x"}],"tools":[{"type":"web_search"}]}`,
			`{"input":[{"type":"function_call"},{"type":"reasoning","encrypted_content":"x"}],"tools":[{"type":"web_search"}]}`},
		{OpResponses, false, `{"input":"anthropic: hi"}`, ""},
		{OpGenerate, false, `{"contents":[{"parts":[{"text":"x","thought":true,"thoughtSignature":"YW50aHJvcGljOng="},{"functionCall":{},"thought_signature":"b3BlbmFpOng="}]}]}`,
			`{"contents":[{"parts":[{"functionCall":{}}]}]}`},
		{OpGenerate, false, `{"contents":[{"parts":[{"text":"x","thoughtSignature":"c2lnbmVk"}]},1,{"parts":[2]}]}`, ""},
	} {
		out, cut := AppendOwn([]byte("kept")[:4], c.op, []byte(c.body), c.google)
		assert.Equal(t, c.want != "", cut, c.body)
		assert.Equal(t, "kept"+c.want, string(out), c.body)
		assert.True(t, !cut || MayCarry(c.op, []byte(c.body)) || json.Valid(out[4:]), c.body)
	}
}

func FuzzAppendOwn(f *testing.F) {
	f.Add(uint8(OpChat), []byte(`{"messages":[{"extra_content":{},"tool_calls":[{"extra_content":{}}]}]}`))
	f.Add(uint8(OpMessages), []byte(`{"messages":[{"content":[{"type":"thinking","signature":"gemini:"}]}]}`))
	f.Add(uint8(OpGenerate), []byte(`{"contents":[{"parts":[{"thought":true,"thoughtSignature":"b3BlbmFpO"}]}]}`))
	f.Fuzz(func(t *testing.T, op uint8, body []byte) {
		var object map[string]json.RawMessage
		if json.Unmarshal(body, &object) != nil || object == nil || op >= uint8(Ops) {
			return
		}
		out, cut := AppendOwn(nil, Op(op), body, false)
		assert.True(t, !cut || json.Valid(out), "%q: %q", body, out)
		again, cut := AppendOwn(nil, Op(op), out, false)
		assert.True(t, !cut, "%q: %q", out, again)
	})
}
