package policy_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

// vector is one entry of abi/testdata/actions.json; see the README.md there.
type vector struct {
	Name string
	Call struct {
		Kind     string
		Hooks    []string
		BodyLen  int `json:"body_len"`
		Messages int
	}
	List    string
	JSON    json.RawMessage
	Checked *string
	Ignored int
	Error   string
}

var kinds = map[string]policy.Kind{
	"request": policy.OnRequest, "response": policy.OnResponse, "chunk": policy.OnChunk, "done": policy.OnDone,
}

func (v *vector) call(t testing.TB) policy.Call {
	hooks, err := policy.ParseHooks(v.Call.Hooks)
	require.NoError(t, err)
	kind, ok := kinds[v.Call.Kind]
	require.True(t, ok, v.Call.Kind)
	return policy.Call{Kind: kind, Hooks: hooks, BodyLen: v.Call.BodyLen, Messages: v.Call.Messages}
}

func vectors(t testing.TB) []vector {
	b, err := os.ReadFile("abi/testdata/actions.json")
	require.NoError(t, err)
	var out []vector
	require.NoError(t, json.Unmarshal(b, &out))
	require.NotEmpty(t, out)
	return out
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestCheckVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			if v.List != "" || v.Error == "" {
				checkVector(t, &v, unhex(t, v.List))
			}
			if v.JSON != nil {
				checkVector(t, &v, v.JSON)
			}
		})
	}
}

// checkVector wants the vector's outcome behind bytes that are already in dst.
func checkVector(t *testing.T, v *vector, raw []byte) {
	before := []byte("before")
	got, stats, err := policy.Check(before, raw, v.call(t))
	if v.Error != "" {
		require.ErrorIs(t, err, policy.ErrActions)
		require.ErrorContains(t, err, v.Error)
		require.Equal(t, before, got)
		require.Zero(t, stats)
		return
	}
	require.NoError(t, err)
	want := v.List
	if v.Checked != nil {
		want = *v.Checked
	}
	require.Equal(t, "before", string(got[:len(before)]))
	require.Equal(t, want, hex.EncodeToString(got[len(before):]))
	require.Equal(t, v.Ignored, stats.Ignored)
	again, stats, err := policy.Check(nil, got[len(before):], v.call(t))
	require.NoError(t, err)
	require.Zero(t, stats.Ignored)
	require.Equal(t, want, hex.EncodeToString(again))
}

var routing = policy.Call{Hooks: policy.Route, BodyLen: 10}

// Every header costs a walk over all others, so that there may not be as many as there may be actions.
func TestCheckBoundsHeaders(t *testing.T) {
	var list []byte
	for i := range abi.MaxHeaders {
		switch i % 3 {
		case 0:
			list = abi.AppendSetHeader(list, "x-a", "1")
		case 1:
			list = abi.AppendDeleteHeader(list, "x-b")
		default:
			list = abi.AppendResponseHeader(list, "x-c", "1")
		}
	}
	_, _, err := policy.Check(nil, list, routing)
	require.NoError(t, err)
	_, _, err = policy.Check(nil, abi.AppendDeleteHeader(list, "x-d"), routing)
	require.ErrorIs(t, err, policy.ErrActions)
	require.ErrorContains(t, err, "a list may act on 64 headers")
}

func TestCheckBoundsTheList(t *testing.T) {
	tag := string(abi.AppendMetric(nil, "k", "v"))
	list := []byte(strings.Repeat(tag, abi.MaxActions+1))
	got, stats, err := policy.Check(nil, list[:len(list)-len(tag)], routing)
	require.NoError(t, err)
	assert.Equal(t, abi.MaxActions-abi.MaxTags, stats.Ignored)
	assert.Equal(t, strings.Repeat(tag, abi.MaxTags), string(got))

	_, _, err = policy.Check(nil, list, routing)
	require.ErrorIs(t, err, policy.ErrActions)
	require.ErrorContains(t, err, "more than 4096 actions")

	twin := `{"patches":[],"delete_headers":["x"` + strings.Repeat(`,"x"`, abi.MaxActions) + `]}`
	_, _, err = policy.Check(nil, []byte(twin), routing)
	require.ErrorContains(t, err, "more than 4096 actions")

	salt := abi.AppendCacheSalt(nil, make([]byte, abi.MaxList+8-16))
	require.Len(t, salt, abi.MaxList+8-8)
	_, _, err = policy.Check(nil, salt, routing)
	require.NoError(t, err)
	_, _, err = policy.Check(nil, append(salt, make([]byte, 11)...), routing)
	require.ErrorContains(t, err, "want at most 1048586")
}

