package openai

import (
	"strconv"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// typedParts is where an event of a responses stream holds what an edit may change.
type typedParts struct {
	kind                                   []byte
	item                                   extent // the item's id
	index, part                            int64
	number                                 extent
	delta, text, logprobs, whole, response extent // whole is the part or the item that is done
}

func (w *rewriter) readTypedParts(name []byte) (p typedParts, ok bool) {
	p.kind = name
	var f jsonscan.Fields
	f.B = w.data
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			if kind := w.inside(value(&f.Cursor)); kind != nil {
				p.kind = kind
			}
		case "item_id":
			p.item = value(&f.Cursor)
		case "output_index":
			p.index = f.Count()
		case "content_index":
			p.part = f.Count()
		case "sequence_number":
			p.number = value(&f.Cursor)
		case "delta":
			p.delta = value(&f.Cursor)
		case "text":
			p.text = value(&f.Cursor)
		case "logprobs":
			p.logprobs = value(&f.Cursor)
		case "part", "item":
			p.whole = value(&f.Cursor)
		case "response":
			p.response = value(&f.Cursor)
		default:
			f.Skip()
		}
	}
	return p, f.End()
}

// typedEvent edits an event of a responses stream, and appends it and what it brings with it.
func (w *rewriter) typedEvent(event, name []byte) bool {
	p, ok := w.readTypedParts(name)
	if !ok {
		return false
	}
	if p.number.at > 0 {
		c := jsonscan.Cursor{B: w.data, I: p.number.at}
		w.next = c.Count() + w.added
	}
	switch string(p.kind) {
	case "response.output_text.delta":
		ok = w.textDelta(&p)
	case "response.output_text.done":
		ok = w.textDone(&p, p.text, p.logprobs)
	case "response.content_part.done":
		ok = w.partDone(&p, p.whole)
	case "response.output_item.done":
		ok = w.itemDone(p.index, p.whole)
	default:
		ok = w.responseDone(p.response)
	}
	if !ok || w.err != nil {
		return false
	}
	if w.added != 0 && p.number.at > 0 {
		from := len(w.texts)
		w.texts = strconv.AppendInt(w.texts, w.next, 10)
		w.patches = append(w.patches, patch{p.number, from, len(w.texts)})
	}
	w.emit(event, name)
	w.next++
	w.sent(&p)
	return true
}

// sent notes what the event closed, and ends the stream after a stop.
func (w *rewriter) sent(p *typedParts) {
	closed, terminal := 0, false
	switch string(p.kind) {
	case "response.created":
		if len(w.head) == 0 {
			w.head = oneLine(append(w.head, w.of(p.response)...), 0)
		}
	case "response.output_text.done":
		closed = 1
	case "response.content_part.done":
		closed = 2
	case "response.output_item.done":
		closed = 3
		if len(w.items) > 0 {
			w.items = append(w.items, ',')
		}
		from := len(w.items)
		w.items = oneLine(w.appendPatched(w.items, p.whole), from)
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		terminal = true
	}
	for i := range w.choices {
		if c := &w.choices[i]; c.index == p.index && (closed == 3 || c.part == p.part) {
			c.done = max(c.done, closed)
		}
	}
	if w.stopped && !terminal {
		w.finishTyped()
	}
}

// textDelta edits a piece of text.
func (w *rewriter) textDelta(p *typedParts) bool {
	c := w.choice(p.index, p.part)
	text := w.inside(p.delta)
	if c == nil || text == nil {
		return false
	}
	if len(c.item) == 0 {
		c.item = append(c.item, w.of(p.item)...)
	}
	if len(text) == 0 {
		return true
	}
	e := w.ask(c, text, false, nil)
	if !e.Replace {
		c.sent = append(c.sent, text...)
		return true
	}
	c.sent = jsonscan.AppendText(c.sent, e.Text)
	w.putString(p.delta, e.Text)
	w.emptyList(p.logprobs)
	return true
}

// emptyList patches a list that is there empty.
func (w *rewriter) emptyList(e extent) {
	if isSet(w.of(e)) {
		w.put(e, "[]")
	}
}

// textDone edits where a part's whole text is told again; at the first such place the part ends.
func (w *rewriter) textDone(p *typedParts, text, logprobs extent) bool {
	whole := w.inside(text)
	if whole == nil {
		return true // a text that nobody sent
	}
	c := w.choice(p.index, p.part)
	if c == nil {
		return false
	}
	switch {
	case c.ended:
	case c.begun:
		w.endText(c)
	default:
		if e := w.ask(c, whole, true, w.finish); e.Replace {
			c.sent = jsonscan.AppendText(c.sent, e.Text)
		} else {
			c.sent = append(c.sent, whole...)
		}
	}
	if len(c.item) == 0 {
		c.item = append(c.item, w.of(p.item)...)
	}
	if c.changed {
		w.putWritten(text, c.sent)
		w.emptyList(logprobs)
	}
	return true
}

