package anthropic

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// document writes a file as the API takes it: a PDF, a plain text, or a picture.
func (w *writer) document(p *dialect.Part) {
	media := p.Media
	if p.Data != nil && media == nil {
		media = sniff(p.Data)
	}
	switch {
	case p.Text != nil:
		w.block("document")
		w.dst = append(append(w.dst, `,"source":{"type":"text","media_type":"text/plain","data":"`...), p.Text...)
		w.dst = append(w.dst, `"}`...)
	case p.Data == nil || bytes.EqualFold(media, []byte("application/pdf")):
		w.block("document")
		w.source(p, media, "a document")
	case bytes.HasPrefix(media, []byte("image/")):
		w.image(p)
		return
	case bytes.HasPrefix(media, []byte("text/")) || bytes.HasPrefix(media, []byte("application/json")):
		w.block("document")
		w.plain(p)
	default:
		w.cannot("a document of the type %q: send a PDF or a plain text", media)
		return
	}
	if p.Name != nil {
		w.dst = append(append(append(w.dst, `,"title":"`...), p.Name...), '"')
	}
	w.end(p)
}

// plain writes the source of a document whose bytes are a text.
func (w *writer) plain(p *dialect.Part) {
	text, err := base64.StdEncoding.AppendDecode(nil, jsonscan.AppendDecoded(nil, p.Data))
	if err != nil || !utf8.Valid(text) {
		w.cannot("a document of the type %q whose bytes are no base64 of a text: send a text in UTF-8", p.Media)
		return
	}
	w.dst = append(w.dst, `,"source":{"type":"text","media_type":"text/plain","data":`...)
	w.dst = append(jsonscan.AppendString(w.dst, text), '}')
}

// signatures are how the base64 of the kinds that the API takes begins.
var signatures = [...]struct{ start, media string }{
	{"/9j/", "image/jpeg"}, {"iVBORw0KGgo", "image/png"}, {"R0lGOD", "image/gif"}, {"UklGR", "image/webp"},
	{"JVBERi", "application/pdf"},
}

// sniff is the media type that the base64 of a file's bytes tells, nil if none. Some clients escape the slash.
func sniff(data dialect.Written) dialect.Written {
	var buf [16]byte
	start := buf[:0]
	for len(data) > 0 && len(start) < 12 {
		if data[0] != '\\' {
			start, data = append(start, data[0]), data[1:]
			continue
		}
		r, n := jsonscan.Unescape(data)
		start, data = utf8.AppendRune(start, r), data[n:]
	}
	for _, s := range signatures {
		if bytes.HasPrefix(start, []byte(s.start)) {
			return []byte(s.media)
		}
	}
	return nil
}
