package anthropic

import "github.com/wedge-proxy/wedge/proxy/dialect"

const (
	budgetLeast = 1024 // what the API takes at least
	answerLeast = 4096 // what is left for the answer beside a budget, where the client named no bound
)

// planThinking decides how the model is told to think, and how long its answer may be. An effort alone asks for
// thinking, too, as it does in the dialects that know nothing else.
func (w *writer) planThinking() {
	c := w.chat
	w.mode, w.budget, w.max, w.effort = c.Thinking, c.Budget, c.MaxTokens, c.Effort
	implied := dialect.FieldThinking // what is told if the model must not think
	if string(w.effort) == "none" {
		w.effort = nil
		switch w.mode {
		case dialect.ThinkingUnsaid:
			w.mode, implied = dialect.ThinkingOff, dialect.FieldEffort
		case dialect.ThinkingAdaptive, dialect.ThinkingBudget:
			w.left.Add(dialect.FieldEffort)
		}
	}
	if w.mode == dialect.ThinkingUnsaid && w.effort != nil {
		w.mode, implied = dialect.ThinkingAdaptive, dialect.FieldEffort
	}
	if c.ShowThinking && w.mode == dialect.ThinkingUnsaid { // thoughts of a model that thinks unasked elsewhere
		w.left.Add(dialect.FieldThinking)
	}
	forced := (c.Choice == dialect.ChoiceAny || c.Choice == dialect.ChoiceNamed) && len(c.Tools) > 0
	switch w.mode {
	case dialect.ThinkingOff:
		w.planNone(implied)
	case dialect.ThinkingAdaptive, dialect.ThinkingBudget:
		if forced { // the API lets no model think that must call a tool
			w.mode = dialect.ThinkingUnsaid
			if implied == dialect.FieldThinking {
				w.left.Add(implied)
			}
		} else {
			w.fit(implied)
		}
	}
	w.fitEffort()
	if w.max == 0 {
		w.max = answerMost
	}
}

// planNone is for a request that the model does not think: most models do so only when they are asked to.
func (w *writer) planNone(told dialect.Field) {
	switch w.gen {
	case early, middle, late:
		w.mode = dialect.ThinkingUnsaid
	case pensive:
		w.mode = dialect.ThinkingUnsaid
		w.left.Add(told)
	}
}

// fit brings thinking into the form that the generation of the model takes.
func (w *writer) fit(told dialect.Field) {
	switch {
	case w.mode == dialect.ThinkingBudget && !w.gen.budgets():
		w.left.Add(told)
		if w.mode = dialect.ThinkingAdaptive; w.effort == nil {
			w.effort = effortOf(w.budget)
		}
	case w.mode == dialect.ThinkingAdaptive && !w.gen.adapts():
		w.mode, w.budget = dialect.ThinkingBudget, budgetOf(w.effort)
		w.fitBudget(told, true)
	case w.mode == dialect.ThinkingBudget:
		w.fitBudget(told, false)
	}
}

// fitBudget keeps the budget between what the API takes at least and the bound on the answer, which counts thoughts,
// too. rough says that the client did not name the budget. A model that goes on after its tools answered must have
// begun with a thought of its own; if that is lost, it cannot think now.
func (w *writer) fitBudget(told dialect.Field, rough bool) {
	if w.budget < budgetLeast {
		w.left.Add(told)
		w.budget = budgetLeast
	}
	switch {
	case w.unsignedCall():
		w.mode = dialect.ThinkingUnsaid
	case w.max == 0:
		w.max = max(answerMost, w.budget+answerLeast)
		return
	case w.budget < w.max:
		return
	case w.max > budgetLeast:
		if w.budget = w.max - 1; rough {
			return
		}
	default:
		w.mode = dialect.ThinkingUnsaid
	}
	w.left.Add(told)
}

// unsignedCall says that the model called tools without a thought that it signed, and is to go on with their results.
func (w *writer) unsignedCall() bool {
	turns := w.chat.Turns
	for i := len(turns) - 1; i > 0; i-- {
		if turns[i].Role != dialect.Assistant {
			continue
		}
		if i+1 == len(turns) || turns[i+1].Role != dialect.Results {
			return false
		}
		for _, p := range w.chat.Parts[turns[i].From:turns[i].To] {
			if (p.Kind == dialect.PartThinking || p.Kind == dialect.PartHidden) && known(&p) {
				return false
			}
		}
		return true
	}
	return false
}

// budgetOf is the budget that stands for an effort with models that know no efforts.
func budgetOf(effort dialect.Written) int64 {
	switch string(effort) {
	case "minimal", "low":
		return budgetLeast
	case "high":
		return 24576
	case "xhigh", "max":
		return 32000
	}
	return 8192
}

// effortOf is the reverse of budgetOf, for models that know no budgets.
func effortOf(budget int64) dialect.Written {
	switch {
	case budget <= 2048:
		return []byte("low")
	case budget <= 8192:
		return []byte("medium")
	}
	return []byte("high")
}

// fitEffort keeps the effort that the model knows. There is none below low, and xhigh came with 4.7.
func (w *writer) fitEffort() {
	switch {
	case w.effort == nil:
	case !w.gen.adapts():
		if w.mode != dialect.ThinkingBudget {
			w.left.Add(dialect.FieldEffort)
		}
		w.effort = nil
	case string(w.effort) == "minimal":
		w.left.Add(dialect.FieldEffort)
		w.effort = []byte("low")
	case string(w.effort) == "xhigh" && w.gen == middle:
		w.left.Add(dialect.FieldEffort)
		w.effort = []byte("high")
	}
}

// thinking writes what was planned. Where the client asked for thinking in words of its own, it says whether it wants
// to see it.
func (w *writer) thinking() {
	switch w.mode {
	case dialect.ThinkingUnsaid:
		return
	case dialect.ThinkingOff:
		w.dst = append(w.dst, `,"thinking":{"type":"disabled"}`...)
		return
	case dialect.ThinkingAdaptive:
		w.dst = append(w.dst, `,"thinking":{"type":"adaptive"`...)
	case dialect.ThinkingBudget:
		w.dst = appendNumber(w.dst, `,"thinking":{"type":"enabled","budget_tokens":`, w.budget)
	}
	switch {
	case w.chat.ShowThinking:
		w.dst = append(w.dst, `,"display":"summarized"`...)
	case w.chat.Thinking != dialect.ThinkingUnsaid:
		w.dst = append(w.dst, `,"display":"omitted"`...)
	}
	w.dst = append(w.dst, '}')
}
