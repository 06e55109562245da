package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// Bundle writes the signed bundle into a file, or to Out if file is "".
func (s *Session) Bundle(ctx context.Context, file string) error {
	if err := s.download(ctx, call{method: http.MethodGet, path: "bundle"}, file); err != nil {
		return fmt.Errorf("cannot export the bundle: %w", err)
	}
	return nil
}

// Backup writes a backup of the origin into a file, or to Out if file is "".
func (s *Session) Backup(ctx context.Context, file string) error {
	if err := s.download(ctx, call{method: http.MethodPost, path: "backup"}, file); err != nil {
		return fmt.Errorf("cannot back the origin up: %w", err)
	}
	return nil
}

// download writes an answer of any length. The file is there when it is whole, or not at all, and is for its owner
// alone.
func (s *Session) download(ctx context.Context, r call, file string) error {
	response, err := s.Client.send(ctx, r)
	if err != nil {
		return err
	}
	defer discard(response)
	if file == "" {
		_, err := io.Copy(s.Out, response.Body)
		return err
	}
	write := writeWhole
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		write = writeInto // a pipe or a device is not replaced
	}
	n, err := write(file, response.Body)
	if err != nil {
		return err
	}
	s.note("%s: %d bytes", file, n)
	return nil
}

func writeWhole(file string, content io.Reader) (n int64, err error) {
	part, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(part, content)
	if err == nil {
		err = part.Sync()
	}
	if closing := part.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		_ = os.Remove(part.Name()) // the error before is the one to tell
	}
	return n, err
}

func writeInto(file string, content io.Reader) (n int64, err error) {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(f, content)
	if closing := f.Close(); err == nil {
		err = closing
	}
	return n, err
}

// bundleFacts is what there is to tell of a bundle's file.
type bundleFacts struct {
	Epoch     int64          `json:"epoch"`
	Rev       int64          `json:"rev"`
	Issued    time.Time      `json:"issued"`
	Key       string         `json:"key"`
	Resources map[string]int `json:"resources"` // how many, by kind
	Blobs     int            `json:"blobs"`
}

// PrintBundle prints what a bundle is that was read from a file.
func (s *Session) PrintBundle(b *wire.Bundle) error {
	facts := bundleFacts{
		Epoch: b.Head.Epoch, Rev: b.Head.Rev, Issued: b.Head.IssuedAt, Key: b.Head.Key.String(), Resources: map[string]int{}, Blobs: len(b.Blobs),
	}
	for i := range b.Resources {
		facts.Resources[b.Resources[i].Kind]++
	}
	answer, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("cannot print the bundle: %w", err)
	}
	return s.print(answer, func(t *table) error {
		t.row("revision", position(facts.Epoch, facts.Rev))
		t.row("signed", stamp(facts.Issued)+" with the key "+facts.Key)
		var counts []string
		for _, kind := range slices.Sorted(maps.Keys(facts.Resources)) {
			counts = append(counts, plural(facts.Resources[kind], kind))
		}
		t.row("resources", strings.Join(counts, ", "))
		t.row("files", strconv.Itoa(facts.Blobs))
		return nil
	})
}
