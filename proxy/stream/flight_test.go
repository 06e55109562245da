package stream

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// script is a source that brings what the test sends it.
type script struct {
	parts   chan []byte
	abort   chan struct{}
	once    sync.Once
	end     error
	pulls   atomic.Int32
	closed  atomic.Int32
	n       int
	marks   [3]int // tail, tailEnd, terminal
	working atomic.Int32
}

var errAborted = errors.New("aborted")

func newScript(parts ...string) *script {
	s := &script{parts: make(chan []byte, 1000), abort: make(chan struct{}), end: io.EOF, marks: [3]int{-1, -1, -1}}
	for _, p := range parts {
		s.parts <- []byte(p)
	}
	return s
}

func (s *script) Pull(dst []byte) ([]byte, error) {
	if s.working.Add(1) != 1 {
		panic("two pulls at a time")
	}
	defer s.working.Add(-1)
	s.pulls.Add(1)
	select {
	case p, ok := <-s.parts:
		if !ok {
			return dst, s.end
		}
		s.n += len(p)
		return append(dst, p...), nil
	case <-s.abort:
		return dst, errAborted
	}
}

func (s *script) Marks() (tail, tailEnd, terminal int) { return s.marks[0], s.marks[1], s.marks[2] }
func (s *script) Abort()                               { s.once.Do(func() { close(s.abort) }) }
func (s *script) Close()                               { s.closed.Add(1) }

// readAll reads to the end and tells where the terminal event began, -1 if it was not announced.
func readAll(f *Flight, r *Reader) (text string, terminal int, err error) {
	terminal = -1
	for {
		part, atTerminal, err := f.Next(r)
		if err != nil {
			return text, terminal, err
		}
		if atTerminal {
			terminal = len(text)
		}
		text += string(part)
	}
}

func TestFlightPrivate(t *testing.T) {
	s := newScript("a", "bc", "d")
	close(s.parts)
	var f Flight
	var r Reader
	f.Reset(s, &r, false)
	f.Open(append(GetBuffer(), "first "...), nil)
	assert.True(t, f.Ready(&r))
	text, _, err := readAll(&f, &r)
	assert.Equal(t, io.EOF, err)
	assert.Equal(t, "first abcd", text)
	assert.EqualValues(t, 1, s.closed.Load(), "the source is closed at the end, before the reader leaves")
	f.Leave(&r)
	assert.EqualValues(t, 1, s.closed.Load())
}

func TestFlightTailAndTerminal(t *testing.T) {
	for _, wants := range []bool{false, true} {
		s := newScript()
		s.marks = [3]int{4, 8, 8}
		var f Flight
		r := Reader{Tail: wants}
		f.Reset(s, &r, true)
		f.Open([]byte("textTAILDONE"), io.EOF)
		text, terminal, err := readAll(&f, &r)
		assert.Equal(t, io.EOF, err)
		if wants {
			assert.Equal(t, "textTAILDONE", text)
			assert.Equal(t, 8, terminal)
		} else {
			assert.Equal(t, "textDONE", text)
			assert.Equal(t, 4, terminal)
		}
		f.Leave(&r)
	}
}

// A reader that stands before a tail that it does not want must not be told that there is something for it.
func TestFlightReadyIsTrueToNext(t *testing.T) {
	s := newScript()
	s.marks = [3]int{4, 8, -1}
	var f Flight
	var r Reader
	f.Reset(s, &r, true)
	f.Open([]byte("textTAIL"), nil)
	part, _, err := f.Next(&r)
	require.NoError(t, err)
	assert.Equal(t, "text", string(part))
	assert.False(t, f.Ready(&r))
	s.marks[2] = 8
	s.parts <- []byte("DONE")
	part, atTerminal, err := f.Next(&r)
	require.NoError(t, err)
	assert.Equal(t, "DONE", string(part))
	assert.True(t, atTerminal)
	f.Leave(&r)
}

func TestFlightLateJoinerReplaysThenFollows(t *testing.T) {
	s := newScript()
	var f Flight
	var leader, late Reader
	f.Reset(s, &leader, true)
	f.Open([]byte("begun "), nil)
	part, _, err := f.Next(&leader)
	require.NoError(t, err)
	require.Equal(t, "begun ", string(part))
	require.True(t, f.Join(&late))
	_, err = f.Await(&late)
	require.NoError(t, err)
	got := make(chan string, 2)
	for _, r := range []*Reader{&leader, &late} {
		go func() {
			text, _, _ := readAll(&f, r)
			got <- text
			f.Leave(r)
		}()
	}
	s.parts <- []byte("and ended")
	close(s.parts)
	assert.ElementsMatch(t, []string{"and ended", "begun and ended"}, []string{<-got, <-got})
	assert.EqualValues(t, 1, s.closed.Load())
}

