package sim

import (
	"bytes"
	"math"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/valyala/fastjson"
)

const (
	minTokens  = 20  // of an answer whose length nobody asked for
	tokenRange = 130 // above minTokens; the last sentence may add up to 40
	echoBytes  = 48  // of the last user message that an answer repeats
	maxWanted  = 100_000
)

// ask is what a dialect has understood of a request for text: all that the brain needs to answer.
type ask struct {
	model    string // without the settings it may carry
	opts     settingsList
	key      uint64 // over everything that the answer depends on
	topic    string // the text of the last user message
	in       int    // tokens of the prompt
	media    int    // those of them that are no text
	cached   cacheUse
	thinks   bool // the answer has thoughts before its text or calls
	hidden   bool // and does not tell them
	choices  int
	max      int // tokens of one choice; 0 is unbounded
	want     int // tokens of one choice, exactly; 0 leaves it to the brain
	reasons  int // tokens of one choice that come before the others and are told in its usage only
	pieces   int // content events of one choice of a stream; 0 is one per token
	stops    []string
	calls    []tool          // what must be called, in order; empty asks for text
	schema   *fastjson.Value // of the JSON that the answer must be; nil asks for prose
	json     bool            // the answer must be a JSON object of any shape
	echo     []string        // text that the choice at the same index begins with
	logprobs bool
	top      int // alternatives per token
	stream   bool
	usage    bool // an event for the usage of a stream
}

// obey applies what the model's name and the request's headers say about the answer itself; its timing and
// its faults come into play when it is sent.
func (a *ask) obey(own *settings) {
	var byName settings
	_ = byName.setAll(string(a.opts)) // checked when the name was read
	a.want, a.pieces, a.reasons = byName.tokens, byName.chunks, byName.reasoning
	if own.tokens > 0 {
		a.want = own.tokens
	}
	if own.chunks > 0 {
		a.pieces = own.chunks
	}
	if own.reasoning > 0 {
		a.reasons = own.reasoning
	}
}

// fingerprint is the system_fingerprint of a model.
func fingerprint(model string) string {
	r := rng(xxhash.Sum64String(model))
	return r.hex("fp_", 10)
}

// finish says why a choice ended.
type finish uint8

const (
	finishStop finish = iota
	finishLength
	finishCalls
)

// reply is the brain's answer, before a dialect writes it down.
type reply struct {
	id      rng // draws the ids that the dialect gives out
	choices []choice
	in, out int // tokens
	thought int // those of out that are thoughts
}

// choice is one of the answers to an ask: either text or calls, after a thought if the ask wants one.
type choice struct {
	thought     string
	thoughtEnds []int
	hidden      int // tokens of thought besides
	text        string
	ends        []int  // where each token of text ends
	stop        string // the stop sequence that ended text
	calls       []call
	finish      finish
}

// call is one tool call; ends as in choice, for args.
type call struct {
	name string
	args string
	ends []int
	cut  bool // args are the beginning of what they should be
}

// tokens is what the call costs.
func (k *call) tokens() int { return countTokens(k.name) + len(k.ends) }

// think answers a. The same a and seed give the same reply; time has no say in it.
func think(a *ask, seed uint64) *reply {
	key := mix(a.key ^ mix(seed^xxhash.Sum64String(a.model)))
	rep := &reply{id: rng(mix(key)), choices: make([]choice, max(a.choices, 1)), in: a.in}
	for i := range rep.choices {
		seed := mix(key + uint64(i)*0x9e3779b97f4a7c15)
		r := rng(seed)
		c := &rep.choices[i]
		limit := math.MaxInt
		if a.max > 0 {
			limit = a.max
		}
		reasons := min(a.reasons, limit)
		limit -= reasons
		rep.thought += reasons
		c.hidden = reasons
		if a.thinks {
			c.ponder(seed, limit)
			limit -= len(c.thoughtEnds)
			rep.thought += len(c.thoughtEnds)
		}
		rep.out += reasons + len(c.thoughtEnds) + c.answer(a, &r, i, limit)
	}
	return rep
}

// answer fills c, the i-th choice, with calls or text of at most limit tokens, and returns their number.
func (c *choice) answer(a *ask, r *rng, i, limit int) int {
	if len(a.calls) > 0 {
		return c.callTools(a, r, limit)
	}
	c.text = compose(a, r)
	if i < len(a.echo) {
		c.text = a.echo[i] + c.text
	}
	c.end(a.stops, limit)
	return len(c.ends)
}

