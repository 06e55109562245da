package testkit

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the code makes into the golden files instead of comparing")

// Golden compares got with the file at path, relative to the package's folder. `go test ./the/package -rewrite`
// writes the file instead; its difference is then reviewed like code.
func Golden(t testing.TB, path string, got []byte) {
	t.Helper()
	if *rewrite {
		writeGolden(t, path, got)
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("cannot read golden file (make it with -rewrite): %v", err)
	}
	if line, same := firstDifference(want, got); !same {
		t.Fatalf("%s differs first in line %d:\n want %q\n  got %q\n(-rewrite accepts the new text)",
			path, line, lineAt(want, line), lineAt(got, line))
	}
}

func writeGolden(t testing.TB, path string, got []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatalf("cannot make the golden file's folder: %v", err)
	}
	if err := os.WriteFile(path, got, 0o644); err != nil {
		t.Fatalf("cannot write golden file: %v", err)
	}
}

// firstDifference tells the first line, from 1, in which a and b differ.
func firstDifference(a, b []byte) (line int, same bool) {
	if bytes.Equal(a, b) {
		return 0, true
	}
	as, bs := bytes.SplitAfter(a, []byte("\n")), bytes.SplitAfter(b, []byte("\n"))
	for i := range min(len(as), len(bs)) {
		if !bytes.Equal(as[i], bs[i]) {
			return i + 1, false
		}
	}
	return min(len(as), len(bs)) + 1, false
}

// lineAt is the given line of text, counted from 1, or nothing where the text is shorter.
func lineAt(text []byte, line int) []byte {
	lines := bytes.Split(text, []byte("\n"))
	if line > len(lines) {
		return nil
	}
	return lines[line-1]
}
