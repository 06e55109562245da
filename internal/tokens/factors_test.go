package tokens

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFactorsStartWithTheFamily(t *testing.T) {
	var f Factors
	for model, want := range map[string]float64{
		"gpt-5.6": 1, "": 1, "claud": 1, "claude-opus-5": 1.15, "us.anthropic.Claude-Sonnet-5-v1:0": 1.15,
		"models/gemini-3-pro": 1.1, "google/gemma-3": 1.1, "meta-llama/Llama-4": 1.02, "Qwen3-32B": 1.03,
	} {
		assert.InDelta(t, want, f.Factor(model), 1e-6, model)
	}
	assert.Equal(t, 115, f.Scale("claude-opus-5", 100))
	text := []byte("All human beings are born free and equal.")
	assert.Equal(t, f.Scale("gemini", 2*Count(text)), f.Estimate("gemini", text, text))
}

func TestFactorsLearn(t *testing.T) {
	var f Factors
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		counted := 100 + random.IntN(5000)
		f.Learn("claude-next", counted, int(float64(counted)*(1.25+0.2*random.Float64())))
	}
	assert.InDelta(t, 1.35, f.Factor("claude-next"), 0.03)
	assert.InDelta(t, 1.15, f.Factor("claude-opus-5"), 1e-6, "another model of the family")
}

func TestFactorsLearnTheFirstBillsFast(t *testing.T) {
	var f Factors
	for range 8 {
		f.Learn("m", 1000, 1200)
	}
	assert.InDelta(t, 1.2, f.Factor("m"), 0.09)
}

func TestFactorsLeaveOutWhatSaysNothing(t *testing.T) {
	var f Factors
	for _, bill := range []struct{ counted, billed int }{{63, 80}, {0, 0}, {-5, 5}, {1000, 0}, {1000, -1}, {1000, 4001}, {1000, 249}} {
		f.Learn("m", bill.counted, bill.billed)
		assert.InDelta(t, 1, f.Factor("m"), 0, "%+v", bill)
	}
}

func TestFactorsBearOutliers(t *testing.T) {
	var f Factors
	for range 100 {
		f.Learn("m", 1000, 1000)
	}
	before := f.Factor("m")
	f.Learn("m", 1000, 4000)
	assert.InDelta(t, before, f.Factor("m"), 0.01, "one far bill")
	for i := range 100 {
		if i%10 == 0 {
			f.Learn("m", 1000, 3000)
		} else {
			f.Learn("m", 1000, 1000)
		}
	}
	assert.InDelta(t, before, f.Factor("m"), 0.05, "one far bill in ten")
}

func TestFactorsStayWithinBounds(t *testing.T) {
	var f Factors
	for range 1000 {
		f.Learn("high", 100, 400)
		f.Learn("low", 100, 25)
	}
	assert.InDelta(t, 4, f.Factor("high"), 0.001)
	assert.InDelta(t, 0.25, f.Factor("low"), 0.001)
}

func TestFactorsForgetTheModelNotHeardOfForLongest(t *testing.T) {
	var f Factors
	for i := range maxModels {
		f.Learn(fmt.Sprint(i), 1000, 2000)
	}
	learned := f.Factor("0")
	f.Learn("0", 1000, 2000)
	f.Learn("one more", 1000, 2000)
	assert.Len(t, *f.models.Load(), maxModels)
	assert.Greater(t, f.Factor("0"), learned, "heard of again")
	assert.InDelta(t, 1, f.Factor("1"), 0)
	assert.Greater(t, f.Factor("2"), 1.0)
	assert.Greater(t, f.Factor("one more"), 1.0)
}

func TestFactorsFromManyGoroutines(t *testing.T) {
	var f Factors
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				f.Learn(fmt.Sprint("m", (i*(g+1))%(maxModels+20)), 1000, 1200)
				f.Learn("shared", 1000, 1200)
				assert.GreaterOrEqual(t, f.Factor("shared"), 1.0)
			}
		})
	}
	wg.Wait()
	assert.InDelta(t, 1.2, f.Factor("shared"), 0.01)
	assert.LessOrEqual(t, len(*f.models.Load()), maxModels)
}

func FuzzFamilyFactor(f *testing.F) {
	f.Add("us.anthropic.CLAUDE-3")
	f.Fuzz(func(t *testing.T, model string) {
		want := float32(1)
		for i := len(families) - 1; i >= 0; i-- {
			if strings.Contains(asciiLower(model), families[i].name) {
				want = families[i].factor
			}
		}
		assert.InDelta(t, want, familyFactor(model), 0)
	})
}

func asciiLower(s string) string {
	lower := []byte(s)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return string(lower)
}
