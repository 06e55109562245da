package dialect

import (
	"bytes"
	"slices"
)

// marks are the beginnings of strings by which the dialects show what another provider signed (AppendSignature), and the
// members that hold them. Gemini's are in base64, as its SDKs want signatures to be.
var marks = [IDs]struct{ begin, members []string }{
	OpenAI:    {[]string{`"anthropic:`, `"gemini:`}, []string{"encrypted_content"}},
	Anthropic: {[]string{`"gemini:`, `"openai:`}, []string{"signature", "data"}},
	Gemini:    {[]string{`"YW50aHJvcGljO`, `"b3BlbmFpO`}, []string{"thoughtSignature", "thought_signature"}},
}

// extraContent is the member in which OpenAI's dialect shows signatures.
var extraContent = []byte(`"extra_content"`)

// Carries says that a body holds what another provider signed: it came to the client through a translation, and a provider
// of the client's own dialect would refuse it.
func Carries(op Op, body []byte) bool {
	if (op == OpChat || op == OpResponses) && bytes.Contains(body, extraContent) {
		return true
	}
	m := &marks[op.Dialect()]
	for _, begin := range m.begin {
		for rest := body; ; {
			i := bytes.Index(rest, []byte(begin))
			if i < 0 {
				break
			}
			if slices.Contains(m.members, nameBefore(rest[:i])) {
				return true
			}
			rest = rest[i+len(begin):]
		}
	}
	return false
}

// nameBefore is the name of the member whose value begins where b ends; "" if that is no member's.
func nameBefore(b []byte) string {
	b, ok := bytes.CutSuffix(bytes.TrimRight(b, " \t\r\n"), []byte(":"))
	b, quoted := bytes.CutSuffix(bytes.TrimRight(b, " \t\r\n"), []byte(`"`))
	if !ok || !quoted {
		return ""
	}
	return string(b[bytes.LastIndexByte(b, '"')+1:])
}
