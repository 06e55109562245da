package abi_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
)

// TestReadVectors reads each vector and wants its fields, and then the same bytes again.
func TestReadVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/views.json")
	require.NoError(t, err)
	var vectors []viewVector
	require.NoError(t, json.Unmarshal(b, &vectors))
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		view, err := hex.DecodeString(v.View)
		require.NoError(t, err)
		fields, again := reread(t, v.Kind, view, abi.Caps(v.Caps))
		assert.JSONEq(t, string(v.Fields), string(fields), v.Name)
		assert.Equal(t, v.View, hex.EncodeToString(again), v.Name)
	}
}

func reread(t *testing.T, kind string, view []byte, caps abi.Caps) (fields, again []byte) {
	switch kind {
	case "request":
		r, err := abi.ReadRequest(view)
		require.NoError(t, err)
		again = make([]byte, r.Size(caps))
		return r.AppendJSON(nil, caps), again[:r.Put(again, caps)]
	case "chunk":
		c, err := abi.ReadChunk(view)
		require.NoError(t, err)
		again = make([]byte, c.Size())
		return c.AppendJSON(nil), again[:c.Put(again)]
	case "response":
		r, err := abi.ReadResponse(view)
		require.NoError(t, err)
		again = make([]byte, r.Size())
		return r.AppendJSON(nil), again[:r.Put(again)]
	}
	d, err := abi.ReadDone(view)
	require.NoError(t, err)
	again = make([]byte, d.Size())
	return d.AppendJSON(nil), again[:d.Put(again)]
}

func TestPutFillsSizeAndNoMore(t *testing.T) {
	for _, c := range requestCases() {
		dst := make([]byte, c.view.Size(c.caps))
		assert.Equal(t, len(dst), c.view.Put(dst, c.caps), c.name)
		assert.Panics(t, func() { c.view.Put(dst[:len(dst)-1], c.caps) }, c.name)
	}
}

func TestReadRequestRoundTrip(t *testing.T) {
	want := fullRequest()
	view := make([]byte, want.Size(every))
	want.Put(view, every)
	got, err := abi.ReadRequest(view)
	require.NoError(t, err)
	assert.Equal(t, want, got)

	got, err = abi.ReadRequest(append(view, "what lies behind the view"...))
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// TestReadRequestOfAGrownHeader reads what a later minor version writes: a longer header.
func TestReadRequestOfAGrownHeader(t *testing.T) {
	r := sample()
	r.Temperature = 1
	view := make([]byte, r.Size(0))
	r.Put(view, 0)
	grown := append(append(append([]byte{}, view[:160]...), make([]byte, 16)...), view[160:]...)
	le := binary.LittleEndian
	le.PutUint32(grown[4:], uint32(len(grown)))
	le.PutUint32(grown[8:], 176)
	for at := 72; at < 160; at += 8 {
		if le.Uint32(grown[at+4:]) > 0 {
			le.PutUint32(grown[at:], le.Uint32(grown[at:])+16)
		}
	}
	got, err := abi.ReadRequest(grown)
	require.NoError(t, err)
	assert.Equal(t, r, got)
}

func TestReadRequestRefuses(t *testing.T) {
	full := fullRequest()
	view := make([]byte, full.Size(every))
	full.Put(view, every)
	for fault, damage := range map[string]func([]byte) []byte{
		"want at least 160":           func(v []byte) []byte { return v[:159] },
		`begins with "XDG1"`:          func(v []byte) []byte { v[0] = 'X'; return v },
		"but says":                    func(v []byte) []byte { return v[:len(v)-1] },
		"want at least 160 of header": func(v []byte) []byte { v[8] = 152; return v },
		"the span at 72 reaches from": func(v []byte) []byte { v[75] = 0xff; return v },
		"the span at 136 reaches":     func(v []byte) []byte { v[143] = 0xff; return v },
		"the table at 120 has":        func(v []byte) []byte { v[binary.LittleEndian.Uint32(v[120:])] = 3; return v },
		"the table at 128 has":        func(v []byte) []byte { v[132]--; return v },
	} {
		_, err := abi.ReadRequest(damage(append([]byte{}, view...)))
		assert.ErrorContains(t, err, fault)
	}
}

func TestReadOthersRefuse(t *testing.T) {
	zeros := make([]byte, 200)
	_, err := abi.ReadChunk(zeros)
	assert.ErrorContains(t, err, `the chunk view begins with "\x00\x00\x00\x00", want "WDGC"`)
	_, err = abi.ReadResponse(zeros)
	assert.ErrorContains(t, err, `want "WDGR"`)
	_, err = abi.ReadDone(zeros)
	assert.ErrorContains(t, err, `want "WDGD"`)

	far := []byte{0xff, 0xff, 0xff, 0xff}
	chunk, response, done := make([]byte, 64), make([]byte, 64), make([]byte, 96)
	(&abi.Chunk{}).Put(chunk)
	(&abi.Response{}).Put(response)
	(&abi.Done{}).Put(done)
	copy(chunk[60:], far)
	copy(response[44:], far)
	copy(done[92:], far)
	_, err = abi.ReadChunk(chunk)
	assert.ErrorContains(t, err, "the chunk view: the span at 56")
	_, err = abi.ReadResponse(response)
	assert.ErrorContains(t, err, "the response view: the span at 40")
	_, err = abi.ReadDone(done)
	assert.ErrorContains(t, err, "the done view: the span at 88")
}

func TestJSONViewReplacesWhatIsNotUTF8(t *testing.T) {
	c := abi.Chunk{ID: math.MaxUint64, Text: []byte("a\xffb\xc3\"\x01\xe2\x82")}
	assert.JSONEq(t, `{"first":false,"last":false,"id":"18446744073709551615","seq":0,"choice":0,"tokens":0,
		"text":"a\ufffdb\ufffd\"\u0001\ufffd\ufffd","state":"","finish":""}`, string(c.AppendJSON(nil)))
}

func FuzzRead(f *testing.F) {
	for _, c := range requestCases() {
		view := make([]byte, c.view.Size(c.caps))
		f.Add(view[:c.view.Put(view, c.caps)])
	}
	for _, c := range doneCases() {
		view := make([]byte, c.view.Size())
		f.Add(view[:c.view.Put(view)])
	}
	f.Fuzz(func(t *testing.T, view []byte) {
		_, _ = abi.ReadChunk(view)
		_, _ = abi.ReadResponse(view)
		_, _ = abi.ReadDone(view)
		r, err := abi.ReadRequest(view)
		if err != nil || r.Size(every) > 1<<20 { // spans may name the same bytes many times over
			return
		}
		again := make([]byte, r.Size(every))
		require.Equal(t, len(again), r.Put(again, every))
		back, err := abi.ReadRequest(again)
		require.NoError(t, err)
		fields := r.AppendJSON(nil, every)
		require.Equal(t, string(fields), string(back.AppendJSON(nil, every)))
		require.True(t, json.Valid(fields))
	})
}
