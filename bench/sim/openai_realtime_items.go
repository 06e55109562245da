package sim

import (
	"encoding/base64"
	"slices"
	"strconv"

	"github.com/valyala/fastjson"
)

// minSound is how much of a recording can be committed, in milliseconds.
const minSound = 100

// turnSilence is the silence after which turn detection takes a turn for ended, in milliseconds, if the session does not say.
const turnSilence = 500

// realtimeItem is one item of a conversation.
type realtimeItem struct {
	id     string
	told   *fastjson.Value // as the client sees it
	input  []byte          // as the brain reads it
	heard  heard           // the sound in it
	millis int             // of sound that it speaks
}

// find returns the item's place, -1 if there is none.
func (r *realtimeTalk) find(id string) int {
	return slices.IndexFunc(r.items, func(item *realtimeItem) bool { return item.id == id })
}

// lastItem is the id of the item at the end, as JSON.
func (r *realtimeTalk) lastItem() string {
	if len(r.items) == 0 {
		return "null"
	}
	return `"` + r.items[len(r.items)-1].id + `"`
}

func (r *realtimeTalk) createItem(v *fastjson.Value) *failure {
	given := field(v, "item")
	if given == nil || given.Type() != fastjson.TypeObject {
		return missing("item")
	}
	item, f := r.readItem(given)
	if f != nil {
		return f
	}
	at := len(r.items)
	switch after := string(v.GetStringBytes("previous_item_id")); after {
	case "":
	case "root":
		at = 0
	default:
		if at = r.find(after) + 1; at == 0 {
			return invalid("previous_item_id", "item_create_invalid_previous_item_id", "Error adding item: the previous item with id '%s' does not exist.", after)
		}
	}
	r.insert(at, item)
	return nil
}

// insert puts an item into the conversation and tells the client.
func (r *realtimeTalk) insert(at int, item *realtimeItem) {
	previous := "null"
	if at > 0 {
		previous = string(appendJSON(nil, r.items[at-1].id))
	}
	r.items = slices.Insert(r.items, at, item)
	members := `,"previous_item_id":` + previous + `,"item":` + string(item.told.MarshalTo(nil))
	r.tell("conversation.item.added", members)
	r.tell("conversation.item.done", members)
}

// readItem understands an item that the client has made.
func (r *realtimeTalk) readItem(v *fastjson.Value) (*realtimeItem, *failure) {
	item := &realtimeItem{id: string(v.GetStringBytes("id")), told: v}
	if item.id == "" {
		item.id = r.ids.id("item_", 21)
	}
	if r.find(item.id) >= 0 {
		return nil, invalid("item.id", "item_create_duplicate_item_id", "Error adding item: an item with id '%s' exists already.", item.id)
	}
	switch kind := string(v.GetStringBytes("type")); kind {
	case "message":
		if f := r.readMessage(item, v); f != nil {
			return nil, f
		}
	case "function_call":
		item.input = v.MarshalTo(nil)
	case "function_call_output":
		id := string(v.GetStringBytes("call_id"))
		if !slices.ContainsFunc(r.items, func(other *realtimeItem) bool {
			return string(other.told.GetStringBytes("type")) == "function_call" && string(other.told.GetStringBytes("call_id")) == id
		}) {
			return nil, invalid("item.call_id", "invalid_tool_call_id", "Error adding item: the tool call '%s' is not in the conversation.", id)
		}
		item.input = v.MarshalTo(nil)
	case "":
		return nil, missing("item.type")
	default:
		return nil, invalid("item.type", "invalid_value",
			"Invalid value: '%s'. Supported values are: 'message', 'function_call', and 'function_call_output'.", kind)
	}
	a := new(fastjson.Arena)
	v.Set("id", a.NewString(item.id))
	v.Set("object", a.NewString("realtime.item"))
	v.Set("status", a.NewString(completed))
	return item, nil
}

// readMessage reads what a message says; of sound only what is taken for its words stays.
func (r *realtimeTalk) readMessage(item *realtimeItem, v *fastjson.Value) *failure {
	role := string(v.GetStringBytes("role"))
	if role != "user" && role != "assistant" && role != "system" {
		return invalid("item.role", "invalid_value", "Invalid value: '%s'. Supported values are: 'user', 'assistant', and 'system'.", role)
	}
	content, f := field(v, "content"), (*failure)(nil)
	if content == nil || content.Type() != fastjson.TypeArray {
		return missing("item.content")
	}
	for i, part := range content.GetArray() {
		if field(part, "audio") != nil {
			if f = r.readSound(item, part, "item.content["+strconv.Itoa(i)+"].audio"); f != nil {
				return f
			}
			continue
		}
		text := part.GetStringBytes("text")
		if text == nil {
			text = part.GetStringBytes("transcript")
		}
		if text == nil {
			item.input = joinItems(item.input, part.MarshalTo(nil))
			continue
		}
		item.input = joinItems(item.input, textPart(string(text)))
	}
	item.input = messageInput(role, item.input)
	return nil
}

