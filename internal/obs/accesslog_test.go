package obs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

func sampleRecord() AccessRecord {
	return AccessRecord{
		Time:      time.Date(2026, 11, 22, 19, 28, 3, 45_067_999, time.UTC).UnixNano(),
		RequestID: "01JD8X2V5Q3M", Method: "POST", Path: "/v1/chat/completions", Model: "support-bot",
		Version: "1.0.0", Provider: "openai", Target: "eu", Cache: "miss", Key: "team-a",
		Experiment: "bigger-model=control", ClientIP: "10.1.2.3",
		Status: 200, Attempts: 1, InputTokens: 350, OutputTokens: 220, Bytes: 1024,
		DurationUS: 512_345, OverheadUS: 41, TTFTUS: 230_000, CostNano: 527_500, Stream: true,
	}
}

func TestLine(t *testing.T) {
	var out bytes.Buffer
	l := NewAccessLog(&out)
	full := sampleRecord()
	l.Write(&full)
	l.Write(&AccessRecord{Time: full.Time + 1e9, Status: 401, Code: "unauthenticated", Path: "/v1/models?key=wk_secret"})
	l.Write(&AccessRecord{})
	l.Write(&AccessRecord{Time: -1})
	l.flush(true)
	testkit.Golden(t, "testdata/access.jsonl", out.Bytes())
}

func TestRunWritesWithin100ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := NewAccessLog(&out)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		record := sampleRecord()

		l.Write(&record)
		time.Sleep(flushEvery + time.Millisecond)
		synctest.Wait()
		assert.Equal(t, 1, strings.Count(out.String(), "\n"))

		l.Write(&record)
		cancel()
		require.NoError(t, <-done)
		assert.Equal(t, 2, strings.Count(out.String(), "\n"), "the end writes the rest")

		l.Write(&record)
		assert.EqualValues(t, 1, l.Dropped(), "what comes after the end is dropped")
	})
}

func TestRunWritesEarlyWhenMuchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := NewAccessLog(&out)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		record := sampleRecord()
		start := time.Now()
		for range flushAt / 100 {
			l.Write(&record)
		}
		synctest.Wait()
		assert.NotZero(t, out.Len())
		assert.Zero(t, time.Since(start), "no tick was waited for")
		cancel()
		require.NoError(t, <-done)
		assert.Zero(t, l.Dropped())
	})
}

// stuckWriter takes nothing until it is released.
type stuckWriter struct {
	entered chan struct{}
	release chan struct{}
	out     bytes.Buffer
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	w.entered <- struct{}{}
	<-w.release
	return w.out.Write(p)
}

func TestSlowWriterCostsBoundedMemory(t *testing.T) {
	w := &stuckWriter{entered: make(chan struct{}, 8), release: make(chan struct{})}
	l := NewAccessLog(w)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	record := sampleRecord()
	record.Path = "/" + strings.Repeat("\x01", 2*maxFieldBytes)
	l.Write(&record)
	<-w.entered
	lines := int64(1)
	for ; l.Dropped() < 10; lines++ {
		l.Write(&record)
		require.Less(t, lines, int64(maxPending), "nothing was ever dropped")
	}
	assert.LessOrEqual(t, len(l.front), maxPending)
	close(w.release)
	cancel()
	require.NoError(t, <-done)
	assert.Equal(t, lines, l.Dropped()+countLines(w.out.Bytes()), "every line is written or counted")
	assert.LessOrEqual(t, cap(l.front)+cap(l.back), keepBuffer+maxPending, "grown buffers are let go")
}

func TestLongestLineFits(t *testing.T) {
	long := strings.Repeat("\x01", 2*maxFieldBytes)
	line := appendRecord(nil, &AccessRecord{
		RequestID: long, Method: long, Path: long, Model: long, Version: long, Provider: long, Target: long,
		Cache: long, Code: long, Key: long, Experiment: long, ClientIP: long,
	}, []byte("now"))
	assert.LessOrEqual(t, len(line), maxLine)
	assert.True(t, json.Valid(line))
}

// fullDisk writes what fits, then fails.
type fullDisk struct {
	room int
	out  bytes.Buffer
}

var errFull = errors.New("no space left on device")

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.room -= n
	d.out.Write(p[:n])
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestFullDiskLosesLinesButTearsNoLaterOne(t *testing.T) {
	disk := &fullDisk{room: 30}
	l := NewAccessLog(disk)
	record := AccessRecord{Status: 200, Model: "demo"}
	write := func() {
		l.Write(&record)
		l.Write(&record)
		l.flush(false)
	}
	write()
	require.ErrorIs(t, l.Err(), errFull)
	write()
	assert.EqualValues(t, 4, l.Dropped())

	disk.room = 1 << 20
	write()
	require.NoError(t, l.Err())
	assert.EqualValues(t, 4, l.Dropped())
	lines := strings.Split(strings.TrimSpace(disk.out.String()), "\n")
	require.Len(t, lines, 3)
	assert.False(t, json.Valid([]byte(lines[0])), "the line that was cut")
	assert.True(t, json.Valid([]byte(lines[1])))
	assert.True(t, json.Valid([]byte(lines[2])))
}

func TestManyWriters(t *testing.T) {
	var out bytes.Buffer
	l := NewAccessLog(&out)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Run(ctx) })
	testkit.Hammer(4, 500, func(g, i int) {
		record := sampleRecord()
		record.Attempts = g*1000 + i + 1
		l.Write(&record)
	})
	cancel()
	wg.Wait()
	seen := map[int]bool{}
	for line := range bytes.Lines(out.Bytes()) {
		var got struct{ Attempts int }
		require.NoError(t, json.Unmarshal(line, &got))
		seen[got.Attempts] = true
	}
	assert.Len(t, seen, 2000)
	assert.Zero(t, l.Dropped())
}

func FuzzText(f *testing.F) {
	f.Add("plain")
	f.Add("a\"b\\c\n\x00\x7f é \xff � 😀")
	f.Fuzz(func(t *testing.T, s string) {
		var got map[string]string
		line := append(appendText([]byte("{"), `"x":"`, s), '}')
		if s == "" {
			assert.Equal(t, "{}", string(line))
			return
		}
		require.NoError(t, json.Unmarshal(line, &got), "%s", line)
		want, err := json.Marshal(s[:min(len(s), maxFieldBytes)])
		require.NoError(t, err)
		var same string
		require.NoError(t, json.Unmarshal(want, &same))
		assert.Equal(t, same, got["x"])
	})
}

func BenchmarkAccessLine(b *testing.B) {
	l := NewAccessLog(io.Discard)
	record := sampleRecord()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		record.Time += 1000
		l.Write(&record)
		if i%100 == 0 {
			l.flush(false)
		}
	}
}

func TestIsPlainSeesEveryByteAtEveryPlace(t *testing.T) {
	for c := range 256 {
		for at := range 11 {
			s := []byte("abcdefghijk")
			s[at] = byte(c)
			assert.Equal(t, plain[c], isPlain(string(s)), "byte %#x at %d", c, at)
		}
	}
}
