package gemini

import (
	"bytes"
	"encoding/base64"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// A signature is bytes to Gemini's SDKs, in JSON base64. That of another signer goes out as base64 of itself with the
// signer's name before it, as dialect.AppendSignature has it: SDKs decode and encode it like any other, and it is known
// by its beginning when it comes back. Reasoning that only its signer can read is a thought whose signature says so.
// SDKs throw away what has a signature and no text, and with it the rest of its content, so such a thought has a filler.

const (
	hiddenMark = "hidden:"
	filler     = " "
)

// heads are how base64 of the other signers' names begins.
var heads = [...]string{dialect.OpenAI: "b3BlbmFpO", dialect.Anthropic: "YW50aHJvcGljO"}

// appendSignature appends the signature of a part as the inside of a string.
func appendSignature(dst []byte, p *dialect.Part) []byte {
	if p.Signer == dialect.Gemini {
		return append(dst, p.Signature...)
	}
	start := len(dst)
	dst = append(append(dst, p.Signer.String()...), ':')
	if p.Kind == dialect.PartHidden {
		dst = append(dst, hiddenMark...)
	}
	dst = jsonscan.AppendDecoded(dst, p.Signature)
	plain := len(dst)
	dst = base64.StdEncoding.AppendEncode(dst, dst[start:plain])
	return dst[:start+copy(dst[start:], dst[plain:])]
}

// cutSignature is the reverse of appendSignature. What it has to put together lies in scratch.
func cutSignature(p *dialect.Part, shown dialect.Written, scratch *[]byte) (hidden bool) {
	p.Signature, p.Signer = shown, dialect.Gemini
	for _, head := range heads {
		if !bytes.HasPrefix(shown, []byte(head)) {
			continue
		}
		b, ok := appendBytes(*scratch, shown)
		if !ok {
			return false
		}
		plain, end := len(*scratch), len(b)
		rest, signer := dialect.CutSignature(dialect.Gemini, b[plain:end])
		if signer == dialect.Gemini {
			return false
		}
		rest, hidden = bytes.CutPrefix(rest, []byte(hiddenMark))
		*scratch = jsonscan.AppendText(b, rest)
		p.Signature, p.Signer = (*scratch)[end:len(*scratch):len(*scratch)], signer
		return hidden
	}
	return false
}

// dummies are what Google tells to send for a call that none of its models made, as Gemini 3 and later refuse a first
// call of theirs without a signature (ai.google.dev/gemini-api/docs/generate-content/thought-signatures#faqs). The first
// one is written.
var dummies = [...]string{"skip_thought_signature_validator", "context_engineering_is_the_way_to_go"}

// dummy says that a signature signs nothing.
func dummy(shown dialect.Written) bool {
	return string(shown) == dummies[0] || string(shown) == dummies[1]
}

// hides says that a signature is of reasoning that only another signer can read.
func hides(shown dialect.Written) bool {
	var p dialect.Part
	var scratch []byte
	return cutSignature(&p, shown, &scratch)
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
