package price

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/wire"
)

// now is when these tests take place.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// catalog is one with these prices.
func catalog(t *testing.T, prices string) *wire.Catalog {
	t.Helper()
	c, err := wire.ParseCatalog("c.yaml", []byte(`providers: [{name: p, dialect: openai, base_url: "http://127.0.0.1:9090/v1"}]
models: [{name: m, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: a}]}]}]
prices:
`+prices))
	require.NoError(t, err)
	return c
}

// priced is the price of p/a in a catalog.
func priced(t *testing.T, prices string) *Price {
	t.Helper()
	c := catalog(t, prices)
	return New(c).Of(&c.Providers[0], "a")
}

func bill(p *Price, u dialect.Usage) Bill {
	u.Known = true
	return p.Bill(&u, now)
}

func TestBillIsExactAndRoundedUpOnce(t *testing.T) {
	p := priced(t, "  - {provider: p, model: a, input: 0.15, output: 0.6}\n")
	assert.Equal(t, Bill{150_000, 150_000}, bill(p, dialect.Usage{Input: 1000}))
	assert.Equal(t, int64(0), bill(p, dialect.Usage{}).Nano, "nothing was used")

	fine := priced(t, "  - {provider: p, model: a, input: 0.00015, output: 0.0006}\n")
	assert.Equal(t, int64(1), bill(fine, dialect.Usage{Input: 1}).Nano, "0.15 nano-USD are one")
	assert.Equal(t, int64(1), bill(fine, dialect.Usage{Input: 1, Output: 1}).Nano, "0.75 nano-USD are one, not two")

	finest := priced(t, "  - {provider: p, model: a, input: 0.000001, output: 0}\n")
	assert.Equal(t, int64(1), bill(finest, dialect.Usage{Input: 1000, Output: 7}).Nano)
	assert.Equal(t, int64(2), bill(finest, dialect.Usage{Input: 1001}).Nano)
}

func TestEachTokenIsBilledOnce(t *testing.T) {
	p := priced(t, `  - {provider: p, model: a, input: 1, cached_input: 0.1, cache_write: 2, cache_write_hour: 3, audio_input: 5, image_input: 7,
     output: 11, reasoning: 13, audio_output: 17, image_output: 19}
`)
	u := dialect.Usage{Known: true, Input: 1_000, Cached: 100, CacheWrite: 200, CacheWriteHour: 50, AudioInput: 30, ImageInput: 20,
		Output: 500, Reasoning: 70, AudioOutput: 40, ImageOutput: 10}
	want := int64(650*1_000_000 + 100*100_000 + 150*2_000_000 + 50*3_000_000 + 30*5_000_000 + 20*7_000_000 +
		380*11_000_000 + 70*13_000_000 + 40*17_000_000 + 10*19_000_000)
	got := p.Bill(&u, now)
	assert.Equal(t, want/1000, got.Nano)
	assert.Equal(t, got.Nano+(100*900_000-150*1_000_000-50*2_000_000)/1000, got.List, "without a cache all of it is input")

	var lines int64
	for _, l := range p.Lines(&u, now) {
		assert.Equal(t, l.Count*l.Pico/1000, l.Nano, l.What)
		lines += l.Nano
	}
	assert.Equal(t, got.Nano, lines)
	assert.Len(t, p.Lines(&u, now), 10)

	over := dialect.Usage{Known: true, Input: 10, Cached: 8, CacheWrite: 8, CacheWriteHour: 80, AudioInput: 8, Output: 5, Reasoning: 50, AudioOutput: -3}
	assert.Equal(t, int64(8*100+2*3000+5*13000), p.Bill(&over, now).Nano, "parts are never more than the whole")
	negative := dialect.Usage{Known: true, Input: -10, Cached: -8, Output: -1, Images: -1}
	assert.Zero(t, p.Bill(&negative, now).Nano)
}

