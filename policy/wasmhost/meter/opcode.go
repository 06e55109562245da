package meter

// Opcodes that the rewriter knows by name.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opLocalGet     = 0x20
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableSet     = 0x26
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI64LtS       = 0x53
	opI32ShrU      = 0x76
	opI64Sub       = 0x7d
	opI64ExtendU32 = 0xad
	opRefNull      = 0xd0
	opRefFunc      = 0xd2
	opMisc         = 0xfc
	opVector       = 0xfd
)

// Opcodes after opMisc.
const (
	miscMemoryInit = 8
	miscDataDrop   = 9
	miscMemoryCopy = 10
	miscMemoryFill = 11
	miscTableInit  = 12
	miscElemDrop   = 13
	miscTableCopy  = 14
	miscTableGrow  = 15
	miscTableSize  = 16
	miscTableFill  = 17
)

// Opcodes after opVector.
const (
	vecLoad      = 0x00 // the first of loads and stores
	vecStore     = 0x0b // the last
	vecConst     = 0x0c
	vecShuffle   = 0x0d
	vecLane      = 0x15 // the first that extracts or replaces a lane
	vecLaneLast  = 0x22
	vecLoadLane  = 0x54 // the first that loads or stores a lane
	vecStoreLane = 0x5b // the last
	vecLoadZero  = 0x5c
	vecLoadZero2 = 0x5d
)

// operands is what follows an opcode.
type operands uint8

const (
	unknown operands = iota
	none
	blockType
	endOrElse
	label
	labels
	function
	typeAndTable
	selectType
	local
	global
	table
	memArg
	memIndex
	sleb32
	sleb64
	bytes4
	bytes8
	refType
	misc
	vector
	exceptions
	tailCalls
	typedRefs
	collected
	atomics
)

// layout has the operands of every opcode.
var layout = func() (l [256]operands) {
	for op := 0x45; op <= 0xc4; op++ {
		l[op] = none
	}
	for op := 0x28; op <= 0x3e; op++ {
		l[op] = memArg
	}
	for kind, ops := range map[operands][]byte{
		none:      {opUnreachable, opNop, opReturn, opDrop, 0x1b, 0xd1},
		blockType: {opBlock, opLoop, opIf}, endOrElse: {opElse, opEnd},
		label: {0x0c, 0x0d}, labels: {0x0e},
		function: {opCall, opRefFunc}, typeAndTable: {opCallIndirect}, selectType: {0x1c},
		local: {opLocalGet, 0x21, opLocalTee}, global: {opGlobalGet, opGlobalSet}, table: {0x25, opTableSet},
		memIndex: {0x3f, opMemoryGrow},
		sleb32:   {opI32Const}, sleb64: {opI64Const}, bytes4: {opF32Const}, bytes8: {opF64Const},
		refType: {opRefNull}, misc: {opMisc}, vector: {opVector},
		exceptions: {0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f}, tailCalls: {0x12, 0x13},
		typedRefs: {0x14, 0x15, 0xd4, 0xd5, 0xd6}, collected: {0xd3, 0xfb}, atomics: {0xfe},
	} {
		for _, op := range ops {
			l[op] = kind
		}
	}
	return l
}()

// proposals says what to do about instructions that nodes do not run.
var proposals = map[operands]string{
	exceptions: "the exception-handling proposal, which nodes do not run; build without exceptions",
	tailCalls:  "the tail-call proposal, which nodes do not run; build without it (clang: -mno-tail-call)",
	typedRefs:  "the typed-function-references proposal, which nodes do not run; build without it",
	collected:  "the GC proposal, which nodes do not run; use a language that brings its own memory management",
	atomics:    "the threads proposal, which nodes do not run; build without atomics and threads",
}

// Units of fuel: about one simple instruction each.
const (
	costEntry    = 2 // of a function
	costLoop     = 1 // of a turn of a loop
	costCall     = 4 // on top of what the callee takes
	costIndirect = 8 // likewise
	costMisc     = 8 // of work on ranges, on top of their length
	localsPerUse = 4 // locals zeroed for one unit
)

// Blocks that an engine compiles, besides those in the code.
const (
	blocksOfLoop = 3
	blocksOfFill = 4
)

// cost returns what an instruction takes, besides the length of what it works on.
func cost(op byte) uint32 {
	switch op {
	case opNop, opBlock, opElse, opEnd, opDrop:
		return 0
	case opCall:
		return costCall
	case opCallIndirect:
		return costIndirect
	case opMisc:
		return costMisc
	}
	return 1
}
