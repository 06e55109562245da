package proxy

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// refuse says that something was not done; about is the client's message.
func (r *realtime) refuse(about string, e *dialect.Error) {
	body := r.k.s.o.Dialects.Codecs[dialect.OpenAI].AppendError(nil, e, "")
	_ = r.k.tell(realtimeError(about, body)) // a client that is gone shows where it is read
}

// realtimeError is an error's body as an event.
func realtimeError(about string, body []byte) []byte {
	var told struct {
		Error struct {
			Type    string  `json:"type"`
			Code    *string `json:"code"`
			Message string  `json:"message"`
			Param   *string `json:"param"`
			EventID *string `json:"event_id"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &told) != nil || told.Error.Message == "" {
		told.Error.Type, told.Error.Message = "server_error", "the request was not done, for a reason that was not understood"
	}
	if told.Error.EventID = nil; about != "" {
		told.Error.EventID = &about
	}
	words, _ := json.Marshal(told.Error)
	return fmt.Appendf(nil, `{"type":"error","event_id":"event_%s","error":%s}`, strings.ToLower(rand.Text()), words)
}

// realtimeAnswer sends a response's events to the client.
type realtimeAnswer struct {
	r *realtime
	c *realtimeCall
	splitter
	receipt receipt
}

func (a *realtimeAnswer) begin(head *fasthttp.ResponseHeader, _ int) error {
	a.streamed = isEventStream(head.ContentType())
	a.receipt.begin(head)
	return nil
}

func (a *realtimeAnswer) flush() error { return nil }

// Write is part of io.Writer.
func (a *realtimeAnswer) Write(p []byte) (int, error) { return a.take(p, a.say) }

func (a *realtimeAnswer) say(_, data, event []byte) error {
	if len(data) > 0 {
		data = a.r.worded(data)
	} else { // a comment
		data = a.receipt.event(event)
	}
	if len(data) == 0 {
		return nil
	}
	return a.r.k.tell(data)
}

// worded is an event of the Responses API in the words of this one.
func (r *realtime) worded(data []byte) []byte {
	e, err := readLegEvent(data)
	if err != nil {
		return data
	}
	switch e.kind {
	case "wedge.error":
		return e.renamed(data, "error")
	case "response.completed", "response.incomplete", "response.failed":
		return e.renamed(data, "response.done")
	}
	if rest, is := strings.CutPrefix(e.kind, "response.output_text."); is && r.beta {
		return e.renamed(data, "response.text."+rest)
	}
	return data
}

// end sends an answer that was no stream: an error.
func (a *realtimeAnswer) end() {
	if !a.streamed {
		_ = a.r.k.tell(realtimeError(a.c.eventID, a.rest))
	}
}

// modalitiesOf are what a session or a response answers in.
func modalitiesOf(doc []byte) []byte {
	if m := memberValue(doc, "output_modalities"); m != nil {
		return m
	}
	return memberValue(doc, "modalities")
}

// inText says that the response is text alone.
func (c *realtimeCall) inText() bool {
	m := modalitiesOf(c.params)
	if m == nil {
		c.r.mu.Lock()
		m = c.r.modalities
		c.r.mu.Unlock()
	}
	return m != nil && !bytes.Contains(m, []byte(`"audio"`))
}

// mustHear refuses to let sound by a policy that must see what is answered: it reads texts.
func (x *exchange) mustHear() *dialect.Error {
	l, speaks := x.line().(callLine)
	if !speaks || x.ruling == nil {
		return nil
	}
	for _, p := range x.ruling.chain.policies {
		if p.deny && p.sees(policy.Response|policy.Chunk) && !l.call.inText() {
			return fail(codePolicyFailed, "", "policy "+p.Name+" must see what is answered, and it cannot listen; ask for output_modalities [\"text\"]")
		}
	}
	return nil
}
