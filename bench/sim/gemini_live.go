package sim

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"
)

// liveRate is how many samples per second a client's sound has if it does not say.
const liveRate = 16_000

// liveTalk is one conversation of Gemini's Live API.
type liveTalk struct {
	k       *socket
	refused *failure // of the key
	leaving bool     // the client knows that the socket will be closed
	ids     rng

	setup       *fastjson.Value // nil until it has come
	model       string          // with the settings that its name carries
	spoken      bool            // answers are sound, not text
	transcribes bool            // the client is told what it says
	captions    bool            // and what it hears
	manual      bool            // the client says when its turns begin and end
	patient     bool            // answers are not interrupted when the client speaks
	silence     int             // milliseconds of it that end a turn
	history     bool            // the client tells what has been said before, and no answer is due

	contents []byte    // the conversation, JSON between commas
	heard    heard     // the sound in it
	parts    []byte    // of the user's turn that is not over, JSON between commas
	sound    recording // likewise
	rate     int       // samples of it per second
	active   bool      // the user is speaking
	calls    []string  // ids of the calls that the client has not answered
	reply    *liveReply
	waiting  bool     // another answer is due after the turn under way
	failure  *failure // of the turn under way
}

func newLiveTalk(k *socket, ctx *fasthttp.RequestCtx) protocol {
	k.kind = websocket.MessageBinary
	return &liveTalk{k: k, refused: k.s.keyFailure(gemini{}, ctx), ids: rng(mix(k.s.brain.seed + k.s.serial.Add(1))), rate: liveRate}
}

func (l *liveTalk) open() {
	if l.refused != nil {
		l.refuse(l.refused)
	}
	l.k.life.Reset(l.k.span - l.notice())
}

// notice is how long before its end the client is told that the socket will be closed.
func (l *liveTalk) notice() time.Duration { return l.k.span / 10 }

func (l *liveTalk) expire() time.Duration {
	if l.leaving {
		return 0
	}
	l.leaving = true
	l.say(`{"goAway":{"timeLeft":"` + strconv.FormatFloat(l.notice().Seconds(), 'f', -1, 64) + `s"}}`)
	return l.notice()
}

func (l *liveTalk) say(message string) { l.k.say([]byte(message)) }

// refuse closes the socket: the API has no message for failures.
func (l *liveTalk) refuse(f *failure) {
	state := StateFinished
	if l.k.turn != nil {
		state = StateStopped
	}
	bye := farewell(f)
	l.k.leave(state, bye.Code, bye.Reason)
}

// farewell is how a failure closes a socket.
func farewell(f *failure) *websocket.CloseError {
	bye := &websocket.CloseError{Code: websocket.StatusInternalError, Reason: f.message}
	switch f.status {
	case 400:
		bye.Code = websocket.StatusInvalidFramePayloadData
	case 401, 403, 404:
		bye.Code = websocket.StatusPolicyViolation
	}
	return bye
}

func (l *liveTalk) hear(message []byte) {
	v, err := fastjson.ParseBytes(message)
	if err != nil || v.Type() != fastjson.TypeObject {
		l.refuse(&geminiManners.notJSON)
		return
	}
	if f := l.do(v); f != nil {
		l.refuse(f)
	}
}

func (l *liveTalk) do(v *fastjson.Value) *failure {
	setup := member(v, "setup")
	if (setup != nil) != (l.setup == nil) {
		return badArgument("setup must be the first message and only the first")
	}
	if setup != nil {
		return l.begin(setup)
	}
	if m := member(v, "clientContent"); m != nil {
		return l.addContent(m)
	}
	if m := member(v, "realtimeInput"); m != nil {
		return l.addInput(m)
	}
	if m := member(v, "toolResponse"); m != nil {
		return l.addResults(m)
	}
	return badArgument("Invalid JSON payload received. The message has none of setup, clientContent, realtimeInput and toolResponse.")
}

// begin reads what the client wants of the session.
func (l *liveTalk) begin(setup *fastjson.Value) *failure {
	l.setup = setup
	l.model = strings.TrimPrefix(string(setup.GetStringBytes("model")), "models/")
	if l.model == "" {
		return badArgument("* BidiGenerateContentRequest.setup.model: model is not specified\n")
	}
	modalities := member(member(setup, "generationConfig"), "responseModalities")
	l.spoken = len(modalities.GetArray()) == 0
	for _, m := range modalities.GetArray() {
		l.spoken = l.spoken || string(m.GetStringBytes()) == "AUDIO"
	}
	l.transcribes, l.captions = member(setup, "inputAudioTranscription") != nil, member(setup, "outputAudioTranscription") != nil
	l.silence = turnSilence
	l.readActivity(member(setup, "realtimeInputConfig"))
	l.history = isTrue(member(member(setup, "historyConfig"), "initialHistoryInClientContent"))
	v, f := l.request([]byte(`{"parts":[{"text":"probe"}]}`))
	if f == nil {
		_, f = readText(&query{body: v, arg: l.model}, argModel, readContents)
	}
	if f != nil && f.code == codeNoModel {
		f.message = fmt.Sprintf(noLiveModel, f.model)
	}
	if f == nil {
		l.say(`{"setupComplete":{}}`)
	}
	return f
}

