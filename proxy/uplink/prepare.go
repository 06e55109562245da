package uplink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/wedge-proxy/wedge/wire"
)

// prepared is a catalog with all that it needs.
type prepared struct {
	*wire.Catalog
	commits map[string]string
}

// prepare makes a candidate's catalog, with its modules and its secrets at hand. c is nil where nothing can be fetched.
func (u *Uplink) prepare(ctx context.Context, c *caller, candidate *state) (prepared, *wire.Nack) {
	catalog, err := candidate.catalog(u.name())
	if err != nil {
		return prepared{}, refused(wire.NackSchema, "", err)
	}
	for _, ref := range secretRefs(catalog) {
		if strings.HasPrefix(ref, "origin:") || u.o.Check == nil {
			continue
		}
		if err := u.o.Check(ref); err != nil {
			return prepared{}, refused(wire.NackResource, "", err)
		}
	}
	if err := catalog.LoadBlobs(func(digest string) ([]byte, error) { return u.blob(ctx, c, digest) }); err != nil {
		return prepared{}, refused(wire.NackResource, "", err)
	}
	commits, err := candidate.commits(catalog)
	if err == nil {
		err = u.fetchSecrets(ctx, c, commits)
	}
	if err != nil {
		return prepared{}, refused(wire.NackResource, "", err)
	}
	return prepared{catalog, commits}, nil
}

var errNotHere = errors.New("it is not in the node's store, and there is no origin to ask")

// maxBlob is the largest blob that a node takes, in bytes: more than a module may have.
const maxBlob = 8 << 20

// blob is a module, from the node's store or from the origin.
func (u *Uplink) blob(ctx context.Context, c *caller, digest string) ([]byte, error) {
	if blob, err := u.o.KV.Get(blobKey(digest)); err == nil && digestOf(blob) == digest {
		return blob, nil
	}
	if c == nil {
		return nil, errNotHere
	}
	blob, err := c.blob(ctx, digest)
	if err != nil {
		return nil, err
	}
	if err := u.o.KV.Put(blobKey(digest), blob); err != nil {
		return nil, fmt.Errorf("cannot keep it in the node's store: %w", err)
	}
	return blob, nil
}

func digestOf(blob []byte) string {
	sum := sha256.Sum256(blob)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// blob fetches a blob. Where the connection breaks it goes on from where it was.
func (c *caller) blob(ctx context.Context, digest string) ([]byte, error) {
	var got []byte
	var last error
	for range 5 {
		got, last = c.blobFrom(ctx, digest, got)
		if last == nil {
			break
		}
		if codeOf(last) != "" || ctx.Err() != nil {
			return nil, last
		}
	}
	if last != nil {
		return nil, last
	}
	if digestOf(got) != digest {
		return nil, errors.New("what the origin sent is something else")
	}
	return got, nil
}

// blobFrom fetches what is missing.
func (c *caller) blobFrom(ctx context.Context, digest string, got []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*callTime)
	defer cancel()
	var headers []string
	if len(got) > 0 {
		headers = []string{"Range", fmt.Sprintf("bytes=%d-", len(got))}
	}
	resp, err := c.do(ctx, "GET", wire.PathBlob+digest, nil, headers...)
	if err != nil {
		return got, err
	}
	defer func() { _ = resp.Body.Close() }() // what came was taken
	if resp.StatusCode == 200 {
		got = nil // the whole
	}
	out := bytes.NewBuffer(got)
	_, err = io.Copy(out, io.LimitReader(resp.Body, int64(maxBlob-len(got)+1)))
	if err == nil && out.Len() > maxBlob {
		return nil, &originError{SyncError: wire.SyncError{Code: "limit", Message: "it is larger than a node takes"}}
	}
	return out.Bytes(), err
}

// secrets are what the origin's secrets that are in use were committed to, by name.
type secrets struct {
	mu      sync.Mutex
	commits map[string]string
}

// swap puts others in place and returns those that were there.
func (s *secrets) swap(commits map[string]string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.commits
	s.commits = commits
	return before
}

