package anthropic

import (
	"fmt"
	"strings"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// pieceMost is about how much text AppendStream puts into one event, in bytes as written.
const pieceMost = 16 << 10

// AppendStream implements dialect.Answers. The dialect has no event for usage alone. Nothing is appended with an error.
func (Codec) AppendStream(dst []byte, op dialect.Op, whole []byte) (out []byte, tail, terminal int, err error) {
	doc, err := compact(whole)
	if err != nil {
		return dst, 0, 0, err
	}
	top, ok := members(doc)
	content := top.get("content")
	if !ok || op != dialect.OpMessages || len(content) == 0 || content[0] != '[' {
		return dst, 0, 0, fmt.Errorf("%w: the whole %s answer is not a message", dialect.ErrMalformed, op)
	}
	out = appendMessageStart(dst, top)
	elements(content, func(i int, v []byte) {
		block, isObject := members(v)
		ok = ok && isObject
		out = appendBlockEvents(out, i, block)
	})
	if !ok {
		return dst, 0, 0, fmt.Errorf("%w: a block of the whole %s answer is not as it must be", dialect.ErrMalformed, op)
	}
	out = appendMessageDelta(out, top)
	terminal = len(out) - len(dst)
	return append(out, messageStop...), terminal, terminal, nil
}

const messageStop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

// endings are the members of a message that its end tells: null when it starts.
var endings = [...]string{"stop_reason", "stop_sequence", "stop_details"}

func appendMessageStart(dst []byte, top object) []byte {
	start := append(object(nil), top...)
	start.set("content", []byte("[]"))
	for i, key := range endings {
		if i < 2 || start.get(key) != nil {
			start.set(key, []byte("null"))
		}
	}
	dst = append(dst, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"...)
	return append(start.appendTo(dst), "}\n\n"...)
}

func appendMessageDelta(dst []byte, top object) []byte {
	var delta object
	for i, key := range endings {
		if val := top.get(key); val != nil {
			delta.set(key, val)
		} else if i < 2 {
			delta.set(key, []byte("null"))
		}
	}
	dst = append(dst, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":"...)
	dst = delta.appendTo(dst)
	if usage := top.get("usage"); usage != nil {
		dst = append(append(dst, `,"usage":`...), usage...)
	}
	return append(dst, "}\n\n"...)
}

// appendBlockEvents streams one block: what comes by deltas is empty at its start.
func appendBlockEvents(dst []byte, i int, block object) []byte {
	start := append(object(nil), block...)
	kind := string(inside(block.get("type")))
	input := block.get("input")
	if len(input) > 2 && input[0] == '{' && strings.HasSuffix(kind, "tool_use") {
		start.set("input", []byte("{}"))
	} else {
		input = nil
	}
	var grown [3]member // member of the block, its text
	switch kind {
	case "thinking":
		grown[0], grown[1] = member{"thinking", block.get("thinking")}, member{"signature", block.get("signature")}
	case "text":
		grown[2] = member{"text", block.get("text")}
		if c := block.get("citations"); len(c) > 2 && c[0] == '[' {
			start.set("citations", []byte("[]"))
		}
	}
	for _, m := range grown {
		if isText(m.val) {
			start.set(m.key, []byte(`""`))
		}
	}
	dst = appendNumber(dst, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":", int64(i))
	dst = append(start.appendTo(append(dst, `,"content_block":`...)), "}\n\n"...)
	for _, m := range grown {
		if m.key == "signature" && isText(m.val) {
			dst = appendDelta(dst, i, "signature_delta", "signature", inside(m.val))
		} else {
			dst = appendDeltas(dst, i, m.key+"_delta", m.key, inside(m.val))
		}
	}
	if kind == "text" {
		elements(block.get("citations"), func(_ int, v []byte) {
			dst = appendNumber(dst, deltaHead, int64(i))
			dst = append(append(append(dst, `,"delta":{"type":"citations_delta","citation":`...), v...), "}}\n\n"...)
		})
	}
	if input != nil {
		dst = appendDeltas(dst, i, "input_json_delta", "partial_json", jsonscan.AppendText(nil, input))
	}
	return appendBlockStop(dst, i)
}

const deltaHead = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"

// appendDeltas appends a text in pieces.
func appendDeltas(dst []byte, i int, kind, key string, text dialect.Written) []byte {
	for len(text) > 0 {
		n := jsonscan.Prefix(text, pieceMost)
		dst = appendDelta(dst, i, kind, key, text[:n])
		text = text[n:]
	}
	return dst
}

func appendDelta(dst []byte, i int, kind, key string, text dialect.Written) []byte {
	dst = appendNumber(dst, deltaHead, int64(i))
	dst = append(append(append(dst, `,"delta":{"type":"`...), kind...), `","`...)
	dst = append(append(append(dst, key...), `":"`...), text...)
	return append(dst, "\"}}\n\n"...)
}

func appendBlockStop(dst []byte, i int) []byte {
	dst = appendNumber(dst, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":", int64(i))
	return append(dst, "}\n\n"...)
}