// ponder fills c's thought with at most limit tokens. It draws on numbers of its own, so that the words of the
// answer are the same with and without it.
func (c *choice) ponder(seed uint64, limit int) {
	r := rng(mix(seed ^ 0x7468696e6b))
	var text []byte
	for range 1 + r.below(3) {
		text = appendSentence(text, &r)
	}
	c.thought = strings.TrimLeft(string(text), " ")
	c.thoughtEnds = appendTokenEnds(nil, c.thought)
	if len(c.thoughtEnds) > limit {
		c.thoughtEnds = c.thoughtEnds[:limit]
		c.thought = c.thought[:lastEnd(c.thoughtEnds)]
	}
}

// end applies stops and a bound of tokens to the text of c.
func (c *choice) end(stops []string, limit int) {
	cut := len(c.text)
	for _, stop := range stops {
		if i := strings.Index(c.text, stop); stop != "" && i >= 0 && i < cut {
			cut, c.stop = i, stop
		}
	}
	c.text = c.text[:cut]
	c.ends = appendTokenEnds(make([]int, 0, len(c.text)/2), c.text)
	if len(c.ends) > limit {
		c.ends = c.ends[:limit]
		c.text = c.text[:lastEnd(c.ends)]
		c.finish, c.stop = finishLength, ""
	}
}

// callTools fills c with calls of a's tools, of at most limit tokens, and returns their tokens.
func (c *choice) callTools(a *ask, r *rng, limit int) int {
	c.finish = finishCalls
	used := 0
	for _, t := range a.calls {
		args := string(appendExample(nil, r, t.schema, a.topic))
		k := call{name: t.name, args: args, ends: appendTokenEnds(nil, args)}
		used += countTokens(t.name)
		if left := max(limit-used, 0); len(k.ends) > left {
			k.ends, k.cut = k.ends[:left], true
			k.args = k.args[:lastEnd(k.ends)]
			c.finish = finishLength
		}
		used += len(k.ends)
		c.calls = append(c.calls, k)
		if c.finish == finishLength {
			break
		}
	}
	return used
}

func lastEnd(ends []int) int {
	if len(ends) == 0 {
		return 0
	}
	return ends[len(ends)-1]
}

// compose returns the text of one choice, before stops and bounds.
func compose(a *ask, r *rng) string {
	switch {
	case a.schema != nil:
		return string(appendExample(nil, r, a.schema, a.topic))
	case a.json:
		return string(appendAnyObject(nil, r, a.topic))
	}
	want := max(minTokens+r.below(tokenRange), a.pieces)
	if a.want > 0 {
		want = min(a.want, maxWanted)
	}
	text := appendEcho(make([]byte, 0, 8*want), a.topic)
	have := countTokens(text)
	for have < want {
		before := len(text)
		text = appendSentence(text, r)
		have += countTokens(text[before:])
	}
	text = bytes.TrimLeft(text, " ")
	if a.want > 0 {
		ends := appendTokenEnds(nil, string(text))
		text = text[:ends[want-1]]
	}
	return string(text)
}

// appendEcho appends a sentence that repeats the beginning of topic, so that an answer can be told to belong
// to its question.
func appendEcho(dst []byte, topic string) []byte {
	dst = append(dst, `On "`...)
	start := len(dst)
	for _, word := range strings.Fields(topic[:min(len(topic), 4*echoBytes)]) {
		if len(dst)-start+len(word) > echoBytes {
			break
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, strings.ToValidUTF8(word, "")...)
	}
	if len(dst) == start {
		return dst[:0]
	}
	return append(dst, `":`...)
}

// tool is a function that a request offers.
type tool struct {
	name        string
	description string
	schema      *fastjson.Value
}

// toolChoice is what a request says about the use of its tools.
type toolChoice struct {
	never    bool
	required bool
	name     string // the one tool that must be called
	single   bool   // no parallel calls
}

// choose returns the tools to call: those the choice forces, or those whose names topic mentions.
func (tc toolChoice) choose(tools []tool, topic string) []tool {
	if tc.never || len(tools) == 0 {
		return nil
	}
	var chosen []tool
	for _, t := range tools {
		if tc.name == t.name || tc.name == "" && strings.Contains(topic, t.name) {
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 && tc.required {
		chosen = tools[:1]
	}
	if tc.single && len(chosen) > 1 {
		chosen = chosen[:1]
	}
	return chosen
}

// group is the half-open range of tokens that belongs to piece i of n.
func group(i, n, tokens int) (from, to int) { return i * tokens / n, (i + 1) * tokens / n }

// pieces is the number of pieces in which to send a number of tokens: wanted, or one per token.
func pieces(wanted, tokens int) int {
	if wanted <= 0 || wanted > tokens {
		return tokens
	}
	return wanted
}

// span returns the text between two token indexes.
func span(text string, ends []int, from, to int) string {
	start := 0
	if from > 0 {
		start = ends[from-1]
	}
	if to == from {
		return text[start:start]
	}
	return text[start:ends[to-1]]
}
