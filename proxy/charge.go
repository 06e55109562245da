package proxy

import (
	"bytes"
	"time"

	"github.com/wedge-proxy/wedge/proxy/budget"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
)

// charge is the money of one attempt: what budgets hold for it while it is under way, and how it is settled. The zero value
// holds nothing.
type charge struct {
	book  *budget.Book // nil: no budget applies
	hold  budget.Hold
	price *price.Price
	begun time.Time // when the request was admitted: prices are those of then

	asked int64 // tokens of the request, an estimate
	came  int64 // tokens of the answer so far, an estimate where the provider does not tell yet
	paid  int64 // tokens of the answer that are held for
	chunk int64 // of them, that were added last
	tried int64 // came, when there was no money for more
	least int   // bytes of the smallest event: what stands around the texts
	seen  int64 // tokens of the answer as its events show it
	clamp int64 // what the provider is to be told as the limit of the answer's tokens; 0: what the client said, or nothing

	hard bool // a budget may end the stream
	full bool // all of the answer is paid for beforehand
	late bool // the answer goes on when nobody reads it any more
	cut  bool // and did
	// whole says that the answer ended well, so that what the provider tells of it is all.
	whole bool
	// estimated says that the usage which the stream tells is an estimate.
	estimated bool
	sent      []byte // what the clients got of it, to end it well

	// What was booked. Those who read a shared stream may read all the rest while one of them books it.
	booked  bool
	counts  dialect.Usage
	cost    int64 // in nano-USD
	guessed bool  // counts is an estimate
}

const (
	// chunkTokens is how much of a stream is paid for ahead.
	chunkTokens = 512
	// aheadTokens is how close to the end of what is paid the next chunk is asked for.
	aheadTokens = 64
	// leastTokens is as little of an answer as is worth the beginning of it.
	leastTokens = 32
	// lastTokens is how close to it a stream ends that nothing more can be paid for.
	lastTokens = 8
	// mostSent bounds what is remembered of a stream in order to end it well, in bytes.
	mostSent = 8 << 20
)

// atMostAsked is how many tokens the request has at most, as far as an estimate can tell.
func (c *charge) atMostAsked() int64 { return c.asked*4/3 + 1 }

// event counts an event of the answer. Where events have names, those that bring something new end in delta; the others
// repeat it. Sound has many more bytes than tokens.
func (c *charge) event(name []byte, size int, u *dialect.Usage) {
	switch {
	case len(name) > 0 && !bytes.HasSuffix(name, []byte("delta")):
		c.came = max(c.came, u.Output)
		return
	case bytes.HasSuffix(name, []byte("audio.delta")):
		c.came += 1 + int64(size/soundBytes)
		return
	}
	if c.least == 0 || size < c.least {
		c.least = size
	}
	n := 1 + int64(size-c.least)/bytesPerToken
	c.seen += n
	c.came = max(c.came+n, u.Output)
}

// remember keeps what the clients got.
func (c *charge) remember(events []byte) {
	if c.hard && len(c.sent) < mostSent {
		c.sent = append(c.sent, events...)
	}
}

// more is what so many further tokens of the answer may cost.
func (c *charge) more(tokens int64) int64 {
	asked := c.atMostAsked()
	return c.price.AtMost(asked, c.paid+tokens, c.begun) - c.price.AtMost(asked, c.paid, c.begun)
}

// spent says that there is no money for more of the answer. It asks for more while there is time.
func (c *charge) spent() bool {
	if !c.hard || c.came+min(aheadTokens, c.chunk/2) <= c.paid {
		return false
	}
	last := c.came+lastTokens >= c.paid
	if c.tried > 0 && !last { // it was asked for before
		return false
	}
	behind := max(0, c.came-c.paid)
	chunk := affordable(c.book.Left(&c.hold), func(tokens int64) int64 { return c.more(behind + tokens) })
	for {
		if c.book.Extend(&c.hold, c.more(behind+chunk), time.Now()) == nil {
			c.paid, c.chunk, c.tried = c.paid+behind+chunk, chunk, 0
			return false
		}
		if chunk == leastTokens {
			c.tried = max(c.came, 1)
			return last
		}
		chunk = leastTokens
	}
}

// affordable is how many tokens of an answer to pay for ahead, where there is so much money left: the scarcer it is, the less
// of it a request ties up.
func affordable(left int64, cost func(tokens int64) int64) int64 {
	for n := int64(chunkTokens); n > leastTokens; n /= 4 {
		if c := cost(n); c <= left/8 {
			return n
		}
	}
	return leastTokens
}

// usage is what counts as consumed: what the provider tells, or an estimate.
func (c *charge) usage(u dialect.Usage) (counts dialect.Usage, estimated bool) {
	if !plausible(&u) {
		u = dialect.Usage{}
	}
	if u.Known && c.whole {
		return u, c.estimated
	}
	u.Known, u.Input, u.Output = true, max(u.Input, c.asked), max(u.Output, c.came)
	if c.late {
		u.Output = max(u.Output, c.paid)
	}
	return u, true
}

// mostUsed is more of anything than one answer consumes.
const mostUsed = 1 << 30

// plausible says that a provider's numbers can be true.
func plausible(u *dialect.Usage) bool {
	for _, n := range [...]int64{
		u.Input, u.Cached, u.CacheWrite, u.CacheWriteHour, u.AudioInput, u.ImageInput,
		u.Output, u.Reasoning, u.AudioOutput, u.ImageOutput, u.Images, u.AudioMillis, u.Letters,
	} {
		if n < 0 || n > mostUsed {
			return false
		}
	}
	return true
}

// hid says that an answer had many more tokens than were seen coming.
func (c *charge) hid(u *dialect.Usage) bool {
	if c.seen == 0 {
		return u.Reasoning > hiddenLeast
	}
	return u.Output > 2*c.seen+hiddenLeast
}

// filled says that the answer may have ended where the node had it ended: it is shorter than what was asked for.
func (c *charge) filled(u *dialect.Usage) bool {
	return c.clamp > 0 && (!u.Known || u.Output+lastTokens >= c.clamp)
}

// settle books what an attempt cost. It may be called again, and does nothing then.
func (c *charge) settle(u *dialect.Usage) {
	if c.book == nil {
		return
	}
	nano := c.price.Bill(u, c.begun).Nano
	if nano == price.Unknown { // beyond all measure
		nano = c.hold.Nano()
	}
	c.hold.Settle(min(nano, price.Beyond))
	c.book = nil
}

// release gives back all that is held for an attempt that cost nothing.
func (c *charge) release() {
	if c.book != nil {
		c.hold.Settle(0)
		c.book = nil
	}
}

// reset makes the charge ready for another attempt, or another request. A buffer of ordinary size is kept.
func (c *charge) reset() {
	c.release()
	sent := c.sent[:0]
	if cap(sent) > keptMost {
		sent = nil
	}
	*c = charge{sent: sent}
}
