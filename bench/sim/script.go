package sim

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// Step is one line of a script: how the next requests that match it are answered.
type Step struct {
	Fail   string `json:"fail"`             // a fault, or "" for a good answer
	Count  int    `json:"count,omitempty"`  // requests it lasts for; 0 is one, -1 is until the script is deleted
	Model  string `json:"model,omitempty"`  // only requests for this model
	Path   string `json:"path,omitempty"`   // only requests whose path begins with it
	Method string `json:"method,omitempty"` // only these; MethodTurn is turns on WebSockets, GET their handshakes, too
	Set    string `json:"set,omitempty"`    // further settings: "fail_after=3;ttft=50ms"
}

// MethodTurn stands for the method, in the log and in scripts, of a turn on a WebSocket: of what is asked and answered
// there like one POST.
const MethodTurn = "WS"

// wanted is what a script sees of a request.
type wanted struct {
	method, path, model string
	handshake           bool // of a WebSocket
}

// asks tells whether something is to be thought about: such requests fail where nobody says which.
func (w *wanted) asks() bool { return w.method == "POST" || w.method == MethodTurn }

// matches tells whether the step is for a request. A step with neither path nor method is for those that ask. One that
// does not name a handshake's method is for a handshake only if its fault can refuse one, so that the others wait for a turn.
func (st *Step) matches(w *wanted) bool {
	switch {
	case st.Model != "" && st.Model != w.model, st.Method != "" && st.Method != w.method, !strings.HasPrefix(w.path, st.Path):
		return false
	case st.Method != "":
		return true
	case w.handshake:
		f, _ := parseFault(st.Fail) // checked when the step came
		return st.Path != "" && f.refuses()
	}
	return st.Path != "" || w.asks()
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
func (sc *script) take(what wanted) (Step, bool) {
	if !sc.some.Load() {
		return Step{}, false
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for i := range sc.steps {
		st := sc.steps[i]
		if !st.matches(&what) {
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
