package wedge1

import "encoding/binary"

// Actions is the list that a hook fills. Integers in it are little-endian, payloads are padded to 4 bytes.
type Actions struct {
	list []byte
	last int // where the newest action begins
}

func (a *Actions) reset() { a.list, a.last = a.list[:0], 0 }

// begin and end enclose the payload of an action.
func (a *Actions) begin(tag uint16) {
	a.last = len(a.list)
	a.list = append(a.list, byte(tag), byte(tag>>8), 0, 0, 0, 0, 0, 0)
}

func (a *Actions) end() {
	n := len(a.list) - a.last - 8
	binary.LittleEndian.PutUint32(a.list[a.last+4:], uint32(n))
	var padding [3]byte
	a.list = append(a.list, padding[:-n&3]...)
}

func add[T ~string | ~[]byte](a *Actions, tag uint16, rest T) {
	a.begin(tag)
	a.list = append(a.list, rest...)
	a.end()
}

func addU32[T ~string | ~[]byte](a *Actions, tag uint16, n uint32, rest T) {
	a.begin(tag)
	a.list = binary.LittleEndian.AppendUint32(a.list, n)
	a.list = append(a.list, rest...)
	a.end()
}

func (a *Actions) pair(tag uint16, name, value string) {
	a.begin(tag)
	a.list = binary.LittleEndian.AppendUint16(a.list, uint16(len(name)))
	a.list = append(a.list, name...)
	a.list = append(a.list, value...)
	a.end()
}

// Undo takes the newest action back.
func (a *Actions) Undo() { a.list = a.list[:a.last] }

// Critical refuses the request rather than do without the newest action.
func (a *Actions) Critical() {
	if len(a.list) > a.last {
		a.list[a.last+2] |= 1
	}
}

// JSON makes an object of actions, as docs/ABI.md writes them in JSON, the whole list. It has to be the only action.
func (a *Actions) JSON(object []byte) { a.list = append(a.list[:0], object...) }

// Target chooses a target by its name in the catalog.
func (a *Actions) Target(name string) { add(a, 1, name) }

// TargetBytes is Target for a name that lies in a view or config.
func (a *Actions) TargetBytes(name []byte) { add(a, 1, name) }

// Fallbacks names the targets to try next, separated by commas.
func (a *Actions) Fallbacks(names string) { add(a, 2, names) }

// Model sends the request to another model: a reference such as bot or bot@1.x.
func (a *Actions) Model(reference string) { add(a, 3, reference) }

// Version chooses a version, or an arm of the experiment on the model.
func (a *Actions) Version(version string) { add(a, 4, version) }

// SetHeader sets a header of the request upstream.
func (a *Actions) SetHeader(name, value string) { a.pair(5, name, value) }

// DeleteHeader takes a header out of the request upstream.
func (a *Actions) DeleteHeader(name string) { add(a, 6, name) }

// ResponseHeader sets a header of the answer to the client.
func (a *Actions) ResponseHeader(name, value string) { a.pair(7, name, value) }

// Deny refuses the request with an HTTP status, the seconds after which to try again (0: do not say) and a message.
func (a *Actions) Deny(status, retryAfter uint16, message string) {
	addU32(a, 8, uint32(status)|uint32(retryAfter)<<16, message)
}

// CacheSalt adds bytes to the cache key.
func (a *Actions) CacheSalt(salt []byte) { add(a, 9, salt) }

// The modes of Cache.
const (
	CacheKeep uint32 = iota // as the model says
	CacheOff
	CacheExact
)

// Cache says whether and for how many seconds (0: the model's) the answer is cached.
func (a *Actions) Cache(mode, ttl uint32) {
	a.begin(10)
	a.list = binary.LittleEndian.AppendUint32(a.list, mode)
	a.list = binary.LittleEndian.AppendUint32(a.list, ttl)
	a.end()
}

// Metric tags the request in metrics and logs: at most 8 tags, 32 bytes for a key and for a value.
func (a *Actions) Metric(key, value string) { a.pair(11, key, value) }

// Patch is one edit of the body: at Offset, take Delete bytes away and put Insert in their place.
type Patch struct {
	Offset, Delete uint32
	Insert         []byte
}

// Patches edits the body. The patches are sorted and do not overlap.
func (a *Actions) Patches(patches []Patch) {
	a.begin(12)
	a.list = binary.LittleEndian.AppendUint32(a.list, uint32(len(patches)))
	for _, p := range patches {
		a.list = binary.LittleEndian.AppendUint32(a.list, p.Offset)
		a.list = binary.LittleEndian.AppendUint32(a.list, p.Delete)
		a.list = binary.LittleEndian.AppendUint32(a.list, uint32(len(p.Insert)))
	}
	for _, p := range patches {
		a.list = append(a.list, p.Insert...)
	}
	a.end()
}

// Body replaces the whole body.
func (a *Actions) Body(body []byte) { add(a, 13, body) }

// SystemPrepend puts plain text before the system text.
func (a *Actions) SystemPrepend(text string) { addU32(a, 14, 0, text) }

// SystemReplace puts plain text in the system text's place.
func (a *Actions) SystemReplace(text string) { addU32(a, 14, 1, text) }

// Message replaces the text of the message with the index, counted from 0.
func (a *Actions) Message(index uint32, text []byte) { addU32(a, 15, index, text) }

// MaxTokens bounds the tokens of the answer.
func (a *Actions) MaxTokens(n uint32) { addU32(a, 16, n, "") }

// Timeout bounds the time of the whole answer, in milliseconds.
func (a *Actions) Timeout(ms uint32) { addU32(a, 17, ms, "") }

// The levels of Log.
const (
	Debug uint32 = iota
	Info
	Warn
	Failure
)

// Log writes a line to the node's log.
func (a *Actions) Log(level uint32, text string) { addU32(a, 18, level, text) }

// KVPut keeps a value for ttl seconds, 0 while the node runs.
func (a *Actions) KVPut(key, value []byte, ttl uint32) {
	a.begin(19)
	a.list = binary.LittleEndian.AppendUint32(a.list, ttl)
	a.list = binary.LittleEndian.AppendUint16(a.list, uint16(len(key)))
	a.list = append(a.list, key...)
	a.list = append(a.list, value...)
	a.end()
}

// KVAdd adds to a counter that begins at 0 and is kept for ttl seconds, 0 while the node runs.
func (a *Actions) KVAdd(key []byte, delta int64, ttl uint32) {
	a.begin(20)
	a.list = binary.LittleEndian.AppendUint64(a.list, uint64(delta))
	a.list = binary.LittleEndian.AppendUint32(a.list, ttl)
	a.list = append(a.list, key...)
	a.end()
}

// Hedge starts a second attempt if the first has not begun to answer after so many milliseconds.
func (a *Actions) Hedge(ms uint32) { addU32(a, 21, ms, "") }

// Shadow sends a copy of the request to a target whose answer nobody gets.
func (a *Actions) Shadow(target string) { add(a, 22, target) }

// Answer answers in the provider's place.
func (a *Actions) Answer(text string) { add(a, 23, text) }

// State leaves at most 256 bytes for the next view of this request.
func (a *Actions) State(state []byte) { add(a, 24, state) }

// Text puts other text in the place of the chunk's or the response's.
func (a *Actions) Text(text []byte) { add(a, 25, text) }

// Drop keeps the chunk back.
func (a *Actions) Drop() { add(a, 26, "") }

// Stop ends the stream well after this chunk.
func (a *Actions) Stop(reason string) { add(a, 27, reason) }
