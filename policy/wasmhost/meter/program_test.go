package meter_test

import (
	. "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// program makes a valid module that ends out of arbitrary bytes, each of which is one choice.
type program struct {
	choices []byte
	budget  int // statements that may still be made
	depth   int // loops around what is being made
	fn      uint32
	looped  uint32 // type of a block that takes and gives an i32
}

const (
	programFuncs = 4
	intLocals    = 3 // i32, of which the first is the parameter; counters of loops follow
	maxDepth     = 3
)

// choose returns a number below n.
func (p *program) choose(n int) int {
	if len(p.choices) == 0 {
		return 0
	}
	c := p.choices[0]
	p.choices = p.choices[1:]
	return int(c) % n
}

// module returns a module of functions that call those with higher indices only.
func (p *program) module() []byte {
	m := &Module{}
	m.Memory(1, 3)
	m.Table(FuncRef, programFuncs+1, 8)
	m.Global(I32, true, I32Const(1))
	m.Global(I64, true, I64Const(1))
	one := []byte{I32}
	p.looped = m.Type(one, one)
	p.budget = 200
	for i := range uint32(programFuncs) {
		p.fn, p.depth = i, 0
		body := Code(p.statements(4), p.value(2))
		f := m.FuncLocals(one, one, []byte{I32, I32, I32, I32, I32, V128}, body)
		m.Export(string(rune('a'+i)), KindFunc, f)
		m.Elem(int32(i), f)
	}
	m.Data(8, []byte("a segment"))
	m.Passive([]byte("0123456789abcdef"))
	return m.Bytes()
}

func (p *program) statements(n int) (code []byte) {
	for range 1 + p.choose(n) {
		if p.budget--; p.budget < 0 {
			return code
		}
		code = append(code, p.statement()...)
	}
	return code
}

// address is a value that mostly lies within memory.
func (p *program) address() []byte { return Code(p.value(1), I32Const(0x1ffff), Op(0x71)) }

func (p *program) statement() []byte {
	switch p.choose(14) {
	case 1:
		return Code(p.address(), p.value(2), Load(OpI32Store, 3))
	case 2:
		return Code(p.value(2), GlobalSet(0))
	case 3:
		return p.loop()
	case 4:
		return Code(p.value(1), Op(0x04, 0x40), p.statements(3), Op(OpElse), p.statements(3), Op(OpEnd))
	case 5:
		return Block(p.statements(2), p.value(1), BrIf(0), p.statements(2))
	case 6:
		return p.call()
	case 7:
		return Code(p.address(), p.value(1), I32Const(int32(p.choose(256))), MemoryFill())
	case 8:
		return Code(p.address(), p.address(), I32Const(int32(p.choose(256))), MemoryCopy())
	case 9:
		return Code(I32Const(int32(p.choose(2))), MemoryGrow(), LocalSet(1))
	case 10:
		return Block(Block(p.value(1), Op(0x0e, 1, 0, 1)), p.statements(2))
	case 11:
		return Block(Br(0), p.statements(2), p.value(2), Op(OpDrop), Op(OpUnreachable, OpI32Add, OpDrop))
	case 12:
		return Code(p.address(), I32Const(int32(p.choose(8))), I32Const(int32(p.choose(20))), MemoryInit(1))
	case 13:
		return Code(p.value(1), If(p.value(2), Op(OpReturn)))
	}
	return Code(p.value(2), LocalSet(uint32(p.choose(intLocals))))
}

// loop turns a few times, with or without a parameter on the stack.
func (p *program) loop() []byte {
	if p.depth == maxDepth {
		return Op(OpNop)
	}
	counter := uint32(intLocals + p.depth)
	p.depth++
	turns, body := Code(I32Const(int32(1+p.choose(5))), LocalSet(counter)), p.statements(3)
	p.depth--
	next := Code(LocalGet(counter), I32Const(1), Op(OpI32Sub), LocalTee(counter), BrIf(0))
	if p.choose(2) == 0 {
		return Code(turns, Loop(body, next))
	}
	typed := Code(Op(0x03), U32(p.looped), I32Const(3), Op(OpI32Mul), body, next, Op(OpEnd))
	return Code(turns, p.value(1), typed, LocalSet(1))
}

// call calls a later function, or one through the table, where an entry is empty.
func (p *program) call() []byte {
	later := p.fn + 1 + uint32(p.choose(programFuncs))
	switch {
	case later < programFuncs && p.choose(2) == 0:
		return Code(p.value(1), Call(later), LocalSet(2))
	case later <= programFuncs && p.depth == 0:
		return Code(p.value(1), I32Const(int32(later)), CallIndirect(p.looped), LocalSet(2))
	}
	return Op(OpNop)
}

// value pushes an i32.
func (p *program) value(depth int) []byte {
	if depth == 0 {
		return LocalGet(uint32(p.choose(intLocals)))
	}
	switch p.choose(9) {
	case 1:
		return I32Const(int32(int8(p.choose(256))))
	case 2:
		return Code(p.value(depth-1), p.value(depth-1), Op(0x6a+byte(p.choose(15))))
	case 3:
		return Code(p.address(), Load(OpI32Load, 1))
	case 4:
		return Code(p.value(depth-1), p.value(depth-1), p.value(depth-1), Op(OpSelect))
	case 5:
		return Code(GlobalGet(1), p.value(depth-1), Op(OpI64ExtendU32, OpI64Add), GlobalSet(1), GlobalGet(1), Op(0xa7))
	case 6: // i32x4.splat twice, i32x4.add, i32x4.extract_lane
		return Code(p.value(depth-1), Op(0xfd, 0x11), p.value(depth-1), Op(0xfd, 0x11, 0xfd, 0xae, 0x01, 0xfd, 0x1b, 2))
	case 7:
		return Code(p.value(depth-1), Op(0xb7, 0xfc, 2)) // f64.convert_i32_s, i32.trunc_sat_f64_s
	case 8:
		return GlobalGet(0)
	}
	return LocalGet(uint32(p.choose(intLocals)))
}
