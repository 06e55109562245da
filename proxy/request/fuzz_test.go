package request

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var seeds = []string{
	`{}`, ` { } `, `{"model":"m"}`, `{"model":""}`, `{"model":1}`, `{"model":null}`, `{"mod\u0065l":"m","model":"n"}`,
	`{"a":1,"a":2}`, `{"a":{"b":1,"b":2}}`, `{"x":{"b":1,"a":{"d":[1,{"z":0,"y":"\/"}],"c":null}}}`, `{"x":[ ]}`, `{"x":{ }}`, `[]`, `1`, ``,
	`{"s":"\ud83d\ude00 \u00e9 é 😀 \n\t\b\f\r\"\\\/\u0000\u001f\u007f"}`, `{"s":"\ud800"}`, `{"s":"\udc00"}`, `{"s":"\ud800\u0041"}`,
	"{\"s\":\"\x80\"}", "{\"s\":\"\xed\xa0\x80\"}", "{\"s\":\"\x01\"}", "{\"\xff\":1}", `{"s":"unterminated`, `{"s":"\x"}`, `{"s":"\u12g4"}`,
	`{"n":[0,-0,1.5,-1e9,1E+2,1e-2,0.0]}`, `{"n":01}`, `{"n":1.}`, `{"n":.5}`, `{"n":-}`, `{"n":1e}`, `{"n":+1}`, `{"n":1e400}`,
	`{"t":true,"f":false,"n":null}`, `{"t":tru}`, `{"t":nul`, `{"a":1,}`, `{"a":1 "b":2}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1}x`, `{"a":[1,]}`, `{"a":[1 2]}`,
	`{"stream":true,"stream_options":{"include_usage":true},"store":false,"user":"u","metadata":{"user_id":"m\u0021"}}`,
	`{"stream_options":{"include_usage":null}}`, `{"stream_options":[]}`, `{"stream":1}`, `{"store":"x"}`, `{"user":1}`, `{"store":true,"metadata":null,"user":null}`,
	`{"temperature":null,"max_completion_tokens":5,"seed":1}`, `{"max_tokens":null,"max_completion_tokens":null}`, `{"max_tokens":1,"max_completion_tokens":2}`,
	`{"a long key of more than eight bytes":"a long value, with \"quotes\", of more than thirty-two bytes: 0123456789"}`,
	"{\n  \"messages\": [\n    {\"role\": \"user\", \"content\": \"hi\"}\n  ]\n}",
}

var (
	fuzzParams = []Set{{Key: "temperature", Value: []byte(`0.2`)}, {Key: "seed", Value: []byte(` { "b" : 1, "a" : "\u0041" } `)}, {Key: "user", Value: []byte(`"u"`)}}
	fuzzForce  = []Set{{Key: "max_tokens", Aliases: []string{"max_completion_tokens"}, Value: []byte(`1024`)}, {Key: "store", Value: []byte(`false`)}}
)

// FuzzBody holds every body against the reference: accepted by both or by neither; a canonical form that reads
// back as the document (so that no two documents share one) and that depends on nothing else (so that all
// spellings of a document share one); edits that change the document as they should, and no other byte.
func FuzzBody(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	edits, err := CompileEdits(fuzzParams, fuzzForce)
	require.NoError(f, err)
	var v View
	f.Fuzz(func(t *testing.T, body []byte) {
		original := bytes.Clone(body)
		_, want := referenceDocument(body)
		got := v.Parse(body)
		require.Equal(t, want == nil, got == nil, "reference: %v, here: %v", want, got)
		if got != nil {
			return
		}
		checkFields(t, &v, body)
		checkCanonical(t, &v, body, nil, func(d map[string]any) map[string]any { return d })
		checkCanonical(t, &v, body, edits, func(d map[string]any) map[string]any {
			return referenceEdit(d, fuzzParams, fuzzForce)
		})
		checkBody(t, &v, body, edits)
		assert.Equal(t, original, body, "the body was written to")
	})
}

func checkFields(t *testing.T, v *View, body []byte) {
	document, _ := referenceDocument(body)
	text := func(value any) string { s, _ := value.(string); return s }
	metadata, _ := document["metadata"].(map[string]any)
	options, _ := document["stream_options"].(map[string]any)
	store, set := v.Store()
	assert.Equal(t, text(document["model"]), string(v.Model()))
	assert.Equal(t, document["model"] != nil, v.HasModel())
	assert.Equal(t, text(document["user"]), string(v.User()))
	assert.Equal(t, text(metadata["user_id"]), string(v.MetadataUser()))
	assert.Equal(t, document["stream"] == true, v.Stream())
	assert.Equal(t, options["include_usage"] == true, v.IncludeUsage())
	assert.Equal(t, document["store"] == true, store)
	assert.Equal(t, document["store"] != nil, set)
	for _, key := range slices.Collect(maps.Keys(document)) {
		raw, ok := v.Field(key)
		require.True(t, ok)
		wrapped, err := referenceDocument(append(append([]byte(`{"":`), raw...), '}'))
		require.NoError(t, err)
		assert.Equal(t, document[key], wrapped[""])
	}
	_, ok := v.Field("\xff no such key")
	assert.False(t, ok)
}

func checkCanonical(t *testing.T, v *View, body []byte, e *Edits, edit func(map[string]any) map[string]any) {
	document, _ := referenceDocument(body)
	document = counted(edit(document))
	canonical := v.AppendCanonical(nil, e)
	back, err := referenceDocument(canonical)
	require.NoError(t, err, "%s", canonical)
	require.Equal(t, document, back, "%s", canonical)

	spelled, err := json.MarshalIndent(document, " ", "\t") // depends on nothing but the document
	require.NoError(t, err)
	var other View
	require.NoError(t, other.Parse(spelled))
	require.Equal(t, string(canonical), string(other.AppendCanonical(nil, nil)))
}

func checkBody(t *testing.T, v *View, body []byte, e *Edits) {
	require.Equal(t, body, v.AppendBody(nil, nil, Attempt{}))
	attempt := Attempt{Model: []byte(`"up\"stream"`), IncludeUsage: true}
	edited := v.AppendBody([]byte("kept"), e, attempt)
	require.Equal(t, "kept", string(edited[:4]))
	got, err := referenceDocument(edited[4:])
	require.NoError(t, err, "%s", edited)

	want, _ := referenceDocument(body)
	want = referenceEdit(want, fuzzParams, fuzzForce)
	want["model"] = `up"stream`
	options, _ := want["stream_options"].(map[string]any)
	if options == nil {
		options = map[string]any{}
	}
	options["include_usage"] = true
	want["stream_options"] = options
	require.Equal(t, want, got, "%s", edited)

	var after View
	require.NoError(t, after.Parse(edited[4:]))
	for _, key := range slices.Collect(maps.Keys(want)) {
		before, had := v.Field(key)
		if had && !slices.Contains([]string{"model", "stream_options", "temperature", "seed", "user", "store", "max_tokens", "max_completion_tokens"}, key) {
			now, _ := after.Field(key)
			require.Equal(t, string(before), string(now))
		}
	}
}
