package origin

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store/pgtest"
)

// Origins that start at the same time on one database are one: one of them hands out the admin's token, which all of them
// know, and what one changes the others tell.
func TestOriginsOnOneDatabase(t *testing.T) {
	const n = 3
	url, kek := pgtest.Database(t), filepath.Join(t.TempDir(), "kek")
	data, opened, failures := make([]string, n), make([]*Origin, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		data[i] = t.TempDir()
		wg.Go(func() {
			opened[i], failures[i] = Open(context.Background(), Options{Data: data[i], DB: url, KEKFile: kek, Listen: "127.0.0.1:0", Support: supported})
		})
	}
	wg.Wait()
	token := ""
	for i := range n {
		require.NoError(t, failures[i])
		text, err := os.ReadFile(filepath.Join(data[i], adminFile))
		if err == nil {
			assert.Empty(t, token, "two admins' tokens")
			token = strings.TrimSpace(string(text))
		}
		require.NoError(t, opened[i].Close())
	}
	require.NotEmpty(t, token)

	var all []*running
	for i := range n {
		r := start(t, Options{Data: data[i], DB: url, KEKFile: kek})
		r.token = token
		all = append(all, r)
	}
	feed := all[1].open("GET", "/api/v1/changes", "")
	defer func() { require.NoError(t, feed.Body.Close()) }()
	lines := bufio.NewScanner(feed.Body)
	require.True(t, lines.Scan())
	status, _ := all[0].do("PUT", "/api/v1/providers/p", provider)
	require.Equal(t, http.StatusCreated, status)
	for lines.Scan() && lines.Text() != "event: change" {
	}
	status, _ = all[2].do("GET", "/api/v1/providers/p", "")
	assert.Equal(t, http.StatusOK, status)
}
