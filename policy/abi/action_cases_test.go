package abi_test

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/wedge-proxy/wedge/policy/abi"
)

var (
	route    = call{Kind: "request", Hooks: []string{"route"}, BodyLen: 100, Messages: 3}
	prompt   = call{Kind: "request", Hooks: []string{"prompt"}, BodyLen: 100, Messages: 3}
	both     = call{Kind: "request", Hooks: []string{"route", "prompt"}, BodyLen: 100, Messages: 3}
	chunk    = call{Kind: "chunk", Hooks: []string{"chunk"}, BodyLen: 5}
	response = call{Kind: "response", Hooks: []string{"response"}, BodyLen: 5}
	done     = call{Kind: "done", Hooks: []string{"done"}}
)

func actionCases() []actionVector {
	out := append(routeCases(), promptCases()...)
	out = append(out, otherCases()...)
	out = append(out, ignoredCases()...)
	out = append(out, malformedCases()...)
	return append(out, refusedCases()...)
}

func good(name string, c call, list []byte, twin string) actionVector {
	return actionVector{Name: name, Call: c, List: hex.EncodeToString(list), JSON: json.RawMessage(twin)}
}

func bad(name string, c call, list []byte, twin, fault string) actionVector {
	v := good(name, c, list, twin)
	if v.Error = fault; twin == "" {
		v.JSON = nil
	}
	return v
}

func ignored(name string, c call, list, checked []byte, n int) actionVector {
	h := hex.EncodeToString(checked)
	return actionVector{Name: name, Call: c, List: hex.EncodeToString(list), Checked: &h, Ignored: n}
}

func routeCases() []actionVector {
	everything := abi.AppendTarget(nil, "eu")
	everything = abi.AppendSetHeader(everything, "x-team", "blue")
	everything = abi.AppendSetHeader(everything, "x-plan", "")
	everything = abi.AppendMetric(everything, "lang", "fr")
	everything = abi.AppendTimeout(everything, 20_000)
	return []actionVector{
		good("no opinion", route, nil, `{}`),
		good("target", route, abi.AppendTarget(nil, "eu"), `{"target":"eu"}`),
		good("target whose name needs no padding", route, abi.AppendTarget(nil, "east"), `{"target":"east"}`),
		good("fallbacks", route, abi.AppendFallbacks(nil, "eu,us-east"), `{"fallbacks":["eu","us-east"]}`),
		good("model", route, abi.AppendModel(nil, "cheap@1.x"), `{"model":"cheap@1.x"}`),
		good("version", route, abi.AppendVersion(nil, "1.2.0"), `{"version":"1.2.0"}`),
		good("set header", route, abi.AppendSetHeader(nil, "x-team", "blue"), `{"set_headers":{"x-team":"blue"}}`),
		good("delete header", route, abi.AppendDeleteHeader(nil, "x-team"), `{"delete_headers":["x-team"]}`),
		good("response header", route, abi.AppendResponseHeader(nil, "x-lang", "fr"), `{"response_headers":{"x-lang":"fr"}}`),
		good("deny", route, abi.AppendDeny(nil, 429, 30, "Too much, try later."),
			`{"deny":{"status":429,"retry_after":30,"message":"Too much, try later."}}`),
		good("deny without a word", both, abi.AppendDeny(nil, 403, 0, ""), `{"deny":{}}`),
		good("cache salt", route, abi.AppendCacheSalt(nil, "fr"), `{"cache_salt":"fr"}`),
		good("cache off", route, abi.AppendCache(nil, abi.CacheOff, 0), `{"cache":{"mode":"off"}}`),
		good("cache exact", route, abi.AppendCache(nil, abi.CacheExact, 3600), `{"cache":{"mode":"exact","ttl":3600}}`),
		good("tag", route, abi.AppendMetric(nil, "lang", "fr"), `{"tags":{"lang":"fr"}}`),
		good("max_tokens", route, abi.AppendMaxTokens(nil, 512), `{"max_tokens":512}`),
		good("timeout", route, abi.AppendTimeout(nil, 1500), `{"timeout_ms":1500}`),
		good("hedge", route, abi.AppendHedge(nil, 250), `{"hedge_ms":250}`),
		good("shadow", route, abi.AppendShadow(nil, "eu"), `{"shadow":"eu"}`),
		good("answer", route, abi.AppendAnswer(nil, "We are closed.\n"), `{"answer":"We are closed.\n"}`),
		good("several actions in order", route, everything,
			`{"target":"eu","set_headers":{"x-team":"blue","x-plan":""},"tags":{"lang":"fr"},"timeout_ms":20000}`),
		{
			Name: "critical target", Call: route,
			List: hex.EncodeToString(abi.AppendAction(nil, abi.Action{Tag: abi.TagTarget, Critical: true, Payload: []byte("eu")})),
		},
	}
}

