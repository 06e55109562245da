package policy

import (
	"errors"
	"fmt"

	"github.com/wedge-proxy/wedge/policy/abi"
)

// Kind is a moment of a request at which a program is called.
type Kind uint8

// The calls of Program.
const (
	OnRequest Kind = iota
	OnResponse
	OnChunk
	OnDone
)

// Call is what Check has to know of the call that a list of actions came from.
type Call struct {
	Kind     Kind
	Hooks    Hook // that the policy is bound to, the other calls' too
	BodyLen  int  // bytes of what the policy may edit: the request's body, or the text of a response or chunk
	Messages int  // of the request; TagMessage must name one of them
}

// Stats says what became of a list.
type Stats struct {
	Ignored int // actions left out: unknown ones, those of no bound hook, and metric tags beyond their limits
	Hosted  int // actions of the checked list that the program's host carries out itself: see abi.Tag.Hosted
}

// hooksOf names the hooks that each kind of call serves.
var hooksOf = [...]Hook{OnRequest: Route | Prompt, OnResponse: Response, OnChunk: Chunk, OnDone: Done}

// Check appends to dst the actions of raw that the call may take, after it has found the whole list to be right. raw
// is what the guest returned and may hold anything: the binary list, or one JSON object if its first byte is '{'; it
// is not kept. It may be the end of dst, which abi.AppendFromJSON or an earlier Check wrote, never another part of it.
//
// An action that the call may not take is left out and counted, and refuses the list if it is critical. The returned
// list still holds the hosted actions, which WithoutHosted takes out; abi.Next walks it without errors and every
// accessor of abi.Action is safe. Any error wraps ErrActions, names the action and what is wrong with it, and leaves dst
// as it came. Check allocates only to grow dst and for errors.
func Check(dst, raw []byte, c Call) ([]byte, Stats, error) {
	if len(raw) == 0 {
		return dst, Stats{}, nil
	}
	if len(raw) > abi.MaxList+c.BodyLen {
		return dst, Stats{}, fmt.Errorf("%w: the list has %d bytes, want at most %d", ErrActions, len(raw),
			abi.MaxList+c.BodyLen)
	}
	if raw[0] != '{' {
		return filter(dst, raw, &c)
	}
	list, err := abi.AppendFromJSON(dst, raw)
	if err != nil {
		return dst, Stats{}, fmt.Errorf("%w: %w", ErrActions, err)
	}
	return filter(list[:len(dst)], list[len(dst):], &c)
}

// filter appends what passes in as few pieces as it can. list may lie right behind dst: what passes never moves up.
func filter(dst, list []byte, c *Call) ([]byte, Stats, error) {
	k := checker{Call: c, hooks: c.Hooks & hooksOf[c.Kind]}
	start := len(dst)
	piece, rest := list, list // piece: what passed and has not been appended yet, and all behind it
	for i := 0; len(rest) > 0; i++ {
		if i == abi.MaxActions {
			return dst[:start], Stats{}, fmt.Errorf("%w: more than %d actions", ErrActions, abi.MaxActions)
		}
		a, next, err := abi.Next(rest)
		if err != nil {
			return dst[:start], Stats{}, fmt.Errorf("%w: action %d: %w", ErrActions, i, err)
		}
		pass, err := k.action(a)
		if err != nil {
			return dst[:start], Stats{}, fmt.Errorf("%w: action %d (%v): %w", ErrActions, i, a.Tag, err)
		}
		if !pass {
			dst = append(dst, piece[:len(piece)-len(rest)]...)
			piece = next
		}
		rest = next
	}
	return append(dst, piece...), k.stats, nil
}

// checker is what one walk over a list keeps in mind.
type checker struct {
	*Call
	hooks  Hook // that the call serves
	stats  Stats
	tags   int
	heads  int
	edited abi.Tag // TagPatches or TagBody, once seen
}

var (
	errUnknown = errors.New("it is critical, and this node does not know it")
	errUnbound = errors.New("it is critical, and the policy is bound to no hook that may do it in this call")
	errTags    = fmt.Errorf("it is critical, and beyond the limits of %d tags of %d bytes", abi.MaxTags, abi.MaxTagText)
	errHeaders = fmt.Errorf("a list may act on %d headers", abi.MaxHeaders)
	errTwice   = errors.New("the body may be patched once or replaced, not both")
)

// action tells whether the action passes, or an error if it refuses the whole list.
func (k *checker) action(a abi.Action) (bool, error) {
	if int(a.Tag) >= len(may) || may[a.Tag] == 0 {
		return k.ignore(a, errUnknown)
	}
	if may[a.Tag]&k.hooks == 0 {
		return k.ignore(a, errUnbound)
	}
	if err := payload(a, k.Call); err != nil {
		return false, err
	}
	switch a.Tag {
	case abi.TagMetric:
		name, value := a.Pair()
		if k.tags == abi.MaxTags || len(name) > abi.MaxTagText || len(value) > abi.MaxTagText {
			return k.ignore(a, errTags)
		}
		k.tags++
	case abi.TagSetHeader, abi.TagDeleteHeader, abi.TagResponseHeader:
		if k.heads++; k.heads > abi.MaxHeaders {
			return false, errHeaders
		}
	case abi.TagPatches, abi.TagBody:
		if k.edited != 0 {
			return false, errTwice
		}
		k.edited = a.Tag
	case abi.TagLog, abi.TagKVPut, abi.TagKVAdd:
		k.stats.Hosted++
	}
	return true, nil
}

func (k *checker) ignore(a abi.Action, why error) (bool, error) {
	if a.Critical {
		return false, why
	}
	k.stats.Ignored++
	return false, nil
}

// WithoutHosted takes the hosted actions out of a checked list, in place, and returns what is left.
func WithoutHosted(list []byte) []byte {
	kept := list[:0]
	for rest := list; len(rest) > 0; {
		a, next, err := abi.Next(rest)
		if err != nil {
			return kept
		}
		if !a.Tag.Hosted() {
			kept = append(kept, rest[:len(rest)-len(next)]...)
		}
		rest = next
	}
	return kept
}