func TestTiersHoldForAllTokensOfARequest(t *testing.T) {
	p := priced(t, `  - {provider: p, model: a, input: 1, cached_input: 0.5, output: 10, tiers: [{above: 200000, input: 2, output: 15}, {above: 400000, input: 3}]}
`)
	assert.Equal(t, int64(200_000*1000), bill(p, dialect.Usage{Input: 200_000}).Nano)
	assert.Equal(t, int64(200_001*2000+10*15_000), bill(p, dialect.Usage{Input: 200_001, Output: 10}).Nano)
	assert.Equal(t, int64(400_000*2000-200_000*1500), bill(p, dialect.Usage{Input: 400_000, Cached: 200_000}).Nano, "the tier is silent about cached input")
	assert.Equal(t, int64(400_001*3000+10_000), bill(p, dialect.Usage{Input: 400_001, Output: 1}).Nano)
}

func TestPricesHoldFromTheirDate(t *testing.T) {
	p := priced(t, `  - {provider: p, model: a, input: 3, output: 3, from: 2027-01-01}
  - {provider: p, model: a, input: 1, output: 1, from: 2026-01-01}
  - {provider: p, model: a, input: 2, output: 2, from: "2026-11-23T12:00:00Z"}
`)
	u := &dialect.Usage{Known: true, Input: 1000}
	assert.Equal(t, Unknown, p.Bill(u, now.AddDate(-1, 0, 0)).Nano, "before the first one")
	assert.False(t, p.Known(now.AddDate(-1, 0, 0)))
	assert.Equal(t, int64(1_000_000), p.Bill(u, now.Add(-1)).Nano)
	assert.Equal(t, int64(2_000_000), p.Bill(u, now).Nano)
	assert.Equal(t, int64(3_000_000), p.Bill(u, now.AddDate(1, 0, 0)).Nano)
	assert.Zero(t, p.AtMost(1, 1, now.AddDate(-1, 0, 0)))
	w, builtIn, ok := p.At(now)
	assert.Equal(t, int64(2_000_000), w.Input)
	assert.True(t, ok && !builtIn)
}

func TestOtherUnits(t *testing.T) {
	request := priced(t, "  - {provider: p, model: a, input: 1, output: 1, request_usd: 0.005}\n")
	assert.Equal(t, int64(5_000_000+1_000_000), bill(request, dialect.Usage{Input: 1000}).Nano)
	assert.Equal(t, int64(5_000_000), bill(request, dialect.Usage{}).Nano)
	assert.Equal(t, int64(5_000_000+3_000_000), request.AtMost(1000, 2000, now))

	only := priced(t, "  - {provider: p, model: a, request_usd: 0.005}\n")
	assert.True(t, only.Known(now))
	assert.Equal(t, int64(5_000_000), bill(only, dialect.Usage{Input: 1000, Output: 7}).Nano, "the request pays for its tokens")

	image := priced(t, "  - {provider: p, model: a, image_usd: 0.04}\n")
	assert.True(t, image.Known(now))
	assert.Equal(t, int64(80_000_000), bill(image, dialect.Usage{Images: 2}).Nano)
	assert.Equal(t, Unknown, bill(image, dialect.Usage{Input: 5}).Nano, "nobody says what a token costs")

	heard := priced(t, "  - {provider: p, model: a, second_usd: 0.0001}\n")
	assert.Equal(t, int64(150_000), bill(heard, dialect.Usage{AudioMillis: 1_500}).Nano)
	assert.Equal(t, int64(1), bill(priced(t, "  - {provider: p, model: a, second_usd: 0.000000001}\n"), dialect.Usage{AudioMillis: 1}).Nano)

	spoken := priced(t, "  - {provider: p, model: a, letters: 15}\n")
	assert.Equal(t, int64(15_000*11), bill(spoken, dialect.Usage{Letters: 11}).Nano)
}

