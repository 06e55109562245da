package e2e

import (
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

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// speaker is a client at /v1/realtime.
type speaker struct {
	*websocket.Conn
	t testing.TB
}

type spoken struct {
	Type     string
	Delta    string
	Error    struct{ Code, Message string }
	Response struct {
		Status string
		Usage  struct {
			Output int `json:"output_tokens"`
		}
	}
}

func (n *node) speak(t testing.TB, key, model string) *speaker {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), "ws://"+n.data+"/v1/realtime?model="+model, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + keyOf(key)}},
	})
	require.NoError(t, err)
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	s := &speaker{c, t}
	s.until("session.created")
	return s
}

func (s *speaker) say(format string, args ...any) {
	s.t.Helper()
	require.NoError(s.t, s.Write(s.t.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)))
}

// until hears events up to one of a type.
func (s *speaker) until(kinds ...string) (last spoken) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, words, err := s.Read(ctx)
		require.NoError(s.t, err)
		last = spoken{}
		require.NoError(s.t, json.Unmarshal(words, &last), string(words))
		for _, kind := range kinds {
			if last.Type == kind {
				return last
			}
		}
	}
}

func (s *speaker) inText() *speaker {
	s.say(`{"type":"session.update","session":{"type":"realtime","output_modalities":["text"]}}`)
	s.until("session.updated")
	return s
}

func (s *speaker) ask(text string) spoken {
	s.t.Helper()
	s.say(`{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":%q}]}}`, text)
	s.say(`{"type":"response.create"}`)
	return s.until("response.done", "error")
}

// Responses of a conversation are paid for one by one; one that the money runs out in is cancelled, and one that the provider
// begins by itself without money, too.
func TestRealtimeBudgets(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	long := "x;tokens=5000;tps=3000"
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").
		model("m", "", target("sim", "x;tokens=50", "")).price("sim", "x;tokens=50", 1, 10, "").
		model("long", "", target("sim", long, "")).price("sim", long, 1, 10, "").
		key("ann", "budgets: [ann]").key("bob", "budgets: [bob]").
		budget("ann", "0.004", "period: total").budget("bob", "0.01", "period: total").String())
	ann := n.speak(t, "ann", "m").inText()
	good := 0
	for {
		e := ann.ask("What next?")
		if e.Type == "error" {
			assert.Equal(t, "budget_exhausted", e.Error.Code, e.Error.Message)
			break
		}
		if e.Response.Status == "completed" {
			good++
		}
		require.Less(t, good, 20)
	}
	assert.GreaterOrEqual(t, good, 3)
	pot := n.purse(t, "ann")
	assert.LessOrEqual(t, pot.Spent, pot.Limit)

	bob := n.speak(t, "bob", "long").inText()
	e := bob.ask("Tell me everything.")
	assert.Equal(t, "response.done", e.Type)
	assert.Equal(t, "incomplete", e.Response.Status)
	assert.InDelta(t, 900, e.Response.Usage.Output, 200)
	testkit.Eventually(t, 3*time.Second, func() error {
		if pot = n.purse(t, "bob"); pot.Held != 0 || pot.Spent == 0 {
			return fmt.Errorf("%+v", pot)
		}
		return nil
	})
	assert.LessOrEqual(t, pot.Spent, pot.Limit+50*nanoOut, "what came before the provider heard of the end")
	assert.Equal(t, "budget_exhausted", bob.ask("And the rest?").Error.Code)

	// With voice detection the provider does not ask the node before it answers.
	loud := make([]byte, 48*600)
	for i := range loud {
		loud[i] = byte(i * 37)
	}
	for _, sound := range [][]byte{loud, make([]byte, 48*600)} {
		ann.say(`{"type":"input_audio_buffer.append","audio":%q}`, base64.StdEncoding.EncodeToString(sound))
	}
	assert.Equal(t, "budget_exhausted", ann.until("error", "response.done").Error.Code)
	pot = n.purse(t, "ann")
	assert.LessOrEqual(t, pot.Spent, pot.Limit)
}

// Transcripts of what the client says cost something, too, without any response being asked for.
func TestRealtimeTranscripts(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	const scribe = "gpt-4o-mini-transcribe"
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "x", "")).price("sim", "x", 1, 10, "").
		price("sim", scribe, 100, 1000, "").key("ann", "budgets: [ann]").budget("ann", "0.02", "period: total").String())
	c := n.speak(t, "ann", "m")
	c.say(`{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":null,"transcription":{"model":%q}}}}}`, scribe)
	c.until("session.updated")
	sound := make([]byte, 48*600)
	for i := range sound {
		sound[i] = byte(i * 37)
	}
	talk := func() error {
		for _, words := range []string{fmt.Sprintf(`{"type":"input_audio_buffer.append","audio":%q}`, base64.StdEncoding.EncodeToString(sound)), `{"type":"input_audio_buffer.commit"}`} {
			if err := c.Write(t.Context(), websocket.MessageText, []byte(words)); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for {
			_, words, err := c.Read(ctx)
			if err != nil || strings.Contains(string(words), `"conversation.item.input_audio_transcription.completed"`) {
				return err
			}
		}
	}
	require.NoError(t, talk())
	pot := n.purse(t, "ann")
	one := pot.Spent
	assert.Positive(t, one)
	assert.Zero(t, pot.Held)
	assert.InDelta(t, float64(one)/1e9, n.metric(t, "wedge_cost_usd_total"), 1e-6)
	said := 1
	for ; said < 100; said++ {
		if err := talk(); err != nil {
			assert.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err), err)
			break
		}
	}
	pot = n.purse(t, "ann")
	assert.Less(t, said, 100)
	assert.GreaterOrEqual(t, pot.Spent, pot.Limit, "it ends with the transcript that took the last of it")
	assert.Less(t, pot.Spent, pot.Limit+3*one)
}

