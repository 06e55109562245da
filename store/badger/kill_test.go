package badger

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
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

	"github.com/wedge-proxy/wedge/store"
)

// childEnv names the folder in which the test binary plays a node that is about to be killed.
const childEnv = "WEDGE_BADGER_CHILD"

const killLimit = MinLimit // small, so that segments come and go while the process dies

func runChildIfAsked() {
	if dir := os.Getenv(childEnv + "_OPEN"); dir != "" {
		openOnce(dir)
	}
	if dir := os.Getenv(childEnv); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
}

// openOnce opens and closes a store that may end the process.
func openOnce(dir string) {
	db, err := Open(dir, Options{MinFree: 1 << 20, Recover: true})
	time.Sleep(300 * time.Millisecond) // in which the damage ends the process, if it was met
	if err == nil {
		_, err = db.Tier([]byte("cache"), 64<<20)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// writeUntilKilled writes values in order and tells on stdout what has been acknowledged.
func writeUntilKilled(dir string) error {
	db, err := Open(dir, Options{MinFree: 1 << 20})
	if err != nil {
		return err
	}
	tier, err := db.Tier([]byte("cache"), killLimit)
	if err != nil {
		return err
	}
	go func() { _ = db.Run(context.Background()) }()
	from, err := strconv.Atoi(os.Getenv(childEnv + "_FROM"))
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(from), 0))
	fmt.Println("ready 0")
	for n := from; ; n++ {
		item := store.Item{Key: fmt.Appendf(nil, "k/%d", n), Value: selfChecked(n, rng.IntN(20_000))}
		purged := store.Item{Key: []byte("purged/x"), Value: selfChecked(n, 10)}
		for err = tier.Set(item, purged); err != nil; err = tier.Set(item, purged) {
			time.Sleep(time.Millisecond) // refused while a segment is sealed
		}
		fmt.Println("set", n)
		if n%10 == 0 {
			if err := db.Put([]byte("last"), selfChecked(n, rng.IntN(3000))); err != nil {
				return err
			}
			fmt.Println("put", n)
		}
		if n%50 == 0 {
			if err := tier.DeletePrefix([]byte("purged/")); err != nil {
				return err
			}
			fmt.Println("purge", n)
		}
	}
}

func selfChecked(n, size int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(n))
	for len(out) < size {
		out = append(out, byte(len(out)*7+n))
	}
	return binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
}

// numberOf returns the n of a value made by selfChecked, or fails.
func numberOf(t *testing.T, value []byte) int {
	t.Helper()
	require.GreaterOrEqual(t, len(value), 12, "a value has been cut")
	body := value[:len(value)-4]
	require.Equal(t, crc32.ChecksumIEEE(body), binary.LittleEndian.Uint32(value[len(body):]), "a value is corrupt")
	return int(binary.LittleEndian.Uint64(value))
}

// killChild runs a child for a random while and returns the last number of each kind that it told.
func killChild(t *testing.T, dir string, from int) map[string]int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir, fmt.Sprint(childEnv, "_FROM=", from))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	told := map[string]int{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		kind, number, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(number)
		require.NoError(t, err, "the child says %q", lines.Text())
		if kind == "ready" {
			time.AfterFunc(time.Duration(5+rand.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
		told[kind] = n
	}
	require.Error(t, cmd.Wait(), "it is killed")
	require.Contains(t, told, "ready")
	return told
}

func TestAKilledNodeLosesNothingAcknowledged(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	dir := t.TempDir()
	next := 1
	for range rounds {
		told := killChild(t, dir, next)
		checkSurvivor(t, dir, next, told)
		next = told["set"] + 2
	}
	t.Logf("%d values written, %d kills", next, rounds)
}

func checkSurvivor(t *testing.T, dir string, from int, told map[string]int) {
	t.Helper()
	db, err := Open(dir, Options{MinFree: 1 << 20})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	tier, err := db.Tier([]byte("cache"), killLimit)
	require.NoError(t, err)

	last, present := told["set"], 0
	for n := 1; n <= last+1; n++ {
		value, err := tier.AppendGet(nil, fmt.Appendf(nil, "k/%d", n))
		if err == nil {
			assert.Equal(t, n, numberOf(t, value))
			present++
			continue
		}
		require.ErrorIs(t, err, store.ErrNotFound)
		require.False(t, n >= from && n > last-50 && n <= last, "value %d of %d acknowledged ones is lost", n, last)
	}
	t.Logf("%d acknowledged, %d present, %s", last, present, fmt.Sprint(told))
	if value, err := tier.AppendGet(nil, []byte("purged/x")); err == nil {
		require.Greater(t, numberOf(t, value), told["purge"], "a purged value is back")
	}
	if put, ok := told["put"]; ok {
		value, err := db.Get([]byte("last"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, numberOf(t, value), put)
	}
	require.Zero(t, tier.damaged.Load())
}

func TestAStoreThatEndsItsProcessIsRecovered(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	tier := tierOf(t, db, 64<<20)
	for n := range 3 {
		put(t, tier, fmt.Sprint("k", n), "value", time.Time{})
		if n < 2 {
			turn(t, tier)
		}
	}
	require.NoError(t, db.Put([]byte("k"), []byte("durable")))
	require.NoError(t, db.Close())
	damage(t, filepath.Join(dir, "tiers", "cache", "00000002", "*.sst"))

	const most = 4 * maxAttempts // for some deaths come between an open that went well and its end
	died := 0
	for died <= most {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"_OPEN="+dir)
		out, err := cmd.CombinedOutput()
		if err == nil {
			break
		}
		died++
		t.Logf("%.200s", out)
	}
	require.LessOrEqual(t, died, most)
	db = openDB(t, dir)
	tier = tierOf(t, db, 64<<20)
	require.Equal(t, []string{"value", missing, "value"}, []string{lookup(tier, "k0"), lookup(tier, "k1"), lookup(tier, "k2")})
	value, err := db.Get([]byte("k"))
	require.NoError(t, err)
	require.Equal(t, "durable", string(value))
}