func TestUnknownIsNotZero(t *testing.T) {
	for what, u := range map[string]dialect.Usage{"images": {Images: 1}, "audio": {AudioMillis: 1}, "letters": {Letters: 1}} {
		assert.Equal(t, Bill{Unknown, Unknown}, bill(priced(t, "  - {provider: p, model: a, input: 1, output: 2}\n"), u), what)
		assert.Zero(t, bill(priced(t, "  - {provider: p, model: a, input: 0, output: 0}\n"), u).Nano, "%s of a free model", what)
		assert.Positive(t, bill(priced(t, "  - {provider: p, model: a, input: 1, output: 2, request_usd: 1}\n"), u).Nano, what)
	}
	heard := bill(priced(t, "  - {provider: p, model: a, input: 1, output: 2}\n"), dialect.Usage{Input: 1000, AudioMillis: 5})
	assert.Equal(t, int64(1_000_000), heard.Nano, "billed by the token")

	embeds := priced(t, "  - {provider: p, model: a, input: 1}\n")
	assert.Equal(t, int64(1_000_000), bill(embeds, dialect.Usage{Input: 1000}).Nano)
	assert.Equal(t, Bill{Unknown, Unknown}, bill(embeds, dialect.Usage{Input: 1000, Cached: 3, Output: 1}))
	assert.Equal(t, Unknown, embeds.Lines(&dialect.Usage{Known: true, Output: 1}, now)[0].Nano)

	var none Price
	assert.False(t, none.Known(now))
	assert.Equal(t, Bill{Unknown, Unknown}, bill(&none, dialect.Usage{Input: 1}))
	assert.Nil(t, none.Lines(&dialect.Usage{Known: true, Input: 1}, now))
	in, out := none.Tokens()
	assert.Equal(t, [2]int64{-1, -1}, [2]int64{in, out})
	assert.Equal(t, Bill{Unknown, Unknown}, Flat(1).Bill(&dialect.Usage{Input: 1}, now), "the provider told nothing")
	_, _, ok := none.At(now)
	assert.False(t, ok)
}

func TestBatch(t *testing.T) {
	p := priced(t, "  - {provider: p, model: a, input: 0.00015, output: 0.001, batch: 33, request_usd: 0.000001}\n")
	u := &dialect.Usage{Known: true, Input: 1000}
	assert.Equal(t, int64(1150), p.Bill(u, now).Nano)
	assert.Equal(t, int64(380), p.Batch().Bill(u, now).Nano, "379.5 of 1150")
	assert.Equal(t, int64(380), p.Batch().AtMost(1000, 0, now))
	assert.Equal(t, []Line{{"input", "million tokens", 1000, 150, 50}, {"request", "request", 1, 1_000_000, 330}}, p.Batch().Lines(u, now))
	whole := priced(t, "  - {provider: p, model: a, input: 0.15, output: 1}\n")
	assert.Equal(t, whole.Bill(u, now), whole.Batch().Bill(u, now), "without a discount")
	assert.Equal(t, int64(7), Flat(7).Batch().Bill(u, now).Nano)
}

func TestLinesTellPricesAsCatalogsDo(t *testing.T) {
	u := usageOfAll()
	var got []string
	for _, l := range priced(t, everything).Lines(&u, now) {
		got = append(got, l.What+" "+string(l.AppendPrice(nil))+" per "+l.Per)
	}
	assert.Equal(t, []string{
		"input 2.5 per million tokens", "cached input 0.125 per million tokens", "cache write 1.5 per million tokens",
		"cache write for an hour 2 per million tokens", "audio input 40 per million tokens", "image input 10 per million tokens",
		"output 15 per million tokens", "reasoning 10 per million tokens", "audio output 80 per million tokens", "image output 40 per million tokens",
		"request 0.01 per request", "images 0.04 per image", "audio milliseconds 0.0001 per second", "letters 15 per million letters",
	}, got)
}

func TestFlat(t *testing.T) {
	u := dialect.Usage{Input: 1000, Cached: 10, CacheWrite: 10, CacheWriteHour: 5, AudioInput: 10, ImageInput: 10,
		Output: 500, Reasoning: 10, AudioOutput: 10, ImageOutput: 10}
	assert.Equal(t, Bill{45_000, 45_000}, bill(Flat(30_000), u))
	assert.Equal(t, int64(45_000), Flat(30_000).AtMost(1000, 500, now))
	in, out := Flat(30_000).Tokens()
	assert.Equal(t, [2]int64{30_000, 30_000}, [2]int64{in, out})
}

