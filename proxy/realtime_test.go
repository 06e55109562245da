package proxy

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/internal/testkit"
)

// realtimeEvent is what tests read of a message.
type realtimeEvent struct {
	Type     string
	EventID  string `json:"event_id"`
	Delta    string
	Error    struct{ Type, Code, Message, EventID string }
	Session  struct{ Model string }
	Response struct {
		ID, Status string
		Output     []struct {
			Content []struct{ Text, Transcript string }
		}
		Usage struct {
			Input  int `json:"input_tokens"`
			Output int `json:"output_tokens"`
		}
	}
}

// speaker is a client at /v1/realtime.
type speaker struct {
	*websocket.Conn
	t *testing.T
}

func speak(t *testing.T, node, key, query string) *speaker {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), "ws://"+node+"/v1/realtime?"+query, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + key}}, Subprotocols: []string{"realtime"},
	})
	require.NoError(t, err)
	assert.Equal(t, "realtime", c.Subprotocol())
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	s := &speaker{c, t}
	require.Equal(t, "session.created", s.hear().Type)
	return s
}

func (s *speaker) say(format string, args ...any) {
	s.t.Helper()
	require.NoError(s.t, s.Write(s.t.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)))
}

func (s *speaker) hear() (e realtimeEvent) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	_, words, err := s.Read(ctx)
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(words, &e), string(words))
	return e
}

// until hears events up to one of a type, which it returns last.
func (s *speaker) until(kinds ...string) (all []realtimeEvent) {
	s.t.Helper()
	for {
		e := s.hear()
		all = append(all, e)
		for _, kind := range kinds {
			if e.Type == kind {
				return all
			}
		}
	}
}

func kindsOf(all []realtimeEvent) (kinds []string) {
	for i, e := range all {
		if i == 0 || all[i-1].Type != e.Type {
			kinds = append(kinds, e.Type)
		}
	}
	return kinds
}

func (s *speaker) text() {
	s.say(`{"type":"session.update","session":{"type":"realtime","output_modalities":["text"],"instructions":"Be brief."}}`)
	require.Equal(s.t, "session.updated", s.hear().Type)
}

func userItem(text string) string {
	return fmt.Sprintf(`{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":%q}]}}`, text)
}

// A conversation over the node is, event by event, the one that the provider holds with a client of its own.
func TestRealtime(t *testing.T) {
	_, at := newSim(t, sim.Options{})
	s, node := turnServer(t, at)
	hold := func(addr, query string) (kinds []string, texts []string) {
		c := speak(t, addr, testKey, query)
		c.text()
		for _, question := range []string{"Who are you?", "And I?"} {
			c.say("%s", userItem(question))
			c.say(`{"type":"response.create","event_id":"mine"}`)
			all := c.until("response.done")
			kinds = append(kinds, kindsOf(all)...)
			last := all[len(all)-1].Response
			require.Equal(t, "completed", last.Status)
			texts = append(texts, last.Output[0].Content[0].Text)
			var said strings.Builder
			for _, e := range all {
				if e.Type == "response.output_text.delta" {
					said.WriteString(e.Delta)
				}
			}
			assert.Equal(t, said.String(), last.Output[0].Content[0].Text)
			if drained := c.untilQuiet(); len(drained) > 0 {
				kinds = append(kinds, kindsOf(drained)...)
			}
		}
		return kinds, texts
	}
	wantKinds, wantTexts := hold(at, "model=m")
	kinds, texts := hold(node, "model=openai")
	assert.Equal(t, wantKinds, kinds)
	assert.Equal(t, wantTexts, texts)
	assert.Equal(t, 2, countRecords(s), "each response is a request of its own")
}

// untilQuiet hears what still comes within a moment.
func (s *speaker) untilQuiet() (all []realtimeEvent) {
	for {
		ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
		// The provider answers in order: what comes before the answer to this is what was still to come.
		s.say(`{"type":"input_audio_buffer.clear"}`)
		_, words, err := s.Read(ctx)
		cancel()
		require.NoError(s.t, err)
		var e realtimeEvent
		require.NoError(s.t, json.Unmarshal(words, &e))
		if e.Type == "input_audio_buffer.cleared" {
			return all
		}
		all = append(all, e)
	}
}

