package proxy

import (
	"slices"
	"strconv"
	"time"

	"github.com/wedge-proxy/wedge/proxy/budget"
	"github.com/wedge-proxy/wedge/proxy/catalog"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
	"github.com/wedge-proxy/wedge/wire"
)

// maxAccounts is how many budgets of a request are listed without allocating.
const maxAccounts = 8

// linkAccounts finds the accounts of a catalog's budgets: of each key those that it names, that match it or its team, and
// the total ones; of each model and provider those that match it.
func (snap *Snapshot) linkAccounts(book *budget.Book) {
	if book == nil {
		return
	}
	named := make(map[string]*budget.Account, len(snap.catalog.Budgets))
	matched := map[[2]string][]*budget.Account{}
	for i := range snap.catalog.Budgets {
		b := &snap.catalog.Budgets[i]
		a := book.Account(b.Name)
		named[b.Name] = a
		if b.Match != "" || b.Scope == "total" {
			at := [2]string{b.Scope, b.Match}
			matched[at] = append(matched[at], a)
		}
	}
	for _, p := range snap.principals {
		for _, name := range p.Budgets {
			p.accounts = appendNew(p.accounts, named[name])
		}
		p.accounts = appendNew(p.accounts, matched[[2]string{"key", p.Name}]...)
		if p.Team != "" {
			p.accounts = appendNew(p.accounts, matched[[2]string{"team", p.Team}]...)
		}
		p.accounts = appendNew(p.accounts, matched[[2]string{"total", ""}]...)
	}
	for _, v := range snap.versions {
		v.accounts = matched[[2]string{"model", v.Model.Name}]
	}
	for _, p := range snap.providers {
		p.accounts = matched[[2]string{"provider", p.Name}]
	}
}