func TestBeyondAllMeasure(t *testing.T) {
	p := priced(t, "  - {provider: p, model: a, input: 1000000, cached_input: 1, output: 1000000, request_usd: 900000000, batch: 50}\n")
	most := &dialect.Usage{Known: true, Input: math.MaxInt64, Output: math.MaxInt64}
	assert.Equal(t, Bill{Unknown, Unknown}, p.Bill(most, now))
	assert.Equal(t, Beyond, p.AtMost(math.MaxInt64, math.MaxInt64, now))
	assert.Equal(t, Beyond, p.Batch().AtMost(math.MaxInt64, 0, now))
	for _, l := range p.Lines(most, now) {
		assert.True(t, l.Nano == Unknown || l.Nano > 0, "%+v", l)
	}
	images := priced(t, "  - {provider: p, model: a, image_usd: 900000000}\n")
	assert.Equal(t, Unknown, bill(images, dialect.Usage{Images: math.MaxInt64}).Nano)
	assert.Equal(t, int64(math.MaxInt64), images.Lines(&dialect.Usage{Known: true, Images: 1}, now)[0].Pico)
	assert.Equal(t, int64(9e17), bill(images, dialect.Usage{Images: 1}).Nano)
}

// genTariff draws prices of which some are unknown.
func genTariff(t *rapid.T, most int64) (w wire.Tariff) {
	w = wire.SilentTariff()
	for _, c := range w.Classes() {
		if c.Name == "input" || rapid.Bool().Draw(t, c.Name+" said") {
			*c.Price = rapid.Int64Range(0, most).Draw(t, c.Name)
		}
	}
	return w
}

func genPrice(t *rapid.T) *Price {
	most := rapid.SampledFrom([]int64{3, 1e6, 1e8, 1e12}).Draw(t, "most")
	w := wire.Price{Tariff: genTariff(t, most), Batch: rapid.IntRange(1, 100).Draw(t, "batch")}
	below, above := w.Tariff, int64(0)
	w.Settle(nil)
	for range rapid.IntRange(0, 3).Draw(t, "tiers") {
		above += rapid.Int64Range(1, 1000).Draw(t, "above")
		tier := wire.PriceTier{Above: above, Tariff: genTariff(t, most)}
		tier.Settle(&below)
		w.Tiers = append(w.Tiers, tier)
	}
	for _, n := range []*int64{&w.Request, &w.Image, &w.Second, &w.Letter} {
		*n = rapid.SampledFrom([]int64{0, 1, 999, 5_000_000, 9e17}).Draw(t, "other")
	}
	p := &Price{dated: []wire.Price{w}}
	if rapid.Bool().Draw(t, "is a batch") {
		p = p.Batch()
	}
	return p
}

func genUsage(t *rapid.T, most int64) dialect.Usage {
	n := func(name string) int64 { return rapid.Int64Range(0, most).Draw(t, name) }
	return dialect.Usage{Known: true, Input: n("input"), Output: n("output"), Cached: n("cached"), CacheWrite: n("write"), CacheWriteHour: n("hour"),
		Reasoning: n("reasoning"), AudioInput: n("audio in"), AudioOutput: n("audio out"), ImageInput: n("image in"), ImageOutput: n("image out")}
}

