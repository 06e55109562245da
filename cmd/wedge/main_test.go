package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func runLine(args ...string) (code int, stdout, stderr string) {
	var out, err strings.Builder
	code = run(args, &out, &err)
	return code, out.String(), err.String()
}

func TestWrongUsage(t *testing.T) {
	for _, line := range []string{"", "nonsense", "version --nonsense", "version -o xml", "version extra", "sim --ttft soon"} {
		t.Run(line, func(t *testing.T) {
			code, stdout, stderr := runLine(strings.Fields(line)...)
			assert.Equal(t, exitUsage, code)
			assert.Empty(t, stdout)
			assert.True(t, strings.HasPrefix(stderr, "wedge: "), stderr)
			assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
		})
	}
}

func TestHelp(t *testing.T) {
	for _, line := range []string{"--help", "sim --help", "version -h"} {
		t.Run(line, func(t *testing.T) {
			code, stdout, stderr := runLine(strings.Fields(line)...)
			assert.Equal(t, exitDone, code)
			assert.Contains(t, stdout, "Usage: wedge")
			assert.Empty(t, stderr)
		})
	}
}

func TestRefusalIsOneLine(t *testing.T) {
	code, _, stderr := runLine("sim", "--listen", "nowhere:port")
	assert.Equal(t, exitFailed, code)
	assert.True(t, strings.HasPrefix(stderr, "wedge: "), stderr)
	assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)

	var several strings.Builder
	report(&several, errors.Join(errors.New("first"), errors.New("second")))
	assert.Equal(t, "wedge: first; second\n", several.String())
}

type coded int

func (c coded) Error() string { return "coded" }
func (c coded) ExitCode() int { return int(c) }

func TestExitCode(t *testing.T) {
	assert.Equal(t, 1, exitCode(errors.New("x")))
	assert.Equal(t, 7, exitCode(fmt.Errorf("around: %w", coded(7))))
}

func TestVersion(t *testing.T) {
	code, stdout, _ := runLine("version", "-o", "json")
	require.Equal(t, exitDone, code)
	var got map[string]string
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	assert.Equal(t, runtime.Version(), got["go"])
	assert.Equal(t, "wedge1", got["abi"])
	assert.NotEmpty(t, got["version"])
	assert.NotEmpty(t, got["commit"])

	code, stdout, _ = runLine("version")
	require.Equal(t, exitDone, code)
	assert.Regexp(t, `^version  \S+\ncommit   \S+\ngo       go\S+.*\nabi      wedge1\n$`, stdout)
}

func TestThisBuild(t *testing.T) {
	installed := &debug.BuildInfo{
		Main:     debug.Module{Version: "v0.3.0"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc123"}, {Key: "vcs.modified", Value: "true"}},
	}
	fresh := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}
	for name, c := range map[string]struct {
		version, commit string
		info            *debug.BuildInfo
		want            [2]string
	}{
		"linked":            {"v0.4.0", "def456", installed, [2]string{"v0.4.0", "def456"}},
		"installed":         {"", "", installed, [2]string{"v0.3.0", "abc123+changes"}},
		"built by hand":     {"", "", fresh, [2]string{"dev", "unknown"}},
		"nothing was noted": {"", "", nil, [2]string{"dev", "unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := thisBuild(c.version, c.commit, c.info)
			assert.Equal(t, c.want, [2]string{b.Version, b.Commit})
		})
	}
}
