package request

import (
	"bytes"
	"crypto/sha256"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// chatBody is a typical chat request of 1.4 KB.
func chatBody(tb testing.TB) []byte {
	tb.Helper()
	body, err := os.ReadFile("testdata/chat.json")
	require.NoError(tb, err)
	return body
}

// longBody is chatBody with its conversation repeated up to about 64 KB.
func longBody(tb testing.TB) []byte {
	tb.Helper()
	body := chatBody(tb)
	from, to := bytes.IndexByte(body, '[')+1, bytes.LastIndexByte(body, ']')
	var long []byte
	long = append(long, body[:from]...)
	for len(long) < 64<<10 {
		long = append(append(long, body[from:to]...), ',')
	}
	return append(long[:len(long)-1], body[to:]...)
}

// spacedBody is chatBody as an encoder with white space and content parts writes it.
func spacedBody(tb testing.TB) []byte {
	tb.Helper()
	body := bytes.ReplaceAll(chatBody(tb), []byte(`,"content":"`), []byte(`, "content": [{"type": "text", "text": "`))
	body = bytes.ReplaceAll(body, []byte(`"},{`), []byte(`"}]}, {`))
	return bytes.Replace(body, []byte(`"}],`), []byte(`"}]}], `), 1)
}

// manyKeys is an object of n members in no order, half of their keys with escapes.
func manyKeys(n int) []byte {
	body := []byte(`{`)
	for k := range n {
		key := strconv.Itoa(k * 7919 % n)
		if k%2 == 0 {
			key = `\u0030` + key
		} else {
			key = "1" + key
		}
		body = append(body, `"`+key+`":0,`...)
	}
	body[len(body)-1] = '}'
	return body
}

func benchmarkBody(b *testing.B, body []byte) {
	e := testEdits(b)
	run := func(name string, f func(v *View, dst []byte) []byte) {
		b.Run(name, func(b *testing.B) {
			var v View
			require.NoError(b, v.Parse(body))
			dst := f(&v, nil)
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				dst = f(&v, dst[:0])
			}
			require.NotEmpty(b, dst)
		})
	}
	parse := func(v *View) {
		if v.Parse(body) != nil {
			b.Fatal("refused")
		}
	}
	run("Parse", func(v *View, _ []byte) []byte { parse(v); return v.Model() })
	run("Canonical", func(v *View, dst []byte) []byte { return v.AppendCanonical(dst, nil) })
	run("CanonicalEdits", func(v *View, dst []byte) []byte { return v.AppendCanonical(dst, e) })
	run("Body", func(v *View, dst []byte) []byte { return v.AppendBody(dst, e, Attempt{Model: []byte(`"gpt-5-mini"`)}) })
	run("SHA256", func(_ *View, dst []byte) []byte { sum := sha256.Sum256(body); return append(dst, sum[:]...) })
	var canonical []byte
	run("Digest", func(v *View, dst []byte) []byte {
		parse(v)
		canonical = v.AppendCanonical(canonical[:0], e)
		sum := sha256.Sum256(canonical)
		return append(dst, sum[:]...)
	})
}

func BenchmarkChat(b *testing.B)   { benchmarkBody(b, chatBody(b)) }
func BenchmarkLong(b *testing.B)   { benchmarkBody(b, longBody(b)) }
func BenchmarkSpaced(b *testing.B) { benchmarkBody(b, spacedBody(b)) }

// testEdits are those of a version that fills in a temperature and a limit, and forces a seed.
func testEdits(tb testing.TB) *Edits {
	tb.Helper()
	e, err := CompileEdits(
		[]Set{{Key: "temperature", Value: []byte(`0.2`)}, {Key: "top_p", Value: []byte(`0.9`)}},
		[]Set{{Key: "max_tokens", Aliases: []string{"max_completion_tokens"}, Value: []byte(`1024`)}},
	)
	require.NoError(tb, err)
	return e
}
