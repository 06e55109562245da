package proxy

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/internal/tokens"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// serveCount answers how many tokens a request is: as a provider of the client's dialect counts them, or as the node
// estimates where there is none to ask.
func (x *exchange) serveCount() *dialect.Error {
	if e := x.authenticate(); e != nil {
		return e
	}
	if e := x.parse(); e != nil {
		return e
	}
	if e := x.resolve(); e != nil {
		return e
	}
	if e := x.checkKept(); e != nil {
		return e
	}
	if e := x.throttle(); e != nil {
		return e
	}
	if e := x.decide(); e != nil { // what a policy hides from providers is hidden here, too
		return e
	}
	x.cache, x.reason = cacheBypass, "the answer is a count"
	if x.ruled() { // no provider would be asked
		return x.estimate()
	}
	if done, e := x.join(); done {
		return e
	}
	e := x.attempt()
	switch {
	case e == nil:
		return x.reply()
	case e.Code == codeInvalidRequest.name:
		return e
	}
	return x.estimate()
}

// estimate answers with the node's own count.
func (x *exchange) estimate() *dialect.Error {
	counted, err := x.countTokens()
	if err != nil {
		return fail(codeInvalidRequest, "", "the request's tokens cannot be counted: "+reasonOf(err))
	}
	n := x.s.factors.scale(x.version.targets[0].Model, counted)
	x.out = x.s.o.Dialects.For(x.op).AppendCount(x.out[:0], x.op, int64(n))
	x.ctx.Response.Header.SetCanonical(headerEstimated, valueTrue)
	x.answerJSON()
	return nil
}

// What a message, and a picture, cost beside their texts, in tokens: about what the providers' references say.
const (
	tokensPerTurn  = 4
	tokensPerImage = 1000
)

// countTokens is how many tokens of o200k_base the request has.
func (x *exchange) countTokens() (n int, err error) {
	x.parseAgain()
	err = x.s.o.Dialects.WithChat(x.op, x.requestBody(), func(c *dialect.Chat) error {
		n = countChat(c)
		return nil
	})
	return n, err
}

func countChat(c *dialect.Chat) (n int) {
	var plain []byte
	add := func(texts ...[]byte) {
		for _, s := range texts {
			if len(s) > 0 {
				plain = jsonscan.AppendDecoded(plain[:0], s)
				n += tokens.Count(plain)
			}
		}
	}
	for _, parts := range [...][]dialect.Part{c.System, c.Parts, c.Nested} {
		for i := range parts {
			p := &parts[i]
			add(p.Text, p.Name)
			switch p.Kind {
			case dialect.PartCall:
				plain = dialect.AppendArgsText(plain[:0], p.Args)
				add(append([]byte(nil), plain...))
			case dialect.PartImage, dialect.PartFile, dialect.PartVideo, dialect.PartAudio:
				n += tokensPerImage
			}
		}
	}
	for i := range c.Tools {
		add(c.Tools[i].Name, c.Tools[i].Description)
		n += tokens.Count(c.Tools[i].Schema)
	}
	return n + tokensPerTurn*(len(c.Turns)+min(len(c.System), 1))
}

// factors learn from a few of the answers how a model's tokens differ from o200k_base's, once somebody asked for an
// estimate: the tables of the count take 5 MB.
type factors struct {
	known tokens.Factors
	inUse atomic.Bool
	seen  atomic.Int64
}

// Of the first answers each is a sample, of the later ones some: to count takes about as long as to parse.
const (
	sampleFirst = 64
	sampleEvery = 128
)

// wants says that the next answer is to be learnt from.
func (f *factors) wants() bool {
	return f.inUse.Load() && (f.seen.Add(1) <= sampleFirst || rand.IntN(sampleEvery) == 0)
}

func (f *factors) scale(model string, counted int) int {
	f.inUse.Store(true)
	return f.known.Scale(model, counted)
}

// sample counts the request's own tokens if its answer is to be learnt from; 0 otherwise.
func (x *exchange) sample() int {
	if !x.op.Chats() || !x.s.factors.wants() {
		return 0
	}
	counted, err := x.countTokens()
	if errors.Is(err, dialect.ErrInexpressible) || errors.Is(err, dialect.ErrMalformed) {
		return 0
	}
	return counted
}
