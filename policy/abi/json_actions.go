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
		i := s.name(memberNames[:])
		if s.err != nil {
			break
		}
		if seen&(1<<i) != 0 {
			s.fail("%q is there twice", memberNames[i])
			break
		}
		seen |= 1 << i
		s.member = memberNames[i]
		members[i].read(&s, members[i].tag)
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

// members are those of the outermost object.
var members = [...]struct {
	name string
	tag  Tag
	read func(*scanner, Tag)
}{
	{"target", TagTarget, (*scanner).textAction},
	{"fallbacks", TagFallbacks, (*scanner).fallbacks},
	{"model", TagModel, (*scanner).textAction},
	{"version", TagVersion, (*scanner).textAction},
	{"set_headers", TagSetHeader, (*scanner).pairs},
	{"delete_headers", TagDeleteHeader, (*scanner).texts},
	{"response_headers", TagResponseHeader, (*scanner).pairs},
	{"deny", TagDeny, (*scanner).deny},
	{"cache_salt", TagCacheSalt, (*scanner).textAction},
	{"cache", TagCache, (*scanner).cache},
	{"tags", TagMetric, (*scanner).pairs},
	{"patches", TagPatches, (*scanner).patches},
	{"body", TagBody, (*scanner).body},
	{"system", TagSystem, (*scanner).system},
	{"messages", TagMessage, (*scanner).messages},
	{"max_tokens", TagMaxTokens, (*scanner).uintAction},
	{"timeout_ms", TagTimeout, (*scanner).uintAction},
	{"log", TagLog, (*scanner).logs},
	{"kv_put", TagKVPut, (*scanner).kvPuts},
	{"kv_add", TagKVAdd, (*scanner).kvAdds},
	{"hedge_ms", TagHedge, (*scanner).uintAction},
	{"shadow", TagShadow, (*scanner).textAction},
	{"answer", TagAnswer, (*scanner).textAction},
	{"state", TagState, (*scanner).textAction},
	{"text", TagText, (*scanner).textAction},
	{"drop", TagDrop, (*scanner).drop},
	{"stop", TagStop, (*scanner).textAction},
}

var memberNames = func() (names [len(members)]string) {
	for i, m := range members {
		names[i] = m.name
	}
	return names
}()

// String is the tag's name, which is its member's in JSON.
func (t Tag) String() string {
	for _, m := range members {
		if m.tag == t {
			return m.name
		}
	}
	return "unknown tag"
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

// counted appends what read appends, behind its length as u16.
func (s *scanner) counted(read func(*scanner)) {
	at := len(s.dst)
	s.dst = append(s.dst, 0, 0)
	read(s)
	n := len(s.dst) - at - 2
	if n > math.MaxUint16 {
		s.fail("a name has %d bytes, want at most %d", n, math.MaxUint16)
	}
	binary.LittleEndian.PutUint16(s.dst[at:], uint16(n))
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
		s.counted((*scanner).key)
		s.text()
		s.end(at)
	}
}

func (s *scanner) fallbacks(t Tag) {
	at := s.begin(t)
	for s.open('['); s.more(']'); {
		if len(s.dst) > at {
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
		s.counted(func(s *scanner) { s.textAt(field[0]) })
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
