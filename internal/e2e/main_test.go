package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// binary is the wedge under test: the one that WEDGE_E2E_BINARY names, or one that TestMain builds, with the race
// detector if WEDGE_E2E_RACE is 1.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "wedge-e2e-")
	if err != nil {
		fail(err)
	}
	if binary = os.Getenv("WEDGE_E2E_BINARY"); binary == "" {
		binary = filepath.Join(dir, "wedge")
		err = build(binary)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		fail(err)
	}
	// Google's SDK brings a package that starts a goroutine when it is loaded.
	testkit.Main(m, goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func build(path string) error {
	args := []string{"build", "-o", path}
	if raceBuilt() {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "../../cmd/wedge")...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot build wedge: %w", err)
	}
	return nil
}

func raceBuilt() bool { return os.Getenv("WEDGE_E2E_RACE") == "1" }

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
