package gemini

import (
	"bytes"
	"encoding/base64"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// A signature is bytes to Gemini's SDKs, in JSON base64. That of another signer goes out as base64 of itself with the
// signer's name before it, as dialect.AppendSignature has it: SDKs decode and encode it like any other, and it is known
// by its beginning when it comes back.

// heads are how base64 of the other signers' names begins.
var heads = [...]string{dialect.OpenAI: "b3BlbmFpO", dialect.Anthropic: "YW50aHJvcGljO"}

// appendSignature appends a signature as the inside of a string.
func appendSignature(dst []byte, signature dialect.Written, signer dialect.ID) []byte {
	if signer == dialect.Gemini {
		return append(dst, signature...)
	}
	start := len(dst)
	dst = append(append(dst, signer.String()...), ':')
	dst = jsonscan.AppendDecoded(dst, signature)
	plain := len(dst)
	dst = base64.StdEncoding.AppendEncode(dst, dst[start:plain])
	return dst[:start+copy(dst[start:], dst[plain:])]
}

// cutSignature is the reverse of appendSignature. What it has to put together lies in scratch.
func cutSignature(shown dialect.Written, scratch *[]byte) (signature dialect.Written, signer dialect.ID) {
	for _, head := range heads {
		if !bytes.HasPrefix(shown, []byte(head)) {
			continue
		}
		b, ok := appendBytes(*scratch, shown)
		if !ok {
			break
		}
		plain, end := len(*scratch), len(b)
		*scratch = b
		if rest, signer := dialect.CutSignature(dialect.Gemini, b[plain:end]); signer != dialect.Gemini {
			*scratch = jsonscan.AppendText(b, rest)
			return (*scratch)[end:len(*scratch):len(*scratch)], signer
		}
	}
	return shown, dialect.Gemini
}

// appendBytes appends the bytes that base64 stands for, in either alphabet, with padding or without.
func appendBytes(dst []byte, text dialect.Written) ([]byte, bool) {
	encoding := base64.RawStdEncoding
	if bytes.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	out, err := encoding.AppendDecode(dst, bytes.TrimRight(text, "="))
	return out, err == nil
}

// standard is base64 in the alphabet that all dialects know: Python's SDK writes that of URLs.
func standard(text dialect.Written, scratch *[]byte) dialect.Written {
	if !bytes.ContainsAny(text, `-_\`) {
		return text
	}
	from := len(*scratch)
	*scratch = jsonscan.AppendDecoded(*scratch, text)
	out := (*scratch)[from:len(*scratch):len(*scratch)]
	for i, ch := range out {
		switch ch {
		case '-':
			out[i] = '+'
		case '_':
			out[i] = '/'
		}
	}
	return out
}
