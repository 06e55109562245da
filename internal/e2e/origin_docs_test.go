//go:build unix

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// tenMinutes is the script that docs/ORIGIN.md has a newcomer type, with free ports in place of its own.
func tenMinutes(t *testing.T) (script string, nodes []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/ORIGIN.md")
	require.NoError(t, err)
	_, chapter, ok := strings.Cut(string(text), "\n## Ten minutes\n")
	require.True(t, ok)
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(chapter, -1)
	require.NotEmpty(t, blocks)
	var b strings.Builder
	b.WriteString("trap 'kill $(jobs -p); wait' EXIT\n")
	for _, block := range blocks {
		b.WriteString(block[1])
		if strings.Contains(block[1], "wedge model rollback") {
			b.WriteString(askEach)
		}
	}
	script = b.String()
	sim, origin := testkit.FreeAddr(t), testkit.FreeAddr(t)
	script = strings.NewReplacer("wedge sim &", "wedge sim --listen "+sim+" &", "wedge origin &", "wedge origin --listen "+origin+" &",
		"127.0.0.1:9090", sim, "127.0.0.1:8090", origin, "127.0.0.1:808$i", "$(sed -n ${i}p data.addrs)",
		"127.0.0.1:809$i", "127.0.0.1:0").Replace(script)
	for range 3 {
		nodes = append(nodes, testkit.FreeAddr(t))
	}
	return script, nodes
}

// askEach asks every node until it answers with the version that was in production before.
const askEach = `
for i in 1 2 3; do
  until curl -si http://$(sed -n ${i}p data.addrs)/v1/chat/completions -H "authorization: Bearer $KEY" \
    -d '{"model":"support-bot","messages":[{"role":"user","content":"hello again"}]}' | grep -i 'x-wedge-version: 1.0.0'
  do sleep 0.1; done
done
`

// TestTenMinutes does what docs/ORIGIN.md asks of its reader: an origin, three nodes, a promotion and a rollback.
func TestTenMinutes(t *testing.T) {
	t.Parallel()
	script, nodes := tenMinutes(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data.addrs"), []byte(strings.Join(nodes, "\n")+"\n"), 0o600))
	require.NoError(t, os.Symlink(binary, filepath.Join(dir, "wedge")))
	out, err := os.Create(filepath.Join(dir, "out"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = out.Close() })
	cmd := exec.Command("bash", "-e", "-c", script)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "WEDGE_ORIGIN=", "WEDGE_TOKEN=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // for killing all that the script started, should it hang
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-time.After(time.Minute):
		err = fmt.Errorf("the script did not end within a minute")
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	}
	said, readErr := os.ReadFile(out.Name())
	require.NoError(t, readErr)
	require.NoError(t, err, string(said))
	var versions []string
	for _, m := range regexp.MustCompile(`(?mi)^x-wedge-version: (\S+)`).FindAllStringSubmatch(string(said), -1) {
		versions = append(versions, m[1])
	}
	assert.Equal(t, []string{"1.1.0", "1.1.0", "1.1.0", "1.0.0", "1.0.0", "1.0.0"}, versions, string(said))
}

// TestPromotionReachesEverywhere measures what the documents promise: with waves on, a promotion is in use on all nodes
// within three seconds.
func TestPromotionReachesEverywhere(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t), startOrigin(t)
	o.apply(t, originCatalog(p))
	nodes := []*node{joined(t, "a", o), joined(t, "b", o), joined(t, "c", o)}
	for _, n := range nodes {
		n.arrive(t, o.revision(t))
	}
	o.awaitRollout(t, "done")
	began := time.Now()
	o.wedge(t, "model", "promote", "m", "1.1.0")
	rev := o.revision(t)
	for _, n := range nodes {
		n.arrive(t, rev)
	}
	took := time.Since(began)
	t.Logf("the promotion is in use on all three nodes after %v", took.Round(time.Millisecond))
	assert.Less(t, took, 3*time.Second)
}
