// Package budget says what a request cost. It knows prices and tokens, not providers or requests.
package budget

import (
	"math/big"
	"strconv"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/wire"
)

// Price is what one upstream model costs, in pico-USD per token.
type Price struct {
	Known                      bool
	Input, CachedInput, Output int64
}

// Prices builds the table of a catalog's prices, keyed by provider and upstream model.
func Prices(list []wire.Price) map[[2]string]Price {
	t := make(map[[2]string]Price, len(list))
	for i := range list {
		p := &list[i]
		t[[2]string{p.Provider, p.Model}] = Price{
			Known: p.Input >= 0 && p.Output >= 0, Input: p.Input, CachedInput: p.CachedInput, Output: p.Output,
		}
	}
	return t
}

// Unknown is the cost of a request whose price or usage nobody knows. It is not zero.
const Unknown int64 = -1

// Cost is what a usage costs in nano-USD, rounded up once, or Unknown.
func (p Price) Cost(u dialect.Usage) int64 {
	if !p.Known || !u.Known || u.Input < 0 || u.Output < 0 || u.Cached < 0 {
		return Unknown
	}
	cached := min(u.Cached, u.Input)
	const safe = 1 << 31 // both factors below this cannot overflow, and no honest usage or price is above
	if max(u.Input, u.Output, p.Input, p.CachedInput, p.Output) < safe {
		pico := (u.Input-cached)*p.Input + cached*p.CachedInput
		if out := u.Output * p.Output; pico >= 0 && pico+out >= 0 {
			return (pico + out + 999) / 1000
		}
	}
	return p.bigCost(u, cached)
}

func (p Price) bigCost(u dialect.Usage, cached int64) int64 {
	sum := new(big.Int)
	add := func(tokens, price int64) { sum.Add(sum, new(big.Int).Mul(big.NewInt(tokens), big.NewInt(price))) }
	add(u.Input-cached, p.Input)
	add(cached, p.CachedInput)
	add(u.Output, p.Output)
	sum.Add(sum, big.NewInt(999)).Quo(sum, big.NewInt(1000))
	if !sum.IsInt64() {
		return Unknown
	}
	return sum.Int64()
}

// AppendUSD appends nano-USD as a decimal number of USD, without trailing zeros.
func AppendUSD(dst []byte, nano int64) []byte {
	dst = strconv.AppendInt(dst, nano/1e9, 10)
	frac := nano % 1e9
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.')
	for scale := int64(1e8); frac > 0; scale /= 10 {
		dst = append(dst, byte('0'+frac/scale))
		frac %= scale
	}
	return dst
}
