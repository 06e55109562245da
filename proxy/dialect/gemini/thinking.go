package gemini

import (
	"math/bits"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// plan is how a model is told to think, as it takes it: by a level, or by a budget of tokens, never by both.
type plan struct {
	level  dialect.Written
	budget int64
	bound  bool // by the budget
	show   bool
}

// planThinking decides how the model is told to think. An effort is the more general of two words for the same: it
// is told as lost where there is a budget, too.
func (w *writer) planThinking() (p plan) {
	c := w.chat
	off := c.Thinking == dialect.ThinkingOff
	word := dialect.FieldThinking // what is told if the model cannot be told so
	effort := c.Effort
	if string(effort) == "none" {
		if effort = nil; c.Thinking == dialect.ThinkingUnsaid {
			off, word = true, dialect.FieldEffort
		}
	}
	p.show = c.ShowThinking && !off
	switch {
	case off:
		w.planNone(&p, word)
	case c.Thinking == dialect.ThinkingBudget:
		if effort != nil {
			w.left.Add(dialect.FieldEffort)
		}
		w.planBudget(&p, c.Budget)
	case effort != nil:
		w.planEffort(&p, effort)
	case c.Thinking == dialect.ThinkingAdaptive && (w.gen.foreign() || w.thinksByBudget()):
		p.bound, p.budget = true, -1 // since 3 every model thinks as it sees fit
	case c.Thinking == dialect.ThinkingAdaptive && !w.gen.current():
		w.left.Add(dialect.FieldThinking)
	}
	if w.gen.version > 0 && w.gen.version < gemini25 {
		p.show = false
	}
	return p
}

func (w *writer) thinksByBudget() bool { return w.gen.version >= gemini25 && !w.gen.current() }

// planNone is for a request that the model does not think. Since 3 no model is promised not to: it gets its lowest
// level.
func (w *writer) planNone(p *plan, word dialect.Field) {
	switch least, _ := w.gen.budgets(); {
	case w.gen.current():
		p.level = levels[bits.TrailingZeros8(w.gen.levels())].effort
		w.left.Add(word)
	case w.thinksByBudget() && w.gen.line == pro:
		p.bound, p.budget = true, least
		w.left.Add(word)
	case w.gen.foreign(), w.thinksByBudget():
		p.bound = true
	}
}

func (w *writer) planBudget(p *plan, budget int64) {
	switch {
	case w.gen.foreign():
		p.bound, p.budget = true, budget
	case w.gen.current():
		w.left.Add(dialect.FieldThinking)
		w.planLevel(p, rankOf(budget))
	case w.thinksByBudget():
		least, most := w.gen.budgets()
		if p.bound, p.budget = true, min(max(budget, least), most); p.budget != budget {
			w.left.Add(dialect.FieldThinking)
		}
	default:
		w.left.Add(dialect.FieldThinking)
	}
}

func (w *writer) planEffort(p *plan, effort dialect.Written) {
	rank, known := 3, false
	for i, l := range levels {
		if string(l.effort) == string(effort) {
			rank, known = i, true
		}
	}
	if !known { // xhigh and max
		w.left.Add(dialect.FieldEffort)
	}
	switch {
	case w.gen.foreign(), w.gen.current():
		if w.planLevel(p, rank) != rank {
			w.left.Add(dialect.FieldEffort)
		}
	case w.thinksByBudget(): // as Google's own OpenAI-compatible endpoint has it
		p.bound, p.budget = true, [...]int64{1024, 1024, 8192, 24576}[rank]
	default:
		w.left.Add(dialect.FieldEffort)
	}
}

// rankOf is the level, as an index of levels, that stands for a budget.
func rankOf(budget int64) int {
	switch {
	case budget <= 2048:
		return 1
	case budget <= 8192:
		return 2
	}
	return 3
}

// planLevel takes the level nearest to rank that the model has, the higher of two, and returns its rank.
func (w *writer) planLevel(p *plan, rank int) int {
	best := -1
	for i := range levels {
		if w.gen.levels()&(1<<i) == 0 {
			continue
		}
		if best < 0 || distance(i, rank) <= distance(best, rank) {
			best = i
		}
	}
	p.level = levels[best].effort
	return best
}

func distance(a, b int) int { return max(a-b, b-a) }

// thinking writes what was planned.
func (w *writer) thinking() {
	p := w.planThinking()
	if p.level == nil && !p.bound && !p.show {
		return
	}
	w.member(`"thinkingConfig":{`)
	if p.show {
		w.dst = append(w.dst, `"includeThoughts":true`...)
	}
	if p.show && (p.level != nil || p.bound) {
		w.dst = append(w.dst, ',')
	}
	switch {
	case p.level != nil:
		w.dst = appendText(w.dst, `"thinkingLevel":`, p.level)
	case p.bound:
		w.dst = appendNumber(w.dst, `"thinkingBudget":`, p.budget)
	}
	w.dst = append(w.dst, '}')
}
