package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCostAsks(t *testing.T) {
	for line, want := range map[string]string{
		"cost": "GET /api/v1/cost?by=model&limit=100000",
		"cost --by team,tag:app --last 30d --where key=a --where tag:env=prod": "GET /api/v1/cost?by=team%2Ctag%3Aapp&limit=100000&since=720h0m0s&where=key%3Da%2Ctag%3Aenv%3Dprod",
		"cost show --bucket week --tz Europe/Berlin --since 2026-10-01 -o csv": "GET /api/v1/cost?bucket=week&by=model&format=csv&since=2026-10-01&tz=Europe%2FBerlin",
	} {
		f := toFake(t, 200, `{"by":["model"],"items":[]}`)
		code, _, stderr := runLine(strings.Fields(line)...)
		require.Equal(t, exitDone, code, "%s: %s", line, stderr)
		assert.Equal(t, []string{want}, f.asked, line)
	}
	code, _, stderr := runLine("cost", "--last", "1d", "--since", "2026-10-01")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "--last and --since")
	for _, none := range []string{"0d", "0s"} {
		f := toFake(t, 200, `{}`)
		code, _, stderr = runLine("cost", "--last", none)
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "cannot tell the costs of the last 0s: want a span")
		assert.Empty(t, f.asked)
	}
	code, _, _ = runLine("cost", "--bucket", "year")
	assert.Equal(t, exitUsage, code)
}

// Whether a bill is right shows in the exit code, too.
func TestCostReconcile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bill.csv")
	require.NoError(t, os.WriteFile(file, []byte("Day,cost\n"), 0o600))
	args := []string{"cost", "reconcile", "--provider", "openai", "--file", file, "--map", "date=Day,dates=dmy", "--tolerance", "0.5"}
	f := toFake(t, 200, `{"provider":"openai","since":"2026-10-01","until":"2026-10-31","tolerance_percent":0.5,"matched":true,"count":{"matched":1},
		"lines":[{"day":"2026-10-01","model":"gpt-5","status":"matched","billed_nano_usd":1000000000,"counted_nano_usd":990000000,"diff_nano_usd":-10000000,"diff_percent":-1}],
		"total":{"billed_nano_usd":1000000000,"counted_nano_usd":990000000,"diff_nano_usd":-10000000,"diff_percent":-1}}`)
	code, stdout, _ := runLine(args...)
	assert.Equal(t, exitDone, code)
	assert.Equal(t, []string{"POST /api/v1/cost/reconcile?format=json&map=date%3DDay%2Cdates%3Ddmy&provider=openai&tolerance=0.5 Day,cost"}, f.asked)
	assert.Contains(t, stdout, "2026-10-01  gpt-5  matched  1.00    0.99     -0.01       -1       0\n")
	assert.Contains(t, stdout, "1 matched, 0 different, 0 not billed, 0 not counted; up to 0.5 % or a cent is tolerated\n")

	toFake(t, 200, `{"matched":false}`)
	code, stdout, stderr := runLine(append(args, "-o", "json")...)
	assert.Equal(t, exitFailed, code)
	assert.JSONEq(t, `{"matched":false}`, stdout)
	assert.Contains(t, stderr, "differ by more than is tolerated")
	code, _, stderr = runLine("cost", "reconcile", "--provider", "openai", "--file", file+".not")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "cannot read the bill: open "+file)
}
