package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/proxy/catalog"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// decide asks the policies of the model, in the catalog's order, about the request. Each sees what those before it
// made of it. The policies are those of the model that the request named, whatever they make of it.
func (x *exchange) decide() *dialect.Error {
	c := x.snap.chainOf(x.version.Version)
	if c == nil {
		return nil
	}
	r := newRuling(c)
	x.ruling = r
	r.model, r.version, r.exp, r.arm, r.why = x.model, x.version, x.exp, x.arm, x.why
	if c.hooks&(policy.Route|policy.Prompt) == 0 {
		r.keepStates()
		return nil
	}
	x.readPrompt()
	began := time.Since(x.start) // which takes half as long as time.Now
	for i, p := range c.policies {
		if !p.sees(policy.Route | policy.Prompt) {
			continue
		}
		e := x.ask(i, p)
		now := time.Since(x.start)
		r.verdicts[i].took = now - began
		p.calls[onRequest].Inc()
		p.seconds[onRequest].Observe(int64(now - began))
		if began = now; e != nil {
			return e
		}
		if r.answers {
			break
		}
	}
	r.keepStates()
	return nil
}

// ask calls one policy and does what it decided.
func (x *exchange) ask(i int, p *boundPolicy) *dialect.Error {
	r := x.ruling
	x.fillView(p)
	from := len(r.lists)
	lists, err := p.program.Request(&r.view, r.lists)
	if err != nil {
		return x.policyFailed(i, onRequest, err)
	}
	r.lists = lists
	list := lists[from:]
	if len(list) == 0 {
		r.verdicts[i].word = "pass"
		return nil
	}
	r.verdicts[i].word, r.editing = policy.Verdict(list), false
	before := x.standing()
	e, err := x.apply(i, p, list)
	if err != nil {
		r.lists = r.lists[:from]
		x.undo(&before)
		return x.policyFailed(i, onRequest, err)
	}
	return e
}

// policyFailed notes a call that failed, and says what the policy's on_error makes of it.
func (x *exchange) policyFailed(i, kind int, err error) *dialect.Error {
	p, v := x.ruling.chain.policies[i], &x.ruling.verdicts[i]
	v.word, v.err = "failed", failureText(err)
	x.s.metrics.policyErrors.With(p.Name, hookNames[kind], failureKind(err)).Inc()
	if !p.deny {
		return nil
	}
	return fail(codePolicyFailed, "", "policy "+p.Name+" could not decide about the request, and the catalog says that it must; try again, and tell the operator of this node")
}

var failures = [...]struct {
	err  error
	name string
}{
	{policy.ErrDeadline, "deadline"}, {policy.ErrTrapped, "trap"}, {policy.ErrBusy, "busy"}, {policy.ErrRefused, "refused"},
	{policy.ErrQuarantined, "quarantine"},
}

// failureKind is a label for a call's error.
func failureKind(err error) string {
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f.name
		}
	}
	return "actions"
}

// failureText is what explain tells of a call's error: nothing in a guest's words, which may be a prompt's.
func failureText(err error) string {
	var wrong actionError
	if errors.As(err, &wrong) {
		return policy.ErrActions.Error() + ": " + string(wrong)
	}
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f.err.Error()
		}
	}
	return policy.ErrActions.Error()
}

// actionError says, in the node's own words, why the node cannot do what a policy decided.
type actionError string

func (e actionError) Error() string        { return string(e) }
func (e actionError) Is(target error) bool { return target == policy.ErrActions }

// readPrompt reads what the policies want to know of the body.
func (x *exchange) readPrompt() {
	r := x.ruling
	if x.known != nil && !r.edited {
		r.prompt = x.known.promptOf(x.s.o.Dialects.For(x.op), x.op)
		return
	}
	r.own = dialect.Prompt{Scratch: r.own.Scratch[:0], Temperature: math.NaN()}
	r.prompt, r.viewed = &r.own, false
	if x.op != dialect.OpOther {
		x.s.o.Dialects.For(x.op).ReadPrompt(x.op, x.requestBody(), &r.own)
	}
}

// bytesPerToken is what the estimate of a prompt's tokens takes a token for.
const bytesPerToken = 4

// fillView writes down what the policy sees of the request.
func (x *exchange) fillView(p *boundPolicy) {
	r := x.ruling
	if !r.viewed {
		x.fillShared()
	}
	v := &r.view
	v.Random = rand.Uint64()
	caps := p.program.Caps()
	if caps&abi.CapHeaders != 0 {
		r.headers = r.headers[:0]
		for _, h := range p.headers {
			if value := x.ctx.Request.Header.Peek(h.header); len(value) > 0 {
				r.headers = append(r.headers, abi.Pair{Name: h.name, Value: value})
			}
		}
		v.Headers = r.headers
	}
	if caps&abi.CapTargets != 0 {
		r.targets = appendTargets(r.targets[:0], x.version, x.start)
		v.Targets = r.targets
	}
}

