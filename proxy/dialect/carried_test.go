package dialect

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCarries(t *testing.T) {
	for _, c := range []struct {
		op   Op
		body string
		want bool
	}{
		{OpMessages, `{"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"gemini:abc"}]}]}`, true},
		{OpMessages, `{"content":[{"type":"redacted_thinking", "data" : "openai:abc"}]}`, true},
		{OpMessages, `{"content":[{"type":"thinking","signature":"EqoBabc"}]}`, false},
		{OpMessages, `{"messages":[{"role":"user","content":"gemini: are you there?"}]}`, false},
		{OpMessages, `{"stop":["gemini:","openai:"],"x":"signature","y":["signature","gemini:"]}`, false},
		{OpChat, `{"messages":[{"role":"assistant","content":"x","extra_content":{"google":{}}}]}`, true},
		{OpChat, `{"messages":[{"role":"user","content":"\"extra_content\""}]}`, false},
		{OpResponses, `{"input":[{"type":"reasoning","encrypted_content":"anthropic:x"}]}`, true},
		{OpGenerate, `{"contents":[{"parts":[{"text":"x","thoughtSignature":"YW50aHJvcGljOng="}]}]}`, true},
		{OpGenerate, `{"contents":[{"parts":[{"text":"x","thoughtSignature":"c2lnbmVk"}]}]}`, false},
		{OpGenerate, `"gemini:`, false},
	} {
		assert.Equal(t, c.want, Carries(c.op, []byte(c.body)), c.body)
	}
}
