package cases

import (
	"encoding/json"
	"strings"

	"github.com/wedge-proxy/wedge/policy/abi"
)

// Format writes a checked list as the JSON object of actions that abi.AppendFromJSON reads: a case's "expect". Which
// actions are critical is not told. Bytes that are no UTF-8 become U+FFFD.
func Format(list []byte) string {
	var f object
	all := sorted(list)
	for i := 0; i < len(all); {
		same := 1
		for i+same < len(all) && all[i+same].Tag == all[i].Tag {
			same++
		}
		f.member(all[i].Tag.String(), value(all[i:i+same]))
		i += same
	}
	return f.String()
}

// object is a JSON object that keeps the order of its members, and may hold one twice.
type object struct{ text strings.Builder }

func (o *object) member(name string, v any) {
	if o.text.Len() > 0 {
		o.text.WriteString(", ")
	}
	o.text.WriteString(string(encode(name)))
	o.text.WriteString(": ")
	o.text.Write(encode(v))
}

func (o *object) String() string { return "{" + o.text.String() + "}" }

// MarshalJSON makes an object a value of another.
func (o *object) MarshalJSON() ([]byte, error) { return []byte(o.String()), nil }

func encode(v any) []byte {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return []byte("null")
	}
	return []byte(strings.TrimSuffix(text.String(), "\n"))
}

var (
	cacheModes = [...]string{abi.CacheKeep: "keep", abi.CacheOff: "off", abi.CacheExact: "exact"}
	logLevels  = [...]string{abi.LogDebug: "debug", abi.LogInfo: "info", abi.LogWarn: "warn", abi.LogError: "error"}
)

// value is what stands for the actions of one tag. Of those that may come once, the last counts.
func value(same []abi.Action) any {
	a := same[len(same)-1]
	switch a.Tag {
	case abi.TagSetHeader, abi.TagResponseHeader, abi.TagMetric:
		var o object
		for _, a := range same {
			name, value := a.Pair()
			o.member(string(name), string(value))
		}
		return &o
	case abi.TagDeleteHeader, abi.TagMessage, abi.TagLog, abi.TagKVPut, abi.TagKVAdd:
		rows := make([]any, len(same))
		for i, a := range same {
			rows[i] = single(a)
		}
		return rows
	}
	return single(a)
}

func single(a abi.Action) any {
	switch a.Tag {
	case abi.TagFallbacks:
		return strings.Split(string(a.Text()), ",")
	case abi.TagDeny:
		status, after, message := a.Deny()
		return map[string]any{"status": status, "retry_after": after, "message": string(message)}
	case abi.TagCache:
		mode, ttl := a.Cache()
		return map[string]any{"mode": word(cacheModes[:], mode), "ttl": ttl}
	case abi.TagSystem:
		mode, text := a.System()
		return map[string]any{word([]string{"prepend", "replace"}, mode): string(text)}
	case abi.TagMessage:
		index, text := a.Message()
		return map[string]any{"index": index, "text": string(text)}
	case abi.TagLog:
		level, text := a.Log()
		return map[string]any{"level": word(logLevels[:], level), "text": string(text)}
	case abi.TagKVPut:
		ttl, key, value := a.KVPut()
		return map[string]any{"key": string(key), "value": string(value), "ttl": ttl}
	case abi.TagKVAdd:
		delta, ttl, key := a.KVAdd()
		return map[string]any{"key": string(key), "delta": delta, "ttl": ttl}
	case abi.TagPatches:
		return patches(a)
	case abi.TagMaxTokens, abi.TagTimeout, abi.TagHedge:
		return a.Uint()
	case abi.TagDrop:
		return true
	}
	return string(a.Payload)
}

func patches(a abi.Action) []any {
	rows := []any{}
	for p := a.Patches(); ; {
		offset, remove, insert, ok := p.Next()
		if !ok {
			return rows
		}
		rows = append(rows, map[string]any{"offset": offset, "delete": remove, "insert": string(insert)})
	}
}

func word(words []string, i uint32) string {
	if int(i) < len(words) {
		return words[i]
	}
	return "unknown"
}
