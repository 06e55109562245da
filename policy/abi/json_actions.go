package abi

import (
	"bytes"
	"encoding/binary"
	"math"
)

// AppendFromJSON appends the list of actions that a JSON object stands for, in the order of its members, none of them
// critical. It is strict: an unknown or repeated member, a member that is missing, and a value of another type than
// docs/ABI.md names are errors, which tell the member and the byte and leave dst as it came. What the values mean is
// not checked here but by policy.Check, as with a list that is binary from the start. object may not lie in dst.
func AppendFromJSON(dst, object []byte) ([]byte, error) {
	s := scanner{in: object, dst: dst}
	var seen uint64
	for s.open('{'); s.more('}'); {
		t := Tag(s.name(tagNames[1:]) + 1)
		if seen&(1<<t) != 0 {
			s.fail("%q is there twice", t)
		}
		if s.err != nil {
			break
		}
		seen |= 1 << t
		s.member = tagNames[t]
		s.action(t)
		s.member = ""
	}
	if s.peek() != 0 || s.at < len(s.in) {
		s.fail("the object ends, but more follows")
	}
	if s.err != nil {
		return dst, s.err
	}
	return s.dst, nil
}

// tagNames are the members of the outermost object: that of tag 1 first.
var tagNames = [...]string{
	TagTarget:         "target",
	TagFallbacks:      "fallbacks",
	TagModel:          "model",
	TagVersion:        "version",
	TagSetHeader:      "set_headers",
	TagDeleteHeader:   "delete_headers",
	TagResponseHeader: "response_headers",
	TagDeny:           "deny",
	TagCacheSalt:      "cache_salt",
	TagCache:          "cache",
	TagMetric:         "tags",
	TagPatches:        "patches",
	TagBody:           "body",
	TagSystem:         "system",
	TagMessage:        "messages",
	TagMaxTokens:      "max_tokens",
	TagTimeout:        "timeout_ms",
	TagLog:            "log",
	TagKVPut:          "kv_put",
	TagKVAdd:          "kv_add",
	TagHedge:          "hedge_ms",
	TagShadow:         "shadow",
	TagAnswer:         "answer",
	TagState:          "state",
	TagText:           "text",
	TagDrop:           "drop",
	TagStop:           "stop",
}

// action reads the value of a member as the actions it stands for.
func (s *scanner) action(t Tag) {
	switch t {
	case TagFallbacks:
		s.fallbacks(t)
	case TagSetHeader, TagResponseHeader, TagMetric:
		s.pairs(t)
	case TagDeleteHeader:
		s.texts(t)
	case TagDeny:
		s.deny(t)
	case TagCache:
		s.cache(t)
	case TagPatches:
		s.patches(t)
	case TagBody:
		s.body(t)
	case TagSystem:
		s.system(t)
	case TagMessage:
		s.messages(t)
	case TagMaxTokens, TagTimeout, TagHedge:
		s.uintAction(t)
	case TagLog:
		s.logs(t)
	case TagKVPut:
		s.kvPuts(t)
	case TagKVAdd:
		s.kvAdds(t)
	case TagDrop:
		s.drop(t)
	default:
		s.textAction(t)
	}
}

// String is the tag's name, which is its member's in JSON.
func (t Tag) String() string {
	if t == 0 || int(t) >= len(tagNames) {
		return "unknown tag"
	}
	return tagNames[t]
}

// name reads the name of a member and tells which of the names it is.
func (s *scanner) name(names []string) int {
	start := len(s.dst)
	s.key()
	got := s.dst[start:]
	s.dst = s.dst[:start]
	for i, name := range names {
		if string(got) == name {
			return i
		}
	}
	s.fail("unknown member %q", bytes.ToValidUTF8(got[:min(len(got), 64)], nil))
	return -1
}

// fields passes over an object and gives, for each name, where its value begins (0: it is not there), and where the
// object ends. The first need of the names must be there.
func (s *scanner) fields(need int, names ...string) (at [3]int, end int) {
	for s.open('{'); s.more('}'); {
		i := s.name(names)
		if s.err != nil {
			break
		}
		if at[i] != 0 {
			s.fail("%q is there twice", names[i])
		}
		s.peek()
		at[i] = s.at
		s.value(0)
	}
	for i := range need {
		if at[i] == 0 {
			s.fail("%q is missing", names[i])
		}
	}
	return at, s.at
}

func (s *scanner) textAt(at int) {
	if s.at = at; at != 0 {
		s.text()
	}
}

func (s *scanner) uintAt(at int, limit, missing uint64) uint64 {
	if s.at = at; at != 0 {
		return s.uint(limit)
	}
	return missing
}

// begin opens an action; its payload is what is appended up to end.
func (s *scanner) begin(t Tag) (at int) {
	if s.actions++; s.actions > MaxActions {
		s.fail("more than %d actions", MaxActions)
	}
	s.dst = openAction(s.dst, t)
	return len(s.dst)
}

func (s *scanner) end(at int) { s.dst = closeAction(s.dst, at) }

func (s *scanner) put32(n uint64) { s.dst = binary.LittleEndian.AppendUint32(s.dst, uint32(n)) }

// openName makes room for the u16 length of a name, which is what is appended up to closeName.
func (s *scanner) openName() (at int) {
	s.dst = append(s.dst, 0, 0)
	return len(s.dst)
}

func (s *scanner) closeName(at int) {
	n := len(s.dst) - at
	if n > math.MaxUint16 {
		s.fail("a name has %d bytes, want at most %d", n, math.MaxUint16)
	}
	binary.LittleEndian.PutUint16(s.dst[at-2:], uint16(n))
}

