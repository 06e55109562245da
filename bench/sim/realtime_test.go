package sim_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

var realtimeSpeech = speech{
	name: "realtime", url: "/v1/realtime?model=MODEL",
	greet: func(l *line, _ string) {
		l.t.Helper()
		require.Equal(l.t, "session.created", l.hear().kind())
		l.say(`{"type":"session.update","session":{"type":"realtime","output_modalities":["text"],"tools":[]}}`)
		require.Equal(l.t, "session.updated", l.hear().kind())
	},
	ask: func(l *line, _ string) {
		l.say(`{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"Hello"}]}}`)
		for range 2 {
			require.Contains(l.t, l.hear().kind(), "conversation.item.")
		}
		l.say(`{"type":"response.create"}`)
	},
	over: responseDone,
	words: func(all []frame) string {
		return all[len(all)-1].output(0).text("content", "0", "text")
	},
	failed: func(t *testing.T, l *line, want string) {
		code := map[string]string{"error200": "server_error", "error-mid": "server_error", "401": "invalid_api_key"}[want]
		if code != "" {
			all := l.until(func(m frame) bool { return m.kind() == "error" })
			assert.Equal(t, code, all[len(all)-1].text("error", "code"))
		}
		if want == "error200" || want == "401" {
			return
		}
		all := l.until(responseDone)
		last := all[len(all)-1]
		assert.Equal(t, "failed", last.text("response", "status"), want)
		assert.Equal(t, "failed", last.text("response", "status_details", "type"))
		assert.NotEmpty(t, last.text("response", "status_details", "error", "message"))
	},
}

func responseDone(m frame) bool { return m.kind() == "response.done" }

// output is the k-th item of the response that an event holds.
func (m frame) output(k int) frame {
	out, _ := m.at("response", "output").([]any)
	return frame(out[k].(map[string]any))
}

// postedText is what the answer to a POST says.
func postedText(t testing.TB, posted string) string {
	var m frame
	require.NoError(t, json.Unmarshal([]byte(posted), &m))
	return m.text("output", "0", "content", "0", "text")
}

func userSays(text string) string {
	return fmt.Sprintf(`{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":%q}]}}`, text)
}

// appendSound is an append of samples.
func appendSound(samples []byte) string {
	return `{"type":"input_audio_buffer.append","audio":"` + base64.StdEncoding.EncodeToString(samples) + `"}`
}

// silence and voice are appends of some milliseconds.
func silence(millis int) string { return appendSound(make([]byte, 48*millis)) }

func voice(millis int) string { return appendSound(bytes.Repeat([]byte{16}, 48*millis)) }

func (l *line) updateSession(members string) frame {
	l.t.Helper()
	l.say(`{"type":"session.update","session":{"type":"realtime",` + members + `}}`)
	m := l.hear()
	require.Equal(l.t, "session.updated", m.kind(), m)
	return m
}

func TestRealtimeText(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 10})
	l := dial(t, url+"/v1/realtime?model=m", "x-sim-chunks", "2")
	created := l.hear()
	assert.Equal(t, "m", created.text("session", "model"))
	updated := l.updateSession(`"instructions":"Be kind.","output_modalities":["text"],"audio":{"input":{"turn_detection":null},"output":{"voice":"cedar"}}`)
	assert.Equal(t, "null", updated.text("session", "audio", "input", "turn_detection"))
	assert.Equal(t, "audio/pcm", updated.text("session", "audio", "input", "format", "type"))
	assert.Equal(t, "cedar", updated.text("session", "audio", "output", "voice"))
	l.say(userSays("One"))
	item := l.hear()
	assert.Equal(t, "null", item.text("previous_item_id"))
	assert.Equal(t, "completed", item.text("item", "status"))
	l.hear()
	l.say(`{"type":"response.create","response":{"metadata":{"a":"b"}}}`)
	all := l.until(responseDone)
	assert.Equal(t, []string{"response.created", "rate_limits.updated", "response.output_item.added", "conversation.item.added",
		"response.content_part.added", "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
		"response.content_part.done", "response.output_item.done", "conversation.item.done", "response.done"}, kinds(all))
	assert.Equal(t, item.text("item", "id"), all[3].text("previous_item_id"))
	ids := map[string]bool{}
	for _, m := range all {
		ids[m.text("event_id")] = true
	}
	assert.Len(t, ids, len(all))
	done := all[len(all)-1]
	assert.Equal(t, "completed null b", strings.Join([]string{done.text("response", "status"), done.text("response", "status_details"), done.text("response", "metadata", "a")}, " "))
	words := done.output(0).text("content", "0", "text")
	assert.Equal(t, all[5].text("delta")+all[6].text("delta"), words)
	posted := answered(t, url+"/v1/responses", `{"model":"m","instructions":"Be kind.","input":"One"}`)
	assert.Equal(t, postedText(t, posted), words)
	rec := lastTurn(t, srv, 1)
	assert.Contains(t, string(rec.Body), "Be kind.")
	assert.Equal(t, rec.TokensOut, done.number("response", "usage", "output_tokens"))
	assert.Equal(t, rec.TokensIn, done.number("response", "usage", "input_tokens"))
	assert.Equal(t, rec.TokensIn+rec.TokensOut, done.number("response", "usage", "total_tokens"))

	l.say(userSays("Two"))
	l.say(`{"type":"response.create"}`)
	all = l.until(responseDone)
	first, _ := json.Marshal(words)
	posted = answered(t, url+"/v1/responses", `{"model":"m","instructions":"Be kind.","input":[{"role":"user","content":"One"},`+
		`{"role":"assistant","content":`+string(first)+`},{"role":"user","content":"Two"}]}`)
	assert.Equal(t, postedText(t, posted), all[len(all)-1].output(0).text("content", "0", "text"), "the whole conversation counts")
}