// fillShared writes down what every policy sees alike, until one of them changes it.
func (x *exchange) fillShared() {
	r := x.ruling
	v, ask := &r.view, r.prompt
	r.viewed = true
	*v = abi.Request{
		ID: x.id.seq, UnixMS: x.start.UnixMilli(), PrefixHash: ask.PrefixHash, PromptTokens: uint32(ask.TextBytes / bytesPerToken), MaxTokens: uint32(min(ask.MaxTokens, 1<<32-1)),
		Messages: uint32(ask.Messages), Tools: uint32(ask.Tools), Temperature: float32(ask.Temperature),
		Model: bytesOf(x.model.Name), Tenant: bytesOf(x.who.Tenant), User: x.units.User, Endpoint: x.ctx.Path(),
		Version: bytesOf(x.version.Version.Version.Version), Body: x.requestBody(), System: ask.System, LastUser: ask.LastUser,
	}
	for _, f := range [...]struct {
		set  bool
		flag uint32
	}{{x.streaming, abi.FlagStream}, {ask.Tools > 0, abi.FlagTools}, {ask.Images, abi.FlagImages}, {ask.JSONOutput, abi.FlagJSONOutput}} {
		if f.set {
			v.Flags |= f.flag
		}
	}
}

func appendTargets(dst []abi.Target, v *version, now time.Time) []abi.Target {
	for i := range v.targets {
		t := &v.targets[i]
		row := abi.Target{
			Name: bytesOf(t.Name), Region: bytesOf(t.provider.Region), InFlight: uint32(max(0, t.live.InFlight())),
			TTFT: uint32(min(t.live.FirstByte().Microseconds(), 1<<32-1))}
		if in, out := t.price.Tokens(); t.price.Known(now) {
			row.PriceIn, row.PriceOut = nanoPerThousand(in), nanoPerThousand(out)
		} else {
			row.PriceIn, row.PriceOut = noPrice, noPrice
		}
		if t.live.Healthy(now) {
			row.Flags = abi.TargetHealthy
		}
		if now.Before(t.live.EjectedUntil()) {
			row.Flags |= abi.TargetBreaker
		}
		dst = append(dst, row)
	}
	return dst
}

// noPrice stands for a price that nobody knows.
const noPrice = 1<<32 - 1

// nanoPerThousand turns pico-USD per token into nano-USD per 1,000 tokens, which is the same number.
func nanoPerThousand(pico int64) uint32 {
	if pico < 0 {
		return noPrice
	}
	return uint32(min(pico, noPrice-1))
}

// standing is what a list of actions may change, to put it back if the list turns out to be wrong.
type standing struct {
	decisions
	model   *catalog.Model
	version *version
	exp     *catalog.Experiment
	arm     int
	why     string
	timeout time.Time
	fallen  int
}

func (x *exchange) standing() standing {
	return standing{x.ruling.decisions, x.model, x.version, x.exp, x.arm, x.why, x.timeout, len(x.ruling.fallen)}
}

// undo puts back what a wrong list has changed. Edits lie in buffers of their own: see edit.
func (x *exchange) undo(b *standing) {
	r := x.ruling
	if x.model, x.version, x.exp, x.arm, x.why, x.timeout = b.model, b.version, b.exp, b.arm, b.why, b.timeout; r.editing {
		r.body = append(r.body[:0], r.before...)
	}
	was := r.editing
	r.decisions, r.fallen = b.decisions, r.fallen[:min(b.fallen, len(r.fallen))]
	r.viewed = false
	if was && x.view.Parse(x.requestBody()) == nil {
		x.doc = readDocument(&x.view, x.requestBody())
		x.readPrompt()
	}
}

// apply does what a policy decided.
func (x *exchange) apply(i int, p *boundPolicy, list []byte) (*dialect.Error, error) {
	if err := x.applyModel(list); err != nil {
		return nil, err
	}
	if err := x.applyEdits(list); err != nil {
		return nil, err
	}
	for rest := list; len(rest) > 0; {
		a, next, err := abi.Next(rest)
		if err != nil {
			return nil, err
		}
		rest = next
		switch a.Tag {
		case abi.TagModel, abi.TagVersion, abi.TagPatches, abi.TagBody, abi.TagSystem, abi.TagMessage, abi.TagMaxTokens,
			abi.TagDeny, abi.TagMetric, abi.TagState:
		default:
			if err := x.direct(a); err != nil {
				return nil, err
			}
		}
	}
	return x.conclude(i, p, list), nil
}

