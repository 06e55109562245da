package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/store"
)

func TestAppendID(t *testing.T) {
	for s, want := range map[string]string{
		"file-abc":                     "file-abc",
		"  file-abc\t":                 "file-abc",
		`\u0066ile\u002dabc\n`:         "file-abc",
		`\u00a0file-abc` + "\u00a0":    "file-abc",
		`["file-abc"]`:                 "file-abc",
		"file-abc file-def":            "",
		"":                             "",
		"…":                            "",
		`\`:                            "",
		`\u00`:                         "00",
		strings.Repeat("a", maxID):     strings.Repeat("a", maxID),
		strings.Repeat("a", maxID+1):   "",
		strings.Repeat(" ", 999) + "a": "a",
	} {
		id, only := appendID(nil, []byte(s))
		assert.Equal(t, want != "", only, s)
		if only {
			assert.Equal(t, want, string(id), s)
		}
	}
}

// places walks over a text and tells every string as "name=string", with a ! where an id must stand.
func places(text string) (out []string) {
	s := scanner{text: []byte(text), visit: func(p place, s []byte) bool {
		mark := ""
		if p.holds {
			mark = "!"
		}
		out = append(out, fmt.Sprintf("%s%s=%s", mark, p.name, s))
		return true
	}}
	s.value(place{})
	return out
}

func TestScanner(t *testing.T) {
	for text, want := range map[string][]string{
		`"a"`:                                              {"=a"},
		` [ 1, -2.5e3, true , null, {} , []]`:              nil,
		`{"a":"b\"c","d\\":["e"]}`:                         {"=a", `a=b\"c`, `=d\\`, `d\\=e`},
		`{"file_ids":["x",["y"]]}`:                         {"=file_ids", "!file_ids=x", "!file_ids=y"},
		`{"file\u005fid":"x"}`:                             {`=file\u005fid`, `!file\u005fid=x`},
		`{"conversation":{"id":"x","a":"y"}}`:              {"=conversation", "=id", "!conversation=x", "=a", "a=y"},
		`{"metadata":{"file_id":"x"},"training_file":"y"}`: {"=metadata", "=file_id", "file_id=x", "=training_file", "!training_file=y"},
		`{"parameters":{"properties":{"file_id":{"default":"x"}}},"n":1}`: {"=parameters", "=properties", "=file_id", "=default", "default=x", "=n"},
	} {
		assert.Equal(t, want, places(text), text)
	}
}

func TestReadParts(t *testing.T) {
	part := func(head, value string) string { return "--b\r\n" + head + "\r\n\r\n" + value + "\r\n" }
	const named = `Content-Disposition: form-data; name="model"`
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"plain":          {part(named, "m") + part(named+`; filename="f"`, "x\r\n-") + "--b--\r\n", []string{"model m false", "model x\r\n- true"}},
		"empty value":    {part(named, "") + "--b--", []string{"model  false"}},
		"no end":         {part(named, "m"), nil},
		"a preamble":     {"x\r\n" + part(named, "m") + "--b--", nil},
		"line feeds":     {strings.ReplaceAll(part(named, "m")+"--b--", "\r", ""), nil},
		"a hidden part":  {part(named, "m\n--b\n"+named+"\n\nn") + "--b--", nil},
		"a bare feed":    {part("X: y\n"+named, "m") + "--b--", nil},
		"two names":      {part(named+"\r\n"+named, "m") + "--b--", nil},
		"no name":        {part("X: y", "m") + "--b--", nil},
		"base64":         {part(named+"\r\nContent-Transfer-Encoding: BASE64", "bQ==") + "--b--", nil},
		"too many":       {strings.Repeat(part(named, "m"), maxArguments+1) + "--b--", nil},
		"other boundary": {strings.ReplaceAll(part(named, "m"), "--b", "--bc") + "--bc--", nil},
	} {
		parts, ok := readParts([]byte(c.body), "b")
		assert.Equal(t, c.want != nil, ok, name)
		var got []string
		for _, p := range parts {
			got = append(got, fmt.Sprint(p.name, " ", c.body[p.start:p.end], " ", p.file))
		}
		if ok {
			assert.Equal(t, c.want, got, name)
		}
	}
}

// newExchange is a request of the tenant u, by the key that may pass through to the provider one.
func newExchange(t *testing.T, s *Server, body string) *exchange {
	t.Helper()
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetRequestURI("/v1/anything")
	ctx.Request.Header.Set("Authorization", "Bearer "+otherKey)
	ctx.Request.SetBodyString(body)
	x := s.acquire(&ctx)
	require.Nil(t, x.authenticate())
	x.version = x.snap.versions[0]
	return x
}

