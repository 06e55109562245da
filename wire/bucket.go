package wire

import (
	"fmt"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// Buckets is how many buckets units fall into.
const Buckets = 100_000

// separator stands between seed and unit in what is hashed; no seed holds it.
const separator = 0x1f

// Bucket is the bucket of a unit under a seed, 0 to Buckets-1, the same on every node and in every release:
// the high 64 bits of xxh64(seed ‖ 0x1f ‖ unit) × Buckets. It does not allocate.
func Bucket(seed string, unit []byte) uint32 {
	var buffer [128]byte
	n := len(seed) + 1 + len(unit)
	if n > len(buffer) {
		return longBucket(seed, unit)
	}
	copy(buffer[:], seed)
	buffer[len(seed)] = separator
	copy(buffer[len(seed)+1:], unit)
	return bucketOf(xxhash.Sum64(buffer[:n]))
}

// longBucket is Bucket for what does not fit on the stack.
func longBucket(seed string, unit []byte) uint32 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(seed) // a Digest never fails
	_, _ = d.Write([]byte{separator})
	_, _ = d.Write(unit)
	return bucketOf(d.Sum64())
}

func bucketOf(hash uint64) uint32 {
	high, _ := bits.Mul64(hash, Buckets)
	return uint32(high)
}

// DefaultSeed is the seed of an experiment that states none: xxh64 of its name in 16 hexadecimal digits.
func DefaultSeed(name string) string {
	return fmt.Sprintf("%016x", xxhash.Sum64String(name))
}