// conclude does what cannot go wrong, once nothing else can: it tags, keeps state, and refuses the request.
func (x *exchange) conclude(i int, p *boundPolicy, list []byte) (denied *dialect.Error) {
	for rest := list; len(rest) > 0; {
		a, next, err := abi.Next(rest)
		if err != nil {
			break
		}
		rest = next
		switch a.Tag {
		case abi.TagDeny:
			denied = denial(a)
		case abi.TagMetric:
			x.tag(p, a)
		case abi.TagState:
			v := &x.ruling.verdicts[i]
			v.state = append(v.state[:0], a.Text()...)
		}
	}
	return denied
}

// maxEditWork bounds the bytes that the edits of one list's messages pass over: each of them copies the body.
const maxEditWork = 64 << 20

// applyEdits makes a list's edits, whatever their order in the list: the body, its messages as the view counted them,
// then the system text, which may add a message.
func (x *exchange) applyEdits(list []byte) error {
	var body, system, limit abi.Action
	messages := 0
	for rest := list; len(rest) > 0; {
		a, next, err := abi.Next(rest)
		if err != nil {
			return err
		}
		rest = next
		switch a.Tag {
		case abi.TagBody, abi.TagPatches:
			body = a
		case abi.TagMessage:
			messages++
		case abi.TagSystem:
			system = a
		case abi.TagMaxTokens:
			limit = a
		}
	}
	if body.Tag != 0 {
		if err := x.edit(body); err != nil {
			return err
		}
		if err := x.readEdited(); err != nil {
			return err
		}
	}
	if messages+int(system.Tag)+int(limit.Tag) == 0 {
		return nil
	}
	if messages*len(x.requestBody()) > maxEditWork {
		return fmt.Errorf("%w: %d messages of a body of %d bytes are too many to edit one by one; replace the body", policy.ErrActions, messages, len(x.requestBody()))
	}
	return x.applyTexts(list, system, limit)
}

// applyTexts edits messages, and what of the system text and the limit there is.
func (x *exchange) applyTexts(list []byte, last ...abi.Action) error {
	for rest := list; len(rest) > 0; {
		a, next, err := abi.Next(rest)
		if err == nil && a.Tag == abi.TagMessage {
			err = x.edit(a)
		}
		if err != nil {
			return err
		}
		rest = next
	}
	for _, a := range last {
		if a.Tag == 0 {
			continue
		}
		if err := x.edit(a); err != nil {
			return err
		}
	}
	return x.readEdited()
}

func denial(a abi.Action) *dialect.Error {
	status, retryAfter, message := a.Deny()
	e := fail(codePolicyDenied, "", string(message))
	if status != 0 {
		e.Status = int(status)
	}
	if len(message) == 0 {
		e.Message = "a policy of this node does not allow the request"
	}
	e.RetryAfter = time.Duration(retryAfter) * time.Second
	return e
}

// applyModel takes the model and the version or arm that a list names.
func (x *exchange) applyModel(list []byte) error {
	for rest := list; len(rest) > 0; {
		a, next, err := abi.Next(rest)
		if err != nil {
			return err
		}
		rest = next
		switch a.Tag {
		case abi.TagModel:
			err = x.takeModel(a.Text())
		case abi.TagVersion:
			err = x.takeVersion(a.Text())
		default:
			continue
		}
		if err != nil {
			return err
		}
		r := x.ruling
		r.changed, r.viewed, r.target, r.fallen, r.shadow, x.why = true, false, 0, r.fallen[:0], nil, "policy"
	}
	return nil
}

// takeModel resolves a model reference as if the caller had sent it.
func (x *exchange) takeModel(ref []byte) error {
	ref = bytes.Clone(ref)
	name, rest := catalog.Split(ref)
	m := x.snap.table.Model(name)
	if m == nil {
		return actionError("the catalog has no such model")
	}
	if !x.who.allows(m.Name) {
		return actionError("the key " + x.who.Name + " may not use model " + m.Name)
	}
	x.model, x.exp = m, nil
	v, e := x.pick(rest)
	if e != nil {
		return actionError("model " + m.Name + " has no such version that the key " + x.who.Name + " may use")
	}
	x.version = x.snap.versions[v.Index]
	return nil
}

// takeVersion takes a version of the model by its number or stage, or an arm by its name.
func (x *exchange) takeVersion(name []byte) error {
	if v, err := x.model.Version(name, true); err == nil {
		x.version, x.exp = x.snap.versions[v.Index], nil
		return nil
	}
	e, arm, ok := x.model.Arm(name)
	if !ok {
		return actionError("model " + x.model.Name + " has no such version or arm")
	}
	x.exp, x.arm = e, arm
	x.version = x.snap.versions[e.Arms[arm].Index]
	return nil
}

