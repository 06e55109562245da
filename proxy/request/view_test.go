package request

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/invariants"
)

func TestParseTellsWhatIsWrongAndWhere(t *testing.T) {
	f := func(body string, offset int64, reason string) {
		t.Helper()
		var v View
		err := v.Parse([]byte(body))
		var syntax *SyntaxError
		require.ErrorAs(t, err, &syntax, "%s", body)
		assert.Equal(t, SyntaxError{Offset: offset, Reason: reason}, *syntax, "%.80s", body)
		assert.False(t, v.HasModel(), "a refused body left something behind")
	}
	f(``, 0, "not an object")
	f(`  [1]`, 2, "not an object")
	f(`{"a":1} {}`, 8, "text after the object")
	f(`{"model":"m","mod\u0065l":"n"}`, 26, `duplicate key "model"`)
	f(`{"a":[{"b":1,"c":2,"b":3}]}`, 23, `duplicate key "b"`)
	f(`{"a":{"b":1,"b":2}}`, 16, `duplicate key "b"`)
	f(`{"":1,"":2}`, 9, `duplicate key ""`)
	f(`{"`+strings.Repeat("k", 100)+`":1,"`+strings.Repeat("k", 100)+`":2}`, 209, `duplicate key "`+strings.Repeat("k", 64)+`"…`)
	f(`{"a":"\ud800"}`, 6, "lone surrogate")
	f(`{"a":"x\udc00"}`, 7, "lone surrogate")
	f(`{"a":"\ud800\u0041"}`, 6, "lone surrogate")
	f(`{"a":"\ud800\ud800"}`, 6, "lone surrogate")
	f(`{"a":"\udc00\udc00"}`, 6, "lone surrogate")
	f(`{"a":"\ud800\ue000"}`, 6, "lone surrogate")
	f(`{"a":"\u12"}`, 6, `\u without four hexadecimal digits`)
	f(`{"a":"\q"}`, 6, "unknown escape")
	f(`{"a":"`+"\n"+`"}`, 6, "control character in a string")
	f("{\"a\":\"\x1f\"}", 6, "control character in a string")
	f("{\"a\":\"\x1f\",\"b\":1234567890}", 6, "control character in a string")
	f(`{"a":"open`, 10, "unterminated string")
	f("{\"a\":\"0123456789\x80\"}", 16, "invalid UTF-8")
	f("{\"a\":\"\x80\",\"b\":1234567890}", 6, "invalid UTF-8")
	f("{\"a\":\"\\n\x80\",\"b\":1234567890}", 8, "invalid UTF-8")
	f("{\"a\":\"\\n0123456789\x80\",\"b\":1234567890}", 18, "invalid UTF-8")
	f("{\"a\":\"\xc0\xaf\"}", 6, "invalid UTF-8")
	f("{\"a\":\"\xf4\x90\x80\x80\"}", 6, "invalid UTF-8")
	f(`{"a":01}`, 6, "neither a comma nor the end after a member")
	f(`{"a":-}`, 6, "malformed number")
	f(`{"a":1.e5}`, 7, "malformed number")
	f(`{"a":1e+}`, 8, "malformed number")
	f(`{"a":truth}`, 5, "no value")
	f(`{"a":`, 5, "no value")
	f(`{"a":,}`, 5, "no value")
	f(`{"a":[1,]}`, 8, "no value")
	f(`{"a":[1 2]}`, 8, "neither a comma nor the end after an element")
	f(`{"a" 1}`, 5, "no colon after a key")
	f(`{a:1}`, 1, "no string where a key belongs")
	f(`{"a":1,}`, 7, "no string where a key belongs")
	f(nested(513), 512*5, "nesting deeper than 512")
	f(`{"a":`+strings.Repeat("[", 512), 5+511, "nesting deeper than 512")
}

// nested is a body of that many objects in each other.
func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth-1) + `{}` + strings.Repeat(`}`, depth-1)
}

func TestParseAcceptsTheDeepest(t *testing.T) {
	var v View
	assert.NoError(t, v.Parse([]byte(nested(512))))
	assert.NoError(t, v.Parse([]byte(`{"a":`+strings.Repeat("[", 511)+strings.Repeat("]", 511)+`}`)))
}

