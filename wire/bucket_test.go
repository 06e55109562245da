package wire

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// vectors were made by another implementation, in Python, and must never change: nodes of every release have to
// agree on them.
type vectors struct {
	Buckets []struct {
		Seed, Unit string
		Bucket     uint32
	}
	Seeds  []struct{ Name, Seed string }
	Splits []struct {
		Weights []int
		Runs    []struct {
			End uint32
			Arm int
		}
	}
}

func TestGoldenVectors(t *testing.T) {
	var golden vectors
	require.NoError(t, json.Unmarshal(readFile(t, "testdata/buckets.json"), &golden))
	require.NotEmpty(t, golden.Buckets)
	for _, v := range golden.Buckets {
		assert.Equal(t, v.Bucket, Bucket(v.Seed, []byte(v.Unit)), "%+v", v)
	}
	for _, v := range golden.Seeds {
		assert.Equal(t, v.Seed, DefaultSeed(v.Name), v.Name)
	}
	for _, v := range golden.Splits {
		s := CompileSplit(v.Weights)
		start := uint32(0)
		for _, run := range v.Runs {
			assert.Equal(t, run.Arm, s.Arm(start), "%v at %d", v.Weights, start)
			assert.Equal(t, run.Arm, s.Arm(run.End-1), "%v at %d", v.Weights, run.End-1)
			start = run.End
		}
		assert.Equal(t, uint32(Buckets), start)
		assert.Len(t, s.arms, len(v.Runs))
	}
}

// chiSquare is the sum of squared deviations of counts from equal shares, each relative to its share.
func chiSquare(counts []int) float64 {
	total, sum := 0, 0.0
	for _, n := range counts {
		total += n
	}
	share := float64(total) / float64(len(counts))
	for _, n := range counts {
		sum += (float64(n) - share) * (float64(n) - share) / share
	}
	return sum
}

// The bounds on chi-square below are passed by chance once in ten million tries.

func TestBucketsAreUniform(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.StringN(0, 20, -1).Draw(t, "seed")
		prefix := rapid.StringN(0, 40, -1).Draw(t, "prefix")
		counts := make([]int, 50)
		for i := range 5_000 {
			counts[Bucket(seed, fmt.Appendf(nil, "%s%d", prefix, i))/(Buckets/50)]++
		}
		require.Less(t, chiSquare(counts), 120.0, "49 degrees of freedom")
	})
}

func TestExperimentsAreIndependent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1_000_000).Draw(t, "n")
		first, second := DefaultSeed(fmt.Sprint("experiment-", n)), DefaultSeed(fmt.Sprint("experiment-", n+1))
		if rapid.Bool().Draw(t, "gate") {
			second = first + "/traffic"
		}
		counts := make([]int, 16)
		for i := range 4_800 {
			unit := fmt.Appendf(nil, "user-%d", i)
			counts[Bucket(first, unit)/(Buckets/4)*4+Bucket(second, unit)/(Buckets/4)]++
		}
		require.Less(t, chiSquare(counts), 62.0, "15 degrees of freedom")
	})
}

func TestUsersFallWithinOnePerCentOfTheWeights(t *testing.T) {
	for _, weights := range [][]int{{50, 50}, {90, 10}, {20, 30, 50}} {
		e := Experiment{Name: "bigger-model", Seed: DefaultSeed("bigger-model"), Traffic: 100}
		for _, w := range weights {
			e.Arms = append(e.Arms, Arm{Weight: w})
		}
		a := CompileExperiment(&Catalog{}, &e)
		counts := make([]int, len(weights))
		for i := range 10_000 {
			arm, in := a.Arm(fmt.Appendf(nil, "user-%d", i))
			require.True(t, in)
			counts[arm]++
		}
		for arm, w := range weights {
			assert.InDelta(t, w*100, counts[arm], 100, "arm %d of %v", arm, weights)
		}
	}
}

// owned counts the buckets of each arm.
func owned(s Split, arms int) []int {
	counts := make([]int, arms)
	start := uint32(0)
	for i, end := range s.ends {
		counts[s.arms[i]] += int(end - start)
		start = end
	}
	return counts
}

func drawWeights(t *rapid.T) []int {
	weights := rapid.SliceOfN(rapid.IntRange(0, 1000), 2, 8).Draw(t, "weights")
	weights[rapid.IntRange(0, len(weights)-1).Draw(t, "some")]++
	return weights
}

func TestSplitGivesEveryArmItsShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := drawWeights(t)
		sum := 0
		for _, w := range weights {
			sum += w
		}
		s := CompileSplit(weights)
		require.Equal(t, uint32(Buckets), s.ends[len(s.ends)-1])
		for arm, n := range owned(s, len(weights)) {
			require.InDelta(t, float64(weights[arm])/float64(sum)*Buckets, n, float64(len(weights)), "arm %d", arm)
			if weights[arm] == 0 {
				require.Zero(t, n)
			}
		}
	})
}