// direct takes an action that changes where the request goes and how, not what it says.
func (x *exchange) direct(a abi.Action) error {
	r := x.ruling
	r.changed = true
	switch a.Tag {
	case abi.TagTarget:
		i, err := x.targetNamed(a.Text())
		r.target = i + 1
		return err
	case abi.TagFallbacks:
		r.fallen = r.fallen[:0]
		for name := range bytes.SplitSeq(a.Text(), []byte(",")) {
			i, err := x.targetNamed(bytes.TrimSpace(name))
			if err != nil {
				return err
			}
			r.fallen = append(r.fallen, i)
		}
	case abi.TagShadow:
		i, err := x.targetNamed(a.Text())
		if err != nil {
			return err
		}
		r.shadow = &x.version.targets[i]
	case abi.TagSetHeader, abi.TagDeleteHeader, abi.TagResponseHeader:
		r.headed = true
	case abi.TagCacheSalt:
		r.salt = a.Text()
	case abi.TagCache:
		mode, ttl := a.Cache()
		r.cacheMode, r.ttl = mode, time.Duration(ttl)*time.Second
	case abi.TagTimeout:
		at := x.start.Add(time.Duration(a.Uint()) * time.Millisecond)
		if x.timeout.IsZero() || at.Before(x.timeout) {
			x.timeout = at
		}
	case abi.TagHedge:
		r.hedge = time.Duration(a.Uint()) * time.Millisecond
	case abi.TagAnswer:
		if !x.op.Chats() && !x.op.Counts() {
			return actionError("the operation has no place for an answer in words")
		}
		r.answer, r.answers = a.Text(), true
	}
	return nil
}

func (x *exchange) targetNamed(name []byte) (int, error) {
	for i := range x.version.targets {
		if x.version.targets[i].Name == string(name) {
			return i, nil
		}
	}
	return -1, actionError("version " + x.version.Version.Version.Version + " of model " + x.model.Name + " has no such target")
}

// edit changes the request's body, which readEdited must read before anything else does.
func (x *exchange) edit(a abi.Action) error {
	r, body := x.ruling, x.requestBody()
	if !r.editing { // the first edit of a list
		r.before, r.editing = append(r.before[:0], body...), true
	}
	out, err := x.appendEdited(r.spare[:0], body, a)
	if err != nil {
		return fmt.Errorf("%w: %w", policy.ErrActions, err)
	}
	r.spare = r.body
	r.body, r.edited, r.changed = out, true, true
	return nil
}

// readEdited reads the request's body again after edits.
func (x *exchange) readEdited() error {
	x.parsed, x.known = true, nil
	if err := x.view.Parse(x.ruling.body); err != nil {
		return fmt.Errorf("%w: the edited body is not valid JSON: %w", policy.ErrActions, err)
	}
	doc := readDocument(&x.view, x.ruling.body)
	if doc.stream && !x.doc.stream && !x.streaming {
		return fmt.Errorf("%w: the edited body asks for a stream, and the client does not", policy.ErrActions)
	}
	doc.includeUsage = doc.includeUsage || x.doc.includeUsage // the client asked for it
	x.doc = doc
	x.readPrompt()
	return nil
}

func (x *exchange) appendEdited(dst, body []byte, a abi.Action) ([]byte, error) {
	if x.op == dialect.OpOther {
		return nil, dialect.ErrNoPlace
	}
	switch a.Tag {
	case abi.TagBody:
		return append(dst, a.Text()...), nil
	case abi.TagPatches:
		return appendPatched(dst, body, a.Patches()), nil
	case abi.TagSystem:
		mode, text := a.System()
		return x.s.o.Dialects.For(x.op).AppendSystem(dst, body, x.op, mode == abi.SystemReplace, text)
	case abi.TagMessage:
		i, text := a.Message()
		return x.s.o.Dialects.For(x.op).AppendMessage(dst, body, x.op, int(i), text)
	}
	return x.s.o.Dialects.For(x.op).AppendMaxTokens(dst, body, x.op, int64(a.Uint()))
}

// appendPatched appends the body with patches, which are sorted and lie within it.
func appendPatched(dst, body []byte, patches abi.Patches) []byte {
	at := 0
	for {
		offset, remove, insert, ok := patches.Next()
		if !ok {
			return append(dst, body[at:]...)
		}
		dst = append(append(dst, body[at:offset]...), insert...)
		at = offset + remove
	}
}