func TestParseTellsWhichFieldIsWrong(t *testing.T) {
	f := func(body, param string) {
		t.Helper()
		var v View
		err := v.Parse([]byte(body))
		var field *FieldError
		require.ErrorAs(t, err, &field, "%s", body)
		assert.Equal(t, param, field.Param, "%s", body)
		assert.Contains(t, err.Error(), param+": it must be ")
	}
	f(`{"model":""}`, "model")
	f(`{"model":null}`, "model")
	f(`{"model":["m"]}`, "model")
	f(`{"stream":"true"}`, "stream")
	f(`{"stream":1}`, "stream")
	f(`{"stream_options":true}`, "stream_options")
	f(`{"stream_options":{"include_usage":"yes"}}`, "stream_options.include_usage")
	f(`{"stream_options":{"include_usage":null}}`, "stream_options.include_usage")
	f(`{"store":0}`, "store")
	f(`{"user":7}`, "user")
}

func TestFields(t *testing.T) {
	var v View
	require.NoError(t, v.Parse([]byte(`{"m\u006fdel":"sup\"port","stream":true,"stream_options":{"z":[{"b":1,"a":2}],"include\u005fusage":true},
		"store":false,"user":"\u00fcser","metadata":{"x":{"y":1, "x":2},"user_id":"id-7"},"messages":[ 1 ]}`)))
	assert.True(t, v.HasModel())
	assert.Equal(t, `sup"port`, string(v.Model()))
	assert.Equal(t, "üser", string(v.User()))
	assert.Equal(t, "id-7", string(v.MetadataUser()))
	assert.True(t, v.Stream())
	assert.True(t, v.IncludeUsage())
	store, set := v.Store()
	assert.False(t, store)
	assert.True(t, set)
	raw, ok := v.Field("messages")
	assert.True(t, ok)
	assert.Equal(t, "[ 1 ]", string(raw))
	_, ok = v.Field("message")
	assert.False(t, ok)
}

func TestAbsentFields(t *testing.T) {
	for _, body := range []string{`{}`, `{"stream":null,"stream_options":null,"store":null,"user":null,"metadata":null}`, `{"metadata":{"user_id":5},"stream_options":{}}`,
		`{"x":{"include_usage":true,"user_id":"u"},"metadata":{},"stream_options":{},"y":{"include_usage":true,"user_id":"u"}}`} {
		var v View
		require.NoError(t, v.Parse([]byte(body)))
		_, set := v.Store()
		assert.False(t, v.HasModel() || v.Stream() || v.IncludeUsage() || set, body)
		assert.Empty(t, v.Model())
		assert.Empty(t, v.User())
		assert.Empty(t, v.MetadataUser())
	}
}

func TestResetKeepsOrdinaryBuffersOnly(t *testing.T) {
	var v View
	require.NoError(t, v.Parse(spacedBody(t)))
	v.Reset()
	assert.Empty(t, invariants.Dirty(&v))
	assert.NotZero(t, cap(v.open), "nothing to reuse")
	assert.NotZero(t, cap(v.kept), "nothing to reuse")
	assert.Empty(t, v.Model())
	_, ok := v.Field("messages")
	assert.False(t, ok)

	require.NoError(t, v.Parse(manyKeys(100_000)))
	v.Reset()
	assert.Zero(t, cap(v.open), "a hostile body's buffers stay in the pool")
	assert.Zero(t, cap(v.kept))
	assert.Zero(t, cap(v.order))
	assert.Zero(t, cap(v.decoded))
}

func TestAppendRenamed(t *testing.T) {
	var v View
	for body, want := range map[string]string{
		`{"b":1,"a":2}`:            `{"c":1,"a":2}`,
		` { "b" : {"b":1} } `:      ` { "c" : {"b":1} } `,
		`{"a":{"b":1}}`:            "",
		`{"b":1,"c":2}`:            "",
		`{"\u0062":1}`:             "",
		`{"b":null,"cc":1,"bb":1}`: `{"c":null,"cc":1,"bb":1}`,
	} {
		require.NoError(t, v.Parse([]byte(body)))
		out, ok := v.AppendRenamed([]byte("x"), "b", "c")
		assert.Equal(t, want != "", ok, body)
		assert.Equal(t, "x"+want, string(out), body)
	}
}
