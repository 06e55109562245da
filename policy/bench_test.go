package policy_test

import (
	"testing"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

func BenchmarkCheck(b *testing.B) {
	five := abi.AppendTarget(nil, "eu")
	five = abi.AppendVersion(five, "1.2.0")
	five = abi.AppendSetHeader(five, "x-team", "blue")
	five = abi.AppendMetric(five, "lang", "fr")
	five = abi.AppendTimeout(five, 2000)
	for _, c := range []struct {
		name string
		list []byte
	}{
		{"target", abi.AppendTarget(nil, "eu")},
		{"five", five},
		{"json", []byte(`{"target":"eu"}`)},
		{"tags", manyTags()},
	} {
		b.Run(c.name, func(b *testing.B) {
			dst := make([]byte, 0, 1<<16)
			for b.Loop() {
				_, _, _ = policy.Check(dst, c.list, routing)
			}
		})
	}
}

// manyTags is what a hostile guest returns: it has to be refused in no time.
func manyTags() (list []byte) {
	for len(list) < abi.MaxList-16 {
		list = abi.AppendMetric(list, "k", "v")
	}
	return list
}

func BenchmarkVerdict(b *testing.B) {
	list := abi.AppendMetric(abi.AppendTarget(nil, "eu"), "lang", "fr")
	for b.Loop() {
		policy.Verdict(list)
	}
}
