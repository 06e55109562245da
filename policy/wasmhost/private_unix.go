//go:build unix

package wasmhost

import (
	"fmt"
	"os"
	"syscall"
)

// checkPrivate refuses a directory that another user could put machine code into.
func checkPrivate(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("cannot use the policies' cache directory: %w", err)
	}
	switch stat, ok := info.Sys().(*syscall.Stat_t); {
	case !info.IsDir():
		return fmt.Errorf("cannot use %s as the policies' cache: it is not a directory", dir)
	case ok && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("cannot use %s as the policies' cache: it belongs to user %d, not to %d who runs this node: choose another directory",
			dir, stat.Uid, os.Geteuid())
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("cannot use %s as the policies' cache: others may write to it (mode %04o): run chmod 700 %s",
			dir, info.Mode().Perm(), dir)
	}
	return nil
}
