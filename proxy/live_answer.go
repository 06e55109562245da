package proxy

import (
	"encoding/json"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"
)

// liveMessage is what the node reads of a provider's message.
type liveMessage struct {
	content []byte // of the model's turn
	usage   []byte
	text    string
	sound   bool
	answers bool // it is part of a turn
	over    bool // the turn's last
}

func readLive(words []byte) (m liveMessage) {
	eachMember(words, func(name string, value []byte) {
		switch name {
		case "serverContent":
			eachMember(value, func(name string, value []byte) {
				switch name {
				case "modelTurn":
					m.answers, m.content = true, value
				case "turnComplete":
					m.over = m.over || string(value) == "true"
					m.answers = m.answers || m.over
				case "generationComplete", "interrupted", "outputTranscription":
					m.answers = true
				}
			})
		case "toolCall":
			m.answers, m.over = true, true
		case "usageMetadata":
			m.usage = value
		}
	})
	var turn struct {
		Parts []struct {
			Text       string
			InlineData *struct{} `json:"inlineData"`
		}
	}
	if json.Unmarshal(m.content, &turn) == nil {
		for _, p := range turn.Parts {
			m.text += p.Text
			m.sound = m.sound || p.InlineData != nil
		}
	}
	return m
}

func (m *liveMessage) name() string {
	if m.sound {
		return "audio.delta"
	}
	return "message.delta"
}

// asItCame is the member of an event that has the message as it came.
const asItCame = "wedgeMessage"

// event is the message as an event of streamGenerateContent, which is what the node reads.
func (m *liveMessage) event(words []byte) []byte {
	b := []byte(`{"candidates":[{"index":0,"content":`)
	if m.content != nil && !m.sound {
		b = append(b, m.content...)
	} else {
		b = append(b, `{"role":"model","parts":[]}`...)
	}
	if m.over {
		b = append(b, `,"finishReason":"STOP"`...)
	}
	b = append(b, "}],"...)
	if m.usage != nil {
		b = append(append(append(b, `"usageMetadata":`...), m.usage...), ',')
	}
	return append(append(append(b, `"`+asItCame+`":`...), words...), '}')
}

// liveAnswer sends the messages of a turn to the client.
type liveAnswer struct {
	l *live
	c *liveCall
	splitter
	status int
}

func (a *liveAnswer) begin(head *fasthttp.ResponseHeader, _ int) error {
	a.streamed, a.status = isEventStream(head.ContentType()), head.StatusCode()
	return nil
}

func (a *liveAnswer) flush() error { return nil }

// Write is part of io.Writer.
func (a *liveAnswer) Write(p []byte) (int, error) { return a.take(p, a.say) }

func (a *liveAnswer) say(_, data, _ []byte) error {
	if len(data) == 0 {
		return nil
	}
	words := memberValue(data, asItCame)
	if words == nil { // the node ended the turn
		words = []byte(`{"serverContent":{"generationComplete":true,"turnComplete":true}}`)
		a.l.closing("the turn ended where its budget did")
	}
	return a.l.say(websocket.MessageBinary, words) // as Google's servers do
}

// end closes the connection after a refusal.
func (a *liveAnswer) end() {
	if a.streamed || a.c == nil {
		return
	}
	var told struct{ Error struct{ Message string } }
	_ = json.Unmarshal(a.rest, &told)
	a.l.closing(clip("this turn was refused: " + told.Error.Message))
}
