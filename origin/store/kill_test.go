package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These name the store on which the test binary plays an origin that is about to be killed, and what it does.
const (
	childURL    = "WEDGE_STORE_CHILD_URL"
	childDoes   = "WEDGE_STORE_CHILD_DOES"
	childBackup = "WEDGE_STORE_CHILD_BACKUP"
)

func runChildIfAsked() {
	url := os.Getenv(childURL)
	if url == "" {
		return
	}
	work := map[string]func(context.Context, *Store) error{"change": changeUntilKilled, "backup": backupUntilKilled, "lead": leadUntilKilled}
	ctx := context.Background()
	s, err := Open(ctx, Options{URL: url, Blobs: blobsOf})
	if err == nil {
		err = work[os.Getenv(childDoes)](ctx, s)
	}
	fmt.Println("error", err)
	os.Exit(1)
}

// changeUntilKilled makes changes of five resources that always say the same, and tells each revision.
func changeUntilKilled(ctx context.Context, s *Store) error {
	fmt.Println("ready 0")
	for {
		head, err := s.Head(ctx)
		if err != nil {
			return err
		}
		blob, err := s.PutBytes(ctx, randomBlob(chunkSize+int(head.Rev)%100))
		if err != nil {
			return err
		}
		ops := []Op{Put("policy", "p", named(blob), Any)}
		for i := range 5 {
			ops = append(ops, Put("m", fmt.Sprint(i), body(fmt.Sprint(head.Rev+1)), Any))
		}
		if head, err = s.Apply(ctx, ChangeSet{Actor: "child", Ops: ops}); err != nil {
			return err
		}
		fmt.Println("rev", head.Rev)
		if head.Rev%20 == 0 {
			if _, err := s.Compact(ctx, Cut{Rev: head.Rev - 10, Audit: head.Rev%40 == 0}); err != nil {
				return err
			}
			if _, _, err := s.CollectBlobs(ctx, 0); err != nil {
				return err
			}
		}
	}
}

func backupUntilKilled(ctx context.Context, s *Store) error {
	fmt.Println("ready 0")
	for {
		if _, err := s.Apply(ctx, ChangeSet{Actor: "child", Ops: []Op{Put("m", "a", body(""), Any)}}); err != nil {
			return err
		}
		head, err := s.BackupFile(ctx, os.Getenv(childBackup))
		if err != nil {
			return err
		}
		fmt.Println("rev", head.Rev)
	}
}

func leadUntilKilled(ctx context.Context, s *Store) error {
	_, ok, err := s.TryLead(ctx, "job")
	fmt.Println("ready", map[bool]int{true: 1}[ok])
	time.Sleep(time.Minute)
	return err
}

// killChild kills a child at a random moment after it has told as many things of a kind, and returns the last number
// that it told of each.
func killChild(t *testing.T, kind string, after int, env ...string) map[string]int64 {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	told := map[string]int64{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		what, number, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseInt(number, 10, 64)
		require.NoError(t, err, "the child says %q", lines.Text())
		if told[what] = n; what == kind {
			if after--; after == 0 {
				time.AfterFunc(rand.N(10*time.Millisecond), func() { _ = cmd.Process.Kill() })
			}
		}
	}
	require.Error(t, cmd.Wait(), "it is killed")
	require.Contains(t, told, "ready")
	return told
}

func TestAKilledOriginLosesNothingAndLeavesNothingHalf(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		options.Blobs = blobsOf
		times := 20
		if isPostgres(options.URL) || testing.Short() {
			times = 4
		}
		var last int64
		for range times {
			told := killChild(t, "rev", 1+rand.IntN(10), childURL+"="+options.URL, childDoes+"=change")
			s := open(t, options)
			head, err := s.Head(t.Context())
			require.NoError(t, err)
			last = max(last, told["rev"])
			require.GreaterOrEqual(t, head.Rev, last, "what was told is there")
			require.LessOrEqual(t, head.Rev, last+1)
			last = head.Rev
			require.NoError(t, s.Verify(t.Context()))
			resources, err := s.List(t.Context(), "m", "", 0)
			require.NoError(t, err)
			require.Len(t, resources, 5)
			for _, r := range resources {
				require.Equal(t, string(body(fmt.Sprint(last))), string(r.Body))
			}
			require.NoError(t, s.Close())
		}
		t.Logf("%d revisions in %d lives", last, times)
	})
}

func TestAProcessKilledDuringABackupLeavesTheOneBefore(t *testing.T) {
	options := Options{URL: databases["sqlite"](t)}
	s := open(t, options)
	var ops []Op
	for i := range 200 {
		ops = append(ops, Put("large", fmt.Sprint(i), body(strings.Repeat("x", 20_000)), Any))
	}
	apply(t, s, ops...)
	require.NoError(t, s.Close())
	backup := filepath.Join(t.TempDir(), "backup")
	times := 8
	if testing.Short() {
		times = 2
	}
	for range times {
		told := killChild(t, "rev", 1+rand.IntN(3), childURL+"="+options.URL, childDoes+"=backup", childBackup+"="+backup)
		f, err := os.Open(backup)
		require.NoError(t, err)
		head, err := Restore(t.Context(), Options{URL: databases["sqlite"](t)}, f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.GreaterOrEqual(t, head.Rev, told["rev"])
	}
	require.NoError(t, open(t, options).Verify(t.Context()))
}

func TestALeadEndsWithItsProcess(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		told := killChild(t, "ready", 1, childURL+"="+options.URL, childDoes+"=lead")
		assert.EqualValues(t, 1, told["ready"])
		s := open(t, options)
		if isPostgres(options.URL) {
			_, ok, err := s.TryLead(t.Context(), "job")
			require.NoError(t, err)
			assert.False(t, ok, "nobody knows yet that it is dead")
			require.NoError(t, s.Update(t.Context(), func(tx *Tx) error {
				return tx.run("update leads set until = until - ?", leadDuration.Microseconds()) // 15 s later
			}))
		}
		_, ok, err := s.TryLead(t.Context(), "job")
		require.NoError(t, err)
		assert.True(t, ok)
	})
}