// appendNew appends the accounts that are not in the list.
func appendNew(list []*budget.Account, more ...*budget.Account) []*budget.Account {
	for _, a := range more {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// accountsOf are the budgets that an attempt at a version is held against; t is nil while no target is chosen.
func (x *exchange) accountsOf(v *version, t *target) []*budget.Account {
	list := append(x.accounts[:0], x.who.accounts...)
	list = appendNew(list, v.accounts...)
	if t != nil {
		list = appendNew(list, t.provider.accounts...)
	}
	if x.spared != nil {
		list = slices.DeleteFunc(list, func(a *budget.Account) bool { return a == x.spared })
	}
	return list
}

// afford refuses a request at once, even if the cache has its answer, if one of its budgets has no money left and says so.
func (x *exchange) afford() *dialect.Error {
	if len(x.who.accounts)+len(x.version.accounts) == 0 {
		return nil
	}
	for _, a := range x.accountsOf(x.version, nil) {
		if a.Exhausted(x.start) && a.Budget().OnExhausted != "cache_only" {
			return x.exhausted(a)
		}
	}
	return nil
}

// exhausted says that a budget has no money for the request.
func (x *exchange) exhausted(a *budget.Account) *dialect.Error {
	b := a.Budget()
	x.short = a
	message := "the budget " + b.Name + " of " + string(price.AppendUSD(nil, b.LimitNano)) + " USD, " + b.Period + ", has no money left for this request"
	e := fail(codeBudgetExhausted, "", message)
	e.Final = true
	if span := b.SpanAt(x.start); !span.End.IsZero() {
		e.RetryAfter = span.End.Sub(x.start)
		e.Message += "; it begins anew at " + span.End.UTC().Format(time.RFC3339)
	}
	e.Message += "; ask for less, or have its limit raised"
	return e
}

// downgraded turns the request, which a budget has no money for, into one of the model that the budget names for that case.
// It happens once; that budget is spared then.
func (x *exchange) downgraded(e *dialect.Error) bool {
	if e.Code != codeBudgetExhausted.name || x.short == nil || x.spared != nil {
		return false
	}
	ref, is := wire.Downgrade(x.short.Budget().OnExhausted)
	if !is {
		return false
	}
	name, rest := catalog.Split([]byte(ref))
	m := x.snap.table.Model(name)
	if m == nil {
		return false
	}
	v := m.Production()
	if rest != nil {
		v, _ = m.Version(rest, true)
	}
	if v == nil {
		return false
	}
	x.leaveFlight()
	x.spared, x.model, x.version, x.exp, x.why = x.short, m, x.snap.versions[v.Index], nil, "downgrade"
	x.plan, x.reader.Tail, x.cache, x.reason, x.recalled, x.entry = plan{}, false, cacheNone, "", nil, nil
	if r := x.ruling; r != nil {
		r.target, r.fallen, r.shadow, r.hedge, r.changed = 0, r.fallen[:0], nil, 0, true
	}
	return true
}

// charge begins the money of an attempt at t: it prices it, and holds what it may cost. again says whether another target
// may be tried where this one cannot be paid for.
func (x *exchange) charge(t *target) (failure *dialect.Error, again bool) {
	c := &x.up.charge
	c.reset()
	*c = charge{price: t.price, begun: x.start, asked: x.askedTokens(), sent: c.sent[:0]}
	x.gathers = false
	if x.op.Counts() || x.s.o.Budgets == nil {
		return nil, true
	}
	accounts := x.accountsOf(x.plan.version, t)
	if len(accounts) == 0 {
		return nil, true
	}
	if a := x.unpriced(c, t, accounts); a != nil {
		return fail(codeUnpriced, "", "nobody knows what model "+t.Model+" of provider "+t.provider.Name+" costs, and the budget "+a.Name()+
			" allows priced requests only; put its price into the catalog's prices, or set unpriced: flat in the budget"), true
	}
	var nano int64
	if anyHard(accounts) && x.costs() {
		c.hard = x.op.Chats()
		nano = x.need(c, accounts)
	}
	short := x.s.o.Budgets.Admit(&c.hold, accounts, nano, time.Now())
	if short != nil && x.lessWillDo(c) {
		short = x.s.o.Budgets.Admit(&c.hold, accounts, c.price.AtMost(c.atMostAsked(), c.paid, x.start), time.Now())
	}
	if short != nil {
		return x.exhausted(short), slices.Contains(t.provider.accounts, short)
	}
	c.book = x.s.o.Budgets
	return nil, true
}

// lessWillDo makes do with the beginning of an answer where there is no money for more of it.
func (x *exchange) lessWillDo(c *charge) bool {
	switch {
	case !x.op.Chats() || !x.costs() || c.chunk > 0 && c.chunk <= leastTokens:
		return false
	case !x.streaming && !x.gathers && (x.plan.whole || !x.gatherable()):
		return false
	}
	x.gathers = !x.streaming
	c.hard, c.chunk = true, leastTokens
	c.paid = c.chunk * x.choices()
	return true
}

// holdFor holds what a further call for the request may cost: all of a whole answer, or the beginning of a stream. It
// returns false if there is no money for it.
func (x *exchange) holdFor(c *charge, v *version, t *target, whole bool) bool {
	if x.s.o.Budgets == nil {
		return true
	}
	accounts := x.accountsOf(v, t)
	if len(accounts) == 0 {
		return true
	}
	if x.unpriced(c, t, accounts) != nil {
		return false
	}
	var nano int64
	if anyHard(accounts) {
		tokens := x.limit(v)
		if tokens == 0 {
			tokens = wholeTokens
		}
		if !whole {
			tokens = min(tokens, chunkTokens)
			c.hard = true
		}
		c.paid = tokens * x.choices()
		nano = c.price.AtMost(c.atMostAsked(), c.paid, x.start)
	}
	if x.s.o.Budgets.Admit(&c.hold, accounts, nano, time.Now()) != nil {
		return false
	}
	c.book = x.s.o.Budgets
	return true
}

func anyHard(accounts []*budget.Account) bool {
	return slices.ContainsFunc(accounts, func(a *budget.Account) bool { return a.Budget().Kind == "hard" })
}

// unpriced gives an attempt whose price nobody knows the flat one that its budgets hold it to, or returns one that does not
// allow it.
func (x *exchange) unpriced(c *charge, t *target, accounts []*budget.Account) *budget.Account {
	if !x.costs() || x.priced(t) {
		return nil
	}
	flat := int64(-1)
	for _, a := range accounts {
		switch b := a.Budget(); b.Unpriced {
		case "deny":
			return a
		case "flat":
			flat = max(flat, b.Flat)
		}
	}
	if flat >= 0 {
		c.price = price.Flat(flat)
	}
	return nil
}

// priced says that what the request may consume has a price. Some models are billed by other units than tokens.
func (x *exchange) priced(t *target) bool {
	if x.op == dialect.OpOther {
		return t.price.Known(x.start)
	}
	u := dialect.Usage{Known: true, Input: 1}
	if x.op.Chats() {
		u.Output = 1
	}
	return t.price.Bill(&u, x.start).Nano != price.Unknown
}

// costs says that the request asks a provider for something that it bills.
func (x *exchange) costs() bool {
	return x.op != dialect.OpOther || x.ctx.IsPost() && (len(x.ref) > 0 || !x.free())
}

// wholeTokens is what an answer is taken to have at most where nobody says.
const wholeTokens = 4096

// plenty is how many such requests the money must be there for, or else a whole answer is watched while it comes.
const plenty = 32

// need is what must be there before the attempt begins: all that a whole answer may cost, or the beginning of one that comes
// as a stream. A whole answer that the money is scarce for is asked for as a stream.
func (x *exchange) need(c *charge, accounts []*budget.Account) int64 {
	if !x.op.Chats() {
		nano := c.price.AtMost(c.atMostAsked()+x.extraTokens(), x.outputTokens(), x.start)
		if x.op == dialect.OpOther && x.under("images") { // where they are billed one by one
			nano = max(nano, c.price.Bill(&dialect.Usage{Known: true, Images: x.images()}, x.start).Nano)
		}
		return nano
	}
	limit, choices := x.limit(x.plan.version), x.choices()
	all, most := c.atMostAsked(), x.s.o.Budgets.Most(accounts, x.start)
	if !x.streaming {
		tokens := limit
		if tokens == 0 {
			tokens = wholeTokens
		}
		nano := c.price.AtMost(all, tokens*choices, x.start)
		if x.plan.whole || nano <= most/plenty || !x.gatherable() {
			c.hard = false
			return nano
		}
		x.gathers = true
	}
	c.chunk = affordable(most, func(tokens int64) int64 { return c.price.AtMost(all, tokens*choices, x.start) })
	if limit > 0 {
		c.chunk = min(c.chunk, limit)
	}
	c.paid = c.chunk * choices
	return c.price.AtMost(all, c.paid, x.start)
}

// words are what the request says, read once.
func (x *exchange) words() *dialect.Prompt {
	switch {
	case x.prompt != nil:
	case x.known != nil && (x.ruling == nil || !x.ruling.edited):
		x.prompt = x.known.promptOf(x.s.o.Dialects.For(x.op), x.op)
	default:
		x.promptBuf = dialect.Prompt{Scratch: x.promptBuf.Scratch[:0]}
		x.s.o.Dialects.For(x.op).ReadPrompt(x.op, x.requestBody(), &x.promptBuf)
		x.prompt = &x.promptBuf
	}
	return x.prompt
}

// Bodies of more bytes are read to tell their texts from pictures.
const longBody = 16 << 10

// pictureTokens is what a message with a picture is taken to have besides its texts.
const pictureTokens = 1600

// askedTokens is about how many tokens the request has.
func (x *exchange) askedTokens() int64 {
	body := x.requestBody()
	if x.op == dialect.OpOther || len(body) <= longBody {
		return int64(min(len(body), longBody))/bytesPerToken + 1
	}
	p := x.words()
	n := int64(p.TextBytes)/bytesPerToken + 1
	if p.Images {
		n += pictureTokens * int64(p.Messages)
	}
	return n
}

// limit is the bound on the answer's tokens that goes to the provider; 0 where nobody sets one.
func (x *exchange) limit(v *version) int64 {
	if v.forceLimit > 0 {
		return v.forceLimit
	}
	if n := x.words().MaxTokens; n > 0 {
		return n
	}
	return v.fillLimit
}

// maxChoices bounds how many answers a request is taken to ask for.
const maxChoices = 128

// choices is how many answers the request asks for.
func (x *exchange) choices() int64 {
	n := int64(1)
	body := x.requestBody()
	switch x.op {
	case dialect.OpChat, dialect.OpCompletions:
		for _, name := range [...]string{"n", "best_of"} {
			n = max(n, numberAt(body, 0, name))
		}
	case dialect.OpGenerate:
		if config := memberOf(body, 0, "generationConfig"); config.found && body[config.at] == '{' {
			n = numberAt(body, config.at, "candidateCount")
		}
	}
	return min(max(n, 1), maxChoices)
}

// numberAt is a member of the object at doc[at] that is a whole number, or 0.
func numberAt(doc []byte, at int, name string) int64 {
	p := memberOf(doc, at, name)
	if !p.found {
		return 0
	}
	n, err := strconv.ParseInt(string(doc[p.at:p.end]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// gatherable says that the whole answer can be put together from a stream.
func (x *exchange) gatherable() bool {
	if x.op != dialect.OpChat {
		return true
	}
	return !x.says("audio") // which comes in another format
}

// waste books an attempt that failed after the provider may have begun to work.
func (x *exchange) waste(t *target) {
	if c := &x.up.charge; c.price != nil && !x.op.Counts() {
		b := x.bill()
		b.counted, b.waste = 0, true
		b.book(dialect.Usage{}, t, c)
		x.wasted += max(0, c.cost)
	}
}
