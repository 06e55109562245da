package openai

import (
	"bytes"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// content appends the parts of a message's content, which is a text, a list of parts, or nothing.
func (r *requestReader) content(to *[]dialect.Part, v []byte) error {
	switch {
	case v == nil:
		return nil
	case isString(v):
		*to = append(*to, dialect.Part{Kind: dialect.PartText, Text: inside(v)})
		return nil
	case !isArray(v):
		return inexpressible("content that is neither a text nor a list of parts", "send one or the other")
	}
	c := jsonscan.Cursor{B: v}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		p, err := r.part(c.Skip())
		if err != nil {
			return err
		}
		*to = append(*to, p)
	}
	return nil
}

// rawPart is a part of a content as written: its type, and the value that the type names.
type rawPart struct {
	kind       partKind
	value      []byte
	cache      []byte
	breakpoint []byte // OpenAI's own mark of where its cache may cut
}

// partKind is the type of a content part.
type partKind uint8

const (
	otherPart partKind = iota
	textPart
	refusalPart
	imagePart
	audioPart
	videoPart
	filePart
)

// partKindOf knows the types by name. video_url is what vLLM and OpenRouter take.
func partKindOf(word []byte) partKind {
	switch string(word) {
	case "text":
		return textPart
	case "refusal":
		return refusalPart
	case "image_url":
		return imagePart
	case "input_audio":
		return audioPart
	case "video_url":
		return videoPart
	case "file":
		return filePart
	}
	return otherPart
}

// part reads one part. One that is not understood cannot be left out: the question would be another.
func (r *requestReader) part(v []byte) (dialect.Part, error) {
	if isString(v) { // some clients put bare texts among the parts
		return dialect.Part{Kind: dialect.PartText, Text: inside(v)}, nil
	}
	if !isObject(v) {
		return dialect.Part{}, inexpressible("a part of a content that is no object", "send objects with a type")
	}
	var w rawPart
	var named partKind // by the member that is there, for parts without a type
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			w.kind = partKindOf(f.Word())
			continue
		case "cache_control":
			w.cache = some(f.Skip())
			continue
		case "prompt_cache_breakpoint":
			w.breakpoint = some(f.Skip())
			continue
		}
		kind := partKindOf(k)
		m := f.Skip()
		switch {
		case kind != otherPart && isSet(m):
			named, w.value = kind, m
		case !isHollow(m):
			r.c.Unknown = addPath(r.c.Unknown, "messages.content."+string(k))
		}
	}
	if w.kind == otherPart || w.kind != named {
		return dialect.Part{}, inexpressible("a part of a content of an unknown type", "use text, image_url, input_audio, video_url, file or refusal")
	}
	p, err := r.valued(&w)
	p.Cache = w.mark()
	return p, err
}

// mark is where the cache may cut in Anthropic's words.
func (w *rawPart) mark() dialect.Raw {
	switch {
	case w.cache != nil || w.breakpoint == nil:
		return w.cache
	case wordIs(memberOf(w.breakpoint, "ttl"), "12h"):
		return longMark
	}
	return shortMark
}

// shortMark and longMark are marks of OpenAI's cache in Anthropic's words; nobody changes them.
var shortMark, longMark = dialect.Raw(`{"type":"ephemeral"}`), dialect.Raw(`{"type":"ephemeral","ttl":"1h"}`)

// valued reads the value of a part.
func (r *requestReader) valued(w *rawPart) (p dialect.Part, err error) {
	text := inside(w.value)
	switch w.kind {
	case textPart, refusalPart:
		if p.Kind = dialect.PartText; w.kind == refusalPart {
			p.Kind = dialect.PartRefusal
		}
		if p.Text = text; text == nil {
			return p, inexpressible("a text part whose text is no string", "send a string")
		}
		return p, nil
	case imagePart, videoPart:
		name := "image_url"
		if p.Kind = dialect.PartImage; w.kind == videoPart {
			p.Kind, name = dialect.PartVideo, "video_url"
		}
		r.c.Unknown = addOthers(r.c.Unknown, w.value, "messages.content", name, "url", "detail")
		url := text
		if url == nil {
			url = inside(memberOf(w.value, "url"))
			if detail := memberOf(w.value, "detail"); isString(detail) && len(detail) > 2 && !wordIs(detail, "auto") {
				p.Detail = inside(detail)
			}
		}
		return p, r.located(&p, url)
	case audioPart:
		return r.audio(w.value, "messages.content")
	}
	return r.file(w.value)
}

