package price

import (
	"math"
	"math/bits"
	"time"

	"github.com/wedge-proxy/wedge/internal/prices"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/wire"
)

// Unknown is the cost of a request whose price nobody knows. It is not zero.
const Unknown int64 = -1

// Bill is what a usage costs in nano-USD, or Unknown.
type Bill struct {
	Nano int64
	List int64 // if the provider had no prompt cache
}

// Line is a part of a bill.
type Line struct {
	What  string
	Per   string // what catalogs give its price for: million tokens, request, image, second or million letters
	Count int64  // tokens, or what else is counted
	Pico  int64  // pico-USD for each; negative where nobody says
	Nano  int64  // rounded up, or Unknown; the bill is rounded once, for the sum
}

// The parts of a bill.
const (
	input = iota
	cachedInput
	cacheWrite
	cacheWriteHour
	audioInput
	imageInput
	output
	reasoning
	audioOutput
	imageOutput
	tokenParts // how many are tokens

	request = iota - 1
	images
	audioMillis
	letters
	allParts
)

const aMillion = "million tokens"

// kinds are what parts are called, and what so many pico-USD for each are a price for.
var kinds = [allParts]struct {
	name, per string
	places    int // of the decimal number of USD
}{
	{"input", aMillion, 6}, {"cached input", aMillion, 6}, {"cache write", aMillion, 6}, {"cache write for an hour", aMillion, 6},
	{"audio input", aMillion, 6}, {"image input", aMillion, 6},
	{"output", aMillion, 6}, {"reasoning", aMillion, 6}, {"audio output", aMillion, 6}, {"image output", aMillion, 6},
	{"request", "request", 12}, {"images", "image", 12}, {"audio milliseconds", "second", 9}, {"letters", "million letters", 6},
}

// part is how many of something there were, at which price.
type part struct {
	count int64
	price int64  // negative: unknown
	pico  uint64 // of what the price is in: 1 for pico-USD, 1000 for nano-USD
}

// Bill prices a usage at a time. What was used but has no price makes the whole unknown.
func (p *Price) Bill(u *dialect.Usage, at time.Time) Bill {
	w := p.at(at)
	if w == nil || !u.Known {
		return Bill{Unknown, Unknown}
	}
	percent := p.percent(w)
	var parts [allParts]part
	fill(&parts, w, u)
	nano := sum(parts[:], percent)
	if u.Cached <= 0 && u.CacheWrite <= 0 || nano == Unknown {
		return Bill{nano, nano}
	}
	for _, i := range [...]int{cachedInput, cacheWrite, cacheWriteHour} {
		parts[input].count += parts[i].count
		parts[i].count = 0
	}
	return Bill{nano, sum(parts[:], percent)}
}

// Lines are the parts of a bill.
func (p *Price) Lines(u *dialect.Usage, at time.Time) (out []Line) {
	w := p.at(at)
	if w == nil || !u.Known {
		return nil
	}
	var parts [allParts]part
	fill(&parts, w, u)
	for i, each := range parts {
		if each.count == 0 || i == request && each.price == 0 {
			continue
		}
		line := Line{kinds[i].name, kinds[i].per, each.count, each.price, sum(parts[i:i+1], p.percent(w))}
		if each.price > 0 {
			if line.Pico = math.MaxInt64; each.price <= math.MaxInt64/int64(each.pico) {
				line.Pico = each.price * int64(each.pico)
			}
		}
		out = append(out, line)
	}
	return out
}

func (p *Price) percent(w *wire.Price) uint64 {
	if p.batch && w.Batch > 0 {
		return uint64(w.Batch)
	}
	return 100
}

// fill splits a usage into parts that are billed once each.
func fill(parts *[allParts]part, w *wire.Price, u *dialect.Usage) {
	t := tariff(w, u.Input)
	in, out := max(0, u.Input), max(0, u.Output)
	parts[cachedInput] = part{take(u.Cached, &in), t.CachedInput, 1}
	write := take(u.CacheWrite, &in)
	parts[cacheWriteHour] = part{take(u.CacheWriteHour, &write), t.CacheWriteHour, 1}
	parts[cacheWrite] = part{write, t.CacheWrite, 1}
	parts[audioInput] = part{take(u.AudioInput, &in), t.AudioInput, 1}
	parts[imageInput] = part{take(u.ImageInput, &in), t.ImageInput, 1}
	parts[input] = part{in, t.Input, 1}
	parts[reasoning] = part{take(u.Reasoning, &out), t.Reasoning, 1}
	parts[audioOutput] = part{take(u.AudioOutput, &out), t.AudioOutput, 1}
	parts[imageOutput] = part{take(u.ImageOutput, &out), t.ImageOutput, 1}
	parts[output] = part{out, t.Output, 1}
	parts[request] = part{1, w.Request, 1000}
	parts[images] = part{max(0, u.Images), w.Image, 1000}
	parts[audioMillis] = part{max(0, u.AudioMillis), w.Second, 1} // nano-USD a second are pico-USD a millisecond
	parts[letters] = part{max(0, u.Letters), w.Letter, 1}
	settle(parts, t, u)
}

