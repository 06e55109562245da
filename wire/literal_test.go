package wire

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseDecimal(t *testing.T) {
	f := func(s string, scale int, want int64, wantErr error) {
		t.Helper()
		got, err := parseDecimal(s, scale)
		assert.Equal(t, want, got, s)
		assert.Equal(t, wantErr, err, s)
	}
	f("0.25", 6, 250_000, nil)
	f("2.00", 6, 2_000_000, nil)
	f("1e-05", 6, 10, nil)
	f("2.5E+3", 0, 2500, nil)
	f("-1.5", 1, -15, nil)
	f("0.1234560000", 6, 123_456, nil)
	f("0e99", 0, 0, nil)
	f("9223372036854775807", 0, 9223372036854775807, nil)
	f("9223372036854775808", 0, 0, errTooLarge)
	f("1e99", 0, 0, errTooLarge)
	f("0.0000001", 6, 0, errTooFine)
	f("", 0, 0, errNotDecimal)
	f(".5", 1, 0, errNotDecimal)
	f("+1", 1, 0, errNotDecimal)
	f("0x10", 1, 0, errNotDecimal)
	f("1e100", 1, 0, errNotDecimal)
}

func TestParseDecimalIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,9})?(e-?[0-9])?`).Draw(t, "s")
		scale := rapid.IntRange(0, 9).Draw(t, "scale")
		exact, ok := new(big.Rat).SetString(s)
		require.True(t, ok)
		exact.Mul(exact, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
		got, err := parseDecimal(s, scale)
		switch {
		case !exact.IsInt():
			require.Equal(t, errTooFine, err)
		case !exact.Num().IsInt64():
			require.Equal(t, errTooLarge, err)
		default:
			require.NoError(t, err)
			require.Equal(t, exact.Num().Int64(), got)
		}
	})
}

func TestParseDuration(t *testing.T) {
	f := func(s string, want time.Duration, ok bool) {
		t.Helper()
		got, is := parseDuration(s)
		require.Equal(t, ok, is, s)
		if ok {
			assert.Equal(t, want, got, s)
		}
	}
	f("500ms", 500*time.Millisecond, true)
	f("1h30m", 90*time.Minute, true)
	f("30d", 720*time.Hour, true)
	f("1d12h", 36*time.Hour, true)
	f("0", 0, true)
	f("", 0, false)
	f("5", 0, false)
	f("-5s", 0, false)
	f("1d-5s", 0, false)
	f("12h1d", 0, false)
	f("99999d1h", 99999*24*time.Hour+time.Hour, true)
	f("99999d2500000h", 0, false)
}

func TestParseRateAndSize(t *testing.T) {
	count, per, ok := parseRate("1M/m")
	assert.True(t, ok)
	assert.Equal(t, int64(1_000_000), count)
	assert.Equal(t, time.Minute, per)
	for _, s := range []string{"", "100", "100/", "/s", "1.5k/s", "100/w", "99999999999999999999/s", "9223372036854775807k/s", "-1/s"} {
		_, _, ok := parseRate(s)
		assert.False(t, ok, s)
	}
	size, ok := parseSize("16MiB")
	assert.True(t, ok)
	assert.Equal(t, int64(16<<20), size)
	for _, s := range []string{"", "16", "16mib", "1.5GiB", "9223372036854775807KB", "-1B"} {
		_, ok := parseSize(s)
		assert.False(t, ok, s)
	}
}

func TestParsePercent(t *testing.T) {
	for s, want := range map[string]string{"-2%": "-2%", "2.50%": "2.5%", "0%": "0%", "-0.1%": "-0.1%"} {
		got, ok := parsePercent(s)
		assert.True(t, ok, s)
		assert.Equal(t, want, got)
	}
	for _, s := range []string{"", "2", "%", "two%", "1e9%", "0.0000001%"} {
		_, ok := parsePercent(s)
		assert.False(t, ok, s)
	}
}
