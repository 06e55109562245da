package usage

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/store/badger"
	"github.com/wedge-proxy/wedge/wire"
)

// childEnv names the folder in which the test binary plays a node that is about to be killed.
const childEnv = "WEDGE_USAGE_CHILD"

func runChildIfAsked() {
	if dir := os.Getenv(childEnv); dir != "" {
		fmt.Println("error", addUntilKilled(dir))
		os.Exit(1)
	}
}

// addUntilKilled adds requests and sends reports to its parent, which may answer that they are counted.
func addUntilKilled(dir string) error {
	db, err := badger.Open(dir, badger.Options{MinFree: 1 << 20})
	if err != nil {
		return err
	}
	u, err := New(db, Options{FlushEvery: 2 * time.Millisecond, ReportEvery: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	go func() { _ = u.Run(context.Background()) }()
	go send(u)
	for n := int64(0); ; {
		for range 50 {
			u.Add(one(fmt.Sprint("m", n%13)))
			n++
		}
		fmt.Println("added", n)
		if err := u.Flush(); err != nil {
			return err
		}
		fmt.Println("flushed", n)
	}
}

// send tells its parent each report, and waits for the answer.
func send(u *Usage) {
	answers := bufio.NewScanner(os.Stdin)
	for range u.Changed() {
		for r, ok := u.Next(); ok; r, ok = u.Next() {
			var requests int64
			for i := range r.Usage {
				requests += r.Usage[i].Requests
			}
			fmt.Println("report", r.Incarnation, r.Seq, requests)
			if !answers.Scan() {
				return
			}
			if seq, err := strconv.ParseInt(answers.Text(), 10, 64); err == nil {
				u.Sent(wire.ReportReply{Seq: seq})
			}
		}
	}
}

// node is what its parent knows of the children.
type node struct {
	*origin
	t       *testing.T
	counted int64
	least   int64 // what was flushed
	most    int64 // what was added
}

// live runs a child for a while and kills it. Half of the answers get lost.
func (n *node) live(dir string, during time.Duration) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(n.t, err)
	in, err := cmd.StdinPipe()
	require.NoError(n.t, err)
	require.NoError(n.t, cmd.Start())
	defer time.AfterFunc(during, func() { _ = cmd.Process.Kill() }).Stop()
	var added, flushed int64
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "added":
			added, _ = strconv.ParseInt(rest, 10, 64)
		case "flushed":
			flushed, _ = strconv.ParseInt(rest, 10, 64)
		case "report":
			_, _ = fmt.Fprintln(in, n.take(rest))
		default:
			n.t.Error(lines.Text())
		}
	}
	_ = cmd.Wait()
	n.least += flushed
	n.most += added + 50
}

// take counts a report, and returns the answer.
func (n *node) take(text string) string {
	var life string
	var seq, requests int64
	_, err := fmt.Sscan(text, &life, &seq, &requests)
	require.NoError(n.t, err)
	last := n.origin.counted[life]
	require.LessOrEqual(n.t, seq, last+1, "a gap")
	if seq == last+1 {
		n.origin.counted[life] = seq
		n.counted += requests
	}
	if rand.IntN(2) == 0 {
		return "lost"
	}
	return strconv.FormatInt(n.origin.counted[life], 10)
}

func TestKilledNodesLoseNothingThatWasFlushed(t *testing.T) {
	dir, n := t.TempDir(), &node{origin: newOrigin(), t: t}
	lives := 12
	if testing.Short() {
		lives = 3
	}
	for range lives {
		n.live(dir, time.Duration(150+rand.IntN(350))*time.Millisecond)
	}
	db, err := badger.Open(dir, badger.Options{MinFree: 1 << 20})
	require.NoError(t, err)
	defer func() { assert.NoError(t, db.Close()) }()
	u, err := New(db, Options{})
	require.NoError(t, err)
	left := u.Pending()
	counted := n.counted
	sendAll(t, u, n.origin)
	total := counted + n.origin.requests()
	t.Logf("%d lives added %d to %d requests; %d were counted while they lived and %d of %d reports after",
		lives, n.least, n.most, counted, n.origin.requests(), left)
	assert.Zero(t, n.origin.gaps)
	assert.GreaterOrEqual(t, total, n.least)
	assert.LessOrEqual(t, total, n.most)
	assert.Positive(t, n.least)
	require.NoError(t, db.Each([]byte(prefix), func(key, _ []byte) error {
		t.Errorf("%s is left", key)
		return nil
	}))
}
