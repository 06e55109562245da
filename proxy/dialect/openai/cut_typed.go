package openai

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// cutResponse ends a responses stream. It has no event for usage alone.
func cutResponse(dst, sse []byte, u *dialect.Usage) (out []byte, tail, terminal int, err error) {
	var r liveResponse
	err = eachEvent(dialect.OpResponses, sse, func(_ dialect.Kind, name, data []byte) bool {
		return r.add(name, data)
	})
	if err != nil {
		return dst, 0, 0, err
	}
	w := typedEvents{dst: dst, sequence: r.next}
	if r.head == nil && len(r.items) == 0 {
		started := appendEnded(nil, nil, "in_progress", nil, nil, nil)
		w.event("response.created", object{{"response", started}})
		w.event("response.in_progress", object{{"response", started}})
	}
	slices.SortStableFunc(r.items, func(a, b *liveItem) int { return a.index - b.index })
	var items []byte
	for i, it := range r.items {
		if i > 0 {
			items = append(items, ',')
		}
		if it.done == nil {
			w.shutItem(it)
		}
		items = append(items, it.done...)
	}
	terminal = len(w.dst) - len(dst)
	status, reason := responseEnd([]byte("length"))
	w.event("response."+status, object{{"response", appendEnded(nil, r.head, status, reason, items, u)}})
	return w.dst, terminal, terminal, nil
}

// liveResponse is a response as far as the events of its stream told it.
type liveResponse struct {
	head  []byte // the response object as it began
	next  int    // the number of the next event
	items []*liveItem
}

// liveItem is an item of the output.
type liveItem struct {
	index int
	o     object // as it began
	parts []*livePart
	text  liveText // of an item that is one
	done  []byte   // once it has ended: the whole item
}

// livePart is a part of a message or of reasoning.
type livePart struct {
	summary               bool // and not content
	index                 int
	o                     object // as it began
	text                  liveText
	annotations, logprobs []byte // elements, with a comma before each
	done                  []byte // once it has ended: the whole part
}

// liveText is a text as far as it was told.
type liveText struct {
	streamed
	written []byte // the inside of the string
	ended   bool
}

// add adds an event, and reports whether there is room for what it tells.
func (r *liveResponse) add(name, data []byte) bool {
	if bytes.IndexByte(data, '\n') >= 0 {
		data = oneLine(bytes.Clone(data), 0)
	}
	o, _ := members(data)
	r.next++
	if number := o.get("sequence_number"); isSet(number) {
		r.next = indexOf(number) + 1
	}
	if kind := inside(o.get("type")); kind != nil {
		name = kind
	}
	kind := string(name)
	switch kind {
	case "response.created", "response.queued", "response.in_progress":
		if head := o.get("response"); isObject(head) {
			r.head = head
		}
		return true
	case "response.output_item.added", "response.output_item.done":
		return r.addItem(kind, o)
	}
	if strings.Contains(kind, "_part.") {
		return r.addPart(kind, o)
	}
	return r.addText(kind, o)
}

// item is the item that an event is about, a new one if there is none; nil if there are too many.
func (r *liveResponse) item(o object) *liveItem {
	index := indexOf(o.get("output_index"))
	for i := len(r.items) - 1; i >= 0; i-- {
		if r.items[i].index == index {
			return r.items[i]
		}
	}
	if len(r.items) >= most {
		return nil
	}
	it := &liveItem{index: index}
	if id := o.get("item_id"); isString(id) {
		it.o.set("id", id)
	}
	r.items = append(r.items, it)
	return it
}

// addItem adds an event of an item that begins or ends.
func (r *liveResponse) addItem(kind string, o object) bool {
	val := o.get("item")
	if !isObject(val) {
		return true
	}
	it := r.item(o)
	if it == nil {
		return false
	}
	it.o, _ = members(val)
	if t := streamedText[string(it.o.get("type"))]; isString(it.o.get(t.key)) {
		it.text = liveText{streamed: t, written: bytes.Clone(inside(it.o.get(t.key)))}
	}
	if strings.HasSuffix(kind, ".done") {
		it.done = val
	}
	return true
}

// part is the part that an event is about, likewise.
func (r *liveResponse) part(o object) *livePart {
	it := r.item(o)
	if it == nil {
		return nil
	}
	index, summary := o.get("content_index"), o.get("summary_index")
	p := &livePart{index: indexOf(index), summary: summary != nil}
	if p.summary {
		p.index = indexOf(summary)
	}
	for i := len(it.parts) - 1; i >= 0; i-- {
		if have := it.parts[i]; have.index == p.index && have.summary == p.summary {
			return have
		}
	}
	if len(it.parts) >= most {
		return nil
	}
	it.parts = append(it.parts, p)
	return p
}

// addPart adds an event of a part that begins or ends.
func (r *liveResponse) addPart(kind string, o object) bool {
	val := o.get("part")
	if !isObject(val) {
		return true
	}
	p := r.part(o)
	if p == nil {
		return false
	}
	p.o, _ = members(val)
	p.text.streamed = partText[string(p.o.get("type"))]
	if text := inside(p.o.get(p.text.key)); len(p.text.written) == 0 {
		p.text.written = append(p.text.written, text...)
	}
	if strings.HasSuffix(kind, ".done") {
		p.done = val
	}
	return true
}

