package dialect

import (
	"bytes"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
)

// Asker shows an Editor the texts of one answer, and keeps what it said. It is what Rewriters are made of. The zero value
// is ready.
type Asker struct {
	Err     error  // the editor's; nothing may be asked after it
	Stopped bool   // the answer ends well
	Reason  []byte // with Stopped: why; never empty

	text    Text
	decoded []byte
}

// Reset makes a ready for another answer. It keeps buffers of ordinary size.
func (a *Asker) Reset() {
	*a = Asker{Reason: reuseBytes(a.Reason), decoded: reuseBytes(a.decoded)}
}

// Pass is an Editor that changes nothing: with it a Rewriter only takes note of what an answer is.
type Pass struct{}

// EditText implements Editor.
func (Pass) EditText(*Text) (Edit, error) { return Edit{}, nil }

// Ask shows a text whose Bytes are as written. Of the edit that it returns, Replace is set only where the text changes.
func (a *Asker) Ask(editor Editor, t Text) Edit {
	if bytes.IndexByte(t.Bytes, '\\') >= 0 {
		a.decoded = jsonscan.AppendDecoded(a.decoded[:0], t.Bytes)
		t.Bytes = a.decoded
	}
	a.text = t
	e, err := editor.EditText(&a.text)
	if err != nil {
		a.Err = err
		return Edit{}
	}
	e.Replace = e.Replace && string(e.Text) != string(t.Bytes)
	if e.Stop {
		a.Stopped = true
		a.Reason = append(a.Reason[:0], e.Reason...)
		if len(e.Reason) == 0 {
			a.Reason = append(a.Reason, "stop"...)
		}
	}
	return e
}
