package cases

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

// Verdict is what became of one step.
type Verdict struct {
	Got []byte // the list of actions
	Err error  // what the call failed with
}

// Run makes the case's calls, one after the other. As on a node, the state that a call leaves comes back in the views
// after it, of an answer for each choice, and chunks are counted. Every verdict owns its bytes.
func Run(p policy.Program, c *Case) []Verdict {
	all := make([]Verdict, len(c.Steps))
	r := runner{program: p, choices: map[uint32][]byte{}}
	for i := range c.Steps {
		s := c.Steps[i]
		got, err := r.call(&s)
		all[i] = Verdict{Got: got, Err: err}
	}
	return all
}

// Check compares the verdicts of a run with what the case expects. The error names the first step that differs, what
// was wanted and what came.
func (c *Case) Check(got []Verdict) error {
	for i := range c.Steps {
		if err := c.Steps[i].check(got[i]); err != nil {
			return fmt.Errorf("case %s, step %d: %w", c.Name, i, err)
		}
	}
	return nil
}

func (s *Step) check(v Verdict) error {
	switch {
	case s.Fails && v.Err == nil:
		return fmt.Errorf("the call has to fail, and gave %s", Format(v.Got))
	case s.Fails:
		return nil
	case v.Err != nil:
		return fmt.Errorf("the call failed: %w", v.Err)
	case !Same(s.Want, v.Got):
		return fmt.Errorf("the actions differ:\n want %s\n  got %s", Format(s.Want), Format(v.Got))
	}
	return nil
}

// Same tells whether two lists hold the same actions. The order of unlike tags does not count, nor which of the
// actions are critical.
func Same(a, b []byte) bool {
	return slices.EqualFunc(sorted(a), sorted(b), func(a, b abi.Action) bool {
		return a.Tag == b.Tag && bytes.Equal(a.Payload, b.Payload)
	})
}

func sorted(list []byte) []abi.Action {
	var all []abi.Action
	for len(list) > 0 {
		a, rest, err := abi.Next(list)
		if err != nil {
			return append(all, abi.Action{Payload: list})
		}
		all, list = append(all, a), rest
	}
	slices.SortStableFunc(all, func(a, b abi.Action) int { return int(a.Tag) - int(b.Tag) })
	return all
}

type runner struct {
	program policy.Program
	request []byte            // the state that the request's call left
	choices map[uint32][]byte // the states of choices that differ from it
	chunks  uint32
}

func (r *runner) call(s *Step) ([]byte, error) {
	switch s.Kind {
	case policy.OnRequest:
		got, err := r.program.Request(&s.Request, nil)
		*r = runner{program: r.program, choices: map[uint32][]byte{}}
		r.request, _ = stateOf(got)
		return got, err
	case policy.OnResponse:
		s.Response.State = r.state(s.Response.Choice, s.Response.State)
		got, err := r.program.Response(&s.Response, nil)
		r.keep(s.Response.Choice, got)
		return got, err
	case policy.OnChunk:
		s.Chunk.State = r.state(s.Chunk.Choice, s.Chunk.State)
		s.Chunk.Seq = r.chunks
		r.chunks++
		got, err := r.program.Chunk(&s.Chunk, nil)
		r.keep(s.Chunk.Choice, got)
		return got, err
	default:
		if s.Done.State == nil {
			s.Done.State = r.request
		}
		return r.program.Done(&s.Done, nil)
	}
}

// state is what a view brings back: what the case says, or what was left.
func (r *runner) state(choice uint32, own []byte) []byte {
	if own != nil {
		return own
	}
	if left, ok := r.choices[choice]; ok {
		return left
	}
	return r.request
}

func (r *runner) keep(choice uint32, list []byte) {
	if left, ok := stateOf(list); ok {
		r.choices[choice] = left
	}
}

// stateOf gives the state that a list leaves.
func stateOf(list []byte) (state []byte, ok bool) {
	for _, a := range sorted(list) {
		if a.Tag == abi.TagState {
			state, ok = a.Text(), true
		}
	}
	return state, ok
}
