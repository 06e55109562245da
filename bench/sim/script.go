package sim

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// Step is one line of a script: how the next requests that match it are answered.
type Step struct {
	Fail  string `json:"fail"`            // a fault, or "" for a good answer
	Count int    `json:"count,omitempty"` // requests it lasts for; 0 is one, -1 is until the script is deleted
	Model string `json:"model,omitempty"` // only requests for this model
	Path  string `json:"path,omitempty"`  // only requests whose path begins with it, of any method; "" is every POST
	Set   string `json:"set,omitempty"`   // further settings: "fail_after=3;ttft=50ms"
}

func (st *Step) matches(method, path, model string) bool {
	if st.Model != "" && st.Model != model {
		return false
	}
	if st.Path != "" {
		return strings.HasPrefix(path, st.Path)
	}
	return method == "POST"
}

// script is the steps still to come.
type script struct {
	mu    sync.Mutex
	steps []Step
	some  atomic.Bool // there are steps; spares the others the lock
}

// add appends steps, after checking them all.
func (sc *script) add(steps []Step) error {
	for i, st := range steps {
		var probe settings
		if err := probe.set("fail", st.Fail); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		if err := probe.setAll(st.Set); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for _, st := range steps {
		if st.Count == 0 {
			st.Count = 1
		}
		sc.steps = append(sc.steps, st)
	}
	sc.some.Store(len(sc.steps) > 0)
	return nil
}

func (sc *script) clear() {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.steps = nil
	sc.some.Store(false)
}

// pending returns a copy of the steps still to come.
func (sc *script) pending() []Step {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return append([]Step{}, sc.steps...)
}

// take uses up one request of the first step that matches.
func (sc *script) take(method, path, model string) (Step, bool) {
	if !sc.some.Load() {
		return Step{}, false
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for i := range sc.steps {
		st := sc.steps[i]
		if !st.matches(method, path, model) {
			continue
		}
		if st.Count > 0 {
			sc.steps[i].Count--
			if sc.steps[i].Count == 0 {
				sc.steps = append(sc.steps[:i], sc.steps[i+1:]...)
				sc.some.Store(len(sc.steps) > 0)
			}
		}
		return st, true
	}
	return Step{}, false
}
