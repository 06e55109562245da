package e2e

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// startTLSOrigin runs an origin that speaks TLS only, and names itself localhost.
func startTLSOrigin(t *testing.T) *originProcess {
	t.Helper()
	o := startOrigin(t, "--tls", "on", "--host", "localhost", "--listen", "127.0.0.1:0")
	require.True(t, strings.HasPrefix(o.url, "https://"), o.url)
	at, err := url.Parse(o.url)
	require.NoError(t, err)
	o.url = "https://localhost:" + at.Port()
	return o
}

func (o *originProcess) ca() string { return filepath.Join(o.folder, "ca.pem") }

// TestOriginOverTLS: nodes know the origin by their join token, people by its authority's certificate, and who is given
// another one tells nobody anything.
func TestOriginOverTLS(t *testing.T) {
	t.Parallel()
	p, o, other := startProvider(t), startTLSOrigin(t), startTLSOrigin(t)
	ca := []string{"--ca", o.ca()}
	o.apply(t, originCatalog(p), ca...)
	invite := func(o *originProcess) string { return lastWord(o.wedge(t, "node", "invite", "--ca", o.ca())) }
	edge := func(name string, more ...string) *node {
		dir := t.TempDir()
		n := &node{folder: filepath.Join(dir, "data"), accessLog: filepath.Join(dir, "access.log")}
		n.args = append([]string{"edge", "--origin", o.url, "--name", name, "--data", n.folder, "--listen", "127.0.0.1:0",
			"--admin", "127.0.0.1:0", "--access-log", n.accessLog}, more...)
		return n
	}
	good := edge("good", "--join", invite(o))
	good.start(t)
	assert.Equal(t, "1.0.0", good.as(t, "ann").chat(ask("m", "over TLS")).header.Get("X-Wedge-Version"))
	good.restart(t)
	good.awaitLink(t, "up", func(l link) bool { return l.Link == "up" })

	for name, more := range map[string][]string{
		"token-of-another-origin": {"--join", invite(other)},
		"ca-of-another-origin":    {"--join", invite(o), "--ca", other.ca()},
	} {
		n := start(t, edge(name, more...).args...)
		testkit.Eventually(t, patience, func() error {
			if said := n.output("stderr"); !strings.Contains(said, "certificate") {
				return fmt.Errorf("the node has not refused the origin: %s", said)
			}
			return nil
		})
		n.kill()
		assert.NotContains(t, o.wedge(t, append([]string{"node", "list"}, ca...)...), name)
		said := o.output("stderr")
		assert.NotContains(t, said, "/v1/node/enrol", "the join token was not told")
		assert.NotContains(t, said, `node="`+name)
	}

	assert.Contains(t, o.refuse(t, append([]string{"fleet"}, "--ca", other.ca())...), "certificate")
	viewer := *o
	viewer.token = lastWord(o.wedge(t, append([]string{"token", "create", "grafana"}, ca...)...))
	viewer.wedge(t, append([]string{"fleet"}, ca...)...)
	assert.Contains(t, viewer.refuse(t, append([]string{"node", "drain", "good"}, ca...)...), "role")
	operator := *o
	operator.token = lastWord(o.wedge(t, append([]string{"token", "create", "ops", "--role", "operator"}, ca...)...))
	operator.wedge(t, append([]string{"model", "promote", "m", "1.1.0"}, ca...)...)
	assert.Contains(t, operator.refuse(t, append([]string{"token", "list"}, ca...)...), "role")
	assert.Regexp(t, `ops`, o.wedge(t, append([]string{"audit"}, ca...)...))
	testkit.Eventually(t, patience, func() error {
		if v := good.as(t, "ann").chat(ask("m", "promoted")).header.Get("X-Wedge-Version"); v != "1.1.0" {
			return fmt.Errorf("the node answers with %s", v)
		}
		return nil
	})
}
