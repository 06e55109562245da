package wasmhost

import (
	"reflect"

	"github.com/tetratelabs/wazero/api"
)

const (
	maxStack  = 1 << 20 // bytes of a call's frames
	keptStack = 64 << 10
)

// function is an export with the stack that its calls run on. wazero enlarges it up to 100 MB, which takes milliseconds
// in which no fuel is burnt, never makes it smaller, and does not tell its size: hence the look at its field.
type function struct {
	api.Function
	stack reflect.Value // the field; the zero Value with the interpreter, which bounds the depth itself
}

func newFunction(fn api.Function) function {
	v := reflect.ValueOf(fn)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return function{Function: fn}
	}
	if field := v.Elem().FieldByName("stack"); field.Kind() == reflect.Slice {
		return function{fn, field}
	}
	return function{Function: fn}
}

func (f *function) stackSize() int {
	if !f.stack.IsValid() {
		return 0
	}
	return f.stack.Len()
}
