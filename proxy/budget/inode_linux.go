package budget

import (
	"fmt"
	"os"
	"syscall"
)

// inode tells a file from copies of it.
func inode(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	s := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d-%d.%09d", s.Ino, s.Ctim.Sec, s.Ctim.Nsec), nil
}
