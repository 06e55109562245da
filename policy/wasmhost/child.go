package wasmhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

const (
	compileTime   = 10 * time.Second // of the processor
	compileWait   = 30 * time.Second // by the clock: the child is nice to the node's requests
	compileMemory = 1 << 30          // bytes of address space on top of what the child has at its start
	orphanCheck   = 100 * time.Millisecond
	childReply    = 4 << 10 // bytes of the child's answer that are read
)

// runtimeConfig is the same for the child and the node, which otherwise would not find what the child compiled.
func runtimeConfig(pages uint32) wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(pages).WithDebugInfoEnabled(false)
}

// CompileChild is the body of the process that Options.Compile starts: it bounds its own memory and time, reads a
// rewritten module from stdin and compiles it into a cache entry. The last two of args are the entry's directory and
// the limit of the memory in pages of 64 KiB. What was wrong with the module goes to stdout; an error means that the
// process must end with a status other than 0.
func CompileChild(args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) < 2 {
		return errors.New("cannot compile: want a directory and a number of pages; the node starts this command itself")
	}
	dir, last := args[len(args)-2], args[len(args)-1]
	pages, err := strconv.ParseUint(last, 10, 16)
	if err != nil {
		return fmt.Errorf("cannot compile: %q is not a number of pages", last)
	}
	defer exitWithParent()()
	debug.SetMemoryLimit(compileMemory * 3 / 4)
	if err := limitSelf(); err != nil {
		return fmt.Errorf("cannot bound the compiler: %w", err)
	}
	module, err := io.ReadAll(io.LimitReader(stdin, 4*maxModule))
	if err != nil {
		return fmt.Errorf("cannot read the module: %w", err)
	}
	if err := compileInto(context.Background(), dir, module, uint32(pages)); err != nil {
		fmt.Fprint(stdout, err)
		return err
	}
	return nil
}

// exitWithParent ends the process soon after the node that started it: nobody waits for its work any more. The signal
// that Linux offers for this would come with the end of the node's thread, which may be earlier.
func exitWithParent() (stop func()) {
	parent, done := os.Getppid(), make(chan struct{})
	go func() {
		tick := time.NewTicker(orphanCheck)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if os.Getppid() != parent {
					os.Exit(1)
				}
			}
		}
	}()
	return func() { close(done) }
}

// runChild compiles in a process of its own, which gets none of the node's environment.
func runChild(ctx context.Context, argv []string, dir string, module []byte, pages uint32) error {
	ctx, cancel := context.WithTimeout(ctx, compileWait)
	defer cancel()
	reply := &limitedBuffer{left: childReply}
	cmd := exec.CommandContext(ctx, argv[0], append(argv[1:len(argv):len(argv)], dir, strconv.FormatUint(uint64(pages), 10))...)
	cmd.Stdin, cmd.Stdout, cmd.Env = bytes.NewReader(module), reply, []string{}
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return fmt.Errorf("compiling it takes more than %v: make the module smaller, or the machine less busy", compileWait)
	case ctx.Err() != nil:
		return fmt.Errorf("its compilation was cancelled: %w", ctx.Err())
	case ended && reply.Len() > 0:
		return errors.New(strings.TrimSpace(reply.String()))
	case ended:
		return fmt.Errorf("its compiler was stopped (%v): the module needs more than %d MiB or %v to compile: make it smaller",
			exit.ProcessState, compileMemory>>20, compileTime)
	}
	return fmt.Errorf("cannot run the compiler %s: %w", argv[0], err)
}

// limitedBuffer keeps the first bytes written to it and swallows the rest.
type limitedBuffer struct {
	bytes.Buffer
	left int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.Buffer.Write(p[:n])
	return len(p), nil
}
