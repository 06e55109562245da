package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
)

// ModuleFile is where the module of a policy lies; dir is what relative paths start at. ok is false for a module that
// is named by its digest.
func (p *Policy) ModuleFile(dir string) (path string, ok bool) {
	path, ok = strings.CutPrefix(p.Module, "file:")
	if ok && !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return path, ok
}

// LoadModules reads the modules of all policies, and tells as *Problems which cannot be read. With its modules the
// catalog has another digest than without, and another one with other modules.
func (c *Catalog) LoadModules(dir string, read func(path string) ([]byte, error)) error {
	var problems []Problem
	for i := range c.Policies {
		p := &c.Policies[i]
		if err := p.load(dir, read); err != nil {
			problems = append(problems, c.ProblemAt(fmt.Sprintf("policies[%d].module", i), err.Error()))
		}
	}
	return problemsOf(c.name, problems)
}

func (p *Policy) load(dir string, read func(path string) ([]byte, error)) error {
	path, ok := p.ModuleFile(dir)
	if !ok {
		return fmt.Errorf("a module by its digest comes with a bundle from an origin; name a file as file:PATH")
	}
	code, err := read(path)
	if err != nil {
		return fmt.Errorf("cannot read the module: %w", err)
	}
	sum := sha256.Sum256(code)
	p.Digest, p.code = "sha256:"+hex.EncodeToString(sum[:]), code
	return nil
}
