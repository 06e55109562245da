//go:build !linux

package wasmhost

import (
	"testing"
	"time"
)

// spent is how long do takes.
func spent(_ *testing.T, do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}