// Objects belong to a tenant at one provider, and requests about them go there.
func TestReferencesNarrowTheProviders(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	s := newTestServer(t, testCatalog(addr))
	for id, at := range map[string]string{"file-one": "one", "file-two": "two", "file-shared": "one"} {
		require.NoError(t, s.o.Durable.Put(objectKey(at, []byte(id)), []byte("u")))
	}
	require.NoError(t, s.o.Durable.Put(objectKey("two", []byte("file-shared")), []byte("t")))
	require.NoError(t, s.o.Durable.Put(objectKey("two", []byte("file-theirs")), []byte("t")))
	for body, want := range map[string]string{
		`{"x":"file-one"}`:                     "one",
		`{"x":"file-two"}`:                     "two",
		`{"x":"file-shared"}`:                  "one",
		`{"x":"file-unknown"}`:                 "",
		`{"x":["file-one","file-two"]}`:        "one", // there the other one is nobody's
		`{"x":["file-one","file-theirs"]}`:     "one", // there it is nobody's
		`{"file_ids":["file-one","file-two"]}`: "refused",
		`{"x":"file-theirs"}`:                  "refused",
		`{" file-theirs ":1}`:                  "refused",
		`{"file_id":"file-unknown"}`:           "refused",
		`{"file_id":"two words"}`:              "refused",
	} {
		x := newExchange(t, s, body)
		r := x.newReferences(true)
		r.document(place{}, []byte(body))
		got := "refused"
		if e := r.end(); e == nil {
			got = string(x.forced)
		} else {
			assert.Equal(t, codeNotFound.name, e.Code)
		}
		assert.Equal(t, want, got, body)
	}
}

// A body of millions of strings costs little, and a bounded number of look-ups.
func TestReferencesAreBounded(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	s := newTestServer(t, testCatalog(addr))
	durable := &countingDurable{}
	s.o.Durable = durable
	for element, refused := range map[string]bool{`"a"`: false, `"id-1234567"`: true} {
		body := `{"x":[` + strings.Repeat(element+",", 8<<20/(len(element)+1)) + `"a"]}`
		x := newExchange(t, s, body)
		r := x.newReferences(true)
		allocated := testing.AllocsPerRun(1, func() { r.document(place{}, []byte(body)) }) // for ever, if it were quadratic
		assert.Less(t, allocated, 20_000.0)
		if e := r.end(); refused {
			require.NotNil(t, e)
			assert.Equal(t, codeInvalidRequest.name, e.Code)
			assert.Contains(t, e.Message, "too many objects")
		} else {
			assert.Nil(t, e)
		}
	}
	assert.LessOrEqual(t, durable.asked, 2*maxLookups)
}

// countingDurable knows nothing.
type countingDurable struct{ asked int }

func (d *countingDurable) Get([]byte) ([]byte, error) { d.asked++; return nil, store.ErrNotFound }
func (*countingDurable) Put(_, _ []byte) error        { return nil }

// brokenDurable cannot be read.
type brokenDurable struct{ countingDurable }

func (*brokenDurable) Get([]byte) ([]byte, error) { return nil, errors.New("the disk is gone") }

func TestUnreadableOwnersRefuse(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	s := newTestServer(t, testCatalog(addr))
	s.o.Durable = &brokenDurable{}
	x := newExchange(t, s, "")
	r := x.newReferences(true)
	r.document(place{}, []byte(`{"x":"file-1234"}`))
	require.NotNil(t, r.end())
}

func TestHeaderFate(t *testing.T) {
	hop := [][]byte{[]byte("close, x-hop"), []byte("X-Other")}
	for header, want := range map[string]fate{
		"X-Hop: 1": drop, "X-Other: 1": drop, "X-Free: 1": passKeyed, "User-Agent: x": passOnly,
		"X-Auth-Token: " + testKey: drop, "X-Auth: Basic wk_ " + testKey: drop, "X-Free: wk_not_a_key": passKeyed,
		"Openai-Organization: o": drop, "Openai-Project: p": drop, "Openai-Beta: b": passKeyed, "Openai_project: p": drop,
		"X-Http-Method: GET": drop, "X-Http-Method-Override: GET": drop, "X-Method-Override: GET": drop,
		"X-Original-Url: /": drop, "X-Rewrite-Url: /": drop,
	} {
		name, value, _ := bytes.Cut([]byte(header), []byte(": "))
		assert.Equal(t, want, headerFate(hop, name, value), header)
	}
}

func TestQuoteShortHidesKeys(t *testing.T) {
	for _, s := range []string{testKey, "x " + testKey + " y", strings.Repeat("a", 90) + testKey, testKey[:20]} {
		assert.NotContains(t, quoteShort([]byte(s)), testKey[16:20], s)
	}
	assert.Equal(t, `"wk_short"`, quoteShort([]byte("wk_short")))
}

func TestExposedBy(t *testing.T) {
	p := &provider{secrets: []string{"sk-0123456789abcdef"}}
	for text, want := range map[string]bool{
		"": false, "your key sk-0123456789abcdef": true, "…56789abcdef": true, "sk-0123***": false, "bad temperature": false,
	} {
		assert.Equal(t, want, p.exposedBy([]byte(text)), text)
	}
	assert.False(t, (&provider{}).exposedBy([]byte("anything")))
}
