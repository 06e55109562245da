//go:build long

package badger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/store"
)

const (
	longChildEnv = "WEDGE_BADGER_LONG"
	longEntries  = 1_000_000
	longLimit    = 2 << 30
)

// TestAMillionEntries measures what a full edge node lives with, each phase in a process of its own. It takes
// some minutes and 2 GB of disk: go test -tags long -run Million -v ./store/badger
func TestAMillionEntries(t *testing.T) {
	dir := t.TempDir()
	for _, phase := range []string{"empty", "load", "reopen"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), longChildEnv+"="+phase+":"+dir+"/"+strings.Replace(phase, "reopen", "load", 1))
		out, err := cmd.CombinedOutput()
		t.Logf("%s:\n%s", phase, out)
		require.NoError(t, err)
	}
}

func init() { beforeTests = append(beforeTests, runLongChildIfAsked) }

func runLongChildIfAsked() {
	phase, dir, asked := strings.Cut(os.Getenv(longChildEnv), ":")
	if !asked {
		return
	}
	if err := runPhase(phase, dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runPhase(phase, dir string) error {
	start := time.Now()
	db, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	tier, err := db.Tier([]byte("cache"), longLimit)
	if err != nil {
		return err
	}
	fmt.Printf("open %s, RssAnon %d MB\n", time.Since(start).Round(time.Millisecond), rssAnon())
	ctx, stop := context.WithCancel(context.Background())
	maintained := make(chan error)
	go func() { maintained <- db.Run(ctx) }()
	switch phase {
	case "load":
		err = loadMillion(tier)
	case "reopen":
		err = readMillion(tier)
	}
	stop()
	<-maintained
	start = time.Now()
	if err == nil {
		err = db.Close()
	}
	fmt.Printf("close %s, %+v\n", time.Since(start).Round(time.Millisecond), tier.Usage())
	return err
}

func longKey(buf []byte, n int) []byte {
	return fmt.Appendf(buf[:0], "%032x", uint64(n)*0x9e3779b97f4a7c15)
}

func loadMillion(tier *Tier) error {
	start, peak, refused := time.Now(), int64(0), 0
	value := make([]byte, 1500)
	for n := 0; n < longEntries; n++ {
		value[n%1500]++
		for {
			err := tier.Set(store.Item{Key: longKey(nil, n), Value: value, Expires: start.Add(24 * time.Hour)})
			if err == nil {
				break
			}
			refused++
			time.Sleep(time.Millisecond)
		}
		if n%1000 == 0 {
			peak = max(peak, rssAnon())
		}
	}
	fmt.Printf("wrote %d in %s, refused %d, RssAnon at most %d MB, at the end %d MB\n",
		longEntries, time.Since(start).Round(time.Millisecond), refused, peak, rssAnon())
	time.Sleep(5 * time.Second)
	fmt.Printf("5 s later: RssAnon %d MB\n", rssAnon())
	return nil
}

func readMillion(tier *Tier) error {
	buf, key := make([]byte, 0, 2000), make([]byte, 0, 32)
	for _, what := range []string{"cold hits", "warm hits", "misses"} {
		took := make([]time.Duration, 0, 200_000)
		for range cap(took) {
			n := rand.IntN(longEntries)
			if what == "misses" {
				n += longEntries
			}
			key = longKey(key, n)
			start := time.Now()
			_, err := tier.AppendGet(buf, key)
			took = append(took, time.Since(start))
			if (err == nil) == (what == "misses") {
				return fmt.Errorf("%s: key %d: %v", what, n, err)
			}
		}
		slices.Sort(took)
		fmt.Printf("%s: p50 %s, p99 %s, RssAnon %d MB\n", what, took[len(took)/2], took[len(took)*99/100], rssAnon())
	}
	return nil
}

// rssAnon returns the process's anonymous memory in MB.
func rssAnon() int64 {
	text, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(text), "RssAnon:")
	var kb int64
	_, _ = fmt.Sscan(after, &kb)
	return kb >> 10
}
