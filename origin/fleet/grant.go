package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// grants are the secrets that nodes may have at a head.
type grants struct {
	mu      sync.Mutex
	at      wire.Position
	secrets map[string]bool
}

const maxSecretNames = 1000

// secrets seals to a node those that it asks for, if a provider of the catalog needs them.
func (f *Fleet) secrets(w http.ResponseWriter, r *http.Request) error {
	c, err := f.admit(r)
	if err != nil {
		return err
	}
	var wanted wire.SecretsWanted
	if err := read(w, r, maxSecrets, &wanted); err != nil {
		return err
	}
	if len(wanted.Names) > maxSecretNames {
		return refuse(codeInvalid, "the node asks for %d secrets; at most %d can be had at once", len(wanted.Names), maxSecretNames)
	}
	needed, err := f.neededSecrets(r.Context())
	if err != nil {
		return err
	}
	sealed := make(map[string][]byte, len(wanted.Names))
	for _, name := range wanted.Names {
		if !needed[name] {
			return refuse(codeForbidden, "no provider of the catalog needs the secret %q", cut(name, 200))
		}
		b, err := f.o.Vault.Seal(r.Context(), name, c.key)
		if errors.Is(err, store.ErrNotFound) {
			return refuse(codeNotFound, "there is no secret %q; set it with wedge secret put", name)
		}
		if err != nil {
			return err
		}
		sealed[name] = b
	}
	send(w, http.StatusOK, wire.Secrets{Sealed: sealed})
	return nil
}

// neededSecrets are those that providers name with origin:NAME, at the head.
func (f *Fleet) neededSecrets(ctx context.Context) (map[string]bool, error) {
	g := &f.grants
	g.mu.Lock()
	defer g.mu.Unlock()
	h, err := f.o.Store.Head(ctx)
	if err != nil {
		return nil, err
	}
	if at := positionOf(h); g.secrets == nil || g.at != at {
		needed, err := f.scanNeeded(ctx)
		if err != nil {
			return nil, err
		}
		g.at, g.secrets = at, needed
	}
	return g.secrets, nil
}

func (f *Fleet) scanNeeded(ctx context.Context) (map[string]bool, error) {
	needed := map[string]bool{}
	for after := ""; ; {
		providers, err := f.o.Store.List(ctx, wire.KindProvider, after, 0)
		if err != nil || len(providers) == 0 {
			return needed, err
		}
		for i := range providers {
			addSecrets(needed, providers[i].Body)
		}
		after = providers[len(providers)-1].Name
	}
}

// addSecrets adds the secrets that a provider names: for its credentials, or in a header.
func addSecrets(needed map[string]bool, provider []byte) {
	var p struct {
		APIKey  string         `json:"api_key"`
		Headers map[string]any `json:"headers"`
	}
	if json.Unmarshal(provider, &p) != nil { // no catalog has it
		return
	}
	refs := []any{p.APIKey}
	for _, value := range p.Headers {
		refs = append(refs, value)
	}
	for _, ref := range refs {
		text, _ := ref.(string)
		if name, is := strings.CutPrefix(text, "origin:"); is && wire.IsSecretRef(text) {
			needed[name] = true
		}
	}
}

// blob sends a blob, or a range of it. Nodes may have any: who knows a digest has been told of it by a revision, and that
// may be an older one, which the node is still at.
func (f *Fleet) blob(w http.ResponseWriter, r *http.Request) error {
	if _, err := f.admit(r); err != nil {
		return err
	}
	digest := r.PathValue("digest")
	blob, err := f.o.Store.OpenBlob(r.Context(), digest)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return refuse(codeNotFound, "there is no blob %s", cut(digest, 100))
	case errors.Is(err, store.ErrInvalid):
		return refuse(codeInvalid, "%q is no digest; want sha256: and 64 hexadecimal digits", cut(digest, 100))
	case err != nil:
		return err
	}
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Etag", `"`+digest+`"`)
	http.ServeContent(w, r, "", time.Time{}, blob)
	return nil
}
