//go:build !linux

package wasmhost

// limitSelf leaves it at the soft limit of the Go runtime and the parent's time limit.
func limitSelf() error { return nil }
