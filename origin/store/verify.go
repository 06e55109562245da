package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"github.com/wedge-proxy/wedge/wire"
)

// revsPerCheck is how many revisions Verify holds in memory.
const revsPerCheck = 200

// Verify recomputes the chain from the oldest record on and compares everything with it: records, bodies, resources
// and blobs. It returns ErrCorrupt with the first thing that is not as it was stored.
func (s *Store) Verify(ctx context.Context) error {
	if err := s.View(ctx, (*Tx).verify); err != nil {
		return fmt.Errorf("the store does not hold together: %w", err)
	}
	return nil
}

func (t *Tx) verify() error {
	for _, check := range []func() error{t.verifyChain, t.verifyResources, t.verifyBlobs} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) verifyChain() error {
	head, err := t.head("")
	if err != nil {
		return err
	}
	var kept, rev int64
	var base []byte
	if err := t.Row("select kept, base, base_chain from head where id = 1").Scan(&kept, &rev, &base); err != nil {
		return err
	}
	if rev > kept || kept > head.Rev || len(base) != sha256.Size {
		return corrupt("the head is at revision %d, history is kept from %d and records from %d", head.Rev, kept, rev)
	}
	for chain := Chain(base); ; {
		changes, err := t.changes(rev, revsPerCheck)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			if rev != head.Rev || chain != head.Chain {
				return corrupt("the chain ends at revision %d with %s, and the head is at %d with %s", rev, chain, head.Rev, head.Chain)
			}
			return nil
		}
		for i := range changes {
			if rev, chain, err = changes[i].verify(rev, chain, kept); err != nil {
				return err
			}
		}
		if err := t.verifyPlaced(changes); err != nil {
			return err
		}
	}
}

// verify checks the change that follows (rev, chain), and returns its own.
func (c *Change) verify(rev int64, chain Chain, kept int64) (int64, Chain, error) {
	if c.Rev != rev+1 {
		return 0, chain, corrupt("revision %d is followed by %d", rev, c.Rev)
	}
	payload, err := wire.ParsePayload(c.Payload)
	if err != nil {
		return 0, chain, corrupt("the payload of revision %d cannot be read", c.Rev)
	}
	if chain = chain.Next(c.Rev, c.Payload); chain != c.Chain {
		return 0, chain, corrupt("the chain of revision %d is %s and should be %s", c.Rev, c.Chain, chain)
	}
	if payload.Audit != wire.AuditDigest(c.Actor, c.Reason) || !payload.At.Equal(c.At) {
		return 0, chain, corrupt("who made revision %d, when or why is not what was recorded", c.Rev)
	}
	if c.Rev <= kept {
		return c.Rev, chain, nil
	}
	if len(c.Ops) != len(payload.Items) {
		return 0, chain, corrupt("revision %d has %d operations and should have %d", c.Rev, len(c.Ops), len(payload.Items))
	}
	for i := range c.Ops {
		if op := &c.Ops[i]; payload.Items[i] != op.item() {
			return 0, chain, corrupt("%s %q of revision %d is not what was stored", op.Kind, op.Name, c.Rev)
		}
	}
	return c.Rev, chain, nil
}

// item is what a payload says of the operation.
func (op *Op) item() Item {
	item := Item{Kind: op.Kind, Name: op.Name, Deleted: op.Delete}
	if !op.Delete {
		item.Digest = sha256.Sum256(op.Body)
	}
	return item
}

// verifyPlaced compares the resources that these changes put with what they say. The changes have been verified.
func (t *Tx) verifyPlaced(changes []Change) error {
	first := changes[0].Rev
	put := make([]map[Item]bool, len(changes))
	for i := range changes {
		payload, err := wire.ParsePayload(changes[i].Payload)
		if err != nil {
			return err
		}
		put[i] = make(map[Item]bool, len(payload.Items))
		for _, item := range payload.Items {
			put[i][item] = true
		}
	}
	rows, err := t.Query("select kind, name, body, rev from resources where rev >= ? and rev <= ?", first, changes[len(changes)-1].Rev)
	if err != nil {
		return err
	}
	return each(rows, func() error {
		var op Op
		var rev int64
		if err := rows.Scan(&op.Kind, &op.Name, &op.Body, &rev); err != nil {
			return err
		}
		if !put[rev-first][op.item()] {
			return corrupt("%s %q is not what revision %d made it", op.Kind, op.Name, rev)
		}
		return nil
	})
}

// verifyResources finds resources that the history knows a later state of, and those that are missing.
func (t *Tx) verifyResources() error {
	for what, query := range map[string]string{
		"it is not what the last change made it": `select r.kind, r.name from resources r where r.rev > (select rev from head)
			or exists (select 1 from history h where h.kind = r.kind and h.name = r.name and h.rev > r.rev
				and h.rev > (select kept from head)) limit 1`,
		"it is missing": `select h.kind, h.name from history h where h.body is not null and h.rev > (select kept from head)
			and not exists (select 1 from history n where n.kind = h.kind and n.name = h.name and n.rev > h.rev)
			and not exists (select 1 from resources r where r.kind = h.kind and r.name = h.name and r.rev = h.rev) limit 1`,
		"the blob that it names is missing": `select f.kind, f.name from blob_refs f
			where not exists (select 1 from blobs b where b.digest = f.digest) limit 1`,
	} {
		rows, err := t.Query(query)
		if err != nil {
			return err
		}
		err = each(rows, func() error {
			var kind, name string
			if err := rows.Scan(&kind, &name); err != nil {
				return err
			}
			return corrupt("%s %q: %s", kind, name, what)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// verifyBlobs computes every blob's digest.
func (t *Tx) verifyBlobs() error {
	rows, err := t.Query(`select b.digest, b.size, c.n, c.body from blobs b
		left join blob_chunks c on c.upload = b.upload order by b.digest, c.n`)
	if err != nil {
		return err
	}
	var digest string
	var size, read int64
	hash := sha256.New()
	check := func() error {
		if got := digestOf([sha256.Size]byte(hash.Sum(nil))); digest != "" && (got != digest || read != size) {
			return corrupt("the blob %s has %d bytes of %d and the digest %s", digest, read, size, got)
		}
		hash.Reset()
		read = 0
		return nil
	}
	err = each(rows, func() error {
		var next string
		var nextSize int64
		var n *int64
		var body []byte
		if err := rows.Scan(&next, &nextSize, &n, &body); err != nil {
			return err
		}
		if next != digest {
			if err := check(); err != nil {
				return err
			}
			digest, size = next, nextSize
		}
		hash.Write(body)
		read += int64(len(body))
		return nil
	})
	if err != nil {
		return err
	}
	return check()
}
