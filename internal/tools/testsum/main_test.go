package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
)

func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		events []string
		strict bool
		code   int
		last   string
		told   []string
	}{
		"all pass": {
			events: []string{
				`{"Action":"run","Package":"m/a","Test":"TestX"}`,
				`{"Action":"output","Package":"m/a","Test":"TestX","Output":"chatter\n"}`,
				`{"Action":"pass","Package":"m/a","Test":"TestX","Elapsed":0.1}`,
				`{"Action":"pass","Package":"m/a","Test":"TestY"}`,
				`{"Action":"pass","Package":"m/a","Elapsed":1.25}`,
				`{"Action":"skip","Package":"m/no-tests"}`,
			},
			last: "2 passed, 0 failed, 0 skipped",
			told: []string{"ok    m/a  2 tests, 1.2s\n"},
		},
		"a failure shows its output": {
			events: []string{
				`{"Action":"output","Package":"m/a","Test":"TestX","Output":"want 1, got 2\n"}`,
				`{"Action":"fail","Package":"m/a","Test":"TestX"}`,
				`{"Action":"pass","Package":"m/a","Test":"TestY"}`,
				`{"Action":"fail","Package":"m/a"}`,
			},
			code: 1, last: "1 passed, 1 failed, 0 skipped",
			told: []string{"want 1, got 2\n", "FAIL  m/a\n", "What failed:\nFAIL  m/a TestX\nwant 1, got 2\n"},
		},
		"a package that does not build": {
			events: []string{
				`{"ImportPath":"m/a","Action":"build-output","Output":"a.go:3: undefined: x\n"}`,
				`{"ImportPath":"m/a","Action":"build-fail"}`,
				`{"Action":"fail","Package":"m/a","Elapsed":0,"FailedBuild":"m/a"}`,
				`{"Action":"pass","Package":"m/b","Test":"TestY"}`,
			},
			code: 1, last: "1 passed, 1 failed, 0 skipped",
			told: []string{"a.go:3: undefined: x\n", "FAIL  m/a\n"},
		},
		"a skip is told": {
			events: []string{
				`{"Action":"output","Package":"m/a","Test":"TestX","Output":"needs npm\n"}`,
				`{"Action":"skip","Package":"m/a","Test":"TestX"}`,
				`{"Action":"pass","Package":"m/a","Test":"TestY"}`,
			},
			last: "1 passed, 0 failed, 1 skipped",
			told: []string{"skip m/a TestX\nneeds npm\n"},
		},
		"a skip fails where nothing may be skipped": {
			events: []string{
				`{"Action":"skip","Package":"m/a","Test":"TestX"}`,
				`{"Action":"pass","Package":"m/a","Test":"TestY"}`,
			},
			strict: true, code: 1, last: "1 passed, 0 failed, 1 skipped",
			told: []string{"FAIL, for nothing may be skipped here: m/a TestX"},
		},
		"what another run passes is not skipped": {
			events: []string{
				`{"Action":"pass","Package":"m/a","Test":"TestX"}`,
				`{"Action":"skip","Package":"m/a","Test":"TestX"}`,
			},
			strict: true, last: "1 passed, 0 failed, 0 skipped",
		},
		"what another run fails has failed": {
			events: []string{
				`{"Action":"pass","Package":"m/a","Test":"TestX"}`,
				`{"Action":"fail","Package":"m/a","Test":"TestX"}`,
				`{"Action":"pass","Package":"m/a","Test":"TestX"}`,
			},
			code: 1, last: "0 passed, 1 failed, 0 skipped",
		},
		"nothing ran": {code: 1, last: "0 passed, 0 failed, 0 skipped"},
		"lines that are no events are passed on": {
			events: []string{"go: downloading x", `{"Action":"pass","Package":"m/a","Test":"TestX"}`, "{}"},
			last:   "1 passed, 0 failed, 0 skipped",
			told:   []string{"go: downloading x\n", "{}"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			code := run(strings.NewReader(strings.Join(c.events, "\n")), &out, c.strict)
			assert.Equal(t, c.code, code)
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			assert.Equal(t, c.last, lines[len(lines)-1])
			for _, text := range c.told {
				assert.Contains(t, out.String(), text)
			}
			assert.NotContains(t, out.String(), "chatter")
		})
	}
}

func TestRunTellsWhatItCouldNotRead(t *testing.T) {
	var out strings.Builder
	in := io.MultiReader(strings.NewReader("x\n"), iotest.ErrReader(errors.New("pipe broke")))
	assert.Equal(t, 1, run(in, &out, false))
	assert.Contains(t, out.String(), "pipe broke")
}
