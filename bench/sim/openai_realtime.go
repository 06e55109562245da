package sim

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"github.com/wedge-proxy/wedge/internal/websockets"
)

// realtimeKey begins the sub-protocol in which browsers show their key.
const realtimeKey = "openai-insecure-api-key."

// openaiRealtime is the dialect of the Realtime API's handshake.
type openaiRealtime struct{ openai }

func (openaiRealtime) credential(ctx *fasthttp.RequestCtx) []byte {
	for _, name := range websockets.Protocols(&ctx.Request.Header) {
		if key, ok := strings.CutPrefix(name, realtimeKey); ok {
			return []byte(key)
		}
	}
	return bearer(ctx)
}

// serveRealtime accepts a conversation with the model that the query names.
func serveRealtime(_ *Server, ctx *fasthttp.RequestCtx, _ string) (*answer, *failure) {
	name, _, f := namedModel(string(ctx.QueryArgs().Peek("model")))
	if f != nil {
		return nil, f
	}
	return &answer{status: fasthttp.StatusSwitchingProtocols, model: name}, nil
}

// realtimeTalk is one conversation of OpenAI's Realtime API.
type realtimeTalk struct {
	k         *socket
	beta      bool   // speaks as before the API was generally available
	model     string // with the settings that its name carries
	ids       rng
	session   *fastjson.Value
	id        string // of the conversation
	items     []*realtimeItem
	sound     recording // the input buffer
	speaking  string    // the item that the speech in the buffer will be, once it has begun; only with turn detection
	listened  int       // milliseconds of sound that were in the buffer before what it holds now
	response  *realtimeResponse
	heardFrom string // the event_id of the client's event that is being heard
}

func newRealtimeTalk(k *socket, ctx *fasthttp.RequestCtx) protocol {
	r := &realtimeTalk{k: k, model: string(ctx.QueryArgs().Peek("model")), ids: rng(mix(k.s.brain.seed + k.s.serial.Add(1)))}
	r.beta = bytes.Contains(ctx.Request.Header.Peek("OpenAI-Beta"), []byte("realtime=v1")) ||
		slices.Contains(websockets.Protocols(&ctx.Request.Header), "openai-beta.realtime-v1")
	name, _, _ := strings.Cut(r.model, ";")
	r.id = r.ids.id("conv_", 21)
	text := gaSession
	if r.beta {
		text = betaSession
	}
	r.session = fastjson.MustParse(text)
	a := new(fastjson.Arena)
	r.session.Set("id", a.NewString(r.ids.id("sess_", 21)))
	r.session.Set("model", a.NewString(name))
	r.session.Set("expires_at", a.NewNumberInt(int(time.Now().Add(time.Hour).Unix())))
	return r
}

const (
	turnDetection = `{"type":"server_vad","threshold":0.5,"prefix_padding_ms":300,"silence_duration_ms":200,"idle_timeout_ms":null,` +
		`"create_response":true,"interrupt_response":true}`
	gaSession = `{"type":"realtime","object":"realtime.session","id":"","model":"","output_modalities":["audio"],"instructions":"",` +
		`"tools":[],"tool_choice":"auto","max_output_tokens":"inf","tracing":null,"truncation":"auto","prompt":null,"expires_at":0,` +
		`"audio":{"input":{"format":{"type":"audio/pcm","rate":24000},"transcription":null,"noise_reduction":null,"turn_detection":` +
		turnDetection + `},"output":{"format":{"type":"audio/pcm","rate":24000},"voice":"alloy","speed":1.0}},"include":null}`
	betaSession = `{"id":"","object":"realtime.session","expires_at":0,"model":"","modalities":["audio","text"],"instructions":"",` +
		`"voice":"alloy","input_audio_format":"pcm16","output_audio_format":"pcm16","input_audio_transcription":null,"turn_detection":` +
		turnDetection + `,"input_audio_noise_reduction":null,"tools":[],"tool_choice":"auto","temperature":0.8,` +
		`"max_response_output_tokens":"inf","speed":1.0,"tracing":null,"include":null}`
)

// betaNames are the events that had other names before the API was generally available; "" was none.
var betaNames = map[string]string{
	"response.output_text.delta": "response.text.delta", "response.output_text.done": "response.text.done",
	"response.output_audio.delta": "response.audio.delta", "response.output_audio.done": "response.audio.done",
	"response.output_audio_transcript.delta": "response.audio_transcript.delta",
	"response.output_audio_transcript.done":  "response.audio_transcript.done",
	"conversation.item.added":                "conversation.item.created", "conversation.item.done": "",
}

// named is the name of an event for this client, "" if it does not know it.
func (r *realtimeTalk) named(event string) string {
	if name, other := betaNames[event]; other && r.beta {
		return name
	}
	return event
}

// appendEvent appends the beginning of an event, without its end.
func (r *realtimeTalk) appendEvent(dst []byte, name string) []byte {
	dst = append(dst, `{"type":"`+name+`","event_id":"`...)
	return append(append(dst, r.ids.id("event_", 21)...), '"')
}

// tell sends one event; members begin with a comma.
func (r *realtimeTalk) tell(event, members string) {
	if name := r.named(event); name != "" {
		r.k.say(append(append(r.appendEvent(nil, name), members...), '}'))
	}
}

