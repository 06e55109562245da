package request

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func editedBody(t *testing.T, body string, e *Edits, a Attempt) string {
	t.Helper()
	var v View
	require.NoError(t, v.Parse([]byte(body)), "%s", body)
	return string(v.AppendBody(nil, e, a))
}

func TestAppendBodyReplacesTheModel(t *testing.T) {
	a := Attempt{Model: AppendString(nil, "gpt-5")}
	f := func(body, want string) { t.Helper(); assert.Equal(t, want, editedBody(t, body, nil, a)) }
	f(`{"model":"m"}`, `{"model":"gpt-5"}`)
	f("{ \"x\" : 1.0 ,\n\t\"mod\\u0065l\" : \"m\" , \"x\\/y\":[ ] }\n", "{ \"x\" : 1.0 ,\n\t\"mod\\u0065l\" : \"gpt-5\" , \"x\\/y\":[ ] }\n")
	f(`{}`, `{"model":"gpt-5"}`)
	f(`{"x":1 } `, `{"x":1 ,"model":"gpt-5"} `)
}

func TestAppendBodyAsksForUsage(t *testing.T) {
	a := Attempt{IncludeUsage: true}
	f := func(body, want string) { t.Helper(); assert.Equal(t, want, editedBody(t, body, nil, a)) }
	f(`{}`, `{"stream_options":{"include_usage":true}}`)
	f(`{"stream":true}`, `{"stream":true,"stream_options":{"include_usage":true}}`)
	f(`{"stream_options":null,"x":1}`, `{"stream_options":{"include_usage":true},"x":1}`)
	f(`{"stream_options":{ },"x":1}`, `{"stream_options":{ "include_usage":true},"x":1}`)
	f(`{"stream_options":{"a":[{"c":1,"b":2}]}}`, `{"stream_options":{"a":[{"c":1,"b":2}],"include_usage":true}}`)
	f(`{"stream_options":{"include_usage": false , "a":1}}`, `{"stream_options":{"include_usage": true , "a":1}}`)
	f(`{"stream_options":{"include_usage" :true}}`, `{"stream_options":{"include_usage" :true}}`)
}

func TestAppendBodyAsksForAStream(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"m"}`:                   `{"model":"m","stream":true}`,
		`{"stream":false,"model":"m"}`:    `{"stream":true,"model":"m"}`,
		`{"model":"m", "stream" : null }`: `{"model":"m", "stream" : true }`,
		`{}`:                              `{"stream":true}`,
	} {
		assert.Equal(t, want, editedBody(t, body, nil, Attempt{Stream: true}))
	}
	assert.Equal(t, `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`,
		editedBody(t, `{"model":"m"}`, nil, Attempt{Stream: true, IncludeUsage: true}))
}

func TestAppendBodySets(t *testing.T) {
	limit := []string{"max_completion_tokens"}
	e, err := CompileEdits(
		[]Set{{Key: "temperature", Value: []byte(`0.20`)}, {Key: "n", Aliases: []string{"count"}, Value: []byte(`1`)}},
		[]Set{{Key: "max_tokens", Aliases: limit, Value: []byte(`9`)}, {Key: "stop", Value: []byte("[ \"x\" ]\n")}},
	)
	require.NoError(t, err)
	f := func(body, want string) { t.Helper(); assert.Equal(t, want, editedBody(t, body, e, Attempt{})) }
	f(`{}`, `{"n":1,"stop":[ "x" ],"max_tokens":9,"temperature":0.20}`)
	f(`{"temperature":1,"n":2,"max_tokens":1000,"stop":null}`, `{"temperature":1,"n":2,"max_tokens":9,"stop":[ "x" ]}`)
	f(`{"temperature":null,"count":2,"max_completion_tokens":5,"stop":"y"}`, `{"temperature":0.20,"count":2,"max_completion_tokens":9,"stop":[ "x" ]}`)
	f(`{"temperature":1,"count":null,"stop":1,"max_tokens":1,"max_completion_tokens":2}`, `{"temperature":1,"count":1,"stop":[ "x" ],"max_tokens":9,"max_completion_tokens":9}`)
	f(`{"temperature":1,"n":null,"count":3,"stop":1,"max_tokens":null,"max_completion_tokens":2}`, `{"temperature":1,"n":null,"count":3,"stop":[ "x" ],"max_tokens":null,"max_completion_tokens":9}`)
}

func TestAppendBodyWithEverything(t *testing.T) {
	e := testEdits(t)
	got := editedBody(t, `{"max_tokens":5, "model":"m" ,"stream":true}`, e, Attempt{Model: []byte(`"up"`), IncludeUsage: true})
	assert.Equal(t, `{"max_tokens":1024, "model":"up" ,"stream":true,"top_p":0.9,"temperature":0.2,"stream_options":{"include_usage":true}}`, got)
	got = editedBody(t, `{ }`, e, Attempt{Model: []byte(`"up"`), IncludeUsage: true})
	assert.Equal(t, `{ "model":"up","top_p":0.9,"max_tokens":1024,"temperature":0.2,"stream_options":{"include_usage":true}}`, got)
}

func TestForceGoesBeforeParams(t *testing.T) {
	e, err := CompileEdits(
		[]Set{{Key: "max_completion_tokens", Value: []byte(`1`)}, {Key: "seed", Value: []byte(`1`)}},
		[]Set{{Key: "max_tokens", Aliases: []string{"max_completion_tokens"}, Value: []byte(`2`)}, {Key: "seed", Value: []byte(`2`)}},
	)
	require.NoError(t, err)
	assert.Equal(t, `{"seed":2,"max_tokens":2}`, editedBody(t, `{}`, e, Attempt{}))
}

func TestCompileEditsRefuses(t *testing.T) {
	f := func(params, force []Set, want string) {
		t.Helper()
		_, err := CompileEdits(params, force)
		assert.ErrorContains(t, err, want)
	}
	one := []byte(`1`)
	f([]Set{{Key: "a", Value: []byte(`{`)}}, nil, `cannot compile parameters: value of "a" is not JSON`)
	f(nil, []Set{{Key: "a", Value: []byte(`1,"b":2`)}}, `cannot compile forced parameters: value of "a" is not JSON`)
	f(nil, []Set{{Key: "a", Value: nil}}, `value of "a" is not JSON`)
	f([]Set{{Key: "model", Value: one}}, nil, `"model" follows each request`)
	f([]Set{{Key: "a", Aliases: []string{"stream"}, Value: one}}, nil, `"stream" follows each request`)
	f([]Set{{Key: "a", Value: one}, {Key: "b", Aliases: []string{"a"}, Value: one}}, nil, `"a" and "b" set the same thing`)
}

func TestAppendString(t *testing.T) {
	assert.Equal(t, `"a/b \"q\" \\ \n\u0000 é😀 <&>"`, string(AppendString(nil, "a/b \"q\" \\ \n\x00 é😀 <&>")))
}
