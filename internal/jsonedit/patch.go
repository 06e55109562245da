package jsonedit

import (
	"bytes"
	"slices"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
)

// Patches are changes of one document that come in any order. They are meant to be used again.
type Patches struct {
	list  []patch
	texts []byte // what they put in
}

// patch puts texts[from:to] in the place of a value.
type patch struct {
	Extent
	from, to int
}

const (
	keptBytes   = 64 << 10
	keptPatches = 1 << 10
)

// Reset makes p ready for another document. It keeps buffers of ordinary size.
func (p *Patches) Reset() {
	p.list, p.texts = p.list[:0], p.texts[:0]
	if cap(p.list) > keptPatches {
		p.list = nil
	}
	if cap(p.texts) > keptBytes {
		p.texts = nil
	}
}

// begin begins a patch of e: what is appended to texts up to end stands there.
func (p *Patches) begin(e Extent) { p.list = append(p.list, patch{e, len(p.texts), len(p.texts)}) }

func (p *Patches) end() { p.list[len(p.list)-1].to = len(p.texts) }

// Put puts JSON, or a piece of it, in the place of e.
func (p *Patches) Put(e Extent, written string) {
	p.begin(e)
	p.texts = append(p.texts, written...)
	p.end()
}

// PutString puts text as a JSON string in the place of e, with what stands before and behind it.
func (p *Patches) PutString(e Extent, before string, text []byte, behind string) {
	p.begin(e)
	p.texts = append(jsonscan.AppendString(append(p.texts, before...), text), behind...)
	p.end()
}

// AppendTo appends the document as patched. Of patches that overlap the one that begins first counts.
func (p *Patches) AppendTo(dst, doc []byte) []byte {
	slices.SortStableFunc(p.list, func(a, b patch) int { return a.At - b.At })
	done := 0
	for _, one := range p.list {
		if one.At >= done {
			dst = append(append(dst, doc[done:one.At]...), p.texts[one.from:one.to]...)
			done = one.End
		}
	}
	return append(dst, doc[done:]...)
}

// AppendEvent appends a server-sent event with the patched data, of which name and data are the fields. Where nothing is
// patched it keeps its very bytes.
func (p *Patches) AppendEvent(dst, event, name, data []byte) []byte {
	if len(p.list) == 0 {
		return append(dst, event...)
	}
	if at := dataAt(event, data); at >= 0 {
		dst = p.AppendTo(append(dst, event[:at]...), data)
		return append(dst, event[at+len(data):]...)
	}
	if len(name) > 0 {
		dst = append(append(append(dst, "event: "...), name...), '\n')
	}
	dst = append(dst, "data: "...)
	from := len(dst)
	dst = p.AppendTo(dst, data)
	OneLine(dst[from:])
	return append(dst, "\n\n"...)
}

// OneLine puts a valid JSON value on one line, which is what an event's data needs: within strings there are no line
// breaks.
func OneLine(v []byte) {
	for i, ch := range v {
		if ch == '\n' || ch == '\r' {
			v[i] = ' '
		}
	}
}

// dataAt is where in event the data begins, if that is the last line and the only one of its kind, and -1 if not.
func dataAt(event, data []byte) int {
	text := bytes.TrimRight(event, "\r\n")
	at := len(text) - len(data)
	if at < 0 || string(text[at:]) != string(data) || bytes.IndexByte(data, '\n') >= 0 {
		return -1
	}
	switch string(event[bytes.LastIndexAny(event[:at], "\r\n")+1 : at]) {
	case "data:", "data: ":
		return at
	}
	return -1
}