// located reads a URL, which may hold the data itself.
func (r *requestReader) located(p *dialect.Part, url dialect.Written) error {
	if len(url) == 0 {
		return inexpressible("a picture or film without a URL", "send a URL, or the data in one")
	}
	url = r.unescaped(url)
	if !bytes.HasPrefix(url, []byte("data:")) {
		p.URL = url
		return nil
	}
	media, data, ok := cutData(url)
	if !ok {
		return inexpressible("a data: URL that is not base64", "encode the data in base64")
	}
	p.Media, p.Data = media, data
	return nil
}

// unescaped is a URL without escapes that it need not have: some clients escape every slash.
func (r *requestReader) unescaped(url dialect.Written) dialect.Written {
	if bytes.IndexByte(url, '\\') < 0 {
		return url
	}
	c := r.c
	plain := len(c.Scratch)
	c.Scratch = jsonscan.AppendDecoded(c.Scratch, url)
	from := len(c.Scratch)
	c.Scratch = jsonscan.AppendText(c.Scratch, c.Scratch[plain:from])
	return c.Scratch[from:len(c.Scratch):len(c.Scratch)]
}

// cutData takes a data: URL with base64 apart. Parameters of the media type are left out; a missing type is nil.
func cutData(url dialect.Written) (media, data dialect.Written, ok bool) {
	head, data, ok := bytes.Cut(url[len("data:"):], []byte(","))
	head, is64 := bytes.CutSuffix(head, []byte(";base64"))
	media, _, _ = bytes.Cut(head, []byte(";"))
	if len(media) == 0 {
		media = nil
	}
	return media, data, ok && is64
}

// audio reads the input_audio of a part at path.
func (r *requestReader) audio(v []byte, path string) (dialect.Part, error) {
	r.c.Unknown = addOthers(r.c.Unknown, v, path, "input_audio", "data", "format")
	p := dialect.Part{Kind: dialect.PartAudio, Data: r.unescaped(inside(memberOf(v, "data")))}
	format := inside(memberOf(v, "format"))
	if len(p.Data) == 0 || len(format) == 0 {
		return p, inexpressible("sound without data and format", "send both")
	}
	if media, data, ok := cutDataURL(p.Data); ok {
		p.Media, p.Data = media, data
		return p, nil
	}
	from := len(r.c.Scratch)
	r.c.Scratch = append(append(r.c.Scratch, "audio/"...), format...)
	p.Media = r.c.Scratch[from:len(r.c.Scratch):len(r.c.Scratch)]
	return p, nil
}

// cutDataURL is cutData for what may be no data: URL.
func cutDataURL(v dialect.Written) (media, data dialect.Written, ok bool) {
	if !bytes.HasPrefix(v, []byte("data:")) {
		return nil, nil, false
	}
	return cutData(v)
}

// file reads a document, by value or by the id that the provider gave it.
func (r *requestReader) file(v []byte) (dialect.Part, error) {
	p := dialect.Part{Kind: dialect.PartFile}
	if !isObject(v) {
		return p, inexpressible("a file that is no object", "send file_data or file_id")
	}
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		text := inside(m)
		switch string(k) {
		case "filename":
			p.Name = text
		case "file_id":
			p.FileID = text
		case "file_data":
			p.Data = r.unescaped(text)
		default:
			if !isHollow(m) {
				r.c.Unknown = addPath(r.c.Unknown, "messages.content.file."+string(k))
			}
		}
	}
	if media, data, ok := cutDataURL(p.Data); ok {
		p.Media, p.Data = media, data
	}
	if len(p.Data) == 0 {
		if p.Data = nil; len(p.FileID) == 0 {
			return p, inexpressible("a file without file_data and file_id", "send one of them")
		}
	} else {
		p.FileID = nil
	}
	return p, nil
}
