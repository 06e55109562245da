package usage

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/wire"
)

func drawRows(t *rapid.T) []wire.Usage {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) (u wire.Usage) {
		for _, text := range texts(&u) {
			*text = rapid.SampledFrom([]string{"", "a", "b", "\x00ü", "long enough to be seen"}).Draw(t, "text")
		}
		u.Hour = rapid.Int64().Draw(t, "hour")
		for _, n := range counted(&u) {
			*n = rapid.Int64().Draw(t, "number")
		}
		u.Latency = rapid.SliceOfN(rapid.Int64(), wire.LatencyBuckets, wire.LatencyBuckets).Draw(t, "latency")
		return u
	}), 0, 20).Draw(t, "rows")
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := record{through: rapid.Uint32().Draw(t, "through"), rows: drawRows(t)}
		want.from, want.to = rapid.Int64().Draw(t, "from"), rapid.Int64().Draw(t, "to")
		written := appendRecord(nil, want)
		got, err := parseRecord(written)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		for n := range len(written) {
			_, err := parseRecord(written[:n])
			require.ErrorIs(t, err, errDamaged)
		}
		_, err = parseRecord(append(written, 0))
		require.ErrorIs(t, err, errDamaged)
	})
}

func FuzzParseRecord(f *testing.F) {
	k := sampleKey()
	u := usageOf(&k)
	u.Requests, u.Latency = 7, []int64{1, 2, 3}
	f.Add(appendRecord(nil, record{through: 3, period: period{1, 2}, rows: []wire.Usage{u, u}}))
	f.Add([]byte{layout, 0, 0, 0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		again, err := parseRecord(appendRecord(nil, r))
		require.NoError(t, err)
		assert.Equal(t, r, again)
	})
}

// A journal that the release before wrote has rows of nine texts and nine numbers.
func TestRecordsOfTheOldLayout(t *testing.T) {
	want := record{through: 3, period: period{1, 2}, rows: make([]wire.Usage, 2)}
	old := []byte{oldLayout, 3, 2, 4, 2} // through, from and to, the rows
	for i := range want.rows {
		u := &want.rows[i]
		words, numbers := texts(u), counted(u)
		for n, text := range words[:oldTexts] {
			*text = string(rune('a' + n))
			if old = append(old, 0); i == 0 { // the second row's are those of the first
				old = append(old[:len(old)-1], 2, byte('a'+n))
			}
		}
		u.Hour, u.Latency = 9, make([]int64, wire.LatencyBuckets)
		old = append(old, 18)
		for n, number := range numbers[:oldCounted] {
			*number = int64(n + i)
			old = append(old, byte(2*(n+i)))
		}
		u.Latency[0] = 5
		old = append(old, 1, 10)
	}
	got, err := parseRecord(old)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	for n := range old {
		_, err := parseRecord(old[:n])
		require.ErrorIs(t, err, errDamaged)
	}
}