func TestRealtimeAudio(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 10})
	l := dial(t, url+"/v1/realtime?model=m", "x-sim-chunks", "2", "x-sim-tokens", "20")
	l.hear()
	l.updateSession(`"audio":{"input":{"turn_detection":null,"transcription":{"model":"gpt-4o-transcribe"}}}`)
	l.say(`{"type":"input_audio_buffer.commit","event_id":"mine"}`)
	m := l.hear()
	assert.Equal(t, "input_audio_buffer_commit_empty mine", m.text("error", "code")+" "+m.text("error", "event_id"))
	l.say(voice(500))
	l.say(`{"type":"input_audio_buffer.clear"}`)
	assert.Equal(t, "input_audio_buffer.cleared", l.hear().kind())
	l.say(voice(1500))
	l.say(voice(500))
	l.say(`{"type":"input_audio_buffer.commit"}`)
	l.say(`{"type":"response.create"}`)
	all := l.until(responseDone)
	assert.Equal(t, []string{"input_audio_buffer.committed", "conversation.item.added", "conversation.item.done",
		"conversation.item.input_audio_transcription.delta", "conversation.item.input_audio_transcription.completed", "response.created", "rate_limits.updated", "response.output_item.added",
		"conversation.item.added", "response.content_part.added", "response.output_audio_transcript.delta", "response.output_audio.delta",
		"response.output_audio_transcript.delta", "response.output_audio.delta", "response.output_audio.done",
		"response.output_audio_transcript.done", "response.content_part.done", "response.output_item.done", "conversation.item.done",
		"response.done"}, kinds(all))
	assert.Equal(t, 20, all[4].number("usage", "input_token_details", "audio_tokens"))
	usage := frame(all[len(all)-1].at("response", "usage").(map[string]any))
	assert.Equal(t, 20, usage.number("input_token_details", "audio_tokens"))
	assert.Equal(t, 20, usage.number("output_token_details", "text_tokens"))
	assert.Equal(t, 40, usage.number("output_token_details", "audio_tokens"))
	assert.Equal(t, 60, lastTurn(t, srv, 1).TokensOut)
	assert.Len(t, unbase64(t, all[11].text("delta"))[1:], 20*48*100/2-1)
	item := all[len(all)-1].output(0)
	assert.Equal(t, "output_audio", item.text("content", "0", "type"))
	assert.NotEmpty(t, item.text("content", "0", "transcript"))

	l.say(`{"type":"response.create","response":{"max_output_tokens":30,"conversation":"none"}}`)
	all = l.until(responseDone)
	assert.Equal(t, 30, all[len(all)-1].number("response", "usage", "output_tokens"), "the sound counts, too")
	l.say(`{"type":"conversation.item.truncate","item_id":"` + item.text("id") + `","content_index":0,"audio_end_ms":700}`)
	assert.Equal(t, "conversation.item.truncated", l.hear().kind())
	l.say(`{"type":"conversation.item.truncate","item_id":"` + item.text("id") + `","content_index":0,"audio_end_ms":99999}`)
	assert.Equal(t, "error", l.hear().kind())
	for _, kind := range []string{"retrieve", "delete", "delete"} {
		l.say(`{"type":"conversation.item.` + kind + `","item_id":"` + item.text("id") + `"}`)
	}
	assert.Equal(t, []string{"conversation.item.retrieved", "conversation.item.deleted", "error"}, kinds([]frame{l.hear(), l.hear(), l.hear()}))
}

