package abi

// Request is what a policy sees of a request. Its byte fields are borrowed from the caller for one call. In the view
// each becomes a span (u32 offset from the start of the buffer, u32 length) at the place its comment names.
type Request struct {
	Flags        uint32  // 12
	ID           uint64  // 16
	UnixMS       int64   // 24
	PrefixHash   uint64  // 32: of system text and tools
	Random       uint64  // 40: for draws without imports
	PromptTokens uint32  // 48: estimated
	MaxTokens    uint32  // 52: 0 where the client is silent
	Messages     uint32  // 56: how many
	Tools        uint32  // 60: how many
	Temperature  float32 // 64: NaN where the client is silent
	Attempt      uint32  // 68: 0 for the first

	Model    []byte   // 72: as resolved, without @version
	Tenant   []byte   // 80
	User     []byte   // 88: the unit's user, empty if unknown
	Endpoint []byte   // 96: the path, such as /v1/chat/completions
	System   []byte   // 104: with CapSystem
	LastUser []byte   // 112: with CapUser
	Headers  []Pair   // 120: with CapHeaders; u32 n, n × (name span, value span)
	Targets  []Target // 128: with CapTargets; u32 n, n × TargetRow bytes
	Body     []byte   // 136: with CapBody
	KV       []Pair   // 144: preloaded key-values, shaped like the headers
	Version  []byte   // 152
}

// Pair is a name and its value.
type Pair struct{ Name, Value []byte }

// Target is one row of the targets table: 0 name span, 8 region span, 16 flags, 20 in flight, 24 TTFT µs, 28 µs per
// token, 32 price in, 36 price out.
type Target struct {
	Name, Region []byte
	Flags        uint32 // TargetHealthy, TargetBreaker
	InFlight     uint32
	TTFT         uint32 // moving average of the time to first token, µs; 0 unknown
	PerToken     uint32 // moving average, µs per output token; 0 unknown
	PriceIn      uint32 // nano-USD per 1,000 tokens; ^0 unknown
	PriceOut     uint32
}

// Chunk is one decoded delta of a streamed answer.
type Chunk struct {
	Flags  uint32 // 12: ChunkFirst, ChunkLast
	ID     uint64 // 16
	Seq    uint32 // 24: counts this request's chunks from 0
	Choice uint32 // 28
	Tokens uint32 // 32: sent so far, estimated
	Text   []byte // 40
	State  []byte // 48: what the last call of this request left, at most MaxState bytes
	Finish []byte // 56: the finish reason, with ChunkLast
}

// Response is a whole answer's text.
type Response struct {
	Flags         uint32 // 12: DoneCached
	ID            uint64 // 16
	Status        uint32 // 24
	Choice        uint32 // 28
	Input, Output uint32 // 32, 36: tokens
	Text          []byte // 40
	State         []byte // 48: what wedge1_request left
	Finish        []byte // 56
}

// Done tells how a request ended.
type Done struct {
	Flags                            uint32 // 12
	ID                               uint64 // 16
	Status                           uint32 // 24
	TTFT                             uint32 // 28: µs
	Duration                         uint32 // 32: µs
	Input, Output, Cached, Reasoning uint32 // 36, 40, 44, 48: tokens
	CostNanoUSD                      uint64 // 56: ^0 unknown
	Model, Version, Target           []byte // 64, 72, 80
	State                            []byte // 88
}
