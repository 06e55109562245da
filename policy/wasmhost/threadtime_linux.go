package wasmhost

import "golang.org/x/sys/unix"

// threadTime is how many nanoseconds of a processor the caller's thread has had.
func threadTime() int64 {
	var spent unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &spent) != nil {
		return nanotime()
	}
	return spent.Nano()
}