// endText asks for the last words of a part, which get an event of their own.
func (w *rewriter) endText(c *rewritten) {
	e := w.ask(c, nil, true, nil)
	if !e.Replace {
		return
	}
	c.sent = jsonscan.AppendText(c.sent, e.Text)
	w.beginEvent("response.output_text.delta")
	w.aboutPart(c)
	w.dst = append(jsonscan.AppendString(append(w.dst, `,"delta":`...), e.Text), `,"logprobs":[]}`+"\n\n"...)
	w.added++
}

// partDone edits a part that is told as a whole.
func (w *rewriter) partDone(p *typedParts, at extent) bool {
	kind, text, logprobs := []byte(nil), extent{}, extent{}
	var f jsonscan.Fields
	f.B, f.I = w.data[:at.end], at.at
	if f.Peek() != '{' {
		return true
	}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			kind = w.inside(value(&f.Cursor))
		case "text":
			text = value(&f.Cursor)
		case "logprobs":
			logprobs = value(&f.Cursor)
		default:
			f.Skip()
		}
	}
	if string(kind) != "output_text" {
		return true
	}
	return w.textDone(p, text, logprobs)
}

// itemDone edits an output item that is told as a whole.
func (w *rewriter) itemDone(index int64, at extent) bool {
	p := typedParts{index: index}
	var content extent
	var f jsonscan.Fields
	f.B, f.I = w.data[:at.end], at.at
	if at.at == 0 || f.Peek() != '{' {
		return true
	}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "id":
			p.item = value(&f.Cursor)
		case "content":
			content = value(&f.Cursor)
		default:
			f.Skip()
		}
	}
	return w.eachElement(content, func(part extent) bool {
		ok := w.partDone(&p, part)
		p.part++
		return ok
	})
}

// eachElement visits the elements of the list at e, if there is one, while it returns true. What follows a stop is
// cut off.
func (w *rewriter) eachElement(e extent, visit func(extent) bool) bool {
	if len(w.of(e)) == 0 || w.data[e.at] != '[' {
		return true
	}
	last, cut := 0, 0
	c := jsonscan.Cursor{B: w.data[:e.end], I: e.at}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		v := value(&c)
		switch {
		case w.stopped && cut == 0:
			cut = last
		case w.stopped:
		case !visit(v):
			return false
		}
		last = v.end
	}
	if cut > 0 {
		w.put(extent{cut, last}, "")
	}
	return true
}

// responseDone edits the response object that an event carries.
func (w *rewriter) responseDone(at extent) bool {
	index := int64(0)
	ok := w.eachElement(w.memberAt(at, "output"), func(item extent) bool {
		ok := w.itemDone(index, item)
		index++
		return ok
	})
	changed := false
	w.decoded = w.decoded[:0]
	for i := range w.choices {
		changed = changed || w.choices[i].changed
		w.decoded = append(w.decoded, w.choices[i].sent...)
	}
	if changed { // some servers tell all texts once more
		if all := w.memberAt(at, "output_text"); isString(w.of(all)) {
			w.putWritten(all, w.decoded)
		}
	}
	return ok
}

// memberAt is where the object at e has a member, if it does.
func (w *rewriter) memberAt(e extent, name string) (found extent) {
	if len(w.of(e)) == 0 || w.data[e.at] != '{' {
		return found
	}
	var f jsonscan.Fields
	f.B, f.I = w.data[:e.end], e.at
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		if v := value(&f.Cursor); string(k) == name {
			found = v
		}
	}
	return found
}

// beginEvent adds an event up to its own members.
func (w *rewriter) beginEvent(kind string) {
	w.dst = append(append(append(w.dst, "event: "...), kind...), "\ndata: "...)
	w.dst = append(append(append(w.dst, `{"type":"`...), kind...), `","sequence_number":`...)
	w.dst = strconv.AppendInt(w.dst, w.next, 10)
	w.next++
}

// aboutPart says which part an event is about.
func (w *rewriter) aboutPart(c *rewritten) {
	w.dst = append(appendItemID(append(w.dst, `,"item_id":`...), c), `,"output_index":`...)
	w.dst = strconv.AppendInt(w.dst, c.index, 10)
	w.dst = strconv.AppendInt(append(w.dst, `,"content_index":`...), c.part, 10)
}

