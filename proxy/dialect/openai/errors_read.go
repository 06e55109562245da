package openai

import (
	"bytes"
	"time"
	"unicode/utf8"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// messageMost is how many bytes of a provider's words are passed on.
const messageMost = 1000

// ReadError implements dialect.Errors. It knows OpenAI's error object, alone or in a list (Google's compatible
// endpoint), the bare object of older vLLM and of Mistral, the string of Ollama, and FastAPI's detail.
func (Codec) ReadError(status int, body []byte) dialect.Refusal {
	c := jsonscan.Fields{Cursor: jsonscan.Cursor{B: body}}
	var e refusal
	if c.Peek() == '[' {
		c.Enter('[')
		if c.More(']', true) {
			e.read(&c)
		}
	} else {
		e.read(&c)
	}
	if c.Bad {
		e = refusal{}
	}
	r := dialect.Refusal{Message: cutText(e.message, messageMost), Broke: e.broke || status == 402 && !e.passing, RetryAfter: e.retry}
	if r.RetryAfter == 0 {
		r.RetryAfter = retryIn(e.message)
	}
	return r
}

// refusal is what an error object tells.
type refusal struct {
	message string
	broke   bool
	passing bool // a 402 that goes by itself
	retry   time.Duration
}

// read reads the value at c, which is the error object or holds it.
func (e *refusal) read(c *jsonscan.Fields) {
	switch c.Peek() {
	case '"':
		e.say(c.Str())
		return
	case '{':
	case '[': // FastAPI lists what is wrong with each member
		c.Enter('[')
		for ok := c.More(']', true); ok; ok = c.More(']', false) {
			e.read(c)
		}
		return
	default:
		c.Skip()
		return
	}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "error", "message", "msg", "detail", "details":
			e.read(c)
		case "code", "type", "status", "reason":
			e.judge(c.Word())
		case "retryDelay": // of google.rpc.RetryInfo
			e.retry, _ = time.ParseDuration(string(c.Word()))
		default:
			c.Skip()
		}
	}
}

// say takes the first words that there are.
func (e *refusal) say(text dialect.Written) {
	if e.message == "" {
		e.message = string(jsonscan.AppendDecoded(nil, text))
	}
}

// judge looks at a code or type. Those that mean an empty purse are OpenAI's but for the last few.
func (e *refusal) judge(word []byte) {
	switch string(word) {
	case "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded", "project_spend_limit_exceeded",
		"organization_usage_limit_exceeded", "billing_hard_limit_reached", "billing_not_active", "account_deactivated", "access_terminated",
		"insufficient_balance", "exceeded_current_quota_error", // Moonshot
		"insufficient_user_quota", // One API
		"Arrearage":               // Alibaba
		e.broke = true
	case "in_flight_budget_exhausted": // OpenRouter: what other requests hold may come back
		e.passing = true
	}
}

// retryIn is the time that OpenAI's words name: "Please try again in 1m2.5s."
func retryIn(message string) time.Duration {
	b := bytesx.Bytes(message)
	_, rest, ok := bytes.Cut(b, []byte("try again in "))
	if !ok {
		return 0
	}
	end := 0
	for end < len(rest) && (rest[end] == '.' || rest[end]-'0' <= 9 || rest[end]-'a' < 26) {
		end++
	}
	d, err := time.ParseDuration(string(bytes.TrimRight(rest[:end], ".")))
	if err != nil || d < 0 {
		return 0
	}
	return d
}

// cutText is s cut to at most n bytes, between characters.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
