package abi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
)

func TestAppendFromJSONBehindOtherBytes(t *testing.T) {
	got, err := abi.AppendFromJSON([]byte("x"), []byte("{ \"target\" :\r\n\t\"\\u0065u\" }\n"))
	require.NoError(t, err)
	assert.Equal(t, abi.AppendTarget([]byte("x"), "eu"), got)
}

func TestAppendFromJSONBody(t *testing.T) {
	got, err := abi.AppendFromJSON(nil, []byte(`{"body": {"a": [1, -2.5e+3, true, null, {"b":"\""}]} }`))
	require.NoError(t, err)
	assert.Equal(t, abi.AppendBody(nil, `{"a": [1, -2.5e+3, true, null, {"b":"\""}]}`), got)
}

func TestAppendFromJSONReplacesWhatIsNotUTF8(t *testing.T) {
	got, err := abi.AppendFromJSON(nil, []byte("{\"text\":\"\xff\\ud800x\\udc00\\ud83d\\ude00\\/\"}"))
	require.NoError(t, err)
	assert.Equal(t, abi.AppendText(nil, "\ufffd\ufffdx\ufffd😀/"), got)
}

func TestAppendFromJSONDropsNothingUnasked(t *testing.T) {
	got, err := abi.AppendFromJSON(nil, []byte(`{"drop":false}`))
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestAppendFromJSONRefuses(t *testing.T) {
	for object, fault := range map[string]string{
		``:                                       "byte 0: want an object",
		`[]`:                                     "byte 0: want an object",
		`{`:                                      "want a string",
		`{"drop"`:                                "want ':'",
		`{"drop":true`:                           "want ',' or '}'",
		`{"drop":true}x`:                         "more follows",
		`{"drop":true,}`:                         "want a string",
		`{"drop":1}`:                             "drop, byte 8: want a value",
		`{"fallbacks":["a,b"]}`:                  "a name holds a comma",
		`{"fallbacks":["a",]}`:                   "want a string",
		`{"fallbacks":"a"}`:                      "want an array",
		`{"set_headers":[]}`:                     "want an object",
		`{"target":"a`:                           "does not end",
		`{"target":"a\`:                          "does not end",
		"{\"target\":\"a\n\"}":                   "control character 0x0a",
		`{"target":"\x"}`:                        "unknown escape",
		`{"target":"\u12g4"}`:                    "unknown escape",
		`{"target":"\u12"}`:                      "unknown escape",
		`{"max_tokens":4294967296}`:              "want an integer of 0 to 4294967295",
		`{"max_tokens":01}`:                      "want an integer",
		`{"max_tokens":-1}`:                      "want an integer",
		`{"max_tokens":1e3}`:                     "want an integer",
		`{"max_tokens":"1"}`:                     "want an integer",
		`{"deny":{"status":65536}}`:              "0 to 65535",
		`{"deny":{"status":400,"status":400}}`:   `"status" is there twice`,
		`{"deny":{"code":400}}`:                  `unknown member "code"`,
		`{"system":{}}`:                          `want either "prepend" or "replace"`,
		`{"system":{"prepend":"","replace":""}}`: `want either "prepend" or "replace"`,
		`{"kv_put":[{"key":"k"}]}`:               `"value" is missing`,
		`{"kv_add":[{"key":"k","delta":9223372036854775808}]}`: "want an integer",
		`{"kv_add":[{"key":"k","delta":"1"`:                    "want",
		`{"kv_add":[{"key":"k","delta":"1 "}]}`:                "want an integer",
		`{"kv_add":[{"key":"k","delta":- 1}]}`:                 "want",
		`{"log":[{"text":"t","level":"loud"}]}`:                "want a value",
		`{"body":[]}`:                                          "want a string",
		`{"body":{"a":-}}`:                                     "want a digit",
		`{"body":{"a":1.}}`:                                    "want a digit",
		`{"body":{"a":1e}}`:                                    "want a digit",
		`{"body":{"a":nul}}`:                                   "want a value",
		`{"body":{"a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}}`: "nests deeper than 512",
		`{"set_headers":{"` + strings.Repeat("h", 65536) + `":""}}`:                  "a name has 65536 bytes",
	} {
		got, err := abi.AppendFromJSON([]byte("x"), []byte(object))
		assert.ErrorContains(t, err, fault, "%.60s", object)
		assert.Equal(t, "x", string(got))
	}
}

// FuzzJSON compares what is accepted with what encoding/json makes of it.
func FuzzJSON(f *testing.F) {
	for _, v := range actionCases() {
		if v.JSON != nil {
			f.Add([]byte(v.JSON))
		}
	}
	f.Add([]byte(`{"fallbacks":["",""]}`))
	f.Add([]byte(`{"body":{"a":[1,-2.5e+3,true,null]},"drop":true,"log":[{"text":"\ud800\u0000"}]}`))
	f.Fuzz(func(t *testing.T, object []byte) {
		got, err := abi.AppendFromJSON(nil, object)
		if err != nil {
			require.Nil(t, got)
			return
		}
		require.True(t, json.Valid(object))
		d := json.NewDecoder(bytes.NewReader(object))
		d.UseNumber()
		require.Equal(t, string(twin(ordered(t, d).(members))), string(got))
	})
}

type member struct {
	name  string
	value any
	raw   []byte
}

// members is an object in the order of its text; what is there twice stays.
type members []member

func (m members) get(name string) any {
	for _, f := range m {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

func (m members) text(name string) string { s, _ := m.get(name).(string); return s }

func (m members) uint(name string) uint32 {
	n, _ := strconv.ParseUint(fmt.Sprint(m.get(name)), 10, 32)
	return uint32(n)
}

func ordered(t *testing.T, d *json.Decoder) any {
	token, err := d.Token()
	require.NoError(t, err)
	switch token {
	case json.Delim('{'):
		m := members{}
		for d.More() {
			name, err := d.Token()
			require.NoError(t, err)
			var raw json.RawMessage
			require.NoError(t, d.Decode(&raw))
			sub := json.NewDecoder(bytes.NewReader(raw))
			sub.UseNumber()
			m = append(m, member{name.(string), ordered(t, sub), raw})
		}
		_, err := d.Token()
		require.NoError(t, err)
		return m
	case json.Delim('['):
		a := []any{}
		for d.More() {
			a = append(a, ordered(t, d))
		}
		_, err := d.Token()
		require.NoError(t, err)
		return a
	}
	return token
}

var levels = map[string]uint32{"debug": abi.LogDebug, "info": abi.LogInfo, "warn": abi.LogWarn, "error": abi.LogError}

// twin builds the list from an object that is right.
func twin(object members) (l []byte) {
	for _, m := range object {
		switch v := m.value.(type) {
		case string:
			l = twinText(l, m.name, v)
		case json.Number:
			n, _ := v.Int64()
			tag := map[string]abi.Tag{
				"max_tokens": abi.TagMaxTokens, "timeout_ms": abi.TagTimeout, "hedge_ms": abi.TagHedge,
			}[m.name]
			l = abi.AppendAction(l, abi.Action{Tag: tag, Payload: []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}})
		case bool:
			if v {
				l = abi.AppendDrop(l)
			}
		case members:
			l = twinObject(l, m, v)
		case []any:
			l = twinArray(l, m.name, v)
		}
	}
	return l
}

func twinText(l []byte, name, v string) []byte {
	tag := map[string]abi.Tag{
		"target": abi.TagTarget, "model": abi.TagModel, "version": abi.TagVersion, "cache_salt": abi.TagCacheSalt,
		"body": abi.TagBody, "shadow": abi.TagShadow, "answer": abi.TagAnswer, "state": abi.TagState, "text": abi.TagText,
		"stop": abi.TagStop,
	}[name]
	return abi.AppendAction(l, abi.Action{Tag: tag, Payload: []byte(v)})
}

func twinObject(l []byte, m member, v members) []byte {
	switch m.name {
	case "body":
		return abi.AppendBody(l, m.raw)
	case "deny":
		status := uint16(403)
		if v.get("status") != nil {
			status = uint16(v.uint("status"))
		}
		return abi.AppendDeny(l, status, uint16(v.uint("retry_after")), v.text("message"))
	case "cache":
		mode := map[string]uint32{"off": abi.CacheOff, "exact": abi.CacheExact}[v.text("mode")]
		return abi.AppendCache(l, mode, v.uint("ttl"))
	case "system":
		if v.get("replace") != nil {
			return abi.AppendSystem(l, abi.SystemReplace, v.text("replace"))
		}
		return abi.AppendSystem(l, abi.SystemPrepend, v.text("prepend"))
	}
	add := map[string]func([]byte, string, string) []byte{
		"set_headers": abi.AppendSetHeader[string, string], "response_headers": abi.AppendResponseHeader[string, string],
		"tags": abi.AppendMetric[string, string],
	}[m.name]
	for _, p := range v {
		l = add(l, p.name, p.value.(string))
	}
	return l
}

func twinArray(l []byte, name string, v []any) []byte {
	var names []string
	var patches []abi.Patch
	for _, e := range v {
		o, _ := e.(members)
		switch name {
		case "fallbacks":
			names = append(names, e.(string))
		case "delete_headers":
			l = abi.AppendDeleteHeader(l, e.(string))
		case "patches":
			patches = append(patches, abi.Patch{Offset: o.uint("offset"), Delete: o.uint("delete"), Insert: []byte(o.text("insert"))})
		case "messages":
			l = abi.AppendMessage(l, o.uint("index"), o.text("text"))
		case "log":
			level, ok := levels[o.text("level")]
			if !ok {
				level = abi.LogInfo
			}
			l = abi.AppendLog(l, level, o.text("text"))
		case "kv_put":
			l = abi.AppendKVPut(l, o.uint("ttl"), o.text("key"), o.text("value"))
		case "kv_add":
			delta, _ := strconv.ParseInt(fmt.Sprint(o.get("delta")), 10, 64)
			l = abi.AppendKVAdd(l, delta, o.uint("ttl"), o.text("key"))
		}
	}
	switch name {
	case "fallbacks":
		l = abi.AppendFallbacks(l, strings.Join(names, ","))
	case "patches":
		l = abi.AppendPatches(l, patches...)
	}
	return l
}