func (r *realtimeTalk) open() {
	r.tell("session.created", `,"session":`+string(r.session.MarshalTo(nil)))
	if r.beta {
		r.tell("conversation.created", `,"conversation":{"id":"`+r.id+`","object":"realtime.conversation"}`)
	}
}

func (r *realtimeTalk) expire() time.Duration {
	r.heardFrom = ""
	r.refuse(invalid("", "session_expired", "Your session hit the maximum duration of 60 minutes."))
	return 0
}

// refuse tells the client that its event could not be done.
func (r *realtimeTalk) refuse(f *failure) { r.k.say(r.appendRefusal(nil, f)) }

func (r *realtimeTalk) appendRefusal(dst []byte, f *failure) []byte {
	dst = appendJSON(append(r.appendEvent(dst, "error"), `,"error":{"type":`...), f.kind)
	dst = appendNullable(append(dst, `,"code":`...), f.code)
	dst = appendJSON(append(dst, `,"message":`...), f.message)
	dst = appendNullable(append(dst, `,"param":`...), f.param)
	dst = appendNullable(append(dst, `,"event_id":`...), r.heardFrom)
	return append(dst, "}}"...)
}

// realtimeEvents is what clients may say.
var realtimeEvents = []struct {
	name string
	do   func(r *realtimeTalk, v *fastjson.Value) *failure
}{
	{"session.update", (*realtimeTalk).updateSession},
	{"input_audio_buffer.append", (*realtimeTalk).appendSound},
	{"input_audio_buffer.commit", (*realtimeTalk).commitSound},
	{"input_audio_buffer.clear", (*realtimeTalk).clearSound},
	{"conversation.item.create", (*realtimeTalk).createItem},
	{"conversation.item.retrieve", (*realtimeTalk).retrieveItem},
	{"conversation.item.truncate", (*realtimeTalk).truncateItem},
	{"conversation.item.delete", (*realtimeTalk).deleteItem},
	{"response.create", (*realtimeTalk).createResponse},
	{"response.cancel", (*realtimeTalk).cancelResponse},
}

func (r *realtimeTalk) hear(message []byte) {
	r.heardFrom = ""
	v, err := fastjson.ParseBytes(message)
	if err != nil || v.Type() != fastjson.TypeObject {
		r.refuse(invalid("", "invalid_json", "Could not parse the message as a JSON object."))
		return
	}
	r.heardFrom = string(v.GetStringBytes("event_id"))
	kind := string(v.GetStringBytes("type"))
	var names []string
	for _, e := range realtimeEvents {
		if e.name == kind {
			if f := e.do(r, v); f != nil {
				r.refuse(f)
			}
			return
		}
		names = append(names, "'"+e.name+"'")
	}
	r.refuse(invalid("type", "invalid_value", "Invalid value: '%s'. Supported values are: %s.", kind, strings.Join(names, ", ")))
}

func (r *realtimeTalk) updateSession(v *fastjson.Value) *failure {
	update := field(v, "session")
	if update == nil || update.Type() != fastjson.TypeObject {
		return missing("session")
	}
	switch kind := string(update.GetStringBytes("type")); {
	case r.beta || kind == "realtime":
	case kind == "":
		return missing("session.type")
	default:
		return invalid("session.type", "invalid_value", "Invalid value: '%s'. Supported values are: 'realtime'.", kind)
	}
	for _, key := range [...]string{"id", "object", "model", "expires_at"} {
		update.Del(key) // they stay as they are
	}
	merge(r.session, update)
	r.tell("session.updated", `,"session":`+string(r.session.MarshalTo(nil)))
	return nil
}

// merge changes what update holds, in the groups of a session's audio one by one.
func merge(into, update *fastjson.Value) {
	object, _ := update.Object() // it is one
	object.Visit(func(key []byte, v *fastjson.Value) {
		name := string(key)
		old := into.Get(name)
		group := name == "audio" || name == "input" || name == "output"
		if group && v.Type() == fastjson.TypeObject && old != nil && old.Type() == fastjson.TypeObject {
			merge(old, v)
			return
		}
		into.Set(name, v)
	})
}

// inputSetting is a setting of what is heard, by its name since the general availability and by the one before.
func (r *realtimeTalk) inputSetting(name, before string) *fastjson.Value {
	if r.beta {
		return field(r.session, before)
	}
	if input := r.session.Get("audio", "input"); input != nil {
		return field(input, name)
	}
	return nil
}

// soundRate is the number of bytes in a second of what is heard.
func (r *realtimeTalk) soundRate() int {
	if r.phone() != noPhone {
		return phoneRate
	}
	return 2 * voiceRate
}

// phone is the telephone in whose format the client speaks.
func (r *realtimeTalk) phone() telephone {
	return phoneOf(r.inputSetting("format", "input_audio_format"))
}

// phoneOf tells the formats of telephones, in both of their spellings, from 16-bit samples.
func phoneOf(format *fastjson.Value) telephone {
	name := string(format.GetStringBytes("type"))
	if format != nil && format.Type() == fastjson.TypeString {
		name = string(format.GetStringBytes())
	}
	switch name {
	case "g711_ulaw", "audio/pcmu":
		return muLaw
	case "g711_alaw", "audio/pcma":
		return aLaw
	}
	return noPhone
}
