package proxy

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

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
		p.payers = digestOf(p.accounts)
	}
	for _, v := range snap.versions {
		v.accounts = matched[[2]string{"model", v.Model.Name}]
	}
	for _, p := range snap.providers {
		p.accounts = matched[[2]string{"provider", p.Name}]
	}
}

// digestOf tells sets of accounts apart. Whoever makes two of them collide, which takes the catalog's author, has their equal
// requests share a call.
func digestOf(accounts []*budget.Account) (sum [8]byte) {
	if len(accounts) == 0 {
		return sum
	}
	names := make([]string, len(accounts))
	for i, a := range accounts {
		names[i] = a.Name()
	}
	slices.Sort(names)
	binary.LittleEndian.PutUint64(sum[:], xxhash.Sum64String(strings.Join(names, "\x00")))
	return sum
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
	*c = charge{price: t.price, begun: x.start, asked: x.askedTokens() + x.linkedPictures(), sent: c.sent[:0]}
	x.gathers = false
	if l := x.line(); l != nil {
		c.asked = max(c.asked, l.context())
	}
	if c.late = x.goesOn(); c.late {
		c.paid = x.limit(x.plan.version)
	}
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
		nano = x.need(c, t, accounts)
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
	case !x.op.Chats() || !x.costs():
		return false
	case c.full:
		if c.paid <= leastWhole*x.choices() {
			return false
		}
		c.clamp = leastWhole
		c.paid = leastWhole * x.choices()
		return true
	case c.chunk > 0 && c.chunk <= leastTokens:
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
		tokens, hides := x.limit(v), x.hides(t)
		switch {
		case tokens > 0:
		case hides:
			tokens = hiddenTokens
		default:
			tokens = wholeTokens
		}
		if c.hard = !whole; !whole && !hides {
			tokens = min(tokens, chunkTokens)
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

const (
	// wholeTokens is what an answer that can be seen coming is taken to have at most where nobody says.
	wholeTokens = 32 << 10
	// hiddenTokens is what a model that reasons generates at most where nobody says.
	hiddenTokens = 128 << 10
	// hiddenLeast is by how much answers may have more tokens than were seen coming.
	hiddenLeast = 256
	// leastWhole is as few tokens as an answer is limited to that does not end where the money does.
	leastWhole = 1024
)

// plenty is how many such requests the money must be there for, or else a whole answer is watched while it comes.
const plenty = 32

// need is what must be there before the attempt begins: all that an answer may cost that is not seen coming, or the beginning
// of one that comes as a stream. A whole answer that the money is scarce for is asked for as a stream.
func (x *exchange) need(c *charge, t *target, accounts []*budget.Account) int64 {
	if !x.op.Chats() {
		nano := c.price.AtMost(c.atMostAsked()+x.extraTokens(), x.outputTokens(), x.start)
		if x.op == dialect.OpOther && x.under("images") { // where they are billed one by one
			nano = max(nano, c.price.Bill(&dialect.Usage{Known: true, Images: x.images()}, x.start).Nano)
		}
		return nano
	}
	limit, choices := x.limit(x.plan.version), x.choices()
	all, most := c.atMostAsked(), x.s.o.Budgets.Most(accounts, x.start)
	cost := func(tokens int64) int64 { return c.price.AtMost(all, tokens*choices, x.start) }
	if c.hard = x.streaming; c.late || x.hides(t) {
		return c.needAll(limit, choices, most, cost)
	}
	if !x.streaming {
		tokens := limit
		if tokens == 0 {
			tokens = wholeTokens
		}
		if nano := cost(tokens); nano <= most/plenty {
			return nano
		}
		if x.plan.whole || !x.gatherable() {
			return c.needAll(limit, choices, most, cost)
		}
		c.hard, x.gathers = true, true
	}
	c.chunk = affordable(most, cost)
	if limit > 0 {
		c.chunk = min(c.chunk, limit)
	}
	c.paid = c.chunk * choices
	return cost(c.chunk)
}

// needAll is need where all of the answer must be paid for beforehand. Where it may cost more than the money allows, the
// provider is told a lower limit.
func (c *charge) needAll(limit, choices, most int64, cost func(tokens int64) int64) int64 {
	tokens, share := limit, int64(2)
	if limit == 0 {
		tokens, share = hiddenTokens, 8
	}
	full := tokens
	for tokens > leastWhole && cost(tokens) > most/share {
		tokens = max(tokens/4, leastWhole)
	}
	if tokens < full {
		c.clamp = tokens
	}
	c.full, c.chunk, c.paid = true, tokens, tokens*choices
	return cost(tokens)
}

// clampBody puts the limit into the body that the provider gets, which is of the operation op.
func (x *exchange) clampBody(op dialect.Op) *dialect.Error {
	n := x.up.charge.clamp
	if op == dialect.OpMessages {
		if p := memberOf(x.body, 0, "thinking"); p.found && x.body[p.at] == '{' {
			if m := numberAt(x.body, p.at, "budget_tokens"); m >= n { // which providers refuse
				e := fail(codeBudgetExhausted, "", "the money that is left pays for "+strconv.FormatInt(n, 10)+" tokens, and the request allows "+
					strconv.FormatInt(m, 10)+" for thinking alone; ask for less, or have a budget's limit raised")
				e.Final = true
				return e
			}
		}
	}
	out, err := x.s.o.Dialects.For(op).AppendMaxTokens(nil, x.body, op, n)
	if err == nil {
		x.body = out
	}
	return nil
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
