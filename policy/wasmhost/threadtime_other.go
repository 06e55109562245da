//go:build !linux

package wasmhost

// threadTime takes the time by the clock for that of the processor.
func threadTime() int64 { return nanotime() }
