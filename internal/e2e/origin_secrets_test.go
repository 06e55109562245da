package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// putSecret makes or replaces a secret.
func (o *originProcess) putSecret(t *testing.T, name, value string) string {
	t.Helper()
	cmd := o.command("secret", "put", name)
	cmd.Stdin = strings.NewReader(value)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// wantNowhere looks for texts in every file below a folder.
func wantNowhere(t *testing.T, folder string, texts ...string) {
	t.Helper()
	files := 0
	require.NoError(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, text := range texts {
			assert.False(t, bytes.Contains(content, []byte(text)), "%s holds a secret", path)
		}
		return nil
	}))
	assert.Positive(t, files, folder)
}

// TestSecrets: a secret reaches the provider and nobody else, and its successor does without another change.
func TestSecrets(t *testing.T) {
	t.Parallel()
	const first, second = "sk-first-PkV9mTqLw2", "sk-second-Zr4XbNc8Jd"
	p1, p2, o := startProvider(t, "--api-key", first), startProvider(t, "--api-key", second), startOrigin(t)
	said := o.putSecret(t, "sim", first)
	c := (&catalog{}).at("sim-1", p1.addr, `, api_key: "origin:sim"`).at("sim-2", p2.addr, `, api_key: "origin:sim"`)
	c.model("wants-first", "", target("sim-1", "m", "")).model("wants-second", "", target("sim-2", "m", "")).key("ann", "")
	o.apply(t, c.String())
	n := joined(t, "shop", o)
	status := func(model string) int { return n.as(t, "ann").chat(ask(model, "Which key?")).status }
	assert.Equal(t, []int{200, 502}, []int{status("wants-first"), status("wants-second")})

	said += o.putSecret(t, "sim", second)
	n.arrive(t, o.revision(t))
	assert.Equal(t, []int{502, 200}, []int{status("wants-first"), status("wants-second")})
	n.restart(t)
	assert.Equal(t, 200, status("wants-second"), "after a restart")
	o.kill()
	n.kill()
	n.start(t)
	assert.Equal(t, 200, status("wants-second"), "without the origin")
	o.start(t)

	bundle := filepath.Join(t.TempDir(), "bundle")
	o.wedge(t, "bundle", "export", "-o", bundle)
	o.wedge(t, "backup", "-o", bundle+".backup")
	said += o.wedge(t, "get", "secret", "sim") + o.wedge(t, "get", "catalog") + o.wedge(t, "audit", "-o", "json") +
		n.operator(t).get("/status").body + n.operator(t).get("/metrics").body
	assert.NotContains(t, said, first)
	assert.NotContains(t, said, second)
	n.terminate()
	o.terminate()
	for _, folder := range []string{filepath.Dir(n.folder), o.folder, filepath.Dir(bundle), n.dir, o.dir} {
		wantNowhere(t, folder, first, second)
	}
}
