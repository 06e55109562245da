package proxy

import (
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/proxy/catalog"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// ruling is what the policies of a model decide about one request, and what their calls need. It is pooled; its
// slices point into its own buffers, or into the request.
type ruling struct {
	decisions

	view     abi.Request
	own      dialect.Prompt `wedge:"kept"` // where a prompt is read that nobody remembers
	verdicts []verdict      `wedge:"kept"` // one for each policy of the chain
	headers  []abi.Pair     `wedge:"kept"`
	targets  []abi.Target   `wedge:"kept"`
	lists    []byte         `wedge:"kept"` // the checked actions of all policies
	body     []byte         `wedge:"kept"` // the edited body
	spare    []byte         `wedge:"kept"` // where the next edit is written
	before   []byte         `wedge:"kept"`
	fallen   []int          `wedge:"kept"` // the targets to fall back to, by index; none: as the version says
	begun    [][]byte       `wedge:"kept"` // the states that requests' calls left, if others may change
	choices  map[[2]int]*[]byte
	reason   []byte            `wedge:"kept"`
	line     []byte            `wedge:"kept"` // the header x-wedge-policy
	out      []byte            `wedge:"kept"` // an edited answer
	texts    [2][]byte         `wedge:"kept"` // of a piece of it
	chunks   []byte            `wedge:"kept"` // the actions of a chunk's call
	stream   dialect.Rewriting `wedge:"kept"`
}

// decisions is the part of a ruling that is made zero.
type decisions struct {
	chain     *chain
	prompt    *dialect.Prompt // of the request's body
	resolved                  // as it was before the policies
	changed   bool            // an answer or a key may differ from what equal requests get
	edited    bool            // body is the request's body
	editing   bool            // before is the body before the list under way
	viewed    bool            // view holds the request as it is now
	headed    bool            // lists hold actions on headers
	target    int             // index + 1 among the version's targets; 0: none was chosen
	salt      []byte
	cacheMode uint32
	ttl       time.Duration
	shadow    *target
	hedge     time.Duration
	answer    []byte
	answers   bool
	seq       uint32 // chunks seen
	tokens    uint32
	stopped   bool
}

// resolved is what the request's own words lead to.
type resolved struct {
	model   *catalog.Model
	version *version
	exp     *catalog.Experiment
	arm     int
	why     string
}

// verdict is what became of one policy.
type verdict struct {
	word  string // pass, tag, route, edit, answer, deny or failed; "" if it was not called
	err   string
	took  time.Duration
	state []byte
}

var rulings = sync.Pool{New: func() any { return new(ruling) }}

func newRuling(c *chain) *ruling {
	r := rulings.Get().(*ruling)
	r.chain = c
	for len(r.verdicts) < len(c.policies) {
		r.verdicts = append(r.verdicts, verdict{})
	}
	c.use.add()
	return r
}

// release gives the ruling back, zero but for bounded buffers.
func (r *ruling) release() {
	r.chain.use.done()
	for i := range r.verdicts {
		v := &r.verdicts[i]
		v.word, v.err, v.took, v.state = "", "", 0, v.state[:0]
	}
	clear(r.headers)
	clear(r.targets)
	r.headers, r.targets, r.fallen, r.choices = r.headers[:0], r.targets[:0], r.fallen[:0], nil
	r.view, r.decisions = abi.Request{}, decisions{}
	r.own = dialect.Prompt{Scratch: r.own.Scratch[:0]}
	r.stream.Reset()
	for _, b := range [...]*[]byte{&r.own.Scratch, &r.lists, &r.body, &r.spare, &r.before, &r.reason, &r.line, &r.out, &r.texts[0], &r.texts[1], &r.chunks} {
		if *b = (*b)[:0]; cap(*b) > keptMost {
			*b = nil
		}
	}
	rulings.Put(r)
}

// keepStates remembers what each choice of the answer begins with.
func (r *ruling) keepStates() {
	if r.chain.hooks&(policy.Chunk|policy.Response) == 0 {
		return
	}
	for len(r.begun) < len(r.chain.policies) {
		r.begun = append(r.begun, nil)
	}
	for i := range r.chain.policies {
		r.begun[i] = append(r.begun[i][:0], r.verdicts[i].state...)
	}
}

// requestBody is the request's body after the policies' edits.
func (x *exchange) requestBody() []byte {
	if x.ruling != nil && x.ruling.edited {
		return x.ruling.body
	}
	return x.ctx.Request.Body()
}
