package gemini

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// messageMost is how many bytes of a provider's words are passed on.
const messageMost = 1000

// ReadError implements dialect.Errors. It knows google.rpc's error object, alone or in a list, as streams that are no
// events have it, and the bare string or message of servers that follow the API.
func (Codec) ReadError(status int, body []byte) dialect.Refusal {
	f := fields(body)
	var r refusal
	r.read(&f)
	if !f.End() {
		r = refusal{}
	}
	return dialect.Refusal{
		Message: cutText(r.message, messageMost), Broke: r.broke || status == 402 || emptyPurse(r.message), RetryAfter: r.retry,
	}
}

// emptyPurse knows the refusals whose details do not tell them from requests that come too fast: prepaid credits that
// are used up, a spending cap, billing that is off, and a free tier that has nothing of the model.
func emptyPurse(message string) bool {
	for _, words := range [...]string{"credits are depleted", "spending cap", "billing to be enabled", "billing account", ", limit: 0,"} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}

// refusal is what an error object tells.
type refusal struct {
	message string
	broke   bool
	retry   time.Duration
}

// read reads the value at f, which is the error object, holds it, or is one of its details.
func (r *refusal) read(f *jsonscan.Fields) {
	switch f.Peek() {
	case '"':
		if text := f.Str(); r.message == "" {
			r.message = string(jsonscan.AppendDecoded(nil, text))
		}
	case '[':
		f.Enter('[')
		for ok := f.More(']', true); ok; ok = f.More(']', false) {
			r.read(f)
		}
	case '{':
		f.Enter('{')
		for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
			r.member(f, k)
		}
	default:
		f.Skip()
	}
}

func (r *refusal) member(f *jsonscan.Fields, k []byte) {
	switch string(k) {
	case "error", "message":
		r.read(f)
	case "details", "violations":
		if f.Peek() == '[' {
			r.read(f)
		} else {
			f.Skip()
		}
	case "reason":
		r.broke = string(f.Word()) == "BILLING_DISABLED" || r.broke
	case "quotaId", "quota_id": // a quota of a day is no matter of waiting
		r.broke = bytes.Contains(f.Word(), []byte("PerDay")) || r.broke
	case "retryDelay", "retry_delay":
		if d, err := time.ParseDuration(string(f.Word())); err == nil && d > 0 {
			r.retry = d
		}
	default:
		f.Skip()
	}
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
