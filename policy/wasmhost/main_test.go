package wasmhost

import (
	"fmt"
	"os"
	"testing"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// TestMain also makes the test binary the compile child that tests name in Options.Compile.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		if err := CompileChild(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testkit.Main(m)
}

const childArg = "compile-child"
