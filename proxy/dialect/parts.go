package dialect

import (
	"bytes"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
)

// AppendArgs appends a call's arguments as an object; an empty text is one without members. It returns false if they
// are no JSON object.
func AppendArgs(dst []byte, args Raw) ([]byte, bool) {
	from := len(dst)
	switch {
	case len(args) == 0:
		return append(dst, "{}"...), true
	case args[0] == '"':
		if dst = jsonscan.AppendDecoded(dst, args[1:len(args)-1]); len(bytes.TrimSpace(dst[from:])) == 0 {
			return append(dst[:from], "{}"...), true
		}
	default:
		dst = append(dst, args...)
	}
	c := jsonscan.Cursor{B: dst[from:]}
	if c.Peek() == '{' {
		c.Skip()
		return dst, c.End()
	}
	return dst, false
}

// AppendArgsText appends a call's arguments as the inside of a JSON string.
func AppendArgsText(dst []byte, args Raw) []byte {
	switch {
	case len(args) == 0:
		return append(dst, "{}"...)
	case args[0] == '"':
		return append(dst, args[1:len(args)-1]...)
	}
	return jsonscan.AppendText(dst, args)
}

// AppendSignature appends a signature as a dialect shows it: one of another signer with the signer's name before it, so
// that it finds its way back.
func AppendSignature(dst []byte, d ID, signature Written, signer ID) []byte {
	if signer != d {
		dst = append(append(dst, signer.String()...), ':')
	}
	return append(dst, signature...)
}

// CutSignature is the reverse of AppendSignature.
func CutSignature(d ID, shown Written) (signature Written, signer ID) {
	for other := range IDs {
		if rest, ok := bytes.CutPrefix(shown, []byte(other.String()+":")); ok && other != d {
			return rest, other
		}
	}
	return shown, d
}
