package wire

import "slices"

// Split says which arm owns which bucket. The zero Split gives every bucket to arm 0.
type Split struct {
	ends []uint32 // ascending; run i is the buckets below ends[i] from ends[i-1] on
	arms []int    // the arm of each run
}

// run is the buckets from start up to, not including, end.
type run struct {
	start, end uint32
	arm        int
}

// CompileSplit divides the buckets between arms by weight. Every arm but the first owns a room of equal size and
// grows in it from the bottom upward; what does not fit takes the free tops of the other rooms, from the last
// bucket downward; the first arm takes what is left. So an arm whose share grows while those of the others but
// the first stay only gains units, and as long as no arm outgrows its room it gains them from the first alone. Once the
// first arm has no share left, what rounding leaves over, a few buckets, goes to the last arm that has one.
// Weights below zero count as zero; if none is above zero, the first arm owns everything.
func CompileSplit(weights []int) Split {
	taken := place(sizes(weights))
	slices.SortFunc(taken, func(a, b run) int { return int(a.start) - int(b.start) })
	var s Split
	next := uint32(0)
	for _, r := range taken {
		s.add(r.start, next, 0)
		s.add(r.end, r.start, r.arm)
		next = r.end
	}
	s.add(Buckets, next, 0)
	return s
}

// add appends a run that ends at end, merging it with the one before where the arm is the same.
func (s *Split) add(end, start uint32, arm int) {
	if start == end {
		return
	}
	if last := len(s.arms) - 1; last >= 0 && s.arms[last] == arm {
		s.ends[last] = end
		return
	}
	s.ends, s.arms = append(s.ends, end), append(s.arms, arm)
}

// Arm is the arm that owns a bucket. It does not allocate.
func (s Split) Arm(bucket uint32) int {
	low, high := 0, len(s.arms)-1
	for low < high {
		middle := int(uint(low+high) >> 1)
		if bucket < s.ends[middle] {
			high = middle
		} else {
			low = middle + 1
		}
	}
	if low >= len(s.arms) {
		return 0
	}
	return s.arms[low]
}

// sizes is how many buckets each arm gets. Shares are rounded down for all but the first arm, which takes the
// rest, or, if its weight is zero, leaves the rest to the last arm that has a weight.
func sizes(weights []int) []int {
	n := make([]int, len(weights))
	if len(n) == 0 {
		return n
	}
	sum := 0
	for _, w := range weights {
		sum += max(w, 0)
	}
	rest, heir := Buckets, 0
	for i := 1; i < len(weights) && sum > 0; i++ {
		n[i] = int(uint64(max(weights[i], 0)) * Buckets / uint64(sum))
		rest -= n[i]
		if weights[0] <= 0 && weights[i] > 0 {
			heir = i
		}
	}
	n[heir] += rest
	return n
}

// place gives every arm but the first its runs of buckets.
func place(sizes []int) []run {
	var taken []run
	others := len(sizes) - 1
	free := make([]run, max(others, 0)) // the top of each room
	for i := range free {
		start, end := uint32(i*Buckets/others), uint32((i+1)*Buckets/others)
		own := min(start+uint32(sizes[i+1]), end)
		taken = append(taken, run{start, own, i + 1})
		free[i] = run{own, end, 0}
	}
	for i := range free {
		room := (i+1)*Buckets/others - i*Buckets/others
		taken = spill(taken, free, i+1, uint32(max(sizes[i+1]-room, 0)))
	}
	return taken
}

// spill takes n buckets for an arm from the free tops, from the last bucket downward.
func spill(taken, free []run, arm int, n uint32) []run {
	for i := len(free) - 1; i >= 0 && n > 0; i-- {
		take := min(n, free[i].end-free[i].start)
		if take == 0 {
			continue
		}
		taken = append(taken, run{free[i].end - take, free[i].end, arm})
		free[i].end -= take
		n -= take
	}
	return taken
}