// Secret resolves origin:NAME: it opens what lies sealed in the node's store. No error holds the secret.
func (u *Uplink) Secret(ref string) (string, error) {
	name, ok := strings.CutPrefix(ref, "origin:")
	if !ok {
		return "", fmt.Errorf("cannot resolve the secret %s: it is not the origin's", ref)
	}
	u.secrets.mu.Lock()
	commit, known := u.secrets.commits[name]
	u.secrets.mu.Unlock()
	if !known {
		return "", fmt.Errorf("cannot resolve the secret %s: no origin gave it to this node", ref)
	}
	return u.open(name, commit)
}

func (u *Uplink) open(name, commit string) (string, error) {
	text, err := u.o.KV.Get(secretKey(name))
	if err != nil {
		return "", fmt.Errorf("cannot resolve the secret origin:%s: it is not in the node's store: %w", name, err)
	}
	var kept map[string][]byte
	if err := json.Unmarshal(text, &kept); err != nil {
		return "", fmt.Errorf("cannot resolve the secret origin:%s: what is in the node's store is broken", name)
	}
	key := u.key()
	if key == nil {
		return "", fmt.Errorf("cannot resolve the secret origin:%s: this node has not enrolled", name)
	}
	return wire.OpenSecret(key, name, commit, kept[commit])
}

// fetchSecrets makes sure that the node can open the secrets that were committed to.
func (u *Uplink) fetchSecrets(ctx context.Context, c *caller, commits map[string]string) error {
	var missing []string
	for name, commit := range commits {
		if _, err := u.open(name, commit); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	if c == nil {
		return fmt.Errorf("the secret %s: %w", missing[0], errNotHere)
	}
	var got wire.Secrets
	if err := c.post(ctx, wire.PathSecrets, wire.SecretsWanted{Names: missing}, &got); err != nil {
		return fmt.Errorf("cannot fetch the secrets %s: %w", strings.Join(missing, ", "), err)
	}
	for _, name := range missing {
		if _, err := wire.OpenSecret(u.key(), name, commits[name], got.Sealed[name]); err != nil {
			return err
		}
		if err := u.keepSecret(name, commits[name], got.Sealed[name]); err != nil {
			return err
		}
	}
	return nil
}

// keepSecret stores a sealed secret beside the one in use: which of them counts is decided with the revision.
func (u *Uplink) keepSecret(name, commit string, sealed []byte) error {
	kept := map[string][]byte{commit: sealed}
	if text, err := u.o.KV.Get(secretKey(name)); err == nil {
		u.secrets.mu.Lock()
		used := u.secrets.commits[name]
		u.secrets.mu.Unlock()
		var before map[string][]byte
		if json.Unmarshal(text, &before) == nil && before[used] != nil {
			kept[used] = before[used]
		}
	}
	text, err := json.Marshal(kept)
	if err == nil {
		err = u.o.KV.Put(secretKey(name), text)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the secret %s in the node's store: %w", name, err)
	}
	return nil
}

// tidy forgets what no revision needs any more: only what is in use is left to fall back to.
func (u *Uplink) tidy() {
	err := u.disk.clean(&u.meta)
	needed := map[string]bool{}
	for _, r := range u.used.resources {
		digests, _ := wire.BlobsOf(r.Kind, r.Body) // it was read before
		for _, digest := range digests {
			needed[prefix+"blob/"+digest] = true
		}
	}
	u.secrets.mu.Lock()
	for name := range u.secrets.commits {
		needed[prefix+"secret/"+name] = true
	}
	u.secrets.mu.Unlock()
	for _, part := range []string{"blob/", "secret/"} {
		err = errors.Join(err, u.forget(prefix+part, needed))
	}
	if err != nil {
		u.o.Log.Warn("cannot tidy up the node's store", "error", err)
	}
}

func (u *Uplink) forget(prefix string, needed map[string]bool) error {
	var old [][]byte
	err := u.o.KV.Each([]byte(prefix), func(key, _ []byte) error {
		if !needed[string(key)] {
			old = append(old, slices.Clone(key))
		}
		return nil
	})
	for _, key := range old {
		err = errors.Join(err, u.o.KV.Delete(key))
	}
	return err
}
