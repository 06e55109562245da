package proxy

import (
	"time"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
	"github.com/wedge-proxy/wedge/proxy/usage"
	"github.com/wedge-proxy/wedge/wire"
)

// Meter sums up what requests used, as usage.Usage does.
type Meter interface {
	Add(k usage.Key, v usage.Values) // must not wait for anything, and keeps copies of the strings only
	Pending() int                    // reports that wait for the origin
}

// unixHour is the hour that a request admitted at a time counts in.
func unixHour(t time.Time) int64 { return t.Unix() / 3600 }

// meter counts a finished request of a known key. What its answer consumed is counted by its bill.
func (x *exchange) meter(r *record) {
	if x.s.o.Usage == nil || x.who == nil {
		return
	}
	k := usage.Key{
		Hour: unixHour(r.start), Model: r.label, Version: r.version, Experiment: r.experiment, Arm: r.arm, Key: r.key,
		Provider: r.provider, Target: r.target, Cache: r.cache, Code: r.code,
		Team: x.who.Team, Tags: bytesx.String(x.tags), Prices: x.snap.prices.Digest(),
	}
	if x.gone {
		k.Code = wire.CodeClientGone
	}
	if n := min(r.attempts, maxTries); k.Provider == "" && n > 0 {
		k.Provider, k.Target = r.tries[n-1].provider, r.tries[n-1].target // which failed
	}
	x.s.o.Usage.Add(k, usage.Values{Requests: 1, Took: r.took, FirstToken: r.firstToken, SavedNano: r.saved})
}

// account is the row that a bill is added to.
func (x *exchange) account() usage.Key {
	k := usage.Key{
		Hour: unixHour(x.start), Model: x.version.label, Version: x.version.Version.Version.Version,
		Key: x.who.Name, Cache: x.cache.String(), Team: x.who.Team, Tags: string(x.tags), Prices: x.snap.prices.Digest(),
	}
	if x.exp != nil {
		k.Experiment, k.Arm = x.exp.Name, x.exp.Experiment.Arms[x.arm].Name
	}
	return k
}

// meter counts what the answer of a target consumed.
func (b *bill) meter(u *dialect.Usage, t *target, cost price.Bill, estimated bool) {
	if b.usage == nil {
		return
	}
	k := b.account
	k.Provider, k.Target = t.provider.Name, t.Name
	v := usage.Values{Input: max(0, u.Input), CachedInput: max(0, u.Cached), Output: max(0, u.Output)}
	if cost.Nano == price.Unknown {
		v.Unpriced = 1
	} else {
		v.CostNano, v.ListNano = cost.Nano, cost.List
		if estimated {
			v.Estimated = cost.Nano
		}
		if b.waste {
			v.WasteNano = cost.Nano
		}
	}
	b.usage.Add(k, v)
}
