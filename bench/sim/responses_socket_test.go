package sim_test

import (
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

var responsesSpeech = speech{
	name: "responses", url: "/v1/responses",
	ask: func(l *line, model string) {
		l.say(`{"type":"response.create","model":"` + model + `","input":"Hello"}`)
	},
	over: func(m frame) bool { return m.kind() == "response.completed" },
	words: func(all []frame) string {
		return all[len(all)-1].text("response", "output", "0", "content", "0", "text")
	},
	failed: func(t *testing.T, l *line, want string) {
		status := map[string]int{"429": 429, "500": 500, "502": 502, "503": 503, "401": 401, "quota": 429, "error200": 500}[want]
		if want == "error-mid" {
			last := l.until(func(m frame) bool { return m.kind() == "response.failed" })
			assert.Equal(t, "server_error", last[len(last)-1].text("response", "error", "code"))
			return
		}
		m := l.hear()
		assert.Equal(t, "error", m.kind(), want)
		assert.Equal(t, status, m.number("status"), want)
		assert.NotEmpty(t, m.text("error", "message"))
	},
}

// events are the data of a stream's events.
func events(stream string) (out []frame) {
	for _, ev := range strings.Split(strings.TrimSpace(stream), "\n\n") {
		_, data, _ := strings.Cut(ev, "\ndata: ")
		var m frame
		_ = json.Unmarshal([]byte(data), &m)
		out = append(out, m)
	}
	return out
}

// timeless is all without the times of creation and completion.
func timeless(all []frame) []frame {
	for _, m := range all {
		if response, ok := m["response"].(map[string]any); ok {
			delete(response, "created_at")
			delete(response, "completed_at")
		}
	}
	return all
}

func completed(m frame) bool { return m.kind() == "response.completed" }

func TestResponsesSocketSaysWhatAPostSays(t *testing.T) {
	_, url := start(t, sim.Options{})
	l := dial(t, url+"/v1/responses")
	for _, body := range []string{
		`"model":"m","input":"Hello"`,
		`"model":"m","input":[{"role":"user","content":"go f"}],"tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}]`,
	} {
		l.say(`{"type":"response.create",` + body + `}`)
		want := events(answered(t, url+"/v1/responses", `{"stream":true,`+body+`}`))
		assert.Equal(t, timeless(want), timeless(l.until(completed)))
		assert.Equal(t, websocket.MessageText, l.kind)
	}
}

func TestResponsesSocketGoesOn(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 100})
	l := dial(t, url+"/v1/responses")
	turn := func(l *line, body string) frame {
		l.say(`{"type":"response.create","model":"m",` + body + `}`)
		all := l.until(completed)
		return all[len(all)-1]
	}
	first := turn(l, `"store":false,"input":"One"`)
	second := turn(l, fmt.Sprintf(`"store":false,"previous_response_id":%q,"input":[{"role":"user","content":"Two"}]`, first.text("response", "id")))
	assert.Equal(t, first.text("response", "id"), second.text("response", "previous_response_id"))
	whole := fmt.Sprintf(`{"model":"m","stream":true,"input":[{"role":"user","content":"One"},%s,{"role":"user","content":"Two"}]}`,
		strings.Trim(first.text("response", "output"), "[]"))
	all := events(answered(t, url+"/v1/responses", whole))
	posted := all[len(all)-1]
	assert.Equal(t, posted.text("response", "output"), second.text("response", "output"))
	assert.Equal(t, posted.text("response", "usage"), second.text("response", "usage"))
	assert.Equal(t, posted.number("response", "usage", "input_tokens"), lastTurn(t, srv, 2).TokensIn)

	missing := func(l *line, id string) {
		t.Helper()
		l.say(fmt.Sprintf(`{"type":"response.create","model":"m","previous_response_id":%q,"input":"x"}`, id))
		want := `{"type":"error","status":400,"error":{"type":"invalid_request_error","code":"previous_response_not_found",` +
			`"message":"Previous response with id '` + id + `' not found.","param":"previous_response_id"}}`
		got, _ := json.Marshal(l.hear())
		assert.JSONEq(t, want, string(got))
	}
	missing(l, first.text("response", "id"))
	other := dial(t, url+"/v1/responses")
	missing(other, second.text("response", "id"))
	third := turn(l, fmt.Sprintf(`"previous_response_id":%q,"input":"Three"`, second.text("response", "id")))
	turn(other, fmt.Sprintf(`"previous_response_id":%q,"input":"elsewhere, as it was stored"`, third.text("response", "id")))

	fourth := turn(l, `"store":false,"input":"Four"`)
	l.say(fmt.Sprintf(`{"type":"response.create","model":"m;fail=500","previous_response_id":%q,"input":"x"}`, fourth.text("response", "id")))
	assert.Equal(t, 500, l.hear().number("status"))
	missing(l, fourth.text("response", "id"))
}

