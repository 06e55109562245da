package sim

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"
)

// queuedTurns is how many requests may wait on one WebSocket for the one that is being answered.
const queuedTurns = 256

// responsesTalk is OpenAI's Responses on a WebSocket: each response.create is answered by the events that a POST would
// be, one response after the other.
type responsesTalk struct {
	k      *socket
	queue  [][]byte
	last   *keptResponse // the response that can be continued without having been stored
	parent string        // the id of the response that the turn under way continues
	input  []byte        // of the turn under way, with what it continues
	store  bool          // whether the turn under way is to be stored
}

// keptResponse is a response that can be continued.
type keptResponse struct {
	id    string
	items []byte // input and output, JSON between commas
}

func newResponsesTalk(k *socket, _ *fasthttp.RequestCtx) protocol {
	return &responsesTalk{k: k}
}

func (*responsesTalk) open() {}

func (r *responsesTalk) hear(message []byte) {
	switch {
	case r.k.turn == nil:
		r.start(message)
	case len(r.queue) < queuedTurns:
		r.queue = append(r.queue, message)
	default:
		r.refuse(&failure{status: 429, kind: "invalid_request_error", code: "rate_limit_exceeded",
			message: fmt.Sprintf("More than %d requests wait on this connection. Wait for answers before you ask again.", queuedTurns)})
	}
}

func (r *responsesTalk) refuse(f *failure) { r.k.say(responsesSocket{}.appendError(nil, f)) }

func (r *responsesTalk) expire() time.Duration {
	r.refuse(invalid("", "websocket_connection_limit_reached",
		"Responses websocket connection limit reached (60 minutes). Create a new websocket connection to continue."))
	return 0
}

// start begins the turn that a message asks for.
func (r *responsesTalk) start(message []byte) {
	v, err := fastjson.ParseBytes(message)
	if err != nil || v.Type() != fastjson.TypeObject {
		r.refuse(&openaiManners.notJSON)
		return
	}
	if kind := string(v.GetStringBytes("type")); kind != "response.create" {
		r.refuse(invalid("type", "invalid_value", "Invalid value: '%s'. Supported values are: 'response.create'.", kind))
		return
	}
	r.k.begin(responsesSocket{}, message, func(own *settings) (*answer, *failure) { return r.plan(v, own) })
}

// plan answers the body of a request, after what it continues.
func (r *responsesTalk) plan(v *fastjson.Value, own *settings) (*answer, *failure) {
	plan := planResponses
	if g := field(v, "generate"); g != nil && g.Type() == fastjson.TypeFalse {
		plan = planWarmUp
		if field(v, "input") == nil {
			v.Set("input", new(fastjson.Arena).NewArray())
		}
	}
	for _, key := range [...]string{"type", "generate", "background", "stream"} {
		v.Del(key)
	}
	v.Set("stream", new(fastjson.Arena).NewTrue())
	r.parent, r.input = string(v.GetStringBytes("previous_response_id")), inputItems(field(v, "input"))
	r.store = v.Get("store") == nil || v.Get("store").Type() != fastjson.TypeFalse
	if r.parent != "" {
		before := r.recall(r.parent)
		if before == nil {
			return nil, invalid("previous_response_id", "previous_response_not_found", "Previous response with id '%s' not found.", r.parent)
		}
		r.input = joinItems(before.items, r.input)
		input, err := fastjson.ParseBytes(append(append([]byte{'['}, r.input...), ']'))
		if err != nil {
			return nil, &openaiManners.notJSON // both halves have been parsed before
		}
		v.Set("input", input)
	}
	return plan(&r.k.s.brain, &query{body: v, own: own, recalled: true})
}

// recall finds the response that a request continues.
func (r *responsesTalk) recall(id string) *keptResponse {
	if r.last != nil && r.last.id == id {
		return r.last
	}
	return r.k.s.kept.get(id)
}

// inputItems is an input as items between commas; a text is the user's.
func inputItems(input *fastjson.Value) []byte {
	if input == nil {
		return nil
	}
	if text, err := input.StringBytes(); err == nil {
		return append(appendJSON([]byte(`{"role":"user","content":`), text), '}')
	}
	var items []byte
	for _, item := range input.GetArray() {
		items = joinItems(items, item.MarshalTo(nil))
	}
	return items
}

func joinItems(a, b []byte) []byte {
	if len(a) == 0 || len(b) == 0 {
		return append(bytes.Clone(a), b...)
	}
	return append(append(bytes.Clone(a), ','), b...)
}

// ended keeps the response for the next turn, or after a failure forgets the one that it should have continued.
func (r *responsesTalk) ended(t *turn, good bool) {
	kept := r.response(t)
	switch {
	case good && kept != nil:
		r.last = kept
		if r.store {
			r.k.s.kept.put(kept)
		}
	case r.last != nil && r.last.id == r.parent:
		r.last = nil
	}
	for r.k.turn == nil && !r.k.over && len(r.queue) > 0 {
		next := r.queue[0]
		r.queue = r.queue[1:]
		r.start(next)
	}
}

// response is the response that t's last event holds, nil if it holds none.
func (r *responsesTalk) response(t *turn) *keptResponse {
	v, err := fastjson.ParseBytes(frameOf(t.lastEvent()))
	if err != nil || v.Get("response") == nil {
		return nil
	}
	return &keptResponse{id: string(v.GetStringBytes("response", "id")), items: joinItems(r.input, inputItems(v.Get("response", "output")))}
}

// responsesSocket is the dialect of responses on a WebSocket.
type responsesSocket struct{ openaiResponses }

// appendError appends an error event with the object that a POST's error answer has.
func (responsesSocket) appendError(dst []byte, f *failure) []byte {
	status := f.status
	if status < 400 {
		status = 500
	}
	dst = appendInt(append(dst, `{"type":"error","status":`...), status)
	dst = appendJSON(append(dst, `,"error":{"type":`...), f.kind)
	dst = appendNullable(append(dst, `,"code":`...), f.code)
	dst = appendJSON(append(dst, `,"message":`...), f.message)
	dst = appendNullable(append(dst, `,"param":`...), f.param)
	return append(dst, "}}"...)
}

// appendStreamError appends an error event, or after the response has begun, that response as failed.
func (d responsesSocket) appendStreamError(dst, sent []byte, f *failure) []byte {
	if len(sent) == 0 {
		return d.appendError(dst, f)
	}
	return d.openaiResponses.appendStreamError(dst, sent, f)
}

const (
	keptResponses = 256
	keptSize      = 1 << 20 // bytes of a response that is stored, with its input
)

// responseStore holds the last responses that WebSockets were to store, so that other ones can continue them.
type responseStore struct {
	mu   sync.Mutex
	byID map[string]*keptResponse
	ids  []string // in the order of their coming
}

func (s *responseStore) get(id string) *keptResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

func (s *responseStore) put(r *keptResponse) {
	if len(r.items) > keptSize {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = make(map[string]*keptResponse)
	}
	if s.byID[r.id] == nil {
		s.ids = append(s.ids, strings.Clone(r.id))
	}
	s.byID[r.id] = r
	if len(s.ids) > keptResponses {
		delete(s.byID, s.ids[0])
		s.ids = s.ids[1:]
	}
}
