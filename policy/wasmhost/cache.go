package wasmhost

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
)

const (
	sumsName    = "sums"       // lists the files of an entry with their digests
	unfinished  = "unfinished" // prefix of entries that are being made
	staleAfter  = time.Minute  // an unfinished entry's maker has long been stopped
	keptEntries = 128
)

// cache is a private directory of compiled modules. Each entry is a directory that wazero reads and that is named by
// what went into it; it appears under its name only when it is whole, and is used only while its digests agree.
type cache struct {
	dir     string
	compile []string // argv of the child, or nil
	machine string   // what else machine code depends on
}

func openCache(dir string, compile []string) (*cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the policies' cache directory: %w", err)
	}
	if err := checkPrivate(dir); err != nil {
		return nil, err
	}
	c := &cache{dir: dir, compile: compile, machine: machine()}
	return c, c.sweep()
}

// machine tells apart the processors and builds whose machine code differs.
func machine() string {
	var text strings.Builder
	text.WriteString(runtime.GOOS + " " + runtime.GOARCH + " " + runtime.Version() + "\n")
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if strings.HasSuffix(dep.Path, "/wazero") {
				text.WriteString(dep.Version + " " + dep.Sum + "\n")
			}
		}
	}
	cpus, err := os.ReadFile("/proc/cpuinfo") // elsewhere a cache does not move between machines
	if err == nil {
		for line := range bytes.Lines(cpus) {
			if bytes.HasPrefix(line, []byte("flags")) || bytes.HasPrefix(line, []byte("Features")) {
				text.Write(line)
				break
			}
		}
	}
	return text.String()
}

// sweep removes what killed compilations left, and the entries used longest ago.
func (c *cache) sweep() error {
	found, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("cannot read the policies' cache directory: %w", err)
	}
	var entries []fs.FileInfo
	for _, e := range found {
		info, err := e.Info()
		switch {
		case err != nil: // removed by another process
		case !strings.HasPrefix(e.Name(), unfinished):
			entries = append(entries, info)
		case time.Since(info.ModTime()) > staleAfter:
			_ = os.RemoveAll(filepath.Join(c.dir, e.Name())) // tried again at the next start
		}
	}
	slices.SortFunc(entries, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, info := range entries[min(len(entries), keptEntries):] {
		_ = os.RemoveAll(filepath.Join(c.dir, info.Name())) // as above
	}
	return nil
}

// entry returns the directory that holds the compiled module, after compiling it if it is not there yet.
func (c *cache) entry(ctx context.Context, module []byte, pages uint32) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%d\n", c.machine, pages)
	sum.Write(module)
	dir := filepath.Join(c.dir, hex.EncodeToString(sum.Sum(nil)))
	if err := verifySums(dir); err == nil {
		_ = os.Chtimes(dir, time.Time{}, time.Now()) // only what sweep keeps depends on it
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("cannot discard a broken entry of the policies' cache: %w", err)
	}
	return dir, c.add(ctx, dir, module, pages)
}

func (c *cache) add(ctx context.Context, dir string, module []byte, pages uint32) error {
	temp, err := os.MkdirTemp(c.dir, unfinished)
	if err != nil {
		return fmt.Errorf("cannot compile into the policies' cache: %w", err)
	}
	defer os.RemoveAll(temp)
	if len(c.compile) > 0 {
		err = runChild(ctx, c.compile, temp, module, pages)
	} else {
		err = compileInto(ctx, temp, module, pages)
	}
	if err != nil {
		return err
	}
	if err := verifySums(temp); err != nil {
		return fmt.Errorf("the compiler left a broken cache entry: %w", err)
	}
	if err := os.Rename(temp, dir); err != nil && verifySums(dir) != nil { // another process may have been faster
		return fmt.Errorf("cannot keep a compiled policy: %w", err)
	}
	return nil
}

// discard forgets a module that could not be read back.
func (c *cache) discard(dir string) error { return os.RemoveAll(dir) }

// compileInto compiles the module with dir as wazero's cache, and writes the digests last.
func compileInto(ctx context.Context, dir string, module []byte, pages uint32) (err error) {
	files, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return fmt.Errorf("cannot open the cache entry: %w", err)
	}
	engine := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(pages).WithCompilationCache(files))
	_, err = engine.CompileModule(ctx, module)
	if err = errors.Join(err, engine.Close(ctx), files.Close(ctx)); err != nil {
		return err
	}
	return writeSums(dir)
}

// writeSums lists every file below dir with its digest.
func writeSums(dir string) error {
	var text bytes.Buffer
	err := eachFile(dir, func(path, digest string) error {
		fmt.Fprintf(&text, "%s %s\n", digest, path)
		return nil
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, sumsName), text.Bytes(), 0o600)
}

// verifySums refuses an entry with a file that is not listed, or listed and not as it was written.
func verifySums(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, sumsName))
	if err != nil {
		return err
	}
	listed := map[string]string{}
	for line := range strings.Lines(string(text)) {
		digest, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		listed[path] = digest
	}
	if len(listed) == 0 {
		return errors.New("it lists no file")
	}
	err = eachFile(dir, func(path, digest string) error {
		if listed[path] != digest {
			return fmt.Errorf("%s is not as it was written", path)
		}
		delete(listed, path)
		return nil
	})
	if err == nil && len(listed) > 0 {
		err = errors.New("a file is gone")
	}
	return err
}

func eachFile(dir string, visit func(path, digest string) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || d.IsDir() || name == sumsName {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, file); err != nil {
			return err
		}
		return visit(name, hex.EncodeToString(sum.Sum(nil)))
	})
}