// A conversation with Gemini Live ends with the money: its API has no words to refuse a turn, or to end one.
func TestLiveBudgets(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	long := "x;tokens=5000;tps=3000"
	c := (&catalog{}).model("m", "", target("gemini", "x;tokens=50", "")).price("gemini", "x;tokens=50", 1, 10, "").
		model("long", "", target("gemini", long, "")).price("gemini", long, 1, 10, "").
		key("ann", "budgets: [ann]").key("bob", "budgets: [bob]").
		budget("ann", "0.004", "period: total").budget("bob", "0.01", "period: total")
	c.providers = append(c.providers, `{name: gemini, dialect: gemini, base_url: "http://`+p.addr+`/v1beta"}`)
	n := startNode(t, c.String())
	dial := func(key, model string) *speaker {
		c, _, err := websocket.Dial(t.Context(), "ws://"+n.data+"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key="+keyOf(key), nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.CloseNow() })
		c.SetReadLimit(-1)
		s := &speaker{c, t}
		s.say(`{"setup":{"model":"models/%s","generationConfig":{"responseModalities":["TEXT"]}}}`, model)
		return s
	}
	// turn asks, and tells how the turn ended: nil where it came to its end.
	turn := func(s *speaker) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := s.Write(ctx, websocket.MessageText, []byte(`{"clientContent":{"turns":[{"role":"user","parts":[{"text":"What next?"}]}],"turnComplete":true}}`)); err != nil {
			return err
		}
		for {
			_, words, err := s.Read(ctx)
			if err != nil || strings.Contains(string(words), `"turnComplete"`) {
				return err
			}
		}
	}
	refused := func(err error) {
		t.Helper()
		assert.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err), err)
		assert.ErrorContains(t, err, "budget")
	}
	ann, good := dial("ann", "m"), 0
	for ; good < 20; good++ {
		if err := turn(ann); err != nil {
			refused(err)
			break
		}
	}
	assert.GreaterOrEqual(t, good, 3)
	assert.Less(t, good, 20)
	pot := n.purse(t, "ann")
	assert.LessOrEqual(t, pot.Spent, pot.Limit)

	bob := dial("bob", "long")
	require.NoError(t, turn(bob), "the node ends the turn")
	_, _, err := bob.Read(t.Context())
	refused(err)
	testkit.Eventually(t, 3*time.Second, func() error {
		if pot = n.purse(t, "bob"); pot.Held != 0 || pot.Spent == 0 {
			return fmt.Errorf("%+v", pot)
		}
		return nil
	})
	assert.LessOrEqual(t, pot.Spent, pot.Limit+50*nanoOut, "what came before the provider heard of the end")
	bob = dial("bob", "long")
	if err = turn(bob); err == nil { // what was left paid for a few words
		_, _, err = bob.Read(t.Context())
	}
	refused(err)
}

// Drops on either side are seen by the other within a second.
func TestRealtimeDrops(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, moneyCatalog(p).key("ann", "").String())
	c := n.speak(t, "ann", "m")
	p.kill()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			assert.Equal(t, websocket.StatusBadGateway, websocket.CloseStatus(err), err)
			break
		}
	}
}

// Policies are asked about every response of a conversation.
func TestRealtimePolicies(t *testing.T) {
	t.Parallel()
	n, p := obedientNode(t)
	dial := func(model, do string) *speaker {
		c, _, err := websocket.Dial(t.Context(), "ws://"+n.data+"/v1/realtime?model="+model, &websocket.DialOptions{
			HTTPHeader: http.Header{"Authorization": {"Bearer " + keyOf("ann")}, "X-Do": {do}},
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.CloseNow() })
		c.SetReadLimit(-1)
		s := &speaker{c, t}
		s.until("session.created")
		return s
	}
	c := dial("all", `{"system":{"prepend":"Be \"brief\"."}}`).inText()
	assert.Equal(t, "completed", c.ask("about instructions").Response.Status)
	told := p.about(t, "response.create")
	require.NotEmpty(t, told)
	assert.Contains(t, told[len(told)-1].Body, `"instructions":"Be \"brief\"."`)

	c = dial("all", `{"state":"{\"text\":\"é\"}"}`).inText()
	c.say(`{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"replace it"}]}}`)
	c.say(`{"type":"response.create"}`)
	text := ""
	for {
		e := c.until("response.output_text.delta", "response.done")
		if e.Type == "response.done" {
			break
		}
		text += e.Delta
	}
	assert.NotEmpty(t, text)
	assert.Empty(t, strings.Trim(text, "é"))

	c = dial("all", `{}`) // speaks
	assert.Equal(t, "policy_failed", c.ask("aloud").Error.Code)

	_, resp, err := websocket.Dial(t.Context(), "ws://"+n.data+"/v1/realtime?model=all", &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + keyOf("ann")}, "X-Do": {`{"deny":{"status":451,"message":"Not here."}}`}},
	})
	require.Error(t, err)
	assert.Equal(t, 451, resp.StatusCode)
	c = dial("all", `{"target":"other"}`).inText()
	assert.Equal(t, "completed", c.ask("elsewhere").Response.Status)
}
