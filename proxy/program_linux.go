package proxy

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// giveProgramBack takes the program's own pages out of this process: its code and constants, most of which were of use
// at the start alone. What is used again comes from the system's cache of the file, sixteen pages at a time. A system
// that does not tell where they are keeps them.
func giveProgramBack() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	areas, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, a := range programAreas(areas, program) {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, a.begin, a.end-a.begin, syscall.MADV_DONTNEED) // or they stay
	}
}

// area is a part of the address space.
type area struct {
	begin, end uintptr
	resident   int // KB of it that are in memory
}

// programAreas finds the areas of a program's file, in the format of proc_pid_smaps(5), whose pages are all as in the
// file: none can be written, and none was, such as by the dynamic linker or for a debugger's breakpoint.
func programAreas(smaps []byte, program string) (found []area) {
	var a area
	ours := false
	lines := bufio.NewScanner(bytes.NewReader(smaps))
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		switch {
		case len(fields) >= 5 && bytes.IndexByte(fields[0], '-') > 0: // 00400000-01a2b000 r-xp 00000000 fe:01 1234 /usr/bin/wedge
			a, ours = area{}, false
			first, last, _ := bytes.Cut(fields[0], []byte("-"))
			begin, err1 := strconv.ParseUint(string(first), 16, strconv.IntSize)
			end, err2 := strconv.ParseUint(string(last), 16, strconv.IntSize)
			_, path, _ := bytes.Cut(lines.Bytes(), []byte("/"))
			if err1 == nil && err2 == nil && begin < end && "/"+string(path) == program && !bytes.ContainsAny(fields[1], "ws") {
				a, ours = area{begin: uintptr(begin), end: uintptr(end)}, true
			}
		case !ours || len(fields) < 2:
		case string(fields[0]) == "Rss:":
			a.resident, _ = strconv.Atoi(string(fields[1]))
		case string(fields[0]) == "Anonymous:":
			if string(fields[1]) == "0" {
				found = append(found, a)
			}
			ours = false
		}
	}
	return found
}
