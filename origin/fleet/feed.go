package fleet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// entry is a revision as it goes to nodes: encoded once, sent to all.
type entry struct {
	at    wire.Position // after it
	frame []byte        // a FrameDelta
}

// view is what streams see: it never changes, another one takes its place.
type view struct {
	head    wire.Position
	base    wire.Position // before the first entry
	start   wire.Position // the head when it was begun
	entries []entry       // up to the head
	fold    fold
	waves   rollout
	changed chan struct{} // closed when there is another view
}

// fold is a position at which nodes are told the digest of the whole state, so that they can forget the deltas up to it.
type fold struct {
	at    wire.Position
	state wire.StateDigest
	made  time.Time
}

// How much of the history is held in memory. Who needs older revisions has them read from the store.
const (
	keepEntries = 1024
	keepBytes   = 16 << 20
)

// feed is the last revisions and how far each wave may go.
type feed struct {
	mu      sync.Mutex // of who makes another view
	now     atomic.Pointer[view]
	reading sync.Mutex // of who reads the store
	heads   headCache
}

func (d *feed) init() { d.heads.frames = map[headKey]headFrame{} }

// view is the present one, nil before there is one.
func (d *feed) view() *view { return d.now.Load() }

// change puts another view in place of the present one, unless change tells that nothing has changed.
func (d *feed) change(change func(v *view) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.now.Load()
	next := &view{}
	if old != nil {
		*next = *old
	}
	if !change(next) {
		return
	}
	next.changed = make(chan struct{})
	d.now.Store(next)
	if old != nil {
		close(old.changed)
	}
}

// refresh reads what has been committed since.
func (f *Fleet) refresh(ctx context.Context) error {
	d := &f.feed
	d.reading.Lock()
	defer d.reading.Unlock()
	for {
		v := d.view()
		if v == nil {
			return f.restart(ctx)
		}
		changes, head, err := f.o.Store.Changes(ctx, v.head.Rev, 0)
		if errors.Is(err, store.ErrCompacted) || errors.Is(err, store.ErrAhead) || err == nil && head.Epoch != v.head.Epoch {
			return f.restart(ctx)
		}
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			return nil
		}
		entries := encode(v.head.Epoch, changes)
		d.change(func(v *view) bool {
			v.add(entries)
			return true
		})
	}
}

// restart begins the feed anew, with the last revisions as far as they are known.
func (f *Fleet) restart(ctx context.Context) error {
	head, err := f.o.Store.Head(ctx)
	if err != nil {
		return err
	}
	at, entries := positionOf(head), []entry(nil)
	for n := int64(keepEntries); n > 0 && entries == nil; n /= 8 {
		if entries, err = f.recent(ctx, head.Epoch, max(head.Rev-n, 0)); err != nil {
			return err
		}
	}
	f.feed.change(func(v *view) bool {
		v.head, v.base, v.start, v.entries, v.fold = at, at, at, nil, fold{made: f.o.Now()}
		if len(entries) > 0 {
			v.head, v.base = entries[0].at, entries[0].at
			if len(entries) > 1 {
				v.add(entries[1:])
			}
		}
		return true
	})
	return nil
}

// recent reads the revisions after one, none if they have been forgotten.
func (f *Fleet) recent(ctx context.Context, epoch, after int64) (entries []entry, err error) {
	for {
		changes, head, err := f.o.Store.Changes(ctx, after, 0)
		if errors.Is(err, store.ErrCompacted) || errors.Is(err, store.ErrAhead) || err == nil && head.Epoch != epoch {
			return nil, nil
		}
		if err != nil || len(changes) == 0 {
			return entries, err
		}
		entries = append(entries, encode(epoch, changes)...)
		after = changes[len(changes)-1].Rev
	}
}

func encode(epoch int64, changes []store.Change) []entry {
	entries := make([]entry, len(changes))
	for i := range changes {
		entries[i] = encodeChange(epoch, &changes[i])
	}
	return entries
}

