package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// State says how far a request has come.
type State string

// The states of a request.
const (
	StateOpen       State = "open"        // being answered
	StateFinished   State = "finished"    // answered to the end that was meant
	StateClientGone State = "client_gone" // the client closed the connection first
	StateCut        State = "cut"         // this server closed the connection, as a fault asked for
	StateStopped    State = "stopped"     // this server was shut down first, or a WebSocket had lived its time
	StateCancelled  State = "cancelled"   // a turn on a WebSocket that its client ended without leaving
)

// Record is one request as the log keeps it.
type Record struct {
	Seq       uint64            `json:"seq"` // from 1, without gaps
	Time      time.Time         `json:"time"`
	Method    string            `json:"method"` // MethodTurn for a turn on a WebSocket, whose handshake has a record of its own
	Path      string            `json:"path"`
	Query     string            `json:"query,omitempty"`
	Conn      uint64            `json:"conn"`    // the number of the connection that it came on
	Headers   map[string]string `json:"headers"` // lower-case names; credentials as sha256:HEX
	Body      []byte            `json:"-"`       // in JSON "body" if it is UTF-8, else "body_base64"
	Model     string            `json:"model"`   // without settings
	Stream    bool              `json:"stream"`
	Fault     string            `json:"fault"`
	Status    int               `json:"status"` // 0 while unanswered, and for a refused connection
	TokensIn  int               `json:"tokens_in"`
	TokensOut int               `json:"tokens_out"` // of a stream that broke off: those until then
	BytesSent int               `json:"bytes_sent"` // of the body
	State     State             `json:"state"`
	Ended     *time.Time        `json:"ended"` // when the server was done with it, or noticed that the client was gone
}

// MarshalJSON writes the body as text where it is text.
func (r Record) MarshalJSON() ([]byte, error) {
	type plain Record
	out := struct {
		plain
		Text   string `json:"body"`
		Base64 []byte `json:"body_base64,omitempty"`
	}{plain: plain(r)}
	if utf8.Valid(r.Body) {
		out.Text = string(r.Body)
	} else {
		out.Base64 = r.Body
	}
	return json.Marshal(out)
}

// requestLog is a ring of the last requests. A nil log keeps nothing and costs nothing.
type requestLog struct {
	mu   sync.Mutex
	ring []*Record
	seq  uint64
}

func newLog(size int) *requestLog {
	if size <= 0 {
		return nil
	}
	return &requestLog{ring: make([]*Record, size)}
}

// begin opens the record of ctx's request.
func (l *requestLog) begin(ctx *fasthttp.RequestCtx, now time.Time) *Record {
	if l == nil {
		return nil
	}
	rec := &Record{
		Time: now, Method: string(ctx.Method()), Path: string(ctx.Path()), Query: queryOf(ctx),
		Conn: ctx.ConnID(), Headers: headersOf(ctx), Body: append([]byte(nil), ctx.Request.Body()...), State: StateOpen,
	}
	l.keep(rec)
	return rec
}

// beginTurn opens the record of a turn on the WebSocket whose handshake is given.
func (l *requestLog) beginTurn(handshake *Record, body []byte, now time.Time) *Record {
	if l == nil {
		return nil
	}
	rec := &Record{
		Time: now, Method: MethodTurn, Path: handshake.Path, Query: handshake.Query, Conn: handshake.Conn,
		Headers: handshake.Headers, Body: bytes.Clone(body), State: StateOpen,
	}
	l.keep(rec)
	return rec
}

// keep gives rec its number and its place.
func (l *requestLog) keep(rec *Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	rec.Seq = l.seq
	l.ring[int(l.seq)%len(l.ring)] = rec
}

// update changes rec under the log's lock; a nil rec is not in the log.
func (l *requestLog) update(rec *Record, change func(*Record)) {
	if rec == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	change(rec)
}

// since returns copies of the records after seq, oldest first.
func (l *requestLog) since(seq uint64) []Record {
	out := []Record{}
	if l == nil {
		return out
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first := uint64(1)
	if n := uint64(len(l.ring)); l.seq > n {
		first = l.seq - n + 1
	}
	for i := max(first, seq+1); i <= l.seq; i++ {
		if rec := l.ring[int(i)%len(l.ring)]; rec != nil {
			out = append(out, *rec)
		}
	}
	return out
}

// clear forgets the records but not the numbering, so that "since" keeps its meaning.
func (l *requestLog) clear() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.ring)
}

// credentials are the headers whose values the log shows only as hashes.
var credentials = map[string]bool{
	"authorization": true, "x-api-key": true, "api-key": true, "x-goog-api-key": true, "cookie": true,
	"proxy-authorization": true,
}

// realtimeSecret finds the keys that browsers show among sub-protocols.
var realtimeSecret = regexp.MustCompile(regexp.QuoteMeta(realtimeKey) + `[^\s,]+`)

// hashed is how the log shows a credential.
func hashed(secret []byte) string {
	sum := sha256.Sum256(secret)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// queryOf is the query string, with the key that Gemini's clients may put there as a hash.
func queryOf(ctx *fasthttp.RequestCtx) string {
	args := ctx.QueryArgs()
	if !args.Has("key") {
		return string(args.QueryString())
	}
	var shown fasthttp.Args
	args.CopyTo(&shown)
	shown.Set("key", hashed(args.Peek("key")))
	return string(shown.QueryString())
}

func headersOf(ctx *fasthttp.RequestCtx) map[string]string {
	out := make(map[string]string, ctx.Request.Header.Len())
	for k, v := range ctx.Request.Header.All() {
		name := strings.ToLower(string(k))
		value := string(v)
		if credentials[name] {
			value = hashed(v)
		} else if name == "sec-websocket-protocol" {
			value = realtimeSecret.ReplaceAllStringFunc(value, func(key string) string {
				return realtimeKey + hashed([]byte(key[len(realtimeKey):]))
			})
		}
		if before, twice := out[name]; twice {
			value = before + ", " + value
		}
		out[name] = value
	}
	return out
}
