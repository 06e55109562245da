// Command testsum reads what `go test -json` writes, from one run or several after each other, tells of each package
// and each failure, and closes with the line "N passed, N failed, N skipped".
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(run(os.Stdin, os.Stdout, os.Getenv("CI") == "true")) }

// run returns the exit code: 1 if a test failed or, with strict, was skipped, and if none ran at all.
func run(in io.Reader, out io.Writer, strict bool) int {
	s := newSummary(out)
	if err := s.readAll(in); err != nil {
		_, _ = fmt.Fprintf(out, "testsum: cannot read the test events: %v\n", err)
		return 1
	}
	passed, failed, skipped := s.counts()
	s.printSkips(strict)
	s.printFailures()
	_, _ = fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 || passed == 0 || strict && skipped > 0 {
		return 1
	}
	return 0
}
