package sim

import (
	"bytes"
	"strconv"

	"github.com/valyala/fastjson"
)

// realtimeResponse is one response of a Realtime conversation, while it is under way.
type realtimeResponse struct {
	id       string
	spoken   bool // it is sound with a transcript, not text
	phone    telephone
	apart    bool // it does not become part of the conversation
	told     []byte
	heard    heard // the sound in what it answers
	media    int   // tokens of pictures in it
	in       int
	choice   *choice
	ids      []string // of its items
	callIDs  []string
	previous string // the item before them, as JSON
	marks    []mark
	planned  *answer
}

// mark is how far a response has come with an event.
type mark struct {
	item  int // that has begun and not ended; -1 is none
	ended int // items that have
	text  int // bytes of the item's text or arguments
	sound int // tokens
}

func (r *realtimeTalk) createResponse(v *fastjson.Value) *failure {
	if r.response != nil {
		return invalid("", "conversation_already_has_active_response", "Conversation already has an active response in progress: %s. "+
			"Wait until the response is finished before creating a new one.", r.response.id)
	}
	r.respond(field(v, "response"))
	return nil
}

// respond begins a response; params is what it has otherwise than the session, nil for nothing.
func (r *realtimeTalk) respond(params *fastjson.Value) {
	p := &realtimeResponse{id: r.ids.id("resp_", 21), previous: r.lastItem()}
	r.response = p
	r.k.begin(realtimeTurn{r: r}, bytes.TrimSpace(r.k.heard), func(own *settings) (*answer, *failure) {
		v, f := r.prompt(p, params)
		if f != nil {
			return nil, f
		}
		plan := planText(bodyModel, readResponses, func(_ *query, out *answer, a *ask, rep *reply) {
			w := realtimeWriter{answer: out, r: r, p: p, ask: a}
			w.write(rep)
		})
		return plan(&r.k.s.brain, &query{body: v, own: own, recalled: true})
	})
}

// prompt is what p answers, as a request to the Responses API.
func (r *realtimeTalk) prompt(p *realtimeResponse, params *fastjson.Value) (*fastjson.Value, *failure) {
	either := func(name, before string) *fastjson.Value {
		if r.beta {
			name = before
		}
		if params != nil && field(params, name) != nil {
			return field(params, name)
		}
		return field(r.session, name)
	}
	modalities := either("output_modalities", "modalities")
	for _, m := range modalities.GetArray() {
		p.spoken = p.spoken || string(m.GetStringBytes()) == "audio"
	}
	r.describe(p, params, modalities, either("max_output_tokens", "max_response_output_tokens"))
	items, f := r.itemsFor(p, params)
	if f != nil {
		return nil, f
	}
	var input []byte
	for _, item := range items {
		input = joinItems(input, item.input)
		p.heard.tokens += item.heard.tokens
		p.heard.instead += item.heard.instead
	}
	body := appendJSON([]byte(`{"model":`), r.model)
	body = append(append(append(body, `,"input":[`...), input...), ']')
	for _, key := range [...]string{"instructions", "tools", "tool_choice", "parallel_tool_calls"} {
		if v := either(key, key); v != nil && v.String() != `""` { // no instructions are empty ones
			body = v.MarshalTo(append(body, `,"`+key+`":`...))
		}
	}
	if most := either("max_output_tokens", "max_response_output_tokens"); most != nil && most.Type() == fastjson.TypeNumber {
		bound := most.GetInt()
		if p.spoken && bound > 0 {
			bound = max(bound/(1+soundCost), 1) // the sound counts, too
		}
		body = appendInt(append(body, `,"max_output_tokens":`...), bound)
	}
	v, err := fastjson.ParseBytes(append(body, '}'))
	if err != nil {
		return nil, invalid("response", "invalid_value", "Could not read the response that is asked for: %v.", err)
	}
	return v, nil
}

// describe keeps what p's object repeats of what was asked for.
func (r *realtimeTalk) describe(p *realtimeResponse, params, modalities, most *fastjson.Value) {
	p.apart = params != nil && string(params.GetStringBytes("conversation")) == "none"
	conversation := `"` + r.id + `"`
	if p.apart {
		conversation = "null"
	}
	p.told = append(p.told, `,"conversation_id":`+conversation...)
	put := func(before string, v *fastjson.Value, after string) {
		p.told = append(p.told, before...)
		if v == nil {
			p.told = append(p.told, "null"...)
		} else {
			p.told = v.MarshalTo(p.told)
		}
		p.told = append(p.told, after...)
	}
	put(`,"max_output_tokens":`, most, "")
	put(`,"metadata":`, params.Get("metadata"), "")
	format := field(r.session, "output_audio_format")
	if r.beta {
		put(`,"modalities":`, modalities, "")
		put(`,"voice":`, field(r.session, "voice"), "")
		put(`,"output_audio_format":`, format, "")
		put(`,"temperature":`, field(r.session, "temperature"), "")
	} else {
		output := func(key string) *fastjson.Value {
			if v := params.Get("audio", "output", key); v != nil {
				return v
			}
			return r.session.Get("audio", "output", key)
		}
		format = output("format")
		put(`,"output_modalities":`, modalities, "")
		put(`,"audio":{"output":{"format":`, format, "")
		put(`,"voice":`, output("voice"), "}}")
	}
	p.phone = phoneOf(format)
}

