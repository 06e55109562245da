package proxy

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// rawMeter reads, while a passed-through answer flows by, what it tells of what was consumed.
type rawMeter struct {
	letters int64  // of the text that is to be spoken
	images  bool   // the answer is images
	count   int64  // of them so far
	tail    []byte // the answer's last bytes
}

// rawTail is how many of an answer's last bytes are looked at for its usage.
const rawTail = 8 << 10

// newRawMeter prepares to read the answer to this request, or returns nil where nothing is billed.
func (x *exchange) newRawMeter() *rawMeter {
	if !x.costs() {
		return nil
	}
	m := &rawMeter{images: x.under("images")}
	if x.under("audio") {
		if text, ok := x.view.Field("input"); ok {
			var s string
			if json.Unmarshal(text, &s) == nil {
				m.letters = int64(utf8.RuneCountInString(s))
			}
		}
	}
	return m
}

// imageMarks are the members of an answer that each stand for one image.
var imageMarks = [...][]byte{[]byte(`"b64_json"`), []byte(`"url"`)}

// see takes further bytes of the answer.
func (m *rawMeter) see(b []byte) {
	from := max(0, len(m.tail)-len(`"b64_json"`))
	before := bytes.Clone(m.tail[from:])
	m.tail = append(m.tail, b...)
	if m.images {
		for _, mark := range imageMarks {
			m.count += int64(bytes.Count(m.tail[from:], mark) - bytes.Count(before, mark))
		}
	}
	if n := len(m.tail); n > 2*rawTail {
		m.tail = m.tail[:copy(m.tail, m.tail[n-rawTail:])]
	}
}

// usage is what the answer, which has ended, consumed.
func (m *rawMeter) usage() (u dialect.Usage) {
	told := lastUsage(m.tail)
	switch {
	case told != nil:
		u = told.usage()
		if m.images {
			u.Images = m.count // by which some prices go, whatever tokens are told
			if u.ImageOutput == 0 {
				u.ImageOutput = u.Output
			}
		}
	case m.count > 0:
		u = dialect.Usage{Known: true, Images: m.count}
	case m.letters > 0:
		u = dialect.Usage{Known: true, Letters: m.letters}
	}
	return u
}

// toldUsage is the usage of OpenAI's operations that the node does not read.
type toldUsage struct {
	Input      *int64      `json:"input_tokens"`
	Prompt     *int64      `json:"prompt_tokens"`
	Output     int64       `json:"output_tokens"`
	Completion int64       `json:"completion_tokens"`
	Seconds    *float64    `json:"seconds"`
	InputOf    toldDetails `json:"input_tokens_details"`
	HeardOf    toldDetails `json:"input_token_details"` // of transcriptions
	PromptOf   toldDetails `json:"prompt_tokens_details"`
	OutputOf   toldDetails `json:"output_tokens_details"`
}

type toldDetails struct {
	Cached    int64 `json:"cached_tokens"`
	Audio     int64 `json:"audio_tokens"`
	Image     int64 `json:"image_tokens"`
	Reasoning int64 `json:"reasoning_tokens"`
}

func (t *toldUsage) usage() dialect.Usage {
	u := dialect.Usage{
		Known: true, Output: max(0, t.Output+t.Completion), Cached: t.InputOf.Cached + t.PromptOf.Cached, AudioInput: t.InputOf.Audio + t.HeardOf.Audio + t.PromptOf.Audio,
		ImageInput: t.InputOf.Image + t.PromptOf.Image, ImageOutput: t.OutputOf.Image, AudioOutput: t.OutputOf.Audio, Reasoning: t.OutputOf.Reasoning,
	}
	for _, n := range [...]*int64{t.Input, t.Prompt} {
		if n != nil {
			u.Input += max(0, *n)
		}
	}
	if t.Seconds != nil && *t.Seconds > 0 && *t.Seconds < 1e9 {
		u.AudioMillis = int64(math.Ceil(*t.Seconds * 1000))
	}
	return u
}

// lastUsage is the last usage that an answer tells, or nil.
func lastUsage(answer []byte) *toldUsage {
	for end := len(answer); ; {
		at := bytes.LastIndex(answer[:end], []byte(`"usage"`))
		if at < 0 {
			return nil
		}
		end = at
		value, is := bytes.CutPrefix(bytes.TrimLeft(answer[at+len(`"usage"`):], " \t\r\n"), []byte(":"))
		if !is {
			continue
		}
		t := new(toldUsage)
		if json.NewDecoder(bytes.NewReader(value)).Decode(t) == nil && (t.Input != nil || t.Prompt != nil || t.Seconds != nil) {
			return t
		}
	}
}

// free says that a request which names no model costs nothing: it stores, lists, reads or deletes what a provider keeps.
func (x *exchange) free() bool {
	for _, collection := range [...]string{"files", "uploads", "assistants", "threads", "conversations", "vector_stores", "chat", "responses"} {
		if x.under(collection) {
			return !bytes.HasSuffix(x.ctx.Path(), []byte("/runs"))
		}
	}
	return bytes.HasSuffix(x.ctx.Path(), []byte("/cancel"))
}

// extraTokens are those of a request besides its text that its answer may be billed by.
func (x *exchange) extraTokens() int64 {
	if x.op == dialect.OpOther && x.under("images") {
		return pictureTokens
	}
	return 0
}

// outputTokens are what the answer to an operation that is no chat may have.
func (x *exchange) outputTokens() int64 {
	switch {
	case x.op.Embeds():
		return 0
	case x.under("images"):
		return imageTokens * x.images()
	case x.under("moderations"):
		return 0
	}
	return rawTokens
}

// rawTokens is what the answer to any other operation is taken to have.
const rawTokens = 4096

// imageTokens is what an image may be billed by, at most.
const imageTokens = 6240

// images is how many images the request asks for.
func (x *exchange) images() int64 {
	raw, ok := x.view.Field("n")
	if n, err := strconv.ParseInt(string(raw), 10, 64); ok && err == nil {
		return min(max(n, 1), maxChoices)
	}
	return 1
}
