// Command o200k packs the published o200k_base vocabulary into the file that internal/tokens embeds: the length of each
// token, one byte each in the order of their ranks, then the tokens' bytes, all deflated.
package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
)

// published is the SHA-256 of o200k_base.tiktoken, as OpenAI's tiktoken itself checks it.
const published = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"

func main() {
	in := flag.String("in", "", "the vocabulary as published: o200k_base.tiktoken")
	out := flag.String("out", "o200k.flate", "the file to write")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "o200k:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	source, err := os.ReadFile(in)
	if err != nil {
		return fmt.Errorf("cannot read the vocabulary, give its path with -in: %w", err)
	}
	if sum := sha256.Sum256(source); hex.EncodeToString(sum[:]) != published {
		return fmt.Errorf("%s is not the published vocabulary: its SHA-256 is %x, not %s", in, sum, published)
	}
	packed, err := pack(source)
	if err != nil {
		return fmt.Errorf("cannot pack %s: %w", in, err)
	}
	if err := os.WriteFile(out, packed, 0o644); err != nil {
		return fmt.Errorf("cannot write the packed vocabulary: %w", err)
	}
	return nil
}

// pack turns lines of "base64 rank" into the embedded form. Ranks must count up from 0 without a gap.
func pack(source []byte) ([]byte, error) {
	var lengths, tokens []byte
	lines := bufio.NewScanner(bytes.NewReader(source))
	for rank := 0; lines.Scan(); rank++ {
		token, err := parse(lines.Bytes(), rank)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", rank+1, err)
		}
		lengths = append(lengths, byte(len(token)))
		tokens = append(tokens, token...)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(append(lengths, tokens...)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

func parse(line []byte, rank int) ([]byte, error) {
	encoded, number, found := bytes.Cut(line, []byte(" "))
	if !found || string(number) != strconv.Itoa(rank) {
		return nil, fmt.Errorf("%q does not carry rank %d", line, rank)
	}
	token, err := base64.StdEncoding.AppendDecode(nil, encoded)
	if err != nil {
		return nil, fmt.Errorf("%q is not base64: %w", encoded, err)
	}
	if len(token) == 0 || len(token) > math.MaxUint8 {
		return nil, fmt.Errorf("a token of %d bytes does not fit: 1 to %d do", len(token), math.MaxUint8)
	}
	return token, nil
}