func TestResponsesSocketWarmsUp(t *testing.T) {
	_, url := start(t, sim.Options{})
	l := dial(t, url+"/v1/responses")
	l.say(`{"type":"response.create","model":"m","generate":false,"store":false,"instructions":"Be kind.","input":[{"role":"user","content":"One"}]}`)
	all := l.until(completed)
	assert.Equal(t, []string{"response.created", "response.completed"}, kinds(all))
	response := frame(all[1]["response"].(map[string]any))
	assert.Equal(t, "[] completed response m false null 0 0 0", strings.Join([]string{response.text("output"), response.text("status"),
		response.text("object"), response.text("model"), response.text("background"), response.text("error"),
		response.text("usage", "input_tokens"), response.text("usage", "output_tokens"), response.text("usage", "total_tokens")}, " "))
	assert.Positive(t, response.number("created_at"))
	assert.Positive(t, response.number("completed_at"))
	l.say(fmt.Sprintf(`{"type":"response.create","model":"m","previous_response_id":%q,"input":"Two"}`, response.text("id")))
	all = l.until(completed)
	posted := events(answered(t, url+"/v1/responses", `{"model":"m","stream":true,"input":[{"role":"user","content":"One"},{"role":"user","content":"Two"}]}`))
	assert.Equal(t, posted[len(posted)-1].text("response", "output"), all[len(all)-1].text("response", "output"))

	l.say(`{"type":"response.create","model":"m","generate":false}`)
	l.until(completed)
}

func TestResponsesSocketAnswersInOrder(t *testing.T) {
	_, url := start(t, sim.Options{})
	l := dial(t, url+"/v1/responses", "x-sim-ttft", "20ms")
	for i := range 3 {
		l.say(fmt.Sprintf(`{"type":"response.create","model":"m%d","input":"Hello"}`, i))
	}
	for i := range 3 {
		for _, m := range l.until(completed) {
			if m["response"] != nil {
				assert.Equal(t, fmt.Sprintf("m%d", i), m.text("response", "model"))
			}
		}
	}
}

func TestResponsesSocketErrors(t *testing.T) {
	srv, url := start(t, sim.Options{LogSize: 100})
	l := dial(t, url+"/v1/responses")
	for _, c := range []struct{ words, code string }{
		{`no JSON`, "null"}, {`{"type":"response.cancel"}`, "invalid_value"}, {`{}`, "invalid_value"},
		{`{"type":"response.create","input":"x"}`, "missing_required_parameter"},
		{`{"type":"response.create","model":"m"}`, "missing_required_parameter"},
	} {
		l.say(c.words)
		m := l.hear()
		assert.Equal(t, "error", m.kind())
		assert.Equal(t, 400, m.number("status"))
		assert.Equal(t, c.code, m.text("error", "code"), c.words)
	}
	require.Len(t, turnsOf(srv), 2, "what asks is a turn")
	assert.Equal(t, 400, turnsOf(srv)[0].Status)
	responsesSpeech.ask(l, "m")
	l.until(completed)

	short := dial(t, url+"/v1/responses", "x-sim-life", "20ms")
	all, err := short.end()
	assert.Equal(t, "websocket_connection_limit_reached", all[0].text("error", "code"))
	assert.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err))

	resp, _, err := do(get(t, url+"/v1/responses"))
	require.NoError(t, err)
	assert.Equal(t, 405, resp.StatusCode, "without an upgrade")
	require.NoError(t, l.conn.Write(t.Context(), websocket.MessageText, slices.Repeat([]byte("x"), 16<<20+1)))
	_, err = l.end()
	assert.Equal(t, websocket.StatusMessageTooBig, websocket.CloseStatus(err))
}
