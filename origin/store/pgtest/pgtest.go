// Package pgtest runs PostgreSQL servers of Debian's package for tests; it knows nothing of what is kept in them.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// shared is the server of this process's tests.
var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Database returns the URL of an empty schema, as good as a database and faster to make, on a server that all tests of
// the process share. Where PostgreSQL
// is not installed the test is skipped, except under CI=true, where it fails. TestMain must call Stop at its end.
func Database(t testing.TB) (url string) {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		var settings []string
		if _, measures := t.(*testing.B); !measures {
			settings = []string{"fsync=off", "deadlock_timeout=20ms"} // nobody cuts the power, and tests do not like to wait
		}
		shared.server, shared.err = Start(settings...)
	}
	need(t, shared.err)
	url, err := shared.server.NewSchema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// Own starts a server for one test alone, which may halt it. Where there is none, it does as Database does.
func Own(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := Start(settings...)
	need(t, err)
	t.Cleanup(s.Close)
	return s
}

// need ends the test unless a server could be started.
func need(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skipf("PostgreSQL is not installed: make setup installs it where it may (%v)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Stop ends the shared server, if it has been started.
func Stop() {
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.Close()
		shared.server = nil
	}
}

// Server is a server with a folder and a port of its own.
type Server struct {
	programs string // the folder of initdb and postgres
	dir      string
	port     int
	settings []string
	attr     *syscall.SysProcAttr
	cmd      *exec.Cmd
}

// Start makes a database cluster and starts a server on it, with settings as in postgresql.conf. The error is
// exec.ErrNotFound where there is no PostgreSQL.
func Start(settings ...string) (*Server, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	s := &Server{programs: programs, settings: settings, attr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}}
	if s.dir, err = os.MkdirTemp("", "pgtest"); err != nil {
		return nil, err
	}
	if err := s.init(); err != nil {
		s.Close()
		return nil, fmt.Errorf("cannot start PostgreSQL: %w", err)
	}
	return s, nil
}

// findPrograms finds the folder of the newest server: Debian does not put it into the PATH.
func findPrograms() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		path, err = filepath.EvalSymlinks(path)
		return filepath.Dir(path), err
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("initdb: %w in PATH and /usr/lib/postgresql", exec.ErrNotFound)
	}
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

// version is the 15 of /usr/lib/postgresql/15/bin/initdb.
func version(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // 0 sorts what has another name first
	return n
}

func (s *Server) init() error {
	if err := s.becomeOrdinary(); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(s.programs, "initdb"), "--pgdata", s.data(), "--username", "wedge",
		"--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = s.dir, s.attr
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return err
	}
	return s.Run()
}

// becomeOrdinary finds a user to run the server as where we are root, as whom it refuses to run.
func (s *Server) becomeOrdinary() error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return err
		}
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	if err := errors.Join(uidErr, gidErr, os.Chown(s.dir, uid, gid)); err != nil {
		return err
	}
	s.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Run starts a server that Halt has ended, and waits until it answers.
func (s *Server) Run() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has a descriptor of its own
	args := []string{"-D", s.data(), "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)}
	for _, setting := range append([]string{"unix_socket_directories=", "max_connections=200"}, s.settings...) {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(s.programs, "postgres"), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, s.attr
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd = cmd
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		err := s.exec(ctx, "select 1")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("it does not answer: %w: %s", err, said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Halt breaks every connection and ends the server. What it holds stays.
func (s *Server) Halt() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Close ends the server and forgets all that it held.
func (s *Server) Close() {
	s.Halt()
	_ = os.RemoveAll(s.dir)
}

func (s *Server) url() string {
	return fmt.Sprintf("postgres://wedge@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// NewSchema makes an empty schema and returns a URL by which all that is made lands in it.
func (s *Server) NewSchema(ctx context.Context) (url string, err error) {
	name := "test_" + strings.ToLower(rand.Text())
	if err := s.exec(ctx, "create schema "+name); err != nil {
		return "", fmt.Errorf("cannot create a schema: %w", err)
	}
	return s.url() + "&search_path=" + name, nil
}

func (s *Server) exec(ctx context.Context, query string) error {
	conn, err := pgx.Connect(ctx, s.url())
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, query)
	return errors.Join(err, conn.Close(ctx))
}
