package proc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Child is a running process whose output goes to a file.
type Child struct {
	Name   string
	Log    string // path of the file with its standard output and error
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start runs a command in the foreground of its own process group and dies with it if this program is killed.
func Start(name, log string, argv ...string) (*Child, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	defer out.Close()
	c := &Child{Name: name, Log: log, cmd: exec.Command(argv[0], argv[1:]...), exited: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() {
		_ = c.cmd.Wait() // how it ended is told by its log
		close(c.exited)
	}()
	return c, nil
}

// PID is the id of the process.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Stop asks the process to end, waits up to five seconds, then kills its group.
func (c *Child) Stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-c.PID(), syscall.SIGKILL)
		<-c.exited
	}
}

// Await polls ready, once a millisecond, until it reports true; the error says what the process wrote last.
func (c *Child) Await(ctx context.Context, ready func() bool) error {
	for {
		if ready() {
			return nil
		}
		select {
		case <-c.exited:
			return fmt.Errorf("%s ended before it was ready: %s", c.Name, c.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", c.Name, context.Cause(ctx), c.tail())
		case <-time.After(time.Millisecond):
		}
	}
}

func (c *Child) tail() string {
	b, err := os.ReadFile(c.Log)
	if err != nil || len(b) == 0 {
		return "it wrote nothing"
	}
	return string(b[max(0, len(b)-600):])
}

// Listening tells whether something accepts TCP connections at addr.
func Listening(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// FreeAddr is a loopback address on which nothing listens at this moment.
func FreeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot find a free port on 127.0.0.1: %w", err)
	}
	return ln.Addr().String(), errors.Join(ln.Close())
}
