package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wedge-proxy/wedge/wasm/sdk"
)

// policyNewCmd writes a project.
type policyNewCmd struct {
	Lang string `arg:"" help:"The language."`
	Name string `arg:"" help:"The policy's name: lower-case letters, digits and hyphens."`
	Dir  string `placeholder:"DIR" help:"Where to write it (default: a new folder NAME)."`
}

// Help is the part of the help text below the flags' summary.
func (policyNewCmd) Help() string {
	return `Writes a policy that builds as it is, the SDK that it uses, cases that it is tested with, and a README. Nothing that
is there is overwritten. Languages: ` + strings.Join(sdk.Languages(), ", ") + `.

Examples:
  wedge policy new c my-rule
  wedge policy new rust my-rule --dir policies/my-rule`
}

// Validate refuses what no project can be made of.
func (c *policyNewCmd) Validate() error {
	_, _, err := sdk.New(c.Lang, c.Name)
	return err
}

// Run writes the project and says what to do next.
func (c *policyNewCmd) Run(stdout io.Writer) error {
	files, build, err := sdk.New(c.Lang, c.Name)
	if err != nil {
		return err
	}
	if files[projectFile], err = (&project{Language: c.Lang, Build: build}).text(); err != nil {
		return fmt.Errorf("cannot write the project: %w", err)
	}
	dir := cmp.Or(c.Dir, c.Name)
	if err := writeProject(dir, files); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, `%s is a policy in %s. Next:
  wedge policy build %[1]s
  wedge policy test %[3]s --cases %[4]s
  wedge policy bench %[3]s
`, dir, c.Lang, filepath.Join(dir, sdk.Output), filepath.Join(dir, "cases"))
	return err
}

// writeProject fills a folder that is new or empty.
func writeProject(dir string, files map[string][]byte) error {
	there, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("cannot write the project: %w", err)
	}
	if len(there) > 0 {
		return fmt.Errorf("cannot write the project: %s is not empty; choose another folder with --dir", dir)
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return fmt.Errorf("cannot write the project: %w", err)
		}
		if err := os.WriteFile(path, text, 0o666); err != nil {
			return fmt.Errorf("cannot write the project: %w", err)
		}
	}
	return nil
}

// projectFile names what a project's folder says to wedge policy build.
const projectFile = "wedge-policy.yaml"

// project is the content of that file.
type project struct {
	Language string   `yaml:"language"`
	Build    []string `yaml:"build,flow"` // the command and its arguments
}

func (p *project) text() ([]byte, error) {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "# For wedge policy build: the command is run in this folder and writes %s.\n", sdk.Output)
	e := yaml.NewEncoder(&b)
	if err := e.Encode(p); err != nil {
		return nil, err
	}
	return []byte(b.String()), e.Close()
}

// readProject reads a project's file. Without a command in it, its language's is taken.
func readProject(dir string) (*project, error) {
	path := filepath.Join(dir, projectFile)
	text, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("%s has no %s: begin a project with wedge policy new", dir, projectFile)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the project: %w", err)
	}
	defer func() { _ = text.Close() }() // it was only read
	var p project
	d := yaml.NewDecoder(text)
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if len(p.Build) == 0 {
		if p.Build, err = sdk.Build(p.Language); err != nil {
			return nil, fmt.Errorf("cannot use %s: it has no build command, and: %w", path, err)
		}
	}
	return &p, nil
}