func TestRealtimeDetectsTurns(t *testing.T) {
	_, url := start(t, sim.Options{})
	l := dial(t, url+"/v1/realtime?model=m", "x-sim-chunks", "1", "x-sim-tps", "20")
	l.hear()
	l.say(silence(1000))
	l.say(voice(600))
	m := l.hear()
	assert.Equal(t, "input_audio_buffer.speech_started 1000", m.kind()+" "+m.text("audio_start_ms"))
	l.say(silence(100))
	l.say(voice(100))
	l.say(silence(3000))
	all := l.until(func(m frame) bool { return m.kind() == "response.output_audio_transcript.delta" })
	assert.Equal(t, []string{"input_audio_buffer.speech_stopped", "input_audio_buffer.committed", "conversation.item.added"}, kinds(all)[:3])
	assert.Equal(t, "2000", all[0].text("audio_end_ms"))
	assert.Equal(t, m.text("item_id"), all[1].text("item_id"))
	l.say(voice(100))
	all = l.until(responseDone)
	assert.Equal(t, "cancelled turn_detected", all[len(all)-1].text("response", "status")+" "+all[len(all)-1].text("response", "status_details", "reason"))
	l.updateSession(`"audio":{"input":{"turn_detection":{"type":"semantic_vad","create_response":false}}}`)
	l.say(silence(500))
	l.say(`{"type":"input_audio_buffer.clear"}`)
	all = l.until(func(m frame) bool { return m.kind() == "input_audio_buffer.cleared" })
	assert.NotContains(t, kinds(all), "response.created")
	assert.Contains(t, kinds(all), "input_audio_buffer.committed")

	for format, sounds := range map[string][2]byte{"audio/pcmu": {0xff, 0x00}, "audio/pcma": {0xd5, 0x2a}} {
		l = dial(t, url+"/v1/realtime?model=m", "x-sim-chunks", "1")
		l.hear()
		l.updateSession(`"audio":{"input":{"format":{"type":"` + format + `"}},"output":{"format":{"type":"` + format + `"}}}`)
		for _, sound := range []byte{sounds[0], sounds[1], sounds[0]} {
			l.say(appendSound(bytes.Repeat([]byte{sound}, 8*300)))
		}
		all = l.until(responseDone)
		assert.Equal(t, "300", all[0].text("audio_start_ms"), format)
		assert.Equal(t, 5, all[len(all)-1].number("response", "usage", "input_token_details", "audio_tokens"))
		assert.Len(t, unbase64(t, all[11].text("delta")), 800*all[len(all)-1].number("response", "usage", "output_token_details", "text_tokens"))
	}
}

func TestRealtimeCancel(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 10})
	l := realtimeSpeech.dial(t, url, "m", "x-sim-tps", "100")
	l.say(`{"type":"response.cancel"}`)
	assert.Equal(t, "response_cancel_not_active", l.hear().text("error", "code"))
	realtimeSpeech.ask(l, "m")
	l.until(func(m frame) bool { return m.kind() == "response.output_text.delta" })
	l.say(`{"type":"response.create"}`)
	all := l.until(func(m frame) bool { return m.kind() == "error" })
	assert.Equal(t, "conversation_already_has_active_response", all[len(all)-1].text("error", "code"))
	l.say(`{"type":"response.cancel"}`)
	all = l.until(responseDone)
	done := all[len(all)-1]
	assert.Equal(t, "cancelled client_cancelled", done.text("response", "status")+" "+done.text("response", "status_details", "reason"))
	assert.Contains(t, kinds(all), "response.output_item.done")
	assert.Equal(t, "incomplete", done.output(0).text("status"))
	rec := lastTurn(t, srv, 1)
	assert.Equal(t, sim.StateCancelled, rec.State)
	assert.Positive(t, rec.TokensOut)
	assert.Equal(t, rec.TokensOut, done.number("response", "usage", "output_tokens"))
	assert.EqualValues(t, rec.TokensOut, srv.Stats().TokensOut)
	assert.Zero(t, srv.Stats().OpenStreams)
	l.say(`{"type":"response.create","response":{"conversation":"none","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"aside"}]}]}}`)
	l.say(`{"type":"response.cancel"}`)
	all = l.until(responseDone)
	assert.Equal(t, "cancelled", all[len(all)-1].text("response", "status"))
	assert.NotContains(t, kinds(all), "conversation.item.added")
	assert.Equal(t, "response.created", all[0].kind())
}

