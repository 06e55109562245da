package wasmhost

import (
	"fmt"
	"os"
	"syscall"
)

// limitSelf bounds the process's address space and processor time, and lets the node go first.
func limitSelf() error {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages uint64 // the address space that a Go process reserves before it does anything
	if _, err := fmt.Sscan(string(text), &pages); err != nil {
		return err
	}
	space := pages*uint64(os.Getpagesize()) + compileMemory
	if err := lower(syscall.RLIMIT_AS, space, space); err != nil {
		return err
	}
	seconds := uint64(compileTime.Seconds())
	if err := lower(syscall.RLIMIT_CPU, seconds, seconds+1); err != nil {
		return err
	}
	return syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10)
}

// lower sets a limit unless a lower one is in force.
func lower(resource int, soft, hard uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(resource, &now); err != nil {
		return err
	}
	return syscall.Setrlimit(resource, &syscall.Rlimit{Cur: min(soft, now.Cur, now.Max), Max: min(hard, now.Max)})
}
