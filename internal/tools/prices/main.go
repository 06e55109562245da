// Command prices packs the published data of genai-prices into the table that internal/prices embeds.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/wedge-proxy/wedge/internal/prices"
)

func main() {
	version := flag.String("version", "", "which version of genai-prices the data is of")
	date := flag.String("date", "", "when that was published: YYYY-MM-DD")
	out := flag.String("out", "table.jsonl.gz", "the file to write")
	flag.Parse()
	if err := run(os.Stdin, os.Stderr, *version, *date, *out); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "prices:", err)
		os.Exit(1)
	}
}

// run packs what it reads, and tells which models' prices no catalog can say.
func run(in io.Reader, notes io.Writer, version, date, out string) error {
	data, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("cannot read the data on standard input: %w", err)
	}
	packed, skipped, err := prices.Pack(data, version, date)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, packed, 0o644); err != nil {
		return fmt.Errorf("cannot write the table: %w", err)
	}
	whole := 0
	for _, s := range skipped {
		if s.Field == "" {
			whole++
			_, _ = fmt.Fprintf(notes, "unpriced: %s of %s: %s\n", s.Model, s.List, s.Why)
		}
	}
	_, err = fmt.Fprintf(notes, "%s: %d bytes, %d models without a price\n", out, len(packed), whole)
	return err
}
