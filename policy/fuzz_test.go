package policy_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

// FuzzCheck gives Check what a hostile guest may return. What passes is safe to read, and passes again unchanged.
func FuzzCheck(f *testing.F) {
	for _, v := range vectors(f) {
		c := v.call(f)
		f.Add(unhex(f, v.List), uint8(c.Kind), uint8(c.Hooks), uint16(c.BodyLen), uint8(c.Messages))
		f.Add([]byte(v.JSON), uint8(c.Kind), uint8(c.Hooks), uint16(c.BodyLen), uint8(c.Messages))
	}
	f.Add(everyAction(), uint8(0), uint8(0xff), uint16(10), uint8(1))
	f.Fuzz(func(t *testing.T, raw []byte, kind, hooks uint8, bodyLen uint16, messages uint8) {
		c := policy.Call{
			Kind: policy.Kind(kind % 4), Hooks: policy.Hook(hooks), BodyLen: int(bodyLen), Messages: int(messages),
		}
		kept := bytes.Clone(raw)
		list, stats, err := policy.Check([]byte("x"), raw, c)
		require.Equal(t, kept, raw)
		require.Equal(t, byte('x'), list[0])
		list = list[1:]
		if err != nil {
			require.ErrorIs(t, err, policy.ErrActions)
			require.Empty(t, list)
			return
		}
		require.Equal(t, stats.Hosted, readAll(t, list, c))
		again, repeated, err := policy.Check(nil, list, c)
		require.NoError(t, err)
		require.True(t, bytes.Equal(list, again))
		require.Equal(t, policy.Stats{Hosted: stats.Hosted}, repeated)
		require.Zero(t, readAll(t, policy.WithoutHosted(again), c))
		require.NotEmpty(t, policy.Verdict(list))
	})
}

// readAll calls the accessor of every action and counts the hosted ones.
func readAll(t *testing.T, list []byte, c policy.Call) (hosted int) {
	for len(list) > 0 {
		a, rest, err := abi.Next(list)
		require.NoError(t, err)
		if list = rest; a.Tag.Hosted() {
			hosted++
		}
		switch a.Tag {
		case abi.TagSetHeader, abi.TagResponseHeader:
			name, value := a.Pair()
			require.True(t, policy.Touchable(name))
			require.False(t, bytes.ContainsAny(value, "\r\n\x00"))
		case abi.TagMetric:
			name, value := a.Pair()
			require.LessOrEqual(t, max(len(name), len(value)), abi.MaxTagText)
		case abi.TagDeny:
			status, _, _ := a.Deny()
			require.True(t, 400 <= status && status <= 599)
		case abi.TagCache:
			mode, _ := a.Cache()
			require.LessOrEqual(t, mode, abi.CacheExact)
		case abi.TagPatches:
			apply(t, a.Patches(), c.BodyLen)
		case abi.TagSystem:
			mode, _ := a.System()
			require.LessOrEqual(t, mode, abi.SystemReplace)
		case abi.TagMessage:
			i, _ := a.Message()
			require.Less(t, int(i), c.Messages)
		case abi.TagMaxTokens, abi.TagTimeout:
			require.NotZero(t, a.Uint())
		case abi.TagHedge:
			a.Uint()
		case abi.TagLog:
			level, _ := a.Log()
			require.LessOrEqual(t, level, abi.LogError)
		case abi.TagKVPut:
			_, key, value := a.KVPut()
			require.True(t, 0 < len(key) && len(key) <= abi.MaxKVKey && len(value) <= abi.MaxKVValue)
		case abi.TagKVAdd:
			_, _, key := a.KVAdd()
			require.True(t, 0 < len(key) && len(key) <= abi.MaxKVKey)
		}
	}
	return hosted
}

// apply edits a body of so many bytes, which panics if a patch is not inside it or before the one in front.
func apply(t *testing.T, p abi.Patches, bodyLen int) {
	body, from, want := make([]byte, bodyLen), 0, bodyLen
	var out []byte
	for {
		offset, remove, insert, ok := p.Next()
		if !ok {
			break
		}
		out = append(append(out, body[from:offset]...), insert...)
		from = offset + remove
		want += len(insert) - remove
	}
	out = append(out, body[from:]...)
	require.Len(t, out, want)
}