// take takes up to n from what is left.
func take(n int64, left *int64) int64 {
	n = min(max(0, n), *left)
	*left -= n
	return n
}

// tariff is what holds for a request of so many tokens.
func tariff(w *wire.Price, input int64) *wire.Tariff {
	t := &w.Tariff
	for i := range w.Tiers {
		if input > w.Tiers[i].Above {
			t = &w.Tiers[i].Tariff
		}
	}
	return t
}

// settle decides what is free because it is billed in another unit, and what is unknown because it is billed in none.
func settle(parts *[allParts]part, t *wire.Tariff, u *dialect.Usage) {
	paid := false // in a unit that is not tokens
	for i := request; i < allParts; i++ {
		paid = paid || parts[i].count > 0 && parts[i].price > 0
	}
	if t.Input < 0 && t.Output < 0 && paid {
		for i := range tokenParts {
			parts[i].price = max(0, parts[i].price)
		}
	}
	free := t.Input == 0 && t.Output == 0
	if paid || free || u.Input > 0 || u.Output > 0 {
		return
	}
	for i := images; i < allParts; i++ {
		parts[i].price = Unknown // none of them that was used has a price
	}
}

// AtMost is what a request of so many tokens and an answer of so many can cost at most, whatever tokens they are, in nano-USD;
// 0 where nobody knows. Beyond all measure it is Beyond.
func (p *Price) AtMost(input, output int64, at time.Time) int64 {
	w := p.at(at)
	if w == nil {
		return 0
	}
	input, output = max(0, input), max(0, output)
	most := int64(0)
	for tier := -1; tier < len(w.Tiers); tier++ {
		t, n := &w.Tariff, input
		if tier >= 0 {
			if t = &w.Tiers[tier].Tariff; input <= w.Tiers[tier].Above {
				break
			}
		}
		if tier+1 < len(w.Tiers) {
			n = min(n, w.Tiers[tier+1].Above)
		}
		nano := sum([]part{
			{n, max(0, t.Input, t.CachedInput, t.CacheWrite, t.CacheWriteHour, t.AudioInput, t.ImageInput), 1},
			{output, max(0, t.Output, t.Reasoning, t.AudioOutput, t.ImageOutput), 1},
			{1, max(0, w.Request), 1000},
		}, p.percent(w))
		if nano == Unknown || nano > Beyond {
			return Beyond
		}
		most = max(most, nano)
	}
	return most
}

// Beyond is more than any request costs, in nano-USD: nine million USD. A thousand of them still add up to an int64.
const Beyond int64 = 1 << 53

// sum is what so many per cent of parts cost in nano-USD, rounded up once, or Unknown if it is that or no int64.
func sum(parts []part, percent uint64) int64 {
	var hi, lo, over uint64
	for i := range parts {
		if parts[i].count == 0 {
			continue
		}
		if parts[i].price < 0 {
			return Unknown
		}
		h, l := bits.Mul64(uint64(parts[i].count), uint64(parts[i].price))
		h, l, lost := times(h, l, parts[i].pico)
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi, carry = bits.Add64(hi, h, carry)
		over |= lost | carry
	}
	const unit = 1000 * 100 // pico in nano, and per cent
	hi, lo, lost := times(hi, lo, percent)
	lo, carry := bits.Add64(lo, unit-1, 0)
	hi, carry = bits.Add64(hi, 0, carry)
	if over|lost|carry != 0 || hi >= unit {
		return Unknown
	}
	nano, _ := bits.Div64(hi, lo, unit)
	if nano > math.MaxInt64 {
		return Unknown
	}
	return int64(nano)
}

// times multiplies a number of 128 bits; lost is not 0 where that has no 128 bits.
func times(hi, lo, by uint64) (h, l, lost uint64) {
	if by == 1 {
		return hi, lo, 0
	}
	lost, h = bits.Mul64(hi, by)
	high, l := bits.Mul64(lo, by)
	h, carry := bits.Add64(h, high, 0)
	return h, l, lost | carry
}

// AppendPrice appends the line's price as a catalog writes it: USD for Per.
func (l *Line) AppendPrice(dst []byte) []byte {
	for i := range kinds {
		if kinds[i].name == l.What {
			return prices.AppendDecimal(dst, l.Pico, kinds[i].places)
		}
	}
	return dst
}

// AppendUSD appends nano-USD as a decimal number of USD, without trailing zeros.
func AppendUSD(dst []byte, nano int64) []byte { return prices.AppendDecimal(dst, nano, 9) }
