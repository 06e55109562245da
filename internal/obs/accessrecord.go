package obs

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// AccessRecord is what the access log tells of one request: who asked for what, what was decided, and what it
// took. No text of a prompt or an answer has a place in it. Empty strings and zeros are left out of the line,
// except for status and duration_us.
type AccessRecord struct {
	Time       int64 // when the request was read, in nanoseconds since 1970 UTC
	RequestID  string
	Shared     []byte // Method to Experiment as AppendShared wrote them once for equal requests; nil: they are written anew
	Method     string
	Path       string // a query is cut off: it may carry a key
	Model      string
	Version    string
	Provider   string
	Target     string
	Cache      string // as in x-wedge-cache
	Code       string // the error code, as in x-wedge-error
	Key        string // the key's name, never the key
	Experiment string // name=arm
	ClientIP   string

	Status       int
	Attempts     int
	InputTokens  int64
	OutputTokens int64
	Bytes        int64 // of the answer's body
	DurationUS   int64 // from the request's first byte to the answer's last, in microseconds
	OverheadUS   int64 // of it, the node's own share
	TTFTUS       int64 // to the first token
	CostNano     int64 // in 10⁻⁹ USD
	Stream       bool
}

// maxFieldBytes bounds what a client can write into the log with one field.
const maxFieldBytes = 512

// appendRecord appends r as one JSON object and a line feed; stamp is r.Time as text.
func appendRecord(dst []byte, r *AccessRecord, stamp []byte) []byte {
	dst = append(dst, `{"time":"`...)
	dst = append(dst, stamp...)
	dst = append(dst, `","status":`...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, `,"duration_us":`...)
	dst = strconv.AppendInt(dst, r.DurationUS, 10)
	dst = appendText(dst, `,"request_id":"`, r.RequestID)
	if r.Shared != nil {
		dst = append(dst, r.Shared...)
	} else {
		dst = r.AppendShared(dst)
	}
	dst = appendText(dst, `,"client_ip":"`, r.ClientIP)
	dst = appendCount(dst, `,"attempts":`, int64(r.Attempts))
	dst = appendCount(dst, `,"input_tokens":`, r.InputTokens)
	dst = appendCount(dst, `,"output_tokens":`, r.OutputTokens)
	dst = appendCount(dst, `,"bytes":`, r.Bytes)
	dst = appendCount(dst, `,"overhead_us":`, r.OverheadUS)
	dst = appendCount(dst, `,"ttft_us":`, r.TTFTUS)
	dst = appendCount(dst, `,"cost_nano_usd":`, r.CostNano)
	if r.Stream {
		dst = append(dst, `,"stream":true`...)
	}
	return append(dst, '}', '\n')
}

// AppendShared appends the fields from Method to Experiment, for Shared.
func (r *AccessRecord) AppendShared(dst []byte) []byte {
	path, _, _ := strings.Cut(r.Path, "?")
	dst = appendText(dst, `,"method":"`, r.Method)
	dst = appendText(dst, `,"path":"`, path)
	dst = appendText(dst, `,"model":"`, r.Model)
	dst = appendText(dst, `,"version":"`, r.Version)
	dst = appendText(dst, `,"provider":"`, r.Provider)
	dst = appendText(dst, `,"target":"`, r.Target)
	dst = appendText(dst, `,"cache":"`, r.Cache)
	dst = appendText(dst, `,"code":"`, r.Code)
	dst = appendText(dst, `,"key":"`, r.Key)
	return appendText(dst, `,"experiment":"`, r.Experiment)
}

func appendCount(dst []byte, name string, n int64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, name...), n, 10)
}

// appendText appends a field; name opens the value's quotation.
func appendText(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	value = value[:min(len(value), maxFieldBytes)]
	dst = append(dst, name...)
	if isPlain(value) {
		dst = append(dst, value...)
	} else {
		dst = appendEscaped(dst, value)
	}
	return append(dst, '"')
}

// isPlain tells whether every byte of s stands for itself in a JSON string, looking at eight bytes at a time.
func isPlain(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		// A byte's high bit is left standing if the byte is below ' ', is '"', is '\\' or is not ASCII.
		special := (w - ones*' ') | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones) | w
		if special&(ones<<7) != 0 {
			return false
		}
	}
	for i := range len(s) {
		if !plain[s[i]] {
			return false
		}
	}
	return true
}

const ones = 0x0101010101010101 // one in each byte of a word

// plain marks the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

const hex = "0123456789abcdef"

// appendEscaped appends s as the inside of a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendEscaped(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case plain[c]:
			dst = append(dst, c)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < utf8.RuneSelf:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		i++
	}
	return dst
}

const (
	secondsLayout = "2006-01-02T15:04:05"
	zeroMicros    = ".000000Z"
	microDigits   = 6
	lastMicro     = len(secondsLayout) + microDigits // where the last digit of the microseconds stands
)

// stamper writes times as text and remembers the last second, which most requests share with the one before.
type stamper struct {
	second int64
	text   [len(secondsLayout) + len(zeroMicros)]byte
}

// stamp returns unixNano as RFC 3339 text in UTC with microseconds, valid until the next call.
func (s *stamper) stamp(unixNano int64) []byte {
	second, nanos := unixNano/1e9, unixNano%1e9
	if nanos < 0 {
		second, nanos = second-1, nanos+1e9
	}
	if second != s.second || s.text[0] == 0 {
		s.second = second
		text := time.Unix(second, 0).UTC().AppendFormat(s.text[:0], secondsLayout)
		copy(s.text[len(text):], zeroMicros)
	}
	micros := nanos / 1e3
	for i := range microDigits {
		s.text[lastMicro-i] = byte('0' + micros%10)
		micros /= 10
	}
	return s.text[:]
}
