package upstream

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// pair makes a connection with both of its ends here.
func pair() (a, b net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	conns := [2]net.Conn{}
	for i, fd := range fds {
		unix.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "pair")
		c, fileErr := net.FileConn(f) // a copy of it
		_ = f.Close()
		if conns[i] = c; fileErr != nil {
			err = fileErr
		}
	}
	if err != nil {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
		return nil, nil, err
	}
	return conns[0], conns[1], nil
}
