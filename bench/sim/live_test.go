package sim_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

const livePath = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"

var liveSpeech = speech{
	name: "live", url: livePath, late: true,
	greet: func(l *line, model string) {
		l.t.Helper()
		l.setup(model, `"generationConfig":{"responseModalities":["TEXT"]}`)
	},
	ask:   func(l *line, _ string) { l.say(clientContent("Hello")) },
	over:  turnComplete,
	words: liveText,
	failed: func(t *testing.T, l *line, want string) {
		_, err := l.end()
		code := websocket.StatusInternalError
		if want == "401" {
			code = websocket.StatusPolicyViolation
		}
		var closed websocket.CloseError
		require.ErrorAs(t, err, &closed, want)
		assert.Equal(t, code, closed.Code, want)
		assert.NotEmpty(t, closed.Reason)
	},
}

func turnComplete(m frame) bool { return m.at("serverContent", "turnComplete") == true }

func called(m frame) bool { return m.at("toolCall") != nil }

// liveText is what the messages of a turn say in text.
func liveText(all []frame) (text string) {
	for _, m := range all {
		if m.at("serverContent", "modelTurn") != nil {
			text += m.text("serverContent", "modelTurn", "parts", "0", "text")
		}
	}
	return text
}

// setup begins a session. Members are those of the setup but for the model.
func (l *line) setup(model, members string) {
	l.t.Helper()
	l.say(`{"setup":{"model":"models/` + model + `",` + members + `}}`)
	m := l.hear()
	require.Contains(l.t, m, "setupComplete", m)
	require.Equal(l.t, websocket.MessageBinary, l.kind)
}

func clientContent(text string) string {
	return fmt.Sprintf(`{"clientContent":{"turns":[{"role":"user","parts":[{"text":%q}]}],"turnComplete":true}}`, text)
}

// microphone is some milliseconds of sound: 0 is silence.
func microphone(millis int, sample byte) string {
	return `{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"` +
		base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{sample}, 32*millis)) + `"}}}`
}

// postedContent is what the answer to a POST says.
func postedContent(t testing.TB, url, contents, more string) string {
	t.Helper()
	var m frame
	require.NoError(t, json.Unmarshal([]byte(answered(t, url+"/v1beta/models/m:generateContent", `{"contents":[`+contents+`]`+more+`}`)), &m))
	return m.text("candidates", "0", "content", "parts", "0", "text")
}

// modalities are token counts by modality.
func modalities(m frame, key string) string {
	var out []string
	list, _ := m.at("usageMetadata", key).([]any)
	for _, one := range list {
		out = append(out, frame(one.(map[string]any)).text("modality")+" "+frame(one.(map[string]any)).text("tokenCount"))
	}
	return strings.Join(out, ", ")
}

func TestLiveText(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 10})
	l := dial(t, url+livePath+"?key=secret", "x-sim-chunks", "2")
	l.setup("m", `"generationConfig":{"responseModalities":["TEXT"]},"systemInstruction":{"parts":[{"text":"Be kind."}]}`)
	l.say(`{"clientContent":{"turns":[{"role":"user","parts":[{"text":"Zero"}]},{"role":"model","parts":[{"text":"Nil"}]}]}}`)
	l.say(clientContent("One"))
	all := l.until(turnComplete)
	require.Len(t, all, 4)
	assert.Equal(t, true, all[2].at("serverContent", "generationComplete"))
	before := `{"parts":[{"text":"Zero"}]},{"role":"model","parts":[{"text":"Nil"}]},{"parts":[{"text":"One"}]}`
	system := `,"systemInstruction":{"parts":[{"text":"Be kind."}]}`
	assert.Equal(t, postedContent(t, url, before, system), liveText(all))
	rec := lastTurn(t, srv, 1)
	assert.Equal(t, livePath, rec.Path)
	assert.Contains(t, rec.Query, "key=sha256%3A")
	assert.Contains(t, string(rec.Body), "Be kind.")
	assert.Equal(t, rec.TokensIn, all[3].number("usageMetadata", "promptTokenCount"))
	assert.Equal(t, rec.TokensOut, all[3].number("usageMetadata", "responseTokenCount"))
	assert.Equal(t, rec.TokensIn+rec.TokensOut, all[3].number("usageMetadata", "totalTokenCount"))
	assert.Equal(t, fmt.Sprintf("TEXT %d", rec.TokensIn), modalities(all[3], "promptTokensDetails"))
	assert.Equal(t, fmt.Sprintf("TEXT %d", rec.TokensOut), modalities(all[3], "responseTokensDetails"))

	words, _ := json.Marshal(liveText(all))
	l.say(`{"realtimeInput":{"text":"Two"}}`)
	posted := postedContent(t, url, before+`,{"role":"model","parts":[{"text":`+string(words)+`}]},{"parts":[{"text":"Two"}]}`, system)
	assert.Equal(t, posted, liveText(l.until(turnComplete)), "the whole conversation counts")

	l = dial(t, url+"/"+livePath) // as the SDK for JavaScript has it
	l.setup("m", `"generation_config":{"response_modalities":["TEXT"],"thinkingConfig":{"includeThoughts":true}},"historyConfig":{"initialHistoryInClientContent":true}`)
	l.say(clientContent("A history asks for no answer"))
	l.say(clientContent("Hello"))
	all = l.until(turnComplete)
	assert.Equal(t, true, all[0].at("serverContent", "modelTurn", "parts", "0", "thought"))
	usage := all[len(all)-1]
	thought := usage.number("usageMetadata", "thoughtsTokenCount")
	assert.Positive(t, thought)
	rec = lastTurn(t, srv, 3)
	assert.Equal(t, rec.TokensOut, thought+usage.number("usageMetadata", "responseTokenCount"))
	assert.Equal(t, rec.TokensIn+rec.TokensOut, usage.number("usageMetadata", "totalTokenCount"))
}

