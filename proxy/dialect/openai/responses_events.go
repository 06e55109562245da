package openai

import (
	"strconv"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// textForms is how the kinds of text are written: what a part has before its text, and the names of its events and of
// their members.
var textForms = [...]struct{ open, part, event, whole, index string }{
	noText:        {},
	saidText:      {`{"type":"output_text","annotations":[],"text":"`, "response.content_part", "response.output_text", `,"text":"`, `,"content_index":`},
	refusedText:   {`{"type":"refusal","refusal":"`, "response.content_part", "response.refusal", `,"refusal":"`, `,"content_index":`},
	thoughtText:   {`{"type":"summary_text","text":"`, "response.reasoning_summary_part", "response.reasoning_summary_text", `,"text":"`, `,"summary_index":`},
	argumentsText: {``, "", "response.function_call_arguments", `,"arguments":"`, ""},
}

// appendShut appends what a text has behind it.
func appendShut(dst []byte, kind textKind, logprobs []byte) []byte {
	switch kind {
	case saidText:
		return append(append(append(dst, `","logprobs":[`...), logprobs...), "]}"...)
	case argumentsText:
		return append(dst, '"')
	}
	return append(dst, `"}`...)
}

// appendResponseEvent appends the events of a responses stream that tell e. There is one answer.
func appendResponseEvent(dst []byte, st *dialect.Writing, e *dialect.Event) []byte {
	s, ok := st.Own.(*responseWriting)
	if !ok {
		s = new(responseWriting)
		st.Own = s
	}
	w := responseWriter{responseWriting: s, dst: dst, st: &st.Stream}
	if len(s.head) == 0 && e.Kind != dialect.EventUsage {
		w.start(e)
	}
	if e.Answer != 0 {
		return w.dst
	}
	w.tell(e)
	if e.Kind == dialect.EventEnd {
		st.Terminal = w.end()
	}
	return w.dst
}

// tell adds what an event tells.
func (w *responseWriter) tell(e *dialect.Event) {
	switch e.Kind {
	case dialect.EventText:
		w.say(saidText, e.Text)
	case dialect.EventRefusal:
		w.say(refusedText, e.Text)
	case dialect.EventThinking:
		w.say(thoughtText, e.Text)
	case dialect.EventSignature:
		w.sign(e.Signature, e.Signer)
	case dialect.EventHidden:
		w.hide(e.Signature, e.Signer)
	case dialect.EventCall:
		it := w.beginCall(e.ID, e.Name)
		it.call = e.Call
	case dialect.EventArgs:
		w.args(e.Call, e.Text)
	case dialect.EventLogProbs:
		w.probable(e.Raw)
	case dialect.EventMedia:
		w.draw(e.Media, e.Text)
	case dialect.EventFinish:
		w.finish = e.Finish
		w.shutAll()
	case dialect.EventUsage:
		w.usage = e.Usage
	}
}

// start tells that the response begins. A stream that does not say how it is called has no name.
func (w *responseWriter) start(e *dialect.Event) {
	if e.Kind == dialect.EventStart {
		w.usage = e.Usage
		w.begin(e.ID, e.Model, e.Created)
	} else {
		w.begin(nil, nil, 0)
	}
	for i, name := range [...]string{"response.created", "response.in_progress"} {
		w.event(name)
		w.dst = append(w.dst, `,"response":`...)
		from := len(w.dst)
		w.response("in_progress", "")
		if i == 0 {
			keepResponse(&w.st.Memo, w.dst[from:])
		}
		w.dst = append(w.dst, "}\n\n"...)
	}
}

// end tells the whole response, and where in dst that begins.
func (w *responseWriter) end() (terminal int) {
	w.shutAll()
	status, reason := w.ending()
	terminal = len(w.dst)
	w.event("response." + status)
	w.dst = append(w.dst, `,"response":`...)
	w.response(status, reason)
	w.dst = append(w.dst, "}\n\n"...)
	w.st.Finished = true
	w.st.Usage = w.usage
	return terminal
}

// ending is the status of the response, and why it is incomplete. What a refusal says is in the answer; one in no words
// was the filter's. A pause is told as a cut, after which clients go on.
func (w *responseWriter) ending() (status, reason string) {
	switch f := w.finish; {
	case f == dialect.FinishLength, f == dialect.FinishPause:
		return "incomplete", "max_output_tokens"
	case f == dialect.FinishFilter, f == dialect.FinishRefusal && !w.refused:
		return "incomplete", "content_filter"
	}
	return "completed", ""
}

// response writes the response object. What it would repeat of the request is as if the request were silent on it.
func (w *responseWriter) response(status, reason string) {
	w.dst = append(append(append(w.dst, w.head...), `,"status":"`...), status...)
	w.dst = append(w.dst, `","background":false,"error":null,"incomplete_details":`...)
	if reason == "" {
		w.dst = append(w.dst, "null"...)
	} else {
		w.dst = append(append(append(w.dst, `{"reason":"`...), reason...), `"}`...)
	}
	w.dst = append(w.dst, `,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"metadata":{},"output":[`...)
	begun := status == "in_progress"
	for i := 0; i < len(w.items) && !begun; i++ {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(w.dst, w.items[i].json...)
	}
	w.dst = append(w.dst, `],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},`+
		`"store":false,"temperature":null,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_logprobs":0,`+
		`"top_p":null,"truncation":"disabled","usage":`...)
	if begun || !w.usage.Known {
		w.dst = append(w.dst, "null"...)
	} else {
		w.dst = appendResponseUsage(w.dst, &w.usage)
	}
	w.dst = append(w.dst, `,"user":null}`...)
}

// appendResponseUsage appends the usage object of the responses API, with the details that the SDKs' types have. Those
// that only some models have are there where they count something.
func appendResponseUsage(dst []byte, u *dialect.Usage) []byte {
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), u.Input, 10)
	dst = strconv.AppendInt(append(dst, `,"input_tokens_details":{"cached_tokens":`...), u.Cached, 10)
	dst = strconv.AppendInt(append(dst, `,"cache_write_tokens":`...), u.CacheWrite, 10)
	dst = appendCount(dst, `,"audio_tokens":`, u.AudioInput)
	dst = appendCount(dst, `,"image_tokens":`, u.ImageInput)
	dst = strconv.AppendInt(append(dst, `},"output_tokens":`...), u.Output, 10)
	dst = strconv.AppendInt(append(dst, `,"output_tokens_details":{"reasoning_tokens":`...), u.Reasoning, 10)
	dst = appendCount(dst, `,"audio_tokens":`, u.AudioOutput)
	dst = appendCount(dst, `,"image_tokens":`, u.ImageOutput)
	dst = strconv.AppendInt(append(dst, `},"total_tokens":`...), u.Input+u.Output, 10)
	return append(dst, '}')
}

