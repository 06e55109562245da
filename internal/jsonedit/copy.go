// Package jsonedit changes a few values of a JSON document, or of the server-sent event that holds one, and leaves every
// other byte as it was. It knows no member by its name.
package jsonedit

import "github.com/wedge-proxy/wedge/internal/jsonscan"

// Extent is where a value lies in its document: at doc[At:End]. The zero extent is nowhere.
type Extent struct{ At, End int }

// Of is what lies there.
func (e Extent) Of(doc []byte) []byte { return doc[e.At:e.End] }

// Inside is what stands between the quotes of the string that lies there, nil for every other value.
func (e Extent) Inside(doc []byte) []byte {
	if e.End-e.At < 2 || doc[e.At] != '"' {
		return nil
	}
	return doc[e.At+1 : e.End-1]
}

// IsSet says that there is a value, and that it is not null.
func (e Extent) IsSet(doc []byte) bool { return e.End > e.At && doc[e.At] != 'n' }

// Value passes a value and returns where it is.
func Value(c *jsonscan.Cursor) Extent {
	c.Peek()
	at := c.I
	c.Skip()
	return Extent{at, c.I}
}

// Copy appends a document with changes, which are made in the order of the document, to Dst.
type Copy struct {
	Dst, Doc []byte
	done     int // what lies before it is copied or left out
}

// Leave copies up to e and leaves e out: what is appended to Dst next stands in its place.
func (c *Copy) Leave(e Extent) {
	c.Dst = append(c.Dst, c.Doc[c.done:e.At]...)
	c.done = e.End
}

// Insert copies up to at: what is appended to Dst next stands there.
func (c *Copy) Insert(at int) { c.Leave(Extent{at, at}) }

// Rest copies what is left and returns Dst.
func (c *Copy) Rest() []byte {
	c.Insert(len(c.Doc))
	return c.Dst
}

// SetString puts text in the place of the string at e, or before what it says, on a line of its own.
func (c *Copy) SetString(e Extent, before bool, text []byte) {
	if !before {
		c.Leave(e)
		c.Dst = jsonscan.AppendString(c.Dst, text)
		return
	}
	c.Insert(e.At + 1)
	if c.Dst = jsonscan.AppendText(c.Dst, text); e.End-e.At > 2 {
		c.Dst = append(c.Dst, `\n`...)
	}
}

// AddMember adds a member to an object, up to its value, behind last: where the value of the last member ends, or 0 in
// an object without members, which begins at object.
func (c *Copy) AddMember(object, last int, name string) {
	if last == 0 {
		c.Insert(object + 1)
	} else {
		c.Insert(last)
		c.Dst = append(c.Dst, ',')
	}
	c.Dst = append(append(append(c.Dst, '"'), name...), `":`...)
}
