package dialect

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

type editorFunc func(t *Text) (Edit, error)

func (f editorFunc) EditText(t *Text) (Edit, error) { return f(t) }

func TestAsker(t *testing.T) {
	var a Asker
	var saw Text
	say := func(e Edit, err error) editorFunc {
		return func(t *Text) (Edit, error) {
			saw = *t
			return e, err
		}
	}
	e := a.Ask(say(Edit{Replace: true, Text: []byte("a\nb")}, nil), Text{Choice: 3, Bytes: []byte(`a\nb`), Last: true})
	assert.Equal(t, Text{Choice: 3, Bytes: []byte("a\nb"), Last: true}, saw)
	assert.False(t, e.Replace, "the text is the same")
	assert.False(t, a.Stopped)

	e = a.Ask(say(Edit{Replace: true, Stop: true}, nil), Text{Bytes: []byte("x")})
	assert.True(t, e.Replace && a.Stopped)
	assert.Equal(t, "stop", string(a.Reason))
	a.Ask(say(Edit{Stop: true, Reason: []byte("length")}, nil), Text{})
	assert.Equal(t, "length", string(a.Reason))

	failed := errors.New("no")
	assert.Equal(t, Edit{}, a.Ask(say(Edit{Replace: true}, failed), Text{Bytes: []byte("x")}))
	assert.Equal(t, failed, a.Err)
	a.Reset()
	assert.NoError(t, a.Err)
	assert.False(t, a.Stopped)
}

func TestTexts(t *testing.T) {
	plain, last := []byte("plain"), []byte("last")
	var x Texts
	x.Add(plain)
	one := x.End()
	assert.Same(t, &plain[0], &one[0], "it stays where it is")
	x.Add(plain)
	x.Add([]byte(`\u00e9`))
	x.Add([]byte(""))
	two := x.End()
	x.Add([]byte(`\n`))
	x.Add(last)
	assert.Equal(t, "\n\nlast", string(x.End()))
	assert.Equal(t, "plain\né\n", string(two), "an earlier text keeps its place")
	assert.Nil(t, x.End())
}
