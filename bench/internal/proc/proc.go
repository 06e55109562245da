// Package proc starts a measured process, reads what a process tree used from /proc, and ends it by its id; it
// knows nothing of what the process serves.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of utime and stime in /proc/PID/stat: USER_HZ, which Linux fixes at 100 for programs.
const tick = 10 * time.Millisecond

// Usage is what a process and all its descendants used.
type Usage struct {
	CPU     time.Duration // user and system time since each process started, ended children included
	RSS     int64         // bytes resident now (VmRSS)
	Peak    int64         // bytes resident at most (VmHWM), summed over the processes
	RSSAnon int64         // bytes of anonymous memory now
}

// Of reads the usage of the trees below the given process ids. A process that ends meanwhile counts as far as
// its parent has waited for it.
func Of(pids ...int) (Usage, error) {
	var total Usage
	for _, pid := range pids {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			return Usage{}, fmt.Errorf("cannot read the usage of process %d: no such process", pid)
		}
	}
	for _, pid := range tree(pids) {
		u, err := one(pid)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return Usage{}, fmt.Errorf("cannot read the usage of process %d: %w", pid, err)
		}
		total.CPU += u.CPU
		total.RSS += u.RSS
		total.Peak += u.Peak
		total.RSSAnon += u.RSSAnon
	}
	return total, nil
}

func one(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, err
	}
	cpu, err := cpuTime(stat)
	if err != nil {
		return Usage{}, err
	}
	return Usage{
		CPU:     cpu,
		RSS:     kilobytes(status, "VmRSS:"),
		Peak:    kilobytes(status, "VmHWM:"),
		RSSAnon: kilobytes(status, "RssAnon:"),
	}, nil
}

// fields of /proc/PID/stat after the command, which stands in parentheses and may itself hold spaces.
func fields(stat []byte) []string {
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}

// cpuTime adds utime, stime, cutime and cstime: fields 14 to 17 of the line, of which two stand before fields'
// first.
func cpuTime(stat []byte) (time.Duration, error) {
	f := fields(stat)
	if len(f) < 15 {
		return 0, fmt.Errorf("stat has %d fields after the command, want at least 15", len(f))
	}
	var ticks int64
	for _, s := range f[11:15] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("stat field %q is not a number", s)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// kilobytes reads one row of /proc/PID/status, in bytes; a kernel thread or a zombie has none, which is 0.
func kilobytes(status []byte, row string) int64 {
	_, rest, ok := bytes.Cut(status, []byte("\n"+row))
	if !ok {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(string(line), "kB")), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// tree is the roots and all their descendants, found by the parent each process names.
func tree(roots []int) []int {
	children := map[int][]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return roots
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		if f := fields(stat); len(f) > 1 {
			if parent, err := strconv.Atoi(f[1]); err == nil {
				children[parent] = append(children[parent], pid)
			}
		}
	}
	all, seen := []int(nil), map[int]bool{}
	for queue := roots; len(queue) > 0; {
		pid := queue[0]
		queue = append(queue[1:len(queue):len(queue)], children[pid]...)
		if !seen[pid] {
			seen[pid] = true
			all = append(all, pid)
		}
	}
	return all
}
