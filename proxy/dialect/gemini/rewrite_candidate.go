package gemini

import (
	"github.com/wedge-proxy/wedge/internal/jsonedit"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
)

// candidate is where an event, or a whole answer, holds a candidate, and in it what an edit may change.
type candidate struct {
	jsonedit.Extent
	index           int64
	content, parts  jsonedit.Extent
	finish, message jsonedit.Extent // why it ended

	// What tells its text again: that of the event, and that of all events so far.
	logprobs, average, citations, grounding jsonedit.Extent

	members, spoken bool // it has members; its content has
	ends, changed   bool // it tells why it ended; its text here was changed
}

// editAll edits the candidates of the data, and reports whether all of them could be edited and the data is valid.
func (w *rewriter) editAll() bool {
	f := fields(w.data)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "candidates":
			if !w.readCandidates(&f) {
				return false
			}
		case "usageMetadata", "usage_metadata":
			w.usage = append(w.usage[:0], f.Skip()...)
			jsonedit.OneLine(w.usage)
		default:
			f.Skip()
		}
	}
	return f.End()
}

func (w *rewriter) readCandidates(f *jsonscan.Fields) bool {
	if f.Peek() != '[' {
		f.Skip()
		return true
	}
	f.Enter('[')
	i := int64(0)
	for ok := f.More(']', true); ok && w.Err == nil; ok = f.More(']', false) {
		d := candidate{index: i}
		w.parts = w.parts[:0]
		d.read(w, f)
		switch {
		case f.Bad:
			return false
		case w.atOnce:
			w.editWhole(&d)
		case !w.edit(&d):
			return false
		}
		i++
	}
	return true
}

// read reads the candidate under the cursor, and its parts into those of w. It is known by its place if it tells no
// index.
func (d *candidate) read(w *rewriter, f *jsonscan.Fields) {
	f.Peek()
	d.At = f.I
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		d.members = true
		switch string(k) {
		case "index":
			d.index = f.Count()
		case "content":
			f.Peek()
			d.content.At = f.I
			d.readContent(w, f)
			d.content.End = f.I
		case "finishReason", "finish_reason":
			d.finish = jsonedit.Value(&f.Cursor)
			d.ends = reasoned(d.finish.Of(f.B), "FINISH_REASON_UNSPECIFIED")
		case "finishMessage", "finish_message":
			d.message = jsonedit.Value(&f.Cursor)
		default:
			e := jsonedit.Value(&f.Cursor)
			if to := d.teller(k); to != nil {
				*to = e
			}
		}
	}
	d.End = f.I
}

// teller is where the place of the member k is to be noted, which tells the candidate's text again; nil for others.
func (d *candidate) teller(k []byte) *jsonedit.Extent {
	switch string(k) {
	case "logprobsResult", "logprobs_result":
		return &d.logprobs
	case "avgLogprobs", "avg_logprobs":
		return &d.average
	case "citationMetadata", "citation_metadata":
		return &d.citations
	case "groundingMetadata", "grounding_metadata":
		return &d.grounding
	}
	return nil
}

func (d *candidate) readContent(w *rewriter, f *jsonscan.Fields) {
	d.parts, d.spoken, w.parts = jsonedit.Extent{}, false, w.parts[:0]
	if f.Peek() != '{' {
		f.Skip()
		return
	}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		d.spoken = true
		if string(k) != "parts" || f.Peek() != '[' {
			f.Skip()
			continue
		}
		d.parts.At, w.parts = f.I, w.parts[:0]
		f.Enter('[')
		for ok := f.More(']', true); ok; ok = f.More(']', false) {
			var p part
			p.read(f)
			w.parts = append(w.parts, p)
		}
		d.parts.End = f.I
	}
}

// hide takes out what tells a text that was changed. Of what grounds an answer that is the supports, which repeat it;
// the sources stay.
func (w *rewriter) hide(c *liveChoice, d *candidate) {
	if d.changed && d.logprobs.IsSet(w.data) {
		w.patches.Put(d.logprobs, "null")
	}
	if !c.changed {
		return
	}
	for _, e := range [...]jsonedit.Extent{d.average, d.citations} {
		if e.IsSet(w.data) {
			w.patches.Put(e, "null")
		}
	}
	f := fields(w.data[:d.grounding.End])
	if f.I = d.grounding.At; !d.grounding.IsSet(w.data) || f.Peek() != '{' {
		return
	}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		e := jsonedit.Value(&f.Cursor)
		if string(k) == "groundingSupports" || string(k) == "grounding_supports" {
			w.patches.Put(e, "[]")
		}
	}
}
