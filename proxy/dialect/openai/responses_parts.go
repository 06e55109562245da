package openai

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// itemContent appends the parts of an item's content or output, which is a text, a list of parts, or nothing.
func (r *responsesReader) itemContent(to *[]dialect.Part, v, cache []byte) error {
	from := len(*to)
	switch {
	case v == nil:
		return nil
	case isString(v):
		*to = append(*to, dialect.Part{Kind: dialect.PartText, Text: inside(v)})
	case !isArray(v):
		return inexpressible("content that is neither a text nor a list of parts", "send one or the other")
	default:
		c := jsonscan.Cursor{B: v}
		c.Enter('[')
		for ok := c.More(']', true); ok; ok = c.More(']', false) {
			p, err := r.itemPart(c.Skip())
			if err != nil {
				return err
			}
			*to = append(*to, p)
		}
	}
	mark((*to)[from:], cache)
	return nil
}

// itemPart is a part of an item's content as written: nil where its members are missing or null.
type itemPart struct {
	kind                            partKind
	text                            []byte
	url, fileID, data, name, detail []byte
	told                            []byte // what nobody needs
	cache, breakpoint               []byte
}

// itemPartKindOf knows the types by name.
func itemPartKindOf(v []byte) partKind {
	f := fields(v)
	if !isString(v) {
		return otherPart
	}
	switch string(f.Word()) {
	case "input_text", "output_text", "text":
		return textPart
	case "refusal":
		return refusalPart
	case "input_image":
		return imagePart
	case "input_file":
		return filePart
	case "input_audio":
		return audioPart
	}
	return otherPart
}

// member is where the value of the member k belongs in a part of its kind; nil for none.
func (p *itemPart) member(k []byte) *[]byte {
	switch string(k) {
	case "type", "logprobs": // what the model was about to say instead is no matter to it
		return &p.told
	case "cache_control":
		return &p.cache
	case "prompt_cache_breakpoint":
		return &p.breakpoint
	}
	switch p.kind {
	case textPart:
		if string(k) == "text" {
			return &p.text
		}
	case refusalPart:
		if string(k) == "refusal" {
			return &p.text
		}
	case audioPart:
		if string(k) == "input_audio" {
			return &p.data
		}
	case imagePart:
		switch string(k) {
		case "image_url":
			return &p.url
		case "file_id":
			return &p.fileID
		case "detail":
			return &p.detail
		}
	case filePart:
		switch string(k) {
		case "file_url":
			return &p.url
		case "file_id":
			return &p.fileID
		case "file_data":
			return &p.data
		case "filename":
			return &p.name
		}
	}
	return nil
}

// itemPart reads one part. One that is not understood cannot be left out: the question would be another.
func (r *responsesReader) itemPart(v []byte) (dialect.Part, error) {
	if isString(v) { // some clients put bare texts among the parts
		return dialect.Part{Kind: dialect.PartText, Text: inside(v)}, nil
	}
	w := itemPart{kind: itemPartKindOf(memberOf(v, "type"))}
	if w.kind == otherPart {
		return dialect.Part{}, inexpressible("a part of a content"+ofType(memberOf(v, "type")), "use input_text, input_image, input_file, input_audio, output_text or refusal")
	}
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		if to := w.member(k); to != nil {
			*to = some(m)
		} else if !isHollow(m) {
			r.c.Unknown = addPath(r.c.Unknown, "input.content."+string(k))
		}
	}
	p, err := r.itemValue(&w)
	cut := rawPart{cache: w.cache, breakpoint: w.breakpoint}
	p.Cache = cut.mark()
	return p, err
}

// itemValue reads what a part holds.
func (r *responsesReader) itemValue(w *itemPart) (dialect.Part, error) {
	switch w.kind {
	case textPart, refusalPart:
		p := dialect.Part{Kind: dialect.PartText, Text: inside(w.text)}
		if w.kind == refusalPart {
			p.Kind = dialect.PartRefusal
		}
		if p.Text == nil {
			return p, inexpressible("a text part whose text is no string", "send a string")
		}
		return p, nil
	case audioPart:
		return r.audio(w.data, "input.content")
	case imagePart:
		p := dialect.Part{Kind: dialect.PartImage}
		if detail := inside(w.detail); len(detail) > 0 && !wordIs(w.detail, "auto") {
			p.Detail = detail
		}
		if url := inside(w.url); len(url) > 0 {
			return p, r.located(&p, url)
		}
		if p.FileID = inside(w.fileID); len(p.FileID) == 0 {
			return p, inexpressible("a picture without image_url and file_id", "send one of them")
		}
		return p, nil
	}
	return r.itemFile(w)
}

// itemFile reads a document: its data, where it is, or the name under which the provider keeps it.
func (r *responsesReader) itemFile(w *itemPart) (dialect.Part, error) {
	p := dialect.Part{Kind: dialect.PartFile, Name: inside(w.name)}
	data, url, id := inside(w.data), inside(w.url), inside(w.fileID)
	switch {
	case len(data) > 0:
		p.Data = r.unescaped(data)
		if media, rest, ok := cutDataURL(p.Data); ok {
			p.Media, p.Data = media, rest
		}
		return p, nil
	case len(url) > 0:
		return p, r.located(&p, url)
	case len(id) > 0:
		p.FileID = id
		return p, nil
	}
	return p, inexpressible("a file without file_data, file_url and file_id", "send one of them")
}