func TestLiveAudio(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 10})
	l := dial(t, url+livePath, "x-sim-chunks", "2", "x-sim-tokens", "20")
	l.setup("m", `"inputAudioTranscription":{},"outputAudioTranscription":{}`)
	l.say(microphone(2000, 0))
	l.say(microphone(1000, 16))
	l.say(microphone(300, 0))
	l.say(microphone(200, 16))
	l.say(`{"realtimeInput":{"video":{"mimeType":"image/jpeg","data":"aaaa"}}}`)
	l.say(microphone(3000, 0))
	all := l.until(turnComplete)
	require.Len(t, all, 7)
	assert.NotEmpty(t, all[0].text("serverContent", "inputTranscription", "text"))
	sound := all[2].at("serverContent", "modelTurn", "parts", "0", "inlineData").(map[string]any)
	assert.Equal(t, "audio/pcm;rate=24000", sound["mimeType"])
	assert.Len(t, unbase64(t, sound["data"].(string)), 48*100*10)
	assert.NotEmpty(t, all[1].text("serverContent", "outputTranscription", "text"))
	rec := lastTurn(t, srv, 1)
	assert.Equal(t, 40, rec.TokensOut)
	assert.Equal(t, 105, rec.TokensIn)
	assert.Equal(t, "AUDIO 40", modalities(all[6], "responseTokensDetails"))
	assert.Equal(t, "AUDIO 20, IMAGE 85", modalities(all[6], "promptTokensDetails"))

	l.say(microphone(300, 16))
	l.say(`{"realtimeInput":{"audioStreamEnd":true}}`)
	all = l.until(turnComplete)
	assert.Contains(t, modalities(all[len(all)-1], "promptTokensDetails"), "AUDIO 23")

	l = dial(t, url+livePath)
	l.setup("m", `"realtimeInputConfig":{"automaticActivityDetection":{"disabled":true}},"generationConfig":{"maxOutputTokens":10}`)
	for _, words := range []string{microphone(500, 16), `{"realtimeInput":{"activityStart":{}}}`, microphone(500, 0),
		`{"realtimeInput":{"mediaChunks":[{"mimeType":"audio/pcm","data":"` + strings.Repeat("AAAA", 1200) + `"}]}}`, `{"realtimeInput":{"activityEnd":{}}}`} {
		l.say(words)
	}
	all = l.until(turnComplete)
	assert.Equal(t, "AUDIO 7", modalities(all[len(all)-1], "promptTokensDetails"))
	assert.Equal(t, 10, all[len(all)-1].number("usageMetadata", "responseTokenCount"), "the bound is for the sound")
}

func TestLiveInterruption(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 10})
	interrupted := func(m frame) bool { return m.at("serverContent", "interrupted") == true }
	said := func(m frame) bool { return m.at("serverContent", "modelTurn") != nil }
	l := dial(t, url+livePath, "x-sim-tps", "50", "x-sim-tokens", "100")
	l.setup("m", `"generationConfig":{"responseModalities":["TEXT"]}`)
	l.say(clientContent("Hello"))
	l.until(said)
	l.say(microphone(100, 16))
	l.until(interrupted)
	m := l.hear()
	assert.True(t, turnComplete(m))
	rec := lastTurn(t, srv, 1)
	assert.Equal(t, sim.StateCancelled, rec.State)
	assert.Positive(t, rec.TokensOut)
	assert.Equal(t, rec.TokensOut, m.number("usageMetadata", "responseTokenCount"))
	l.say(microphone(500, 0))
	l.until(said)
	l.say(clientContent("Stop"))
	l.until(interrupted)

	l = dial(t, url+livePath, "x-sim-tps", "200", "x-sim-tokens", "20")
	l.setup("m", `"realtimeInputConfig":{"activityHandling":"NO_INTERRUPTION","automaticActivityDetection":{"silenceDurationMs":100}}`)
	l.say(clientContent("Hello"))
	l.until(said)
	l.say(microphone(100, 16))
	l.say(microphone(100, 0))
	for range 2 {
		for _, m := range l.until(turnComplete) {
			assert.False(t, interrupted(m))
		}
	}
}

