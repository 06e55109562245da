// Package meter rewrites a WebAssembly module so that whoever runs it can stop it, bound it and put it back as it was:
// it knows the binary format and static limits, and neither an engine nor what the module is for.
//
// The rewritten module counts its work down in a global, the fuel. Every function and every turn of a loop takes its
// cost from it, operations on whole ranges take by their length, and once it is negative the module calls the imported
// function TickModule.TickName before it goes on. The host refills the fuel there, or traps. Between two looks at the
// fuel lies no more than the straight code of one function body.
package meter

// Names that the rewriter adds to a module. A module that already imports or exports a name with the prefix Reserved
// is refused.
const (
	Reserved   = "wedge1."
	TickModule = "wedge1.meter" // the module of the imported function
	TickName   = "tick"         // () -> (); called when the fuel is negative
	FuelName   = "wedge1.fuel"  // the exported fuel: a mutable i64 that starts at 0
	globalName = "wedge1.global."
)

// pageBytes is the size of a page of memory.
const pageBytes = 64 << 10

// Limits bound what a module may ask for. A zero field stands for its default.
type Limits struct {
	ModuleBytes   int    // of the module as it comes; default 8 MiB
	MemoryBytes   uint64 // of memory, rounded down to pages of 64 KiB; default 16 MiB
	Tables        int    // number of tables; default 16
	TableEntries  uint32 // of each table, and of the minima of all together; default 65,536
	Functions     int    // imported ones included; default 65,536
	Globals       int    // default 4,096
	Params        int    // parameters and results of one function type; default 256
	Locals        uint64 // of one function, without parameters; default 2,000
	FunctionBytes int    // of one function's code; default 256 KiB
	BrTable       int    // targets of the br_tables of one function; default 65,536
	Blocks        int    // of one function; the time to compile grows with their square; default 16,384
	Loops         int    // loops within loops; default 256
}

// withDefaults returns l with every zero field filled in.
func (l Limits) withDefaults() Limits {
	l.ModuleBytes = either(l.ModuleBytes, 8<<20)
	l.MemoryBytes = either(l.MemoryBytes, 16<<20)
	l.Tables = either(l.Tables, 16)
	l.TableEntries = either(l.TableEntries, 64<<10)
	l.Functions = either(l.Functions, 64<<10)
	l.Globals = either(l.Globals, 4<<10)
	l.Params = either(l.Params, 256)
	l.Locals = either(l.Locals, 2000)
	l.FunctionBytes = either(l.FunctionBytes, 256<<10)
	l.BrTable = either(l.BrTable, 64<<10)
	l.Blocks = either(l.Blocks, 16<<10)
	l.Loops = either(l.Loops, 256)
	return l
}

func either[T int | uint32 | uint64](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// Rewritten is a module that has been metered, and what was seen on the way.
type Rewritten struct {
	Module []byte // ready to compile; custom sections are gone, save for the names of functions

	// Fuel is the name of the exported fuel (a mutable i64); Globals are the names under which every mutable global
	// of a numeric type (i32, i64, f32, f64) is exported, in the order of their indices.
	Fuel    string
	Globals []string

	// Residue says, a sentence each, what memory and Globals do not hold and so no copy of them brings back: writes
	// to tables, dropped segments, mutable globals of other types. Code that can only run once, before the first
	// request, does not count: the start function, _initialize and wedge1_init, if nothing else refers to them.
	Residue []string

	Imports   []Import // functions of the module as it came, in order
	Exports   []Export // of the module as it came, in order
	Memory    Memory
	Start     bool // it has a start function
	Functions int  // with code
	Loops     int
}

// Import is a function that the module wants from its host.
type Import struct {
	Module, Name string
	Type         string // as in "(i32, i64) -> i32" or "() -> ()"
}

// Export is what the module offers its host.
type Export struct {
	Name string
	Kind string // func, table, memory or global
	Type string // of a function, as in Import; else empty
}

// Memory is the memory's size in bytes, as rewritten; Max is 0 if there is none.
type Memory struct{ Min, Max uint64 }

// Rewrite returns module with fuel, or a *Fault that says why it cannot be run. It takes time and memory linear in the
// module's length, and keeps no reference to module. What it lets through is not yet valid: the engine checks that,
// and refuses a rewritten module if it would refuse the module as it came.
func Rewrite(module []byte, limits Limits) (Rewritten, error) {
	w := rewriter{limits: limits.withDefaults()}
	w.reader = reader{b: module, end: len(module)}
	w.module()
	if w.fault != nil {
		return Rewritten{}, w.fault
	}
	return w.facts, nil
}
