package uplink

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// TestBlobsGoOn: a module whose connection breaks is fetched from where it broke off.
func TestBlobsGoOn(t *testing.T) {
	f, n := follows(t)
	text := strings.Repeat("0123456789", 100_000)
	var ranges []string
	f.with(func() {
		f.answer[wire.PathBlob] = func(w http.ResponseWriter, r *http.Request) {
			ranges = append(ranges, r.Header.Get("Range"))
			if len(ranges) < 3 {
				from := 0
				_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
				w.Header().Set("Content-Length", fmt.Sprint(len(text)-from))
				if from > 0 {
					w.WriteHeader(http.StatusPartialContent)
				}
				_, _ = w.Write([]byte(text[from : from+300_000]))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
		}
	})
	f.put(content{url: at127(2), module: text}.state(t))
	n.at(f, 2)
	assert.Equal(t, []string{"", "bytes=300000-", "bytes=600000-"}, ranges)
	assert.Equal(t, text, string(n.catalog().Policies[0].Code()))
}

// TestSecrets: they lie sealed in the store, and change with the revision.
func TestSecrets(t *testing.T) {
	f := newFake(t)
	f.change(full(f, 1))
	n := newNode(t, f, short).run()
	n.at(f, 1)
	n.whole()
	n.with(func() {
		n.refuses = func(c *wire.Catalog) error {
			value, err := n.Secret("origin:k")
			assert.NoError(t, err)
			if value != "secret 2" {
				t.Error("a catalog is compiled with its own secrets, not with ", value)
			}
			return errors.New("no")
		}
	})
	f.put(full(f, 2))
	n.refused(f, 2)
	n.whole()
	n.with(func() { n.refuses = nil })
	f.put(full(f, 3))
	n.at(f, 3)
	n.whole()
	for ref, want := range map[string]string{"origin:other": "no origin gave it to this node", "${HOME}": "it is not the origin's"} {
		_, err := n.Secret(ref)
		assert.ErrorContains(t, err, want)
	}
	n.proved()
	require.NoError(t, n.stop())
	sealed := 0
	for _, key := range n.kv.keys() {
		assert.NotContains(t, n.kv.values[key], "secret 3", key)
		if strings.HasPrefix(key, prefix+"secret/") {
			sealed++
		}
	}
	assert.Equal(t, 1, sealed, "those of other revisions are forgotten")
	require.NoError(t, n.kv.Delete([]byte(n.kv.keys()[slices.IndexFunc(n.kv.keys(), func(k string) bool { return strings.HasPrefix(k, prefix+"secret/") })])))
	_, err := n.Secret("origin:k")
	assert.ErrorContains(t, err, "it is not in the node's store")
}

// TestNoCheck: a node that was not told what it may resolve resolves nothing.
func TestNoCheck(t *testing.T) {
	f, n := follows(t, func(o *Options) { o.Check = nil })
	f.put(content{url: at127(2), header: "${ALLOWED}"}.state(t))
	assert.Contains(t, n.refused(f, 2).Message, "may resolve none")
}