// noLiveModel is the message for a model that there is not.
const noLiveModel = "models/%s is not found for API version v1beta, or is not supported for bidiGenerateContent. " +
	"Call ListModels to see the list of available models and their supported methods."

func (l *liveTalk) readActivity(input *fastjson.Value) {
	l.patient = string(member(input, "activityHandling").GetStringBytes()) == "NO_INTERRUPTION"
	detection := member(input, "automaticActivityDetection")
	l.manual = isTrue(field(detection, "disabled"))
	if silence := member(detection, "silenceDurationMs"); silence != nil {
		l.silence = silence.GetInt()
	}
}

func isTrue(v *fastjson.Value) bool { return v != nil && v.Type() == fastjson.TypeTrue }

// request is the conversation as a request to generate contents.
func (l *liveTalk) request(contents []byte) (*fastjson.Value, *failure) {
	body := append(append([]byte(`{"contents":[`), contents...), ']')
	for _, key := range [...]string{"systemInstruction", "tools", "generationConfig"} {
		if m := member(l.setup, key); m != nil {
			body = m.MarshalTo(append(body, `,"`+key+`":`...))
		}
	}
	v, err := fastjson.ParseBytes(append(body, '}'))
	if err != nil {
		return nil, &geminiManners.notJSON // all of it has been parsed before
	}
	return v, nil
}

// addContent takes what a client has to say in order.
func (l *liveTalk) addContent(v *fastjson.Value) *failure {
	l.interrupt()
	for _, content := range v.GetArray("turns") {
		l.contents = joinItems(l.contents, content.MarshalTo(nil))
	}
	if !isTrue(member(v, "turnComplete")) {
		return nil
	}
	if l.history {
		l.history = false
		return nil
	}
	l.respond()
	return nil
}

// addInput takes what comes from microphones, cameras and keyboards.
func (l *liveTalk) addInput(v *fastjson.Value) *failure {
	start, end := member(v, "activityStart") != nil, member(v, "activityEnd") != nil
	if (start || end) && !l.manual {
		return badArgument("Explicit activity control is not supported when automatic activity detection is enabled.")
	}
	if start {
		l.speaks()
	}
	blobs := member(v, "mediaChunks").GetArray()
	for _, key := range [...]string{"audio", "video"} {
		if blob := field(v, key); blob != nil {
			blobs = append(blobs, blob)
		}
	}
	for _, blob := range blobs {
		if f := l.addBlob(blob); f != nil {
			return f
		}
	}
	if text := v.GetStringBytes("text"); text != nil {
		l.parts = joinItems(l.parts, textOnly(string(text)))
		if !l.manual && !l.active {
			l.speaks()
			end = true
		}
	}
	if end || l.active && !l.manual && isTrue(member(v, "audioStreamEnd")) {
		l.fallsSilent()
	}
	return nil
}

// textOnly is a part that is text.
func textOnly(text string) []byte { return append(appendJSON([]byte(`{"text":`), text), '}') }

func (l *liveTalk) addBlob(blob *fastjson.Value) *failure {
	kind := string(member(blob, "mimeType").GetStringBytes())
	if !strings.HasPrefix(kind, "audio/") {
		l.parts = joinItems(l.parts, append(blob.MarshalTo([]byte(`{"inlineData":`)), '}'))
		return nil
	}
	sound, err := base64.StdEncoding.AppendDecode(nil, blob.GetStringBytes("data"))
	if err != nil {
		return badArgument("Invalid value at 'realtime_input.audio.data' (TYPE_BYTES), Base64 decoding failed.")
	}
	if _, params, err := mime.ParseMediaType(kind); err == nil {
		if rate, err := strconv.Atoi(params["rate"]); err == nil && rate >= 8000 && rate <= 48_000 {
			l.rate = rate
		}
	}
	if l.manual {
		if l.active {
			l.sound.add(sound)
		}
		return nil
	}
	for window := range slices.Chunk(sound, 2*(l.rate*soundWindow/1000)) {
		l.detect(window)
	}
	return nil
}

// detect takes a little sound, with which a turn of the user's may begin or end.
func (l *liveTalk) detect(window []byte) {
	loud := isLoud(window, noPhone)
	if loud && !l.active {
		l.speaks()
	}
	if !l.active {
		return // silence between turns is none of the conversation
	}
	l.sound.add(window)
	l.sound.hush(len(window), loud)
	if l.sound.quiet*1000/(2*l.rate) >= l.silence {
		l.fallsSilent()
	}
}

// speaks is called when a turn of the user's begins.
func (l *liveTalk) speaks() {
	l.active = true
	if !l.patient {
		l.interrupt()
	}
}

