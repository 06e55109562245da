package sim

import "strconv"

const (
	typeJSON   = "application/json"
	typeHTML   = "text/html; charset=utf-8"
	typeText   = "text/plain; charset=utf-8"
	typeEvents = "text/event-stream; charset=utf-8"
)

// answer is a whole answer or a whole stream in its dialect's form, ready to be sent. It is immutable and may
// be sent many times; only the time of its creation is filled in for each sending.
type answer struct {
	status      int
	contentType string
	body        []byte  // of a stream: all its events
	events      []event // of a stream, in order
	preamble    int     // events that a provider sends before it begins to think
	stamps      []int   // where in body the stampSize digits of the creation time stand
	stream      bool
	in, out     int // tokens
	thought     int // those of out that nobody sees
	model       string
	opts        settingsList
}

// settingsList is what the model's name asked for: "ttft=50ms;tps=20".
type settingsList string

// event is one server-sent event.
type event struct {
	end    int // offset in the body
	tokens int // of content that it carries
}

// stampSize is the length of a creation time: Unix seconds have ten digits until the year 2286.
const stampSize = 10

const noStamp = "1700000000"

// appendStamp appends room for the creation time.
func (a *answer) appendStamp() {
	a.stamps = append(a.stamps, len(a.body))
	a.body = append(a.body, noStamp...)
}

// stamp writes the creation time into body, a copy of the beginning of a's body.
func (a *answer) stamp(body []byte, now int64) {
	for _, at := range a.stamps {
		if at+stampSize <= len(body) {
			strconv.AppendInt(body[at:at], now, 10)
		}
	}
}

// endEvent ends the event that was being appended to a's body.
func (a *answer) endEvent(tokens int) {
	a.body = append(a.body, '\n', '\n')
	a.events = append(a.events, event{end: len(a.body), tokens: tokens})
}

// contentEvents is the number of events that carry content.
func (a *answer) contentEvents() int {
	n := 0
	for i := range a.events {
		if a.events[i].tokens > 0 {
			n++
		}
	}
	return n
}

// size is the memory that a holds, in bytes, roughly.
func (a *answer) size() int { return len(a.body) + 16*len(a.events) + 8*len(a.stamps) + 256 }

// put appends text to the body.
func (a *answer) put(text string) { a.body = append(a.body, text...) }

func (a *answer) putJSON(text string) { a.body = appendJSON(a.body, text) }

func (a *answer) putInt(n int) { a.body = appendInt(a.body, n) }

func (a *answer) putFloat(f float64) { a.body = strconv.AppendFloat(a.body, f, 'f', 4, 64) }
