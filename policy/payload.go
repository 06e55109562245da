package policy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/wedge-proxy/wedge/policy/abi"
)

const (
	anyHook = Route | Prompt | Response | Chunk | Done
	answer  = Response | Chunk
)

// may names the hooks that an action belongs to; a tag without any is unknown.
var may = [...]Hook{
	abi.TagTarget:         Route,
	abi.TagFallbacks:      Route,
	abi.TagModel:          Route,
	abi.TagVersion:        Route,
	abi.TagSetHeader:      Route,
	abi.TagDeleteHeader:   Route,
	abi.TagResponseHeader: Route,
	abi.TagDeny:           Route | Prompt,
	abi.TagCacheSalt:      Route,
	abi.TagCache:          Route,
	abi.TagMetric:         anyHook,
	abi.TagPatches:        Prompt,
	abi.TagBody:           Prompt,
	abi.TagSystem:         Prompt,
	abi.TagMessage:        Prompt,
	abi.TagMaxTokens:      Route | Prompt,
	abi.TagTimeout:        Route,
	abi.TagLog:            anyHook,
	abi.TagKVPut:          anyHook,
	abi.TagKVAdd:          anyHook,
	abi.TagHedge:          Route,
	abi.TagShadow:         Route,
	abi.TagAnswer:         Route | Prompt,
	abi.TagState:          Route | Prompt | answer,
	abi.TagText:           answer,
	abi.TagDrop:           answer,
	abi.TagStop:           answer,
}

// Lengths of names, in bytes: what the catalog and HTTP servers take, with room to spare.
const (
	maxName        = 256
	maxNames       = 4 << 10 // a list of fallbacks
	maxHeaderValue = 8 << 10
)

var (
	errUTF8 = errors.New("its text is not UTF-8")
)

// payload checks what the action carries. It reads no more than it has found to be there.
func payload(a abi.Action, c *Call) error {
	p := a.Payload
	switch a.Tag {
	case abi.TagTarget, abi.TagModel, abi.TagVersion, abi.TagShadow:
		return name(p)
	case abi.TagFallbacks:
		return names(p)
	case abi.TagSetHeader:
		return requestHeader(p)
	case abi.TagResponseHeader:
		return responseHeader(p)
	case abi.TagDeleteHeader:
		return headerName(p)
	case abi.TagDeny:
		return deny(p)
	case abi.TagCache:
		return cache(p)
	case abi.TagMetric:
		return metric(p)
	case abi.TagPatches:
		return patches(p, c.BodyLen)
	case abi.TagSystem:
		return numbered(p, abi.SystemReplace+1, "mode")
	case abi.TagMessage:
		return numbered(p, uint32(c.Messages), "message")
	case abi.TagMaxTokens, abi.TagTimeout, abi.TagHedge:
		return number(a)
	case abi.TagLog:
		return numbered(p, abi.LogError+1, "level")
	case abi.TagKVPut:
		return kvPut(p)
	case abi.TagKVAdd:
		return kvAdd(p)
	case abi.TagAnswer, abi.TagText, abi.TagStop:
		return text(p)
	case abi.TagState:
		return atMost(p, abi.MaxState, "state")
	case abi.TagDrop:
		return atMost(p, 0, "payload")
	}
	return nil // TagCacheSalt and TagBody: any bytes
}

func text(p []byte) error {
	if !utf8.Valid(p) {
		return errUTF8
	}
	return nil
}

func atMost(p []byte, n int, what string) error {
	if len(p) > n {
		return fmt.Errorf("its %s has %d bytes, want at most %d", what, len(p), n)
	}
	return nil
}

func atLeast(p []byte, n int) error {
	if len(p) < n {
		return fmt.Errorf("its payload has %d bytes, want at least %d", len(p), n)
	}
	return nil
}

// name is text that may stand in a log line and in a header.
func name(p []byte) error {
	if len(p) == 0 || len(p) > maxName {
		return fmt.Errorf("its name has %d bytes, want 1 to %d", len(p), maxName)
	}
	var all byte
	for _, b := range p {
		if b < 0x20 || b == 0x7f {
			return fmt.Errorf("its name has the control character 0x%02x", b)
		}
		all |= b
	}
	if all < utf8.RuneSelf { // which most names are
		return nil
	}
	return text(p)
}

