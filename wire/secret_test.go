package wire

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestResolveSecret(t *testing.T) {
	env := map[string]string{"GOOD": "hunter2", "EMPTY": "", "LINES": "hunter2\nhunter3"}
	files := map[string]string{"/run/secrets/a": "hunter2\r\n", "/etc/wedge/b": "hunter2", "/empty": "\n"}
	getenv := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	readFile := func(path string) ([]byte, error) {
		if v, ok := files[path]; ok {
			return []byte(v), nil
		}
		return nil, errors.New("no such file")
	}
	good := func(ref, want string) {
		t.Helper()
		got, err := ResolveSecret(ref, "/etc/wedge", getenv, readFile)
		assert.NoError(t, err)
		assert.Equal(t, want, got)
	}
	bad := func(ref, want string) {
		t.Helper()
		got, err := ResolveSecret(ref, "/etc/wedge", getenv, readFile)
		assert.EqualError(t, err, want)
		assert.Empty(t, got)
	}
	good("", "")
	good("${GOOD}", "hunter2")
	good("file:/run/secrets/a", "hunter2")
	good("file:b", "hunter2")
	bad("${NONE}", "cannot resolve the secret ${NONE}: the environment variable is not set")
	bad("${EMPTY}", "cannot resolve the secret ${EMPTY}: it is empty")
	bad("${LINES}", "cannot resolve the secret ${LINES}: it has several lines or control characters")
	bad("file:none", "cannot resolve the secret file:/etc/wedge/none: no such file")
	bad("file:/empty", "cannot resolve the secret file:/empty: it is empty")
	bad("origin:openai", "cannot resolve the secret origin:openai: no origin gave it to this node")
	bad("sk-hunter2", "cannot resolve a secret: its reference is none of ${ENV}, file:PATH and origin:NAME")
	bad("${A}${B}", "cannot resolve a secret: its reference is none of ${ENV}, file:PATH and origin:NAME")
}
