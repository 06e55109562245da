package wasmtest

// Opcodes without immediates that tests name; any other is written as a byte.
const (
	OpUnreachable  = 0x00
	OpNop          = 0x01
	OpElse         = 0x05
	OpEnd          = 0x0b
	OpReturn       = 0x0f
	OpDrop         = 0x1a
	OpSelect       = 0x1b
	OpI32Eqz       = 0x45
	OpI32LtU       = 0x49
	OpI32LtS       = 0x48
	OpI32Add       = 0x6a
	OpI32Sub       = 0x6b
	OpI32Mul       = 0x6c
	OpI32Or        = 0x72
	OpI64Add       = 0x7c
	OpI64Or        = 0x84
	OpI64Shl       = 0x86
	OpI64ExtendU32 = 0xad
)

// Op returns opcodes as code.
func Op(ops ...byte) []byte { return ops }

// Code joins pieces of code.
func Code(parts ...[]byte) []byte { return join(parts...) }

// Repeat returns n copies of code.
func Repeat(n int, code []byte) []byte {
	out := make([]byte, 0, n*len(code))
	for range n {
		out = append(out, code...)
	}
	return out
}

// I32Const pushes v.
func I32Const(v int32) []byte { return join([]byte{0x41}, S64(int64(v))) }

// I64Const pushes v.
func I64Const(v int64) []byte { return join([]byte{0x42}, S64(v)) }

// LocalGet pushes a local.
func LocalGet(i uint32) []byte { return join([]byte{0x20}, U32(i)) }

// LocalSet pops into a local.
func LocalSet(i uint32) []byte { return join([]byte{0x21}, U32(i)) }

// LocalTee copies the top of the stack into a local.
func LocalTee(i uint32) []byte { return join([]byte{0x22}, U32(i)) }

// GlobalGet pushes a global.
func GlobalGet(i uint32) []byte { return join([]byte{0x23}, U32(i)) }

// GlobalSet pops into a global.
func GlobalSet(i uint32) []byte { return join([]byte{0x24}, U32(i)) }

// Call calls a function.
func Call(i uint32) []byte { return join([]byte{0x10}, U32(i)) }

// CallIndirect calls through table 0.
func CallIndirect(typ uint32) []byte { return join([]byte{0x11}, U32(typ), U32(0)) }

// RefFunc pushes a reference to a function.
func RefFunc(i uint32) []byte { return join([]byte{0xd2}, U32(i)) }

// Br branches to the label n blocks out.
func Br(n uint32) []byte { return join([]byte{0x0c}, U32(n)) }

// BrIf branches if the top of the stack is not zero.
func BrIf(n uint32) []byte { return join([]byte{0x0d}, U32(n)) }

// Block wraps code in a block without parameters or results.
func Block(code ...[]byte) []byte { return join([]byte{0x02, 0x40}, join(code...), []byte{OpEnd}) }

// Loop wraps code in a loop without parameters or results.
func Loop(code ...[]byte) []byte { return join([]byte{0x03, 0x40}, join(code...), []byte{OpEnd}) }

// If wraps code in an if without parameters or results.
func If(code ...[]byte) []byte { return join([]byte{0x04, 0x40}, join(code...), []byte{OpEnd}) }

// Forever loops over code without end.
func Forever(code ...[]byte) []byte { return Loop(join(code...), Br(0)) }

// Load is a load or store of opcode op at offset, aligned to one byte.
func Load(op byte, offset uint32) []byte { return join([]byte{op, 0}, U32(offset)) }

// Opcodes for Load.
const (
	OpI32Load   = 0x28
	OpI32Load8U = 0x2d
	OpI32Store  = 0x36
	OpI64Store  = 0x37
	OpI32Store8 = 0x3a
)

// MemoryGrow grows memory by the number of pages on the stack.
func MemoryGrow() []byte { return []byte{0x40, 0} }

// MemorySize pushes the number of pages.
func MemorySize() []byte { return []byte{0x3f, 0} }

// MemoryInit copies from a passive data segment.
func MemoryInit(segment uint32) []byte { return join([]byte{0xfc, 8}, U32(segment), []byte{0}) }

// DataDrop drops a data segment.
func DataDrop(segment uint32) []byte { return join([]byte{0xfc, 9}, U32(segment)) }

// MemoryCopy copies within memory.
func MemoryCopy() []byte { return []byte{0xfc, 10, 0, 0} }

// MemoryFill fills memory.
func MemoryFill() []byte { return []byte{0xfc, 11, 0} }

// TableInit copies from an element segment into a table.
func TableInit(segment, table uint32) []byte { return join([]byte{0xfc, 12}, U32(segment), U32(table)) }

// ElemDrop drops an element segment.
func ElemDrop(segment uint32) []byte { return join([]byte{0xfc, 13}, U32(segment)) }

// TableCopy copies between tables.
func TableCopy(dst, src uint32) []byte { return join([]byte{0xfc, 14}, U32(dst), U32(src)) }

// TableGrow grows a table.
func TableGrow(table uint32) []byte { return join([]byte{0xfc, 15}, U32(table)) }

// TableFill fills a table.
func TableFill(table uint32) []byte { return join([]byte{0xfc, 17}, U32(table)) }

// TableSet pops into a table's entry.
func TableSet(table uint32) []byte { return join([]byte{0x26}, U32(table)) }

// RefNull pushes a null reference of typ.
func RefNull(typ byte) []byte { return []byte{0xd0, typ} }
