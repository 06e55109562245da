package request

import "slices"

// Attempt is what differs between the attempts at one request.
type Attempt struct {
	Model        []byte // the upstream's name of the model as a JSON string (AppendString); nil leaves the client's
	IncludeUsage bool   // ask for usage at the end of the stream
	Stream       bool   // ask for a stream, whatever the client asked for
}

// splice puts text in the place of body[start:end].
type splice struct {
	start, end int
	text       []byte
}

// Texts for splices. They are only ever read.
var (
	textComma     = []byte(`,`)
	textTrue      = []byte(`true`)
	textUsage     = []byte(`"include_usage":true`)
	textOptions   = []byte(`{"include_usage":true}`)
	textAddUsage  = []byte(`"stream_options":{"include_usage":true}`)
	textAddModel  = []byte(`"model":`)
	textAddStream = []byte(`"stream":true`)
	keyStream     = []byte(`stream`)
	keyModel      = []byte(`model`)
	keyStreamOpts = []byte(`stream_options`)
)

// AppendBody appends the body with the edits and the attempt's own changes. All other bytes are the client's, in
// their order; new members come last. The edits' values appear as they were given.
func (v *View) AppendBody(dst []byte, e *Edits, a Attempt) []byte {
	v.plan(e)
	for _, c := range v.replaced {
		m := &v.top[c.member]
		v.splice(int(m.start), int(m.end), e.sets[c.set].value)
	}
	addModel := len(a.Model) > 0 && !v.replaceModel(a.Model)
	addUsage := a.IncludeUsage && !v.replaceUsage()
	addStream := a.Stream && !v.replaceStream()
	slices.SortStableFunc(v.splices, func(a, b splice) int { return a.start - b.start })

	if addModel {
		v.add(textAddModel)
		v.splice(v.brace, v.brace, a.Model)
	}
	for _, k := range v.added {
		v.add(e.sets[k].member)
	}
	if addStream {
		v.add(textAddStream)
	}
	if addUsage {
		v.add(textAddUsage)
	}
	return v.appendSpliced(dst)
}

func (v *View) splice(start, end int, text []byte) {
	v.splices = append(v.splices, splice{start, end, text})
}

// add splices the text of a member in before the closing brace.
func (v *View) add(text []byte) {
	if last := len(v.splices) - 1; len(v.top) > 0 || last >= 0 && v.splices[last].start == v.brace {
		v.splice(v.brace, v.brace, textComma)
	}
	v.splice(v.brace, v.brace, text)
}

// replaceModel splices another model in. It returns false if the body names none.
func (v *View) replaceModel(model []byte) bool {
	k := v.find(keyModel)
	if k < 0 {
		return false
	}
	v.splice(int(v.top[k].start), int(v.top[k].end), model)
	return true
}

// replaceStream makes the body ask for a stream. It returns false if it does not say.
func (v *View) replaceStream() bool {
	k := v.find(keyStream)
	if k < 0 {
		return false
	}
	v.splice(int(v.top[k].start), int(v.top[k].end), textTrue)
	return true
}

// replaceUsage makes the body's stream_options ask for usage. It returns false if the body has none.
func (v *View) replaceUsage() bool {
	k := v.find(keyStreamOpts)
	if k < 0 {
		return false
	}
	options := &v.top[k]
	if v.isNull(options) {
		v.splice(int(options.start), int(options.end), textOptions)
		return true
	}
	if usage := v.child(options, "include_usage"); usage != nil {
		v.splice(int(usage.start), int(usage.end), textTrue)
		return true
	}
	brace := int(options.end) - 1
	if skipSpace(v.body, int(options.start)+1) < brace {
		v.splice(brace, brace, textComma)
	}
	v.splice(brace, brace, textUsage)
	return true
}

// appendSpliced appends the body with the splices, which are in order, and forgets them.
func (v *View) appendSpliced(dst []byte) []byte {
	done := 0
	for _, s := range v.splices {
		dst = append(dst, v.body[done:s.start]...)
		dst = append(dst, s.text...)
		done = s.end
	}
	clear(v.splices) // the texts belong to the catalog and to the body
	v.splices = v.splices[:0]
	return append(dst, v.body[done:]...)
}
