package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

const (
	startTime = 20 * time.Second // until wedge up is ready, on a busy machine
	endTime   = 15 * time.Second // and after SIGTERM
)

// wedge is the running `wedge up` that all tests of the package talk to.
var wedge *running

func TestMain(m *testing.M) {
	var err error
	if wedge, err = start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	testkit.Main(m, goleak.Cleanup(func(code int) {
		if err := wedge.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

// running is a `wedge up` and what its addresses.json says.
type running struct {
	dir string
	cmd *exec.Cmd

	Data, Admin, Sim, Key string
}

// start builds the binary and runs it with its built-in catalog. WEDGE_E2E_RACE=1 builds it with the race detector.
func start() (*running, error) {
	dir, err := os.MkdirTemp("", "wedge-sdk-")
	if err != nil {
		return nil, err
	}
	r := &running{dir: dir}
	if err = r.run(); err == nil {
		return r, nil
	}
	if r.cmd != nil {
		err = errors.Join(err, r.cmd.Process.Kill(), r.cmd.Wait(), errors.New(r.complaints()))
	}
	return nil, errors.Join(err, os.RemoveAll(dir))
}

func (r *running) run() error {
	binary := filepath.Join(r.dir, "wedge")
	args := []string{"build", "-o", binary}
	if os.Getenv("WEDGE_E2E_RACE") == "1" {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../../../cmd/wedge")...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build wedge: %w\n%s", err, out)
	}
	stderr, err := os.Create(filepath.Join(r.dir, "stderr"))
	if err != nil {
		return err
	}
	defer func() { _ = stderr.Close() }() // the process has its own
	cmd := exec.Command(binary, "up", "--ephemeral", "--data", filepath.Join(r.dir, "data"))
	cmd.Stderr = stderr
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	r.cmd = cmd
	return r.awaitAddresses()
}

func (r *running) awaitAddresses() error {
	for deadline := time.Now().Add(startTime); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(r.dir, "data", "addresses.json"))
		if err == nil {
			err = json.Unmarshal(text, r)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wedge up was not ready within %v: %w", startTime, err)
		}
	}
}

// url is the base URL for SDKs.
func (r *running) url() string { return "http://" + r.Data + "/v1" }

// stop ends the process as an operator does. It must end well and must not have complained about itself.
func (r *running) stop() error {
	defer func() { _ = os.RemoveAll(r.dir) }()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("wedge up is gone: %w\n%s", err, r.complaints())
	}
	late := time.AfterFunc(endTime, func() { _ = r.cmd.Process.Kill() })
	defer late.Stop()
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("wedge up did not end well within %v of SIGTERM: %w\n%s", endTime, err, r.complaints())
	}
	for _, bad := range []string{"panic", "DATA RACE", "BUG:", "fatal error"} {
		if text := r.complaints(); strings.Contains(text, bad) {
			return fmt.Errorf("wedge up says %q:\n%s", bad, text)
		}
	}
	return nil
}

func (r *running) complaints() string {
	text, err := os.ReadFile(filepath.Join(r.dir, "stderr"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}
