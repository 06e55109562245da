package meter

import "fmt"

// Code says of which kind a fault is.
type Code string

// The codes.
const (
	Format    Code = "format"    // the bytes are no WebAssembly module
	Component Code = "component" // a component, not a core module
	Size      Code = "size"      // over a limit of ModuleBytes, Functions, Globals, Params or FunctionBytes
	Proposal  Code = "proposal"  // uses a proposal that the node does not run
	Imported  Code = "import"    // imports something other than a function
	MemoryMin Code = "memory"    // starts with more memory than allowed
	Table     Code = "table"     // starts with more or larger tables than allowed
	Locals    Code = "locals"    // too many locals
	BrTable   Code = "br_table"  // too many targets of br_table
	Blocks    Code = "blocks"    // too many blocks, or loops too deep
	Name      Code = "name"      // a reserved or repeated name
	Index     Code = "index"     // refers to a function, type, global or local that does not exist
)

// Fault is why a module is refused, in words for its author.
type Fault struct {
	Code   Code
	Where  string // section or function; empty if it is the module as a whole
	Offset int    // in the module, in bytes
	Text   string // what is wrong and what to do
}

// Error returns where and what.
func (f *Fault) Error() string {
	if f.Where == "" {
		return f.Text
	}
	return fmt.Sprintf("%s, at byte %#x: %s", f.Where, f.Offset, f.Text)
}