func appendItemID(dst []byte, c *rewritten) []byte {
	if len(c.item) == 0 {
		return append(dst, `""`...)
	}
	return append(dst, c.item...)
}

// appendPart appends the part with the text that was sent.
func (c *rewritten) appendPart(dst []byte) []byte {
	dst = append(append(dst, partHead...), '"')
	return append(append(dst, c.sent...), `"}`...)
}

// finishTyped ends the parts and items that are open, and the stream.
func (w *rewriter) finishTyped() {
	for i := range w.choices {
		c := &w.choices[i]
		if c.begun && c.done < 1 {
			w.beginEvent("response.output_text.done")
			w.aboutPart(c)
			w.dst = append(append(append(w.dst, `,"text":"`...), c.sent...), `","logprobs":[]}`+"\n\n"...)
		}
		if c.begun && c.done < 2 {
			w.beginEvent("response.content_part.done")
			w.aboutPart(c)
			w.dst = append(c.appendPart(append(w.dst, `,"part":`...)), "}\n\n"...)
		}
	}
	for i := range w.choices {
		if c := &w.choices[i]; c.begun && c.done < 3 {
			w.finishItem(c)
		}
	}
	w.finishResponse()
}

// finishItem ends the item that c is the first open part of.
func (w *rewriter) finishItem(c *rewritten) {
	if len(w.items) > 0 {
		w.items = append(w.items, ',')
	}
	from := len(w.items)
	w.items = appendItemID(append(w.items, `{"id":`...), c)
	w.items = append(w.items, `,"type":"message","status":"completed","role":"assistant","content":[`...)
	for i := range w.choices {
		other := &w.choices[i]
		if other.index != c.index || !other.begun {
			continue
		}
		if other != c {
			w.items = append(w.items, ',')
		}
		w.items = other.appendPart(w.items)
		other.done = 3
	}
	w.items = append(w.items, "]}"...)
	w.beginEvent("response.output_item.done")
	w.dst = strconv.AppendInt(append(w.dst, `,"output_index":`...), c.index, 10)
	w.dst = append(append(append(w.dst, `,"item":`...), w.items[from:]...), "}\n\n"...)
}

// bareResponse stands for the response object of a stream that began without one.
const bareResponse = `{"id":"","object":"response","created_at":0,"model":"","error":null,"instructions":null,"metadata":{},` +
	`"parallel_tool_calls":true,"temperature":null,"tool_choice":"auto","tools":[],"top_p":null}`

// finishResponse adds the terminal event: the response as it began, with the items that were sent.
func (w *rewriter) finishResponse() {
	status, reason := responseEnd(w.reason)
	w.beginEvent("response." + status)
	w.dst = appendEnded(append(w.dst, `,"response":`...), w.head, status, reason, w.items, nil)
	w.dst = append(w.dst, "}\n\n"...)
}

// appendEnded appends the response that began as head (empty: nobody told how) with its status, why it is incomplete
// (nil: it is not), its items and its usage (nil: nobody knows it).
func appendEnded(dst, head []byte, status string, reason, items []byte, u *dialect.Usage) []byte {
	if len(head) == 0 {
		head = []byte(bareResponse)
	}
	dst = append(dst, '{')
	var f jsonscan.Fields
	f.B = head
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "status", "incomplete_details", "output", "output_text", "usage":
		default:
			dst = append(append(append(append(dst, '"'), k...), `":`...), v...)
			dst = append(dst, ',')
		}
	}
	dst = append(append(append(dst, `"status":"`...), status...), `","incomplete_details":`...)
	dst = appendDetails(dst, reason)
	dst = append(append(append(dst, `,"output":[`...), items...), `],"usage":`...)
	if u == nil || !u.Known {
		return append(dst, "null}"...)
	}
	return append(appendResponseUsage(dst, u), '}')
}

// responseEnd is what a finish reason is to a response: its status and, where that is incomplete, why.
func responseEnd(reason []byte) (status string, details []byte) {
	switch string(reason) {
	case "stop":
		return "completed", nil
	case "length":
		return "incomplete", []byte("max_output_tokens")
	}
	return "incomplete", reason
}

func appendDetails(dst, reason []byte) []byte {
	if reason == nil {
		return append(dst, "null"...)
	}
	return append(jsonscan.AppendString(append(dst, `{"reason":`...), reason), '}')
}