func (s *scanner) textAction(t Tag) {
	at := s.begin(t)
	s.text()
	s.end(at)
}

func (s *scanner) uintAction(t Tag) {
	at := s.begin(t)
	s.put32(s.uint(math.MaxUint32))
	s.end(at)
}

func (s *scanner) texts(t Tag) {
	for s.open('['); s.more(']'); {
		s.textAction(t)
	}
}

func (s *scanner) pairs(t Tag) {
	for s.open('{'); s.more('}'); {
		at := s.begin(t)
		name := s.openName()
		s.key()
		s.closeName(name)
		s.text()
		s.end(at)
	}
}

func (s *scanner) fallbacks(t Tag) {
	at := s.begin(t)
	s.open('[')
	for n := 0; s.more(']'); n++ {
		if n > 0 {
			s.dst = append(s.dst, ',')
		}
		start := len(s.dst)
		s.text()
		if bytes.IndexByte(s.dst[start:], ',') >= 0 {
			s.fail("a name holds a comma")
		}
	}
	s.end(at)
}

func (s *scanner) deny(t Tag) {
	field, end := s.fields(0, "status", "retry_after", "message")
	at := s.begin(t)
	s.dst = binary.LittleEndian.AppendUint16(s.dst, uint16(s.uintAt(field[0], math.MaxUint16, 403)))
	s.dst = binary.LittleEndian.AppendUint16(s.dst, uint16(s.uintAt(field[1], math.MaxUint16, 0)))
	s.textAt(field[2])
	s.end(at)
	s.at = end
}

func (s *scanner) cache(t Tag) {
	field, end := s.fields(0, "mode", "ttl")
	mode := int(CacheKeep)
	if s.at = field[0]; s.at != 0 {
		mode = s.literal(`"keep"`, `"off"`, `"exact"`)
	}
	at := s.begin(t)
	s.put32(uint64(mode))
	s.put32(s.uintAt(field[1], math.MaxUint32, 0))
	s.end(at)
	s.at = end
}

// patches writes all rows first, then goes through the array again for the inserts.
func (s *scanner) patches(t Tag) {
	at := s.begin(t)
	s.put32(0)
	s.peek()
	array, n := s.at, 0
	for s.open('['); s.more(']'); n++ {
		field, end := s.fields(1, "offset", "delete", "insert")
		s.put32(s.uintAt(field[0], math.MaxUint32, 0))
		s.put32(s.uintAt(field[1], math.MaxUint32, 0))
		s.put32(0)
		s.at = end
	}
	s.at = array
	row := at + 4
	for s.open('['); s.more(']'); row += patchRow {
		field, end := s.fields(1, "offset", "delete", "insert")
		start := len(s.dst)
		s.textAt(field[2])
		binary.LittleEndian.PutUint32(s.dst[row+8:], uint32(len(s.dst)-start))
		s.at = end
	}
	binary.LittleEndian.PutUint32(s.dst[at:], uint32(n))
	s.end(at)
}

// body takes a string that holds the body, or an object that is it.
func (s *scanner) body(t Tag) {
	at := s.begin(t)
	if s.peek() == '{' {
		start := s.at
		s.value(0)
		s.dst = append(s.dst, s.in[start:s.at]...)
	} else {
		s.text()
	}
	s.end(at)
}

func (s *scanner) system(t Tag) {
	field, end := s.fields(0, "prepend", "replace")
	if (field[0] == 0) == (field[1] == 0) {
		s.fail("want either \"prepend\" or \"replace\"")
	}
	mode := SystemPrepend
	if field[1] != 0 {
		mode = SystemReplace
	}
	at := s.begin(t)
	s.put32(uint64(mode))
	s.textAt(field[mode])
	s.end(at)
	s.at = end
}

func (s *scanner) messages(t Tag) {
	for s.open('['); s.more(']'); {
		field, end := s.fields(2, "index", "text")
		at := s.begin(t)
		s.put32(s.uintAt(field[0], math.MaxUint32, 0))
		s.textAt(field[1])
		s.end(at)
		s.at = end
	}
}

func (s *scanner) logs(t Tag) {
	for s.open('['); s.more(']'); {
		field, end := s.fields(1, "text", "level")
		level := int(LogInfo)
		if s.at = field[1]; s.at != 0 {
			level = s.literal(`"debug"`, `"info"`, `"warn"`, `"error"`)
		}
		at := s.begin(t)
		s.put32(uint64(level))
		s.textAt(field[0])
		s.end(at)
		s.at = end
	}
}

func (s *scanner) kvPuts(t Tag) {
	for s.open('['); s.more(']'); {
		field, end := s.fields(2, "key", "value", "ttl")
		at := s.begin(t)
		s.put32(s.uintAt(field[2], math.MaxUint32, 0))
		name := s.openName()
		s.textAt(field[0])
		s.closeName(name)
		s.textAt(field[1])
		s.end(at)
		s.at = end
	}
}

func (s *scanner) kvAdds(t Tag) {
	for s.open('['); s.more(']'); {
		field, end := s.fields(2, "key", "delta", "ttl")
		at := s.begin(t)
		s.at = field[1]
		s.dst = binary.LittleEndian.AppendUint64(s.dst, uint64(s.int()))
		s.put32(s.uintAt(field[2], math.MaxUint32, 0))
		s.textAt(field[0])
		s.end(at)
		s.at = end
	}
}

func (s *scanner) drop(t Tag) {
	if s.literal("false", "true") == 1 {
		s.end(s.begin(t))
	}
}