func promptCases() []actionVector {
	return []actionVector{
		good("one patch", prompt, abi.AppendPatches(nil, abi.Patch{Offset: 10, Delete: 4, Insert: []byte("[name]")}),
			`{"patches":[{"offset":10,"delete":4,"insert":"[name]"}]}`),
		good("patches side by side", prompt, abi.AppendPatches(nil, abi.Patch{Offset: 0, Delete: 4},
			abi.Patch{Offset: 4, Insert: []byte("ab")}, abi.Patch{Offset: 4, Delete: 96, Insert: []byte("cde")}),
			`{"patches":[{"offset":0,"delete":4},{"offset":4,"insert":"ab"},{"offset":4,"delete":96,"insert":"cde"}]}`),
		good("no patch", prompt, abi.AppendPatches(nil), `{"patches":[]}`),
		good("body", prompt, abi.AppendBody(nil, `{"model":"m"}`), `{"body":"{\"model\":\"m\"}"}`),
		good("system prepend", prompt, abi.AppendSystem(nil, abi.SystemPrepend, "Be brief."), `{"system":{"prepend":"Be brief."}}`),
		good("system replace", prompt, abi.AppendSystem(nil, abi.SystemReplace, "«Bref» 😀"),
			`{"system":{"replace":"«Bref» \ud83d\ude00"}}`),
		good("message", prompt, abi.AppendMessage(nil, 2, "Hello [name]"), `{"messages":[{"index":2,"text":"Hello [name]"}]}`),
		good("state", prompt, abi.AppendState(nil, strings.Repeat("s", abi.MaxState)),
			`{"state":"`+strings.Repeat("s", abi.MaxState)+`"}`),
	}
}

func otherCases() []actionVector {
	return []actionVector{
		good("log", done, abi.AppendLog(nil, abi.LogWarn, "slow"), `{"log":[{"level":"warn","text":"slow"}]}`),
		good("kv put", done, abi.AppendKVPut(nil, 60, "last", "42"), `{"kv_put":[{"key":"last","value":"42","ttl":60}]}`),
		good("kv add", done, abi.AppendKVAdd(nil, 1, 3600, "spent"), `{"kv_add":[{"key":"spent","delta":1,"ttl":3600}]}`),
		good("kv add of the smallest number", done, abi.AppendKVAdd(nil, -1<<63, 0, "spent"),
			`{"kv_add":[{"delta":"-9223372036854775808","key":"spent"}]}`),
		good("text of a chunk", chunk, abi.AppendText(nil, "Bob"), `{"text":"Bob"}`),
		good("text of a response", response, abi.AppendText(nil, ""), `{"text":""}`),
		good("drop", chunk, abi.AppendDrop(nil), `{"drop":true}`),
		good("stop", chunk, abi.AppendStop(nil, "limit"), `{"stop":"limit"}`),
		good("text and state", chunk, abi.AppendState(abi.AppendText(nil, "B"), "ob"), `{"text":"B","state":"ob"}`),
	}
}

func ignoredCases() []actionVector {
	unknown := abi.AppendAction(nil, abi.Action{Tag: 999, Payload: []byte("from the future")})
	patches := abi.AppendPatches(nil, abi.Patch{Offset: 1000, Delete: 1})
	target := abi.AppendTarget(nil, "eu")
	var nine, eight []byte
	for i := range 9 {
		if nine = abi.AppendMetric(nine, string(rune('a'+i)), "1"); i == 7 {
			eight = nine
		}
	}
	long := abi.AppendMetric(nil, "user", strings.Repeat("x", abi.MaxTagText+1))
	return []actionVector{
		ignored("unknown tag", route, append(unknown, target...), target, 1),
		ignored("tag 0", route, abi.AppendAction(nil, abi.Action{}), nil, 1),
		ignored("patches without the prompt hook", route, append(patches, target...), target, 1),
		ignored("target in a chunk's call", chunk, target, nil, 1),
		ignored("deny when all is over", done, abi.AppendDeny(nil, 403, 0, ""), nil, 1),
		ignored("nine tags", route, nine, eight, 1),
		ignored("tag that is too long", route, append(long, target...), target, 1),
	}
}

func malformedCases() []actionVector {
	target := abi.AppendTarget(nil, "eu")
	return []actionVector{
		bad("list that ends in a header", route, target[:7], "", "ends inside an action's header"),
		bad("length past the end", route, []byte("\x01\x00\x00\x00\x05\x00\x00\x00abcd"), "", "past the end"),
		bad("length of 4 GiB", route, []byte("\x01\x00\x00\x00\xff\xff\xff\xffabcd"), "", "past the end"),
		bad("no padding", route, target[:10], "", "inside an action's padding"),
		bad("unknown flags", route, []byte("\x01\x00\x02\x00\x00\x00\x00\x00"), "", "flags"),
		bad("rubbish behind", route, append(target, 0), "", "ends inside an action's header"),
		bad("critical unknown tag", route, abi.AppendAction(nil, abi.Action{Tag: 999, Critical: true}), "", "does not know it"),
		bad("critical patches without the prompt hook", route,
			abi.AppendAction(nil, abi.Action{Tag: abi.TagPatches, Critical: true, Payload: make([]byte, 4)}), "", "no hook"),
		bad("unknown member", route, nil, `{"tarjet":"eu"}`, `unknown member "tarjet"`),
		bad("number for a name", route, nil, `{"target":7}`, "want a string"),
		bad("null for a name", route, nil, `{"target":null}`, "want a string"),
		bad("fraction", route, nil, `{"max_tokens":1.5}`, "want an integer"),
		bad("member twice", route, nil, `{"target":"a","target":"b"}`, "twice"),
		bad("unknown cache mode", route, nil, `{"cache":{"mode":"maybe"}}`, "want a value"),
		bad("message without text", prompt, nil, `{"messages":[{"index":1}]}`, `"text" is missing`),
	}
}