// itemsFor are the items that p answers: the conversation, unless params has others.
func (r *realtimeTalk) itemsFor(p *realtimeResponse, params *fastjson.Value) ([]*realtimeItem, *failure) {
	if params == nil || field(params, "input") == nil {
		return r.items, nil
	}
	var items []*realtimeItem
	for i, v := range params.GetArray("input") {
		if string(v.GetStringBytes("type")) == "item_reference" {
			at := r.find(string(v.GetStringBytes("id")))
			if at < 0 {
				return nil, invalid("response.input["+strconv.Itoa(i)+"].id", "invalid_value", "The item '%s' does not exist.", v.GetStringBytes("id"))
			}
			items = append(items, r.items[at])
			continue
		}
		item, f := r.readItem(v)
		if f != nil {
			return nil, f
		}
		items = append(items, item)
	}
	return items, nil
}

func (r *realtimeTalk) cancelResponse(v *fastjson.Value) *failure {
	p, id := r.response, string(v.GetStringBytes("response_id"))
	if p == nil || id != "" && id != p.id || p.planned != r.k.turn.a {
		return invalid("", "response_cancel_not_active", "Cancellation failed: no active response found")
	}
	r.cancel("client_cancelled")
	return nil
}

// cancel ends the response under way where it is.
func (r *realtimeTalk) cancel(reason string) {
	k, p := r.k, r.response
	if k.turn == nil || p.planned != k.turn.a {
		return // it fails, and ends by itself
	}
	for k.turn != nil && k.turn.next < k.turn.a.preamble {
		k.sayNext()
	}
	if k.turn == nil {
		return
	}
	m, text := p.mark(k.turn.next), k.turn.tokens
	k.cancelTurn()
	r.response = nil
	if m.item >= 0 {
		item := p.item(r, m.item, incomplete, p.text(m.item)[:m.text])
		r.tell("response.output_item.done", `,"response_id":"`+p.id+`","output_index":`+strconv.Itoa(m.item)+`,"item":`+string(item))
		if !p.apart {
			r.tell("conversation.item.done", `,"previous_item_id":`+p.before(m.item)+`,"item":`+string(item))
		}
	}
	r.keep(p, m)
	details := `{"type":"cancelled","reason":"` + reason + `"}`
	r.tell("response.done", `,"response":`+string(p.object("cancelled", details, p.outputs(r, m), p.usage(text-m.sound, m.sound))))
}

// mark is how far p has come with its first n events.
func (p *realtimeResponse) mark(n int) mark {
	if n == 0 || n > len(p.marks) {
		return mark{item: -1}
	}
	return p.marks[n-1]
}

// text is the text or the arguments of p's k-th item.
func (p *realtimeResponse) text(k int) string {
	if len(p.choice.calls) > 0 {
		return p.choice.calls[k].args
	}
	return p.choice.text
}

// before is the item before p's k-th one, as JSON.
func (p *realtimeResponse) before(k int) string {
	if k == 0 {
		return p.previous
	}
	return `"` + p.ids[k-1] + `"`
}

// status is that of p when it ends by itself.
func (p *realtimeResponse) status() string {
	if p.choice.finish == finishLength {
		return incomplete
	}
	return completed
}

// item is p's k-th item with some of its text.
func (p *realtimeResponse) item(r *realtimeTalk, k int, status, text string) []byte {
	dst := []byte(`{"id":"` + p.ids[k] + `","object":"realtime.item","type":"`)
	if len(p.choice.calls) > 0 {
		dst = appendJSON(append(dst, `function_call","status":"`+status+`","call_id":"`+p.callIDs[k]+`","name":`...), p.choice.calls[k].name)
		return append(appendJSON(append(dst, `,"arguments":`...), text), '}')
	}
	dst = append(dst, `message","status":"`+status+`","role":"assistant","content":[`...)
	if status != inProgress {
		dst = append(appendJSON(append(dst, p.contentType(r)...), text), '}')
	}
	return append(dst, "]}"...)
}