func TestRealtimeTools(t *testing.T) {
	_, url := start(t, sim.Options{})
	l := realtimeSpeech.dial(t, url, "m")
	l.updateSession(`"tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}]`)
	l.say(userSays("go f"))
	l.say(`{"type":"response.create"}`)
	all := l.until(responseDone)
	call := all[len(all)-1].output(0)
	assert.Equal(t, "function_call f", call.text("type")+" "+call.text("name"))
	assert.True(t, json.Valid([]byte(call.text("arguments"))))
	assert.Contains(t, kinds(all), "response.function_call_arguments.delta")
	assert.Contains(t, kinds(all), "response.function_call_arguments.done")
	l.say(`{"type":"conversation.item.create","item":{"type":"function_call_output","call_id":"other","output":"rain"}}`)
	assert.Equal(t, "invalid_tool_call_id", l.hear().text("error", "code"))
	l.say(`{"type":"conversation.item.create","item":{"type":"function_call_output","call_id":"` + call.text("call_id") + `","output":"rain"}}`)
	l.say(`{"type":"response.create"}`)
	all = l.until(responseDone)
	assert.Equal(t, "message", all[len(all)-1].output(0).text("type"))

	l.say(`{"type":"response.create","response":{"max_output_tokens":3,"tool_choice":"none"}}`)
	all = l.until(responseDone)
	done := all[len(all)-1]
	assert.Equal(t, "incomplete max_output_tokens", done.text("response", "status")+" "+done.text("response", "status_details", "reason"))
	assert.Equal(t, 3, done.number("response", "usage", "output_tokens"))
}

func TestRealtimeBeta(t *testing.T) {
	_, url := start(t, sim.Options{})
	l := dial(t, url+"/v1/realtime?model=m", "OpenAI-Beta", "realtime=v1", "x-sim-chunks", "1")
	assert.NotNil(t, l.hear().at("session", "modalities"))
	assert.Equal(t, "conversation.created", l.hear().kind())
	ask := func(modalities string) []string {
		l.say(`{"type":"session.update","session":{"modalities":` + modalities + `,"turn_detection":null}}`)
		l.say(userSays("Hello"))
		l.say(`{"type":"response.create"}`)
		all := l.until(responseDone)
		assert.Equal(t, modalities, all[len(all)-1].text("response", "modalities"))
		return kinds(all)
	}
	assert.Equal(t, []string{"session.updated", "conversation.item.created", "response.created", "rate_limits.updated",
		"response.output_item.added", "conversation.item.created", "response.content_part.added", "response.text.delta", "response.text.done",
		"response.content_part.done", "response.output_item.done", "response.done"}, ask(`["text"]`))
	spoken := ask(`["audio","text"]`)
	for _, name := range []string{"response.audio.delta", "response.audio.done", "response.audio_transcript.delta", "response.audio_transcript.done"} {
		assert.Contains(t, spoken, name)
	}
}

func TestRealtimeKeys(t *testing.T) {
	srv, url := start(t, sim.Options{APIKey: "key", LogSize: 10})
	o := websocket.DialOptions{Subprotocols: []string{"realtime", "openai-insecure-api-key.key"}}
	c, _, err := tryDial(t, url+"/v1/realtime?model=m", &o)
	require.NoError(t, err)
	assert.Equal(t, "realtime", c.Subprotocol())
	assert.Contains(t, srv.Requests()[0].Headers["sec-websocket-protocol"], "realtime,openai-insecure-api-key.sha256:")
	o.Subprotocols[1] = "openai-insecure-api-key.wrong"
	_, resp, err := tryDial(t, url+"/v1/realtime?model=m", &o)
	require.Error(t, err)
	assert.Equal(t, 401, resp.StatusCode)
	_, resp, err = tryDial(t, url+"/v1/realtime", &websocket.DialOptions{}, "Authorization", "Bearer key")
	require.Error(t, err)
	assert.Equal(t, 400, resp.StatusCode)
}

