package wasmhost

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"
)

// Results of WASI functions.
const (
	wasiOK     = 0
	wasiBadFD  = 8
	wasiInval  = 28
	wasiNoSys  = 52
	wasiStdOut = 1
	wasiStdErr = 2
)

// wasiFunctions are WASI preview 1 without files, sockets, arguments and environment: enough to start the runtimes of
// languages that expect it.
var wasiFunctions = map[string]hostFunction{
	"args_get":                {"(i32, i32) -> i32", wasiResult(wasiOK)},
	"args_sizes_get":          {"(i32, i32) -> i32", wasiNothing},
	"environ_get":             {"(i32, i32) -> i32", wasiResult(wasiOK)},
	"environ_sizes_get":       {"(i32, i32) -> i32", wasiNothing},
	"clock_res_get":           {"(i32, i32) -> i32", wasiClockRes},
	"clock_time_get":          {"(i32, i64, i32) -> i32", wasiClockTime},
	"fd_advise":               {"(i32, i64, i64, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_allocate":             {"(i32, i64, i64) -> i32", wasiResult(wasiBadFD)},
	"fd_close":                {"(i32) -> i32", wasiResult(wasiBadFD)},
	"fd_datasync":             {"(i32) -> i32", wasiResult(wasiBadFD)},
	"fd_fdstat_get":           {"(i32, i32) -> i32", wasiFDStat},
	"fd_fdstat_set_flags":     {"(i32, i32) -> i32", wasiResult(wasiNoSys)},
	"fd_fdstat_set_rights":    {"(i32, i64, i64) -> i32", wasiResult(wasiNoSys)},
	"fd_filestat_get":         {"(i32, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_filestat_set_size":    {"(i32, i64) -> i32", wasiResult(wasiBadFD)},
	"fd_filestat_set_times":   {"(i32, i64, i64, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_pread":                {"(i32, i32, i32, i64, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_prestat_get":          {"(i32, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_prestat_dir_name":     {"(i32, i32, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_pwrite":               {"(i32, i32, i32, i64, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_read":                 {"(i32, i32, i32, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_readdir":              {"(i32, i32, i32, i64, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_renumber":             {"(i32, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_seek":                 {"(i32, i64, i32, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_sync":                 {"(i32) -> i32", wasiResult(wasiBadFD)},
	"fd_tell":                 {"(i32, i32) -> i32", wasiResult(wasiBadFD)},
	"fd_write":                {"(i32, i32, i32, i32) -> i32", wasiWrite},
	"path_create_directory":   {"(i32, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"path_filestat_get":       {"(i32, i32, i32, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"path_filestat_set_times": {"(i32, i32, i32, i32, i64, i64, i32) -> i32", wasiResult(wasiNoSys)},
	"path_link":               {"(i32, i32, i32, i32, i32, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"path_open":               {"(i32, i32, i32, i32, i32, i64, i64, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"path_readlink":           {"(i32, i32, i32, i32, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"path_remove_directory":   {"(i32, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"path_rename":             {"(i32, i32, i32, i32, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"path_symlink":            {"(i32, i32, i32, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"path_unlink_file":        {"(i32, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"poll_oneoff":             {"(i32, i32, i32, i32) -> i32", wasiPoll},
	"proc_exit": {"(i32) -> ()", func(in *instance, s []uint64) {
		in.trap(fmt.Sprintf("it ended itself with status %d", u32(s[0])))
	}},
	"proc_raise":    {"(i32) -> i32", wasiResult(wasiNoSys)},
	"random_get":    {"(i32, i32) -> i32", wasiRandom},
	"sched_yield":   {"() -> i32", wasiYield},
	"sock_accept":   {"(i32, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"sock_recv":     {"(i32, i32, i32, i32, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"sock_send":     {"(i32, i32, i32, i32, i32) -> i32", wasiResult(wasiNoSys)},
	"sock_shutdown": {"(i32, i32) -> i32", wasiResult(wasiNoSys)},
}

func wasiResult(errno uint64) func(*instance, []uint64) {
	return func(in *instance, s []uint64) {
		in.work(workSmall)
		s[0] = errno
	}
}

// wasiNothing tells that there are 0 strings of 0 bytes.
func wasiNothing(in *instance, s []uint64) {
	clear(in.span(s[0], 4))
	clear(in.span(s[1], 4))
	s[0] = wasiOK
}

func wasiClockRes(in *instance, s []uint64) {
	binary.LittleEndian.PutUint64(in.span(s[1], 8), uint64(time.Millisecond))
	s[0] = wasiOK
}

// wasiClockTime gives the wall clock for clock 0 and a steady one for the others.
func wasiClockTime(in *instance, s []uint64) {
	in.work(workKV)
	now := nanotime()
	if u32(s[0]) == 0 {
		now = in.program.host.now().UnixNano()
	}
	binary.LittleEndian.PutUint64(in.span(s[2], 8), uint64(now))
	s[0] = wasiOK
}

// wasiFDStat knows standard output and error, as character devices that may be written to.
func wasiFDStat(in *instance, s []uint64) {
	if fd := u32(s[0]); fd != wasiStdOut && fd != wasiStdErr {
		s[0] = wasiBadFD
		return
	}
	const characterDevice, rightWrite = 2, 1 << 6
	stat := in.span(s[1], 24)
	clear(stat)
	stat[0], stat[8] = characterDevice, rightWrite
	s[0] = wasiOK
}

// wasiWrite sends what goes to standard output and error to the log, a line per call.
func wasiWrite(in *instance, s []uint64) {
	const maxVectors, maxText = 64, 1 << 10
	if fd := u32(s[0]); fd != wasiStdOut && fd != wasiStdErr {
		s[0] = wasiBadFD
		return
	}
	if u32(s[2]) > maxVectors {
		s[0] = wasiInval
		return
	}
	in.work(workLog)
	var text [maxText]byte
	kept, written := text[:0], uint32(0)
	vectors := in.span(s[1], uint64(u32(s[2]))*8)
	for ; len(vectors) > 0; vectors = vectors[8:] {
		part := in.span(uint64(binary.LittleEndian.Uint32(vectors)), uint64(binary.LittleEndian.Uint32(vectors[4:])))
		kept = append(kept, part[:min(len(part), cap(kept)-len(kept))]...)
		written += uint32(len(part))
	}
	in.program.log.guestOutput(u32(s[0]) == wasiStdErr, kept)
	binary.LittleEndian.PutUint32(in.span(s[3], 4), written)
	s[0] = wasiOK
}

func wasiRandom(in *instance, s []uint64) {
	const most = 64 << 10
	if u32(s[1]) > most {
		s[0] = wasiInval
		return
	}
	in.work(workLog)
	_, _ = rand.Read(in.span(s[0], s[1])) // never fails
	s[0] = wasiOK
}

func wasiYield(in *instance, s []uint64) {
	in.work(workLook)
	s[0] = wasiOK
}

// wasiPoll says at once that every event has happened: a policy that sleeps burns its own time.
func wasiPoll(in *instance, s []uint64) {
	const subscription, event, most = 48, 32, 64
	in.work(workLook)
	n := u32(s[2])
	if n == 0 || n > most {
		s[0] = wasiInval
		return
	}
	subscriptions, events := in.span(s[0], uint64(n*subscription)), in.span(s[1], uint64(n*event))
	clear(events)
	for i := range int(n) {
		sub, e := subscriptions[i*subscription:], events[i*event:]
		copy(e[:8], sub[:8]) // user data
		e[10] = sub[8]       // type
		if sub[8] != 0 {
			e[8] = wasiBadFD // no clock: there are no files to wait for
		}
	}
	binary.LittleEndian.PutUint32(in.span(s[3], 4), n)
	s[0] = wasiOK
}
