package tokens

import "sync"

const (
	// scanned is up to which length looking at every part for the next merge beats keeping the merges in a tree.
	scanned = 96

	// bound is up to which length a piece is merged as a whole. The time of one piece grows with its length times the
	// logarithm of it, and its memory with its length.
	bound = 4096
)

// count returns the tokens of a piece: of those two neighbours that make the lowest ranked token, the leftmost merge,
// until no two do. It starts with single bytes.
func (v *vocabulary) count(piece []byte) int {
	n := 0
	for ; len(piece) > bound; piece = piece[bound:] {
		n += v.countLong(piece[:bound])
	}
	switch {
	case len(piece) == 1 || v.rank(piece) != none:
		return n + 1
	case len(piece) <= scanned:
		return n + v.countShort(piece)
	}
	return n + v.countLong(piece)
}

// countShort takes a piece of 2 to scanned bytes.
func (v *vocabulary) countShort(piece []byte) int {
	var starts [scanned + 1]uint8 // of each part; starts[parts] is the end of the last one
	var ranks [scanned]uint32     // of what each part but the last makes with the next one
	for i := range len(piece) - 1 {
		starts[i] = uint8(i)
		ranks[i] = v.pairs[pair(piece[i], piece[i+1])]
	}
	parts := len(piece)
	starts[parts-1], starts[parts] = uint8(parts-1), uint8(parts)
	for {
		best, at := none, 0
		for i, rank := range ranks[:parts-1] {
			if rank < best {
				best, at = rank, i
			}
		}
		if best == none {
			return parts
		}
		copy(starts[at+1:parts], starts[at+2:parts+1])
		copy(ranks[at:parts-2], ranks[at+1:parts-1])
		parts--
		if at > 0 {
			ranks[at-1] = v.rank(piece[starts[at-1]:starts[at+1]])
		}
		if at+1 < parts {
			ranks[at] = v.rank(piece[starts[at]:starts[at+2]])
		}
	}
}

// merger is the scratch memory of one long piece. Its parts are a list, each named by where it starts.
type merger struct {
	next, previous [bound]uint16 // the neighbours' starts; the last part's next is the piece's length

	// best is a tree of minima, its leaves from the piece's length on: the merge of each part with its next one, as
	// rank*bound + start, or none. So best[1] is the merge to do, the leftmost of equals.
	best [2 * bound]uint32
}

var mergers = sync.Pool{New: func() any { return new(merger) }}

// countLong takes a piece of 2 to bound bytes.
func (v *vocabulary) countLong(piece []byte) int {
	m := mergers.Get().(*merger)
	defer mergers.Put(m)
	m.begin(v, piece)
	parts := len(piece)
	for m.best[1] != none {
		at := m.best[1] % bound
		gone := uint32(m.next[at])
		after := m.next[gone]
		m.next[at] = after
		if int(after) < len(piece) {
			m.previous[after] = uint16(at)
		}
		m.set(len(piece), gone, none)
		m.set(len(piece), at, m.merge(v, piece, at))
		if at > 0 {
			before := uint32(m.previous[at])
			m.set(len(piece), before, m.merge(v, piece, before))
		}
		parts--
	}
	return parts
}

func (m *merger) begin(v *vocabulary, piece []byte) {
	n := len(piece)
	for i := range n {
		m.next[i], m.previous[i], m.best[n+i] = uint16(i+1), uint16(max(i, 1)-1), none
		if i+1 < n {
			m.best[n+i] = ordered(v.pairs[pair(piece[i], piece[i+1])], uint32(i))
		}
	}
	for i := n - 1; i > 0; i-- {
		m.best[i] = min(m.best[2*i], m.best[2*i+1])
	}
}

// merge returns the leaf of the part at now.
func (m *merger) merge(v *vocabulary, piece []byte, at uint32) uint32 {
	middle := m.next[at]
	if int(middle) == len(piece) {
		return none
	}
	return ordered(v.rank(piece[at:m.next[middle]]), at)
}

func ordered(rank, at uint32) uint32 {
	if rank == none {
		return none
	}
	return rank*bound + at
}

// set changes the leaf of the part at, in a piece of n bytes, and what of the minima above it that changes.
func (m *merger) set(n int, at, leaf uint32) {
	i := n + int(at)
	m.best[i] = leaf
	for i > 1 {
		i /= 2
		least := min(m.best[2*i], m.best[2*i+1])
		if m.best[i] == least {
			return
		}
		m.best[i] = least
	}
}
