//go:build unix

package wasmhost

import "syscall"

// reserve takes address space, not memory: the system gives a page when it is first written.
func reserve(n uint64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	return syscall.Mmap(-1, 0, int(n), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func unreserve(b []byte) {
	if len(b) > 0 {
		_ = syscall.Munmap(b) // only fails for what was never mapped
	}
}