// contentType begins an item's content, up to its text.
func (p *realtimeResponse) contentType(r *realtimeTalk) string {
	prefix := "output_"
	if r.beta {
		prefix = ""
	}
	if p.spoken {
		return `{"type":"` + prefix + `audio","transcript":`
	}
	return `{"type":"` + prefix + `text","text":`
}

// outputs are p's items so far, between commas.
func (p *realtimeResponse) outputs(r *realtimeTalk, m mark) (out []byte) {
	for k := range m.ended {
		out = joinItems(out, p.item(r, k, p.itemStatus(k), p.text(k)))
	}
	if m.item >= 0 {
		out = joinItems(out, p.item(r, m.item, incomplete, p.text(m.item)[:m.text]))
	}
	return out
}

func (p *realtimeResponse) itemStatus(k int) string {
	if k == len(p.ids)-1 {
		return p.status()
	}
	return completed
}

// keep makes p's items so far part of the conversation.
func (r *realtimeTalk) keep(p *realtimeResponse, m mark) {
	if p.apart {
		return
	}
	add := func(k int, status, text string) {
		told := p.item(r, k, status, text)
		item := &realtimeItem{id: p.ids[k], told: fastjson.MustParseBytes(told), input: told}
		if len(p.choice.calls) == 0 {
			item.input = messageInput("assistant", textPart(text))
			if p.spoken {
				item.millis = soundPerToken * countTokens(text)
			}
		}
		r.items = append(r.items, item)
	}
	for k := range m.ended {
		add(k, p.itemStatus(k), p.text(k))
	}
	if m.item >= 0 {
		add(m.item, incomplete, p.text(m.item)[:m.text])
	}
}

func (p *realtimeResponse) usage(text, sound int) string {
	audio, media := p.heard.tokens, p.media
	return `{"total_tokens":` + strconv.Itoa(p.in+text+sound) + `,"input_tokens":` + strconv.Itoa(p.in) + `,"output_tokens":` +
		strconv.Itoa(text+sound) + `,"input_token_details":{"text_tokens":` + strconv.Itoa(p.in-audio-media) + `,"audio_tokens":` +
		strconv.Itoa(audio) + `,"image_tokens":` + strconv.Itoa(media) + `,"cached_tokens":0,"cached_tokens_details":{"text_tokens":0,` +
		`"audio_tokens":0,"image_tokens":0}},"output_token_details":{"text_tokens":` + strconv.Itoa(text) + `,"audio_tokens":` +
		strconv.Itoa(sound) + `}}`
}

// object is p as the client sees it.
func (p *realtimeResponse) object(status, details string, output []byte, usage string) []byte {
	dst := []byte(`{"object":"realtime.response","id":"` + p.id + `","status":"` + status + `","status_details":` + details + `,"output":[`)
	dst = append(append(dst, output...), `],"usage":`+usage...)
	return append(append(dst, p.told...), '}')
}

// ended makes what was said part of the conversation.
func (r *realtimeTalk) ended(_ *turn, good bool) {
	if p := r.response; good && p.planned != nil {
		r.keep(p, p.mark(len(p.marks)))
	}
	r.response = nil
}

// realtimeTurn is the dialect of one response.
type realtimeTurn struct {
	openai
	r *realtimeTalk
}

// appendError appends a refusal, or for what is the provider's fault a response that fails before it says anything.
func (d realtimeTurn) appendError(dst []byte, f *failure) []byte {
	if f.status < 429 {
		return d.r.appendRefusal(dst, f)
	}
	p := d.r.response
	dst = d.r.appendEvent(dst, "response.created")
	dst = append(append(append(dst, `,"response":`...), p.object(inProgress, "null", nil, "null")...), "}\n"...)
	return d.appendFailed(dst, f, nil, "null")
}

func (d realtimeTurn) appendFailed(dst []byte, f *failure, output []byte, usage string) []byte {
	details := appendJSON([]byte(`{"type":"failed","error":{"type":`), f.kind)
	details = appendNullable(append(details, `,"code":`...), f.code)
	details = append(appendJSON(append(details, `,"message":`...), f.message), "}}"...)
	dst = append(d.r.appendEvent(dst, "response.done"), `,"response":`...)
	return append(append(dst, d.r.response.object("failed", string(details), output, usage)...), '}')
}

// appendStreamError appends a refusal, and after the response has begun, that response as failed.
func (d realtimeTurn) appendStreamError(dst, sent []byte, f *failure) []byte {
	dst = d.r.appendRefusal(dst, f)
	p, t := d.r.response, d.r.k.turn
	if len(sent) == 0 || p.planned != t.a {
		return dst
	}
	m := p.mark(t.next)
	return d.appendFailed(append(dst, "\n\n"...), f, p.outputs(d.r, m), p.usage(t.tokens-m.sound, m.sound))
}
