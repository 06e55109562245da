package stream

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pair is one event as a reader of the stream understands it.
type pair struct {
	Name, Data       string
	HasName, HasData bool
}

// reference reads a whole stream line by line, as the specification words it, and drops what has no fields.
func reference(in string) (out []pair) {
	in = strings.TrimPrefix(in, string(bom))
	in = strings.ReplaceAll(in, "\r\n", "\n")
	in = strings.ReplaceAll(in, "\r", "\n")
	lines := strings.Split(in, "\n")
	var p pair
	for i, line := range lines[:len(lines)-1] {
		// The reader tolerates a byte order mark before every event, not only before the first.
		if i > 0 && lines[i-1] == "" {
			line = strings.TrimPrefix(line, string(bom))
		}
		if line == "" {
			if p.HasName || p.HasData {
				out = append(out, p)
			}
			p = pair{}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "event":
			p.Name, p.HasName = value, true
		case name == "data" && p.HasData:
			p.Data += "\n" + value
		case name == "data":
			p.Data, p.HasData = value, true
		}
	}
	return out
}

// read feeds in to a Scanner in pieces of the given sizes (over and over; none means all at once).
func read(t testing.TB, in string, sizes []byte) (out []pair) {
	t.Helper()
	var s Scanner
	var buf, scratch []byte
	for rest := in; rest != ""; {
		n := len(rest)
		if len(sizes) > 0 {
			n = min(n, int(sizes[0])%7+1)
			sizes = append(sizes[1:len(sizes):len(sizes)], sizes[0])
		}
		buf, rest = append(buf, rest[:n]...), rest[n:]
		for {
			n, err := s.Next(buf)
			require.NoError(t, err)
			if n == 0 {
				break
			}
			var name, data []byte
			name, data, scratch = Fields(buf[:n], scratch)
			if name != nil || data != nil {
				out = append(out, pair{string(name), string(data), name != nil, data != nil})
			}
			buf = buf[n:]
		}
	}
	return out
}

func FuzzNext(f *testing.F) {
	for _, in := range []string{
		"data: a\n\ndata: b\r\n\r\ndata:c\r\rdata: d\r\n\ndata: e\n\r\n", "event: x\ndata: 1\ndata:2\n\n: hi\n\n",
		"\ufeffdata: a\n\n", "\ufeff\n\n", "data\n\ndatas: x\n\nevent\n\n", "\n\r\n\r\r\n", "data: a\r", "data: a\r\n\r", "id: 1\nretry: 2\n\n",
	} {
		f.Add(in, []byte{})
		f.Add(in, []byte{0, 3, 1})
	}
	f.Fuzz(func(t *testing.T, in string, sizes []byte) {
		want := reference(in)
		assert.Equal(t, want, read(t, in, nil), "in one piece")
		if len(sizes) > 0 {
			assert.Equal(t, want, read(t, in, sizes), "in pieces")
		}
	})
}

func TestNextLength(t *testing.T) {
	for in, want := range map[string]int{
		"": 0, "data: a": 0, "data: a\n": 0, "data: a\r": 0, "data: a\r\n": 0, "\xef\xbb": 0,
		"data: a\n\n": 9, "data: a\r\n\r\nx": 11, "data: a\r\rx": 9, "data: a\n\rx": 9, "data: a\r\n\r": 10,
		"\n": 1, "\r\n": 2, "\r": 1, "\ufeff\ndata: x\n\n": 4, ": a\n: b\n\n": 9,
	} {
		assert.Equal(t, want, Next([]byte(in)), "%q", in)
	}
}

func TestScannerLimit(t *testing.T) {
	s := Scanner{Limit: 16}
	n, err := s.Next([]byte("data: 12345678\n\n"))
	require.NoError(t, err)
	assert.Equal(t, 16, n)
	_, err = s.Next([]byte("data: 123456789\n\n"))
	require.ErrorIs(t, err, ErrEventTooLarge, "a complete event beyond the limit")
	s = Scanner{Limit: 16}
	_, err = s.Next([]byte("data: 12345678901"))
	require.ErrorIs(t, err, ErrEventTooLarge, "an unfinished event beyond the limit")
	s = Scanner{}
	_, err = s.Next(make([]byte, MaxEvent+1))
	require.ErrorIs(t, err, ErrEventTooLarge, "the default limit")
}

// A long event in small reads must not be searched again from its start.
func TestScannerSearchesOnce(t *testing.T) {
	var s Scanner
	in := []byte("data: " + strings.Repeat("x", 64<<10))
	for n := 64; n <= len(in); n += 64 {
		got, err := s.Next(in[:n])
		require.NoError(t, err)
		require.Zero(t, got)
		require.Equal(t, n, s.from)
	}
}

func TestFieldsBorrows(t *testing.T) {
	event := []byte("event: e\ndata: one\n\n")
	name, data, scratch := Fields(event, nil)
	assert.Empty(t, scratch)
	assert.Same(t, &event[7], &name[0])
	assert.Same(t, &event[15], &data[0])
	_, data, scratch = Fields([]byte("data: a\ndata:\ndata: b\n\n"), make([]byte, 0, 64))
	assert.Equal(t, "a\n\nb", string(data))
	assert.Same(t, &scratch[0], &data[0])
	name, data, _ = Fields([]byte(": note\nid: 7\nretry: 9\n\n"), nil)
	assert.Nil(t, name)
	assert.Nil(t, data)
	name, data, _ = Fields([]byte("event\ndata\n\n"), nil)
	assert.NotNil(t, name)
	assert.NotNil(t, data)
}

func TestFieldsJoinsDataLines(t *testing.T) {
	name, data, _ := Fields([]byte("event: e\ndata: a\ndata: b\ndata: \n\n"), nil)
	assert.Equal(t, "e", string(name))
	assert.Equal(t, "a\nb\n", string(data))
}

// burst is 64 chat events of about 200 bytes, as one read of a fast provider brings them.
func burst() []byte {
	var b bytes.Buffer
	for i := range 64 {
		fmt.Fprintf(&b, `data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"content":" word%02d"},"logprobs":null,"finish_reason":null}]}`+"\n\n", i)
	}
	return b.Bytes()
}

func BenchmarkScanBurst(b *testing.B) {
	in := burst()
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var s Scanner
		for rest := in; len(rest) > 0; {
			n, err := s.Next(rest)
			if err != nil || n == 0 {
				b.Fatal(n, err)
			}
			if _, data, _ := Fields(rest[:n], nil); data == nil {
				b.Fatal("no data")
			}
			rest = rest[n:]
		}
	}
}