func TestRealtimeErrors(t *testing.T) {
	_, url := start(t, sim.Options{LogSize: 10})
	l := realtimeSpeech.dial(t, url, "m;fail=429")
	codes := []string{}
	for _, words := range []string{`no JSON`, `{"type":"response.steer"}`, `{"type":"session.update"}`, `{"type":"session.update","session":{}}`,
		`{"type":"session.update","session":{"type":"transcription"}}`,
		`{"type":"conversation.item.create"}`, `{"type":"conversation.item.create","item":{"type":"message","role":"user"}}`,
		`{"type":"conversation.item.create","item":{"type":"message","role":"king","content":[]}}`,
		`{"type":"conversation.item.create","previous_item_id":"none","item":{"type":"message","role":"user","content":[]}}`,
		`{"type":"input_audio_buffer.append","audio":"?"}`, `{"type":"conversation.item.delete","item_id":"none"}`,
		`{"type":"response.create","response":{"input":[{"type":"item_reference","id":"none"}]}}`,
	} {
		l.say(words)
		m := l.hear()
		require.Equal(t, "error", m.kind(), words)
		codes = append(codes, m.text("error", "code"))
	}
	slices.Sort(codes)
	assert.Equal(t, "invalid_json invalid_value invalid_value invalid_value invalid_value invalid_value item_create_invalid_previous_item_id "+
		"item_delete_invalid_item_id missing_required_parameter missing_required_parameter missing_required_parameter missing_required_parameter",
		strings.Join(codes, " "))
	realtimeSpeech.ask(l, "m")
	all := l.until(responseDone)
	assert.Equal(t, []string{"response.created", "response.done"}, kinds(all))
	assert.Equal(t, "rate_limit_exceeded", all[1].text("response", "status_details", "error", "code"))

	short := dial(t, url+"/v1/realtime?model=m", "x-sim-life", "20ms")
	said, _ := short.end()
	assert.Equal(t, "session_expired", said[1].text("error", "code"))
}

func TestRealtimeItems(t *testing.T) {
	_, url := start(t, sim.Options{})
	l := realtimeSpeech.dial(t, url, "m")
	create := func(more, item string) frame {
		l.say(`{"type":"conversation.item.create",` + more + `"item":` + item + `}`)
		m := l.hear()
		if m.kind() != "error" {
			require.Equal(t, "conversation.item.done", l.hear().kind())
		}
		return m
	}
	sound := base64.StdEncoding.EncodeToString(make([]byte, 48*500))
	item := create("", `{"id":"mine","type":"message","role":"user","content":[{"type":"input_audio","audio":"`+sound+`"},`+
		`{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo="}]}`)
	assert.Equal(t, "mine", item.text("item", "id"))
	assert.Nil(t, item.at("item", "content", "0", "audio"), "sound is not told again")
	assert.Equal(t, "null", create(`"previous_item_id":"root",`, `{"type":"message","role":"system","content":[{"type":"input_text","text":"Be kind."}]}`).text("previous_item_id"))
	assert.Equal(t, "mine", create(`"previous_item_id":"mine",`, `{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}`).text("previous_item_id"))
	assert.Equal(t, "conversation.item.added", create("", `{"type":"function_call_output","call_id":"c","output":"rain"}`).kind())
	for wrong, code := range map[string]string{
		`{"id":"mine","type":"message","role":"user","content":[]}`: "item_create_duplicate_item_id",
		`{"type":"mcp_call"}`: "invalid_value",
		`{}`:                  "missing_required_parameter",
		`{"type":"message","role":"user","content":[{"type":"input_audio","audio":"?"}]}`: "invalid_value",
	} {
		assert.Equal(t, code, create("", wrong).text("error", "code"), wrong)
	}
	l.say(`{"type":"response.create","response":{"conversation":"none","input":[{"type":"item_reference","id":"mine"}]}}`)
	all := l.until(responseDone)
	done := all[len(all)-1]
	assert.Equal(t, "5 85 0", fmt.Sprintf("%d %d %d", done.number("response", "usage", "input_token_details", "audio_tokens"),
		done.number("response", "usage", "input_token_details", "image_tokens"), done.number("response", "usage", "input_token_details", "text_tokens")))
}
