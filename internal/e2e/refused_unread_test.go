package e2e

import (
	"strings"
	"testing"
)

// TestRefusalsOfWhatIsNotRead sends more than the node reads. The refusal must reach the client all the same: a
// connection that is closed while bytes wait to be read is reset, and takes the answer with it.
func TestRefusalsOfWhatIsNotRead(t *testing.T) {
	t.Parallel()
	n, _ := errorsNode(t)
	for range 20 {
		(&refusal{body: ask("good", "Hello"), headers: []string{"x-long", strings.Repeat("a", 40<<10)}, status: 431, code: "headers_too_large"}).check(t, n)
		(&refusal{body: ask("good", strings.Repeat("a", 8<<20)), status: 413, code: "body_too_large"}).check(t, n)
	}
}
