package wire

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestLatencyBucket(t *testing.T) {
	for _, c := range []struct {
		took   time.Duration
		bucket int
	}{
		{0, 0}, {time.Nanosecond, 0}, {time.Millisecond, 0}, {time.Millisecond + 1, 1}, {1414 * time.Microsecond, 1},
		{1415 * time.Microsecond, 2}, {2 * time.Millisecond, 2}, {2*time.Millisecond + 1, 3}, {4 * time.Millisecond, 4},
		{1024 * time.Millisecond, 20}, {LatencyEnd(47), 47}, {LatencyEnd(47) + 1, 47}, {math.MaxInt64 - time.Second, 47},
	} {
		assert.Equal(t, c.bucket, LatencyBucket(c.took), c.took)
	}
}

func TestLatencyBucketHoldsTheTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(LatencyEnd(47))).Draw(t, "took"))
		i := LatencyBucket(d)
		assert.LessOrEqual(t, d, LatencyEnd(i))
		if i > 0 {
			assert.Greater(t, d, LatencyEnd(i-1))
		}
	})
}

func TestUsageFailed(t *testing.T) {
	for _, c := range []struct {
		code, provider string
		failed         bool
	}{
		{"", "p", false}, {"upstream_error", "p", true}, {"no_target", "", true}, {"internal", "", true}, {"unheard_of", "", true},
		{"invalid_request", "", false}, {"invalid_request", "p", true}, {"rate_limited", "", false}, {"rate_limited", "p", true},
		{"policy_denied", "", false}, {CodeClientGone, "p", false}, {CodeOther, "other", true}, {CodeRefused, "other", false},
	} {
		u := Usage{Code: c.code, Provider: c.provider}
		assert.Equal(t, c.failed, u.Failed(), c)
	}
}
