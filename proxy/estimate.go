package proxy

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// What a request and its answer may come to, before a provider has told.

// words are what the request says, read once.
func (x *exchange) words() *dialect.Prompt {
	switch {
	case x.prompt != nil:
	case x.known != nil && (x.ruling == nil || !x.ruling.edited):
		x.prompt = x.known.promptOf(x.s.o.Dialects.For(x.op), x.op)
	default:
		x.promptBuf = dialect.Prompt{Scratch: x.promptBuf.Scratch[:0]}
		x.s.o.Dialects.For(x.op).ReadPrompt(x.op, x.requestBody(), &x.promptBuf)
		x.prompt = &x.promptBuf
	}
	return x.prompt
}

// pictureTokens is what a picture is taken to have at least.
const pictureTokens = 1600

// mediaBytes is how many bytes of base64 are taken for a token: of pictures, sound and documents, which have many more bytes
// than tokens.
const mediaBytes = 64

// askedTokens is about how many tokens the request has.
func (x *exchange) askedTokens() int64 {
	body := x.requestBody()
	if x.op == dialect.OpOther && (len(body) == 0 || body[0] != '{') { // an upload
		return int64(min(len(body), longUpload))/bytesPerToken + 1
	}
	texts, media := measure(body)
	return texts/bytesPerToken + 1 + media
}

// longUpload is how many bytes of an upload are taken for text.
const longUpload = 16 << 10

// longString is the shortest string that may be a picture, in bytes.
const longString = 1 << 10

// measure counts the bytes of a JSON document but for media, and the tokens of media, about.
func measure(body []byte) (texts, media int64) {
	texts = int64(len(body))
	for at := 0; len(body)-at > longString; {
		open := bytes.IndexByte(body[at:], '"')
		if open < 0 {
			break
		}
		at += open + 1
		end := endOfString(body[at:])
		if s := body[at : at+end]; len(s) > longString && isMedia(s) {
			texts -= int64(len(s))
			media += max(pictureTokens, int64(len(s))/mediaBytes)
		}
		at += end + 1
	}
	return texts, media
}

// endOfString is where the quote is that ends a string which b begins within.
func endOfString(b []byte) int {
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '"')
		if n < 0 {
			return len(b)
		}
		at += n
		escapes := 0
		for escapes < at && b[at-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return at
		}
		at++
	}
}

// isMedia says that a string holds base64: nobody writes so long a word.
func isMedia(s []byte) bool {
	if bytes.HasPrefix(s, []byte("data:")) {
		return true
	}
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '+', c == '/', c == '=', c == '-', c == '_', c == '\\':
		default:
			return false
		}
	}
	return true
}

// linkedPictures is about how many tokens the pictures have that the request names by their addresses.
func (x *exchange) linkedPictures() int64 {
	if !x.op.Chats() {
		return 0
	}
	addresses := bytes.Count(x.requestBody(), []byte("http"))
	if addresses == 0 {
		return 0
	}
	p := x.words()
	if !p.Images {
		return 0
	}
	return pictureTokens * int64(min(p.Messages, addresses))
}

// hiders are the names of models that reason at length without showing it.
var hiders = regexp.MustCompile(`^(o[1-9]|gpt-[5-9]|codex|computer-use|gemini-(2\.5|[3-9]|flash|pro)|grok-[4-9]|grok-3-mini|grok-code|deep-research|sonar-(reasoning|deep))`)

// reasons says that a model of a name reasons without showing it. Names may stand behind those of vendors.
func reasons(model string) bool {
	model = strings.ToLower(model)
	return hiders.MatchString(model[strings.LastIndexAny(model, "/:")+1:]) || strings.Contains(model, "reason") || strings.Contains(model, "think")
}

// hides says that the answer of a target may have many tokens that nobody sees coming: by what it is called, by what it did,
// or because the request asks for it.
func (x *exchange) hides(t *target) bool {
	body := x.requestBody()
	return t.hides || t.live.Hides() || bytes.Contains(body, []byte(`"reasoning`)) || bytes.Contains(body, []byte(`thinking`))
}

// goesOn says that the provider works on the answer whether somebody waits for it or not.
func (x *exchange) goesOn() bool {
	if x.op != dialect.OpResponses {
		return false
	}
	body := x.requestBody()
	p := memberOf(body, 0, "background")
	return p.found && body[p.at] == 't'
}

// limit is the bound on the answer's tokens that goes to the provider; 0 where nobody sets one.
func (x *exchange) limit(v *version) int64 {
	if v.forceLimit > 0 {
		return min(v.forceLimit, mostUsed)
	}
	if n := x.words().MaxTokens; n > 0 {
		return min(n, mostUsed)
	}
	return min(v.fillLimit, mostUsed)
}

// maxChoices bounds how many answers a request is taken to ask for.
const maxChoices = 128

// choices is how many answers the request asks for.
func (x *exchange) choices() int64 {
	n := int64(1)
	body := x.requestBody()
	switch x.op {
	case dialect.OpChat, dialect.OpCompletions:
		for _, name := range [...]string{"n", "best_of"} {
			n = max(n, numberAt(body, 0, name))
		}
	case dialect.OpGenerate:
		if config := memberOf(body, 0, "generationConfig"); config.found && body[config.at] == '{' {
			n = numberAt(body, config.at, "candidateCount")
		}
	}
	return min(max(n, 1), maxChoices)
}

// numberAt is a member of the object at doc[at] that is a whole number, or 0.
func numberAt(doc []byte, at int, name string) int64 {
	p := memberOf(doc, at, name)
	if !p.found {
		return 0
	}
	n, err := strconv.ParseInt(string(doc[p.at:p.end]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