func TestFlightLivesOnWithoutItsLeader(t *testing.T) {
	s := newScript()
	var f Flight
	var leader, other Reader
	f.Reset(s, &leader, true)
	require.True(t, f.Join(&other))
	f.Open([]byte("x"), nil)
	f.Gone(&leader)
	_, _, err := f.Next(&leader)
	require.ErrorIs(t, err, ErrGone)
	f.Leave(&leader)
	s.parts <- []byte("y")
	close(s.parts)
	text, _, err := readAll(&f, &other)
	assert.Equal(t, io.EOF, err)
	assert.Equal(t, "xy", text)
	f.Leave(&other)
}

func TestFlightEndsWhenNobodyWantsIt(t *testing.T) {
	s := newScript()
	var f Flight
	var a, b Reader
	f.Reset(s, &a, true)
	require.True(t, f.Join(&b))
	f.Open([]byte("x"), nil)
	_, _, err := f.Next(&a)
	require.NoError(t, err)
	ended := make(chan error)
	go func() { // pulls, silently, for both
		_, _, err := f.Next(&a)
		ended <- err
	}()
	f.Gone(&b)
	f.Gone(&a)
	require.ErrorIs(t, <-ended, ErrGone)
	assert.False(t, f.Join(new(Reader)), "nobody joins a flight that is going down")
	f.Leave(&a)
	f.Leave(&b)
	assert.EqualValues(t, 1, s.closed.Load())
}

func TestFlightWholeResult(t *testing.T) {
	var f Flight
	var leader, other, after Reader
	f.Reset(newScript(), &leader, true)
	require.True(t, f.Join(&other))
	got := make(chan any)
	go func() {
		result, _ := f.Await(&other)
		got <- result
	}()
	f.Finish("answer", nil)
	assert.Equal(t, "answer", <-got)
	require.True(t, f.Join(&after))
	result, err := f.Await(&after)
	require.NoError(t, err)
	assert.Equal(t, "answer", result)
}

func TestFlightFailureIsShared(t *testing.T) {
	var f Flight
	var leader, other Reader
	f.Reset(newScript(), &leader, true)
	require.True(t, f.Join(&other))
	f.Finish(nil, ErrHandover)
	_, err := f.Await(&other)
	require.ErrorIs(t, err, ErrHandover)
	assert.False(t, f.Join(new(Reader)))
}

func TestFlightExpire(t *testing.T) {
	s := newScript()
	var f Flight
	var leader, other Reader
	f.Reset(s, &leader, true)
	require.True(t, f.Join(&other))
	f.Expire(&other)
	_, err := f.Await(&other)
	require.ErrorIs(t, err, ErrGone)
	assert.True(t, f.Late(&other))
	assert.False(t, aborted(s), "the leader goes on")
	f.Expire(&leader)
	assert.True(t, aborted(s), "a leader without an answer cannot go on in time")
}

func aborted(s *script) bool {
	select {
	case <-s.abort:
		return true
	default:
		return false
	}
}

// A flight over its bound lets go what everybody has read, and nobody joins any more.
func TestFlightBounded(t *testing.T) {
	s := newScript()
	var f Flight
	var r Reader
	f.Reset(s, &r, true)
	f.Open(make([]byte, sharedMost+1), nil)
	_, _, err := f.Next(&r)
	require.NoError(t, err)
	s.parts <- []byte("more")
	part, _, err := f.Next(&r)
	require.NoError(t, err)
	assert.Equal(t, "more", string(part))
	assert.Less(t, len(f.buf), 100)
	assert.False(t, f.Join(new(Reader)))
	f.Leave(&r)
}

// Readers come, read at their own pace and leave at random; whoever stays has every byte, once and in order.
func TestFlightHammer(t *testing.T) {
	for round := range 50 {
		s := newScript()
		var f Flight
		leader := new(Reader)
		f.Reset(s, leader, true)
		want := ""
		for i := range 200 {
			p := string(rune('a' + i%26))
			want += p
			s.parts <- []byte(p)
		}
		close(s.parts)
		f.Open(nil, nil)
		var wg sync.WaitGroup
		read := func(r *Reader, quits bool) {
			defer wg.Done()
			defer f.Leave(r)
			if _, err := f.Await(r); err != nil {
				t.Error(err)
			}
			text := ""
			for {
				part, _, err := f.Next(r)
				if err != nil {
					if err != io.EOF && !quits {
						t.Errorf("round %d: %v", round, err)
					}
					break
				}
				text += string(part)
				if quits && rand.IntN(50) == 0 {
					f.Gone(r)
				}
			}
			if !quits && text != want {
				t.Errorf("round %d: %q", round, text)
			}
		}
		wg.Add(1)
		go read(leader, round%2 == 0)
		stays := new(Reader)
		if f.Join(stays) {
			wg.Add(1)
			go read(stays, false)
		}
		for i := range 6 {
			r := new(Reader)
			if f.Join(r) {
				wg.Add(1)
				go read(r, i%2 == 0)
			}
		}
		wg.Wait()
		assert.EqualValues(t, 1, s.closed.Load())
	}
}