func (r *realtimeTalk) readSound(item *realtimeItem, part *fastjson.Value, param string) *failure {
	sound, f := decodeSound(part, param)
	if f != nil {
		return f
	}
	var rec recording
	rec.add(sound)
	h := r.k.s.brain.listen(&rec, r.soundRate())
	part.Del("audio")
	part.Set("transcript", new(fastjson.Arena).NewNull())
	item.input = joinItems(item.input, textPart(h.text))
	item.heard.tokens += h.tokens
	item.heard.instead += h.instead
	return nil
}

// decodeSound reads the member audio of v.
func decodeSound(v *fastjson.Value, param string) ([]byte, *failure) {
	sound, err := base64.StdEncoding.AppendDecode(nil, v.GetStringBytes("audio"))
	if err != nil || len(sound) == 0 {
		return nil, invalid(param, "invalid_value", "Invalid '%s'. Expected base64-encoded audio bytes, but got an invalid value.", param)
	}
	return sound, nil
}

func textPart(text string) []byte {
	return append(appendJSON([]byte(`{"type":"input_text","text":`), text), '}')
}

func messageInput(role string, content []byte) []byte {
	return append(append([]byte(`{"type":"message","role":"`+role+`","content":[`), content...), "]}"...)
}

// itemOf finds the item that a client's event is about; doing and code are for the case that there is none.
func (r *realtimeTalk) itemOf(v *fastjson.Value, doing, code string) (int, *failure) {
	id := string(v.GetStringBytes("item_id"))
	if at := r.find(id); at >= 0 {
		return at, nil
	}
	return -1, invalid("item_id", code, "Error %s item: the item with id '%s' does not exist.", doing, id)
}

func (r *realtimeTalk) retrieveItem(v *fastjson.Value) *failure {
	at, f := r.itemOf(v, "retrieving", "item_retrieve_invalid_item_id")
	if f == nil {
		r.tell("conversation.item.retrieved", `,"item":`+string(r.items[at].told.MarshalTo(nil)))
	}
	return f
}

func (r *realtimeTalk) deleteItem(v *fastjson.Value) *failure {
	at, f := r.itemOf(v, "deleting", "item_delete_invalid_item_id")
	if f == nil {
		id := r.items[at].id
		r.items = slices.Delete(r.items, at, at+1)
		r.tell("conversation.item.deleted", `,"item_id":`+string(appendJSON(nil, id)))
	}
	return f
}

// truncateItem forgets what an item said: the client has not heard all of it.
func (r *realtimeTalk) truncateItem(v *fastjson.Value) *failure {
	at, f := r.itemOf(v, "truncating", "item_truncate_invalid_item_id")
	if f != nil {
		return f
	}
	item := r.items[at]
	end, f := integer(v, "audio_end_ms", 0, 1<<31, 0)
	switch {
	case f != nil:
		return f
	case item.millis == 0:
		return invalid("item_id", "invalid_value", "Only messages of the assistant that are audio can be truncated.")
	case end > item.millis:
		return invalid("audio_end_ms", "invalid_value", "Audio content of %dms is already shorter than %dms", item.millis, end)
	}
	item.millis, item.input = max(end, 1), messageInput("assistant", nil)
	for _, part := range item.told.GetArray("content") {
		part.Del("transcript")
	}
	r.tell("conversation.item.truncated", `,"item_id":`+string(appendJSON(nil, item.id))+`,"content_index":0,"audio_end_ms":`+strconv.Itoa(end))
	return nil
}

func (r *realtimeTalk) appendSound(v *fastjson.Value) *failure {
	sound, f := decodeSound(v, "audio")
	if f != nil {
		return f
	}
	detection := r.inputSetting("turn_detection", "turn_detection")
	if detection == nil {
		r.sound.add(sound)
		return nil
	}
	silence := turnSilence
	if m := detection.Get("silence_duration_ms"); m != nil {
		silence = m.GetInt()
	}
	for window := range slices.Chunk(sound, r.soundRate()*soundWindow/1000) {
		r.detect(window, silence, detection)
	}
	return nil
}

