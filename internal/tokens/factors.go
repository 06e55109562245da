package tokens

import (
	"maps"
	"math"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	maxModels = 256 // of which Factors learns at a time

	telling  = 64   // tokens: below, the bill says more about roles and templates than about text
	farthest = 4.0  // a bill that is so many times more, or less, than the count is not one of text alone
	stepMost = 1.25 // how far from the present factor one bill can pull at most

	firstWeight = 1.0 / 4  // of the first bill against the family's factor
	lastWeight  = 1.0 / 32 // of each bill in the long run
)

// families are factors to start with, measured over prose, code, JSON and Markdown. The first name that is found in
// the model's decides; a model of none of them starts at 1.
var families = []struct {
	name   string
	factor float32
}{
	{"claude", 1.15}, {"gemini", 1.10}, {"gemma", 1.10}, {"llama", 1.02}, {"qwen", 1.03},
}

// Factors estimates the tokens that models other than OpenAI's make of a text, as the count in o200k_base times a
// factor per model, and learns that factor from what was billed. The zero value is ready; every method may be called
// from many goroutines, and none but Learn for a model that is new to it allocates.
type Factors struct {
	models atomic.Pointer[map[string]*factor] // copied to add or drop one; under mu
	mu     sync.Mutex
	clock  atomic.Uint64 // counts what was learned, to tell which model was last learned of the longest ago
}

type factor struct {
	state atomic.Uint64 // the factor as float32 bits<<32, and below how many bills it comes from
	used  atomic.Uint64 // the clock of the last bill
}

// Estimate returns about how many tokens the model makes of texts that it reads as separate pieces.
func (f *Factors) Estimate(model string, texts ...[]byte) int {
	counted := 0
	for _, text := range texts {
		counted += Count(text)
	}
	return f.Scale(model, counted)
}

// Scale returns about how many tokens the model makes of a text that Count says has counted.
func (f *Factors) Scale(model string, counted int) int {
	return int(math.Round(float64(counted) * f.Factor(model)))
}

// Factor returns by what the model's tokens differ from o200k_base's: between 1/4 and 4.
func (f *Factors) Factor(model string) float64 {
	if models := f.models.Load(); models != nil {
		if known := (*models)[model]; known != nil {
			learned, _ := unpack(known.state.Load())
			return float64(learned)
		}
	}
	return float64(familyFactor(model))
}

// Learn tells what was billed for a prompt of which Count said counted: all its tokens, those read from a cache, too.
// Short prompts and bills that are far off say nothing about text and are left out; of others, no single one moves the
// factor by more than a sixteenth. When there are too many models, the one not heard of for longest is forgotten.
func (f *Factors) Learn(model string, counted, billed int) {
	if counted < telling || billed <= 0 {
		return
	}
	ratio := float64(billed) / float64(counted)
	if ratio > farthest || ratio < 1/farthest {
		return
	}
	known := f.factorOf(model)
	known.used.Store(f.clock.Add(1))
	for {
		old := known.state.Load()
		if known.state.CompareAndSwap(old, learned(old, float32(ratio))) {
			return
		}
	}
}

// learned returns the state after one more bill. The first bills weigh more than later ones.
func learned(state uint64, ratio float32) uint64 {
	present, bills := unpack(state)
	ratio = min(max(ratio, present/stepMost), present*stepMost)
	weight := max(lastWeight, 1/(1/firstWeight+float32(bills)))
	return pack(present+weight*(ratio-present), min(bills, math.MaxUint32-1)+1)
}

func pack(factor float32, bills uint32) uint64 {
	return uint64(math.Float32bits(factor))<<32 | uint64(bills)
}

func unpack(state uint64) (factor float32, bills uint32) {
	return math.Float32frombits(uint32(state >> 32)), uint32(state)
}

func (f *Factors) factorOf(model string) *factor {
	if models := f.models.Load(); models != nil {
		if known := (*models)[model]; known != nil {
			return known
		}
	}
	return f.add(model)
}

func (f *Factors) add(model string) *factor {
	f.mu.Lock()
	defer f.mu.Unlock()
	models := map[string]*factor{}
	if present := f.models.Load(); present != nil {
		if known := (*present)[model]; known != nil {
			return known
		}
		models = maps.Clone(*present)
	}
	if len(models) >= maxModels {
		delete(models, stalest(models))
	}
	added := new(factor)
	added.state.Store(pack(familyFactor(model), 0))
	models[strings.Clone(model)] = added // the caller's may be borrowed from a request
	f.models.Store(&models)
	return added
}

func stalest(models map[string]*factor) string {
	var name string
	oldest := uint64(math.MaxUint64)
	for model, known := range models {
		if used := known.used.Load(); used < oldest {
			name, oldest = model, used
		}
	}
	return name
}

func familyFactor(model string) float32 {
	for _, family := range families {
		if containsFold(model, family.name) {
			return family.factor
		}
	}
	return 1
}

// containsFold ignores the case of s; part is in lower case.
func containsFold(s, part string) bool {
	for i := 0; i+len(part) <= len(s); i++ {
		if s[i]|0x20 == part[0] && strings.EqualFold(s[i:i+len(part)], part) {
			return true
		}
	}
	return false
}