// countRecords counts the requests that the node remembers.
func countRecords(s *Server) int {
	n := 0
	var metrics strings.Builder
	_ = s.o.Registry.WriteText(&metrics) // to a Builder
	for family := range strings.SplitSeq(metrics.String(), "\n") {
		var count int
		if rest, is := strings.CutPrefix(family, "wedge_requests_total{"); is && strings.Contains(rest, `code="200"`) {
			_, _ = fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &count)
			n += count
		}
	}
	return n
}

// What the provider refuses, the client hears in the provider's words; what the node refuses, in the node's.
func TestRealtimeRefusals(t *testing.T) {
	_, at := newSim(t, sim.Options{})
	_, node := turnServer(t, at)
	c := speak(t, node, testKey, "model=openai")
	c.text()
	c.say(`not JSON`)
	assert.Contains(t, c.hear().Error.Message, "send events as text")
	c.say(`{"type":"nothing.known","event_id":"e1"}`)
	e := c.hear()
	assert.Equal(t, "error", e.Type)
	assert.Contains(t, e.Error.Message, "nothing.known")

	for _, test := range []struct{ query, key, want string }{
		{"", testKey, "400"}, {"intent=transcription", testKey, "400"}, {"model=nobody", testKey, "404"}, {"model=anthropic", testKey, "503"},
		{"model=openai", "wk_abcdefghijkl_wrong", "401"}, {"model=chats", otherKey, "403"},
	} {
		_, resp, err := websocket.Dial(t.Context(), "ws://"+node+"/v1/realtime?"+test.query, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + test.key}}})
		require.Error(t, err)
		assert.Equal(t, test.want, fmt.Sprint(resp.StatusCode), test)
	}
	whole := fetch(t, node, "/v1/realtime/client_secrets", `{"session":{"type":"realtime","model":"openai"}}`)
	assert.Equal(t, 403, whole.StatusCode, whole.body)

	limited := speak(t, node, otherKey, "model=openai") // three requests an hour
	limited.text()
	for range 3 {
		limited.say(`{"type":"response.create"}`)
		limited.until("response.done")
	}
	limited.say(`{"type":"response.create","event_id":"e9"}`)
	all := limited.until("error", "response.created")
	last := all[len(all)-1]
	assert.Equal(t, "rate_limited", last.Error.Code)
}

// Sound goes both ways, and the provider's own voice detection asks for responses, which count as any other.
func TestRealtimeSound(t *testing.T) {
	_, at := newSim(t, sim.Options{})
	s, node := turnServer(t, at)
	c := speak(t, node, testKey, "model=openai")
	loud := make([]byte, 48*600)
	for i := range loud {
		loud[i] = byte(i * 37)
	}
	c.say(`{"type":"input_audio_buffer.append","audio":%q}`, base64.StdEncoding.EncodeToString(loud))
	c.say(`{"type":"input_audio_buffer.append","audio":%q}`, base64.StdEncoding.EncodeToString(make([]byte, 48*600)))
	all := c.until("response.done")
	kinds := strings.Join(kindsOf(all), " ")
	assert.Contains(t, kinds, "response.output_audio.delta")
	assert.Contains(t, kinds, "response.output_audio_transcript.delta")
	assert.Equal(t, "completed", all[len(all)-1].Response.Status)
	testkit.Eventually(t, 2*time.Second, func() error {
		if n := countRecords(s); n != 1 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
}

// Either side learns within a second that the other is gone, and how it went.
func TestRealtimeEnds(t *testing.T) {
	_, at := newSim(t, sim.Options{})
	s, node := turnServer(t, at)
	c := speak(t, node, testKey, "model=openai")
	require.NoError(t, c.Close(4001, "enough"))
	testkit.Eventually(t, time.Second, func() error {
		if n := s.sockets.count(); n != 0 {
			return fmt.Errorf("%d sockets", n)
		}
		return nil
	})
}

// What policies make of a response goes to the provider, as far as the provider can be told.
func TestRealtimeEdits(t *testing.T) {
	r := &realtime{ref: "m", said: []byte(`{"type":"message","role":"user","content":[]}`), instructions: []byte(`"Be brief."`)}
	for _, by := range []bool{false, true} {
		c := r.newCall()
		c.by, c.params = by, []byte(`{}`)
		body := c.body()
		assert.Equal(t, errSaidBefore, c.send(bytes.Replace(body, []byte(`"user"`), []byte(`"assistant"`), 1)))
		if by {
			assert.NoError(t, c.send(body))
			assert.Equal(t, errBegunAlone, c.send(bytes.Replace(body, []byte(`brief`), []byte(`long`), 1)))
		}
	}
}