func TestCheckRefusesCriticalTagsBeyondTheirLimits(t *testing.T) {
	long := bytes.Repeat([]byte("x"), abi.MaxTagText+1)
	list := abi.AppendMetric(nil, "k", long)
	abi.MarkCritical(list, 0)
	_, _, err := policy.Check(nil, list, routing)
	require.ErrorContains(t, err, "beyond the limits of 8 tags of 32 bytes")
	_, _, err = policy.Check(nil, abi.AppendMetric(nil, "", "v"), routing)
	require.ErrorContains(t, err, "key is empty")
}

func TestCheckCountsHostedActions(t *testing.T) {
	hosted := abi.AppendLog(nil, abi.LogInfo, "hello")
	hosted = abi.AppendKVPut(hosted, 0, "k", "value")
	target := abi.AppendTarget(hosted, "eu")[len(hosted):]
	list := abi.AppendKVAdd(append(hosted, target...), 1, 0, "n")

	got, stats, err := policy.Check(nil, list, routing)
	require.NoError(t, err)
	assert.Equal(t, 3, stats.Hosted)
	assert.Equal(t, list, got)
	assert.Equal(t, target, policy.WithoutHosted(got))
}

// TestCheckLooksAtTheCall gives one list of every tag to each kind of call, with all hooks bound.
func TestCheckLooksAtTheCall(t *testing.T) {
	want := map[policy.Kind][]abi.Tag{
		policy.OnResponse: {11, 18, 19, 20, 24, 25, 26, 27},
		policy.OnChunk:    {11, 18, 19, 20, 24, 25, 26, 27},
		policy.OnDone:     {11, 18, 19, 20},
	}
	list := everyAction()
	for kind, tags := range want {
		c := policy.Call{Kind: kind, Hooks: math.MaxUint8, BodyLen: 10, Messages: 1}
		got, stats, err := policy.Check(nil, list, c)
		require.NoError(t, err)
		assert.Equal(t, tags, tagsOf(t, got), kind)
		assert.Equal(t, len(tagsOf(t, list))-len(tags), stats.Ignored)
	}
	onRequest := map[policy.Hook][]abi.Tag{
		policy.Route:                 {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, 24},
		policy.Prompt:                {8, 11, 12, 14, 15, 16, 18, 19, 20, 23, 24},
		policy.Chunk:                 nil,
		policy.Route | policy.Prompt: {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24},
	}
	for hooks, tags := range onRequest {
		got, _, err := policy.Check(nil, list, policy.Call{Hooks: hooks, BodyLen: 10, Messages: 1})
		require.NoError(t, err)
		assert.Equal(t, tags, tagsOf(t, got), hooks)
	}
}

