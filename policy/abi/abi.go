// Package abi is the byte contract wedge1 between the node and a policy's WebAssembly guest: names, numbers and
// layouts, and the code that writes views and reads actions. It knows no WebAssembly and builds for wasip1 too.
package abi

// Version is the contract's major version and the prefix of every export.
const Version = "wedge1"

// Names of a guest's exports, and of the module its optional imports come from.
const (
	ExportMemory   = "memory"
	ExportCaps     = "wedge1_caps"     // () -> i32: Caps
	ExportAlloc    = "wedge1_alloc"    // (size i32) -> i32: the input buffer
	ExportInit     = "wedge1_init"     // (len i32) -> i32: 0 or a negative Result
	ExportRequest  = "wedge1_request"  // (len i32) -> i64: Result
	ExportResponse = "wedge1_response" // (len i32) -> i64
	ExportChunk    = "wedge1_chunk"    // (len i32) -> i64
	ExportDone     = "wedge1_done"     // (len i32) -> i64

	ImportModule = "wedge1"
)

// Caps are the bits of wedge1_caps: what a guest wants to see, and what it does.
type Caps uint32

// The capability bits. A span whose bit is unset is 0,0.
const (
	CapJSON     Caps = 1 << iota // the view is one JSON object
	CapBody                      // the raw body
	CapSystem                    // the system text
	CapUser                      // the last user text
	CapHeaders                   // the headers that the catalog lists
	CapTargets                   // the targets table
	CapChunk                     // exports wedge1_chunk
	CapResponse                  // exports wedge1_response
	CapDone                      // exports wedge1_done
	CapState                     // keeps state in its memory between requests
)

// Magic numbers: the first four bytes of each view, read as little-endian u32.
const (
	MagicRequest  = 'W' | 'D'<<8 | 'G'<<16 | '1'<<24
	MagicResponse = 'W' | 'D'<<8 | 'G'<<16 | 'R'<<24
	MagicChunk    = 'W' | 'D'<<8 | 'G'<<16 | 'C'<<24
	MagicDone     = 'W' | 'D'<<8 | 'G'<<16 | 'D'<<24
)

// Lengths of the fixed part of each view, in bytes. A later minor version may only append to them.
const (
	RequestHeader  = 160
	ResponseHeader = 64
	ChunkHeader    = 64
	DoneHeader     = 96
	TargetRow      = 40
)

// Bits of a request's flags.
const (
	FlagStream uint32 = 1 << iota
	FlagTools
	FlagImages
	FlagJSONOutput
	FlagRetry
)

// Bits of a chunk's flags.
const (
	ChunkFirst uint32 = 1 << iota // the first delta of this choice
	ChunkLast                     // no text follows for this choice; its own text may be empty
)

// Bits of the flags of a response and of a done view.
const (
	DoneError     uint32 = 1 << iota // the client got an error
	DoneCached                       // a cache or another caller's call answered
	DoneCancelled                    // the client left before the end
	DoneStream                       // the answer was streamed
)

// Bits of a target's flags.
const (
	TargetHealthy uint32 = 1 << iota
	TargetBreaker        // its breaker keeps requests away
)

// Tag names an action.
type Tag uint16

// The actions. Integers are little-endian; text is UTF-8 without a terminator; "rest" is what is left of the payload.
const (
	TagTarget         Tag = 1  // rest: name
	TagFallbacks      Tag = 2  // rest: names, separated by commas
	TagModel          Tag = 3  // rest: model reference
	TagVersion        Tag = 4  // rest: a version (1.2.0) or the name of an arm
	TagSetHeader      Tag = 5  // u16 length of name, name, rest: value; on the request upstream
	TagDeleteHeader   Tag = 6  // rest: name
	TagResponseHeader Tag = 7  // as TagSetHeader, on the answer to the client
	TagDeny           Tag = 8  // u16 status, u16 retry-after in seconds (0 none), rest: message
	TagCacheSalt      Tag = 9  // rest: bytes that become part of the cache key
	TagCache          Tag = 10 // u32 mode (CacheKeep …), u32 TTL in seconds (0: the model's)
	TagMetric         Tag = 11 // u16 length of key, key, rest: value
	TagPatches        Tag = 12 // u32 n, n × (u32 offset, u32 delete, u32 insert length), then the inserts; sorted, not overlapping
	TagBody           Tag = 13 // rest: the whole new body
	TagSystem         Tag = 14 // u32 mode (SystemPrepend, SystemReplace), rest: text
	TagMessage        Tag = 15 // u32 index of the message, rest: its new text
	TagMaxTokens      Tag = 16 // u32
	TagTimeout        Tag = 17 // u32 milliseconds, for the whole answer
	TagLog            Tag = 18 // u32 level (LogDebug …), rest: text
	TagKVPut          Tag = 19 // u32 TTL in seconds (0: while the node runs), u16 length of key, key, rest: value
	TagKVAdd          Tag = 20 // i64 delta, u32 TTL in seconds, rest: key
	TagHedge          Tag = 21 // u32 milliseconds
	TagShadow         Tag = 22 // rest: name of a target
	TagAnswer         Tag = 23 // rest: text of the answer that the host builds in the client's dialect
	TagState          Tag = 24 // rest: at most MaxState bytes that the next chunk's or the response's view brings back
	TagText           Tag = 25 // rest: the text in place of the chunk's or the response's
	TagDrop           Tag = 26 // the chunk is not sent
	TagStop           Tag = 27 // rest: reason; the stream ends well after this chunk
)

// FlagCritical refuses a list whose reader does not know, or may not do, the action.
const FlagCritical = 1

// Modes of TagCache.
const (
	CacheKeep uint32 = iota // as the model says
	CacheOff
	CacheExact
)

// Modes of TagSystem.
const (
	SystemPrepend uint32 = iota
	SystemReplace
)

// Levels of TagLog and of the import log.
const (
	LogDebug uint32 = iota
	LogInfo
	LogWarn
	LogError
)

// Negative results of a hook.
const (
	ErrInternal    = -1
	ErrBadInput    = -2
	ErrUnsupported = -3
	ErrConfig      = -4
	ErrExhausted   = -5
)

// Limits of one list and of the key-values.
const (
	MaxState    = 256     // bytes of TagState
	MaxTags     = 8       // TagMetric actions of one policy and request that count
	MaxHeaders  = 64      // actions on headers in a list
	MaxTagText  = 32      // bytes of a metric tag's key and of its value
	MaxKVKey    = 128     // bytes
	MaxKVValue  = 4 << 10 // bytes
	MaxKVPolicy = 1 << 20 // bytes of one policy's keys and values
)
