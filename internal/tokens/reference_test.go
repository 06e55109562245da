package tokens

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

// The pattern as published, but for its last two alternatives: the look-ahead that regexp lacks is done by hand.
var (
	alternatives = regexp.MustCompile(`^(?:` + strings.Join([]string{
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
		`\p{N}{1,3}`,
		` ?[^\t-\r\x{85}\p{Z}\p{L}\p{N}]+[\r\n/]*`,
		`[\t-\r\x{85}\p{Z}]*[\r\n]+`,
	}, `|`) + `)`)
	blanks = regexp.MustCompile(`^[\t-\r\x{85}\p{Z}]+`)
)

// referencePiece returns the length of the first piece of text.
func referencePiece(text []byte) int {
	if found := alternatives.FindIndex(text); found != nil {
		return found[1]
	}
	run := blanks.FindIndex(text)[1]
	_, last := utf8.DecodeLastRune(text[:run])
	if run == len(text) || run == last {
		return run
	}
	return run - last
}

// referenceMerge joins the two neighbours of the lowest rank until there are none.
func referenceMerge(ranks map[string]int, piece []byte) int {
	var parts []string
	for _, b := range piece {
		parts = append(parts, string([]byte{b}))
	}
	for {
		best, at := len(ranks), -1
		for i := range len(parts) - 1 {
			if rank, ok := ranks[parts[i]+parts[i+1]]; ok && rank < best {
				best, at = rank, i
			}
		}
		if at < 0 {
			return len(parts)
		}
		parts[at] += parts[at+1]
		parts = slices.Delete(parts, at+1, at+2)
	}
}

// referenceCount is Count written for being right: the pattern by regexp, the ranks in a map, no short cut.
func referenceCount(ranks map[string]int, text []byte) int {
	n := 0
	for len(text) > 0 {
		piece := text[:referencePiece(text)]
		text = text[len(piece):]
		for ; len(piece) > bound; piece = piece[bound:] {
			n += referenceMerge(ranks, piece[:bound])
		}
		n += referenceMerge(ranks, piece)
	}
	return n
}

func referenceRanks() map[string]int {
	v := shared()
	ranks := make(map[string]int, size)
	for rank := range size {
		ranks[string(v.token(uint32(rank)))] = rank
	}
	return ranks
}

func TestReferenceAsTiktoken(t *testing.T) {
	ranks := referenceRanks()
	for _, g := range golden(t) {
		if len(g.Text) < 300 {
			assert.Equal(t, g.Tokens, referenceCount(ranks, []byte(g.Text)), "%s: %q", g.Name, g.Text)
		}
	}
}

// TestCountAsReference joins bits of real text and bytes at random, which bounds of all kinds come from.
func TestCountAsReference(t *testing.T) {
	ranks, texts := referenceRanks(), golden(t)
	random := rand.New(rand.NewPCG(1, 2))
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	for range rounds {
		var text []byte
		for len(text) < 300 {
			from := texts[random.IntN(len(texts))].Text
			if random.IntN(8) == 0 || from == "" {
				text = append(text, byte(random.Uint32()))
				continue
			}
			start := random.IntN(len(from))
			text = append(text, from[start:min(len(from), start+1+random.IntN(60))]...)
		}
		if want := referenceCount(ranks, text); want != Count(text) {
			assert.Equal(t, want, Count(text), "%q", text)
		}
	}
}

// TestLongPieces takes both ways to merge, and has a piece that is cut unless time is short.
func TestLongPieces(t *testing.T) {
	ranks := referenceRanks()
	random := rand.New(rand.NewPCG(3, 4))
	lengths := []int{scanned, scanned + 1, 700}
	if !testing.Short() {
		lengths = append(lengths, bound+1)
	}
	for _, n := range lengths {
		text := bytes.Repeat([]byte("a"), n)
		for i := range text {
			text[i] += byte(random.IntN(26))
		}
		assert.Equal(t, referenceCount(ranks, text), Count(text), "%d letters", n)
	}
}

func FuzzCount(f *testing.F) {
	ranks := referenceRanks()
	for _, g := range golden(f) {
		if len(g.Text) < 200 {
			f.Add([]byte(g.Text))
		}
	}
	f.Add([]byte("\xff\xc3 a\xed\xa0\x80\xf0\x9f"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 2000 {
			return
		}
		want := referenceCount(ranks, text)
		assert.Equal(t, want, Count(text))
		assert.Equal(t, min(want, 5), CountUpTo(text, 5))
	})
}
