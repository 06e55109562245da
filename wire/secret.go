package wire

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

var secretRefText = regexp.MustCompile(`^(?:\$\{([A-Za-z_][A-Za-z0-9_]*)\}|file:([^\x00-\x1f\x7f]+)|origin:([A-Za-z0-9][A-Za-z0-9._/-]*))$`)

// IsSecretRef says that a text is a reference to a secret: ${ENV}, file:PATH or origin:NAME.
func IsSecretRef(ref string) bool { return secretRefText.MatchString(ref) }

// ResolveSecret fetches what a reference names: ${ENV} through getenv, file:PATH through readFile with a
// relative path taken from dir, "" is no secret. The line break at a file's end does not count. An origin:NAME
// is an error, as only an origin can give it. No error holds the secret.
func ResolveSecret(ref, dir string, getenv func(string) (string, bool), readFile func(string) ([]byte, error)) (string, error) {
	if ref == "" {
		return "", nil
	}
	parts := secretRefText.FindStringSubmatch(ref)
	if parts == nil {
		return "", errors.New("cannot resolve a secret: its reference is none of ${ENV}, file:PATH and origin:NAME")
	}
	env, file, name := parts[1], parts[2], parts[3]
	if name != "" {
		return "", fmt.Errorf("cannot resolve the secret origin:%s: no origin gave it to this node", name)
	}
	if env != "" {
		secret, ok := getenv(env)
		if !ok {
			return "", fmt.Errorf("cannot resolve the secret ${%s}: the environment variable is not set", env)
		}
		return usable(secret, ref)
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	content, err := readFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot resolve the secret file:%s: %w", file, err)
	}
	return usable(strings.TrimRight(string(content), "\r\n"), ref)
}

// usable refuses what cannot stand in a header.
func usable(secret, ref string) (string, error) {
	if secret == "" {
		return "", fmt.Errorf("cannot resolve the secret %s: it is empty", ref)
	}
	if strings.ContainsFunc(secret, isControl) {
		return "", fmt.Errorf("cannot resolve the secret %s: it has several lines or control characters", ref)
	}
	return secret, nil
}