// reference is what a usage costs, computed another way: one token after the other, in numbers of any size.
func reference(p *Price, u *dialect.Usage) *big.Rat {
	w := &p.dated[0]
	t := &w.Tariff
	for i := range w.Tiers {
		if u.Input > w.Tiers[i].Above {
			t = &w.Tiers[i].Tariff
		}
	}
	total := new(big.Rat).SetInt(new(big.Int).Mul(big.NewInt(w.Request), big.NewInt(1000)))
	bill := func(n, price int64) bool {
		total.Add(total, new(big.Rat).SetInt(new(big.Int).Mul(big.NewInt(n), big.NewInt(price))))
		return n == 0 || price >= 0
	}
	ok, in, out := true, u.Input, u.Output
	for _, c := range []struct{ n, price int64 }{
		{u.Cached, t.CachedInput},
		{min(u.CacheWriteHour, u.CacheWrite, max(0, in-u.Cached)), t.CacheWriteHour},
		{u.CacheWrite - min(u.CacheWriteHour, u.CacheWrite, max(0, u.Input-u.Cached)), t.CacheWrite},
		{u.AudioInput, t.AudioInput}, {u.ImageInput, t.ImageInput}, {u.Input, t.Input},
	} {
		n := min(c.n, in)
		in -= n
		ok = bill(n, c.price) && ok
	}
	for _, c := range []struct{ n, price int64 }{
		{u.Reasoning, t.Reasoning}, {u.AudioOutput, t.AudioOutput}, {u.ImageOutput, t.ImageOutput}, {u.Output, t.Output},
	} {
		n := min(c.n, out)
		out -= n
		ok = bill(n, c.price) && ok
	}
	if !ok {
		return nil
	}
	percent := int64(100)
	if p.batch {
		percent = int64(w.Batch)
	}
	return total.Mul(total, big.NewRat(percent, 100*1000))
}

func TestBillAgainstBigNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := genPrice(t)
		u := genUsage(t, rapid.SampledFrom([]int64{3, 5000, 1 << 40, math.MaxInt64}).Draw(t, "tokens"))
		exact := reference(p, &u)
		got := p.Bill(&u, now).Nano
		if exact == nil {
			require.Equal(t, Unknown, got, "a class without a price")
			return
		}
		up := new(big.Int).Add(exact.Num(), new(big.Int).Sub(exact.Denom(), big.NewInt(1)))
		up.Quo(up, exact.Denom())
		if !up.IsInt64() {
			require.Equal(t, Unknown, got, "beyond int64")
			return
		}
		require.Equal(t, up.Int64(), got)
	})
}

func TestAtMostIsNoLessThanAnyBill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := genPrice(t)
		u := genUsage(t, rapid.SampledFrom([]int64{3, 5000, 1 << 40, math.MaxInt64}).Draw(t, "tokens"))
		held := p.AtMost(u.Input+rapid.Int64Range(0, min(3000, math.MaxInt64-u.Input)).Draw(t, "more input"), u.Output, now)
		require.LessOrEqual(t, held, Beyond)
		if got := p.Bill(&u, now); got.Nano != Unknown && held < Beyond {
			require.GreaterOrEqual(t, held, got.Nano)
			require.GreaterOrEqual(t, held, got.List)
		}
	})
}

func TestLinesAddUpToTheBill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, u := genPrice(t), genUsage(t, 5000)
		got, sum := p.Bill(&u, now).Nano, int64(0)
		lines := p.Lines(&u, now)
		for _, l := range lines {
			if l.Nano == Unknown {
				require.Equal(t, Unknown, got)
				return
			}
			sum += l.Nano
		}
		if got != Unknown {
			require.GreaterOrEqual(t, sum, got, "each line is rounded up")
			require.Less(t, sum-got, int64(max(1, len(lines))))
		}
	})
}

func TestAppendUSD(t *testing.T) {
	for nano, want := range map[int64]string{
		0: "0", 1: "0.000000001", 10: "0.00000001", 1_500_000_000: "1.5", 2_000_000_000: "2", 123_456_789_012: "123.456789012",
		-1: "-0.000000001", math.MaxInt64: "9223372036.854775807", math.MinInt64: "-9223372036.854775808",
	} {
		assert.Equal(t, want, string(AppendUSD(nil, nano)))
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "nano")
		r, ok := new(big.Rat).SetString(string(AppendUSD([]byte{}, n)))
		require.True(t, ok)
		require.Zero(t, r.Cmp(big.NewRat(n, 1_000_000_000)))
	})
}
