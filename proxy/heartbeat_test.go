package proxy

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// A stream that is silent for long says that it goes on, to everyone who reads it; the cache keeps none of it.
func TestHeartbeats(t *testing.T) {
	provider := scripted(t, func(_ int, w net.Conn, _ string) {
		_, _ = io.WriteString(w, streamHead)
		chunk(w, deltaEvent(`"A"`))
		time.Sleep(300 * time.Millisecond)
		chunk(w, deltaEvent(`"B"`)+stopEvent+usageEvent+doneEvent)
		_, _ = io.WriteString(w, "0\r\n\r\n")
	})
	s, node := cornerServer(t, provider)
	s.o.Heartbeat = 50 * time.Millisecond
	for _, model := range []string{"pair", "kept"} {
		readers := make(chan got, 3)
		for range cap(readers) {
			go func() { readers <- fetch(t, node, chatPath, chatAsk(model, "x", true)) }()
		}
		for range cap(readers) {
			g := <-readers
			require.NoError(t, g.err)
			_, after, _ := strings.Cut(g.body, deltaEvent(`"A"`))
			silence, _, _ := strings.Cut(after, deltaEvent(`"B"`))
			assert.GreaterOrEqual(t, strings.Count(silence, string(heartbeats[dialect.OpenAI])), 2, "%s: %q", model, g.body)
			assert.Empty(t, strings.ReplaceAll(silence, string(heartbeats[dialect.OpenAI]), ""), "nothing else")
			assert.True(t, strings.HasSuffix(g.body, doneEvent), g.body)
		}
	}
	g := fetch(t, node, chatPath, chatAsk("kept", "x", true))
	assert.Equal(t, "hit-memory", g.cache())
	assert.NotContains(t, g.body, "\n\n:\n")
	g = fetch(t, node, chatPath, chatAsk("pair", "y", false))
	assert.NotContains(t, g.body, string(heartbeats[dialect.OpenAI]), "a whole answer has no room for one")
}

// Heartbeats tell clients that a stream lives; they do not keep one alive that a provider has let down.
func TestHeartbeatsEndWithTheTimeout(t *testing.T) {
	release := make(chan struct{})
	provider := scripted(t, func(_ int, w net.Conn, _ string) {
		_, _ = io.WriteString(w, streamHead)
		chunk(w, deltaEvent(`"A"`))
		<-release
	})
	t.Cleanup(func() { close(release) })
	s, node := cornerServer(t, provider)
	s.o.Heartbeat = 300 * time.Millisecond
	g := fetch(t, node, chatPath, chatAsk("brief", "x", true))
	assert.GreaterOrEqual(t, strings.Count(g.body, string(heartbeats[dialect.OpenAI])), 2, "%q", g.body)
	assert.Contains(t, g.body, `"code":"upstream_timeout"`)
	assert.Less(t, g.took, 3*time.Second)
}
