package wire

import (
	"math"
	"math/bits"
	"time"
)

// LatencyBuckets is how many buckets there are in a Usage's Latency at most: what takes longer than the last one's end,
// some three hours, counts in the last one.
const LatencyBuckets = 48

// latencyEnds are the buckets' ends in microseconds.
var latencyEnds = func() (ends [LatencyBuckets]int64) {
	for i := range ends {
		ends[i] = int64(math.Round(1000 * math.Pow(2, float64(i)/2)))
	}
	return ends
}()

// LatencyBucket is the bucket of a Usage's Latency that a time belongs to: the first one that does not end before it.
func LatencyBucket(d time.Duration) int {
	micros := int64(d+time.Microsecond-1) / int64(time.Microsecond)
	if micros <= 1000 {
		return 0
	}
	i := 2 * bits.Len64(uint64((micros-1)/1000)) // ends at the next power of two
	if i > LatencyBuckets {
		return LatencyBuckets - 1
	}
	if micros <= latencyEnds[i-1] {
		i--
	}
	return min(i, LatencyBuckets-1)
}

// LatencyEnd is where a bucket of a Usage's Latency ends.
func LatencyEnd(bucket int) time.Duration {
	return time.Duration(latencyEnds[min(bucket, LatencyBuckets-1)]) * time.Microsecond
}