func TestRampOnlyAddsUnits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := drawWeights(t)
		arm := rapid.IntRange(1, len(before)-1).Draw(t, "arm")
		after := append([]int(nil), before...)
		step := rapid.IntRange(0, max(0, before[0]-1)).Draw(t, "step") // the first arm keeps a share
		after[0], after[arm] = after[0]-step, after[arm]+step

		old, new := CompileSplit(before), CompileSplit(after)
		outgrown := false
		for i, n := range owned(new, len(after)) {
			outgrown = outgrown || i > 0 && n > Buckets/(len(after)-1)
		}
		for b := uint32(0); b < Buckets; b += 13 {
			was, is := old.Arm(b), new.Arm(b)
			if was == arm && is != arm {
				t.Fatalf("bucket %d left the growing arm for %d", b, is)
			}
			if is != was && !outgrown && (was != 0 || is != arm) {
				t.Fatalf("bucket %d went from %d to %d", b, was, is)
			}
		}
	})
}

func TestSplitWithoutWeights(t *testing.T) {
	for _, s := range []Split{{}, CompileSplit(nil), CompileSplit([]int{0, 0}), CompileSplit([]int{-1, -5}), CompileSplit([]int{7})} {
		assert.Equal(t, 0, s.Arm(0))
		assert.Equal(t, 0, s.Arm(Buckets-1))
	}
}

func TestTraffic(t *testing.T) {
	e := Experiment{Name: "e", Seed: "s", Traffic: 20, Arms: []Arm{{Weight: 1}, {Weight: 1}}}
	small := CompileExperiment(&Catalog{}, &e)
	e.Traffic = 40
	large := CompileExperiment(&Catalog{}, &e)
	in, counts := 0, make([]int, 2)
	for i := range 20_000 {
		unit := fmt.Appendf(nil, "user-%d", i)
		arm, takesPart := small.Arm(unit)
		if !takesPart {
			continue
		}
		in++
		counts[arm]++
		same, still := large.Arm(unit)
		require.True(t, still, "more traffic only adds units")
		require.Equal(t, arm, same)
	}
	assert.InDelta(t, 4000, in, 300)
	assert.Less(t, chiSquare(counts), 28.0, "1 degree of freedom")
	var nobody Assignment
	_, takesPart := nobody.Arm([]byte("user"))
	assert.False(t, takesPart)
}

func TestLayerSharesNoUnit(t *testing.T) {
	arms := []Arm{{Weight: 1}, {Weight: 1}}
	c := &Catalog{Experiments: []Experiment{
		{Name: "c", Seed: "c", Layer: "l", Traffic: 50, Arms: arms, Status: "running"},
		{Name: "a", Seed: "a", Layer: "l", Traffic: 20, Arms: arms, Status: "running"},
		{Name: "b", Seed: "b", Layer: "l", Traffic: 30, Arms: arms, Status: "paused"},
		{Name: "0", Seed: "0", Layer: "other", Traffic: 100, Arms: arms},
	}}
	counts := map[string]int{}
	for i := range 10_000 {
		unit := fmt.Appendf(nil, "user-%d", i)
		taken := ""
		for j := range c.Experiments[:3] {
			a := CompileExperiment(c, &c.Experiments[j])
			if _, in := a.Arm(unit); in {
				require.Empty(t, taken, "a unit takes part in two experiments of a layer")
				taken = c.Experiments[j].Name
				counts[taken]++
			}
		}
		require.NotEmpty(t, taken, "the layer is full")
		bucket := Bucket("layer:l", unit)
		require.Equal(t, bucket < 20_000, taken == "a", "ranges follow the names")
	}
	assert.InDelta(t, 2000, counts["a"], 250)
	assert.InDelta(t, 3000, counts["b"], 250)
	assert.InDelta(t, 5000, counts["c"], 250)
}

func BenchmarkBucket(b *testing.B) {
	unit := []byte("user-4711@example.com")
	b.ReportAllocs()
	for b.Loop() {
		Bucket("9a7c1d3e5f708192", unit)
	}
}

func BenchmarkSplitArm(b *testing.B) {
	s := CompileSplit([]int{90, 5, 5})
	b.ReportAllocs()
	for i := uint32(0); b.Loop(); i += 7919 {
		s.Arm(i % Buckets)
	}
}

func BenchmarkAssignmentArm(b *testing.B) {
	e := Experiment{Name: "e", Seed: "9a7c1d3e5f708192", Traffic: 100, Arms: []Arm{{Weight: 90}, {Weight: 10}}}
	a := CompileExperiment(&Catalog{}, &e)
	unit := []byte("user-4711@example.com")
	b.ReportAllocs()
	for b.Loop() {
		a.Arm(unit)
	}
}
