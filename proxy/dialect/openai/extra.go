package openai

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Chat completions have no word for signed thinking, and a model that is asked on needs its own back byte for byte.
// extra_content is where Google's compatible endpoint puts it and clients give it back: on a call, or on a message,
// {"google":{"thought_signature":"…"}}. Other signers' thinking is put beside it, in the order in which it was
// thought: {"anthropic":{"thinking":[{"thinking":"…","signature":"…"},{"data":"…"}]}}, where data is thinking that only
// its signer can read. In a stream, each of them also has its index, by which clients join lists.

// extra is what an extra_content holds.
type extra struct {
	thinking  [dialect.IDs]dialect.Raw // lists, by signer; Gemini has none
	signature dialect.Written          // Gemini's
}

// signers are what the signers are called in extra_content.
var signers = [dialect.IDs]string{dialect.OpenAI: "openai", dialect.Anthropic: "anthropic", dialect.Gemini: "google"}

func (x *extra) signed() bool {
	return x.thinking[dialect.OpenAI] != nil || x.thinking[dialect.Anthropic] != nil
}

// readExtra reads the extra_content of what lies at path; unknown gets the paths of what it does not understand.
func readExtra(v []byte, unknown *[]string, path string) (x extra) {
	if !isObject(v) {
		return x
	}
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		understood := false
		switch string(k) {
		case "google", "vertex": // Vertex AI has its own name for it
			x.signature = inside(memberOf(m, "thought_signature"))
			understood = x.signature != nil
		case "anthropic":
			understood = x.list(dialect.Anthropic, m)
		case "openai":
			understood = x.list(dialect.OpenAI, m)
		}
		if !understood && !isHollow(m) {
			*unknown = addPath(*unknown, path+".extra_content."+string(k))
		}
	}
	return x
}

func (x *extra) list(signer dialect.ID, v []byte) bool {
	list := memberOf(v, "thinking")
	if !isArray(list) {
		return false
	}
	x.thinking[signer] = list
	return true
}

// appendThinking appends the parts of signed thinking. shown is the text of all thinking as the message shows it: it
// stands in for one text that was left out.
func appendThinking(parts []dialect.Part, x *extra, shown dialect.Written) []dialect.Part {
	for signer, list := range x.thinking {
		if list == nil {
			continue
		}
		c := jsonscan.Cursor{B: list}
		c.Enter('[')
		for ok := c.More(']', true); ok; ok = c.More(']', false) {
			p := readThought(c.Skip(), dialect.ID(signer))
			if p.Kind == dialect.PartThinking && p.Text == nil {
				p.Text, shown = shown, nil
			}
			if p.Signature != nil || len(p.Text) > 0 {
				parts = append(parts, p)
			}
		}
	}
	return parts
}

// readThought reads one piece of signed thinking.
func readThought(v []byte, signer dialect.ID) dialect.Part {
	p := dialect.Part{Kind: dialect.PartThinking, Signer: signer}
	if !isObject(v) {
		return p
	}
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch m := f.Skip(); {
		case string(k) == "thinking" && isString(m):
			p.Text = inside(m)
		case string(k) == "signature" && isString(m):
			p.Signature = inside(m)
		case string(k) == "data" && isString(m):
			p.Kind, p.Signature = dialect.PartHidden, inside(m)
		}
	}
	return p
}

// appendThought appends one piece of signed thinking, without the brace that ends it.
func appendThought(dst []byte, hidden bool, text, signature dialect.Written) []byte {
	if hidden {
		return appendWritten(dst, `{"data":`, signature)
	}
	dst = append(append(append(dst, `{"thinking":"`...), text...), '"')
	return appendWritten(dst, `,"signature":`, signature)
}

// appendExtra appends the extra_content of a message whose parts these are, as a member with a comma before it, if they
// hold anything for it. The signatures of calls are the calls' own.
func appendExtra(dst []byte, parts []dialect.Part) []byte {
	start := len(dst)
	for signer := range dialect.IDs {
		at := len(dst)
		for i := range parts {
			p := &parts[i]
			hidden := p.Kind == dialect.PartHidden
			if !hidden && p.Kind != dialect.PartThinking && !signedText(p) || len(p.Signature) == 0 || p.Signer != signer {
				continue
			}
			if signer == dialect.Gemini { // it signs once in a message; the last word counts
				dst = appendSigned(append(dst[:at], comma(at > start)...), p.Signature)
				continue
			}
			if len(dst) == at {
				dst = append(append(append(append(dst, comma(at > start)...), '"'), signers[signer]...), `":{"thinking":[`...)
			} else {
				dst = append(dst, ',')
			}
			dst = append(appendThought(dst, hidden, p.Text, p.Signature), '}')
		}
		if len(dst) > at && signer != dialect.Gemini {
			dst = append(dst, "]}"...)
		}
	}
	if len(dst) == start {
		return dst
	}
	const head = `,"extra_content":{`
	dst = append(dst, head...)
	copy(dst[start+len(head):], dst[start:len(dst)-len(head)])
	copy(dst[start:], head)
	return append(dst, '}')
}

// signedText says that p is a text with Google's signature, which it gives to the last one, too.
func signedText(p *dialect.Part) bool {
	return p.Kind == dialect.PartText && p.Signer == dialect.Gemini
}

// comma is a comma between two members, nothing before the first.
func comma(needed bool) string {
	if needed {
		return ","
	}
	return ""
}

// appendSigned appends Google's member with a signature.
func appendSigned(dst []byte, signature dialect.Written) []byte {
	return append(append(append(dst, `"google":{"thought_signature":"`...), signature...), `"}`...)
}