// fallsSilent is called when a turn of the user's is over.
func (l *liveTalk) fallsSilent() {
	l.active = false
	if l.sound.bytes > 0 {
		h := l.k.s.brain.listen(&l.sound, 2*l.rate)
		l.sound.clear()
		l.heard.tokens += h.tokens
		l.heard.instead += h.instead
		l.parts = joinItems(l.parts, textOnly(h.text))
		if l.transcribes {
			l.say(`{"serverContent":{"inputTranscription":` + string(textOnly(h.text)) + `}}`)
		}
	}
	if len(l.parts) > 0 {
		l.addTurn("user", l.parts)
		l.parts = nil
	}
	l.respond()
}

// addTurn makes parts the conversation's last turn.
func (l *liveTalk) addTurn(role string, parts []byte) {
	turn := append(append([]byte(`{"role":"`+role+`","parts":[`), parts...), "]}"...)
	l.contents = joinItems(l.contents, turn)
}

// addResults takes what functions have answered. The model goes on once it has all answers.
func (l *liveTalk) addResults(v *fastjson.Value) *failure {
	responses := member(v, "functionResponses")
	if responses == nil {
		return badArgument("* BidiGenerateContentRequest.tool_response.function_responses: function_responses is not specified\n")
	}
	var parts []byte
	for _, response := range responses.GetArray() {
		at := slices.Index(l.calls, string(response.GetStringBytes("id")))
		if at < 0 {
			return &failure{status: 404, message: "Requested entity was not found."}
		}
		l.calls = slices.Delete(l.calls, at, at+1)
		parts = joinItems(parts, append(response.MarshalTo([]byte(`{"functionResponse":`)), '}'))
	}
	l.addTurn("user", parts)
	if len(l.calls) == 0 {
		l.respond()
	}
	return nil
}

// respond begins an answer to the conversation, after the one under way.
func (l *liveTalk) respond() {
	if l.k.turn != nil {
		l.waiting = true
		return
	}
	p := &liveReply{spoken: l.spoken, captions: l.captions, heard: l.heard.tokens}
	l.reply, l.failure = p, nil
	l.k.begin(liveTurn{l: l}, bytes.TrimSpace(l.k.heard), func(own *settings) (*answer, *failure) {
		v, f := l.request(l.contents)
		if f != nil {
			return nil, f
		}
		plan := planText(argModel, l.read, func(_ *query, out *answer, a *ask, rep *reply) {
			out.in += l.heard.tokens - l.heard.instead
			w := liveWriter{answer: out, l: l, p: p, ask: a}
			w.write(rep)
		})
		return plan(&l.k.s.brain, &query{body: v, own: own, arg: l.model})
	})
}

// read is readContents for one answer, whose bound is also for its sound.
func (l *liveTalk) read(q *query, a *ask, p *prompt) *failure {
	f := readContents(q, a, p)
	a.choices = 1
	if l.spoken && a.max > 0 {
		a.max = max(a.max/soundCost, 1)
	}
	return f
}

// interrupt ends the answer under way where it is, and takes back the calls that the client has not answered.
func (l *liveTalk) interrupt() {
	k, p := l.k, l.reply
	if len(l.calls) > 0 {
		ids := []byte(`{"toolCallCancellation":{"ids":[`)
		for i, id := range l.calls {
			if i > 0 {
				ids = append(ids, ',')
			}
			ids = appendJSON(ids, id)
		}
		l.say(string(append(ids, "]}}"...)))
		l.calls = nil
	}
	if k.turn == nil || p.planned != k.turn.a {
		return // it fails, and ends by itself
	}
	n := k.turn.next
	thought := p.mused(n)
	said := k.turn.tokens - thought
	k.cancelTurn()
	l.reply, l.waiting = nil, false // what interrupts is answered with what waits
	if n > 0 {
		l.keep(p, p.marks[n-1])
	}
	l.say(`{"serverContent":{"interrupted":true}}`)
	l.say(`{"serverContent":{"turnComplete":true},"usageMetadata":` + p.usage(said, thought) + `}`)
}

// ended makes what was said part of the conversation, and goes on with what has come meanwhile.
func (l *liveTalk) ended(_ *turn, good bool) {
	p := l.reply
	l.reply = nil
	if l.failure != nil {
		l.k.farewell = farewell(l.failure)
		return
	}
	if good && p.planned != nil {
		l.keep(p, len(p.choice.text))
		l.calls = append(l.calls, p.calls...)
	}
	if l.waiting {
		l.waiting = false
		l.respond()
	}
}

// keep makes what p has said, some of its text or its calls, part of the conversation.
func (l *liveTalk) keep(p *liveReply, said int) {
	var parts []byte
	if said > 0 {
		parts = textOnly(p.choice.text[:said])
	}
	if p.told != nil {
		parts = joinItems(parts, p.told)
	}
	if parts != nil {
		l.addTurn("model", parts)
	}
}
