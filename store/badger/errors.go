package badger

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// ErrLocked says that another process has the store open.
var ErrLocked = errors.New("the store is used by another process: stop that one, or give each node a folder of its own")

// ErrCorrupt says that the store's files are damaged.
var ErrCorrupt = errors.New("the store is corrupt: let the node recover it, or move it away")

// environment are the errors of a sound store on a machine that is not: they are never taken for damage.
var environment = []syscall.Errno{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EPERM, syscall.EMFILE, syscall.ENFILE,
	syscall.ENOMEM, syscall.EIO, syscall.ENOTDIR, syscall.ENAMETOOLONG,
}

// explain turns what Badger or the system says on opening dir into something to act upon. Badger wraps causes
// as text, so text is all there is to go by.
func explain(dir string, err error) error {
	text := err.Error()
	if strings.Contains(text, "Cannot acquire directory lock") {
		return fmt.Errorf("badger: cannot open %s: %w", dir, ErrLocked)
	}
	for _, errno := range environment {
		if errors.Is(err, errno) || strings.Contains(text, errno.Error()) {
			return fmt.Errorf("badger: cannot open %s, the folder must be writable and have room: %w", dir, errno)
		}
	}
	if errors.Is(err, ErrCorrupt) {
		return err
	}
	return fmt.Errorf("badger: cannot open %s: %w (%s)", dir, ErrCorrupt, text)
}
