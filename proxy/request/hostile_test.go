//go:build !race

package request

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Hostile bodies must cost time and memory in proportion to their size. The limits are some 20 times what a
// quiet machine needs, and far below what anything quadratic would take.
func TestHostileBodies(t *testing.T) {
	million := manyKeys(1_000_000)
	twice := append(bytes.Clone(million[:len(million)-1]), `,"\u00311":1}`...)
	f := func(name string, body []byte, reason string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			var v View
			err := v.Parse(body)
			if reason != "" {
				require.ErrorContains(t, err, reason)
			} else {
				require.NoError(t, err)
				require.NotEmpty(t, v.AppendCanonical(nil, nil))
				require.NotEmpty(t, v.AppendBody(nil, nil, Attempt{Model: []byte(`"m"`), IncludeUsage: true}))
			}
			assert.Less(t, time.Since(start), 20*time.Second)
			runtime.ReadMemStats(&after)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(len(body))*40+1<<20, "bytes allocated")
		})
	}
	const mega = 1 << 20
	f("a million keys", million, "")
	f("a million keys and one twice", twice, `duplicate key "11"`)
	f("a million keys further down", append(append([]byte(`{"stream_options":{"x":`), million...), `}}`...), "")
	f("brackets", append([]byte(`{"a":`), bytes.Repeat([]byte("["), 100*mega)...), "nesting deeper")
	f("braces", bytes.Repeat([]byte(`{"":`), 25*mega), "nesting deeper")
	f("quotes", append([]byte(`{"a":["`), bytes.Repeat([]byte(`","`), 8*mega)...), "unterminated")
	f("white space", append([]byte(`{"a":[`), append(bytes.Repeat([]byte("0 ,"), 8*mega), `0]}`...)...), "")
	f("backslashes", append([]byte(`{"a":"`), append(bytes.Repeat([]byte(`\\`), 8*mega), `"}`...)...), "")
	f("escapes", append([]byte(`{"`), append(bytes.Repeat([]byte(`\u0061`), 2*mega), `":0}`...)...), "")
	f("small objects out of order", append([]byte(`{"a":[`), append(bytes.Repeat([]byte(`{"b":0,"a":0},`), mega), `0]}`...)...), "")
	deep := strings.Repeat(`{"b":0,"a":[`, 255)
	wide := strings.Repeat(`{"b":0,"a":0},`, mega/4)
	f("wide at the bottom of deep", []byte(deep+wide+"0"+strings.Repeat(`]}`, 255)), "")
}
