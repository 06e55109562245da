package dialect

import (
	"bytes"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
)

// Texts joins the pieces of a text by line feeds. One piece without escapes stays where it is.
type Texts struct {
	Scratch []byte // where the others lie

	start  int // of this text
	pieces int
	one    []byte
}

// Add adds a piece, given as written.
func (t *Texts) Add(piece []byte) {
	if t.pieces++; t.pieces == 1 && bytes.IndexByte(piece, '\\') < 0 {
		t.one = piece
		return
	}
	if t.pieces > 1 {
		t.Scratch = append(append(t.Scratch, t.one...), '\n')
		t.one = nil
	}
	t.Scratch = jsonscan.AppendDecoded(t.Scratch, piece)
}

// End returns the text, nil without a piece, and begins the next one.
func (t *Texts) End() []byte {
	text := t.one
	if text == nil && t.pieces > 0 {
		text = t.Scratch[t.start:len(t.Scratch):len(t.Scratch)]
	}
	t.start, t.pieces, t.one = len(t.Scratch), 0, nil
	return text
}
