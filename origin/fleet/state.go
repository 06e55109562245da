package fleet

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// state is everything there is at a position, as it goes to nodes: encoded once, sent to all.
type state struct {
	at     wire.Position
	digest wire.StateDigest
	frames []byte // a FrameSnapshot and FrameResources
}

// states keeps the last state, and counts whom one is sent.
type states struct {
	slots chan struct{} // holds a token for each

	mu   sync.Mutex // of who makes one
	last *state
}

// take lets a node be sent a state, waiting a little if need be.
func (s *states) take(ctx context.Context, patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (s *states) give() { <-s.slots }

// state is that at the head.
func (f *Fleet) state(ctx context.Context) (*state, error) {
	c := &f.states
	c.mu.Lock()
	defer c.mu.Unlock()
	head, err := f.o.Store.Head(ctx)
	if err != nil {
		return nil, err
	}
	if c.last != nil && c.last.at == positionOf(head) {
		return c.last, nil
	}
	at, resources, err := f.resources(ctx)
	if err != nil {
		return nil, err
	}
	c.last = encodeState(at, resources)
	return c.last, nil
}

// resources reads those that nodes may see, sorted, and where the history stands.
func (f *Fleet) resources(ctx context.Context) (wire.Position, []wire.Resource, error) {
	var all []wire.Resource
	var at wire.Position
	head, err := f.o.Store.Snapshot(ctx, func(head store.Head, r store.Resource) error {
		if head := positionOf(head); at != head || len(all) > 0 && !after(&all[len(all)-1], &r) { // it started over
			at, all = head, all[:0]
		}
		if wire.Shared(r.Kind) {
			all = append(all, wire.Resource{Kind: r.Kind, Name: r.Name, Body: r.Body})
		}
		return nil
	})
	wire.SortResources(all)
	return positionOf(head), all, err
}

// after says that a resource stands after one that was read before it.
func after(last *wire.Resource, r *store.Resource) bool {
	return last.Kind < r.Kind || last.Kind == r.Kind && last.Name < r.Name
}

func encodeState(at wire.Position, resources []wire.Resource) *state {
	start, err := json.Marshal(wire.SnapshotStart{Epoch: at.Epoch, Rev: at.Rev, Resources: len(resources)})
	if err != nil {
		panic("BUG: a snapshot's start has no JSON: " + err.Error())
	}
	size := len(start)
	for i := range resources {
		size += len(resources[i].Body) + 64
	}
	frames := wire.AppendFrame(make([]byte, 0, size+64), wire.FrameSnapshot, start)
	for i := range resources {
		begin := len(frames)
		frames = append(frames, 0, 0, 0, 0, byte(wire.FrameResource))
		frames = wire.AppendResource(frames, &resources[i])
		binary.BigEndian.PutUint32(frames[begin:], uint32(len(frames)-begin-5))
	}
	return &state{at, wire.DigestState(resources), frames}
}

// Bundle writes the whole state as a signed file, with all blobs that it names, for nodes that do not reach the origin.
func (f *Fleet) Bundle(ctx context.Context, w io.Writer) error {
	at, resources, err := f.resources(ctx)
	if err != nil {
		return err
	}
	signer, err := f.o.Vault.SignerFor(ctx, at)
	if err != nil {
		return err
	}
	digest := wire.DigestState(resources)
	head := wire.SignHead(signer, at, &digest, f.o.Now())
	return wire.WriteBundle(w, head, resources, func(digest string) (io.Reader, int64, error) {
		blob, err := f.o.Store.OpenBlob(ctx, digest)
		if err != nil {
			return nil, 0, err
		}
		return blob, blob.Size, nil
	})
}