// event begins an event: its type and its number.
func (w *responseWriter) event(names ...string) {
	w.dst = append(w.dst, "event: "...)
	for _, name := range names {
		w.dst = append(w.dst, name...)
	}
	w.dst = append(w.dst, "\ndata: {\"type\":\""...)
	for _, name := range names {
		w.dst = append(w.dst, name...)
	}
	w.dst = strconv.AppendInt(append(w.dst, `","sequence_number":`...), w.st.Sequence, 10)
	w.st.Sequence++
	w.st.Events++
}

// about says which text of which item an event is about.
func (w *responseWriter) about(it *itemWriting) {
	w.dst = append(append(w.dst, `,"item_id":"`...), it.json[it.id.at:it.id.end]...)
	w.dst = strconv.AppendInt(append(w.dst, `","output_index":`...), int64(it.index), 10)
	if name := textForms[it.part].index; name != "" {
		w.dst = strconv.AppendInt(append(w.dst, name...), int64(it.parts-1), 10)
	}
}

// unfinished is what is missing of an item in progress to which nothing has come, by its kind.
var unfinished = [...]string{
	otherItem: "", resultItem: "", messageItem: `],"status":"in_progress"}`, callItem: `","status":"in_progress"}`, reasoningItem: `]}`,
	imageItem: `,"result":null,"status":"in_progress"}`,
}

func (w *responseWriter) tellAdded(it *itemWriting) {
	w.tellItem("response.output_item.added", it, unfinished[it.kind])
}

func (w *responseWriter) tellDone(it *itemWriting) { w.tellItem("response.output_item.done", it, "") }

func (w *responseWriter) tellItem(name string, it *itemWriting, rest string) {
	if w.st == nil {
		return
	}
	w.event(name)
	w.dst = strconv.AppendInt(append(w.dst, `,"output_index":`...), int64(it.index), 10)
	w.dst = append(append(append(w.dst, `,"item":`...), it.json...), rest...)
	w.dst = append(w.dst, "}\n\n"...)
}

// tellPart tells the open part, as added or done. Arguments are no part.
func (w *responseWriter) tellPart(it *itemWriting, what string) {
	form := &textForms[it.part]
	if w.st == nil || form.part == "" {
		return
	}
	w.event(form.part, what)
	w.about(it)
	w.dst = append(append(w.dst, `,"part":`...), it.json[it.text-len(form.open):]...)
	if it.text == len(it.json) {
		w.dst = appendShut(w.dst, it.part, nil)
	}
	w.dst = append(w.dst, "}\n\n"...)
}

func (w *responseWriter) tellDelta(it *itemWriting, text dialect.Written) {
	if w.st == nil {
		return
	}
	w.st.Content = true
	w.event(textForms[it.part].event, ".delta")
	w.about(it)
	w.dst = append(append(w.dst, `,"delta":"`...), text...)
	if it.part == saidText {
		w.dst = append(w.dst, `","logprobs":[]}`+"\n\n"...)
	} else {
		w.dst = append(w.dst, "\"}\n\n"...)
	}
}

// tellLogProbs tells the logprobs of text that was told before.
func (w *responseWriter) tellLogProbs(it *itemWriting, logprobs []byte) {
	if w.st == nil {
		return
	}
	w.event("response.output_text.delta")
	w.about(it)
	w.dst = append(append(w.dst, `,"delta":"","logprobs":[`...), logprobs...)
	w.dst = append(w.dst, "]}\n\n"...)
}

// tellText tells the whole of the open text.
func (w *responseWriter) tellText(it *itemWriting) {
	if w.st == nil {
		return
	}
	form := &textForms[it.part]
	w.event(form.event, ".done")
	w.about(it)
	w.dst = append(append(append(w.dst, form.whole...), it.json[it.text:]...), '"')
	switch it.part {
	case saidText:
		w.dst = append(append(append(w.dst, `,"logprobs":[`...), it.logprobs...), ']')
	case argumentsText:
		w.dst = appendText(w.dst, `,"name":`, it.json[it.name.at:it.name.end])
	}
	w.dst = append(w.dst, "}\n\n"...)
}