// addText adds an event of a text. Other events tell nothing that must be told again.
func (r *liveResponse) addText(kind string, o object) bool {
	base, what := kind, ""
	if at := strings.LastIndexByte(kind, '.'); at >= 0 {
		base, what = kind[:at], kind[at+1:]
	}
	if base == saidEvents+".annotation" && o.get("annotation") != nil {
		p := r.part(o)
		if p != nil {
			p.annotations = append(append(p.annotations, ','), o.get("annotation")...)
		}
		return p != nil
	}
	if what != "delta" && what != "done" {
		return true
	}
	t, ok := textsOf[base]
	switch {
	case !ok:
		return true
	case t.part:
		p := r.part(o)
		if p == nil {
			return false
		}
		p.begin(t.kind)
		p.text.add(t.streamed, what, o)
		p.addLogprobs(what, o.get("logprobs"))
		return true
	}
	it := r.item(o)
	if it == nil {
		return false
	}
	it.begin(t.kind)
	it.text.add(t.streamed, what, o)
	return true
}

// textOwner is what a text's events are about: an item or a part, of which type.
type textOwner struct {
	streamed
	kind string
	part bool
}

// textsOf finds them by what the names of the events begin with.
var textsOf = func() map[string]textOwner {
	all := map[string]textOwner{}
	for kind, t := range streamedText {
		all[t.event] = textOwner{t, kind, false}
	}
	for kind, t := range partText {
		all[t.event] = textOwner{t, kind, true}
	}
	return all
}()

// begin makes up what an item of that type began with, where nobody told.
func (it *liveItem) begin(kind string) {
	if it.o.get("type") != nil {
		return
	}
	it.o.set("type", []byte(kind))
	if kind == `"message"` {
		it.o.set("role", []byte(`"assistant"`))
	}
}

func (p *livePart) begin(kind string) {
	switch {
	case p.o != nil:
	case kind == `"output_text"`:
		p.o = object{{"type", []byte(kind)}, {"annotations", []byte("[]")}, {"logprobs", []byte("[]")}}
	default:
		p.o = object{{"type", []byte(kind)}}
	}
}

// holder is the type of the items that have such parts.
func (p *livePart) holder() string {
	switch string(p.o.get("type")) {
	case `"summary_text"`, `"reasoning_text"`:
		return `"reasoning"`
	}
	return `"message"`
}

// add adds a piece of the text, or the whole where that is told again.
func (t *liveText) add(s streamed, what string, o object) {
	t.streamed = s
	if what == "delta" {
		t.written = append(t.written, inside(o.get("delta"))...)
		return
	}
	if whole := o.get(s.key); isString(whole) {
		t.written = append(t.written[:0], inside(whole)...)
	}
	t.ended = true
}

func (t *liveText) value() []byte { return append(append([]byte{'"'}, t.written...), '"') }

func (p *livePart) addLogprobs(what string, list []byte) {
	if !isArray(list) {
		return
	}
	if what == "done" {
		p.logprobs = p.logprobs[:0]
	}
	p.logprobs = appendElements(p.logprobs, list)
}

// appendElements appends the elements of a list, a comma before each.
func appendElements(dst, list []byte) []byte {
	all, _ := elements(list)
	for _, v := range all {
		dst = append(append(dst, ','), v...)
	}
	return dst
}

// list is the list of elements that have a comma before each.
func list(elements []byte) []byte {
	return append(append([]byte{'['}, bytes.TrimPrefix(elements, []byte{','})...), ']')
}

// shutItem ends an item, and what of it is open.
func (w *typedEvents) shutItem(it *liveItem) {
	at := place{item: it.o.get("id"), output: strconv.AppendInt(nil, int64(it.index), 10)}
	if !isString(at.item) {
		at.item = []byte(`""`)
	}
	if w.shutParts(it, at); it.text.key != "" {
		w.shutText(it, at)
	}
	if len(it.parts) > 0 {
		it.begin(it.parts[0].holder())
	}
	status := `"incomplete"`
	if it.text.ended {
		status = `"completed"`
	}
	it.o.set("status", []byte(status))
	it.done = it.o.appendTo(nil)
	w.event("response.output_item.done", object{{"output_index", at.output}, {"item", it.done}})
}

// shutText ends the text that an item is.
func (w *typedEvents) shutText(it *liveItem, at place) {
	t := &it.text
	it.o.set(t.key, t.value())
	if t.ended {
		return
	}
	done := at.about("", member{t.key, t.value()})
	if name := it.o.get("name"); t.event == argumentsEvents && isString(name) {
		done = done.and("name", name)
	}
	w.event(t.event+".done", done)
}

// shutParts ends the parts of an item.
func (w *typedEvents) shutParts(it *liveItem, at place) {
	slices.SortStableFunc(it.parts, func(a, b *livePart) int { return a.index - b.index })
	var content, summary []byte
	for _, p := range it.parts {
		if p.done == nil {
			w.shutPart(p, at)
		}
		if p.summary {
			summary = append(append(summary, ','), p.done...)
		} else {
			content = append(append(content, ','), p.done...)
		}
	}
	if summary != nil {
		it.o.set("summary", list(summary))
	}
	if content != nil {
		it.o.set("content", list(content))
	}
}

// shutPart ends a part.
func (w *typedEvents) shutPart(p *livePart, at place) {
	event, index := "response.content_part", "content_index"
	if p.summary {
		event, index = "response.reasoning_summary_part", "summary_index"
	}
	at.part = strconv.AppendInt(nil, int64(p.index), 10)
	if t := &p.text; t.key != "" {
		p.o.set(t.key, t.value())
		done := at.about(index, member{t.key, t.value()})
		if t.event == saidEvents {
			p.o.set("annotations", list(p.annotations))
			p.o.set("logprobs", list(p.logprobs))
			done = done.and("logprobs", list(p.logprobs))
		}
		if !t.ended {
			w.event(t.event+".done", done)
		}
	}
	p.done = p.o.appendTo(nil)
	w.event(event+".done", at.about(index, member{"part", p.done}))
}
