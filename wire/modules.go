package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// ModuleFile is where the module of a policy lies; dir is what relative paths start at. ok is false for a module that
// is named by its digest.
func (p *Policy) ModuleFile(dir string) (path string, ok bool) { return fileIn(dir, p.Module) }

// CasesFile is where the cases of a policy lie, a file or a folder, as ModuleFile is where the module does. ok is false
// as well where the policy has none.
func (p *Policy) CasesFile(dir string) (path string, ok bool) { return fileIn(dir, p.Cases) }

func fileIn(dir, ref string) (path string, ok bool) {
	path, ok = strings.CutPrefix(ref, "file:")
	if ok && !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return path, ok
}

// LoadModules reads the modules of all policies, and tells as *Problems which cannot be read. With its modules the
// catalog has another digest than without, and another one with other modules.
func (c *Catalog) LoadModules(dir string, read func(path string) ([]byte, error)) error {
	return c.load(func(p *Policy) ([]byte, error) {
		path, ok := p.ModuleFile(dir)
		if !ok {
			return nil, errors.New("a module by its digest comes with a bundle from an origin; name a file as file:PATH")
		}
		return read(path)
	})
}

// LoadBlobs is LoadModules for a catalog that came from an origin, where modules are named by their digests, sha256: and
// 64 hexadecimal digits. What is not what its digest says is refused.
func (c *Catalog) LoadBlobs(read func(digest string) ([]byte, error)) error {
	return c.load(func(p *Policy) ([]byte, error) {
		if !strings.HasPrefix(p.Module, digestPrefix) {
			return nil, errors.New("a catalog from an origin names modules by their digests; apply it again with the module's file at hand")
		}
		code, err := read(p.Module)
		if err == nil && digestText(code) != p.Module {
			err = fmt.Errorf("what is there is %s", digestText(code))
		}
		return code, err
	})
}

func (c *Catalog) load(read func(p *Policy) ([]byte, error)) error {
	var problems []Problem
	for i := range c.Policies {
		p := &c.Policies[i]
		code, err := read(p)
		if err != nil {
			problems = append(problems, c.ProblemAt(fmt.Sprintf("policies[%d].module", i), "cannot read the module: "+err.Error()))
			continue
		}
		p.Digest, p.code = digestText(code), code
	}
	return problemsOf(c.name, problems)
}

const digestPrefix = "sha256:"

// digestText names bytes by what they are.
func digestText(b []byte) string {
	sum := sha256.Sum256(b)
	return digestPrefix + hex.EncodeToString(sum[:])
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func isDigest(s string) bool { return digestForm.MatchString(s) }

// BlobsOf tells the digests of the blobs that a resource's body names: a policy's module and its cases.
func BlobsOf(kind string, body []byte) ([]string, error) {
	if kind != KindPolicy {
		return nil, nil
	}
	var policy map[string]json.RawMessage
	if err := json.Unmarshal(body, &policy); err != nil {
		return nil, fmt.Errorf("cannot tell the blobs of a policy: %w", err)
	}
	var digests []string
	for _, member := range []string{"module", "cases"} {
		ref := entryText(policy[member])
		if isDigest(ref) && (len(digests) == 0 || digests[0] != ref) {
			digests = append(digests, ref)
		}
	}
	return digests, nil
}

// PackCases is the blob of a policy's cases: an object of what their files say, by the names of the files.
func PackCases(files map[string][]byte) ([]byte, error) {
	cases := make(map[string]json.RawMessage, len(files))
	for name, content := range files {
		if !json.Valid(content) {
			return nil, fmt.Errorf("cannot pack the case %s: it is not JSON", name)
		}
		cases[name] = content
	}
	return CanonicalJSON(cases)
}

// UnpackCases takes apart what PackCases packed.
func UnpackCases(blob []byte) (map[string][]byte, error) {
	var cases map[string]json.RawMessage
	if err := json.Unmarshal(blob, &cases); err != nil {
		return nil, fmt.Errorf("cannot unpack the cases: %w", err)
	}
	files := make(map[string][]byte, len(cases))
	for name, content := range cases {
		files[name] = content
	}
	return files, nil
}
