package proxy

import (
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
	"github.com/wedge-proxy/wedge/proxy/stream"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// replay answers with x.entry, in the form that the client asked for.
func (x *exchange) replay() *dialect.Error {
	x.usage = x.entry.Usage
	form, err := x.entry.Answer(x.asked(), x.s.o.Dialects) // again, for a hit: the entry remembers
	if err != nil {
		return x.explainFailure(err)
	}
	x.dropped = x.entry.Dropped
	x.lose(form.Lost)
	return x.answer(form)
}

// reply answers with what the attempt, or the leader's, brought: whole, or with the exchange as the body.
func (x *exchange) reply() *dialect.Error {
	if x.entry != nil {
		return x.replay()
	}
	if len(x.out) > 0 && x.answeredWhole() {
		if !x.streaming {
			if x.edits(false) {
				return x.answer(&cache.Form{Body: x.out})
			}
			x.price()
			x.setHeaders()
			x.sendOut()
			return nil
		}
		body, tail, terminal, err := x.s.o.Dialects.For(x.op).AppendStream(nil, x.op, x.out)
		if err != nil {
			return x.explainFailure(err)
		}
		return x.answer(&cache.Form{Stream: true, Body: body, Tail: tail, TailEnd: terminal, Terminal: terminal})
	}
	if !x.streaming {
		form, e := x.gather()
		if e != nil {
			return e
		}
		return x.answer(form)
	}
	x.setHeaders()
	x.sendStream(-1)
	return nil
}

// sendStream makes the exchange the response's body, of so many bytes or of unknown length.
func (x *exchange) sendStream(length int) {
	if length < 0 {
		x.sendBody(x)
		return
	}
	x.streamed = true
	x.ctx.Response.SetBodyStream(x, length)
}

// answeredWhole says that the provider's whole answer lies in x.out.
func (x *exchange) answeredWhole() bool {
	return x.up != nil && (x.gathers || x.up.n == 0 && x.up.events.Events == 0)
}

// sendOut hands x.out to the response without copying it.
func (x *exchange) sendOut() {
	x.sent = int64(len(x.out))
	x.out = x.ctx.Response.SwapBody(x.out)
}

// answer sends an answer that is there as a whole. A stream goes out at once, with the cost before its terminal
// event and without the tail if the client did not ask for it.
func (x *exchange) answer(f *cache.Form) *dialect.Error {
	x.price()
	f, e := x.editAnswer(f)
	if e != nil {
		return e
	}
	if f.Stream && x.ruling != nil && x.ruling.stopped { // the policies' terminal event is the last one
		end := lastEvent(f.Body)
		f.Tail, f.TailEnd, f.Terminal = min(f.Tail, end), min(f.TailEnd, end), end
	}
	x.setHeaders()
	if !f.Stream {
		x.sent = int64(len(f.Body))
		x.ctx.Response.SetBodyRaw(f.Body)
		return nil
	}
	out := append(x.out[:0], f.Body[:f.Tail]...)
	if x.tellsUsage() {
		out = append(out, f.Body[f.Tail:f.TailEnd]...)
	}
	out = append(out, f.Body[f.TailEnd:f.Terminal]...)
	out = x.appendReceipt(out)
	x.out = append(out, f.Body[f.Terminal:]...)
	if x.array {
		x.out = append(x.frame(x.out), ']')
		x.lines = nil // which x.out is now
	}
	x.sendOut()
	return nil
}

// Read is part of io.Reader; fasthttp uses WriteTo.
func (x *exchange) Read(p []byte) (int, error) {
	return 0, errors.New("BUG: an exchange is written with WriteTo")
}

// SupportsBodyWriteTo tells fasthttp to use WriteTo.
func (x *exchange) SupportsBodyWriteTo() bool { return true }

// relay writes the stream: everything that one read of the provider brought goes out in one write.
func (x *exchange) relay(w io.Writer) (int64, error) {
	x.cork()
	for {
		part, atTerminal, err := x.flight.Next(&x.reader)
		if err == nil && x.late() {
			err = errLate
		}
		ended, quiet := false, err == nil && len(part) == 0
		if err == nil && !quiet && x.edits(true) {
			part, ended, err = x.editPart(part)
		}
		if err != nil {
			return x.sent, x.endStream(w, err)
		}
		switch {
		case atTerminal:
			x.settleStream()
			part = append(x.appendReceipt(x.out[:0]), part...)
			x.out = part[:0]
		case ended: // by a policy: the provider has not told what it costs
			x.price()
			at := lastEvent(part)
			part = append(x.appendReceipt(append(x.out[:0], part[:at]...)), part[at:]...)
			x.out = part[:0]
		}
		switch {
		case quiet:
			part = heartbeats[x.client]
		case len(part) == 0:
			continue
		default:
			part = x.frame(part)
		}
		n, err := w.Write(part)
		x.sent += int64(n)
		if err != nil {
			x.gone = true
			return x.sent, err
		}
		if ended {
			return x.sent, x.writeEnd(w)
		}
		if !atTerminal && !x.flight.Ready(&x.reader) {
			if err := x.uncork(); err != nil {
				x.gone = true
				return x.sent, err
			}
			x.cork()
		}
	}
}

// heartbeats are comments, and white space for Gemini's clients: Google's SDK for Go takes a comment for an error, and one
// end of line for another.
var heartbeats = [dialect.IDs][]byte{dialect.OpenAI: []byte(":\n\n"), dialect.Anthropic: []byte(":\n\n"), dialect.Gemini: []byte("\r\n\r\n")}

// lastEvent is where the last of whole events begins.
func lastEvent(events []byte) (at int) {
	for next := 0; next < len(events); {
		at = next
		n := stream.Next(events[at:])
		if n == 0 {
			break
		}
		next = at + n
	}
	return at
}

var errLate = errors.New("the request's own time is over")

// endStream ends a stream: silently after a good end, with the dialect's terminal error otherwise, never with a good
// end that the provider did not send.
func (x *exchange) endStream(w io.Writer, err error) error {
	ended := x.flight.Ended() // or others still read it, and what the source tells is theirs
	if ended {
		x.settleStream()
	}
	late := errors.Is(err, errLate) || errors.Is(err, stream.ErrGone) && x.flight.Late(&x.reader)
	switch {
	case err == io.EOF:
		return x.writeEnd(w)
	case late && x.up.raw:
		return x.cutRaw(upstream.ErrTimeout)
	case x.up.raw && !errors.Is(err, stream.ErrGone):
		return x.cutRaw(err)
	case errors.Is(err, stream.ErrGone) && !late:
		x.gone = true
		return err
	case errors.Is(err, errStreamFailed):
		x.failure = x.explainFailure(err) // the provider's own event was passed on
		return nil
	case late:
		x.failure = fail(codeUpstreamTimeout, "", "the answer did not end within "+x.limitName()+"; allow more time")
	default:
		x.failure = x.explainFailure(err)
	}
	if ended {
		x.failure.Stream = x.up.told()
	}
	x.out = x.s.o.Dialects.For(x.op).AppendStreamError(x.out[:0], x.op, x.failure, string(x.id.bytes()))
	n, err := w.Write(x.frame(x.out))
	x.sent += int64(n)
	if err == nil && x.client == dialect.Gemini {
		err = errTold // its SDKs take no notice of an error in a stream, but of a body that does not end
	}
	return err
}

var errTold = errors.New("the stream failed, and the client was told so")

// settleStream takes over what the finished stream told.
func (x *exchange) settleStream() {
	x.usage = x.up.events.Usage
	x.claimResponse(x.up.responseID)
	if first := x.up.first; !first.IsZero() {
		x.firstToken = max(0, first.Sub(x.start))
	}
	x.price()
}

// Close is called by fasthttp when the stream was written, or could not be. The connection stays corked: what
// fasthttp still has to write to end the body joins the last burst, and the next read lets both go.
func (x *exchange) Close() error {
	h := &x.ctx.Request.Header
	if h.ConnectionClose() || !h.IsHTTP11() || x.ctx.Response.ConnectionClose() || x.s.draining.Load() || x.s.drained.Load() {
		// There is no next read. A write that waits for a slow client has its time here, and not in closing.
		x.gone = x.uncork() != nil || x.gone
	}
	x.finish()
	return nil
}

func (x *exchange) cork() {
	if x.conn != nil {
		x.conn.Cork()
	}
}

func (x *exchange) uncork() error {
	switch {
	case x.conn != nil:
		return x.conn.Uncork()
	case x.visit != nil:
		return x.visit.to.flush()
	}
	return nil
}

// price settles what the answer cost the operator: nothing if it came from the cache or from somebody else's call.
func (x *exchange) price() {
	x.cost = price.Unknown
	switch {
	case x.cache.hit() || x.cache == cacheCoalesced:
		x.cost = 0
	case x.answered != nil && x.up != nil && (x.usage.Known || x.up.charge.whole):
		x.counts, x.guessed = x.up.charge.usage(x.usage)
		x.cost = x.answered.price.Bill(&x.counts, x.start).Nano
	}
}

// saved is what an answer that needed no provider would have cost.
func (x *exchange) saved() int64 {
	t := x.answered
	switch {
	case !x.usage.Known:
		return 0
	case x.cache.hit() && x.entry != nil:
		t = x.version.targetNamed(x.entry.Provider, x.entry.Target)
	case x.cache != cacheCoalesced:
		return 0
	}
	if t == nil {
		return 0
	}
	return max(0, t.price.Bill(&x.usage, x.start).Nano)
}

// targetNamed is the target of the version by its provider and name, or nil.
func (v *version) targetNamed(provider, name string) *target {
	for i := range v.targets {
		if t := &v.targets[i]; t.Name == name && t.provider.Name == provider {
			return t
		}
	}
	return nil
}

// appendReceipt appends the comment that tells at a stream's end what was not known at its beginning. Google's SDK for Go
// fails on comments.
func (x *exchange) appendReceipt(dst []byte) []byte {
	if x.client == dialect.Gemini {
		return dst
	}
	dst = append(dst, `: wedge {"cost_usd":`...)
	if x.cost == price.Unknown {
		dst = append(dst, "null"...)
	} else {
		dst = price.AppendUSD(dst, x.cost)
	}
	dst = append(dst, `,"usage":`...)
	if !x.usage.Known {
		dst = append(dst, "null"...)
	} else {
		dst = appendUsage(dst, &x.usage)
	}
	return append(dst, "}\n\n"...)
}

// appendUsage appends a usage as JSON: what every answer tells, and what else this one does.
func appendUsage(dst []byte, u *dialect.Usage) []byte {
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), u.Input, 10)
	dst = strconv.AppendInt(append(dst, `,"cached_tokens":`...), u.Cached, 10)
	dst = strconv.AppendInt(append(dst, `,"output_tokens":`...), u.Output, 10)
	dst = strconv.AppendInt(append(dst, `,"reasoning_tokens":`...), u.Reasoning, 10)
	for _, more := range [...]struct {
		name string
		n    int64
	}{
		{"cache_write_tokens", u.CacheWrite}, {"cache_write_hour_tokens", u.CacheWriteHour}, {"audio_input_tokens", u.AudioInput},
		{"audio_output_tokens", u.AudioOutput}, {"image_input_tokens", u.ImageInput}, {"image_output_tokens", u.ImageOutput},
	} {
		if more.n > 0 {
			dst = append(append(append(dst, `,"`...), more.name...), `":`...)
			dst = strconv.AppendInt(dst, more.n, 10)
		}
	}
	return append(dst, '}')
}

// refuse answers with an error in the endpoint's dialect.
func (x *exchange) refuse(e *dialect.Error) {
	x.failure, x.status = e, e.Status
	if x.entry != nil { // it was found, but could not be used
		x.cache = cacheMiss
	}
	x.setHeaders()
	h := &x.ctx.Response.Header
	h.SetContentTypeBytes(valueJSON)
	h.SetCanonical(headerError, []byte(e.Code))
	if d := e.RetryAfter; d > 0 {
		h.SetCanonical(headerRetryAfter, strconv.AppendInt(nil, int64((d+time.Second-1)/time.Second), 10))
		h.SetCanonical(headerRetryAfterMS, strconv.AppendInt(nil, d.Milliseconds(), 10))
	}
	if e.Final {
		h.SetCanonical(headerShouldRetry, []byte("false"))
	}
	x.ctx.Response.SetStatusCode(e.Status)
	x.ctx.Response.SetBody(x.s.o.Dialects.Codecs[x.client].AppendError(nil, e, string(x.id.bytes())))
	x.sent = int64(len(x.ctx.Response.Body()))
}