func TestLiveTools(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 20})
	l := dial(t, url+livePath)
	l.setup("m", `"tools":[{"functionDeclarations":[{"name":"rain","parameters":{"type":"OBJECT","properties":{"a":{"type":"STRING"}}}},{"name":"snow"}]}]`)
	l.say(clientContent("rain and snow"))
	all := l.until(called)
	require.Len(t, all, 1)
	rec := lastTurn(t, srv, 1)
	assert.Equal(t, fmt.Sprintf("TEXT %d", rec.TokensOut), modalities(all[0], "responseTokensDetails"))
	calls := all[0].at("toolCall", "functionCalls").([]any)
	require.Len(t, calls, 2)
	for i, name := range []string{"rain", "snow"} {
		call := frame(calls[i].(map[string]any))
		assert.Equal(t, name, call.text("name"))
		l.say(`{"toolResponse":{"functionResponses":[{"id":"` + call.text("id") + `","name":"` + name + `","response":{"output":"much"}}]}}`)
	}
	all = l.until(turnComplete)
	assert.Equal(t, true, all[len(all)-2].at("serverContent", "generationComplete"))
	assert.Len(t, turnsOf(srv), 2, "the model waits for all answers")

	l.say(clientContent("rain"))
	l.until(called)
	l.say(clientContent("Never mind"))
	assert.Len(t, l.hear().at("toolCallCancellation", "ids"), 1)
	l.until(turnComplete)
	l.say(`{"toolResponse":{"functionResponses":[{"id":"none","name":"rain","response":{}}]}}`)
	_, err := l.end()
	assert.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err))
}

func TestLiveRefusals(t *testing.T) {
	srv, url := start(t, sim.Options{APIKey: "key", LogSize: 100})
	setup := `{"setup":{"model":"models/m"}}`
	for _, c := range []struct {
		query, words string
		code         websocket.StatusCode
		reason       string
	}{
		{"", "", websocket.StatusPolicyViolation, "unregistered callers"},
		{"?key=wrong", "", websocket.StatusInvalidFramePayloadData, "API key not valid"},
		{"?key=key", `no JSON`, websocket.StatusInvalidFramePayloadData, "Invalid JSON"},
		{"?key=key", clientContent("Hello"), websocket.StatusInvalidFramePayloadData, "setup must be the first"},
		{"?key=key", setup + "\n" + setup, websocket.StatusInvalidFramePayloadData, "setup must be the first"},
		{"?key=key", `{"setup":{}}`, websocket.StatusInvalidFramePayloadData, "model"},
		{"?key=key", `{"setup":{"model":"models/missing-model"}}`, websocket.StatusPolicyViolation, "bidiGenerateContent"},
		{"?key=key", `{"setup":{"model":"m","tools":[{"functionDeclarations":[{}]}]}}`, websocket.StatusInvalidFramePayloadData, "function_declarations[0]"},
		{"?key=key", setup + "\n" + `{"unknown":{}}`, websocket.StatusInvalidFramePayloadData, "Invalid JSON"},
		{"?key=key", setup + "\n" + `{"clientContent":{"turnComplete":true}}`, websocket.StatusInvalidFramePayloadData, "contents"},
		{"?key=key", setup + "\n" + `{"realtimeInput":{"activityEnd":{}}}`, websocket.StatusInvalidFramePayloadData, "activity"},
		{"?key=key", setup + "\n" + `{"realtimeInput":{"audio":{"mimeType":"audio/pcm","data":"?"}}}`, websocket.StatusInvalidFramePayloadData, "Base64"},
		{"?key=key", setup + "\n" + `{"toolResponse":{}}`, websocket.StatusInvalidFramePayloadData, "function_responses"},
	} {
		l := dial(t, url+livePath+c.query)
		if c.words != "" {
			for words := range strings.SplitSeq(c.words, "\n") {
				l.say(words)
			}
		}
		_, err := l.end()
		var closed websocket.CloseError
		require.ErrorAs(t, err, &closed, c.words)
		assert.Equal(t, c.code, closed.Code, c.words)
		assert.Contains(t, closed.Reason, c.reason)
	}
	assert.Equal(t, sim.StateFinished, eventually(t, srv, 0, sim.StateFinished).State)
}

func TestLiveGoAway(t *testing.T) {
	_, url := start(t, sim.Options{})
	l := dial(t, url+livePath, "x-sim-life", "100ms")
	l.setup("m", `"generationConfig":{}`)
	assert.Equal(t, "0.01s", l.hear().text("goAway", "timeLeft"))
	_, err := l.end()
	assert.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err))
}