// everyAction has each tag in order, but TagBody, which excludes TagPatches.
func everyAction() []byte {
	l := abi.AppendFallbacks(abi.AppendTarget(nil, "a"), "b,c")
	l = abi.AppendVersion(abi.AppendModel(l, "m"), "1.0.0")
	l = abi.AppendDeleteHeader(abi.AppendSetHeader(l, "x-a", "1"), "x-b")
	l = abi.AppendDeny(abi.AppendResponseHeader(l, "x-c", "2"), 403, 0, "no")
	l = abi.AppendCache(abi.AppendCacheSalt(l, "s"), abi.CacheOff, 0)
	l = abi.AppendPatches(abi.AppendMetric(l, "k", "v"), abi.Patch{Offset: 1, Insert: []byte("i")})
	l = abi.AppendMessage(abi.AppendSystem(l, abi.SystemPrepend, "s"), 0, "m")
	l = abi.AppendTimeout(abi.AppendMaxTokens(l, 1), 1)
	l = abi.AppendKVPut(abi.AppendLog(l, abi.LogInfo, "l"), 0, "k", "v")
	l = abi.AppendHedge(abi.AppendKVAdd(l, 1, 0, "k"), 1)
	l = abi.AppendAnswer(abi.AppendShadow(l, "b"), "a")
	l = abi.AppendText(abi.AppendState(l, "s"), "t")
	return abi.AppendStop(abi.AppendDrop(l), "r")
}

func tagsOf(t *testing.T, list []byte) (tags []abi.Tag) {
	for len(list) > 0 {
		a, rest, err := abi.Next(list)
		require.NoError(t, err)
		tags = append(tags, a.Tag)
		list = rest
	}
	return tags
}

func TestTouchable(t *testing.T) {
	for _, name := range []string{"authorization", "X-API-Key", "Cookie", "connection", "TE", "x-wedge-", "X-Wedge-User",
		strings.Repeat("a", 300)} {
		assert.False(t, policy.Touchable([]byte(name)), name)
	}
	for _, name := range []string{"accept-language", "x-wedg", "openai-organization"} {
		assert.True(t, policy.Touchable([]byte(name)), name)
	}
}

func TestResponseHeaders(t *testing.T) {
	call := policy.Call{Hooks: policy.Route}
	for _, name := range []string{"x-request-id", "Age", "Content-Type", "retry-after", "server"} {
		_, _, err := policy.Check(nil, abi.AppendResponseHeader(nil, name, "1"), call)
		require.ErrorIs(t, err, policy.ErrActions, name)
	}
	_, _, err := policy.Check(nil, abi.AppendResponseHeader(nil, "x-team", "blue"), call)
	require.NoError(t, err)
	_, _, err = policy.Check(nil, abi.AppendSetHeader(nil, "x-request-id", "1"), call)
	require.NoError(t, err, "a provider may be told one")
}

func TestHooks(t *testing.T) {
	set, err := policy.ParseHooks([]string{"route", "prompt", "response", "chunk", "done"})
	require.NoError(t, err)
	assert.Equal(t, policy.Route|policy.Prompt|policy.Response|policy.Chunk|policy.Done, set)
	assert.Equal(t, "route,prompt,response,chunk,done", set.String())
	assert.Equal(t, "chunk", policy.Chunk.String())
	_, err = policy.ParseHooks([]string{"route", "Prompt"})
	assert.EqualError(t, err, `unknown hook "Prompt", want one of route, prompt, response, chunk, done`)
}

func TestVerdict(t *testing.T) {
	list, want := []byte(nil), []string{"pass"}
	got := []string{policy.Verdict(list)}
	for _, step := range []struct {
		add  func([]byte) []byte
		word string
	}{
		{func(l []byte) []byte { return abi.AppendState(abi.AppendLog(l, 0, "x"), "s") }, "pass"},
		{func(l []byte) []byte { return abi.AppendMetric(l, "k", "v") }, "tag"},
		{func(l []byte) []byte { return abi.AppendTarget(l, "eu") }, "route"},
		{func(l []byte) []byte { return abi.AppendMessage(l, 0, "x") }, "edit"},
		{func(l []byte) []byte { return abi.AppendAnswer(l, "x") }, "answer"},
		{func(l []byte) []byte { return abi.AppendDeny(l, 403, 0, "") }, "deny"},
		{func(l []byte) []byte { return abi.AppendTarget(l, "eu") }, "deny"},
	} {
		list = step.add(list)
		got, want = append(got, policy.Verdict(list)), append(want, step.word)
	}
	assert.Equal(t, want, got)
}
