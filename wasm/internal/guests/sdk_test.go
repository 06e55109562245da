package guests

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
)

// The policies in testdata/echo write what they see as actions: numbers of 32 bits as max_tokens, of 64 bits as kv_add,
// texts as target, pairs as set_headers.
var echoing = []string{"c", "go", "rust", "assemblyscript", "zig", "d"}

// echo opens the policy of a language, loaded with a config.
func echo(t *testing.T, lang string) *Guest {
	g := Open(t, Build(t, lang, filepath.Join("testdata", "echo", lang)))
	code, err := g.Init([]byte(`{"other": [{"name": "no"}, "\"}"], "name" : "yes", "n": -12}`))
	require.NoError(t, err)
	require.Zero(t, code)
	return g
}

func eachLanguage(t *testing.T, f func(t *testing.T, g *Guest)) {
	for _, lang := range echoing {
		t.Run(lang, func(t *testing.T) { f(t, echo(t, lang)) })
	}
}

func TestCaps(t *testing.T) {
	eachLanguage(t, func(t *testing.T, g *Guest) {
		caps, err := g.Caps()
		require.NoError(t, err)
		assert.Equal(t, abi.CapState<<1-1-abi.CapJSON, caps)
	})
}

// golden are the views of policy/abi's golden vectors.
func golden(t *testing.T) (views []struct{ Name, Kind, View string }) {
	text, err := os.ReadFile(filepath.Join(Root(), "policy", "abi", "testdata", "views.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &views))
	require.NotEmpty(t, views)
	return views
}

func TestViews(t *testing.T) {
	eachLanguage(t, func(t *testing.T, g *Guest) {
		for _, v := range golden(t) {
			view, err := hex.DecodeString(v.View)
			require.NoError(t, err)
			export, want := expected(t, v.Kind, view)
			got, code, err := g.Call(export, view)
			require.NoError(t, err, v.Name)
			require.Zero(t, code, v.Name)
			assert.Equal(t, hex.EncodeToString(want), hex.EncodeToString(got), v.Name)
		}
	})
}

// TestLongView makes the guest's buffers grow, and shrink in use again.
func TestLongView(t *testing.T) {
	eachLanguage(t, func(t *testing.T, g *Guest) {
		for _, n := range []int{10, 20_000, 300_000, 1000, 400_000, 16_384} {
			body := make([]byte, n)
			for i := range body {
				body[i] = byte('a' + i%26)
			}
			in := abi.Request{Body: body, Tenant: []byte("acme")}
			view := make([]byte, in.Size(abi.CapBody))
			in.Put(view, abi.CapBody)
			_, want := expected(t, "request", view)
			got, code, err := g.Call(abi.ExportRequest, view)
			require.NoError(t, err)
			require.Zero(t, code)
			require.Equal(t, want, got, n)
		}
	})
}

// calls asks for one of the answers that the echoes give to certain models.
func calls(t *testing.T, g *Guest, model string) (list []byte, code int64) {
	in := abi.Request{Model: []byte(model)}
	view := make([]byte, in.Size(0))
	in.Put(view, 0)
	list, code, err := g.Call(abi.ExportRequest, view)
	require.NoError(t, err)
	return list, code
}

func TestActions(t *testing.T) {
	eachLanguage(t, func(t *testing.T, g *Guest) {
		got, code := calls(t, g, "every action")
		require.Zero(t, code)
		assert.Equal(t, hex.EncodeToString(everyAction()), hex.EncodeToString(got))
	})
}

func everyAction() []byte {
	list := abi.AppendTarget(nil, "eu")
	abi.MarkCritical(list, 0)
	list = abi.AppendFallbacks(list, "eu,us")
	list = abi.AppendModel(list, "bot@1.x")
	list = abi.AppendVersion(list, "1.2.0")
	list = abi.AppendSetHeader(list, "x-a", "b")
	list = abi.AppendDeleteHeader(list, "x-a")
	list = abi.AppendResponseHeader(list, "x-b", "é")
	list = abi.AppendDeny(list, 429, 30, "later")
	list = abi.AppendCacheSalt(list, "fr")
	list = abi.AppendCache(list, abi.CacheExact, 60)
	list = abi.AppendMetric(list, "k", "v")
	list = abi.AppendPatches(list, abi.Patch{Offset: 3, Delete: 4, Insert: []byte("ins")})
	list = abi.AppendBody(list, "{}")
	list = abi.AppendSystem(list, abi.SystemPrepend, "before")
	list = abi.AppendSystem(list, abi.SystemReplace, "instead")
	list = abi.AppendMessage(list, 2, "text")
	list = abi.AppendMaxTokens(list, 256)
	list = abi.AppendTimeout(list, 5000)
	list = abi.AppendLog(list, abi.LogWarn, "line")
	list = abi.AppendKVPut(list, 7, "key", "value")
	list = abi.AppendKVAdd(list, -5, 8, "count")
	list = abi.AppendHedge(list, 250)
	list = abi.AppendShadow(list, "us")
	list = abi.AppendAnswer(list, "no")
	list = abi.AppendState(list, "left")
	list = abi.AppendText(list, "other")
	list = abi.AppendDrop(list)
	return abi.AppendStop(list, "enough")
}

func TestImports(t *testing.T) {
	eachLanguage(t, func(t *testing.T, g *Guest) {
		got, code := calls(t, g, "imports")
		require.Zero(t, code)
		var w writer
		w.nums(math.MaxUint32, 0, 1)
		w.texts([]byte("v"))
		w.wide(math.MaxUint64-2, 1_700_000_000_000)
		assert.Equal(t, hex.EncodeToString(w.list), hex.EncodeToString(got))
		assert.Equal(t, []string{"1 hello"}, g.Logs)
	})
}

func TestConfig(t *testing.T) {
	eachLanguage(t, func(t *testing.T, g *Guest) {
		got, _ := calls(t, g, "config")
		assert.Equal(t, abi.AppendTarget(nil, "yes"), got, "kept beyond the call that brought it")
		code, err := g.Init([]byte(`{"refuse": true}`))
		require.NoError(t, err)
		assert.EqualValues(t, abi.ErrConfig, code)
	})
}

func TestFailure(t *testing.T) {
	eachLanguage(t, func(t *testing.T, g *Guest) {
		_, code := calls(t, g, "fail")
		assert.EqualValues(t, abi.ErrUnsupported, code)
	})
}

// TestHash pins the hash that policies draw with: it may never change.
func TestHash(t *testing.T) {
	eachLanguage(t, func(t *testing.T, g *Guest) {
		got, _ := calls(t, g, "hash")
		var w writer
		w.wide(hashOfABC)
		assert.Equal(t, hex.EncodeToString(w.list), hex.EncodeToString(got))
	})
}