func encodeChange(epoch int64, c *store.Change) entry {
	delta := wire.Delta{Rev: c.Rev, Payload: c.Payload}
	for i := range c.Ops {
		if op := &c.Ops[i]; !op.Delete && wire.Shared(op.Kind) {
			delta.Bodies = append(delta.Bodies, op.Body)
		}
	}
	frame := append(make([]byte, 0, 512), 0, 0, 0, 0, byte(wire.FrameDelta)) // AppendFrame would copy the bodies again
	frame = delta.Append(frame)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-5))
	return entry{wire.Position{Epoch: epoch, Rev: c.Rev, Chain: c.Chain}, frame}
}

// add appends what follows the head, and lets go of the oldest.
func (v *view) add(entries []entry) {
	if entries[0].at.Rev != v.head.Rev+1 { // somebody else has added them
		return
	}
	all := append(v.entries[:len(v.entries):len(v.entries)], entries...)
	size, first := 0, len(all)
	for first > 0 && len(all)-first < keepEntries && size < keepBytes {
		first--
		size += len(all[first].frame)
	}
	if first > 0 {
		v.base = all[first-1].at
	}
	v.entries, v.head = all[first:], all[len(all)-1].at
}

// find is the position at a revision, if it is within what is held.
func (v *view) find(rev int64) (wire.Position, bool) {
	switch i := rev - v.base.Rev; {
	case i == 0:
		return v.base, true
	case i > 0 && i <= int64(len(v.entries)):
		return v.entries[i-1].at, true
	}
	return wire.Position{}, false
}

// between is the entries after one revision up to another, if all of them are held.
func (v *view) between(after, upTo int64) ([]entry, bool) {
	first, last := after-v.base.Rev, upTo-v.base.Rev
	if first < 0 || last > int64(len(v.entries)) || first > last {
		return nil, false
	}
	return v.entries[first:last], true
}

// front is the revision that a node may have, of the head's epoch.
func (f *Fleet) front(v *view, s *session, pinned bool) int64 {
	switch {
	case pinned:
		return 0
	case f.o.NoWaves:
		return v.head.Rev
	case v.waves.epoch != v.head.Epoch:
		return 0
	}
	return min(v.waves.front(s.node, s.bucket), v.head.Rev)
}

// headKey is what tells one signed head from another: what it says, and the position for which its key was chosen.
type headKey struct {
	fromEpoch, fromRev int64
	at                 wire.Position
	state              bool
}

// headCache holds the frames of heads that have been signed of late.
type headCache struct {
	mu     sync.Mutex
	frames map[headKey]headFrame
}

type headFrame struct {
	frame []byte
	made  time.Time
}

const (
	keepHeads  = 4096
	freshHeads = time.Minute // a head says when it was signed
)

// head is the frame of a signed head for a node that uses what there was at from.
func (f *Fleet) head(ctx context.Context, from, at wire.Position, state *wire.StateDigest) ([]byte, error) {
	key := headKey{from.Epoch, from.Rev, at, state != nil}
	c := &f.feed.heads
	c.mu.Lock()
	defer c.mu.Unlock() // thousands want the same head at the same time: one makes it
	now := f.o.Now()
	if h, there := c.frames[key]; there && now.Sub(h.made) < freshHeads {
		return h.frame, nil
	}
	signer, err := f.o.Vault.SignerFor(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("cannot sign the head %s: %w", at, err)
	}
	head := wire.SignHead(signer, at, state, now)
	frame := wire.AppendFrame(nil, wire.FrameHead, head.Append(nil))
	if len(c.frames) >= keepHeads {
		clear(c.frames)
	}
	c.frames[key] = headFrame{frame, now}
	return frame, nil
}

// When the whole state's digest is told: after so many revisions, or so much time if there was any.
const (
	foldRevisions = 256
	foldTime      = 10 * time.Minute
)

// refold tells the whole state's digest if it is time to.
func (f *Fleet) refold(ctx context.Context) error {
	v := f.feed.view()
	last := v.fold.at
	if last.Epoch == 0 {
		last = v.start
	}
	since := v.head.Rev - last.Rev
	if since == 0 || since < foldRevisions && f.o.Now().Sub(v.fold.made) < foldTime {
		return nil
	}
	state, err := f.state(ctx)
	if err != nil {
		return err
	}
	f.feed.change(func(v *view) bool {
		v.fold = fold{state.at, state.digest, f.o.Now()}
		return true
	})
	return nil
}