func names(p []byte) error {
	if err := atMost(p, maxNames, "list of names"); err != nil {
		return err
	}
	for start, i := 0, 0; i <= len(p); i++ {
		if i < len(p) && p[i] != ',' {
			continue
		}
		if err := name(p[start:i]); err != nil {
			return err
		}
		start = i + 1
	}
	return nil
}

func deny(p []byte) error {
	if err := atLeast(p, 4); err != nil {
		return err
	}
	if status := binary.LittleEndian.Uint16(p); status < 400 || status > 599 {
		return fmt.Errorf("its status is %d, want 400 to 599", status)
	}
	return text(p[4:])
}

func cache(p []byte) error {
	if len(p) != 8 {
		return fmt.Errorf("its payload has %d bytes, want 8: u32 mode, u32 TTL", len(p))
	}
	if mode := binary.LittleEndian.Uint32(p); mode > abi.CacheExact {
		return fmt.Errorf("its mode is %d, want 0 to %d", mode, abi.CacheExact)
	}
	return nil
}

func metric(p []byte) error {
	key, value, err := pair(p)
	if err != nil {
		return err
	}
	if len(key) == 0 {
		return errors.New("its key is empty")
	}
	if err := text(key); err != nil {
		return err
	}
	return text(value)
}

// pair cuts u16 length, name, value.
func pair(p []byte) (name, value []byte, err error) {
	if err := atLeast(p, 2); err != nil {
		return nil, nil, err
	}
	n := 2 + int(binary.LittleEndian.Uint16(p))
	if err := atLeast(p, n); err != nil {
		return nil, nil, err
	}
	return p[2:n], p[n:], nil
}

// numbered checks a u32 below limit, then text.
func numbered(p []byte, limit uint32, what string) error {
	if err := atLeast(p, 4); err != nil {
		return err
	}
	if n := binary.LittleEndian.Uint32(p); n >= limit {
		return fmt.Errorf("its %s is %d, want less than %d", what, n, limit)
	}
	return text(p[4:])
}

func number(a abi.Action) error {
	if len(a.Payload) != 4 {
		return fmt.Errorf("its payload has %d bytes, want 4", len(a.Payload))
	}
	if a.Tag != abi.TagHedge && a.Uint() == 0 {
		return errors.New("it is 0, want at least 1")
	}
	return nil
}

func kvPut(p []byte) error {
	if err := atLeast(p, 6); err != nil {
		return err
	}
	key, value, err := pair(p[4:])
	if err != nil {
		return err
	}
	if err := kvKey(key); err != nil {
		return err
	}
	return atMost(value, abi.MaxKVValue, "value")
}

func kvAdd(p []byte) error {
	if err := atLeast(p, 12); err != nil {
		return err
	}
	return kvKey(p[12:])
}

func kvKey(key []byte) error {
	if len(key) == 0 || len(key) > abi.MaxKVKey {
		return fmt.Errorf("its key has %d bytes, want 1 to %d", len(key), abi.MaxKVKey)
	}
	return nil
}

// patches checks that rows and inserts fill the payload, and that the rows go forward inside a body of bodyLen bytes.
func patches(p []byte, bodyLen int) error {
	if err := atLeast(p, 4); err != nil {
		return err
	}
	n := uint64(binary.LittleEndian.Uint32(p))
	rows := p[4:]
	if n*12 > uint64(len(rows)) {
		return fmt.Errorf("its payload has %d bytes, too few for %d patches", len(p), n)
	}
	inserts := uint64(len(rows)) - n*12
	rows = rows[:n*12]
	var from, inserted uint64
	for i := 0; len(rows) > 0; i, rows = i+1, rows[12:] {
		offset := uint64(binary.LittleEndian.Uint32(rows))
		end := offset + uint64(binary.LittleEndian.Uint32(rows[4:]))
		if offset < from {
			return fmt.Errorf("patch %d begins at %d, inside or before the one that ends at %d; want them sorted", i,
				offset, from)
		}
		if end > uint64(bodyLen) {
			return fmt.Errorf("patch %d ends at %d, the body at %d", i, end, bodyLen)
		}
		from = end
		inserted += uint64(binary.LittleEndian.Uint32(rows[8:]))
	}
	if inserted != inserts {
		return fmt.Errorf("its patches insert %d bytes, but %d follow", inserted, inserts)
	}
	return nil
}