// detect adds a little sound to the buffer, with which a turn of the user's may begin or, after some milliseconds of
// silence, end.
func (r *realtimeTalk) detect(window []byte, silence int, detection *fastjson.Value) {
	loud := isLoud(window, r.phone())
	if loud && r.speaking == "" {
		r.forgetSound() // the silence before
		r.speaking = r.ids.id("item_", 21)
		r.tell("input_audio_buffer.speech_started", `,"audio_start_ms":`+strconv.Itoa(r.listened)+`,"item_id":"`+r.speaking+`"`)
		if r.response != nil && unlessFalse(detection, "interrupt_response") {
			r.cancel("turn_detected")
		}
	}
	r.sound.add(window)
	r.sound.hush(len(window), loud)
	if r.speaking == "" || r.sound.quiet*1000/r.soundRate() < silence {
		return
	}
	end := r.listened + r.sound.millis(r.soundRate())
	r.tell("input_audio_buffer.speech_stopped", `,"audio_end_ms":`+strconv.Itoa(end)+`,"item_id":"`+r.speaking+`"`)
	r.commit()
	if r.response == nil && unlessFalse(detection, "create_response") {
		r.respond(nil)
	}
}

// unlessFalse is the boolean member of v that is true where it is not said.
func unlessFalse(v *fastjson.Value, key string) bool {
	m := v.Get(key)
	return m == nil || m.Type() != fastjson.TypeFalse
}

func (r *realtimeTalk) commitSound(*fastjson.Value) *failure {
	if millis := r.sound.millis(r.soundRate()); millis < minSound {
		return invalid("", "input_audio_buffer_commit_empty", "Error committing input audio buffer: buffer too small. "+
			"Expected at least %dms of audio, but buffer only has %d.00ms of audio.", minSound, millis)
	}
	r.commit()
	return nil
}

func (r *realtimeTalk) clearSound(*fastjson.Value) *failure {
	r.forgetSound()
	r.tell("input_audio_buffer.cleared", "")
	return nil
}

func (r *realtimeTalk) forgetSound() {
	r.listened += r.sound.millis(r.soundRate())
	r.sound.clear()
	r.speaking = ""
}

// commit makes the sound in the buffer an item of the user's.
func (r *realtimeTalk) commit() {
	item := &realtimeItem{id: r.speaking, heard: r.k.s.brain.listen(&r.sound, r.soundRate())}
	if item.id == "" {
		item.id = r.ids.id("item_", 21)
	}
	r.forgetSound()
	item.told = fastjson.MustParse(`{"id":"` + item.id + `","object":"realtime.item","type":"message","status":"completed",` +
		`"role":"user","content":[{"type":"input_audio","transcript":null}]}`)
	item.input = messageInput("user", textPart(item.heard.text))
	r.tell("input_audio_buffer.committed", `,"previous_item_id":`+r.lastItem()+`,"item_id":"`+item.id+`"`)
	r.insert(len(r.items), item)
	r.transcribe(item)
}

// transcribe tells the client what it has said, if the session asks for that.
func (r *realtimeTalk) transcribe(item *realtimeItem) {
	config := r.inputSetting("transcription", "input_audio_transcription")
	if config == nil {
		return
	}
	item.told.Get("content", "0").Set("transcript", new(fastjson.Arena).NewString(item.heard.text))
	usage := `{"type":"duration","seconds":` + strconv.FormatFloat(float64(item.heard.millis)/1000, 'f', -1, 64) + `}`
	if string(config.GetStringBytes("model")) != "whisper-1" {
		usage = `{"type":"tokens","total_tokens":` + strconv.Itoa(item.heard.tokens+item.heard.instead) + `,"input_tokens":` +
			strconv.Itoa(item.heard.tokens) + `,"input_token_details":{"text_tokens":0,"audio_tokens":` + strconv.Itoa(item.heard.tokens) +
			`},"output_tokens":` + strconv.Itoa(item.heard.instead) + `}`
	}
	about, text := `,"item_id":"`+item.id+`","content_index":0`, string(appendJSON(nil, item.heard.text))
	r.tell("conversation.item.input_audio_transcription.delta", about+`,"delta":`+text)
	r.tell("conversation.item.input_audio_transcription.completed", about+`,"transcript":`+text+`,"usage":`+usage)
}
