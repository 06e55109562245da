package policy

import (
	"fmt"
	"strings"
)

// hookNames are the catalog's, in the order of the bits.
var hookNames = [...]string{"route", "prompt", "response", "chunk", "done"}

// ParseHook reads the name of one hook.
func ParseHook(name string) (Hook, error) {
	for i, n := range hookNames {
		if n == name {
			return 1 << i, nil
		}
	}
	return 0, fmt.Errorf("unknown hook %q, want one of %s", name, strings.Join(hookNames[:], ", "))
}

// ParseHooks reads the names of several hooks into one set.
func ParseHooks(names []string) (Hook, error) {
	var set Hook
	for _, name := range names {
		h, err := ParseHook(name)
		if err != nil {
			return 0, err
		}
		set |= h
	}
	return set, nil
}

// String names the hooks of the set, separated by commas.
func (h Hook) String() string {
	var b strings.Builder
	for i, name := range hookNames {
		if h&(1<<i) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name)
	}
	return b.String()
}
