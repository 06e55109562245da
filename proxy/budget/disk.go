package budget

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Where things lie in the store.
const (
	keyPurse  = "budget/purse"
	prefixPot = "budget/pot/" // START/NAME, START in hexadecimal digits
)

func (p *pot) key() []byte { return fmt.Appendf(nil, "%s%016x/%s", prefixPot, p.start, p.budget) }

const layout = 1

func appendTotals(dst []byte, t *totals) []byte {
	dst = append(dst, layout)
	for _, n := range [...]int64{t.granted, t.returned, t.spent, t.unverified, t.grace, t.allowance} {
		dst = binary.AppendVarint(dst, n)
	}
	return dst
}

var errDamaged = errors.New("a record of a budget is damaged, or written by a newer version")

func parsePot(key string, value []byte) (*pot, error) {
	digits, name, found := strings.Cut(key, "/")
	start, err := strconv.ParseInt(digits, 16, 64)
	if err != nil || !found || len(value) == 0 || value[0] != layout {
		return nil, errDamaged
	}
	p := &pot{budget: name, start: start}
	t := &p.written
	value = value[1:]
	for _, n := range [...]*int64{&t.granted, &t.returned, &t.spent, &t.unverified, &t.grace, &t.allowance} {
		v, size := binary.Varint(value)
		if size <= 0 {
			return nil, errDamaged
		}
		*n, value = v, value[size:]
	}
	return p, nil
}

// doubt takes up what a process left that may have died: it may have spent all that it was allowed to.
func (p *pot) doubt() {
	t := &p.written
	t.unverified = max(t.unverified, t.allowance-t.spent)
	t.allowance = t.spent + t.unverified
	p.granted, p.returned, p.unverified, p.grace = t.granted, t.returned, t.unverified, t.grace
	p.spent.Store(t.spent)
	p.used.Store(t.allowance)
	p.dirty.Store(true)
}

// folderMark tells a folder from its copies.
func folderMark(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	path := filepath.Join(dir, "purse")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(path, []byte("What this node may spend belongs to this folder; a copy of it has nothing to spend.\n"), 0o600); err != nil {
			return "", err
		}
	}
	return inode(path)
}

func cutPurse(b []byte) (purse, mark string, ok bool) { return strings.Cut(string(b), " ") }
