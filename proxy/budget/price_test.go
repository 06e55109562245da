package budget

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/wire"
)

func TestCost(t *testing.T) {
	mini := Price{Known: true, Input: 250_000, CachedInput: 25_000, Output: 2_000_000} // 0.25, 0.025 and 2 USD per million
	for _, c := range []struct {
		name  string
		usage dialect.Usage
		nano  int64
	}{
		{"nothing", dialect.Usage{Known: true}, 0},
		{"input", dialect.Usage{Known: true, Input: 1_000_000}, 250_000_000},
		{"cached input is part of the input", dialect.Usage{Known: true, Input: 1_000_000, Cached: 1_000_000}, 25_000_000},
		{"output", dialect.Usage{Known: true, Output: 3}, 6_000},
		{"rounds up once", dialect.Usage{Known: true, Input: 1, Cached: 1}, 25},
		{"more cached than input", dialect.Usage{Known: true, Input: 1, Cached: 5}, 25},
		{"unknown usage", dialect.Usage{Input: 5}, Unknown},
		{"nonsense", dialect.Usage{Known: true, Input: -5}, Unknown},
		{"beyond all measure", dialect.Usage{Known: true, Input: math.MaxInt64, Output: math.MaxInt64}, Unknown},
	} {
		assert.Equal(t, c.nano, mini.Cost(c.usage), c.name)
	}
	assert.Equal(t, Unknown, Price{}.Cost(dialect.Usage{Known: true, Input: 1}), "an unknown price is not zero")
	assert.Equal(t, int64(1), Price{Known: true, Input: 1}.Cost(dialect.Usage{Known: true, Input: 1}), "a fraction is a whole")
}

func TestCostIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Price{Known: true, Input: rapid.Int64Range(0, 1<<40).Draw(t, "in"), CachedInput: rapid.Int64Range(0, 1<<40).Draw(t, "cached"),
			Output: rapid.Int64Range(0, 1<<40).Draw(t, "out")}
		u := dialect.Usage{Known: true, Input: rapid.Int64Range(0, 1<<32).Draw(t, "input"), Output: rapid.Int64Range(0, 1<<32).Draw(t, "output")}
		u.Cached = rapid.Int64Range(0, u.Input).Draw(t, "part")
		sum := new(big.Int)
		for _, f := range [][2]int64{{u.Input - u.Cached, p.Input}, {u.Cached, p.CachedInput}, {u.Output, p.Output}} {
			sum.Add(sum, new(big.Int).Mul(big.NewInt(f[0]), big.NewInt(f[1])))
		}
		want, rest := new(big.Int).QuoRem(sum, big.NewInt(1000), new(big.Int))
		if rest.Sign() > 0 {
			want.Add(want, big.NewInt(1))
		}
		if !want.IsInt64() {
			want.SetInt64(Unknown)
		}
		assert.Equal(t, want.Int64(), p.Cost(u))
	})
}

func TestAppendUSD(t *testing.T) {
	for nano, want := range map[int64]string{
		0: "0", 1: "0.000000001", 1_000_000_000: "1", 1_500_000_000: "1.5", 475_000: "0.000475", 12_345_678_901: "12.345678901",
	} {
		assert.Equal(t, want, string(AppendUSD(nil, nano)))
	}
}

func TestPrices(t *testing.T) {
	table := Prices([]wire.Price{{Provider: "p", Model: "m", Input: 1, Output: 2}, {Provider: "p", Model: "u", Input: -1, Output: 2}})
	assert.True(t, table[[2]string{"p", "m"}].Known)
	assert.False(t, table[[2]string{"p", "u"}].Known)
	assert.False(t, table[[2]string{"q", "m"}].Known)
}
