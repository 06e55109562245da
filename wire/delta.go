package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Delta is one revision as a node gets it: what the chain covers, and the bodies of what the node may see.
type Delta struct {
	Rev     int64
	Payload []byte   // see ParsePayload
	Bodies  [][]byte // for each item that is put and Shared, in the payload's order
}

// Append appends the delta's encoding: the revision (8 bytes), and the payload and the bodies, each with its length (a
// varint) before it.
func (d *Delta) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(d.Rev))
	dst = append(binary.AppendUvarint(dst, uint64(len(d.Payload))), d.Payload...)
	for _, body := range d.Bodies {
		dst = append(binary.AppendUvarint(dst, uint64(len(body))), body...)
	}
	return dst
}

// ParseDelta reads what Append wrote. The slices are borrowed from b.
func ParseDelta(b []byte) (Delta, error) {
	r := payloadReader{rest: b}
	d := Delta{Rev: int64(binary.BigEndian.Uint64(r.take(8)))}
	d.Payload = r.sized()
	for len(r.rest) > 0 && !r.failed && len(d.Bodies) <= maxItems {
		d.Bodies = append(d.Bodies, r.sized())
	}
	if r.failed || d.Rev <= 0 || len(d.Bodies) > maxItems {
		return Delta{}, errors.New("not a delta")
	}
	return d, nil
}

// sized takes bytes with their length before them.
func (r *payloadReader) sized() []byte {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	return r.take(int(n))
}

// Edit is what a delta does to one shared resource.
type Edit struct {
	Resource
	Deleted bool
}

// Follow verifies that the delta continues a position and that its bodies are those that the chain covers. It returns
// the position after it, and what becomes of the shared resources; bodies are borrowed from the delta.
func (d *Delta) Follow(at Position) (Position, []Edit, error) {
	if d.Rev != at.Rev+1 {
		return at, nil, fmt.Errorf("revision %d does not follow %d", d.Rev, at.Rev)
	}
	payload, err := ParsePayload(d.Payload)
	if err != nil {
		return at, nil, fmt.Errorf("revision %d: %w", d.Rev, err)
	}
	var edits []Edit
	left := d.Bodies
	for i := range payload.Items {
		item := &payload.Items[i]
		if !Shared(item.Kind) {
			continue
		}
		e := Edit{Resource: Resource{Kind: item.Kind, Name: item.Name}, Deleted: item.Deleted}
		if !item.Deleted {
			if len(left) == 0 {
				return at, nil, fmt.Errorf("revision %d: the body of the %s %s is missing", d.Rev, item.Kind, item.Name)
			}
			e.Body, left = left[0], left[1:]
			if sha256.Sum256(e.Body) != item.Digest {
				return at, nil, fmt.Errorf("revision %d: the body of the %s %s is not the one that the chain covers", d.Rev, item.Kind, item.Name)
			}
		}
		edits = append(edits, e)
	}
	if len(left) > 0 {
		return at, nil, fmt.Errorf("revision %d: there are more bodies than resources", d.Rev)
	}
	return Position{Epoch: at.Epoch, Rev: d.Rev, Chain: at.Chain.Next(d.Rev, d.Payload)}, edits, nil
}
