package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
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
	n, err := writeWhole(file, response.Body)
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
