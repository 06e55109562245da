package gemini

import (
	"strconv"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// The probabilities of an answer's tokens: the API has two lists, of the tokens chosen and of those that were likely at
// their places; the model has OpenAI's list of tokens, each with those that were likely.

// token is one token with its probability.
type token struct {
	text dialect.Written
	log  dialect.Raw
	top  dialect.Raw // the list of those likely at its place
}

func (t *token) read(v dialect.Raw) {
	*t = token{text: dialect.Written{}, log: dialect.Raw("0")}
	if len(v) == 0 || v[0] != '{' {
		return
	}
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch v := f.Skip(); string(k) {
		case "token":
			if text := inside(v); text != nil {
				t.text = text
			}
		case "logProbability", "log_probability", "logprob":
			if v[0] == '-' || v[0]-'0' <= 9 {
				t.log = v
			}
		case "top_logprobs":
			t.top = v
		}
	}
}

// appendChatLogprobs appends a logprobsResult as OpenAI's chat has it.
func appendChatLogprobs(dst []byte, v dialect.Raw) []byte {
	top := memberOf(v, "topCandidates")
	likely := jsonscan.Cursor{B: top}
	if len(top) > 0 && top[0] == '[' {
		likely.Enter('[')
	} else {
		likely.Fail()
	}
	dst = append(dst, `{"content":[`...)
	elements(memberOf(v, "chosenCandidates"), func(i int, v []byte) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendChatToken(dst, v), `,"top_logprobs":[`...)
		if likely.More(']', i == 0) {
			elements(memberOf(likely.Skip(), "candidates"), func(i int, v []byte) {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = append(appendChatToken(dst, v), '}')
			})
		}
		dst = append(dst, "]}"...)
	})
	return append(dst, `],"refusal":null}`...)
}

// appendChatToken appends a token without the brace that ends it.
func appendChatToken(dst []byte, v dialect.Raw) []byte {
	var t token
	t.read(v)
	dst = appendText(dst, `{"token":`, t.text)
	dst = append(append(append(dst, `,"logprob":`...), t.log...), `,"bytes":[`...)
	for i, b := range jsonscan.AppendDecoded(nil, t.text) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(b), 10)
	}
	return append(dst, ']')
}

// appendLogprobs appends what OpenAI's chat tells of tokens as a logprobsResult; false if it tells nothing.
func appendLogprobs(dst []byte, v dialect.Raw) ([]byte, bool) {
	start, n, likely := len(dst), 0, false
	list := memberOf(v, "content")
	dst = append(dst, `{"chosenCandidates":[`...)
	var t token
	elements(list, func(i int, v []byte) {
		if i > 0 {
			dst = append(dst, ',')
		}
		t.read(v)
		n, likely = n+1, likely || !idle(t.top)
		dst = t.appendTo(dst)
	})
	if n == 0 {
		return dst[:start], false
	}
	if likely {
		dst = append(dst, `],"topCandidates":[`...)
		elements(list, func(i int, v []byte) {
			if i > 0 {
				dst = append(dst, ',')
			}
			t.read(v)
			dst = appendLikely(append(dst, `{"candidates":[`...), t.top)
		})
	}
	return append(dst, "]}"...), true
}

func appendLikely(dst []byte, list dialect.Raw) []byte {
	elements(list, func(i int, v []byte) {
		if i > 0 {
			dst = append(dst, ',')
		}
		var t token
		t.read(v)
		dst = t.appendTo(dst)
	})
	return append(dst, "]}"...)
}

func (t *token) appendTo(dst []byte) []byte {
	dst = append(appendText(dst, `{"token":`, t.text), `,"logProbability":`...)
	return append(append(dst, t.log...), '}')
}
