package abi

import (
	"encoding/binary"
	"errors"
)

// Limits of one action list, which a guest's mistake or malice may not get past.
const (
	MaxActions = 4096
	MaxList    = 1 << 20 // bytes, on top of the length of what the policy may edit
)

const actionHeader = 8 // u16 tag, u16 flags, u32 length of the payload

// What Next refuses.
var (
	errShort   = errors.New("the list ends inside an action's header, want 8 bytes: u16 tag, u16 flags, u32 length")
	errLength  = errors.New("an action's length reaches past the end of the list")
	errPadding = errors.New("the list ends inside an action's padding, want each payload padded to a multiple of 4")
	errFlags   = errors.New("an action's flags are neither 0 nor 1 (critical)")
)

// Action is one decision. Its payload is a part of the list it was read from.
//
// The typed accessors below cut the payload as the tag's comment says. They may be called only for the tags they name
// and only on actions that policy.Check has accepted; on others they may panic.
type Action struct {
	Tag      Tag
	Critical bool
	Payload  []byte
}

// Next cuts the first action off a list that is not empty.
func Next(list []byte) (a Action, rest []byte, err error) {
	if len(list) < actionHeader {
		return Action{}, nil, errShort
	}
	head := binary.LittleEndian.Uint64(list)
	n, body := head>>32, list[actionHeader:]
	if n > uint64(len(body)) {
		return Action{}, nil, errLength
	}
	padded := (n + 3) &^ 3
	if padded > uint64(len(body)) {
		return Action{}, nil, errPadding
	}
	flags := uint16(head >> 16)
	if flags > FlagCritical {
		return Action{}, nil, errFlags
	}
	return Action{Tag(head), flags == FlagCritical, body[:n:n]}, body[padded:], nil
}

// Hosted tells whether the program's host carries the action out itself: logs and key-values.
func (t Tag) Hosted() bool { return t >= TagLog && t <= TagKVAdd }

// Text is the payload of a tag that is "rest" alone: TagTarget, TagFallbacks, TagModel, TagVersion, TagDeleteHeader,
// TagCacheSalt, TagBody, TagShadow, TagAnswer, TagState, TagText and TagStop.
func (a Action) Text() []byte { return a.Payload }

// Pair is the name and the value of TagSetHeader, TagResponseHeader and TagMetric.
func (a Action) Pair() (name, value []byte) { return cutName(a.Payload) }

// Uint is the number of TagMaxTokens (tokens), TagTimeout (milliseconds) and TagHedge (milliseconds).
func (a Action) Uint() uint32 { return binary.LittleEndian.Uint32(a.Payload) }

// Deny is the status, the seconds after which to try again (0: do not say) and the message of TagDeny.
func (a Action) Deny() (status, retryAfter uint16, message []byte) {
	return binary.LittleEndian.Uint16(a.Payload), binary.LittleEndian.Uint16(a.Payload[2:]), a.Payload[4:]
}

// Cache is the mode (CacheKeep …) and the TTL in seconds (0: the model's) of TagCache.
func (a Action) Cache() (mode, ttl uint32) {
	return binary.LittleEndian.Uint32(a.Payload), binary.LittleEndian.Uint32(a.Payload[4:])
}

// System is the mode (SystemPrepend, SystemReplace) and the text of TagSystem.
func (a Action) System() (mode uint32, text []byte) { return cutUint(a.Payload) }

// Message is the index, counted from 0, and the new text of TagMessage.
func (a Action) Message() (index uint32, text []byte) { return cutUint(a.Payload) }

// Log is the level (LogDebug …) and the text of TagLog.
func (a Action) Log() (level uint32, text []byte) { return cutUint(a.Payload) }

// KVPut is the TTL in seconds (0: while the node runs), the key and the value of TagKVPut.
func (a Action) KVPut() (ttl uint32, key, value []byte) {
	ttl, rest := cutUint(a.Payload)
	key, value = cutName(rest)
	return ttl, key, value
}

// KVAdd is the delta, the TTL in seconds (0: while the node runs) and the key of TagKVAdd.
func (a Action) KVAdd() (delta int64, ttl uint32, key []byte) {
	ttl, key = cutUint(a.Payload[8:])
	return int64(binary.LittleEndian.Uint64(a.Payload)), ttl, key
}

// Patches walks the patches of TagPatches.
func (a Action) Patches() Patches {
	n, rest := cutUint(a.Payload)
	return Patches{rows: rest[:n*patchRow], inserts: rest[n*patchRow:]}
}

const patchRow = 12 // u32 offset, u32 delete, u32 length of the insert

// Patches are edits of the request's body, in the order of their offsets.
type Patches struct{ rows, inserts []byte }

// Next gives the first patch and moves on: at offset, take away so many bytes and put insert in their place. ok is
// false at the end.
func (p *Patches) Next() (offset, remove int, insert []byte, ok bool) {
	if len(p.rows) == 0 {
		return 0, 0, nil, false
	}
	offset = int(binary.LittleEndian.Uint32(p.rows))
	remove = int(binary.LittleEndian.Uint32(p.rows[4:]))
	n := binary.LittleEndian.Uint32(p.rows[8:])
	insert = p.inserts[:n:n]
	p.rows, p.inserts = p.rows[patchRow:], p.inserts[n:]
	return offset, remove, insert, true
}

func cutUint(p []byte) (uint32, []byte) { return binary.LittleEndian.Uint32(p), p[4:] }

func cutName(p []byte) (name, rest []byte) {
	n := 2 + int(binary.LittleEndian.Uint16(p))
	return p[2:n:n], p[n:]
}