func refusedCases() []actionVector {
	patch := func(p ...abi.Patch) []byte { return abi.AppendPatches(nil, p...) }
	return []actionVector{
		bad("target without a name", route, abi.AppendTarget(nil, ""), `{"target":""}`, "0 bytes"),
		bad("name with a line feed", route, abi.AppendModel(nil, "a\nb"), `{"model":"a\nb"}`, "control character 0x0a"),
		bad("name that is not UTF-8", route, abi.AppendVersion(nil, "\xff"), "", "not UTF-8"),
		bad("fallbacks with a gap", route, abi.AppendFallbacks(nil, "a,,b"), `{"fallbacks":["a","","b"]}`, "0 bytes"),
		bad("header with credentials", route, abi.AppendSetHeader(nil, "Authorization", "x"),
			`{"set_headers":{"Authorization":"x"}}`, "no policy may touch the header Authorization"),
		bad("header of the node", route, abi.AppendResponseHeader(nil, "X-Wedge-Node", "x"),
			`{"response_headers":{"X-Wedge-Node":"x"}}`, "no policy may touch"),
		bad("deleting what frames the message", route, abi.AppendDeleteHeader(nil, "content-length"),
			`{"delete_headers":["content-length"]}`, "no policy may touch"),
		bad("header value with CR and LF", route, abi.AppendSetHeader(nil, "x-a", "1\r\nhost: b"),
			`{"set_headers":{"x-a":"1\r\nhost: b"}}`, "control character 0x0d"),
		bad("header name with a space", route, abi.AppendSetHeader(nil, "x a", "1"), `{"set_headers":{"x a":"1"}}`, "not a token"),
		bad("header name past its payload", route,
			abi.AppendAction(nil, abi.Action{Tag: abi.TagSetHeader, Payload: []byte("\xff\xffx")}), "", "want at least"),
		bad("deny with a good status", route, abi.AppendDeny(nil, 200, 0, ""), `{"deny":{"status":200}}`, "want 400 to 599"),
		bad("cache mode 3", route, abi.AppendCache(nil, 3, 0), "", "mode is 3"),
		bad("no tokens", route, abi.AppendMaxTokens(nil, 0), `{"max_tokens":0}`, "want at least 1"),
		bad("patches not sorted", prompt, patch(abi.Patch{Offset: 9}, abi.Patch{Offset: 8}),
			`{"patches":[{"offset":9},{"offset":8}]}`, "want them sorted"),
		bad("patches overlap", prompt, patch(abi.Patch{Offset: 1, Delete: 4}, abi.Patch{Offset: 4}),
			`{"patches":[{"offset":1,"delete":4},{"offset":4}]}`, "want them sorted"),
		bad("patch past the body", prompt, patch(abi.Patch{Offset: 99, Delete: 2}), `{"patches":[{"offset":99,"delete":2}]}`,
			"patch 0 ends at 101, the body at 100"),
		bad("patches without their rows", prompt,
			abi.AppendAction(nil, abi.Action{Tag: abi.TagPatches, Payload: []byte("\xff\xff\xff\xff")}), "", "too few"),
		bad("insert that is missing", prompt, abi.AppendAction(nil, abi.Action{
			Tag: abi.TagPatches, Payload: []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00abcd"),
		}), "", "insert 5 bytes, but 4 follow"),
		bad("patches and a body", prompt, abi.AppendBody(patch(), "{}"), `{"patches":[],"body":"{}"}`, "not both"),
		bad("message that is not there", prompt, abi.AppendMessage(nil, 3, "x"), `{"messages":[{"index":3,"text":"x"}]}`, "message is 3"),
		bad("system mode 2", prompt, abi.AppendSystem(nil, 2, "x"), "", "mode is 2"),
		bad("log level 4", done, abi.AppendLog(nil, 4, "x"), "", "level is 4"),
		bad("kv put without a key", done, abi.AppendKVPut(nil, 0, "", "x"), `{"kv_put":[{"key":"","value":"x"}]}`, "key has 0 bytes"),
		bad("kv add with a long key", done, abi.AppendKVAdd(nil, 1, 0, strings.Repeat("k", abi.MaxKVKey+1)), "", "key has 129 bytes"),
		bad("state that is too long", chunk, abi.AppendState(nil, make([]byte, abi.MaxState+1)), "", "state has 257 bytes"),
		bad("text that is not UTF-8", chunk, abi.AppendText(nil, "a\xc3"), "", "not UTF-8"),
		bad("drop with a payload", chunk, abi.AppendAction(nil, abi.Action{Tag: abi.TagDrop, Payload: []byte("x")}), "", "at most 0"),
	}
}
